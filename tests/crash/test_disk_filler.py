"""A datum that writes until the disk is full: it fails, whatever else goes on does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pachybox.client.pipeline_values import JobInfo
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


def test_a_datum_that_fills_the_disk_fails_and_all_else_goes_on(
    box: RealBox, disk: SmallDisk, tmp_path: Path
) -> None:
    """Each attempt is stopped by name; the next datum of its worker and another pipeline, which
    writes the whole time, succeed; commits are taken while it goes on."""
    client, gate, up = box.client, tmp_path / "gate", tmp_path / "up"
    client.create_pipelines(
        spec(
            "calm",
            [f"touch {up}; while [ ! -e {gate} ]; do sleep 0.02; done", "cp -r /pfs/data /pfs/out"],
        )
    )
    eventually(up.exists, "the calm datum runs")
    tries = tmp_path / "tries"
    fill = [
        f'case "$data" in *f1) echo >> {tries}; cat /dev/zero > /pfs/out/big;; esac',
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
    assert last(box, "calm").state == "JOB_SUCCESS"
    assert commits
    client.put_file("data@master:/after", bytes(3_000_000))
    assert last(box, "calm").state == "JOB_SUCCESS"
    assert [f for f in client.fsck() if f.get("level") != "info"] == []
