"""s3fs: S3 as a file system of Python programs."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from s3fs import S3FileSystem

from pachybox.client import Client
from tests.clients.inner_shell import tree

FilesOf = Callable[[str], dict[str, bytes]]
MIB = 1 << 20


@pytest.fixture
def fs(s3: str) -> Any:
    token = os.environ["PACHYBOX_TOKEN"]
    return S3FileSystem(key=token, secret=token, endpoint_url=s3, skip_instance_cache=True)


def test_files_are_written_and_read(fs: Any, s3_box: Client, bucket: str, content: bytes) -> None:
    with fs.open(f"{bucket}/dir/file", "wb") as file:
        file.write(content[:100])
        file.write(content[100:])
    assert s3_box.get_file(f"{bucket}@master:/dir/file") == content
    with fs.open(f"{bucket}/dir/file", "rb") as file:
        assert file.read(10) == content[:10]
        file.seek(-10, 2)
        assert file.read() == content[-10:]
        file.seek(50_000)
        assert file.read(3) == content[50_000:50_003]
    assert fs.cat(f"{bucket}/dir/file") == content
    assert fs.cat_file(f"{bucket}/dir/file", start=5, end=9) == content[5:9]
    assert fs.head(f"{bucket}/dir/file", 4) == content[:4]
    assert fs.tail(f"{bucket}/dir/file", 4) == content[-4:]


def test_text_and_compression(fs: Any, s3_box: Client, bucket: str) -> None:
    with fs.open(f"{bucket}/text", "w", encoding="utf-8") as file:
        file.write("zeile eins\nümläut\n")
    with fs.open(f"{bucket}/text", "r", encoding="utf-8") as file:
        assert list(file) == ["zeile eins\n", "ümläut\n"]
    with fs.open(f"{bucket}/text.gz", "wb", compression="gzip") as file:
        file.write(b"packed")
    assert gzip.decompress(s3_box.get_file(f"{bucket}@master:/text.gz")) == b"packed"


def test_a_big_file_goes_in_parts(fs: Any, s3_box: Client, bucket: str) -> None:
    body = os.urandom(MIB) * 11
    with fs.open(f"{bucket}/big", "wb", block_size=5 * MIB) as file:
        file.write(body[: 7 * MIB])
        file.write(body[7 * MIB :])
    assert s3_box.get_file(f"{bucket}@master:/big") == body
    assert len(list(s3_box.list_commit(f"{bucket}@master"))) == 1
    with fs.open(f"{bucket}/big", "rb", block_size=MIB) as file:
        file.seek(9 * MIB - 3)
        assert file.read(6) == body[9 * MIB - 3 : 9 * MIB + 3]


@pytest.mark.parametrize("size", [10, 6 * MIB])
def test_appending(fs: Any, s3_box: Client, bucket: str, size: int) -> None:
    s3_box.put_file(f"{bucket}@master:/log", b"a" * size)
    with fs.open(f"{bucket}/log", "ab") as file:
        file.write(b"more")
    assert s3_box.get_file(f"{bucket}@master:/log") == b"a" * size + b"more"


def test_an_abandoned_write_leaves_nothing(fs: Any, bucket: str) -> None:
    def give_up() -> None:
        with fs.open(f"{bucket}/half", "wb", block_size=5 * MIB) as file:
            file.write(b"x" * 6 * MIB)
            raise RuntimeError("given up")

    with pytest.raises(RuntimeError), fs.transaction:
        give_up()
    fs.invalidate_cache()
    assert not fs.exists(f"{bucket}/half")


def test_listings(fs: Any, s3_box: Client, bucket: str, folder: Path) -> None:
    with s3_box.put(f"{bucket}@master") as put:
        put.directory("/", str(folder))
    assert sorted(fs.ls(bucket)) == [f"{bucket}/{n}" for n in ("a", "big.bin", "empty", "top.txt")]
    assert fs.find(bucket) == sorted(f"{bucket}/{n}" for n in tree(folder))
    assert fs.glob(f"{bucket}/a/**/*wo*") == [f"{bucket}/a/b/two words"]
    assert fs.du(bucket) == sum(map(len, tree(folder).values()))
    assert [files for _, _, files in fs.walk(f"{bucket}/a/b")] == [["two words"]]
    info = fs.info(f"{bucket}/top.txt")
    assert (info["type"], info["size"]) == ("file", 3)
    assert fs.info(f"{bucket}/a")["type"] == "directory"
    assert fs.isdir(f"{bucket}/a/b")
    assert fs.isfile(f"{bucket}/empty")
    assert not fs.exists(f"{bucket}/nothing")
    with pytest.raises(FileNotFoundError):
        fs.info(f"{bucket}/a/nothing")
    with pytest.raises(FileNotFoundError):
        fs.ls(f"{bucket}-not-there")


def test_folders_go_up_and_down(
    fs: Any, bucket: str, folder: Path, tmp_path: Path, files_of: FilesOf
) -> None:
    fs.put(f"{folder}/", f"{bucket}/up/", recursive=True)
    assert files_of(f"{bucket}@master:/up") == tree(folder)
    fs.get(f"{bucket}/up/", f"{tmp_path}/down/", recursive=True)
    assert tree(tmp_path / "down") == tree(folder)
    fs.copy(f"{bucket}/up/a/", f"{bucket}/copy/", recursive=True)
    assert files_of(f"{bucket}@master:/copy") == tree(folder / "a")
    fs.mv(f"{bucket}/copy/one", f"{bucket}/moved")
    assert fs.cat(f"{bucket}/moved") == b"1" * 1000
    assert not fs.exists(f"{bucket}/copy/one")
    fs.rm(f"{bucket}/up", recursive=True)
    assert set(files_of(f"{bucket}@master:/")) == {"moved", "copy/b/two words", "copy/ümläut+&"}


def test_small_operations(fs: Any, s3_box: Client, bucket: str) -> None:
    fs.pipe({f"{bucket}/many/{n}": str(n).encode() for n in range(10)})
    assert fs.cat([f"{bucket}/many/3", f"{bucket}/many/7"]) == {
        f"{bucket}/many/3": b"3",
        f"{bucket}/many/7": b"7",
    }
    fs.touch(f"{bucket}/touched")
    assert s3_box.inspect_file(f"{bucket}@master:/touched").size_bytes == 0
    fs.setxattr(f"{bucket}/touched", copy_kwargs={}, mood="good")
    assert fs.getxattr(f"{bucket}/touched", "mood") == "good"
    assert fs.checksum(f"{bucket}/touched") == fs.checksum(f"{bucket}/touched")
    assert fs.modified(f"{bucket}/touched").year > 2000
    fs.pipe(f"{bucket}/first", bytes(5 * MIB))
    fs.merge(f"{bucket}/merged", [f"{bucket}/first", f"{bucket}/many/1"])
    assert fs.cat(f"{bucket}/merged") == bytes(5 * MIB) + b"1"
    fs.rm([f"{bucket}/many/{n}" for n in range(10)])
    assert not fs.exists(f"{bucket}/many")


def test_versions(fs: Any, s3: str, bucket: str) -> None:
    aware = S3FileSystem(
        key=fs.key, secret=fs.secret, endpoint_url=s3, version_aware=True, skip_instance_cache=True
    )
    aware.pipe(f"{bucket}/k", b"first")
    aware.pipe(f"{bucket}/k", b"second")
    versions = aware.object_version_info(f"{bucket}/k")
    assert len(versions) == 2
    old = versions[-1]["VersionId"]
    with aware.open(f"{bucket}/k", version_id=old) as file:
        assert file.read() == b"first"


def test_buckets(fs: Any, s3_box: Client, unique: Callable[[str], str]) -> None:
    name = unique("made")
    fs.mkdir(name)
    assert s3_box.inspect_branch(f"{name}@master")
    assert f"master.{name}" in [entry.partition(".default")[0] for entry in fs.ls("")]
    fs.rmdir(name)
    assert not fs.exists(name)
