"""Pipelines in containers: real jobs in images, their users and limits, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.client.pipeline_values import JobInfo
from pachybox.containers.engine import SOCKET
from pachybox.errors import PachyboxError, Refused
from tests import groups, images
from tests.boxes import RealBox, eventually

HOME = "org.pachybox.home"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    images.needed()
    made = RealBox(tmp_path_factory.mktemp("containers")).start()
    made.client.create_repo("in")
    with made.client.commit("in@master") as commit:
        for name, text in (("a.txt", "one two two\n"), ("b.txt", "two\n")):
            commit.put_file(f"/{name}", text.encode())
    try:
        yield made
    finally:
        assert made.stop() == 0
        assert containers(made.home) == []


def containers(home: Path) -> list[str]:
    """The ids of a box's containers, running or not."""
    shown = images.run("ps", "-a", "-q", "--no-trunc", "--filter", f"label={HOME}={home}")
    return shown.stdout.split()


def job_of(
    box: RealBox, name: str, image: str, script: str, *, glob: str = "/*", **fields: Any
) -> JobInfo:
    """The first job of a new pipeline that runs a shell script, once it is over."""
    transform = {"image": image, "cmd": ["sh"], "stdin": script.splitlines()}
    transform |= fields.pop("transform", {})
    spec = {
        "pipeline": {"name": name},
        "transform": {k: v for k, v in transform.items() if v is not None},
        "input": {"pfs": {"repo": "in", "glob": glob}},
        "datum_tries": 1,
        **fields,
    }
    box.client.create_pipelines(json.dumps(spec))
    return over(box, name)


def over(box: RealBox, name: str) -> JobInfo:
    def last() -> JobInfo | None:
        jobs = list(box.client.list_job(name))
        return jobs[0] if jobs and jobs[0].finished else None

    return eventually(last, f"a job of {name} is over")


def text(box: RealBox, path: str) -> str:
    return box.client.get_file(path).decode()


def test_a_datum_runs_in_its_image_as_it_runs_without(box: RealBox, busybox_image: str) -> None:
    script = "for f in /pfs/in/*; do wc -w < $f > /pfs/out/$(basename $f); done"
    assert job_of(box, "words", busybox_image, script).state == "JOB_SUCCESS"
    assert text(box, "words@master:/a.txt").split() == ["3"]
    assert text(box, "words@master:/b.txt").split() == ["1"]
    assert box.client.inspect_pipeline("words").state == "PIPELINE_RUNNING"


def test_an_image_of_one_program_and_nothing_else(box: RealBox, scratch_image: str) -> None:
    transform = {
        "cmd": ["/usr/bin/wordcount", "/pfs/out"],
        "stdin": None,
        "env": {"texts": "/pfs/in/a.txt"},
    }
    done = job_of(box, "scratch", scratch_image, "", glob="/", transform=transform)
    assert done.state == "JOB_SUCCESS", done.reason
    assert text(box, "scratch@master:/a.txt") == "1 one\n2 two\n"


def test_what_the_image_says_holds_and_its_command_does_not(box: RealBox, odd_image: str) -> None:
    found = images.run("image", "inspect", odd_image, "--format", "{{json .Config}}")
    config = json.loads(found.stdout)
    script = "pwd; id -u; env"
    assert job_of(box, "odd", odd_image, f"({script}) > /pfs/out/said", glob="/").state == (
        "JOB_SUCCESS"
    )
    said = text(box, "odd@master:/said").splitlines()
    assert said[0] == config["WorkingDir"]
    assert set(config["Env"]) <= set(said)
    assert said[1] != "0"
    (id_,) = of_pipeline(box, "odd")
    mounts = json.loads(images.run("inspect", id_, "--format", "{{json .Mounts}}").stdout)
    (volume,) = [one for one in mounts if one["Type"] == "volume"]
    box.client.delete_pipeline("odd")
    eventually(lambda: images.run("volume", "exists", volume["Name"]).returncode, "it is removed")


def test_root_may_do_less_than_root(box: RealBox, busybox_image: str) -> None:
    script = "grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status > /pfs/out/said"
    assert job_of(box, "rights", busybox_image, script, glob="/").state == "JOB_SUCCESS"
    rights = dict(line.split(":\t") for line in text(box, "rights@master:/said").splitlines())
    assert rights["NoNewPrivs"] == "1"
    assert rights["CapEff"] == rights["CapBnd"]
    assert int(rights["CapBnd"], 16) & ~0x404FB == 0, "docs/runners.md names them"


def test_the_user_is_the_transforms(box: RealBox, busybox_image: str) -> None:
    script = "(id -u; id -G; echo $HOME; grep CapEff /proc/self/status) > /pfs/out/id"
    done = job_of(box, "as-app", busybox_image, script, glob="/", transform={"user": "app"})
    assert done.state == "JOB_SUCCESS", done.reason
    assert text(box, "as-app@master:/id").splitlines() == [
        "1000", "1000 50", "/home/app", "CapEff:\t0000000000000000"
    ]  # fmt: skip
    done = job_of(box, "as-none", busybox_image, "true", transform={"user": "ghost"})
    assert done.state == "JOB_FAILURE"
    assert "user 'ghost' does not exist in the image" in done.reason
    assert box.client.inspect_pipeline("as-none").state == "PIPELINE_FAILURE"


@pytest.mark.parametrize(
    ("name", "limits", "script", "reason"),
    [
        ("memory", {"memory": "32Mi"}, "head -c 99000000 /dev/zero | tail", "out of memory"),
        ("shm", {"shm": "1Mi"}, "head -c 2000000 /dev/zero > /dev/shm/x", "exit status 1"),
    ],
)
def test_a_limit_that_is_broken_fails_the_datum(
    box: RealBox, busybox_image: str, name: str, limits: Any, script: str, reason: str
) -> None:
    done = job_of(box, f"over-{name}", busybox_image, script, glob="/", resource_limits=limits)
    assert done.state == "JOB_FAILURE"
    assert reason in done.reason


def test_a_limit_that_no_container_starts_with_is_refused(box: RealBox, busybox_image: str) -> None:
    with pytest.raises(Refused, match=r"little memory \(resource_limits.memory 4Mi\).*8M"):
        job_of(box, "tiny", busybox_image, "true", resource_limits={"memory": "4Mi"})


def test_limits_are_the_containers(box: RealBox, busybox_image: str) -> None:
    limits = {"memory": "64Mi", "cpu": 0.5, "shm": "2Mi", "pids": 100}
    hang(box, "held", busybox_image, resource_limits=limits)
    (id_,) = eventually(lambda: of_pipeline(box, "held"), "its container")
    shown = json.loads(images.run("inspect", id_).stdout)[0]["HostConfig"]
    assert (shown["Memory"], shown["ShmSize"]) == (64 << 20, 2 << 20)
    assert shown["CpuQuota"] / shown["CpuPeriod"] == 0.5
    assert shown["PidsLimit"] == 101, "its first process is ours"
    box.client.delete_pipeline("held")
    eventually(lambda: id_ not in containers(box.home), "its container is removed")


def test_doctor_says_what_starts_containers(box: RealBox) -> None:
    said = box.cli("doctor").splitlines()
    assert any(line.startswith("  ok    PB601 podman: podman ") for line in said), said
    assert any(line.startswith("  ok    PB602 containers: started by ") for line in said), said


# ---- which runner


def test_a_runner_may_be_chosen(box: RealBox, busybox_image: str) -> None:
    spec = {
        "pipeline": {"name": "beside"},
        "transform": {"image": busybox_image, "cmd": ["test", "!", "-e", "/bin/busybox.image"]},
        "input": {"pfs": {"repo": "in", "glob": "/"}},
    }
    box.client.create_pipelines(json.dumps(spec), runner="process")
    assert over(box, "beside").state == "JOB_SUCCESS"
    assert of_pipeline(box, "beside") == []
    del spec["transform"]["image"]  # type: ignore[attr-defined]
    with pytest.raises(Refused, match="names no image"):
        box.client.create_pipelines(json.dumps(spec), update=True, runner="podman")
    with pytest.raises(PachyboxError, match="use --runner auto, process, podman or kubernetes"):
        box.client.create_pipelines(json.dumps(spec), update=True, runner="docker")


def test_without_a_cmd_the_entrypoint_runs(
    box: RealBox, busybox_image: str, odd_image: str
) -> None:
    done = job_of(box, "entry", odd_image, "", transform={"cmd": None, "stdin": None})
    assert done.state == "JOB_FAILURE"
    assert "exit status 1" in done.reason, "its entrypoint is false"
    with pytest.raises(Refused, match="no entrypoint"):
        job_of(box, "no-entry", busybox_image, "", transform={"cmd": None, "stdin": None})


# ---- what goes wrong


def hang(box: RealBox, name: str, image: str, **fields: Any) -> None:
    """A pipeline whose only datum does not end, unless its input has a file ``go``."""
    script = "touch /pfs/out/begun; [ -e /pfs/in/go ] || [ -e /tmp/go ] || sleep 600"
    spec = {
        "pipeline": {"name": name},
        "transform": {"image": image, "cmd": ["sh", "-c", script]},
        "input": {"pfs": {"repo": "in", "glob": "/"}},
        "datum_tries": 1,
        **fields,
    }
    box.client.create_pipelines(json.dumps(spec))


def running(box: RealBox, name: str) -> str:
    """The container of a pipeline, once its code runs."""

    def busy() -> str:
        for id_ in of_pipeline(box, name):
            if "sleep" in images.run("top", id_, "args").stdout:
                return id_
        return ""

    return eventually(busy, f"{name} runs")


def test_a_container_that_is_killed_costs_its_datum_another_try(
    box: RealBox, busybox_image: str
) -> None:
    hang(box, "killed", busybox_image)
    first = running(box, "killed")
    images.run("kill", first)
    second = running(box, "killed")
    assert second != first
    eventually(lambda: first not in containers(box.home), "the dead one is removed")
    images.run("rm", "-f", second)
    done = over(box, "killed")
    assert done.state == "JOB_FAILURE"
    assert "the worker died twice" in done.reason
    assert "its container" in done.reason, "removed, or ended on the way to that"


def test_a_container_that_is_killed_while_it_is_idle_costs_nothing(
    box: RealBox, busybox_image: str
) -> None:
    assert job_of(box, "idle", busybox_image, "cp /pfs/in/a.txt /pfs/out", glob="/").state == (
        "JOB_SUCCESS"
    )
    images.run("kill", *of_pipeline(box, "idle"))
    box.client.rerun_pipeline("idle", reprocess=True)

    def jobs() -> list[JobInfo]:
        found = list(box.client.list_job("idle"))
        return found if len(found) == 2 and all(one.finished for one in found) else []

    done = eventually(jobs, "it ran again")
    assert {one.state for one in done} == {"JOB_SUCCESS"}


def test_a_container_that_is_paused_can_be_stopped(box: RealBox, busybox_image: str) -> None:
    hang(box, "paused", busybox_image)
    id_ = running(box, "paused")
    images.run("pause", id_)
    box.client.stop_job(f"paused@{next(iter(box.client.list_job('paused'))).id}")
    assert over(box, "paused").state == "JOB_KILLED"
    images.run("pause", id_)
    box.client.delete_pipeline("paused")
    eventually(lambda: id_ not in containers(box.home), "it is removed")


def test_a_podman_that_dies_is_started_again(box: RealBox, busybox_image: str) -> None:
    pid = service(box)
    os.kill(pid, signal.SIGKILL)
    assert job_of(box, "after", busybox_image, "true").state == "JOB_SUCCESS"
    assert service(box) != pid


def service(box: RealBox) -> int:
    """The podman that the box started."""
    mark = f"unix://{(box.home / 'run' / SOCKET).resolve()}".encode()
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in words and words[0].endswith(b"podman"):
            return int(folder.name)
    raise AssertionError("the box has no podman")


def test_a_box_that_is_killed_leaves_nothing_for_long(
    tmp_path: Path, box: RealBox, busybox_image: str
) -> None:
    other = RealBox(tmp_path / "box").start()
    try:
        other.client.create_repo("in")
        other.client.put_file("in@master:/a", b"a")
        hang(other, "held", busybox_image)
        left = running(other, "held")
        pid = service(other)
        others = containers(box.home)
        other.kill()
        eventually(lambda: not Path(f"/proc/{pid}").exists(), "its podman ends with it")
        assert left in containers(other.home)
        other.env["PACHYBOX_RUNNER"] = "process"  # of pipelines to come
        other.start()
        eventually(lambda: left not in containers(other.home), "it is removed")
        assert running(other, "held") != left, "the datum is run again"
        assert containers(box.home) == others, "another box's are its own"
    finally:
        other.stop()
    assert containers(other.home) == []
    assert groups.of([left]) == []


def of_pipeline(box: RealBox, name: str) -> list[str]:
    """The containers of a pipeline that run."""
    label = f"label=org.pachybox.pipeline={name}"
    shown = images.run(
        "ps", "-q", "--no-trunc", "--filter", label, "--filter", f"label={HOME}={box.home}"
    )
    return shown.stdout.split()
