"""The one file in roots without Python and without a network."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from appliance.licences import parts
from pachybox import __version__
from tests.appliance.conftest import put_cache
from tests.appliance.roots import Root, bare, fresh, ubuntu
from tests.boxes import eventually

System = Callable[[Path], AbstractContextManager[Root]]
SPEC = {
    "pipeline": {"name": "copy"},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "transform": {"cmd": ["sh"], "stdin": ["cp $PFS/images/* $PFS/out/"]},
}


CARRIED = {"musl", "zig", "OpenSSL", "libffi", "zlib", "SQLite", "expat"}


@pytest.fixture(scope="module")
def root(binary: Path, unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """A bare root with the one file in it, unpacked already."""
    with bare(tmp_path_factory.mktemp("bare") / "root") as made:
        copy(binary, made, "usr/local/bin")
        put_cache(unpacked, made.path)
        yield made


def copy(binary: Path, root: Root, folder: str) -> None:
    """Put the file in a folder, as a user would copy it."""
    target = root.path / folder
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(binary, target / "pachybox")


def up(root: Root) -> None:
    root.says("pachybox", "up", "--detach", "--port", "0", "--grpc-port", "0")


def status(root: Root) -> dict[str, object]:
    found = json.loads(root.says("pachybox", "status", "--raw"))
    assert isinstance(found, dict)
    return found


def test_there_is_no_python_in_the_root(root: Root) -> None:
    assert root.run("python3", "-V").returncode == 127
    assert root.says("pachybox", "version", "--client-only") == f"{__version__}\n"


class Service:
    """What ``pachybox install`` left in a root without systemd, started as its unit says."""

    def __init__(self, root: Root, *options: str) -> None:
        self.root = root
        root.says("/media/pachybox", "install", "--no-start", *options)
        text = (root.path / "etc/systemd/system/pachybox.service").read_text()
        self.facts = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        self.user = self.facts["User"]

    def start(self) -> None:
        variable, _, home = self.facts["Environment"].partition("=")
        who = f"--reuid={self.user}", f"--regid={self.user}", "--init-groups", "--no-new-privs"
        # Busybox has no such options, and root needs none.
        change = ("setpriv", *who) if self.user != "root" else ()
        command = self.facts["ExecStart"].split()
        self.root.says(*change, *command, "--detach", env={variable: home, "HOME": home})

    def kill(self) -> None:
        """Kill every process of the root at once, but its first."""
        proc = self.root.path / "proc" / str(status(self.root)["pid"])
        assert self.root.run("sh", "-c", "kill -9 -1; :").returncode == 0
        # Nobody waits for it there, so that it may stay as a zombie.
        eventually(
            lambda: not proc.exists() or "Z (zombie)" in (proc / "status").read_text(), "it is dead"
        )


@pytest.mark.parametrize("system", [fresh, ubuntu])
def test_from_the_one_file_to_a_restored_backup(
    binary: Path, unpacked: Path, tmp_path: Path, system: System
) -> None:
    """Installed, everything killed, started again, a pipeline run, backed up; on a machine where
    all of that is gone, installed anew, and restored."""
    with system(tmp_path) as root:
        assert set(interfaces(root)) == {"lo"}
        copy(binary, root, "media")
        as_user = () if root.run("useradd", "--help").returncode == 0 else ("--run-as", "root")
        service = Service(root, *as_user)
        (root.path / "media/pachybox").unlink()
        service.start()
        root.says("pachybox", "create", "repo", "images")
        root.says("pachybox", "put", "file", "images@master:/a", "-f", "-", stdin="one")

        service.kill()
        assert root.run("pachybox", "list", "repo").returncode == 1
        service.start()
        assert root.says("pachybox", "get", "file", "images@master:/a") == "one"
        root.says("pachybox", "create", "pipeline", "-f", "-", stdin=json.dumps(SPEC))
        root.says("pachybox", "wait", "commit", "copy@master")
        assert root.says("pachybox", "get", "file", "copy@master:/a") == "one"

        root.says("mkdir", "-p", "/mnt/backup")
        root.says("chown", service.user, "/mnt/backup")
        made = root.says("pachybox", "backup", "create", "/mnt/backup").strip()
        root.says("pachybox", "put", "file", "images@master:/late", "-f", "-", stdin="two")
        service.kill()
        shutil.copy(binary, root.path / "media/pachybox")
        root.says("/media/pachybox", "uninstall", "--purge", "--yes")
        assert not (root.path / "var/lib/pachybox").exists()

        put_cache(unpacked, root.path)  # has been seen to unpack
        service = Service(root, *as_user)
        service.start()
        root.says("pachybox", "backup", "restore", "--from", "/mnt/backup", made)
        assert root.says("pachybox", "get", "file", "copy@master:/a") == "one"
        assert root.run("pachybox", "get", "file", "images@master:/late").returncode == 1
        root.says("pachybox", "put", "file", "images@master:/b", "-f", "-", stdin="new")
        root.says("pachybox", "wait", "commit", "copy@master")
        assert root.says("pachybox", "get", "file", "copy@master:/b") == "new"
        root.says("pachybox", "down")


def interfaces(root: Root) -> list[str]:
    """The network's, loopback included."""
    lines = root.says("cat", "/proc/net/dev").splitlines()[2:]
    return [line.partition(":")[0].strip() for line in lines]


def test_the_box_lives_without_a_network(root: Root) -> None:
    """A restart in the same process, sources, the terminal."""
    up(root)
    before = status(root)
    url = f"{before['address']}/api/admin_v2.API/RestartPachyderm"
    root.says("wget", "-q", "-O", "-", "--post-data", "{}", url)
    eventually(lambda: restarted(root, before), "the box restarts by itself")

    (root.path / "drops").mkdir()
    root.says("pachybox", "create", "repo", "drops")
    root.says("pachybox", "watch", "/drops", "drops@master", "--settle", "0.1s", "--batch", "0.1s")
    (root.path / "drops" / "new").write_text("dropped")
    look = ("pachybox", "get", "file", "drops@master:/new")
    eventually(lambda: root.run(*look).stdout == "dropped", "the watched file is committed")

    assert b"drops" in terminal(root)
    root.says("pachybox", "down")


def restarted(root: Root, before: dict[str, object]) -> bool:
    done = root.run("pachybox", "status", "--raw")
    if done.returncode:
        return False
    now = json.loads(done.stdout)
    assert now["pid"] == before["pid"]
    return bool(now["started"] != before["started"])


def terminal(root: Root) -> bytes:
    """Open the terminal at the repos, quit when they are shown: all that it drew."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    command = root.command("pachybox", "tui", "repos")
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    drawn = b""
    until = time.monotonic() + 60
    while b"drops" not in drawn and time.monotonic() < until:
        if select.select([ours], [], [], 1)[0]:
            drawn += os.read(ours, 1 << 16)
    process.kill()
    process.wait()
    os.close(ours)
    return drawn


def test_all_that_is_inside_has_a_licence(root: Root) -> None:
    found = [json.loads(line) for line in root.says("pachybox", "licenses", "--raw").splitlines()]
    inside = {one["name"]: one for one in found}
    assert {"CPython", "musl", "zig", "OpenSSL", "duckdb", "numpy", "textual"} <= inside.keys()
    here = {part.name: part for part in parts()}
    for name, one in inside.items():
        assert one["license"], name
        assert name in {*here, *CARRIED}, name
    for name in here.keys() - {"CPython"}:
        assert inside[name]["version"] == here[name].version
    full = root.says("pachybox", "licenses", "musl", "duckdb", "--full")
    assert full.count("Permission is hereby granted, free of charge") == 2
