"""The transfer manager and the resource: what most programs use of boto3."""

from __future__ import annotations

import io
import socket
import threading
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from pachybox.client import Client

MIB = 1 << 20
PARTS = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)


@pytest.fixture(scope="session")
def resource(s3: str) -> Any:
    return boto3.resource("s3", endpoint_url=s3)


@pytest.fixture(scope="session")
def big() -> bytes:
    """16 MiB and a bit, no part like another."""
    return b"".join(bytes([n]) * MIB for n in range(16)) + b"tail"


def test_a_big_file_goes_in_parts_and_comes_in_ranges(
    client: Any, s3_box: Client, bucket: str, big: bytes, tmp_path: Path
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(big)
    moved: list[int] = []
    client.upload_file(
        str(source),
        bucket,
        "big/file",
        Config=PARTS,
        Callback=moved.append,
        ExtraArgs={"ContentType": "x/y", "Metadata": {"a": "b"}},
    )
    assert sum(moved) == len(big)
    assert client.head_object(Bucket=bucket, Key="big/file")["ETag"].endswith('-4"')
    client.download_file(bucket, "big/file", str(target), Config=PARTS)
    assert target.read_bytes() == big
    assert s3_box.get_file(f"{bucket}@master:/big/file") == big
    assert len(list(s3_box.list_commit(f"{bucket}@master"))) == 1


def test_streams_of_unknown_length(client: Any, bucket: str, big: bytes) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.inner = io.BytesIO(big[: 6 * MIB])

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self.inner.read(size)

    client.upload_fileobj(Pipe(), bucket, "stream", Config=PARTS)
    into = io.BytesIO()
    client.download_fileobj(bucket, "stream", into)
    assert into.getvalue() == big[: 6 * MIB]


def test_a_managed_copy_in_parts(client: Any, s3_box: Client, bucket: str, big: bytes) -> None:
    s3_box.put_file(f"{bucket}@master:/source", big)
    client.copy({"Bucket": bucket, "Key": "source"}, bucket, "copy", Config=PARTS)
    assert s3_box.get_file(f"{bucket}@master:/copy") == big


def test_files_put_by_another_door_come_in_ranges(
    client: Any, s3_box: Client, bucket: str, big: bytes, tmp_path: Path
) -> None:
    s3_box.put_file(f"{bucket}@master:/file", big)
    client.download_file(bucket, "file", str(tmp_path / "got"), Config=PARTS)
    assert (tmp_path / "got").read_bytes() == big


def test_the_resource(resource: Any, s3_box: Client, bucket: str) -> None:
    repo = resource.Bucket(bucket)
    assert repo.creation_date is None or repo.name == bucket
    for number in range(5):
        repo.put_object(Key=f"n/{number}", Body=str(number).encode())
    assert [o.key for o in repo.objects.filter(Prefix="n/").limit(3)] == ["n/0", "n/1", "n/2"]
    one = resource.Object(bucket, "n/4")
    assert one.get()["Body"].read() == b"4"
    assert (one.content_length, one.key) == (1, "n/4")
    one.copy_from(CopySource=f"{bucket}/n/0")
    assert s3_box.get_file(f"{bucket}@master:/n/4") == b"0"
    assert len(list(repo.object_versions.filter(Prefix="n/4"))) == 2
    repo.objects.filter(Prefix="n/").delete()
    assert list(repo.objects.all()) == []
    one.wait_until_not_exists()


def test_virtual_host_style(
    s3: str, client: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``http://bucket.localhost:port/key``: the name goes into the Host header."""
    port = s3.rpartition(":")[2]
    resolve = socket.getaddrinfo  # not every machine resolves names below localhost
    monkeypatch.setattr(
        "socket.getaddrinfo",
        lambda host, *rest, **more: resolve(
            "127.0.0.1" if host.endswith("localhost") else host, *rest, **more
        ),
    )
    config = Config(s3={"addressing_style": "virtual"})
    virtual = boto3.client("s3", endpoint_url=f"http://localhost:{port}", config=config)
    virtual.put_object(Bucket=bucket, Key="dir/k", Body=b"virtual")
    assert virtual.get_object(Bucket=bucket, Key="dir/k")["Body"].read() == b"virtual"
    assert [o["Key"] for o in virtual.list_objects_v2(Bucket=bucket)["Contents"]] == ["dir/k"]
    assert client.get_object(Bucket=bucket, Key="dir/k")["Body"].read() == b"virtual"


def test_a_reader_that_goes_away_stops_nobody(
    client: Any, s3_box: Client, bucket: str, big: bytes
) -> None:
    s3_box.put_file(f"{bucket}@master:/file", big)
    bodies = [client.get_object(Bucket=bucket, Key="file")["Body"] for _ in range(4)]
    for body in bodies:
        body.read(10)
        body.close()
    done = threading.Event()

    def read() -> None:
        if client.get_object(Bucket=bucket, Key="file")["Body"].read() == big:
            done.set()

    thread = threading.Thread(target=read)
    thread.start()
    thread.join(30)
    assert done.is_set()
