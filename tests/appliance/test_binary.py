"""The one file: in roots without Python, and its stub by itself."""

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
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.licences import parts
from pachybox import __version__
from tests.appliance.roots import Root, bare, debian
from tests.boxes import eventually

SPEC = {
    "pipeline": {"name": "copy"},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "transform": {"cmd": ["sh"], "stdin": ["cp $PFS/images/* $PFS/out/"]},
}


CARRIED = {"musl", "zig", "OpenSSL", "libffi", "zlib", "SQLite", "expat"}


@pytest.fixture(scope="module")
def root(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Root]:
    """A bare root with the one file in it."""
    with bare(tmp_path_factory.mktemp("bare") / "root") as made:
        install(binary, made)
        yield made


def install(binary: Path, root: Root) -> None:
    """Put the file in place, as a user would copy it."""
    folder = root.path / "usr" / "local" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(binary, folder / "pachybox")


def up(root: Root) -> None:
    root.says("pachybox", "up", "--detach", "--port", "0", "--grpc-port", "0")


def status(root: Root) -> dict[str, object]:
    found = json.loads(root.says("pachybox", "status", "--raw"))
    assert isinstance(found, dict)
    return found


def test_there_is_no_python_in_the_root(root: Root) -> None:
    assert root.run("python3", "-V").returncode == 127
    assert root.says("pachybox", "version", "--client-only") == f"{__version__}\n"


def pipeline_runs(root: Root) -> None:
    """Make a pipeline in a running, empty box, and see its output."""
    root.says("pachybox", "create", "repo", "images")
    root.says("pachybox", "put", "file", "images@master:/a", "-f", "-", stdin="one")
    root.says("pachybox", "create", "pipeline", "-f", "-", stdin=json.dumps(SPEC))
    root.says("pachybox", "wait", "commit", "copy@master")
    assert root.says("pachybox", "get", "file", "copy@master:/a") == "one"


def test_the_box_lives_without_a_network(root: Root) -> None:
    """A pipeline, kill -9, a restart in the same process, sources, the terminal, a restore."""
    up(root)
    pipeline_runs(root)

    assert root.run("kill", "-9", str(status(root)["pid"])).returncode == 0
    up(root)
    assert root.says("pachybox", "get", "file", "copy@master:/a") == "one"

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

    root.says("pachybox", "extract", "/box.tar")
    root.says("pachybox", "down")
    other = {"PACHYBOX_HOME": "/other"}
    root.says("pachybox", "up", "--detach", "--port", "0", "--grpc-port", "0", env=other)
    root.says("pachybox", "restore", "/box.tar", env=other)
    assert root.says("pachybox", "get", "file", "copy@master:/a", env=other) == "one"
    root.says("pachybox", "down", env=other)


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


def test_debian_12(binary: Path, root: Root, tmp_path: Path) -> None:
    """A root by debootstrap, with what the other root unpacked: nothing is unpacked again."""
    with debian(tmp_path / "root") as entered:
        install(binary, entered)
        unpacked = entered.path / "var/cache/pachybox"
        shutil.copytree(root.path / "var/cache/pachybox", unpacked)
        before = [path.stat().st_ino for path in unpacked.iterdir()]
        up(entered)
        assert [path.stat().st_ino for path in unpacked.iterdir()] == before
        pipeline_runs(entered)
        entered.says("pachybox", "down")


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
