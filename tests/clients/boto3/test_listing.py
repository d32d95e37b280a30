"""Listings: both versions, prefixes, delimiters, pages, markers, encodings."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pytest

from pachybox.client import Client

Refused = Callable[..., AbstractContextManager[None]]

KEYS = (
    "a.txt", "a/1", "a/2", "a/b/c/deep", "ab", "b+c&d", "dir with space/x", "ü/ä", "z%2F",
    "日本/語",
)  # fmt: skip


@pytest.fixture
def filled(s3_box: Client, bucket: str) -> str:
    """A bucket with all KEYS."""
    with s3_box.put(f"{bucket}@master") as put:
        for key in KEYS:
            put.data(f"/{key}", key.encode())
    return bucket


def keys_of(pages: Any) -> tuple[list[str], list[str]]:
    keys: list[str] = []
    prefixes: list[str] = []
    for page in pages:
        keys += [o["Key"] for o in page.get("Contents", ())]
        prefixes += [p["Prefix"] for p in page.get("CommonPrefixes", ())]
    return keys, prefixes


def expected(
    keys: Sequence[str], prefix: str = "", delimiter: str = ""
) -> tuple[list[str], list[str]]:
    """What S3 answers, by its rules: in the order of the keys' bytes, each prefix once."""
    found: list[str] = []
    prefixes: list[str] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix):
            continue
        head, cut, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
        if not cut:
            found.append(key)
        elif (common := prefix + head + cut) not in prefixes:
            prefixes.append(common)
    return found, prefixes


@pytest.mark.parametrize("version", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_pages_are_whole(client: Any, filled: str, version: str, size: int) -> None:
    paginator = client.get_paginator(version)
    for prefix, delimiter in (
        ("", ""),
        ("", "/"),
        ("a", "/"),
        ("a/", "/"),
        ("a/b", ""),
        ("a/b/", "/"),
        ("ü", "/"),
        ("nothing", "/"),
        ("a/1", "/"),
    ):
        pages = paginator.paginate(
            Bucket=filled,
            Prefix=prefix,
            Delimiter=delimiter,
            PaginationConfig={"PageSize": size},
        )
        assert keys_of(pages) == expected(KEYS, prefix, delimiter), (prefix, delimiter)


def test_what_a_listing_says_of_an_object(client: Any, bucket: str) -> None:
    put = client.put_object(Bucket=bucket, Key="k", Body=b"12345")
    page = client.list_objects_v2(Bucket=bucket, FetchOwner=True)
    (one,) = page["Contents"]
    assert (one["Size"], one["ETag"], one["StorageClass"]) == (5, put["ETag"], "STANDARD")
    assert one["Owner"]["ID"]
    assert (page["KeyCount"], page["MaxKeys"], page["IsTruncated"]) == (1, 1000, False)
    assert page["Name"] == bucket
    head = client.head_object(Bucket=bucket, Key="k")
    assert head["LastModified"].replace(microsecond=0) == one["LastModified"].replace(microsecond=0)
    assert "Owner" not in client.list_objects_v2(Bucket=bucket)["Contents"][0]
    assert "Owner" in client.list_objects(Bucket=bucket)["Contents"][0]


def test_pages_are_told_how_they_go_on(client: Any, filled: str) -> None:
    page = client.list_objects_v2(Bucket=filled, MaxKeys=2)
    assert (page["IsTruncated"], page["KeyCount"], len(page["Contents"])) == (True, 2, 2)
    again = client.list_objects_v2(
        Bucket=filled, MaxKeys=2, ContinuationToken=page["NextContinuationToken"]
    )
    assert [o["Key"] for o in again["Contents"]] == sorted(KEYS, key=str.encode)[2:4]
    first = client.list_objects(Bucket=filled, MaxKeys=2, Delimiter="/")
    assert first["NextMarker"] == "a/"
    rest = client.list_objects(Bucket=filled, Marker="a/", Delimiter="/")
    assert rest["Contents"][0]["Key"] == "ab"


def test_start_after_and_marker(client: Any, filled: str) -> None:
    ordered = sorted(KEYS, key=str.encode)
    for after in ("a/1", "a/10", "zz", "~nothing", "b"):
        want = [k for k in ordered if k.encode() > after.encode()]
        v2 = client.list_objects_v2(Bucket=filled, StartAfter=after)
        v1 = client.list_objects(Bucket=filled, Marker=after)
        assert [o["Key"] for o in v2.get("Contents", ())] == want
        assert [o["Key"] for o in v1.get("Contents", ())] == want


def test_a_prefix_that_no_path_has(client: Any, filled: str) -> None:
    for prefix in ("/", "//", "a//", "/a", "a/../b"):
        for delimiter in ("", "/", "a"):
            page = client.list_objects_v2(Bucket=filled, Prefix=prefix, Delimiter=delimiter)
            assert (page["KeyCount"], page["Prefix"]) == (0, prefix)
    for prefix in ("\n", "ü%", "a b+c&d"):
        assert client.list_objects(Bucket=filled, Prefix=prefix)["Prefix"] == prefix
        assert client.list_objects_v2(Bucket=filled, Prefix=prefix)["Prefix"] == prefix
    page = client.list_objects(Bucket=filled, Marker="", Prefix="/")
    assert (page["Marker"], page.get("Contents")) == ("", None)


def test_no_keys_asked_for(client: Any, filled: str) -> None:
    page = client.list_objects_v2(Bucket=filled, MaxKeys=0)
    assert "Contents" not in page
    assert page["IsTruncated"] is False


def test_an_empty_bucket_lists_nothing(client: Any, bucket: str) -> None:
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)
    assert "Contents" not in client.list_objects(Bucket=bucket)
    assert "Versions" not in client.list_object_versions(Bucket=bucket)


def test_a_bad_token_is_refused(client: Any, filled: str, refused: Refused) -> None:
    with refused("InvalidArgument", 400):
        client.list_objects_v2(Bucket=filled, ContinuationToken="\x7fno token of ours")


def test_random_trees_are_listed_as_s3_would(client: Any, s3_box: Client, bucket: str) -> None:
    chance = random.Random(7)
    names = ["a", "b", "a-b", "a.b", "a b", "Z", "ä"]
    keys: set[str] = set()
    for _ in range(300):
        key = "/".join(chance.choice(names) for _ in range(chance.randint(1, 4)))
        above = {key[:n] for n, c in enumerate(key) if c == "/"}
        if not above & keys and not any(k.startswith(key + "/") for k in keys):
            keys.add(key)
    with s3_box.put(f"{bucket}@master") as put:
        for key in keys:
            put.data(f"/{key}", b"x")
    ordered = sorted(keys)
    paginator = client.get_paginator("list_objects_v2")
    for size, prefix, delimiter in [(7, "", ""), (5, "", "/"), (2, "a/", "/"), (3, "a", "/")]:
        pages = paginator.paginate(
            Bucket=bucket, Prefix=prefix, Delimiter=delimiter, PaginationConfig={"PageSize": size}
        )
        assert keys_of(pages) == expected(ordered, prefix, delimiter), (prefix, delimiter)
