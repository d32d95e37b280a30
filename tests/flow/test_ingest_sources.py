"""The programs of ingest sources: how they do, what they say, how they end. Push sources stand for
all: what is tested is what runs them."""

from __future__ import annotations

import os
import re
import signal
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.client.ingest_values import IngestInfo
from pachybox.client.pipeline_values import LogMessage
from pachybox.errors import InvalidArgument, NotFound
from tests.boxes import RealBox, eventually
from tests.flow.posting import Poster, committed, records, source


@pytest.fixture(scope="module")
def post(shared_box: RealBox) -> Iterator[Poster]:
    made = Poster(shared_box)
    yield made
    made.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def running(box: RealBox, name: str, *, other_than: int = 0) -> IngestInfo:
    def runs() -> bool:
        found = box.client.inspect_ingest(name)
        return found.state == "running" and found.pid not in (0, other_than)

    eventually(runs, f"{name} runs")
    return box.client.inspect_ingest(name)


def test_a_source_has_a_process_of_its_own_that_comes_back_and_goes_on(
    shared_box: RealBox, post: Poster
) -> None:
    client = shared_box.client
    branch = source(client, "steady")
    first = running(shared_box, "steady")
    assert (first.restarts, first.errors, first.reason) == (0, 0, "")
    arguments = Path(f"/proc/{first.pid}/cmdline").read_bytes().split(b"\0")
    assert arguments[-3:] == [b"push", b"default/steady", b""]
    environment = Path(f"/proc/{first.pid}/environ").read_text()
    assert "PACHYBOX" not in environment
    assert int(Path(f"/proc/{first.pid}/oom_score_adj").read_text()) == 500
    assert post("steady", [1, 2, 3]).status == 200
    committed(client, "steady", 3)
    assert sum(client.inspect_ingest("steady").rates) == 3

    os.kill(first.pid, signal.SIGKILL)
    again = running(shared_box, "steady", other_than=first.pid)
    assert (again.restarts, again.errors) == (1, 1)
    assert again.error == "killed by signal 9 (SIGKILL)"
    assert post("steady", [4]).status == 200
    committed(client, "steady", 4)
    assert records(client, branch) == [b"1", b"2", b"3", b"4"]

    client.pause_ingest("steady")
    assert client.inspect_ingest("steady").state == "paused"
    eventually(lambda: not alive(again.pid), "a paused one has no process")
    client.resume_ingest("steady")
    last = running(shared_box, "steady")
    state = shared_box.home / "ingest" / "default" / "steady"
    assert state.is_dir()
    client.delete_ingest("steady")
    assert not alive(last.pid)
    assert not state.exists()


def test_what_a_source_says_can_be_read_and_followed(shared_box: RealBox) -> None:
    client = shared_box.client
    source(client, "talker")
    pid = running(shared_box, "talker").pid
    os.kill(pid, signal.SIGKILL)
    pid = running(shared_box, "talker", other_than=pid).pid
    [said] = client.ingest_log("talker").all()
    assert said.message == "killed by signal 9 (SIGKILL); starts again in 0.5 s"
    assert (said.user, said.master) == (False, True)
    assert client.ingest_log("talker", tail=5, since_s=60).all() == [said]
    assert client.ingest_log("default/talker", since_s=0.001).all() == []

    followed: list[LogMessage] = []
    stream = client.ingest_log("talker", follow=True)
    reader = threading.Thread(target=lambda: followed.extend(stream))
    reader.start()
    eventually(lambda: len(followed) == 1, "what was said before")
    os.kill(pid, signal.SIGTERM)  # by somebody else than the box
    eventually(lambda: len(followed) == 2, "what is said meanwhile")
    assert followed[1].message == "ended by itself (status 0); starts again in 1 s"
    client.delete_ingest("talker")  # the log ends with it
    reader.join(20)
    assert not reader.is_alive()
    stream.close()
    assert not list((shared_box.home / "logs").rglob("talker*"))
    with pytest.raises(NotFound, match="ingest talker not found"):
        client.ingest_log("talker").all()
    with pytest.raises(InvalidArgument, match="below zero"):
        client.ingest_log("talker", tail=-1).all()


def test_figures_of_sources_are_metrics(shared_box: RealBox, post: Poster) -> None:
    client = shared_box.client
    source(client, "counted")
    client.create_ingest({"name": "idle", "to": "counted@idle", "push": {}})
    client.pause_ingest("idle")
    running(shared_box, "counted")
    assert post("counted", ["a", "bc"]).status == 200
    committed(client, "counted", 2)
    with urllib.request.urlopen(f"{client.status().address}/metrics") as page:
        lines = page.read().decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))

    def figure(name: str, more: str = "", ingest: str = "counted") -> float:
        labels = f'project="default",ingest="{ingest}",kind="push"{more}'
        return float(found[f"pachybox_ingest_{name}{{{labels}}}"])

    states = ["starting", "running", "paused", "held", "crashing", "stopped"]
    assert [figure("state", f',state="{s}"') for s in states] == [0, 1, 0, 0, 0, 0]
    assert figure("state", ',state="paused"', "idle") == 1
    names = ("records_total", "commits_total", "pending", "dead_letters_total", "restarts_total")
    assert [figure(name) for name in names] == [2, 1, 0, 0, 0]
    assert figure("bytes_total") >= 7
    assert figure("files_total") == 1
    assert figure("errors_total") == 0
    assert figure("lag_seconds") == 0
    info = client.inspect_ingest("counted")
    assert info.last_time is not None
    assert figure("last_commit_timestamp_seconds") == pytest.approx(info.last_time.timestamp())
    assert 'pachybox_ingest_last_commit_timestamp_seconds{project="default",ingest="idle"' not in (
        str(found)
    )

    heads = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert max(Counter(heads).values()) == 1
    order = [re.split(r"[{ ]", line)[0] for line in lines if line.startswith("pachybox_ingest_")]
    groups = [name for at, name in enumerate(order) if at == 0 or order[at - 1] != name]
    assert len(groups) == len(set(groups)) == 12
    for name in ("counted", "idle"):
        client.delete_ingest(name)


def test_no_source_outlives_its_box_and_what_was_taken_is_committed(tmp_path: Path) -> None:
    """kill -9 of the daemon, and an end in order, which has sources commit what they have."""
    box = RealBox(tmp_path / "home").start()
    try:
        branch = source(box.client, "events", group={"time": "1h"})
        pid = running(box, "events").pid
        box.kill()
        eventually(lambda: not alive(pid), "its source is gone", 10)
        box.start()
        pid = running(box, "events").pid
        post = Poster(box)
        assert post("events", [1, 2]).status == 200
        post.close()
        eventually(lambda: box.client.inspect_ingest("events").pending == 2, "it has seen them")
        assert records(box.client, branch) == []
        assert box.stop() == 0
        assert not alive(pid)
        box.start()
        assert records(box.client, branch) == [b"1", b"2"]
        pid = running(box, "events").pid
        os.kill(pid, signal.SIGSTOP)  # this one does not see the end of its box ...
        box.kill()
        assert alive(pid)
        box.start()
        running(box, "events", other_than=pid)
        eventually(lambda: not alive(pid), "the next process of the source ends it", 10)
    finally:
        box.stop()
