"""The aws command line: ``aws s3`` as people type it, and a look by ``aws s3api``.

One test starts the program; the others call its ``main``, as starting takes a second each time.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from awscli.clidriver import create_clidriver

from pachybox.client import Client
from tests.clients.inner_shell import Shell, tree

FilesOf = Callable[[str], dict[str, bytes]]


class Aws(Shell):
    """The program's ``main`` in this process, with the arguments of a command line."""

    def run(self, *args: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        source = io.TextIOWrapper(io.BytesIO(stdin or b""))
        with pytest.MonkeyPatch.context() as patch:
            for name, stream in (("stdin", source), ("stdout", out), ("stderr", err)):
                patch.setattr(sys, name, stream)
            code = create_clidriver().main([*self.common[1:], *args])
        said = [stream.buffer.getvalue() for stream in (out, err)]  # type: ignore[attr-defined]
        return subprocess.CompletedProcess([*args], code, *said)


@pytest.fixture
def aws(s3: str, tmp_path: Path) -> Aws:
    return Aws(tmp_path, "aws", "--endpoint-url", s3)


def test_the_program_itself(
    s3: str, s3_box: Client, bucket: str, file: Path, tmp_path: Path
) -> None:
    program = Path(sys.executable).with_name("aws")  # its first line bears no space in a path
    aws = Shell(tmp_path, sys.executable, str(program), "--endpoint-url", s3)
    aws("s3", "cp", str(file), f"s3://{bucket}/file")
    assert s3_box.get_file(f"{bucket}@master:/file") == file.read_bytes()


def test_sync_both_ways(
    aws: Aws, s3_box: Client, bucket: str, folder: Path, tmp_path: Path, files_of: FilesOf
) -> None:
    here = f"s3://{bucket}/data"
    aws("s3", "sync", str(folder), here)
    assert files_of(f"{bucket}@master:/data") == tree(folder)
    (folder / "top.txt").write_bytes(b"changed, and longer")
    (folder / "empty").unlink()
    said = aws("s3", "sync", str(folder), here, "--delete")
    assert sorted(line.split(":")[0] for line in said.splitlines() if "s3://" in line) == [
        "delete",
        "upload",
    ]
    assert files_of(f"{bucket}@master:/data") == tree(folder)
    s3_box.put_file(f"{bucket}@master:/data/by/the/box", b"a file of the box")
    aws("s3", "sync", here, str(tmp_path / "back"))
    assert tree(tmp_path / "back") == {**tree(folder), "by/the/box": b"a file of the box"}


def test_single_files(aws: Aws, s3_box: Client, bucket: str, file: Path) -> None:
    here = f"s3://{bucket}/deep/copy.bin"
    aws("s3", "cp", str(file), here, "--content-type", "x/y", "--metadata", "of=mine")
    assert s3_box.get_file(f"{bucket}@master:/deep/copy.bin") == file.read_bytes()
    assert aws.bytes("s3", "cp", here, "-") == file.read_bytes()
    aws("s3", "cp", "-", f"s3://{bucket}/stream", stdin=b"from a pipe")
    assert s3_box.get_file(f"{bucket}@master:/stream") == b"from a pipe"
    aws("s3", "mv", here, f"s3://{bucket}/moved")
    head = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", "moved"))
    assert (head["ContentType"], head["Metadata"]) == ("x/y", {"of": "mine"})
    listed = aws("s3", "ls", f"s3://{bucket}", "--recursive", "--summarize")
    assert "Total Objects: 2" in listed
    assert "deep" not in listed


def test_buckets_and_removal(
    aws: Aws, s3_box: Client, unique: Callable[[str], str], folder: Path
) -> None:
    name = unique("made")
    aws("s3", "mb", f"s3://{name}")
    with s3_box.put(f"{name}@master") as put:
        put.directory("/", str(folder))
    assert f"master.{name}" in aws("s3", "ls")
    listed = aws("s3", "ls", f"s3://{name}/")
    assert [line.split()[-1] for line in listed.splitlines()] == [
        "a/",
        "big.bin",
        "empty",
        "top.txt",
    ]
    assert aws.run("s3", "rb", f"s3://{name}").returncode != 0
    aws("s3", "rm", f"s3://{name}/a", "--recursive")
    assert {f.path for f in s3_box.walk_file(f"{name}@master:/") if not f.is_dir} == {
        "/top.txt",
        "/empty",
        "/big.bin",
    }
    aws("s3", "rb", f"s3://{name}", "--force")
    assert name not in [repo.name for repo in s3_box.list_repo()]


def test_presigned_and_conditional(aws: Aws, s3_box: Client, bucket: str, file: Path) -> None:
    s3_box.put_file(f"{bucket}@master:/k", b"shared")
    url = aws("s3", "presign", f"s3://{bucket}/k", "--expires-in", "60").strip()
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == b"shared"
    put = ("s3api", "put-object", "--bucket", bucket, "--key", "k", "--body", str(file))
    refused = aws.run(*put, "--if-none-match", "*")
    assert refused.returncode in (254, 255)
    assert b"PreconditionFailed" in refused.stderr
    assert s3_box.get_file(f"{bucket}@master:/k") == b"shared"


def test_versions(aws: Aws, s3_box: Client, bucket: str, tmp_path: Path) -> None:
    s3_box.put_file(f"{bucket}@master:/k", b"first")
    commit = s3_box.inspect_branch(f"{bucket}@master").head
    s3_box.put_file(f"{bucket}@master:/k", b"second")
    said = json.loads(aws("s3api", "list-object-versions", "--bucket", bucket))
    assert [v["IsLatest"] for v in said["Versions"]] == [True, False]
    assert said["Versions"][1]["VersionId"] == commit
    old = ("--bucket", bucket, "--key", "k", "--version-id", commit)
    aws("s3api", "get-object", *old, str(tmp_path / "old"))
    assert (tmp_path / "old").read_bytes() == b"first"
