"""A disk that is full: said clearly, survived, and over as soon as there is room."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pachybox.errors import Exhausted
from pachybox.meta import connect
from pachybox.meta.tables import FACTS
from pachybox.meta.writer import Meta
from tests.boxes import RealBox, eventually
from tests.crash.disks import SmallDisk, until_refused

MakeDisk = Callable[[int], SmallDisk]

# a box keeps a part of the disk free by itself; these tests want it to be really full
NO_RESERVE = "disk_warn_percent = 0\ndisk_pause_percent = 0\ndisk_refuse_percent = 0\n"


def bytes_of(name: str, size: int) -> bytes:
    return random.Random(name).randbytes(size)


class Stored:
    """Files that were acknowledged."""

    def __init__(self, box: RealBox) -> None:
        self.box = box
        self.files: dict[str, bytes] = {}

    def put(self, path: str, size: int) -> None:
        data = bytes_of(path, size)
        self.box.client.put_file(f"data@master:{path}", data)
        self.files[path] = data

    def fill_up(self, size: int) -> Exhausted:
        """Put files of one size until one is refused; returns the refusal."""
        return until_refused(lambda i: self.put(f"/{size}/{len(self.files)}.{i}", size))

    def check(self) -> None:
        """All are there, and nothing else is."""
        client = self.box.client
        seen = {f.path for f in client.walk_file("data@master:/") if not f.is_dir}
        assert seen == set(self.files)
        for path, data in self.files.items():
            assert client.get_file(f"data@master:{path}") == data, path


def faults(box: RealBox) -> list[object]:
    return [f for f in box.client.fsck() if f.get("level") != "info"]


def names_disk_and_remedy(error: Exhausted, disk: SmallDisk) -> bool:
    return str(disk.where) in error.message and "space" in f"{error.message} {error.hint}"


@pytest.fixture
def disk(small_disk: MakeDisk) -> SmallDisk:
    return small_disk(48 << 20)


@pytest.fixture
def full_box(disk: SmallDisk) -> Iterator[RealBox]:
    """A box on a small disk which keeps nothing in reserve."""
    made = RealBox(disk.where / "home", settings=NO_RESERVE).start()
    made.client.create_repo("data")
    yield made
    made.kill()


@pytest.mark.parametrize("size", [100, 20_000, 3_000_000])
def test_puts_on_a_full_disk_are_refused_and_nothing_is_lost(
    full_box: RealBox, disk: SmallDisk, size: int
) -> None:
    """Small files meet the end in a pack or in the metadata, large ones in an upload. The box
    goes on reading, survives a kill while the disk is full, and writes when there is room."""
    box, stored = full_box, Stored(full_box)
    stored.put("/before", 300_000)
    stored.put("/small", 10)
    disk.fill(leave=max(400_000, size * 3))
    assert names_disk_and_remedy(stored.fill_up(size), disk)
    disk.fill()
    assert names_disk_and_remedy(stored.fill_up(size), disk)
    with pytest.raises(Exhausted):
        box.client.put_file("data@master:/x", bytes_of("x", 5_000_000))
    assert box.client.status().disk_free_bytes < 1 << 16
    stored.check()

    assert box.stop() == 0
    box.start()  # on the full disk
    stored.check()
    box.kill()
    box.start()
    stored.check()
    disk.fill()
    assert names_disk_and_remedy(stored.fill_up(size), disk)
    stored.check()

    disk.release()
    stored.put("/after/small", 100)
    stored.put("/after/large", 2_000_000)
    stored.check()
    assert faults(box) == []
    box.kill()
    box.start()
    stored.check()
    assert faults(box) == []


def test_commits_on_a_full_disk_are_refused_and_open_ones_stay_open(
    full_box: RealBox, disk: SmallDisk
) -> None:
    client = full_box.client
    client.create_repo("open")
    id_ = client.start_commit("open@master")
    client.put_file(f"open@{id_}:/f", b"kept")
    disk.fill()
    refused = until_refused(lambda i: client.create_repo(f"r{i}", "x" * 500))
    assert names_disk_and_remedy(refused, disk)
    with pytest.raises(Exhausted):
        client.finish_commit(f"open@{id_}", description="x" * 10_000)
    assert client.inspect_commit(f"open@{id_}").finished is None
    assert client.get_file(f"open@{id_}:/f") == b"kept"
    disk.release()
    client.finish_commit(f"open@{id_}")
    full_box.kill()
    full_box.start()
    info = full_box.client.inspect_commit("open@master")
    assert (info.id, info.finished is not None, info.size_bytes) == (id_, True, 4)
    assert faults(full_box) == []


def test_inputs_that_cannot_be_copied_to_a_full_disk_fail_the_job_with_the_reason(
    disk: SmallDisk,
) -> None:
    """Where nothing can be mounted inputs are copies, which need room."""
    settings = {"PACHYBOX_ISOLATION": "none"}
    box = RealBox(disk.where / "home", settings, NO_RESERVE).start()
    try:
        client = box.client
        client.create_repo("data")
        with client.put("data@master") as put:
            for i in range(20):
                put.data(f"/f{i:02}", bytes_of(f"f{i}", 100_000))
        disk.fill(leave=400_000)
        spec = {
            "pipeline": {"name": "none"},
            "input": {"pfs": {"repo": "data", "glob": "/"}},
            "transform": {"cmd": ["true"]},
            "datum_tries": 1,
        }
        client.create_pipelines(json.dumps(spec))
        job = client.wait_job(f"none@{next(iter(client.list_job('none'))).id}")
        assert job.state == "JOB_FAILURE"
        assert str(disk.where) in job.reason
        assert "No space left on device; free space" in job.reason
        disk.release()
        assert client.wait_job(client.run_pipeline("none")).state == "JOB_SUCCESS"
        assert faults(box) == []
    finally:
        disk.release()
        box.stop()


def test_a_job_on_a_full_disk_fails_with_the_reason_and_runs_well_afterwards(
    full_box: RealBox, disk: SmallDisk, tmp_path: Path
) -> None:
    """The disk is full when user code writes (its log says so); then it is not."""
    client = full_box.client
    started, gate, ended = tmp_path / "started", tmp_path / "gate", tmp_path / "ended"
    script = [
        f"trap 'touch {ended}' EXIT",
        f"touch {started}",
        f"while [ ! -e {gate} ]; do sleep 0.02; done",
        "cat /pfs/data/* /pfs/data/* > /pfs/out/x",
    ]
    spec = {
        "pipeline": {"name": "double"},
        "input": {"pfs": {"repo": "data", "glob": "/"}},
        "transform": {"cmd": ["sh", "-e"], "stdin": script},
        "datum_tries": 1,
    }
    data = {f"/f{i:02}": bytes_of(f"f{i}", 100_000) for i in range(20)}
    with client.put("data@master") as put:
        for path, content in data.items():
            put.data(path, content)
    client.create_pipelines(json.dumps(spec))
    first = next(iter(client.list_job("double")))
    eventually(started.exists, "user code runs")
    disk.fill()
    gate.touch()
    eventually(ended.exists, "user code has failed")
    assert client.get_file("data@master:/f00") == data["/f00"]
    disk.release()
    assert client.wait_job(f"double@{first.id}").state == "JOB_FAILURE"

    client.put_file("data@master:/g", b"more")
    job = client.wait_job(f"double@{next(iter(client.list_job('double'))).id}")
    assert job.state == "JOB_SUCCESS", job.reason
    assert client.get_file("double@master:/x") == (b"".join(data.values()) + b"more") * 2
    assert faults(full_box) == []


def test_the_reserve_is_refused_early_and_deleting_makes_room(disk: SmallDisk) -> None:
    """Above the reserve all works; below it puts are refused, but what frees space is not."""
    box = RealBox(disk.where / "home", settings=f"reserve_bytes = {8 << 20}\n").start()
    try:
        client = box.client
        client.create_repo("data")
        client.create_repo("old")
        client.put_file("old@master:/f", bytes_of("old", 9_000_000))
        for i in range(200):
            client.put_file(f"old@master:/small{i}", bytes_of(f"old{i}", 20_000))
        stored = Stored(box)
        stored.put("/f", 100)
        disk.fill(leave=7 << 20)
        for size in (100, 3_000_000):
            refused = eventually(lambda size=size: stored.fill_up(size), "a refusal")  # type: ignore[misc]
            assert "reserve" in refused.message
            assert names_disk_and_remedy(refused, disk)
        assert any("nearly full" in w for w in client.status().warnings)
        stored.check()
        client.delete_repo("old")
        client.collect_garbage()
        stored.put("/more", 1_000_000)
        stored.check()
        assert client.status().warnings == ()
        assert faults(box) == []
    finally:
        box.kill()


@pytest.mark.parametrize("room", [700_000, 1_300_000, 3_000_000])
def test_metadata_outlives_a_full_log_and_a_checkpoint_without_room(
    disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """The end of the disk is met in the write-ahead log or in a checkpoint, by the room there
    is. What was acknowledged is there, what was refused is not, readers meet no error."""
    monkeypatch.setitem(connect._CONFIG, "checkpoint_threshold", "1MB")
    path = disk.where / "meta.duckdb"
    meta = Meta(path, barrier=lambda: None)
    disk.fill(leave=room)
    kept: set[str] = set()

    def put(key: str) -> None:
        meta.write(lambda tx: tx.put(FACTS, (key, bytes_of(key, 4000).hex())))
        kept.add(key)
        assert meta.db.read("SELECT count(*) FROM facts") == [(len(kept),)]

    for _ in range(3):
        refused = until_refused(lambda i: put(f"key {len(kept)}"))
        assert names_disk_and_remedy(refused, disk)
        assert meta.db.read("SELECT count(*) FROM facts") == [(len(kept),)]
    disk.release()
    put("after")
    meta.close()
    again = Meta(path, barrier=lambda: None)
    assert {key for key, _ in again.all(FACTS)} == kept
    again.close()
