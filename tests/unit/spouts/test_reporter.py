"""Reports: news at once, figures now and then, and never are the last ones missing."""

from __future__ import annotations

import json
import threading

from spouts import reporter
from spouts.reporter import Reporter
from tests.boxes import eventually


class Heard:
    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []
        self.reporter = Reporter(lambda line: self.lines.append(json.loads(line)))

    @property
    def last(self) -> dict[str, object]:
        return self.lines[-1]


def test_figures_are_held_back_but_the_last_come_by_themselves() -> None:
    heard = Heard()
    for n in range(1, 2000):
        heard.reporter.update(pending=n, lag_s=n / 10)
    assert len(heard.lines) < 20
    eventually(lambda: heard.last["pending"] == 1999, "the last figures", 5)
    count = len(heard.lines)
    heard.reporter.update(pending=1999)
    heard.reporter.flush()
    assert len(heard.lines) == count  # nothing new


def test_news_are_told_at_once_and_errors_are_counted_over_threads() -> None:
    heard = Heard()
    heard.reporter.update(pending=1)
    heard.reporter.update(pending=0)
    heard.reporter.update(reason="the disk is full")
    assert [(r["pending"], r["reason"]) for r in heard.lines] == [
        (1, ""),
        (0, ""),
        (0, "the disk is full"),
    ]

    def fail() -> None:
        for _ in range(100):
            heard.reporter.update(error="odd", errors=1)

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (heard.last["errors"], heard.last["error"]) == (400, "odd")
    assert heard.reporter.reason == "the disk is full"


def test_who_cannot_be_told_is_no_trouble() -> None:
    def broken(line: str) -> None:
        raise BrokenPipeError

    deaf = Reporter(broken)
    deaf.update(pending=4)
    deaf.flush()
    assert reporter.EVERY_S == 0.5
