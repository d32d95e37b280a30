"""What is known of Pods, whatever the watch of them does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pachybox.pps.runners.pods.api import Listed
from pachybox.pps.runners.pods.troubles import Gone
from pachybox.pps.runners.pods.watch import Watch


def a_pod(name: str, uid: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": str(version)}}


class Server:
    """Stands for the API: every watch ends as it says, after what it tells."""

    def __init__(self, *tells: dict[str, Any], ends: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.pods: list[dict[str, Any]] = []
        self._tells, self._ends = tells, ends

    def list(self, kind: str, selector: str, patience_s: float | None = None) -> Listed:
        self.asked.append("list")
        return Listed(self.pods, "7")

    def get(self, kind: str, name: str, patience_s: float) -> dict[str, Any] | None:
        return next((one for one in self.pods if one["metadata"]["name"] == name), None)

    def watch(self, selector: str, version: str, for_s: float, silent_s: float) -> Iterator[Any]:
        self.asked.append(version)
        yield from self._tells
        if self._ends:
            raise self._ends


def the_watch(server: Server) -> Watch:
    return Watch(server, "x=y")  # type: ignore[arg-type]


@pytest.mark.parametrize("ends", [None, Gone("too old")])
def test_a_server_that_ends_every_watch_at_once_is_not_asked_all_the_time(
    ends: Exception | None,
) -> None:
    server = Server(ends=ends)
    watch = the_watch(server)
    watch.start()
    threading.Event().wait(0.5)
    watch.stop()
    assert 2 <= len(server.asked) <= 10
    assert server.asked[:3] == ["list", "7", "list"], "it told nothing: the cluster may be another"


def test_what_is_told_late_is_of_the_one_before() -> None:
    event = {"type": "MODIFIED", "object": a_pod("n", "old", 900)}
    gone = {"type": "DELETED", "object": a_pod("n", "old", 901)}
    server = Server(event, gone)
    watch = the_watch(server)
    watch.put(a_pod("n", "new", 5))  # of a cluster that was made anew, its versions too
    watch._follow("4")
    assert watch.pod("new") is not None
    assert watch.pod("old") is None
    server.pods = [a_pod("n", "newest", 6)]
    watch.look("n", 0)
    assert watch.pod("new") is None
    assert watch.names() == {"n"}
    server.pods = []
    watch.look("n", 0)
    assert watch.names() == set()
