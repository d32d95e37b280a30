"""What is deleted beside whoever no longer needs it."""

from __future__ import annotations

import threading

from pachybox.errors import NotReady
from pachybox.pps.runners.pods.remover import Remover


def test_what_cannot_be_removed_yet_holds_up_nothing_else() -> None:
    made, tried, done = Remover(lambda: None), threading.Event(), threading.Event()
    tries: list[str] = []

    def refuse() -> None:
        tries.append("x")
        tried.set()
        raise NotReady("not yet")

    made.add("x", refuse)
    assert tried.wait(5)
    made.add("y", done.set)
    assert done.wait(0.5)
    before = len(tries)
    made.close(0.2)
    assert len(tries) > before, "all is tried once more at the end"
