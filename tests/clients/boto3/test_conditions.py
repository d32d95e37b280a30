"""Conditional requests: reads, writes, deletes and copies that hold only on what the client saw."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import pytest

Refused = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def tag(client: Any, bucket: str) -> str:
    """The ETag of the object ``k``."""
    answer: str = client.put_object(Bucket=bucket, Key="k", Body=b"12345")["ETag"]
    return answer


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_reads(client: Any, bucket: str, tag: str, operation: str, refused: Refused) -> None:
    read = getattr(client, operation)
    what = {"Bucket": bucket, "Key": "k"}
    failed = "PreconditionFailed" if operation == "get_object" else "412"
    modified = client.head_object(**what)["LastModified"]
    assert read(**what, IfMatch=tag)["ETag"] == tag
    assert read(**what, IfMatch="*")["ETag"] == tag
    assert read(**what, IfNoneMatch='"other"')["ETag"] == tag
    assert read(**what, IfModifiedSince=modified - timedelta(hours=1))["ETag"] == tag
    assert read(**what, IfUnmodifiedSince=modified + timedelta(hours=1))["ETag"] == tag
    with refused(failed, 412):
        read(**what, IfMatch='"other"')
    with refused(failed, 412):
        read(**what, IfUnmodifiedSince=modified - timedelta(hours=1))
    with refused("304", 304):
        read(**what, IfNoneMatch=tag)
    with refused("304", 304):
        read(**what, IfModifiedSince=modified + timedelta(seconds=1))
    # A tag that matches outweighs a time that does not, and the reverse.
    past = modified - timedelta(hours=1)
    assert read(**what, IfMatch=tag, IfUnmodifiedSince=past)["ETag"] == tag
    with refused("304", 304):
        read(**what, IfNoneMatch=tag, IfModifiedSince=past)


def test_create_only(client: Any, bucket: str, refused: Refused) -> None:
    client.put_object(Bucket=bucket, Key="new", Body=b"1", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        client.put_object(Bucket=bucket, Key="new", Body=b"2", IfNoneMatch="*")
    assert client.get_object(Bucket=bucket, Key="new")["Body"].read() == b"1"
    client.delete_object(Bucket=bucket, Key="new")
    client.put_object(Bucket=bucket, Key="new", Body=b"3", IfNoneMatch="*")


def test_replace_only_what_was_seen(client: Any, bucket: str, tag: str, refused: Refused) -> None:
    with refused("PreconditionFailed", 412):
        client.put_object(Bucket=bucket, Key="k", Body=b"lost", IfMatch='"other"')
    client.put_object(Bucket=bucket, Key="k", Body=b"new", IfMatch=tag)
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"new"
    with refused("NoSuchKey", 404):
        client.put_object(Bucket=bucket, Key="missing", Body=b"x", IfMatch=tag)


def test_of_many_that_create_one_wins(client: Any, bucket: str, status: Callable[..., int]) -> None:
    start = threading.Barrier(6)

    def create(number: int) -> int:
        start.wait()
        what = {"Bucket": bucket, "Key": "race", "Body": bytes([number]), "IfNoneMatch": "*"}
        return status(client.put_object, **what)

    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(create, range(6)))
    assert said.count(200) == 1
    assert set(said) <= {200, 409, 412}
    won = said.index(200)
    assert client.get_object(Bucket=bucket, Key="race")["Body"].read() == bytes([won])


def test_a_counter_loses_no_step(client: Any, bucket: str, status: Callable[..., int]) -> None:
    client.put_object(Bucket=bucket, Key="n", Body=b"0")

    def step(_: int) -> None:
        said = 0
        while said != 200:
            got = client.get_object(Bucket=bucket, Key="n")
            body = str(int(got["Body"].read()) + 1).encode()
            what = {"Bucket": bucket, "Key": "n", "Body": body, "IfMatch": got["ETag"]}
            said = status(client.put_object, **what)
            assert said in (200, 409, 412)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(step, range(12)))
    assert client.get_object(Bucket=bucket, Key="n")["Body"].read() == b"12"


def test_a_delete_of_what_was_seen(client: Any, bucket: str, tag: str, refused: Refused) -> None:
    with refused("PreconditionFailed", 412):
        client.delete_object(Bucket=bucket, Key="k", IfMatch='"other"')
    assert client.head_object(Bucket=bucket, Key="k")["ETag"] == tag
    client.delete_object(Bucket=bucket, Key="k", IfMatch=tag)
    with refused("404", 404):
        client.head_object(Bucket=bucket, Key="k")


def test_a_copy_of_what_was_seen(client: Any, bucket: str, tag: str, refused: Refused) -> None:
    copy = {"Bucket": bucket, "Key": "copy", "CopySource": {"Bucket": bucket, "Key": "k"}}
    with refused("PreconditionFailed", 412):
        client.copy_object(**copy, CopySourceIfMatch='"other"')
    with refused("PreconditionFailed", 412):
        client.copy_object(**copy, CopySourceIfNoneMatch=tag)
    with refused("404", 404):
        client.head_object(Bucket=bucket, Key="copy")
    client.copy_object(**copy, CopySourceIfMatch=tag)
    assert client.get_object(Bucket=bucket, Key="copy")["Body"].read() == b"12345"


def test_a_completion_that_creates_only(client: Any, bucket: str, refused: Refused) -> None:
    upload = client.create_multipart_upload(Bucket=bucket, Key="many")
    what = {"Bucket": bucket, "Key": "many", "UploadId": upload["UploadId"]}
    part = client.upload_part(**what, PartNumber=1, Body=b"part")
    client.put_object(Bucket=bucket, Key="many", Body=b"was first")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    with refused("PreconditionFailed", 412):
        client.complete_multipart_upload(**what, MultipartUpload=parts, IfNoneMatch="*")
    assert client.get_object(Bucket=bucket, Key="many")["Body"].read() == b"was first"
