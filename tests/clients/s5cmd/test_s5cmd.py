"""s5cmd: many files at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pachybox.client import Client
from tests.clients.inner_shell import Shell, tree

FilesOf = Callable[[str], dict[str, bytes]]


@pytest.fixture
def s5cmd(s3: str, tmp_path: Path) -> Shell:
    return Shell(tmp_path, "s5cmd", "--endpoint-url", s3, "--retry-count", "0")


def test_copies_of_folders(
    s5cmd: Shell, bucket: str, folder: Path, tmp_path: Path, files_of: FilesOf
) -> None:
    s5cmd("cp", f"{folder}/", f"s3://{bucket}/data/")
    assert files_of(f"{bucket}@master:/data") == tree(folder)
    s5cmd("cp", f"s3://{bucket}/data/*", str(tmp_path / "back") + "/")
    assert tree(tmp_path / "back") == tree(folder)
    s5cmd("cp", f"s3://{bucket}/data/a/*", f"s3://{bucket}/copy/")
    assert files_of(f"{bucket}@master:/copy") == tree(folder / "a")


def test_parts(s5cmd: Shell, s3_box: Client, bucket: str, folder: Path, tmp_path: Path) -> None:
    big, here = folder / "big.bin", f"s3://{bucket}/big"
    s5cmd("cp", "--part-size", "5", "--concurrency", "3", str(big), here)
    assert s3_box.get_file(f"{bucket}@master:/big") == big.read_bytes()
    s5cmd("cp", "--part-size", "2", "--concurrency", "4", here, str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == big.read_bytes()
    assert s5cmd.bytes("cat", here) == big.read_bytes()


def test_sync(s5cmd: Shell, s3_box: Client, bucket: str, folder: Path, files_of: FilesOf) -> None:
    here = f"s3://{bucket}/data/"
    s5cmd("sync", f"{folder}/", here)
    commits = len(list(s3_box.list_commit(f"{bucket}@master")))
    assert s5cmd("sync", f"{folder}/", here) == ""
    assert len(list(s3_box.list_commit(f"{bucket}@master"))) == commits
    (folder / "top.txt").write_bytes(b"changed, and longer")
    (folder / "empty").unlink()
    s5cmd("sync", "--delete", f"{folder}/", here)
    assert files_of(f"{bucket}@master:/data") == tree(folder)


def test_listings(s5cmd: Shell, s3_box: Client, bucket: str, folder: Path) -> None:
    with s3_box.put(f"{bucket}@master") as put:
        put.directory("/", str(folder))
    listed = [json.loads(line) for line in s5cmd("--json", "ls", f"s3://{bucket}/*").splitlines()]
    sizes = {entry["key"].removeprefix(f"s3://{bucket}/"): entry.get("size", 0) for entry in listed}
    assert sizes == {name: len(body) for name, body in tree(folder).items()}
    assert {line.split()[-1] for line in s5cmd("ls", f"s3://{bucket}").splitlines()} == {
        "a/",
        "big.bin",
        "empty",
        "top.txt",
    }
    whole = sum(map(len, tree(folder).values()))
    assert s5cmd("du", f"s3://{bucket}/*").startswith(f"{whole} bytes in 6 objects")
    assert json.loads(s5cmd("--json", "head", f"s3://{bucket}/a/one"))["size"] == 1000


def test_moves_and_removals(
    s5cmd: Shell, s3_box: Client, bucket: str, file: Path, files_of: FilesOf
) -> None:
    s5cmd("mv", str(file), f"s3://{bucket}/a")
    assert not file.exists()
    s5cmd("mv", f"s3://{bucket}/a", f"s3://{bucket}/b/c")
    assert [*files_of(f"{bucket}@master:/")] == ["b/c"]
    s5cmd("pipe", f"s3://{bucket}/piped", stdin=b"from a pipe")
    assert s3_box.get_file(f"{bucket}@master:/piped") == b"from a pipe"
    s5cmd("rm", f"s3://{bucket}/*")
    assert files_of(f"{bucket}@master:/") == {}


def test_many_commands_at_once(
    s5cmd: Shell, bucket: str, tmp_path: Path, files_of: FilesOf
) -> None:
    names = [f"{n:03}" for n in range(200)]
    for name in names:
        (tmp_path / name).write_text(name)
    lines = "\n".join(f"cp {tmp_path}/{name} s3://{bucket}/many/{name}" for name in names)
    s5cmd("--numworkers", "32", "run", stdin=lines.encode())
    assert files_of(f"{bucket}@master:/many") == {name: name.encode() for name in names}


def test_versions_and_buckets(s5cmd: Shell, s3_box: Client, unique: Callable[[str], str]) -> None:
    name = unique("made")
    s5cmd("mb", f"s3://{name}")
    for number in range(2):
        s5cmd("pipe", f"s3://{name}/k", stdin=str(number).encode())
    listed = s5cmd("ls", "--all-versions", f"s3://{name}/k").splitlines()
    assert len(listed) == 2
    old = [c.id for c in s3_box.list_commit(f"{name}@master")][-1]
    assert s5cmd.bytes("cat", "--version-id", old, f"s3://{name}/k") == b"0"
    assert f"master.{name}" in s5cmd("ls")
    assert s5cmd.run("rb", f"s3://{name}").returncode != 0
    s5cmd("rm", f"s3://{name}/k")
    s5cmd("rb", f"s3://{name}")
    assert name not in [repo.name for repo in s3_box.list_repo()]
