"""Versions are commits: the past is read by them, and listed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from pachybox.client import Client

Refused = Callable[..., AbstractContextManager[None]]


def test_each_put_is_a_version_to_be_read(client: Any, s3_box: Client, bucket: str) -> None:
    versions = []
    for number in range(3):
        put = client.put_object(
            Bucket=bucket, Key="k", Body=f"v{number}".encode(), Metadata={"n": str(number)}
        )
        versions.append(put["VersionId"])
    assert len(set(versions)) == 3
    for number, version in enumerate(versions):
        got = client.get_object(Bucket=bucket, Key="k", VersionId=version)
        assert got["Body"].read() == f"v{number}".encode()
        assert (got["Metadata"], got["VersionId"]) == ({"n": str(number)}, version)
        head = client.head_object(Bucket=bucket, Key="k", VersionId=version)
        assert head["ETag"] == got["ETag"]
        assert s3_box.get_file(f"{bucket}@{version}:/k") == f"v{number}".encode()
    commits = [c.id for c in s3_box.list_commit(f"{bucket}@master")]
    assert commits == versions[::-1]


def test_a_commit_of_another_door_is_a_version(client: Any, s3_box: Client, bucket: str) -> None:
    s3_box.put_file(f"{bucket}@master:/k", b"one")
    commit = s3_box.inspect_branch(f"{bucket}@master").head
    client.put_object(Bucket=bucket, Key="k", Body=b"two")
    assert client.get_object(Bucket=bucket, Key="k", VersionId=commit)["Body"].read() == b"one"


def test_versions_and_delete_markers_are_listed(client: Any, bucket: str) -> None:
    first = client.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    second = client.put_object(Bucket=bucket, Key="k", Body=b"22")["VersionId"]
    other = client.put_object(Bucket=bucket, Key="other", Body=b"333")["VersionId"]
    client.delete_object(Bucket=bucket, Key="k")
    page = client.list_object_versions(Bucket=bucket)
    said = [(v["Key"], v["VersionId"], v["IsLatest"], v["Size"]) for v in page["Versions"]]
    assert said == [("k", second, False, 2), ("k", first, False, 1), ("other", other, True, 3)]
    (marker,) = page["DeleteMarkers"]
    assert (marker["Key"], marker["IsLatest"]) == ("k", True)


def test_a_deleted_object_is_still_in_its_version(
    client: Any, bucket: str, refused: Refused
) -> None:
    version = client.put_object(Bucket=bucket, Key="k", Body=b"was")["VersionId"]
    gone = client.delete_object(Bucket=bucket, Key="k")
    assert gone["DeleteMarker"] is True
    with refused("NoSuchKey", 404):
        client.get_object(Bucket=bucket, Key="k")
    assert client.get_object(Bucket=bucket, Key="k", VersionId=version)["Body"].read() == b"was"


def test_pages_of_versions(client: Any, bucket: str) -> None:
    made = []
    for number in range(4):
        for key in ("a", "b/c"):
            put = client.put_object(Bucket=bucket, Key=key, Body=str(number).encode())
            made.append((key, put["VersionId"]))
    pages = client.get_paginator("list_object_versions").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 3}
    )
    listed = [(v["Key"], v["VersionId"]) for page in pages for v in page.get("Versions", ())]
    assert listed == [m for m in made[::-1] if m[0] == "a"] + [m for m in made[::-1] if m[0] != "a"]
    page = client.list_object_versions(Bucket=bucket, Delimiter="/")
    assert [p["Prefix"] for p in page["CommonPrefixes"]] == ["b/"]
    assert {v["Key"] for v in page["Versions"]} == {"a"}
    page = client.list_object_versions(Bucket=bucket, Prefix="b/")
    assert {v["Key"] for v in page["Versions"]} == {"b/c"}


def test_an_unknown_version(client: Any, s3_box: Client, bucket: str, refused: Refused) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    with refused("NoSuchVersion", 404):
        client.get_object(Bucket=bucket, Key="k", VersionId="0" * 32)
    s3_box.put_file(f"{bucket}@other:/k", b"another branch")
    elsewhere = s3_box.inspect_branch(f"{bucket}@other").head
    with refused("NoSuchVersion", 404):
        client.get_object(Bucket=bucket, Key="k", VersionId=elsewhere)


def test_the_past_is_not_deleted_by_halves(client: Any, bucket: str, refused: Refused) -> None:
    old = client.put_object(Bucket=bucket, Key="k", Body=b"old")["VersionId"]
    client.put_object(Bucket=bucket, Key="k", Body=b"new")
    with refused("NotImplemented", 501):
        client.delete_object(Bucket=bucket, Key="k", VersionId=old)
    wanted = {"Objects": [{"Key": "k", "VersionId": old}]}
    (error,) = client.delete_objects(Bucket=bucket, Delete=wanted)["Errors"]
    assert (error["Key"], error["Code"]) == ("k", "NotImplemented")
    assert client.get_object(Bucket=bucket, Key="k", VersionId=old)["Body"].read() == b"old"
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"new"
