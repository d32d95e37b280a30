"""Faults of podman, of images and of containers: the job ends right or says why, and nothing is
left behind."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.client.pipeline_values import JobInfo
from tests import images
from tests.boxes import RealBox, eventually
from tests.crash.dag import INPUTS, NAMES, Feeder
from tests.crash.disks import SmallDisk
from tests.crash.kills import below
from tests.crash.podman import Container, containers, leftovers, podman, service
from tests.crash.test_dag_kill import leavings, run_out
from tests.flow.invariants import fsck_is_clean
from tests.flow.oracle import Leaf, Plan
from tests.flow.test_pipelines import contents

WAITS = ["touch /tmp/up", "until [ -e /tmp/gate ]; do sleep 0.02; done"]


def spec(name: str, image: str, script: list[str], **more: Any) -> str:
    """A pipeline over repo ``in`` whose code is a shell script in an image."""
    return json.dumps(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "in", "glob": "/*"}},
            "transform": {"image": image, "cmd": ["sh"], "stdin": script},
            **more,
        }
    )


@pytest.fixture
def box(tmp_path: Path, busybox_image: str) -> Iterator[RealBox]:
    """A box with one file in ``in``; afterwards nothing is left of it on this machine."""
    made = RealBox(tmp_path / "home", settings="workers = 2\n").start()
    made.client.create_repo("in")
    made.client.put_file("in@master:/f", b"content\n")
    yield made
    seen = set(containers(made))
    assert made.stop() == 0
    # race: the look at what the machine allows, which a start begins, ends by itself a moment later
    eventually(lambda: not leftovers(made, seen), "nothing is left of it", 5)
    assert leavings(made) == []


def waiting(box: RealBox, but: Container | None = None) -> Container:
    """The container whose code waits at its gate; another one than ``but``."""

    def look() -> Container | None:
        found = [one for one in containers(box) if one.pid and (one.root / "tmp/up").exists()]
        return next((one for one in found if but is None or one.id != but.id), None)

    found = eventually(look, "code waits in a container", 20)
    assert found is not None
    return found


def job_of(box: RealBox, pipeline: str) -> JobInfo:
    """The newest job of a pipeline, when it is over."""
    job = next(iter(box.client.list_job(pipeline)))
    return box.client.wait_job(f"{pipeline}@{job.id}")


COPY = [*WAITS, "cp /pfs/in/* /pfs/out"]


def test_a_job_whose_image_is_deleted_says_so_and_goes_on_when_it_is_there_again(
    box: RealBox, tmp_path: Path
) -> None:
    """Deleting it by force takes its containers along."""
    tag = f"{images.PREFIX}/deleted:{os.getpid()}"
    made = images.own(tag)
    podman("save", "--quiet", f"--output={tmp_path}/image.tar", tag)
    box.client.create_pipelines(spec("p", tag, COPY))
    waiting(box)
    # race: with the container that was deleted a new one may come, before the image is
    eventually(lambda: images.run("rmi", "--force", made).returncode == 0, "the image is deleted")

    def says() -> bool:
        found = box.client.inspect_pipeline("p")
        return found.state == "PIPELINE_CRASHING" and tag in found.reason

    eventually(says, "the pipeline names the image that is missing", 20)
    assert not next(iter(box.client.list_job("p"))).done
    podman("load", "--quiet", f"--input={tmp_path}/image.tar")
    (waiting(box).root / "tmp/gate").touch()
    job = job_of(box, "p")
    assert (job.state, job.processed) == ("JOB_SUCCESS", 1), job.reason
    assert box.stop() == 0
    podman("rmi", tag)
    box.start()


def test_a_box_killed_with_its_containers_finishes_the_job_at_its_next_start(
    box: RealBox, busybox_image: str
) -> None:
    box.client.create_pipelines(spec("p", busybox_image, COPY))
    held = waiting(box)
    box.kill()
    images.run("kill", held.id)
    box.start()
    again = waiting(box, held)
    (again.root / "tmp/gate").touch()
    job = job_of(box, "p")
    assert (job.state, job.processed) == ("JOB_SUCCESS", 1), job.reason
    assert [one.id for one in containers(box)] in ([], [again.id])


RESERVE = 64 << 20


def test_a_container_that_fills_the_disk_fails_by_name_and_the_next_datum_goes_on(
    small_disk: Callable[[int], SmallDisk], busybox_image: str
) -> None:
    """By its output, which is on the box's disk."""
    disk = small_disk(256 << 20)
    settings = f"reserve_bytes = {RESERVE}\nworkers = 1\n"
    box = RealBox(disk.where / "home", settings=settings).start()
    try:
        box.client.create_repo("in")
        with box.client.put("in@master") as put:
            for name in ("big", "small"):
                put.data(f"/{name}", b"content\n")
        script = [
            '[ "${in##*/}" != big ] || cat /dev/zero > /pfs/out/big',
            "cp $in /pfs/out",
        ]
        box.client.create_pipelines(spec("p", busybox_image, script, datum_tries=1))
        job = job_of(box, "p")
        assert (job.state, job.failed, job.processed) == ("JOB_FAILURE", 1, 1), job
        assert "the disk is full: datum " in job.reason
        assert "to /pfs/out" in job.reason
        seen = set(containers(box))
        assert box.stop() == 0
        assert leftovers(box, seen) == []
        assert leavings(box) == []
    finally:
        box.kill()
        images.run("rm", "--force", "--time=0", *(one.id for one in containers(box)))


# ---- at random, under load

PLANS = {
    "p0": Plan("p0", "pfs", (Leaf("in0"),), tolerant=True, tries=20),
    "p1": Plan("p1", "pfs", (Leaf("p0", glob="/"),), tolerant=True, tries=20),
    "p2": Plan("p2", "cross", (Leaf("in1"), Leaf("p0", glob="/")), tolerant=True, tries=20),
}
FAULTS = ("service", "kill", "rm", "user code", "box", "box and containers")


def disturb(box: RealBox, kind: str, draw: random.Random) -> None:
    """One fault of a kind; of one that needs something running, as soon as there is some."""
    if kind.startswith("box"):
        box.kill()
        if kind != "box":
            images.run("kill", *(one.id for one in containers(box) if one.pid))
        box.start()
        return

    def done() -> bool:
        assert box.process is not None
        if kind == "service":
            return all([one.kill() for one in service(box)])
        running = [one for one in containers(box) if one.pid]
        if not running:
            return False
        chosen = draw.choice(running)
        if kind == "user code":
            return any([one.kill() for one in below(box.process.pid) if _in(chosen, one.pid)])
        how = ["kill"] if kind == "kill" else ["rm", "--force", "--time=0"]
        return images.run(*how, chosen.id).returncode == 0

    eventually(done, f"a fault: {kind}", 20)


def _in(container: Container, pid: int) -> bool:
    """Whether a process is user code in this container."""
    try:
        inside = container.id in Path(f"/proc/{pid}/cgroup").read_text()
        return inside and b"TAG=" in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("seed", [int(os.environ.get("PACHYBOX_TEST_SEED") or 1)])
def test_faults_at_random_change_no_output(
    tmp_path: Path, seed: int, busybox_image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten faults while commits keep coming: every job ends well, with the output that its
    program makes of what it read, and nothing is left."""
    with capsys.disabled():
        print(f" [seed {seed}]", end="", flush=True)
    draw = random.Random(seed)
    kinds = [*draw.sample(FAULTS, len(FAULTS)), *draw.choices(FAULTS, k=10 - len(FAULTS))]
    box = RealBox(tmp_path / "home", settings="workers = 3\n").start()
    feeder = Feeder(box, seed, most_open=9)
    seen: set[Container] = set()
    try:
        for repo in INPUTS:
            box.client.create_repo(repo)
            box.client.put_file(f"{repo}@master:/{NAMES[0]}", b"first\n")
        for name, plan in PLANS.items():
            made = json.loads(plan.spec(name, Path("/tmp")))
            made["transform"]["image"] = busybox_image
            box.client.create_pipelines(json.dumps(made))
        feeder.start()
        for kind in kinds:
            threading.Event().wait(draw.uniform(0.0, 0.4))  # the moment
            seen |= set(containers(box))
            disturb(box, kind, draw)
        feeder.stop()
        run_out(box)
        check(box)
        seen |= set(containers(box))
        assert box.stop() == 0
        assert leftovers(box, seen) == []
        assert leavings(box) == []
    finally:
        box.kill()
        feeder.stop()
        images.run("rm", "--force", "--time=0", *(one.id for one in containers(box)))


def check(box: RealBox) -> None:
    """Every job succeeded, and its output is what its plan makes of its inputs."""
    jobs = list(box.client.list_job())
    states = {(job.state, job.reason) for job in jobs}
    assert states == {("JOB_SUCCESS", "")}, states
    assert len(jobs) > 10
    files: dict[str, dict[str, str]] = {}

    def of(commit: str) -> dict[str, str]:
        if commit not in files:
            found = contents(box, commit)
            files[commit] = {path[1:]: text.decode() for path, text in found.items()}
        return files[commit]

    for name, plan in PLANS.items():
        for job in box.client.list_job(name):
            inputs = {leaf.repo: of(f"{leaf.repo}@{job.id}") for leaf in plan.leaves}
            expected = dict(plan.result(datum, inputs) for datum in plan.datums(inputs))
            assert of(f"{name}@{job.id}") == expected, f"{name}@{job.id}"
    fsck_is_clean(box.client)
