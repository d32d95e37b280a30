"""Limits of user code by control groups, where this machine lets the box make them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pachybox.pps.runners import cgroups
from pachybox.pps.runners.base import Limits, Transform
from pachybox.pps.runners.pods.runner import PodsRunner
from tests import groups

if TYPE_CHECKING:
    from tests.contract.conftest import Lab

_GROUPS = cgroups.find()
_MIB = 1 << 20


def need(controller: str) -> None:
    if controller not in _GROUPS.parents:
        pytest.skip(f"no {controller} groups here: {_GROUPS.missing[controller]}")


def ours(lab: Lab) -> list[Path]:
    if lab.boxed is not None:
        return [place for place in groups.of(lab.containers()) if "conmon" not in place.name]
    mark = f"pachybox-{os.getpid()}-*"
    return [found for place in set(_GROUPS.parents.values()) for found in place.glob(mark)]


def test_memory_beyond_the_limit_ends_the_datum_by_name_and_the_worker_lives(lab: Lab) -> None:
    need("memory")
    code = "import os; x = bytearray(int(os.environ['N']) << 20)"
    limits = Limits(memory=128 * _MIB)
    python = "python3" if lab.image else "/usr/bin/python3"
    worker = lab.start(Transform((python, "-c", code)), limits=limits)
    for size in (300, 10, 300):
        result = worker.run(lab.task(env={"N": str(size)}))
        assert result.ok is (size == 10)
        if not result.ok:
            assert result.signal == 9
            assert result.reason == (
                f"out of memory: used more than {128 * _MIB} bytes (resource_limits.memory)"
            )
    assert lab.alive() == []


def test_a_failure_of_another_kind_is_not_called_out_of_memory(lab: Lab) -> None:
    worker = lab.start(Transform(("sh", "-c", "kill -9 $$")), limits=Limits(memory=256 * _MIB))
    assert worker.run(lab.task()).reason == "killed by signal 9 (SIGKILL)"


def test_a_kill_that_was_survived_is_not_held_against_the_next(lab: Lab) -> None:
    need("memory")
    code = """python3 -c 'x = bytearray(300 << 20)'; exit $N"""
    worker = lab.start(Transform(("sh", "-c", code)), limits=Limits(memory=128 * _MIB))
    assert worker.run(lab.task(env={"N": "0"})).ok
    worker = lab.start(
        Transform(("sh", "-c", '[ "$N" = 1 ] || ' + code)), limits=Limits(memory=128 * _MIB)
    )
    assert worker.run(lab.task(env={"N": "0"})).ok
    assert worker.run(lab.task(env={"N": "2"})).reason.startswith("out of memory")


def test_processor_time_is_limited(sealed: Lab) -> None:
    need("cpu")
    loop = ("sh", "-c", "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done")
    worker = sealed.start(Transform(loop), limits=Limits(cpu=0.2))
    result = worker.run(sealed.task())
    assert result.ok
    assert result.process_s > 2.5 * result.cpu_s > 0


def test_a_fork_bomb_stays_below_the_limit_of_processes(lab: Lab) -> None:
    need("pids")
    bomb = (
        "f() { f | f & }; f; sleep 0.3; i=0; while [ $i -lt 99 ]; do i=$((i+1)); : & done; exit 0"
    )
    worker = lab.start(Transform(("sh", "-c", bomb)), limits=Limits(pids=60))
    result = worker.run(lab.task(timeout_s=10.0))
    assert result.process_s < 9
    assert lab.alive() == []
    assert worker.run(lab.task(timeout_s=10.0)) is not None


def test_groups_are_gone_with_their_worker(lab: Lab) -> None:
    need("pids")
    worker = lab.start(Transform(("true",)), limits=Limits(1.0, 256 * _MIB))
    assert worker.run(lab.task()).ok
    assert ours(lab)
    for one in lab.workers:
        one.close()
    if isinstance(lab.boxed, PodsRunner):  # a cluster takes its time
        lab.until(lambda: not ours(lab), "the groups are gone")
    assert ours(lab) == []


def test_leftovers_of_a_killed_box_are_removed(lab: Lab) -> None:
    need("pids")
    with subprocess.Popen(["true"]) as gone:
        pass
    left = _GROUPS.parents["pids"] / f"pachybox-{gone.pid}-1"
    left.mkdir()
    cgroups.find()
    assert not left.exists()


def test_a_limit_that_cannot_be_kept_is_named(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/user.slice\n")
    groups = cgroups.find(tmp_path, own)
    assert groups.parents == {}
    assert set(groups.missing) == {"cpu", "memory", "pids"}
    group = groups.make(Limits(cpu=1.0, memory=_MIB))
    assert [text.split(":")[0] for text in group.unkept] == [
        "resource_limits.cpu",
        "resource_limits.memory",
    ]
    assert group.folders == {}
    assert not group.out_of_memory()


def test_a_unified_hierarchy_is_written_as_the_kernel_wants_it(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/box.service\n")
    place = tmp_path / "box.service"
    place.mkdir()
    (place / "cgroup.subtree_control").write_text("cpu memory pids")
    groups = cgroups.find(tmp_path, own)
    assert groups.version == "v2"
    group = groups.make(Limits(cpu=0.5, memory=_MIB, pids=7))
    (folder,) = set(group.folders.values())
    written = {name: (folder / name).read_text() for name in ("cpu.max", "memory.max", "pids.max")}
    assert written == {"cpu.max": "50000 100000", "memory.max": str(_MIB), "pids.max": "7"}
    (folder / "memory.events").write_text("low 0\nhigh 0\nmax 5\noom 1\noom_kill 2\n")
    assert group.out_of_memory()
    assert not group.out_of_memory()


@pytest.mark.parametrize(
    ("rows", "made", "folders"),
    [
        (  # v2
            ["0::/machine.slice/libpod-1.scope/container"],
            ["machine.slice/libpod-1.scope/container"],
            {"machine.slice/libpod-1.scope/container"},
        ),
        (  # v1 beside an empty v2, as here
            ["5:memory:/libpod_parent/1", "4:cpu,cpuacct:/libpod_parent/1", "0::/libpod_parent/1"],
            ["memory/libpod_parent/1", "cpu,cpuacct/libpod_parent/1", "unified/libpod_parent/1"],
            {"memory/libpod_parent/1", "cpu,cpuacct/libpod_parent/1", "unified/libpod_parent/1"},
        ),
        (  # a hierarchy that nobody mounted
            ["2:name=systemd:/libpod_parent/1", "1:rdma:/libpod_parent/1"],
            ["systemd/libpod_parent/1"],
            {"systemd/libpod_parent/1"},
        ),
    ],
)
def test_the_groups_of_a_container_are_those_of_its_first_process(
    tmp_path: Path, rows: list[str], made: list[str], folders: set[str]
) -> None:
    root, proc = tmp_path / "cgroup", tmp_path / "proc"
    (proc / "7").mkdir(parents=True)
    (proc / "7" / "cgroup").write_text("".join(f"{row}\n" for row in rows))
    for name in made:
        (root / name).mkdir(parents=True)
    group = cgroups.ContainerGroup.of(7, root, proc)
    assert {str(folder.relative_to(root)) for folder in group.folders.values()} == folders
    group.add(123)
    for name in folders:
        assert (root / name / "cgroup.procs").read_text() == "123"
    assert group.unkept == []
    group.remove()
    assert all((root / name).is_dir() for name in made), "its engine removes them"
