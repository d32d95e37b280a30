"""What every source hands in its batches by: once, patiently, and never for another's sake."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.errors import InvalidArgument
from spouts import desk as desks
from spouts.desk import DeadLetter, Desk, Stopping
from spouts.task import Task
from tests.boxes import RealBox, eventually

NUMBERS = itertools.count()


@pytest.fixture
def desk(shared_box: RealBox, tmp_path: Path) -> Iterator[Desk]:
    """That of a paused source, whose own program is not there."""
    client, name = shared_box.client, f"desk{next(NUMBERS)}"
    client.create_repo(name)
    client.create_ingest({"name": name, "to": f"{name}@master", "push": {}})
    client.pause_ingest(name)
    task = Task("default", name, "push", 1, {}, f"{name}@master", tmp_path, str(shared_box.socket))
    made = Desk(task)
    yield made
    made.box.close()


def content(box: RealBox, branch: str) -> dict[str, bytes]:
    files = [f.path for f in box.client.glob_file(f"{branch}:/**") if not f.is_dir]
    return {path: box.client.get_file(f"{branch}:{path}") for path in files}


def test_a_batch_is_files_marker_dead_letters_and_offset(shared_box: RealBox, desk: Desk) -> None:
    name = desk.task.name
    odd = desk.task.state / "odd"
    odd.write_bytes(b"from a file")
    desk.commit(
        lambda put: put.data("/a", b"1"),
        {"at": 1},
        marker={"/marker": b"m1"},
        dead=[DeadLetter("/b", "too odd", b"raw"), DeadLetter("c", "odder", odd)],
        records=2,
    )
    desk.commit(lambda put: put.data("/a", b"2"), {"at": 2}, append=True, marker={"/marker": b"m2"})
    desk.commit(lambda put: put.data("/new", b"3"), {"at": 3}, deletes=["/a"])
    assert content(shared_box, f"{name}@master") == {"/new": b"3"}
    assert content(shared_box, f"{name}@master^") == {"/a": b"12"}
    assert content(shared_box, f"{name}@marker") == {"/marker": b"m2"}
    dead = content(shared_box, f"{name}@dead-letters")
    reasons = {k: json.loads(dead.pop(k))["reason"] for k in list(dead) if k.endswith(".json")}
    assert sorted(dead.values()) == [b"from a file", b"raw"]
    assert {k.removesuffix(".reason.json") for k in reasons} == set(dead)
    assert sorted(reasons.values()) == ["odder", "too odd"]
    found = shared_box.client.inspect_ingest(name)
    assert (found.batch, found.records, found.dead_letters) == (3, 2, 2)
    assert (desk.batch, desk.offset) == (3, {"at": 3})


@pytest.mark.parametrize("what", ["updated", "deleted", "ahead"])
def test_one_that_is_not_what_it_was_stops_and_commits_nothing(
    shared_box: RealBox, desk: Desk, what: str
) -> None:
    client, name = shared_box.client, desk.task.name
    if what == "updated":
        spec = {"name": name, "to": f"{name}@master", "push": {"format": "lines"}}
        client.create_ingest(spec, update=True)
    elif what == "deleted":
        client.delete_ingest(name)
    else:
        desk.batch = 7
    with pytest.raises(Stopping):
        desk.commit(lambda put: put.data("/a", b"1"), {})
    assert next(iter(client.list_commit(name)), None) is None


def test_what_is_refused_for_good_is_raised_and_the_next_is_taken(
    shared_box: RealBox, desk: Desk
) -> None:
    desk.commit(lambda put: put.data("/a/b", b"1"), {})
    with pytest.raises(InvalidArgument):
        desk.commit(lambda put: put.data("/a/../c", b"2"), {"at": 2})
    assert (desk.batch, desk.offset) == (1, {})
    desk.commit(lambda put: put.data("/c", b"3"), {"at": 3})
    assert content(shared_box, f"{desk.task.name}@master") == {"/a/b": b"1", "/c": b"3"}


def test_what_is_not_ready_is_waited_for_and_shown_when_it_lasts(
    shared_box: RealBox,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An open commit on the branch: a wait of a moment is not worth a word, a longer one is said,
    once, and is over when it is."""
    client, name = shared_box.client, desk.task.name
    monkeypatch.setattr(desks, "_PASSES_S", 0.3)
    monkeypatch.setattr(desks, "_PAUSE_S", (0.05, 0.1))
    open_id = client.start_commit(f"{name}@master")
    writer = threading.Thread(target=lambda: desk.commit(lambda put: put.data("/a", b"1"), {}))
    writer.start()
    said: list[dict[str, Any]] = []
    logged: list[str] = []

    def heard() -> bool:
        out, err = capsys.readouterr()
        said.extend(json.loads(line) for line in out.splitlines())
        logged.extend(err.splitlines())
        return bool(said and said[-1]["errors"] > 2)

    eventually(heard, "it is said to wait, more than once")
    assert "has an open commit" in said[-1]["reason"]
    client.finish_commit(f"{name}@{open_id}")
    writer.join(20)
    assert not writer.is_alive()
    heard()
    assert said[-1]["reason"] == ""
    assert "has an open commit" in said[-1]["error"]
    assert len(logged) == 1
    assert content(shared_box, f"{name}@master") == {"/a": b"1"}


def test_orders_wake_a_pause_and_stopping_is_not_missed(desk: Desk) -> None:
    assert desk.pause(0) is False
    desk.order_run()
    assert desk.pause(100) is True
    assert desk.pause(0) is False
    desk.order_run()
    desk.order_stop()
    for _ in range(2):
        with pytest.raises(Stopping):
            desk.pause(0)
