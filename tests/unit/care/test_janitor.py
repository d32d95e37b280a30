"""The janitor's tasks stand alone, and nobody who writes waits for a round."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.care.health import Health
from pachybox.care.janitor import PART, Janitor, Task, shown
from pachybox.errors import Corrupt, Exhausted
from pachybox.meta import writer
from pachybox.meta.writer import Meta


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Meta]:
    made = Meta(tmp_path / "meta.duckdb")
    yield made
    made.close()


def raising(error: Exception) -> int:
    raise error


def test_a_task_that_fails_is_told_and_the_others_are_done(meta: Meta) -> None:
    done: list[str] = []

    def well(name: str, freed: int) -> int:
        done.append(name)
        return freed

    health = Health(meta, lambda: 1000.0)
    tasks = [
        Task("first", lambda: well("first", 1000)),
        Task("full", lambda: raising(Exhausted("no space left", "free some"))),
        Task("rotten", lambda: raising(Corrupt("a tree is not true"))),
        Task("broken", lambda: raising(ValueError("a defect"))),
        Task("last", lambda: well("last", 24)),
    ]
    record = Janitor(tasks, health, 3600).round()
    assert done == ["first", "last"]
    assert record.figures["freed_bytes"] == 1024
    for text in ("full: no space left", "rotten: a tree is not true", "broken: ValueError"):
        assert text in record.error
    assert health.warnings()[0].startswith("janitor: full")
    assert shown(health.last(PART), 1000.0 + 7 * 60).startswith("7 min ago, in 0.0 s, freed 1KiB;")


def test_rounds_are_one_after_the_other(meta: Meta) -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def one() -> int:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        with lock:
            inside -= 1
        return 0

    janitor = Janitor([Task("one", one)] * 5, Health(meta), 3600)
    threads = [threading.Thread(target=janitor.round) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert shown(None, 0.0) == "no round yet"


def test_others_write_between_pieces_of_events_that_go(
    meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events go in pieces; what comes meanwhile is not behind all of them."""
    monkeypatch.setattr(writer, "_PRUNED", 500)
    for _ in range(6):
        meta.write(lambda tx: [tx.event("old") for _ in range(2000)])
    began, order = threading.Event(), []

    def prune() -> None:
        began.set()
        meta.prune_events(1000)
        order.append("pruned")

    thread = threading.Thread(target=prune)
    thread.start()
    began.wait()
    while thread.is_alive() and len(order) < 50:
        meta.write(lambda tx: tx.event("new"))
        order.append("written")
    thread.join()
    assert order.index("pruned") >= 2, "nobody could write meanwhile"
    assert meta.last_event - meta.first_event() < 1100
