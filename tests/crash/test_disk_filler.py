"""A datum that writes until the disk is full: it fails, whatever else goes on does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pachybox.client.pipeline_values import JobInfo
from pachybox.errors import Exhausted
from tests.boxes import RealBox, eventually
from tests.crash.disks import SmallDisk

RESERVE = 64 << 20


def spec(name: str, script: list[str], **more: object) -> str:
    return json.dumps(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "data", "glob": "/*"}},
            "transform": {"cmd": ["sh", "-e"], "stdin": script},
            **more,
        }
    )


@pytest.fixture
def disk(small_disk: Callable[[int], SmallDisk]) -> SmallDisk:
    return small_disk(320 << 20)


@pytest.fixture
def box(disk: SmallDisk) -> Iterator[RealBox]:
    """A box with data on a small disk, which runs four datums at once."""
    settings = f"reserve_bytes = {RESERVE}\nworkers = 4\n"
    made = RealBox(disk.where / "home", settings=settings).start()
    made.client.create_repo("data")
    for i in range(3):
        made.client.put_file(f"data@master:/f{i}", bytes(100))
    yield made
    made.kill()


def last(box: RealBox, pipeline: str) -> JobInfo:
    return box.client.wait_job(f"{pipeline}@{next(iter(box.client.list_job(pipeline))).id}")


FILLS = {
    "by writing": "cat /dev/zero > /pfs/out/big",
    # Again when a commit took some of the room that was counted: then nothing is allocated.
    "at once": "until fallocate -l $(($(stat -f -c '%a * %S' /pfs/out))) /pfs/out/big; do :; done;"
    " sleep 100",
}


@pytest.mark.parametrize("how", FILLS)
def test_a_datum_that_fills_the_disk_fails_and_all_else_goes_on(
    box: RealBox, disk: SmallDisk, tmp_path: Path, how: str
) -> None:
    """Each attempt is stopped by name; the next datum of its worker and another pipeline, which
    has written much too, succeed; commits are taken while it goes on."""
    client, gate, up = box.client, tmp_path / "gate", tmp_path / "up"
    client.create_pipelines(
        spec(
            "calm",
            [
                "head -c 20000000 /dev/zero > /pfs/out/x${data##*/}",
                f"touch {up}; while [ ! -e {gate} ]; do sleep 0.02; done",
                "cp -r /pfs/data /pfs/out",
            ],
        )
    )
    eventually(up.exists, "the calm datum runs")
    tries = tmp_path / "tries"
    fill = [
        f'case "$data" in *f1) echo >> {tries}; {FILLS[how]};; esac',
        "echo x > /pfs/out/${data##*/}",
    ]
    client.create_pipelines(spec("filler", fill, datum_tries=2))
    commits = 0
    job = next(iter(client.list_job("filler")))
    while not client.inspect_job(f"filler@{job.id}").finished:
        client.put_file(f"data@other:/{commits}", bytes(20_000))
        commits += 1
    failed = last(box, "filler")
    assert (failed.state, failed.failed, failed.processed) == ("JOB_FAILURE", 1, 2)
    assert "the disk is full: datum " in failed.reason
    assert "to /pfs/out; write less, or free space on the file system of" in failed.reason
    assert len(tries.read_text()) == 2
    assert disk.free > 2 * RESERVE
    gate.touch()
    calm = last(box, "calm")
    assert calm.state == "JOB_SUCCESS", calm.reason
    assert commits
    client.put_file("data@master:/after", bytes(3_000_000))
    calm = last(box, "calm")
    assert calm.state == "JOB_SUCCESS", calm.reason
    assert [f for f in client.fsck() if f.get("level") != "info"] == []


QUICK = {
    "all at once": "fallocate -l 10G /pfs/out/big || cat /dev/zero > /pfs/out/big",
    "and ends well": "head -c 300000000 /dev/zero > /pfs/out/big",
    "small files": "for i in $(seq 400); do head -c 900000 /dev/zero > /pfs/out/$i; done",
}


@pytest.mark.parametrize("how", QUICK)
def test_a_datum_quicker_than_the_watch_is_told_the_same(
    box: RealBox, disk: SmallDisk, how: str
) -> None:
    """Its writes fail before it is stopped, or it is done. What handles the error finds an empty
    /pfs/out; the other datums go well."""
    client = box.client
    script = [f'case "$data" in *f1) {QUICK[how]};; esac', "echo x > /pfs/out/${data##*/}"]
    client.create_pipelines(spec("filler", script, datum_tries=1))
    failed = last(box, "filler")
    assert (failed.failed, failed.processed) == (1, 2), failed.reason
    assert "the disk is full: datum " in failed.reason
    assert disk.free > 2 * RESERVE
    client.put_file("data@other:/after", bytes(3_000_000))


def test_an_error_handler_of_a_datum_that_filled_the_disk_has_room(
    box: RealBox, disk: SmallDisk
) -> None:
    script = ['case "$data" in *f1) cat /dev/zero > /pfs/out/big;; esac']
    client = box.client
    text = json.loads(spec("filler", script, datum_tries=1))
    handler = {"err_cmd": ["sh", "-e"], "err_stdin": ["ls /pfs/data", "echo x > /pfs/out/y"]}
    text["transform"] |= handler
    client.create_pipelines(json.dumps(text))
    job = last(box, "filler")
    assert (job.state, job.recovered, job.processed) == ("JOB_SUCCESS", 1, 2), job.reason
    assert disk.free > 2 * RESERVE


def test_when_somebody_else_fills_the_disk_nothing_is_stopped(
    box: RealBox, disk: SmallDisk, tmp_path: Path
) -> None:
    """A datum that has written little runs on; the box refuses to grow, until there is room."""
    client, gate, up = box.client, tmp_path / "gate", tmp_path / "up"
    runs = tmp_path / "runs"
    script = [
        f"echo >> {runs}; head -c 1000000 /dev/zero > /pfs/out/x; touch {up}",
        f"while [ ! -e {gate} ]; do sleep 0.02; done",
    ]
    one = json.loads(spec("calm", script, datum_tries=1))
    one["input"]["pfs"]["glob"] = "/"
    client.create_pipelines(json.dumps(one))
    eventually(up.exists, "the datum runs")
    disk.fill(leave=RESERVE // 2)
    for i in range(20):
        with pytest.raises(Exhausted):
            client.put_file(f"data@other:/{i}", bytes(3_000_000))
    disk.release()
    gate.touch()
    job = last(box, "calm")
    assert job.state == "JOB_SUCCESS", job.reason
    assert len(runs.read_text()) == 1
