"""The service on a machine that systemd runs: from the one file to a box that comes back.

One test, so that processes of pytest-xdist do not boot a machine each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.appliance.machine import PROGRAM, Machine
from tests.appliance.work import first_commit
from tests.boxes import eventually

SPEC = {
    "pipeline": {"name": "look"},
    "transform": {
        "cmd": ["sh"],
        "stdin": [
            "cat /pfs/in/a > /pfs/out/content",
            "id -un > /pfs/out/user",
            "ls -d /proc/[0-9]* | wc -l > /pfs/out/processes",
            "ls -A /var/lib/pachybox | wc -l > /pfs/out/store",
            "for d in /etc /usr /usr/local /opt /var/cache/pachybox; do touch $d/mine; done"
            " 2> /pfs/out/refused || true",
        ],
    },
    "input": {"pfs": {"repo": "in", "glob": "/"}},
}


@pytest.fixture(scope="module")
def machine(
    tmp_path_factory: pytest.TempPathFactory, binary: Path, unpacked: Path
) -> Iterator[Machine]:
    """A machine where the box is installed and has run one pipeline."""
    made = Machine(tmp_path_factory.mktemp("machine"), binary, unpacked).boot()
    try:
        made.run(PROGRAM, "install")
        first_commit(made.run, SPEC)
        yield made
    finally:
        made.end()


def serves(machine: Machine) -> bool:
    """Whether the box answers with what was put into it."""
    done = machine.call("pachybox", "get", "file", "in@master:/a")
    return done.returncode == 0 and done.stdout == "first"


def output(machine: Machine, name: str) -> str:
    return machine.run("pachybox", "get", "file", f"look@master:/{name}").strip()


def it_runs_as_a_user_of_its_own_and_starts_with_the_machine(machine: Machine) -> None:
    state, user, status, kind = machine.unit(
        "pachybox", "ActiveState", "User", "StatusText", "UnitFileState"
    )
    assert (state, user, kind) == ("active", "pachybox", "enabled")
    assert "http://127.0.0.1:30600" in status
    home = machine.path("/var/lib/pachybox").stat()
    assert (home.st_mode & 0o777, home.st_uid != 0) == (0o700, True)
    assert machine.path("/var/lib/pachybox/box.toml").stat().st_mode & 0o777 == 0o600


def a_pipeline_runs_fenced_off_and_can_write_nowhere(machine: Machine) -> None:
    assert output(machine, "content") == "first"
    assert output(machine, "user") == "pachybox"
    assert int(output(machine, "processes")) <= 5  # its own, in a /proc of its own
    assert output(machine, "store") == "0"
    assert output(machine, "refused").count("Read-only file system") == 5


def install_again_changes_nothing_and_leaves_the_box_running(machine: Machine) -> None:
    before = machine.unit("pachybox", "MainPID")
    steps = machine.run(PROGRAM, "install", "--raw").splitlines()
    assert {json.loads(step)["state"] for step in steps} == {"kept"}
    assert machine.unit("pachybox", "MainPID") == before


def killed_it_comes_back_with_its_data(machine: Machine) -> None:
    (before,) = machine.unit("pachybox", "NRestarts")
    machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "pachybox")
    eventually(lambda: machine.unit("pachybox", "NRestarts") != [before], "it is started again")
    eventually(lambda: serves(machine), "it serves again")


def one_that_hangs_is_killed_by_the_watchdog_and_told_of(machine: Machine) -> None:
    drop_in = machine.path("/etc/systemd/system/pachybox.service.d/soon.conf")
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nWatchdogSec=2\nRestartSec=0\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "pachybox")
    (pid,) = machine.unit("pachybox", "MainPID")
    machine.run("kill", "-STOP", pid)
    eventually(lambda: machine.unit("pachybox", "MainPID")[0] not in ("0", pid), "another runs")
    eventually(lambda: serves(machine), "it serves again")
    told = machine.run("journalctl", "-u", "pachybox", "-o", "cat", f"_PID={pid}")
    assert "Fatal Python error: Aborted" in told
    assert "in wait_stop" in told
    drop_in.unlink()
    machine.run("systemctl", "daemon-reload")


def one_that_was_told_to_stop_stays_down_until_it_is_installed_again(
    machine: Machine,
) -> None:
    machine.run("pachybox", "down")
    eventually(lambda: machine.unit("pachybox", "ActiveState") == ["inactive"], "it is down")
    assert machine.unit("pachybox", "Result") == ["success"]
    refused = machine.call("pachybox", "up")
    assert refused.returncode == 1
    assert "systemctl start pachybox" in refused.stderr

    settings = machine.path("/var/lib/pachybox/box.toml")
    good = settings.read_text()
    settings.write_text(good + "\nhttp_prt = 1\n")
    done = machine.call(PROGRAM, "install")
    settings.write_text(good)
    assert done.returncode == 1
    assert "did not start: " in done.stderr
    assert "did you mean 'http_port'" in done.stderr
    machine.run(PROGRAM, "install")
    assert serves(machine)


def a_second_box_as_root_in_an_odd_place(machine: Machine) -> None:
    home = '/home/a b/100% "it\'s" $HOME'
    machine.run(
        PROGRAM, "install", "--name", "second", "--run-as", "root", "--home", home,
        "--port", "0", "--grpc-port", "0", "--memory", "2GB",
    )  # fmt: skip
    status = json.loads(machine.run("env", f"PACHYBOX_HOME={home}", "pachybox", "status", "--raw"))
    assert status["home"] == home
    assert machine.unit("second", "MemoryMax", "User") == ["2000000000", "root"]
    doctor = machine.run("env", f"PACHYBOX_HOME={home}", "pachybox", "doctor", check=False)
    assert "full: mount and PID namespace for each datum" in doctor
    machine.run("pachybox", "uninstall", "--name", "second")
    assert machine.path(home).exists()
    assert machine.path("/usr/local/bin/pachybox").exists(), "the first box starts it"
    assert serves(machine)


def one_in_a_home_sees_only_its_own_directory_there(machine: Machine) -> None:
    home = "/home/third/box"
    machine.path("/home/third").mkdir()
    machine.path("/home/third/private").write_text("x")
    machine.run(
        PROGRAM, "install", "--name", "third", "--home", home, "--writable", "/srv",
        "--port", "0", "--grpc-port", "0",
    )  # fmt: skip
    (pid,) = machine.unit("third", "MainPID")
    assert machine.run("ls", f"/proc/{pid}/root/home/third").split() == ["box"]
    machine.run("pachybox", "uninstall", "--name", "third", "--purge", "-y")
    assert not machine.path(home).exists()
    assert machine.path("/home/third/private").exists()
    assert "third" not in machine.path("/etc/passwd").read_text()


def what_takes_more_memory_than_the_service_may_dies_alone_and_says_so(machine: Machine) -> None:
    (pid,) = machine.unit("pachybox", "MainPID")
    machine.run(
        "systemctl", "set-property", "--runtime", "pachybox", "MemoryHigh=infinity",
        "MemoryMax=400M",
    )  # fmt: skip
    asked = machine.run("pachybox", "doctor")
    assert "memory: 400MiB, by /sys/fs/cgroup/" in asked
    eater = {**SPEC, "pipeline": {"name": "eat"}, "datum_tries": "1"}
    eater["transform"] = {"cmd": ["python3", "-c", "x = b'x' * (1 << 30)"]}
    machine.run("pachybox", "create", "pipeline", "-f", "-", stdin=json.dumps(eater))
    done = machine.call("pachybox", "wait", "commit", "eat@master")
    assert "out of memory: the kernel killed a process" in done.stdout + done.stderr
    assert "may use 419430400 bytes" in done.stdout + done.stderr
    assert machine.unit("pachybox", "MainPID") == [pid]
    assert serves(machine)


def uninstall_keeps_the_data_and_purge_takes_all(machine: Machine) -> None:
    machine.run("pachybox", "uninstall")
    assert machine.call("systemctl", "cat", "pachybox").returncode == 1
    assert not machine.path("/usr/local/bin/pachybox").exists()
    machine.run(PROGRAM, "install")
    assert serves(machine)
    asked = machine.call("pachybox", "uninstall", "--purge", stdin="no\n")
    assert asked.returncode == 1
    assert serves(machine)
    machine.run("pachybox", "uninstall", "--purge", stdin="yes\n")
    assert not machine.path("/var/lib/pachybox").exists()
    left = [*machine.path("/usr/local").rglob("*pachybox*")]
    left += machine.path("/etc/systemd/system").rglob("pachybox*")
    assert left == []
    assert "pachybox:" not in machine.path("/etc/passwd").read_text()


@pytest.mark.timeout(900)
def test_the_service(machine: Machine) -> None:
    it_runs_as_a_user_of_its_own_and_starts_with_the_machine(machine)
    a_pipeline_runs_fenced_off_and_can_write_nowhere(machine)
    install_again_changes_nothing_and_leaves_the_box_running(machine)
    killed_it_comes_back_with_its_data(machine)
    one_that_hangs_is_killed_by_the_watchdog_and_told_of(machine)
    one_that_was_told_to_stop_stays_down_until_it_is_installed_again(machine)
    a_second_box_as_root_in_an_odd_place(machine)
    one_in_a_home_sees_only_its_own_directory_there(machine)
    what_takes_more_memory_than_the_service_may_dies_alone_and_says_so(machine)
    uninstall_keeps_the_data_and_purge_takes_all(machine)
