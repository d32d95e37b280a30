"""The one file: in roots without Python, and its stub by itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox import __version__
from tests.appliance.roots import Root, bare

SPEC = {
    "pipeline": {"name": "copy"},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "transform": {"cmd": ["sh"], "stdin": ["cp $PFS/images/* $PFS/out/"]},
}


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
    os.link(binary, folder / "pachybox")


def up(root: Root) -> None:
    root.says("pachybox", "up", "--detach", "--port", "0", "--grpc-port", "0")


def status(root: Root) -> dict[str, object]:
    found = json.loads(root.says("pachybox", "status", "--raw"))
    assert isinstance(found, dict)
    return found


def test_there_is_no_python_in_the_root(root: Root) -> None:
    assert root.run("python3", "-V").returncode == 127
    assert root.says("pachybox", "version", "--client-only") == f"{__version__}\n"


def test_a_pipeline_runs_and_survives_kill_9_without_a_network(root: Root) -> None:
    up(root)
    root.says("pachybox", "create", "repo", "images")
    root.says("pachybox", "put", "file", "images@master:/a", "-f", "-", stdin="one")
    root.says("pachybox", "create", "pipeline", "-f", "-", stdin=json.dumps(SPEC))
    root.says("pachybox", "wait", "commit", "copy@master")
    assert root.says("pachybox", "get", "file", "copy@master:/a") == "one"

    assert root.run("kill", "-9", str(status(root)["pid"])).returncode == 0
    up(root)
    assert root.says("pachybox", "get", "file", "copy@master:/a") == "one"
    root.says("pachybox", "put", "file", "images@master:/b", "-f", "-", stdin="two")
    root.says("pachybox", "wait", "commit", "copy@master")
    assert root.says("pachybox", "get", "file", "copy@master:/b") == "two"
    root.says("pachybox", "down")
