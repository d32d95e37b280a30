"""What a worker keeps while several attempts, cancels and ends come together."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pachybox.errors import InvalidArgument, Refused
from pachybox.pps.runners.base import Limits, Transform, WorkerLost

if TYPE_CHECKING:
    from tests.contract.conftest import Lab


def test_two_attempts_under_way_end_in_their_order(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", 'echo "$N"; echo $N > $PFS/out/n; exit $N'])
    tasks = [lab.task(env={"N": str(n)}) for n in range(10)]
    worker.start(tasks[0])
    for n, task in enumerate(tasks):
        if n + 1 < len(tasks):
            worker.start(tasks[n + 1])
        result = worker.finish()
        assert result.exit_code == n
        assert (task.out / "n").read_text() == f"{n}\n"
        assert f'"message": "{n}"' in task.log.read_text()


def test_a_third_attempt_is_refused_and_an_ending_without_one(lab: Lab) -> None:
    worker = lab.worker(["true"])
    worker.start(lab.task())
    worker.start(lab.task())
    with pytest.raises(InvalidArgument, match="2 datums under way"):
        worker.start(lab.task())
    assert worker.finish().ok
    assert worker.finish().ok
    with pytest.raises(InvalidArgument, match="no datum under way"):
        worker.finish()


def test_both_attempts_share_a_log_each_after_its_head(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", "echo $N"])
    log = lab.task().log
    for n in range(2):
        task = replace(lab.task(env={"N": f"out{n}"}), log=log, head=b'{"head": %d}\n' % n)
        worker.start(task)
    assert worker.finish().ok
    assert worker.finish().ok
    lines = log.read_text().splitlines()
    words = [word for line in lines for word in ("head", "out0", "out1") if word in line]
    assert words == ["head", "out0", "head", "out1"]
    log.unlink()
    assert worker.run(replace(lab.task(env={"N": "again"}), log=log)).ok
    assert "again" in log.read_text()


def test_a_cancel_ends_both_attempts(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", "echo > $PFS/out/begun; sleep 1000"])
    first, second = lab.task(), lab.task()
    join = lab.begin(worker, first)
    worker.start(second)
    worker.cancel()
    assert join().cancelled
    result = worker.finish()
    assert result.cancelled
    assert result.reason == "cancelled"
    assert not (second.out / "begun").exists()
    assert lab.alive() == []
    assert not worker.run(lab.task(timeout_s=0.1)).cancelled


def test_a_program_is_asked_to_end_before_it_is_killed(lab: Lab) -> None:
    code = "trap 'echo bye > $PFS/out/bye; exit 0' TERM; echo > $PFS/out/begun; sleep 1000 & wait"
    worker = lab.worker(["sh", "-c", code])
    task = lab.task(grace_s=100.0)
    join = lab.begin(worker, task)
    began = time.monotonic()
    worker.cancel()
    result = join()
    assert time.monotonic() - began < 50
    assert result.cancelled
    assert not result.ok
    assert (task.out / "bye").read_text() == "bye\n"
    assert lab.alive() == []


def test_a_program_deaf_to_the_asking_is_killed(lab: Lab) -> None:
    code = "trap '' TERM; echo > $PFS/out/begun; while :; do sleep 1000; done"
    worker = lab.worker(["sh", "-c", code])
    join = lab.begin(worker, lab.task(grace_s=0.2))
    began = time.monotonic()
    worker.cancel()
    assert join().cancelled
    assert 0.2 <= time.monotonic() - began < 50
    assert lab.alive() == []


def test_a_long_running_program_costs_nothing_to_wait_for(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", "echo > $PFS/out/begun; sleep 1000"])
    join = lab.begin(worker, lab.task(grace_s=5.0))
    before = sum(os.times()[:2]) + _used(worker.pid)  # type: ignore[attr-defined]
    time.sleep(0.3)
    assert sum(os.times()[:2]) + _used(worker.pid) - before < 0.15  # type: ignore[attr-defined]
    worker.cancel()
    assert join().cancelled


def _used(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_nothing_of_a_datum_is_left_in_a_sandbox_that_is_used_again(sealed: Lab) -> None:
    worker = sealed.worker(["sh"], stdin=(
        "exec 9< /pfs/data/a.txt; cd /pfs/data; set -- /proc/[0-9]*; echo $# > /pfs/out/n",
        "setsid sh -c 'trap \"\" TERM; sleep 1000' & unshare -U sleep 1000 &",
        "unshare -Urpmf sleep 1000 & (unshare -Urm sh -c 'cd /pfs/out; sleep 1000' &) ; sleep 0.05",
        "grep -c /pfs /proc/self/mountinfo >> /pfs/out/n; exit 0",
    ))  # fmt: skip
    seen = set()
    for _ in range(4):
        task = sealed.task()
        assert worker.run(task).ok
        seen.add((task.out / "n").read_text())
        assert sealed.alive() == []
    assert len(seen) == 1, seen


def test_storms_of_children_and_zombies_are_cleaned_up(lab: Lab) -> None:
    ran = lab.sh(
        "i=0; while [ $i -lt 300 ]; do (sh -c 'true &' &); i=$((i+1)); done; sleep 1000 & exit 0"
    )
    assert ran.result.ok
    assert lab.alive() == []


def test_a_worker_killed_with_two_attempts_loses_both(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", "echo > $PFS/out/begun; sleep 1000"])
    join = lab.begin(worker, lab.task())
    worker.start(lab.task())
    os.kill(worker.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(WorkerLost):
        join()
    with pytest.raises(WorkerLost):
        worker.finish()
    lab.until(lambda: not lab.alive(), "everything dead")


def test_a_large_task_is_taken_while_another_runs(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", "head -c 3000000 /dev/zero; echo; wc -c < $PFS/data/a.txt"])
    big = lab.task()
    content = os.urandom(5 << 20)
    layout = replace(big.layout, tree=None, dirs=("data",), files=(("data/a.txt", content),))
    worker.start(lab.task())
    worker.start(replace(big, layout=layout))
    assert worker.finish().ok
    assert worker.finish().ok
    assert f'"{5 << 20}"' in big.log.read_text()


def test_secrets_are_files_in_memory_for_user_code_alone(lab: Lab) -> None:
    files = {"/pachybox-secrets/a/key": b"hush", "/pachybox-secrets/b": b"\0\xff"}
    transform = Transform(("sh",), ("cd /pachybox-secrets; stat -c '%a %u' a/key b; cat a/key",
                          "id -u; echo x > b; chmod 777 b; touch c"))  # fmt: skip
    if not lab.runner.presents.links:
        with pytest.raises(Refused, match=r"/pachybox-secrets/a/key.*no mount namespace"):
            lab.start(transform, files=files)
        return
    task = lab.task()
    worker = lab.start(transform, files=files)
    worker.run(task)
    said = task.log.read_text()
    uid = 65534 if lab.rootless else os.geteuid()
    assert said.count(f'"400 {uid}"') == 2
    assert f'"hush{uid}"' in said
    assert "hush" not in str(sorted(lab.home.rglob("*")))
    assert "pachybox-secrets" not in os.listdir("/")
    assert said.count("Read-only file system") >= 2


def test_a_secret_of_a_switched_user_is_its_own(lab: Lab) -> None:
    if not lab.may_switch_user or not lab.runner.presents.links:
        pytest.skip("about root with a mount namespace")
    task = lab.task()
    worker = lab.start(
        Transform(("cat", "/pachybox-secrets/key"), user="daemon"),
        files={"/pachybox-secrets/key": b"hush"},
    )
    assert worker.run(task).ok
    assert '"hush"' in task.log.read_text()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/etc/no-such-folder/key", "no such directory"),
        ("/etc/key", "would hide all of it"),
        ("/proc/1/key", "made by the box"),
        ("relative", "not an absolute path"),
    ],
)
def test_a_secret_that_cannot_be_shown_is_refused_by_name(
    sealed: Lab, path: str, words: str
) -> None:
    if sealed.image and path.startswith("/etc"):
        return  # the container's own, where it can be made
    with pytest.raises(Refused, match=words) as e:
        sealed.start(Transform(("true",)), files={path: b"x"})
    assert path.rpartition("/")[0] in e.value.message
    assert "mount_path" in e.value.hint


def test_a_secret_may_cover_a_folder_of_the_machine(sealed: Lab) -> None:
    ran = sealed.task()
    worker = sealed.start(Transform(("ls", "/usr/share")), files={"/usr/share/key": b"x"})
    assert worker.run(ran).ok
    assert ran.log.read_text().count("message") == 1
    assert len(os.listdir("/usr/share")) > 1


def test_limits_that_need_no_machinery_do_no_harm(lab: Lab) -> None:
    worker = lab.start(Transform(("true",)), limits=Limits(1.0, 1 << 30))
    assert worker.run(lab.task()).ok
