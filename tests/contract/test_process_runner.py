"""What the process runner keeps beyond the contract: namespaces, rights, ends of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pachybox.errors import InvalidArgument, Refused
from pachybox.pps.runners.base import WorkerLost
from pachybox.pps.runners.process import ProcessRunner
from tests.contract.conftest import inputs

if TYPE_CHECKING:
    from tests.contract.conftest import Lab


def test_user_code_sees_its_own_processes_alone(sealed: Lab) -> None:
    ran = sealed.sh(
        "ls /proc | grep -c '^[0-9]'; readlink /proc/self; tr '\\0' ' ' </proc/2/cmdline"
    )
    assert int(ran.lines[0]) <= 5
    assert int(ran.lines[1]) < 20
    assert ran.lines[2] == "sh "


def test_user_code_keeps_its_own_user(sealed: Lab) -> None:
    uid = 65534 if sealed.rootless else os.getuid()
    ran = sealed.sh("id -u; touch /pfs/out/mine; stat -c %u /pfs/out/mine /pfs/data/a.txt")
    assert ran.lines == [str(uid)] * 3
    assert (ran.task.out / "mine").stat().st_uid == uid


def test_user_code_has_no_right_to_administer_and_cannot_get_one(sealed: Lab) -> None:
    ran = sealed.sh("grep -E 'Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs' /proc/self/status")
    values = dict(line.split(":\t") for line in ran.lines)
    assert values.pop("NoNewPrivs") == "1"
    allowed = 0 if sealed.rootless else sum(1 << n for n in (0, 1, 3, 4, 5, 6, 7, 10, 13, 18, 29))
    assert all(int(value, 16) & ~allowed == 0 for value in values.values())


def test_the_first_process_of_a_datum_cannot_be_traced_or_read(sealed: Lab) -> None:
    ran = sealed.sh(
        "ls /proc/1/fd; cat /proc/1/environ; cat /proc/1/mem; ls /proc/1/root/; kill -9 1; echo on"
    )
    assert ran.result.ok
    assert ran.lines[-1] == "on"
    assert sum("ermission denied" in line for line in ran.lines) >= 3


def host_mounts(own: Path) -> list[str]:
    """The machine's mounts but for those that other tests have in folders and containers."""
    theirs = (f" {tempfile.gettempdir()}/", "/containers/storage/", "/io.containerd.")
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [one for one in lines if str(own) in one or not any(word in one for word in theirs)]


def test_the_host_is_left_as_it_was(sealed: Lab) -> None:
    mounts = host_mounts(sealed.home)
    top = os.listdir("/")
    ran = sealed.sh("mkdir /new; touch /file; mkdir /pfs/x; grep -c . /proc/self/mountinfo")
    assert host_mounts(sealed.home) == mounts
    assert os.listdir("/") == top
    assert any("Read-only file system" in line for line in ran.lines)


@pytest.mark.parametrize("later", [False, True])
def test_a_mount_below_an_input_is_presented_read_only(sealed: Lab, later: bool) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting on the host takes root")
    code = ["sh", "-c", "cat /pfs/data/m/f; echo x > /pfs/data/m/f"]
    subprocess.run(["mount", "--bind", sealed.home, sealed.home], check=True)
    try:
        subprocess.run(["mount", "--make-shared", sealed.home], check=True)
        worker = sealed.worker(code) if later else None
        task = sealed.task({"data/m/x": b""})
        point = inputs(task) / "data" / "m"
        subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
        worker = worker or sealed.worker(code)
        (point / "f").write_bytes(b"below\n")
        (point / "f").chmod(0o666)
        result = worker.run(task)
        assert "below" in task.log.read_text()
        assert not result.ok
        assert (point / "f").read_bytes() == b"below\n"
    finally:
        subprocess.run(["umount", "-R", "-l", sealed.home], check=True)


def test_root_sees_no_disks_and_cannot_set_the_kernel(sealed: Lab) -> None:
    if sealed.rootless or os.geteuid() != 0:
        pytest.skip("about root alone")
    ran = sealed.sh(
        """
        find /dev -type b
        mknod /tmp/pachybox-disk b 254 0 && echo made a node
        echo 0 > /proc/sys/vm/swappiness && echo set
        echo h > /proc/sysrq-trigger && echo triggered
        echo 1 > /sys/kernel/profiling && echo profiled
        echo ok > /dev/null && head -c 4 /dev/urandom | wc -c && ls /dev/pts /dev/shm > /dev/full
        """
    )
    said = [line for line in ran.lines if not line.startswith(("sh:", "mknod:", "ls:"))]
    assert said == ["4"]


def test_a_set_user_id_program_gains_nothing(sealed: Lab) -> None:
    if os.geteuid() != 0:
        pytest.skip("making one takes root")
    found = shutil.which("busybox") if sealed.image else "/usr/bin/id"  # its image has no libraries
    assert found is not None
    task = sealed.task({"data/id": Path(found).read_bytes()})
    program = inputs(task) / "data" / "id"
    os.chown(program, 0, 0)
    program.chmod(0o6755)
    ran = sealed.sh("/pfs/data/id -u", task)
    assert ran.lines == ["65534" if sealed.rootless else "0"]


def test_a_killed_worker_is_reported_and_takes_its_datum_along(lab: Lab) -> None:
    worker = lab.worker(["sh", "-c", "setsid sleep 999 & echo > /pfs/out/begun; sleep 1000"])
    for number in (signal.SIGKILL, signal.SIGTERM):
        worker = lab.worker(["sh", "-c", "setsid sleep 999 & touch /pfs/out/begun; sleep 1000"])
        join = lab.begin(worker, lab.task())
        os.kill(worker.pid, number)  # type: ignore[attr-defined]
        with pytest.raises(WorkerLost, match="edges") as e:
            join()
        assert e.value.hint
        lab.until(lambda: not lab.alive(), "everything dead")
        with pytest.raises(WorkerLost):
            worker.run(lab.task())
        worker.cancel()


def test_the_death_of_the_box_kills_every_datum(lab: Lab, tmp_path: Path) -> None:
    box = textwrap.dedent(
        """
        import json, os, sys, threading
        from pathlib import Path
        sys.path.append(sys.argv[1])
        from pachybox.pps.runners.process import ProcessRunner
        from pachybox.pps.runners.base import *
        command, level, shim, home, work, task = json.loads(sys.argv[2])
        layout = Layout(tree=Path(task["tree"]))
        task = DatumTask("d", layout, Path(task["out"]), Path(task["log"]), env=task["env"])
        worker = ProcessRunner([Path(home)], isolation=level, command=command, shim=shim).start(
            WorkerSpec("edges", Transform(("sh", "-c", task.env["CODE"])), Path(work)))
        worker.run(task)
        """
    )
    code = "setsid sh -c 'trap \"\" TERM; sleep 999' & touch /pfs/out/begun; sleep 1000"
    task = lab.task(env={"CODE": code})
    work = lab.home / "work" / "box"
    work.mkdir(parents=True)
    lab.own(work)
    asked = {"tree": str(inputs(task)), "out": str(task.out), "log": str(task.log)}
    asked = {**asked, "env": dict(task.env)}
    home, runner = str(lab.home), lab.runner
    ours = [runner._command, runner.level, runner.shim, home, str(work), asked]
    root = str(Path(__file__).parents[2])
    with subprocess.Popen([sys.executable, "-I", "-c", box, root, json.dumps(ours)]) as daemon:
        lab.until(lambda: (task.out / "begun").exists() and len(lab.alive()) >= 2, "datum begun")
        daemon.kill()
    lab.until(lambda: not lab.alive(), "everything dead")


def test_a_worker_lives_on_when_the_thread_that_started_it_ends(lab: Lab) -> None:
    started = []
    thread = threading.Thread(target=lambda: started.append(lab.worker(["true"])))
    thread.start()
    thread.join()
    assert started[0].run(lab.task()).ok


# containers have their output read by the same two
@pytest.mark.parametrize("sealed", ["shim", "python"], indirect=True)
def test_a_gibibyte_of_output_harms_nothing(sealed: Lab) -> None:
    ran = sealed.sh("head -c 1073741824 /dev/zero; exit 5")
    assert ran.result.exit_code == 5
    assert ran.task.log.stat().st_size < (16 << 20) + 1000


def test_a_log_that_cannot_be_written_fails_the_datum_with_its_name(lab: Lab) -> None:
    task = lab.task()
    task.log.mkdir()
    result = lab.worker(["true"]).run(task)
    assert not result.ok
    assert str(task.log) in result.reason


def test_without_isolation_pfs_is_a_directory_and_commands_are_rewritten(lab: Lab) -> None:
    if lab.runner.level != "none":
        pytest.skip("about the way without namespaces")
    assert not lab.runner.presents.links
    task = lab.task(env={"data": "/pfs/data/a.txt", "LIST": "a:/pfs/data:/pfs"})
    worker = lab.worker(
        ["sh", "-c", 'cat "$0" "$data" $PFS/data/a.txt; echo "$LIST"; sh', "/pfs/data/a.txt"],
        stdin=("for f in /pfs/*/a.txt; do cp $f /pfs/out/; done; echo x/pfs /pfsx /pfs-x",),
    )
    assert worker.run(task).ok
    assert (task.out / "a.txt").read_bytes() == b"hello\n"
    messages = [json.loads(line)["message"] for line in task.log.read_text().splitlines()]
    pfs = str(inputs(task))
    assert messages == ["hello"] * 3 + [f"a:{pfs}/data:{pfs}", "x/pfs /pfsx /pfs-x"]
    assert not (inputs(task) / "out").exists()


def test_the_isolation_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACHYBOX_ISOLATION", "none")
    runner = ProcessRunner()
    assert runner.level == "none"
    found = {finding.check: finding for finding in runner.probe()}
    assert found["isolation"].level == "warn"
    assert "inputs are copies" in found["isolation"].detail
    assert found["isolation"].remedy == "unset PACHYBOX_ISOLATION"
    monkeypatch.setenv("PACHYBOX_ISOLATION", "strong")
    with pytest.raises(InvalidArgument, match="'strong' is not known") as e:
        ProcessRunner()
    assert "auto, full, mount, none" in e.value.hint


def test_doctor_learns_what_the_machine_allows(lab: Lab) -> None:
    findings = {finding.check: finding for finding in lab.runner.probe()}
    assert all(f.level in ("ok", "warn", "fail") and f.detail for f in findings.values())
    assert all(f.remedy for f in findings.values() if f.level != "ok")
    assert lab.runner.level in findings["isolation"].detail
    assert {"mount namespace", "shim", "limit of memory"} <= findings.keys()


def test_an_installation_whose_worker_does_not_start_says_so(tmp_path: Path) -> None:
    runner = ProcessRunner(command=["/bin/false"])
    (finding,) = runner.probe()
    assert finding.level == "fail"
    assert finding.remedy
    runner = ProcessRunner(command=["/no/such/python"], isolation="none")
    from pachybox.pps.runners.base import Transform, WorkerSpec

    with pytest.raises(Refused, match="no worker for edges"):
        runner.start(WorkerSpec("edges", Transform(("true",)), tmp_path))


def test_a_sandbox_the_machine_refuses_is_never_replaced_by_a_weaker_one(tmp_path: Path) -> None:
    from pachybox.pps.runners.base import Transform, WorkerSpec

    boot = (
        "import sys; sys.path.append(sys.argv[1])\n"
        "from pachybox.worker import kernel, main\n"
        "def refuse(flags): raise PermissionError(1, 'unshare: no')\n"
        "kernel.unshare = refuse; main.main()"
    )
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-I", "-S", "-c", boot, root]
    spec = WorkerSpec("edges", Transform(("true",)), tmp_path)
    with pytest.raises(Refused, match="cannot make the 'full' sandbox") as e:
        ProcessRunner(isolation="full", command=command).start(spec)
    assert "doctor" in e.value.hint
    runner = ProcessRunner(command=command)
    assert runner.level == "none"
    assert not runner.presents.links


def test_a_kernel_before_5_12_makes_inputs_read_only_one_mount_at_a_time(sealed: Lab) -> None:
    lab = sealed
    old = "kernel._SYS_MOUNT_SETATTR = 100000; main.main()"
    *command, boot, root = lab.runner._command
    boot = boot.replace("; main()", "").replace("main.main()", "")
    boot += f"\nfrom pachybox.worker import kernel, main\n{old}"
    lab.runner = ProcessRunner(isolation="full", command=[*command, boot, root])
    task = lab.task({"da ta/b": b"b\n"})
    (inputs(task) / "data" / "a.txt").chmod(0o666)
    ran = lab.sh("cat '/pfs/da ta/b'; echo x > /pfs/data/a.txt; rm -f '/pfs/da ta/b'", task)
    assert ran.lines[:1] == ["b"], ran.result
    assert sum("Read-only file system" in line for line in ran.lines) == 2


def test_where_the_shims_calls_are_forbidden_python_serves(sealed: Lab) -> None:
    if not sealed.runner.shim:
        pytest.skip("about the shim")
    *command, boot, root = sealed.runner._command
    boot = boot.replace("; main()", "").replace("main.main()", "")
    boot += (
        "\nfrom pachybox.worker import kernel, main\nkernel._SYS_OPEN_TREE = 100000; main.main()"
    )
    runner = ProcessRunner(isolation="full", command=[*command, boot, root])
    assert not runner.shim
    assert not runner.presents.image
    found = {finding.check: finding for finding in runner.probe()}
    assert found["shim"].level == "warn"
    assert "open_tree" in found["shim"].detail
    sealed.runner = runner
    assert sealed.sh("cat /pfs/data/a.txt").lines == ["hello"]


def test_the_shim_is_left_out_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACHYBOX_SHIM", "off")
    runner = ProcessRunner()
    assert not runner.shim
    found = {finding.check: finding for finding in runner.probe()}
    assert "PACHYBOX_SHIM=off" in found["shim"].detail
    assert found["shim"].remedy == "unset PACHYBOX_SHIM"
