"""rclone, against ``provider = Other``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pachybox.client import Client
from tests.clients.inner_shell import Shell, tree

FilesOf = Callable[[str], dict[str, bytes]]


@pytest.fixture
def rclone(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """rclone with a remote ``box:``; parts of 5 MiB."""
    for name, value in {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": s3,
        "ACCESS_KEY_ID": os.environ["PACHYBOX_TOKEN"],
        "SECRET_ACCESS_KEY": os.environ["PACHYBOX_TOKEN"],
        "UPLOAD_CUTOFF": "6Mi",
        "CHUNK_SIZE": "5Mi",
    }.items():
        monkeypatch.setenv(f"RCLONE_CONFIG_BOX_{name}", value)
    return Shell(
        tmp_path, "rclone", "--config", "/dev/null", "--retries", "1", "--low-level-retries", "1"
    )


def test_copy_check_and_sync(
    rclone: Shell, s3_box: Client, bucket: str, folder: Path, tmp_path: Path, files_of: FilesOf
) -> None:
    here = f"box:{bucket}/data"
    rclone("copy", str(folder), here)
    assert files_of(f"{bucket}@master:/data") == tree(folder)
    rclone("check", str(folder), here)
    rclone("check", "--download", str(folder), here)
    commits = len(list(s3_box.list_commit(f"{bucket}@master")))
    rclone("sync", str(folder), here)  # nothing has changed: times are kept in the metadata
    assert len(list(s3_box.list_commit(f"{bucket}@master"))) == commits
    (folder / "top.txt").write_bytes(b"changed")
    (folder / "a" / "one").unlink()
    rclone("sync", str(folder), here)
    assert files_of(f"{bucket}@master:/data") == tree(folder)
    (folder / "empty").write_bytes(b"no more")
    assert rclone.run("check", str(folder), here).returncode != 0
    rclone("sync", here, str(tmp_path / "back"))
    assert tree(tmp_path / "back") == {**tree(folder), "empty": b""}


def test_what_the_box_wrote(rclone: Shell, s3_box: Client, bucket: str, folder: Path) -> None:
    with s3_box.put(f"{bucket}@master") as put:
        put.directory("/", str(folder))
    rclone("check", str(folder), f"box:{bucket}")
    rclone("check", "--download", str(folder), f"box:{bucket}")
    listed = json.loads(rclone("lsjson", "-R", f"box:{bucket}"))
    sizes = {entry["Path"]: entry["Size"] for entry in listed if not entry["IsDir"]}
    assert sizes == {name: len(body) for name, body in tree(folder).items()}
    assert {entry["Path"] for entry in listed if entry["IsDir"]} == {"a", "a/b"}
    assert rclone("lsf", f"box:{bucket}").split() == ["a/", "big.bin", "empty", "top.txt"]
    assert json.loads(rclone("size", "--json", f"box:{bucket}"))["count"] == len(sizes)
    assert rclone.bytes("cat", f"box:{bucket}/a/one") == b"1" * 1000
    assert rclone.bytes("cat", "--offset", "5", "--count", "7", f"box:{bucket}/a/one") == b"1" * 7


def test_single_files(rclone: Shell, s3_box: Client, bucket: str, file: Path) -> None:
    rclone("copyto", str(file), f"box:{bucket}/dir/file")
    summed = rclone("md5sum", f"box:{bucket}/dir").split()
    assert summed == [*rclone("md5sum", str(file)).split()[:1], "file"]
    rclone("moveto", f"box:{bucket}/dir/file", f"box:{bucket}/moved")
    assert s3_box.get_file(f"{bucket}@master:/moved") == file.read_bytes()
    rclone("rcat", f"box:{bucket}/piped", stdin=b"from a pipe")
    assert s3_box.get_file(f"{bucket}@master:/piped") == b"from a pipe"
    rclone("rcat", f"box:{bucket}/piped-big", stdin=bytes(7 << 20))
    assert s3_box.inspect_file(f"{bucket}@master:/piped-big").size_bytes == 7 << 20
    rclone("touch", "-t", "2020-01-02T03:04:05", f"box:{bucket}/piped")
    assert "2020-01-02 03:04:05" in rclone("lsl", f"box:{bucket}/piped")
    rclone("deletefile", f"box:{bucket}/piped")
    assert rclone("lsf", f"box:{bucket}").split() == ["moved", "piped-big"]


def test_server_side_copies(rclone: Shell, bucket: str, folder: Path, files_of: FilesOf) -> None:
    rclone("copy", str(folder), f"box:{bucket}/a")
    rclone("copy", f"box:{bucket}/a", f"box:dev.{bucket}/b")
    assert files_of(f"{bucket}@dev:/b") == tree(folder)
    rclone("check", f"box:{bucket}/a", f"box:dev.{bucket}/b")
    rclone("delete", f"box:{bucket}/a/a")
    rclone("purge", f"box:dev.{bucket}/b")
    assert set(files_of(f"{bucket}@master:/")) == {"a/top.txt", "a/empty", "a/big.bin"}


def test_buckets_and_versions(rclone: Shell, s3_box: Client, unique: Callable[[str], str]) -> None:
    name = unique("made")
    rclone("mkdir", f"box:{name}")
    assert f"master.{name}" in rclone("lsd", "box:")
    for number in range(2):
        rclone("rcat", f"box:{name}/k", stdin=str(number).encode())
    listed = rclone("lsf", "--s3-versions", f"box:{name}").split()
    assert len(listed) == 2
    old = max(listed, key=len)
    assert rclone.bytes("cat", "--s3-versions", f"box:{name}/{old}") == b"0"
    url = rclone("link", "--expire", "1m", f"box:{name}/k").strip()
    assert "X-Amz-Signature" in url
    rclone("deletefile", f"box:{name}/k")
    rclone("rmdir", f"box:{name}")
    assert name not in [repo.name for repo in s3_box.list_repo()]
