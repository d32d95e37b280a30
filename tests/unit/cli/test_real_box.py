"""The command line and the client against a real box."""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.client import AsyncClient, Client
from pachybox.errors import NotFound

PROGRAM = [sys.executable, "-m", "pachybox.cli"]
SPEC = """
pipeline: {name: upper}
input: {pfs: {repo: texts, glob: "/*"}}
transform:
  cmd: [sh]
  stdin:
    - for f in /pfs/texts/*; do grep -q bad "$f" && exit 3
    - echo working; tr a-z A-Z < "$f" > /pfs/out/$(basename "$f"); done
datum_tries: 1
"""


class Box:
    """A running box and a shell user."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "box"
        self.home.mkdir()
        (self.home / "box.toml").write_text('http_port = 0\ngrpc_port = 0\nrunner = "process"\n')
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PACHYBOX_")}
        self.env = {
            **clean,
            "PACHYBOX_HOME": str(self.home),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }
        self.socket = str(self.home / "run" / "box.sock")

    def run(self, *argv: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *argv],
            env={**self.env, **env},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def ok(self, *argv: str, stdin: str = "", **env: str) -> str:
        done = self.run(*argv, stdin=stdin, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def real() -> Iterator[Box]:
    folder = Path(tempfile.mkdtemp(prefix="cli-box-"))
    box = Box(folder)
    try:
        said = box.ok("up", "--detach")
        assert said.startswith("pachybox is up: http://127.0.0.1:")
        yield box
    finally:
        box.run("down")
        shutil.rmtree(folder)


def same(left: Path, right: Path) -> bool:
    found = filecmp.dircmp(left, right)
    return not (found.left_only or found.right_only or found.diff_files) and all(
        same(left / name, right / name) for name in found.common_dirs
    )


def test_a_second_box_in_the_same_directory_is_refused_with_the_reason(real: Box) -> None:
    done = real.run("up", "--detach")
    assert done.returncode == 1
    assert "the box did not start" in done.stderr
    assert str(real.home) in done.stderr


def test_a_taken_port_is_named(real: Box, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = str(tmp_path / "other")
        for ports in (("--port", port, "--grpc-port", "0"), ("--port", "0", "--grpc-port", port)):
            done = real.run("up", "-d", "--home", other, *ports)
            assert done.returncode == 1
            assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_trees_go_up_and_come_down_the_same_over_both_transports(real: Box, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for i in range(300):
        file = source / f"d{i % 7}" / f"f{i} (x).bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(i * 17))
    (source / "big").write_bytes(os.urandom(5_000_000))
    address = json.loads(real.ok("status", "--raw"))["address"]
    real.ok("create", "repo", "trees")
    for name, where in (("unix", real.socket), ("tcp", address)):
        target = f"trees@{name}:/"
        real.ok("put", "file", "-r", target, "-f", str(source), PACHYBOX_ADDRESS=where)
        for other in (real.socket, address):
            out = tmp_path / f"{name}-{other == address}"
            real.ok("get", "file", "-r", target, "-o", str(out), PACHYBOX_ADDRESS=other)
            assert same(source, out)
    commits = real.ok("list", "commit", "trees", "--raw").splitlines()
    assert len(commits) == 2
    assert real.ok("diff", "file", "trees@unix:/", "trees@tcp:/", "--name-only").count("\n") == 1


def test_a_pipeline_runs_its_logs_are_read_and_a_failure_is_an_exit_status(real: Box) -> None:
    real.ok("create", "repo", "texts")
    real.ok("put", "file", "texts@master:/one", stdin="one\n")
    real.ok("create", "pipeline", stdin=SPEC)
    assert "upper" in real.ok("wait", "commit", "upper@master")
    assert real.ok("get", "file", "upper@master:/one") == "ONE\n"
    assert real.ok("logs", "-p", "upper") == "working\n"
    real.ok("put", "file", "texts@master:/two", stdin="bad\n")
    done = real.run("wait", "commit", "upper@master")
    assert done.returncode == 1
    assert "finished with an error" in done.stderr
    job = json.loads(real.ok("list", "job", "-p", "upper", "--raw").splitlines()[0])
    assert job["state"] == "JOB_FAILURE"
    listed = real.ok("list", "datum", f"upper@{job['job']['id']}")
    assert sorted(line.split()[1] for line in listed.splitlines()[1:]) == ["failed", "skipped"]
    assert "last job: failure" in real.ok("check", "status")
    real.ok("delete", "file", "texts@master:/two")
    real.ok("wait", "commit", "upper@master")
    assert "1/1" in real.ok("list", "commit", "texts@master", "-n", "1")
    assert "│ upper │" in real.ok("draw", "pipeline")
    spec = real.ok("extract", "pipeline", "upper")
    real.ok("update", "pipeline", stdin=spec)
    assert json.loads(real.ok("inspect", "pipeline", "upper", "--raw"))["version"] == "2"


def test_a_transaction_is_queued_then_done_at_once(real: Box) -> None:
    real.ok("start", "transaction")
    real.ok("create", "repo", "queued")
    assert real.run("inspect", "repo", "queued").returncode == 1
    assert "1" in real.ok("list", "transaction").splitlines()[1].split()
    real.ok("finish", "transaction")
    real.ok("inspect", "repo", "queued")


def test_globs_history_and_splits(real: Box) -> None:
    real.ok("create", "repo", "g")
    for text in ("1\n", "2\n"):
        real.ok("put", "file", "g@m:/a (1)", stdin=text)
    real.ok("put", "file", "g@m:/a1", stdin="x")
    assert real.ok("get", "file", "g@m:/a (1)") == "2\n"
    assert real.ok("get", "file", "g@m:/a*") == "2\nx"
    assert real.ok("list", "file", "g@m:/a (1)", "--history", "all").count("\n") == 3
    real.ok("put", "file", "g@m:/s", "--split", "line", stdin="a\nb\n")
    assert real.ok("list", "file", "g@m:/s").count("\n") == 3
    assert "-1\n+2\n" in real.ok("diff", "file", "g@m^^:/a (1)", "g@m^^^:/a (1)")


def test_events_are_followed_across_a_restart_of_the_box(real: Box) -> None:
    with Client(real.socket, patience_s=30) as client:
        last = max(event.seq for event in client.events())
        with client.events(after=last, follow=True, kinds=["repo."]) as events:
            real.ok("create", "repo", "before")
            first = next(events)
            real.ok("down")
            real.ok("up", "--detach")
            real.ok("create", "repo", "after")
            second = next(events)
    assert first.data["repo"] == "before"
    assert second.data["repo"] == "after"


async def test_the_asyncio_client_works_on_a_real_box(real: Box) -> None:
    async with AsyncClient(real.socket) as client:
        await client.create_repo("async")
        await client.put_file("async@m:/a", b"hello")
        assert await client.get_file("async@m:/a") == b"hello"
        assert "async" in [repo.name async for repo in client.list_repo()]
        with pytest.raises(NotFound):
            await client.get_file("async@m:/b")


def test_checks_find_nothing_wrong(real: Box) -> None:
    assert "0 errors" in real.ok("fsck")
    assert real.ok("garbage-collect").startswith("freed ")
    assert real.run("doctor").stdout.startswith("The machine\n  ok    PB101 python")


def test_down_returns_once_the_directory_is_free_and_is_repeatable(real: Box) -> None:
    real.ok("down")
    assert not Path(real.socket).exists()
    done = real.run("down")
    assert done.returncode == 0
    assert "no box answers" in done.stderr
    real.ok("up", "--detach")
