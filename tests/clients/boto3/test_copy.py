"""Copies: of content and what belongs to it, across buckets and from the past."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pachybox.client import Client

Refused = Callable[..., AbstractContextManager[None]]


def test_a_copy_brings_its_metadata(client: Any, bucket: str, content: bytes) -> None:
    client.put_object(
        Bucket=bucket, Key="a", Body=content, ContentType="text/a", Metadata={"m": "1"}
    )
    source = {"Bucket": bucket, "Key": "a"}
    copied = client.copy_object(Bucket=bucket, Key="dir/b", CopySource=source)
    got = client.get_object(Bucket=bucket, Key="dir/b")
    assert got["Body"].read() == content
    assert (got["ContentType"], got["Metadata"]) == ("text/a", {"m": "1"})
    assert copied["CopyObjectResult"]["ETag"] == got["ETag"]
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == content


def test_a_copy_with_other_metadata(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="a", Body=b"x", ContentType="text/a", Metadata={"m": "1"})
    source = {"Bucket": bucket, "Key": "a"}
    client.copy_object(
        Bucket=bucket,
        Key="b",
        CopySource=source,
        MetadataDirective="REPLACE",
        ContentType="text/b",
        Metadata={"n": "2"},
    )
    got = client.head_object(Bucket=bucket, Key="b")
    assert (got["ContentType"], got["Metadata"]) == ("text/b", {"n": "2"})


def test_a_copy_onto_itself_must_change_something(
    client: Any, bucket: str, refused: Refused
) -> None:
    client.put_object(Bucket=bucket, Key="a", Body=b"x", Metadata={"m": "1"})
    itself = {"Bucket": bucket, "Key": "a", "CopySource": {"Bucket": bucket, "Key": "a"}}
    with refused("InvalidRequest", 400):
        client.copy_object(**itself)
    client.copy_object(**itself, MetadataDirective="REPLACE", Metadata={"m": "2"})
    got = client.get_object(Bucket=bucket, Key="a")
    assert (got["Body"].read(), got["Metadata"]) == (b"x", {"m": "2"})


def test_a_copy_across_buckets_and_from_the_past(client: Any, s3_box: Client, bucket: str) -> None:
    first = client.put_object(Bucket=bucket, Key="a", Body=b"first")["VersionId"]
    client.put_object(Bucket=bucket, Key="a", Body=b"second")
    other = f"dev.{bucket}"
    client.create_bucket(Bucket=other)
    client.copy_object(Bucket=other, Key="now", CopySource={"Bucket": bucket, "Key": "a"})
    copied = client.copy_object(
        Bucket=other, Key="then", CopySource={"Bucket": bucket, "Key": "a", "VersionId": first}
    )
    assert copied["CopySourceVersionId"] == first
    assert s3_box.get_file(f"{bucket}@dev:/now") == b"second"
    assert s3_box.get_file(f"{bucket}@dev:/then") == b"first"


@pytest.mark.parametrize("key", ["with space", "plus+percent%20", "ümläut/日本", "a?b&c"])
def test_copies_of_odd_keys(client: Any, bucket: str, key: str) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=b"odd")
    client.copy_object(Bucket=bucket, Key="c/" + key, CopySource={"Bucket": bucket, "Key": key})
    assert client.get_object(Bucket=bucket, Key="c/" + key)["Body"].read() == b"odd"


def test_a_copy_of_what_is_not_there(client: Any, bucket: str, refused: Refused) -> None:
    with refused("NoSuchKey", 404):
        client.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "missing"})
    with refused("NoSuchBucket", 404):
        client.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": "missing", "Key": "k"})


def test_a_file_of_another_door_is_copied(client: Any, s3_box: Client, bucket: str) -> None:
    s3_box.put_file(f"{bucket}@master:/file", b"from outside")
    client.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/file")
    assert client.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"from outside"
