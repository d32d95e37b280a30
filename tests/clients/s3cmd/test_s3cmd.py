"""s3cmd: an old and thorough client; it compares ETags with MD5s of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pachybox.client import Client
from tests.clients.inner_shell import Shell, tree

FilesOf = Callable[[str], dict[str, bytes]]


@pytest.fixture
def s3cmd(s3: str, tmp_path: Path) -> Shell:
    host, token = s3.removeprefix("http://"), os.environ["PACHYBOX_TOKEN"]
    settings = tmp_path / "s3cfg"
    settings.write_text(
        f"[default]\naccess_key = {token}\nsecret_key = {token}\nuse_https = False\n"
        f"host_base = {host}\nhost_bucket = {host}\nmax_retries = 1\nmultipart_chunk_size_mb = 5\n"
    )
    program = Path(sys.executable).with_name("s3cmd")  # its first line bears no space in a path
    return Shell(tmp_path, sys.executable, str(program), "-c", str(settings), "--no-progress")


def test_files_and_their_metadata(
    s3cmd: Shell, s3_box: Client, bucket: str, folder: Path, tmp_path: Path
) -> None:
    here = f"s3://{bucket}/dir/file"
    s3cmd("put", "-m", "x/y", "--add-header=x-amz-meta-of:mine", f"{folder}/top.txt", here)
    assert s3_box.get_file(f"{bucket}@master:/dir/file") == b"top"
    told = s3cmd("info", here)
    assert "MIME type: x/y" in told
    assert "x-amz-meta-of: mine" in told
    s3cmd("get", here, str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == b"top"
    s3cmd("cp", here, f"s3://{bucket}/copy")
    s3cmd("mv", f"s3://{bucket}/copy", f"s3://{bucket}/moved")
    assert s3_box.get_file(f"{bucket}@master:/moved") == b"top"
    s3cmd("modify", "--add-header=x-amz-meta-of:other", here)
    assert "x-amz-meta-of: other" in s3cmd("info", here)
    s3cmd("put", f"{folder}/big.bin", f"s3://{bucket}/big")
    assert s3_box.get_file(f"{bucket}@master:/big") == (folder / "big.bin").read_bytes()
    s3cmd("del", here)
    assert s3cmd.run("info", here).returncode != 0


def test_sync_both_ways(
    s3cmd: Shell, s3_box: Client, bucket: str, folder: Path, tmp_path: Path, files_of: FilesOf
) -> None:
    here = f"s3://{bucket}/data/"
    s3cmd("sync", f"{folder}/", here)
    assert files_of(f"{bucket}@master:/data") == tree(folder)
    commits = len(list(s3_box.list_commit(f"{bucket}@master")))
    s3cmd("sync", f"{folder}/", here)
    assert len(list(s3_box.list_commit(f"{bucket}@master"))) == commits
    (folder / "top.txt").write_bytes(b"changed")
    (folder / "empty").unlink()
    s3cmd("sync", "--delete-removed", f"{folder}/", here)
    assert files_of(f"{bucket}@master:/data") == tree(folder)
    s3_box.put_file(f"{bucket}@master:/data/box", b"a file of the box")
    (tmp_path / "back").mkdir()
    s3cmd("sync", here, f"{tmp_path}/back/")
    assert tree(tmp_path / "back") == {**tree(folder), "box": b"a file of the box"}


def test_listings_and_buckets(
    s3cmd: Shell, s3_box: Client, unique: Callable[[str], str], folder: Path
) -> None:
    name = unique("made")
    s3cmd("mb", f"s3://{name}")
    with s3_box.put(f"{name}@master") as put:
        put.directory("/", str(folder))
    listed = s3cmd("ls", "-r", f"s3://{name}").splitlines()
    assert [line.partition(f"s3://{name}/")[2] for line in listed] == sorted(
        tree(folder), key=str.encode
    )
    assert f"master.{name}" in s3cmd("ls")
    assert s3cmd("du", f"s3://{name}").split()[:3] == [
        str(sum(map(len, tree(folder).values()))),
        "6",
        "objects",
    ]
    assert s3cmd.run("rb", f"s3://{name}").returncode != 0
    s3cmd("del", "-r", "-f", f"s3://{name}")
    s3cmd("rb", f"s3://{name}")
    assert name not in [repo.name for repo in s3_box.list_repo()]


def test_a_signed_url(s3cmd: Shell, s3_box: Client, bucket: str) -> None:
    s3_box.put_file(f"{bucket}@master:/k", b"x")
    assert "Signature" in s3cmd("signurl", f"s3://{bucket}/k", "+60")
    assert "master" not in s3cmd("multipart", f"s3://{bucket}")
