"""What a box tells its service manager, heard at a real socket; and a box as the first process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.client import Client
from pachybox.errors import Unreachable
from pachybox.worker import descendants
from tests.boxes import RealBox, eventually


class Ear:
    """A service manager that only listens."""

    def __init__(self, path: Path) -> None:
        self.heard: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def listen(self) -> list[dict[str, str]]:
        """Every message so far."""
        while True:
            try:
                text = self._socket.recv(65536).decode()
            except BlockingIOError:
                return self.heard
            self.heard.append(dict(line.split("=", 1) for line in text.split("\n")))

    def count(self, key: str) -> int:
        return sum(key in message for message in self.listen())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    made = Ear(tmp_path / "notify")
    yield made
    made.close()


def told(box: Path, ear_at: Path, watchdog_us: int) -> RealBox:
    env = {"NOTIFY_SOCKET": str(ear_at), "WATCHDOG_USEC": str(watchdog_us)}
    return RealBox(box, env)


def test_it_is_ready_lives_and_stops(tmp_path: Path, ear: Ear) -> None:
    box = told(tmp_path / "home", tmp_path / "notify", 400_000).start()
    try:
        eventually(lambda: ear.count("READY") == 1, "it is ready")
        (ready,) = [message for message in ear.heard if "READY" in message]
        assert ready["MAINPID"] == str(box.process.pid if box.process else 0)
        assert box.client.status().address in ready["STATUS"]
        eventually(lambda: ear.count("WATCHDOG") >= 3, "it says that it lives")
    finally:
        code = box.stop()
    assert code == 0
    assert "STOPPING" in ear.listen()[-1]


def test_who_does_not_answer_is_not_said_to_live(tmp_path: Path, ear: Ear) -> None:
    box = told(tmp_path / "home", tmp_path / "notify", 400_000).start()
    try:
        eventually(lambda: ear.count("WATCHDOG") >= 1, "it says that it lives")
        box.socket.unlink()  # its door: nobody gets in any more
        eventually(
            lambda: "does not answer" in ear.listen()[-1].get("STATUS", ""), "it is not well"
        )
        assert "WATCHDOG" not in ear.heard[-1]
    finally:
        box.stop()


def test_a_box_that_begins_anew_is_one_service(tmp_path: Path, ear: Ear) -> None:
    env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
    home = tmp_path / "home"
    home.mkdir()
    (home / "box.toml").write_text("http_port = 0\ngrpc_port = 0\n")
    command = [sys.executable, "-m", "pachybox.cli", "up", "--home", str(home)]
    box = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: ear.count("READY") == 1, "it is ready")
        with Client(str(home / "run/box.sock")) as client:
            client.call("admin_v2.API", "RestartPachyderm", reason="to see it")
        eventually(lambda: ear.count("READY") == 2, "it is ready again")
    finally:
        box.terminate()
        assert box.wait(30) == 0
    kinds = [next(iter(message)) for message in ear.listen() if "WATCHDOG" not in message]
    assert kinds == ["READY", "RELOADING", "READY", "STOPPING"]
    pids = {message["MAINPID"] for message in ear.heard if "READY" in message}
    assert pids == {str(box.pid)}


def test_as_the_first_process_it_leaves_no_zombies_and_ends_cleanly(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "box.toml").write_text("http_port = 0\ngrpc_port = 0\n")
    command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    trial = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if trial.returncode:
        pytest.skip(f"no PID namespace can be made here: {trial.stderr.strip()}")
    up = [sys.executable, "-m", "pachybox.cli", "up", "--home", str(home)]
    with open(tmp_path / "said", "w") as said:
        outside = subprocess.Popen([*command, *up], stderr=said)
    client = Client(str(home / "run/box.sock"))
    try:

        def serves() -> bool:
            try:
                return client.healthy()
            except Unreachable:
                return False

        eventually(serves, "the box answers")
        client.create_repo("kept")
        (first,) = descendants.children(outside.pid)
        (box,) = descendants.children(first)
        orphans = "for i in 1 2 3 4 5; do (sleep 0.1 &) ; done"
        subprocess.run(["nsenter", f"--target={first}", "--pid", "sh", "-c", orphans], check=True)
        eventually(lambda: _below(first) == [box], "all that was orphaned is waited for")
        os.kill(first, signal.SIGTERM)
        began = time.monotonic()
        assert outside.wait(30) == 0
        assert time.monotonic() - began < 10
    finally:
        outside.kill()
        client.close()
    assert "part=daemon ready" in (tmp_path / "said").read_text(), "its log is the container's"
    again = RealBox(home).start()
    assert [repo.name for repo in again.client.list_repo()] == ["kept"]
    again.stop()


def _below(pid: int) -> list[int]:
    """The children of a process, the dead ones that nobody waited for too."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # gone meanwhile
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found
