"""Checksums: verified on arrival, kept, told again; damage is refused and changes nothing."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import boto3
import pytest
from awscrt import checksums
from botocore.config import Config

Refused = Callable[..., AbstractContextManager[None]]

SUMS: dict[str, Callable[[bytes], bytes]] = {
    "CRC32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "CRC32C": lambda data: checksums.crc32c(data).to_bytes(4, "big"),
    "CRC64NVME": lambda data: checksums.crc64nvme(data).to_bytes(8, "big"),
    "SHA1": lambda data: hashlib.sha1(data).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}
PART = 5 << 20


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("algorithm", SUMS)
def test_a_checksum_of_each_kind(
    client: Any, bucket: str, content: bytes, algorithm: str, refused: Refused
) -> None:
    right = b64(SUMS[algorithm](content))
    name = f"Checksum{algorithm}"
    put = client.put_object(Bucket=bucket, Key="k", Body=content, ChecksumAlgorithm=algorithm)
    assert put[name] == right
    given = client.put_object(Bucket=bucket, Key="given", Body=content, **{name: right})
    assert given[name] == right
    for key in ("k", "given"):
        got = client.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert got["Body"].read() == content  # the client verifies it on the way
        assert (got[name], got["ChecksumType"]) == (right, "FULL_OBJECT")
        head = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        assert head[name] == right
    listed = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert [o["ChecksumAlgorithm"] for o in listed] == [[algorithm]] * 2
    wrong = b64(SUMS[algorithm](content + b"!"))
    with refused("BadDigest", 400):
        client.put_object(Bucket=bucket, Key="k", Body=b"!" + content, **{name: wrong})
    assert client.head_object(Bucket=bucket, Key="k")["ETag"] == put["ETag"]


def test_a_content_md5(client: Any, bucket: str, refused: Refused) -> None:
    md5 = b64(hashlib.md5(b"right").digest())
    client.put_object(Bucket=bucket, Key="k", Body=b"right", ContentMD5=md5)
    with refused("BadDigest", 400):
        client.put_object(Bucket=bucket, Key="k", Body=b"wrong", ContentMD5=md5)
    with refused("InvalidDigest", 400):
        client.put_object(Bucket=bucket, Key="k", Body=b"x", ContentMD5="short")
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"right"


def test_attributes_of_an_object(client: Any, bucket: str) -> None:
    put = client.put_object(Bucket=bucket, Key="k", Body=b"12345", ChecksumAlgorithm="SHA256")
    told = client.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"]
    )
    assert told["ObjectSize"] == 5
    assert told["ETag"] == put["ETag"].strip('"')
    assert told["Checksum"]["ChecksumSHA256"] == b64(hashlib.sha256(b"12345").digest())


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        ("CRC32", "COMPOSITE"),
        ("SHA256", "COMPOSITE"),
        ("CRC32", "FULL_OBJECT"),
        ("CRC32C", "FULL_OBJECT"),
        ("CRC64NVME", "FULL_OBJECT"),
    ],
)
def test_checksums_of_parts_and_of_the_whole(
    client: Any, bucket: str, algorithm: str, kind: str, refused: Refused
) -> None:
    bodies = [b"a" * PART, b"tail"]
    name, take = f"Checksum{algorithm}", SUMS[algorithm]
    upload = client.create_multipart_upload(
        Bucket=bucket, Key="k", ChecksumAlgorithm=algorithm, ChecksumType=kind
    )
    what = {"Bucket": bucket, "Key": "k", "UploadId": upload["UploadId"]}
    with refused("InvalidRequest", 400):
        client.upload_part(**what, PartNumber=1, Body=b"x", **{name: "bad"})
    with refused("BadDigest", 400):
        client.upload_part(**what, PartNumber=1, Body=b"x", **{name: b64(take(b"y"))})
    parts = []
    for number, body in enumerate(bodies, 1):
        part = client.upload_part(**what, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)
        assert part[name] == b64(take(body))
        parts.append({"PartNumber": number, "ETag": part["ETag"], name: part[name]})
    whole = b64(take(b"".join(bodies)))
    composite = f"{b64(take(b''.join(take(body) for body in bodies)))}-2"
    right = whole if kind == "FULL_OBJECT" else composite
    if kind == "COMPOSITE":
        bare = [{n: part[n] for n in ("PartNumber", "ETag")} for part in parts]
        with refused("InvalidRequest", 400):
            client.complete_multipart_upload(**what, MultipartUpload={"Parts": bare})
    wrong = [{**parts[0], name: parts[1][name]}, parts[1]]
    with refused("InvalidPart", 400):
        client.complete_multipart_upload(**what, MultipartUpload={"Parts": wrong})
    done = client.complete_multipart_upload(
        **what, MultipartUpload={"Parts": parts}, **({name: right} if kind != "COMPOSITE" else {})
    )
    assert (done[name], done["ChecksumType"]) == (right, kind)
    got = client.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"".join(bodies)
    assert (got[name], got["ChecksumType"]) == (right, kind)
    told = client.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectParts"]
    )
    assert told["Checksum"][name] == right
    assert told["ObjectParts"]["TotalPartsCount"] == 2
    assert [part[name] for part in told["ObjectParts"]["Parts"]] == [p[name] for p in parts]
    for part, body in zip(parts, bodies, strict=True):
        number = part["PartNumber"]
        got = client.get_object(Bucket=bucket, Key="k", PartNumber=number, ChecksumMode="ENABLED")
        assert got["Body"].read() == body
        assert (got[name], got["ChecksumType"]) == (part[name], kind)


def test_a_damaged_body_is_told_by_its_signature(
    s3: str, client: Any, bucket: str, refused: Refused
) -> None:
    config = Config(
        s3={"payload_signing_enabled": True}, request_checksum_calculation="when_required"
    )
    signing = boto3.client("s3", endpoint_url=s3, config=config)
    signing.put_object(Bucket=bucket, Key="k", Body=b"whole")

    def damage(request: Any, **_: object) -> None:
        request.body = b"wh0le"

    signing.meta.events.register("before-send.s3.PutObject", damage)
    with refused("XAmzContentSHA256Mismatch", 400):
        signing.put_object(Bucket=bucket, Key="k", Body=b"whole")
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"whole"


def test_no_checksum_is_needed(s3: str, bucket: str) -> None:
    config = Config(
        request_checksum_calculation="when_required", response_checksum_validation="when_required"
    )
    plain = boto3.client("s3", endpoint_url=s3, config=config)
    plain.put_object(Bucket=bucket, Key="k", Body=b"plain")
    assert plain.get_object(Bucket=bucket, Key="k")["Body"].read() == b"plain"
    plain.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})
