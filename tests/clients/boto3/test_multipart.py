"""Multipart uploads: any order, parallel, listed, copied, given up, and never half there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pachybox.client import Client

Refused = Callable[..., AbstractContextManager[None]]
PART = 5 << 20


@pytest.fixture
def upload(client: Any, bucket: str) -> dict[str, str]:
    """An upload to the key ``big``: what its further calls take."""
    made = client.create_multipart_upload(
        Bucket=bucket, Key="big", ContentType="text/big", Metadata={"of": "parts"}
    )
    return {"Bucket": bucket, "Key": "big", "UploadId": made["UploadId"]}


def chosen(parts: dict[int, str]) -> dict[str, Any]:
    return {"Parts": [{"PartNumber": n, "ETag": tag} for n, tag in sorted(parts.items())]}


def test_parts_in_any_order_make_the_object(
    client: Any, s3_box: Client, bucket: str, upload: dict[str, str]
) -> None:
    bodies = {7: b"c" * 10, 2: b"b" * PART, 1: b"a" * (PART + 1)}
    with ThreadPoolExecutor(3) as pool:
        tags = dict(
            pool.map(
                lambda n: (n, client.upload_part(**upload, PartNumber=n, Body=bodies[n])["ETag"]),
                bodies,
            )
        )
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    done = client.complete_multipart_upload(**upload, MultipartUpload=chosen(tags))
    whole = bodies[1] + bodies[2] + bodies[7]
    digests = b"".join(hashlib.md5(bodies[n]).digest() for n in (1, 2, 7))
    assert done["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    got = client.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == whole
    assert (got["ContentType"], got["Metadata"]) == ("text/big", {"of": "parts"})
    assert got["ETag"] == done["ETag"]
    assert s3_box.get_file(f"{bucket}@master:/big") == whole
    across = client.get_object(Bucket=bucket, Key="big", Range=f"bytes={PART - 5}-{PART + 5}")
    assert across["Body"].read() == whole[PART - 5 : PART + 6]


def test_one_part_of_the_object_can_be_read(
    client: Any, bucket: str, upload: dict[str, str], refused: Refused
) -> None:
    bodies = [b"a" * PART, b"b" * 100]
    tags = {
        n: client.upload_part(**upload, PartNumber=n, Body=body)["ETag"]
        for n, body in enumerate(bodies, 1)
    }
    client.complete_multipart_upload(**upload, MultipartUpload=chosen(tags))
    got = client.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert got["Body"].read() == bodies[1]
    assert got["PartsCount"] == 2
    with refused("InvalidPart", 400):
        client.get_object(Bucket=bucket, Key="big", PartNumber=3)
    assert client.head_object(Bucket=bucket, Key="big", PartNumber=1)["ContentLength"] == PART


def test_uploads_and_parts_are_listed(client: Any, bucket: str, upload: dict[str, str]) -> None:
    for number in (1, 2, 3):
        client.upload_part(**upload, PartNumber=number, Body=b"x" * number)
    parts = client.list_parts(**upload)["Parts"]
    assert [(p["PartNumber"], p["Size"]) for p in parts] == [(1, 1), (2, 2), (3, 3)]
    pages = client.get_paginator("list_parts").paginate(**upload, PaginationConfig={"PageSize": 2})
    assert [p["PartNumber"] for page in pages for p in page["Parts"]] == [1, 2, 3]
    other = client.create_multipart_upload(Bucket=bucket, Key="a/other")["UploadId"]
    listed = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [(u["Key"], u["UploadId"]) for u in listed] == [
        ("a/other", other),
        ("big", upload["UploadId"]),
    ]
    page = client.list_multipart_uploads(Bucket=bucket, Prefix="a/")
    assert [u["Key"] for u in page["Uploads"]] == ["a/other"]
    page = client.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["a/"]
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 1}
    )
    assert [u["Key"] for page in pages for u in page["Uploads"]] == ["a/other", "big"]


def test_an_aborted_upload_leaves_nothing(
    client: Any, bucket: str, upload: dict[str, str], refused: Refused
) -> None:
    client.upload_part(**upload, PartNumber=1, Body=b"x")
    client.abort_multipart_upload(**upload)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    with refused("NoSuchUpload", 404):
        client.upload_part(**upload, PartNumber=2, Body=b"x")
    with refused("NoSuchUpload", 404):
        client.list_parts(**upload)
    with refused("NoSuchUpload", 404):
        client.abort_multipart_upload(**upload)


def test_a_part_sent_again_replaces(client: Any, bucket: str, upload: dict[str, str]) -> None:
    client.upload_part(**upload, PartNumber=1, Body=b"old")
    tag = client.upload_part(**upload, PartNumber=1, Body=b"new")["ETag"]
    client.complete_multipart_upload(**upload, MultipartUpload=chosen({1: tag}))
    assert client.get_object(Bucket=bucket, Key="big")["Body"].read() == b"new"


def test_of_a_part_named_twice_the_last_counts(
    client: Any, bucket: str, upload: dict[str, str]
) -> None:
    tags = [
        client.upload_part(**upload, PartNumber=1, Body=body)["ETag"] for body in (b"old", b"new")
    ]
    twice = {"Parts": [{"PartNumber": 1, "ETag": tag} for tag in tags]}
    client.complete_multipart_upload(**upload, MultipartUpload=twice)
    assert client.get_object(Bucket=bucket, Key="big")["Body"].read() == b"new"


def test_only_the_chosen_parts_are_in_it(client: Any, bucket: str, upload: dict[str, str]) -> None:
    tags = {
        n: client.upload_part(**upload, PartNumber=n, Body=bytes([n]) * PART)["ETag"]
        for n in (1, 2, 3)
    }
    client.complete_multipart_upload(**upload, MultipartUpload=chosen({1: tags[1], 3: tags[3]}))
    got = client.get_object(Bucket=bucket, Key="big")["Body"].read()
    assert got == bytes([1]) * PART + bytes([3]) * PART


def test_a_completion_that_does_not_fit_is_refused(
    client: Any, bucket: str, upload: dict[str, str], refused: Refused
) -> None:
    first = client.upload_part(**upload, PartNumber=1, Body=b"small")["ETag"]
    second = client.upload_part(**upload, PartNumber=2, Body=b"tail")["ETag"]
    with refused("EntityTooSmall", 400):
        client.complete_multipart_upload(**upload, MultipartUpload=chosen({1: first, 2: second}))
    with refused("InvalidPart", 400):
        client.complete_multipart_upload(**upload, MultipartUpload=chosen({9: first}))
    with refused("InvalidPart", 400):
        client.complete_multipart_upload(**upload, MultipartUpload=chosen({1: second}))
    with refused("InvalidPartOrder", 400):
        backwards = [{"PartNumber": 2, "ETag": second}, {"PartNumber": 1, "ETag": first}]
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": backwards})
    with refused("MalformedXML", 400):
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": []})
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    client.complete_multipart_upload(**upload, MultipartUpload=chosen({2: second}))
    assert client.get_object(Bucket=bucket, Key="big")["Body"].read() == b"tail"


def test_a_completion_may_be_sent_again(client: Any, bucket: str, upload: dict[str, str]) -> None:
    """As a client does that lost the answer."""
    tag = client.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    first = client.complete_multipart_upload(**upload, MultipartUpload=chosen({1: tag}))
    again = client.complete_multipart_upload(**upload, MultipartUpload=chosen({1: tag}))
    assert first["ETag"] == again["ETag"]


@pytest.mark.parametrize("number", [0, 10_001])
def test_part_numbers_have_bounds(
    client: Any, upload: dict[str, str], number: int, refused: Refused
) -> None:
    with refused("InvalidArgument", 400):
        client.upload_part(**upload, PartNumber=number, Body=b"x")


def test_a_range_to_copy_must_be_there(
    client: Any, bucket: str, upload: dict[str, str], refused: Refused
) -> None:
    client.put_object(Bucket=bucket, Key="source", Body=b"12345")
    for text, code, status in (
        ("bytes=0-21", "InvalidRange", 416),
        ("bytes=0-", "InvalidArgument", 400),
        ("0-2", "InvalidArgument", 400),
    ):
        with refused(code, status):
            client.upload_part_copy(
                **upload, PartNumber=1, CopySource=f"{bucket}/source", CopySourceRange=text
            )


def test_parts_copied_from_objects(client: Any, bucket: str, upload: dict[str, str]) -> None:
    source = bytes(n % 253 for n in range(PART + 5000))
    client.put_object(Bucket=bucket, Key="source", Body=source)
    whole = {"Bucket": bucket, "Key": "source"}
    tags = {
        1: client.upload_part_copy(**upload, PartNumber=1, CopySource=whole),
        2: client.upload_part_copy(
            **upload, PartNumber=2, CopySource=whole, CopySourceRange="bytes=100-199"
        ),
    }
    client.complete_multipart_upload(
        **upload,
        MultipartUpload=chosen({n: c["CopyPartResult"]["ETag"] for n, c in tags.items()}),
    )
    got = client.get_object(Bucket=bucket, Key="big")["Body"].read()
    assert got == source + source[100:200]


def test_an_unknown_upload(client: Any, bucket: str, refused: Refused) -> None:
    what = {"Bucket": bucket, "Key": "k", "UploadId": "no-such-upload"}
    with refused("NoSuchUpload", 404):
        client.upload_part(**what, PartNumber=1, Body=b"x")
    with refused("NoSuchUpload", 404):
        client.complete_multipart_upload(**what, MultipartUpload=chosen({1: '"x"'}))


def test_an_upload_belongs_to_its_key(
    client: Any, upload: dict[str, str], refused: Refused
) -> None:
    with refused("NoSuchUpload", 404):
        client.upload_part(**{**upload, "Key": "another"}, PartNumber=1, Body=b"x")
