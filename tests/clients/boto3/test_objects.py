"""Objects: what is put comes back, with its headers and metadata; both doors see one content."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pachybox.client import Client

Refused = Callable[..., AbstractContextManager[None]]


def test_what_is_put_is_got(client: Any, bucket: str, content: bytes) -> None:
    put = client.put_object(Bucket=bucket, Key="deep/er/file.bin", Body=content)
    got = client.get_object(Bucket=bucket, Key="deep/er/file.bin")
    assert got["Body"].read() == content
    assert got["ContentLength"] == len(content)
    assert put["ETag"] == got["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert abs(datetime.now(UTC) - got["LastModified"]) < timedelta(minutes=5)


def test_an_object_is_a_file_of_the_branch(
    client: Any, s3_box: Client, bucket: str, content: bytes
) -> None:
    put = client.put_object(Bucket=bucket, Key="a/b", Body=content)
    assert s3_box.get_file(f"{bucket}@master:/a/b") == content
    assert put["VersionId"] == s3_box.inspect_branch(f"{bucket}@master").head


def test_a_file_put_by_another_door_is_an_object(
    client: Any, s3_box: Client, bucket: str, content: bytes
) -> None:
    s3_box.put_file(f"{bucket}@master:/by/another", content)
    got = client.get_object(Bucket=bucket, Key="by/another")
    assert got["Body"].read() == content
    tag = got["ETag"].strip('"')
    assert tag != hashlib.md5(content).hexdigest()
    assert not (len(tag) == 32 and set(tag) <= set("0123456789abcdef"))
    assert client.head_object(Bucket=bucket, Key="by/another")["ETag"] == got["ETag"]


def test_another_door_overwrites_an_object(client: Any, s3_box: Client, bucket: str) -> None:
    client.put_object(
        Bucket=bucket, Key="k", Body=b"first", ContentType="text/x", Metadata={"of": "first"}
    )
    s3_box.put_file(f"{bucket}@master:/k", b"second, longer")
    got = client.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"second, longer"
    assert got["Metadata"] == {}
    assert got["ETag"] != f'"{hashlib.md5(b"first").hexdigest()}"'


def test_metadata_and_headers_are_kept(client: Any, bucket: str) -> None:
    sent = {
        "ContentType": "text/html; charset=utf-8",
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="x.html"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "Metadata": {"author": "me", "empty": "", "words": "several words, and more"},
    }
    when = datetime(2031, 1, 2, 3, 4, 5, tzinfo=UTC)
    client.put_object(Bucket=bucket, Key="page", Body=b"<p>", Expires=when, **sent)
    for got in (
        client.head_object(Bucket=bucket, Key="page"),
        client.get_object(Bucket=bucket, Key="page"),
    ):
        assert {name: got[name] for name in sent} == sent
        assert got["ExpiresString"] == "Thu, 02 Jan 2031 03:04:05 GMT"


def test_without_a_content_type_there_is_the_common_one(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="plain", Body=b"x")
    assert client.head_object(Bucket=bucket, Key="plain")["ContentType"] == "binary/octet-stream"


def test_an_overwrite_leaves_nothing_of_the_former(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"x" * 1000, Metadata={"old": "1"})
    client.put_object(Bucket=bucket, Key="k", Body=b"new", ContentType="text/new")
    got = client.get_object(Bucket=bucket, Key="k")
    assert (got["Body"].read(), got["Metadata"]) == (b"new", {})
    assert got["ContentType"] == "text/new"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=99-", 99, 1000),
        ("bytes=-7", 993, 1000),
        ("bytes=990-4000", 990, 1000),
        ("bytes=-4000", 0, 1000),
    ],
)
def test_ranges(client: Any, bucket: str, asked: str, start: int, end: int) -> None:
    body = bytes(n % 251 for n in range(1000))
    client.put_object(Bucket=bucket, Key="k", Body=body)
    got = client.get_object(Bucket=bucket, Key="k", Range=asked)
    assert got["Body"].read() == body[start:end]
    assert got["ContentRange"] == f"bytes {start}-{end - 1}/1000"
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    head = client.head_object(Bucket=bucket, Key="k", Range=asked)
    assert head["ContentLength"] == end - start


def test_a_range_behind_the_end_is_refused(client: Any, bucket: str, refused: Refused) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"12345")
    client.put_object(Bucket=bucket, Key="empty", Body=b"")
    with refused("InvalidRange", 416):
        client.get_object(Bucket=bucket, Key="k", Range="bytes=5-")
    with refused("InvalidRange", 416):
        client.get_object(Bucket=bucket, Key="empty", Range="bytes=0-4")


def test_what_is_no_range_is_ignored(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"12345")
    got = client.get_object(Bucket=bucket, Key="k", Range="lines=1-2")
    assert got["Body"].read() == b"12345"
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_an_empty_object(client: Any, s3_box: Client, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="empty", Body=b"")
    got = client.get_object(Bucket=bucket, Key="empty")
    assert (got["Body"].read(), got["ContentLength"]) == (b"", 0)
    assert s3_box.inspect_file(f"{bucket}@master:/empty").size_bytes == 0


def test_the_answers_headers_may_be_chosen(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="text/a")
    got = client.get_object(
        Bucket=bucket,
        Key="k",
        ResponseContentType="text/b",
        ResponseContentDisposition="inline",
        ResponseCacheControl="no-store",
        ResponseContentEncoding="identity",
        ResponseContentLanguage="fr",
    )
    assert got["ContentType"] == "text/b"
    assert got["ContentDisposition"] == "inline"
    assert got["CacheControl"] == "no-store"
    assert got["ContentEncoding"] == "identity"
    assert got["ContentLanguage"] == "fr"


@pytest.mark.parametrize(
    "key",
    [
        "with space",
        "plus+and%20percent%",
        "a&b=c?d#e",
        "ümläut/日本語/🎉",
        "quote'\"<tag>",
        "(parens)!*~@:,;$[]{}|^`\\",
        "trailing.dot.",
        "-leading",
        "x" * 200 + "/" + "y" * 200,
    ],
)
def test_keys_of_all_kinds(client: Any, s3_box: Client, bucket: str, key: str) -> None:
    client.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert client.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [o["Key"] for o in client.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert [o["Key"] for o in client.list_objects(Bucket=bucket)["Contents"]] == [key]
    assert s3_box.get_file(f"{bucket}@master:/{key}") == key.encode()
    client.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)


def test_deletes(client: Any, s3_box: Client, bucket: str, refused: Refused) -> None:
    client.put_object(Bucket=bucket, Key="a/k", Body=b"x")
    gone = client.delete_object(Bucket=bucket, Key="a/k")
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    with refused("NoSuchKey", 404):
        client.get_object(Bucket=bucket, Key="a/k")
    with refused("404", 404):
        client.head_object(Bucket=bucket, Key="a/k")
    client.delete_object(Bucket=bucket, Key="a/k")
    assert [f.path for f in s3_box.walk_file(f"{bucket}@master:/") if not f.is_dir] == []


def test_many_are_deleted_by_one_commit(client: Any, s3_box: Client, bucket: str) -> None:
    keys = [f"k{n}" for n in range(20)]
    with s3_box.put(f"{bucket}@master") as put:
        for key in [*keys, "kept"]:
            put.data(f"/{key}", b"x")
    before = len(list(s3_box.list_commit(f"{bucket}@master")))
    wanted = [{"Key": key} for key in [*keys, "was/never/there"]]
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert sorted(d["Key"] for d in answer["Deleted"]) == sorted(w["Key"] for w in wanted)
    assert "Errors" not in answer
    assert [o["Key"] for o in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["kept"]
    assert len(list(s3_box.list_commit(f"{bucket}@master"))) == before + 1
    quiet = client.delete_objects(
        Bucket=bucket, Delete={"Objects": [{"Key": "kept"}], "Quiet": True}
    )
    assert "Deleted" not in quiet


def test_a_directory_marker_is_an_object_and_a_directory(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="folder/", Body=b"")
    client.put_object(Bucket=bucket, Key="folder/file", Body=b"x")
    keys = [o["Key"] for o in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["folder/", "folder/file"]
    assert client.head_object(Bucket=bucket, Key="folder/")["ContentLength"] == 0
    client.delete_object(Bucket=bucket, Key="folder/")
    keys = [o["Key"] for o in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["folder/file"]


def test_many_puts_at_once_all_arrive(client: Any, s3_box: Client, bucket: str) -> None:
    def put(number: int) -> None:
        client.put_object(Bucket=bucket, Key=f"n/{number}", Body=str(number).encode())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(64)))
    files = s3_box.list_file(f"{bucket}@master:/n")
    assert sorted(int(f.path.rpartition("/")[2]) for f in files) == list(range(64))
    assert s3_box.get_file(f"{bucket}@master:/n/63") == b"63"


def test_one_key_put_by_many_holds_one_of_the_contents(client: Any, bucket: str) -> None:
    bodies = [bytes([n]) * 5000 for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda body: client.put_object(Bucket=bucket, Key="k", Body=body), bodies))
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() in bodies


def test_puts_go_into_the_open_commit(client: Any, s3_box: Client, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="before", Body=b"0")
    commit = s3_box.start_commit(f"{bucket}@master")
    client.put_object(Bucket=bucket, Key="one", Body=b"1")
    client.put_object(Bucket=bucket, Key="two", Body=b"2")
    assert client.get_object(Bucket=bucket, Key="one")["Body"].read() == b"1"
    s3_box.finish_commit(f"{bucket}@master")
    got = client.get_object(Bucket=bucket, Key="two")
    assert got["Body"].read() == b"2"
    assert got["VersionId"] == commit.rpartition("@")[2]
    assert len(list(s3_box.list_commit(f"{bucket}@master"))) == 2


@pytest.mark.parametrize("key", ["a/../b", "../up", "./here", "a//b", "/slash"])
def test_a_key_that_is_no_path_is_refused_whole(
    client: Any, bucket: str, key: str, status: Callable[..., int]
) -> None:
    """Either the object is kept under exactly its key, or the door says that it cannot."""
    said = status(client.put_object, Bucket=bucket, Key=key, Body=b"x")
    assert said in (200, 400)
    listed = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    assert [o["Key"] for o in listed] == ([key] if said == 200 else [])


def test_a_file_cannot_be_below_a_file(client: Any, bucket: str, refused: Refused) -> None:
    client.put_object(Bucket=bucket, Key="file", Body=b"x")
    with refused("InvalidFilePath", 400):
        client.put_object(Bucket=bucket, Key="file/below", Body=b"x")
    assert client.get_object(Bucket=bucket, Key="file")["Body"].read() == b"x"
