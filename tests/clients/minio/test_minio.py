"""minio-py, MinIO's own client."""

from __future__ import annotations

import io
import os
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import REPLACE, ComposeSource, CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.versioningconfig import ENABLED, VersioningConfig

from pachybox.client import Client

MIB = 1 << 20


@pytest.fixture(scope="session")
def client(s3: str) -> Any:
    token = os.environ["PACHYBOX_TOKEN"]
    host = s3.removeprefix("http://")
    return Minio(host, access_key=token, secret_key=token, secure=False)


def read(client: Any, *args: object, **options: object) -> bytes:
    answer = client.get_object(*args, **options)
    try:
        body: bytes = answer.read()
        return body
    finally:
        answer.close()
        answer.release_conn()


def test_objects(client: Any, s3_box: Client, bucket: str, content: bytes) -> None:
    put = client.put_object(
        bucket, "a/k", io.BytesIO(content), len(content), content_type="x/y", metadata={"of": "me"}
    )
    assert put.version_id == s3_box.inspect_branch(f"{bucket}@master").head
    assert s3_box.get_file(f"{bucket}@master:/a/k") == content
    assert read(client, bucket, "a/k") == content
    assert read(client, bucket, "a/k", offset=10, length=5) == content[10:15]
    stat = client.stat_object(bucket, "a/k")
    assert (stat.size, stat.content_type, stat.etag) == (len(content), "x/y", put.etag)
    assert stat.metadata["x-amz-meta-of"] == "me"
    s3_box.put_file(f"{bucket}@master:/box", b"a file of the box")
    assert read(client, bucket, "box") == b"a file of the box"
    client.remove_object(bucket, "a/k")
    with pytest.raises(S3Error) as caught:
        client.stat_object(bucket, "a/k")
    assert caught.value.code == "NoSuchKey"


def test_files_and_parts(client: Any, s3_box: Client, bucket: str, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(MIB) * 11)
    client.fput_object(bucket, "big", str(source), part_size=5 * MIB)
    assert s3_box.get_file(f"{bucket}@master:/big") == source.read_bytes()
    client.fget_object(bucket, "big", str(target))
    assert target.read_bytes() == source.read_bytes()
    client.put_object(
        bucket, "stream", io.BytesIO(bytes(6 * MIB)), -1, part_size=5 * MIB, num_parallel_uploads=3
    )
    assert client.stat_object(bucket, "stream").size == 6 * MIB


def test_listings(client: Any, s3_box: Client, bucket: str) -> None:
    names = ["a/b/c", "a/b d", "e+f", "ü/日本"]
    with s3_box.put(f"{bucket}@master") as put:
        for name in names:
            put.data(f"/{name}", b"x")
    every = [o.object_name for o in client.list_objects(bucket, recursive=True)]
    assert every == sorted(names, key=str.encode)
    top = [(o.object_name, o.is_dir) for o in client.list_objects(bucket)]
    assert sorted(top) == [("a/", True), ("e+f", False), ("ü/", True)]
    below = [o.object_name for o in client.list_objects(bucket, prefix="a/b", recursive=True)]
    assert below == ["a/b d", "a/b/c"]
    old = client.list_objects(bucket, recursive=True, use_api_v1=True)
    assert [o.object_name for o in old] == every
    after = client.list_objects(bucket, recursive=True, start_after="a/b/c")
    assert [o.object_name for o in after] == ["e+f", "ü/日本"]


def test_copies_and_composition(client: Any, s3_box: Client, bucket: str) -> None:
    parts = [os.urandom(MIB) * 5, b"tail"]
    for number, body in enumerate(parts):
        client.put_object(bucket, f"p{number}", io.BytesIO(body), len(body))
    client.copy_object(bucket, "copy", CopySource(bucket, "p1"))
    client.copy_object(
        bucket, "named", CopySource(bucket, "p1"), metadata={"n": "1"}, metadata_directive=REPLACE
    )
    assert client.stat_object(bucket, "named").metadata["x-amz-meta-n"] == "1"
    client.compose_object(
        bucket, "whole", [ComposeSource(bucket, "p0"), ComposeSource(bucket, "p1")]
    )
    assert s3_box.get_file(f"{bucket}@master:/whole") == b"".join(parts)
    assert s3_box.get_file(f"{bucket}@master:/copy") == parts[1]


def test_removal_of_many(client: Any, s3_box: Client, bucket: str) -> None:
    for number in range(5):
        client.put_object(bucket, f"k{number}", io.BytesIO(b"x"), 1)
    wanted = [DeleteObject(f"k{number}") for number in range(4)]
    assert list(client.remove_objects(bucket, wanted)) == []
    assert [f.path for f in s3_box.list_file(f"{bucket}@master:/")] == ["/k4"]


def test_presigned(client: Any, s3_box: Client, bucket: str) -> None:
    url = client.presigned_put_object(bucket, "k", expires=timedelta(minutes=1))
    request = urllib.request.Request(url, b"sent", method="PUT")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    assert s3_box.get_file(f"{bucket}@master:/k") == b"sent"
    url = client.presigned_get_object(bucket, "k")
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert answer.read() == b"sent"


def test_buckets_and_versions(client: Any, s3_box: Client, unique: Callable[[str], str]) -> None:
    name = unique("made")
    client.make_bucket(name)
    assert client.bucket_exists(name)
    assert not client.bucket_exists(unique("other"))
    assert any(name in b.name for b in client.list_buckets())
    client.set_bucket_versioning(name, VersioningConfig(ENABLED))
    assert client.get_bucket_versioning(name).status == ENABLED
    first = client.put_object(name, "k", io.BytesIO(b"1"), 1).version_id
    client.put_object(name, "k", io.BytesIO(b"2"), 1)
    assert read(client, name, "k", version_id=first) == b"1"
    versions = list(client.list_objects(name, include_version=True))
    assert [v.is_latest for v in versions] == ["true", "false"]
    with pytest.raises(S3Error) as caught:
        client.remove_bucket(name)
    assert caught.value.code == "BucketNotEmpty"
    client.remove_object(name, "k")
    client.remove_bucket(name)
    assert name not in [repo.name for repo in s3_box.list_repo()]
