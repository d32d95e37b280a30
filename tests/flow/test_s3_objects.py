"""The S3 door to a box without a token: objects, buckets, lists, as raw HTTP says them."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from hashlib import md5
from urllib.parse import unquote, unquote_to_bytes

import pytest

from tests.boxes import RealBox
from tests.s3 import S3, Answer


@pytest.fixture
def keys(s3: S3, bucket: str) -> Callable[..., str]:
    """Makes a bucket of these keys, their names as their contents."""

    def make(*names: str) -> str:
        for name in names:
            assert s3("PUT", f"/{bucket}/{name}", name.encode()).status == 200
        return bucket

    return make


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body


# ---- objects


def test_an_object_comes_back_as_it_was_put(s3: S3, bucket: str) -> None:
    path = f"/{bucket}/a b/ü+%&.txt"
    put = s3("PUT", path, b"hello", content_type="text/plain", x_amz_meta_k="v",
             cache_control="max-age=3", content_disposition="inline",
             content_encoding="gzip", content_language="de", expires="never")  # fmt: skip
    assert put.status == 200
    assert put.headers["etag"] == f'"{md5(b"hello").hexdigest()}"'
    assert len(put.headers["x-amz-version-id"]) == 32
    for method in ("GET", "HEAD"):
        got = s3(method, path)
        assert got.body == (b"hello" if method == "GET" else b"")
        assert got.headers["content-length"] == "5"
        assert got.headers["etag"] == put.headers["etag"]
        assert got.headers["x-amz-version-id"] == put.headers["x-amz-version-id"]
        for name, value in {
            "content-type": "text/plain", "x-amz-meta-k": "v", "cache-control": "max-age=3",
            "content-disposition": "inline", "content-encoding": "gzip",
            "content-language": "de", "expires": "never", "accept-ranges": "bytes",
        }.items():  # fmt: skip
            assert got.headers[name] == value
        assert got.headers["x-amz-request-id"]
        assert got.headers["x-amz-id-2"]
    assert s3("GET", path).headers["content-security-policy"].startswith("sandbox")


def test_other_doors_see_the_file(s3: S3, bucket: str, shared_box: RealBox) -> None:
    s3("PUT", f"/{bucket}/d/f", b"x" * 100)
    assert shared_box.cli("get", "file", f"{bucket}@master:/d/f") == "x" * 100
    shared_box.cli("put", "file", f"{bucket}@master:/g", "-f", "-", stdin=b"hello")
    got = s3("GET", f"/{bucket}/g")
    assert got.body == b"hello"
    assert got.headers["content-type"] == "binary/octet-stream"
    assert len(got.headers["etag"].strip('"')) != 32
    assert s3("GET", f"/master.{bucket}/g").body == s3("GET", f"/master.{bucket}.default/g").body


def test_versions_are_commits(s3: S3, bucket: str) -> None:
    first = s3("PUT", f"/{bucket}/k", b"one").headers["x-amz-version-id"]
    second = s3("PUT", f"/{bucket}/k", b"two").headers["x-amz-version-id"]
    assert s3("GET", f"/{bucket}/k", query={"versionId": first}).body == b"one"
    assert s3("GET", f"/{first}.master.{bucket}/k").body == b"one"
    marker = s3("DELETE", f"/{bucket}/k").headers
    assert marker["x-amz-delete-marker"] == "true"
    refused(s3("GET", f"/{bucket}/k"), 404, "NoSuchKey")
    found = s3("GET", f"/{bucket}", query={"versions": ""})
    assert found.texts("Version/VersionId") == [second, first]
    assert found.texts("DeleteMarker/VersionId") == [marker["x-amz-version-id"]]
    assert found.texts("DeleteMarker/IsLatest") == ["true"]
    page = s3("GET", f"/{bucket}", query={"versions": "", "max-keys": "2"})
    assert page.text("IsTruncated") == "true"
    rest = s3("GET", f"/{bucket}", query={
        "versions": "", "key-marker": page.text("NextKeyMarker"),
        "version-id-marker": page.text("NextVersionIdMarker"),
    })  # fmt: skip
    assert rest.texts("Version/VersionId") == [first]
    refused(s3("GET", f"/{bucket}/k", query={"versionId": "0" * 32}), 404, "NoSuchVersion")
    refused(s3("DELETE", f"/{bucket}/k", query={"versionId": first}), 501, "NotImplemented")
    newest = s3("PUT", f"/{bucket}/k", b"3").headers["x-amz-version-id"]
    assert s3("DELETE", f"/{bucket}/k", query={"versionId": newest}).status == 204
    refused(s3("PUT", f"/{first}.master.{bucket}/k", b"x"), 405, "MethodNotAllowed")


def test_a_version_shown_is_found_though_its_commit_was_squashed(
    s3: S3, bucket: str, shared_box: RealBox
) -> None:
    first = s3("PUT", f"/{bucket}/k", b"one").headers["x-amz-version-id"]
    s3("PUT", f"/{bucket}/other", b"x")
    shared_box.cli("squash", "commit", f"{bucket}@{first}")
    shown = s3("HEAD", f"/{bucket}/k").headers["x-amz-version-id"]
    assert s3("GET", f"/{bucket}/k", query={"versionId": shown}).body == b"one"
    s3("PUT", f"/{bucket}/k", b"two")
    refused(s3("GET", f"/{bucket}/k", query={"versionId": first}), 404, "NoSuchVersion")


def test_ranges(s3: S3, bucket: str) -> None:
    path = f"/{bucket}/r"
    s3("PUT", path, bytes(range(100)))
    for text, start, end in (
        ("bytes=0-9", 0, 10), ("bytes=90-200", 90, 100), ("bytes=-5", 95, 100),
        ("bytes=-500", 0, 100), ("bytes=99-", 99, 100),
    ):  # fmt: skip
        got = s3("GET", path, range=text)
        assert (got.status, got.body) == (206, bytes(range(start, end)))
        assert got.headers["content-range"] == f"bytes {start}-{end - 1}/100"
    for text in ("bytes=100-", "bytes=-0", "bytes=200-300"):
        got = s3("GET", path, range=text)
        refused(got, 416, "InvalidRange")
        assert got.headers["content-range"] == "bytes */100"
        assert s3("HEAD", path, range=text).status == 416
    for text in ("bytes=5-2", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "bytes=-"):
        assert (s3("GET", path, range=text).status, len(s3("GET", path).body)) == (200, 100)
    etag = s3("HEAD", path).headers["etag"]
    assert s3("GET", path, range="bytes=0-9", if_range=etag).status == 206
    assert s3("GET", path, range="bytes=0-9", if_range='"other"').status == 200
    got = s3("GET", path, query={"partNumber": "1"})
    assert (got.status, got.headers["content-length"]) == (206, "100")
    refused(s3("GET", path, query={"partNumber": "2"}), 400, "InvalidPart")
    refused(s3("GET", path, query={"partNumber": "x"}), 400, "InvalidArgument")


def test_an_empty_object(s3: S3, bucket: str) -> None:
    path = f"/{bucket}/empty"
    assert s3("PUT", path, b"").headers["etag"] == f'"{md5(b"").hexdigest()}"'
    assert (s3("GET", path).status, s3("GET", path).body) == (200, b"")
    refused(s3("GET", path, range="bytes=0-0"), 416, "InvalidRange")
    marker = f"/{bucket}/folder/"
    assert s3("PUT", marker, b"").status == 200
    assert s3("HEAD", marker).status == 200
    refused(s3("PUT", marker, b"x"), 400, "InvalidFilePath")


def test_conditions_of_reads(s3: S3, bucket: str) -> None:
    path = f"/{bucket}/c"
    etag = s3("PUT", path, b"x").headers["etag"]
    old, new = formatdate(0, usegmt=True), formatdate(4e9, usegmt=True)
    for headers, status in (
        ({"if_match": etag}, 200), ({"if_match": '"no"'}, 412), ({"if_match": "*"}, 200),
        ({"if_none_match": etag}, 304), ({"if_none_match": '"no", "x"'}, 200),
        ({"if_none_match": f'"no", {etag}'}, 304), ({"if_none_match": "*"}, 304),
        ({"if_modified_since": old}, 200), ({"if_modified_since": new}, 304),
        ({"if_unmodified_since": old}, 412), ({"if_unmodified_since": new}, 200),
        ({"if_match": etag, "if_unmodified_since": old}, 200),
        ({"if_none_match": '"no"', "if_modified_since": new}, 200),
        ({"if_none_match": etag.strip('"')}, 304), ({"if_modified_since": "nonsense"}, 200),
    ):  # fmt: skip
        for method in ("GET", "HEAD"):
            got = s3(method, path, **headers)
            assert got.status == status, headers
            if status == 304:
                assert (got.headers["etag"], got.body) == (etag, b"")


def test_conditions_of_writes(s3: S3, bucket: str) -> None:
    path = f"/{bucket}/w"
    refused(s3("PUT", path, b"x", if_match='"no"'), 404, "NoSuchKey")
    assert s3("PUT", path, b"1", if_none_match="*").status == 200
    etag = s3("HEAD", path).headers["etag"]
    answer = s3("PUT", path, b"2", if_none_match="*")
    refused(answer, 412, "PreconditionFailed")
    assert answer.text("Condition") == "If-None-Match"
    refused(s3("PUT", path, b"2", if_match='"no"'), 412, "PreconditionFailed")
    assert s3("GET", path).body == b"1"
    assert s3("PUT", path, b"2", if_match=etag).status == 200
    refused(s3("DELETE", path, if_match=etag), 412, "PreconditionFailed")
    assert s3("GET", path).body == b"2"
    assert s3("DELETE", path, if_match="*").status == 204
    assert s3("DELETE", path, if_match=etag).status == 204


def test_answers_can_be_overridden(s3: S3, bucket: str) -> None:
    s3("PUT", f"/{bucket}/o", b"x")
    got = s3("GET", f"/{bucket}/o", query={
        "response-content-type": "text/html", "response-expires": "x",
        "response-content-disposition": 'attachment; filename="ü"',
    })  # fmt: skip
    assert got.headers["content-type"] == "text/html"
    assert got.headers["content-disposition"].encode("latin-1").decode().endswith('"ü"')
    bad = {"response-content-type": "a\r\nset-cookie: b"}
    refused(s3("GET", f"/{bucket}/o", query=bad), 400, "InvalidArgument")


def test_copies(s3: S3, bucket: str) -> None:
    s3("PUT", f"/{bucket}/from ü", b"data", content_type="text/x", x_amz_meta_a="1")
    source = f"/{bucket}/from%20%C3%BC"
    made = s3("PUT", f"/{bucket}/to", x_amz_copy_source=source)
    assert made.text("ETag") == f'"{md5(b"data").hexdigest()}"'
    got = s3("GET", f"/{bucket}/to")
    assert (got.body, got.headers["content-type"], got.headers["x-amz-meta-a"]) == (
        b"data", "text/x", "1",
    )  # fmt: skip
    refused(s3("PUT", f"/{bucket}/to", x_amz_copy_source=f"{bucket}/to"), 400, "InvalidRequest")
    s3("PUT", f"/{bucket}/to", x_amz_copy_source=f"{bucket}/to", x_amz_meta_b="2",
       x_amz_metadata_directive="REPLACE", content_type="text/y")  # fmt: skip
    got = s3("GET", f"/{bucket}/to")
    assert (got.body, got.headers["content-type"]) == (b"data", "text/y")
    assert "x-amz-meta-a" not in got.headers
    assert got.headers["x-amz-meta-b"] == "2"
    first = s3("HEAD", f"/{bucket}/from ü").headers["x-amz-version-id"]
    s3("PUT", f"/{bucket}/from ü", b"new")
    s3("PUT", f"/{bucket}/old", x_amz_copy_source=f"{source}?versionId={first}")
    assert s3("GET", f"/{bucket}/old").body == b"data"
    summed = s3("PUT", f"/{bucket}/c", x_amz_copy_source=source, x_amz_checksum_algorithm="CRC32")
    assert summed.text("ChecksumCRC32")
    etag = s3("HEAD", f"/{bucket}/from ü").headers["etag"]
    for name, status in (("if_match", 200), ("if_none_match", 412)):
        headers = {f"x_amz_copy_source_{name}": etag}
        assert s3("PUT", f"/{bucket}/x", x_amz_copy_source=source, **headers).status == status
    for wrong, code in (("/", "InvalidArgument"), (f"/{bucket}/none", "NoSuchKey"),
                        ("/nobucket/x", "NoSuchBucket"), ("%ff/x", "InvalidArgument")):  # fmt: skip
        assert s3("PUT", f"/{bucket}/x", x_amz_copy_source=wrong).code == code


def test_many_are_deleted_at_once(s3: S3, keys: Callable[..., str]) -> None:
    bucket = keys("a", "b/c", "d", "e")
    body = b"<Delete><Object><Key>a</Key></Object><Object><Key>b/c</Key></Object>"
    body += b"<Object><Key>none</Key></Object><Object><Key>x//y</Key></Object>"
    body += b"<Object><Key>d</Key><ETag>wrong</ETag></Object></Delete>"
    answer = s3("POST", f"/{bucket}", body, {"delete": ""}, x_amz_content_sha256="UNSIGNED-PAYLOAD")
    assert sorted(answer.texts("Deleted/Key")) == ["a", "b/c", "none", "x//y"]
    assert answer.texts("Error/Code") == ["PreconditionFailed"]
    assert s3("GET", f"/{bucket}").texts("Contents/Key") == ["d", "e"]
    refused(s3("POST", f"/{bucket}", body, {"delete": ""}), 400, "InvalidRequest")
    wrong = {"content_md5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    refused(s3("POST", f"/{bucket}", body, {"delete": ""}, **wrong), 400, "BadDigest")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<Delete>", b"<Delete/>", b"<Other/>", b"<Delete><Object/></Delete>", b"\xff\xfe",
        b'<!DOCTYPE d [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>',
        b"<a>" * 100 + b"</a>" * 100, b"<Delete xmlns:=''/>",
        b"<Delete>" + b"<Object><Key>k</Key></Object>" * 1001 + b"</Delete>",
    ],
)  # fmt: skip
def test_bad_documents_are_refused(s3: S3, body: bytes) -> None:
    bucket = s3("PUT", "/documents") and "documents"
    sha = {"x_amz_content_sha256": "UNSIGNED-PAYLOAD"}
    refused(s3("POST", f"/{bucket}", body, {"delete": ""}, **sha), 400, "MalformedXML")


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("a//b", "InvalidFilePath"), ("/a", "InvalidFilePath"), ("a/../b", "InvalidFilePath"),
        ("a/./b", "InvalidFilePath"), ("..", "InvalidFilePath"), ("a\0b", "InvalidFilePath"),
        ("x" * 256, "InvalidFilePath"), ("x/" * 512 + "x", "KeyTooLongError"),
        ("ü" * 513, "KeyTooLongError"),
    ],
)  # fmt: skip
def test_keys_that_cannot_be_are_refused_clearly(s3: S3, key: str, code: str) -> None:
    s3("PUT", "/names")
    refused(s3("PUT", f"/names/{key}", b"x"), 400, code)
    if code != "KeyTooLongError":
        refused(s3("GET", f"/names/{key}"), 404, "NoSuchKey")
        assert s3("HEAD", f"/names/{key}").status == 404
        assert s3("DELETE", f"/names/{key}").status == 204


def test_keys_of_any_text(s3: S3, bucket: str) -> None:
    names = [
        "\x01\x7f",
        "a&<>\"'",
        "語/🎉",
        "%41",
        "a+b",
        "?x=1",
        "#",
        " lead",
        "trail ",
        "k" * 255,
    ]
    names += ["é" * 100 + "/" + "é" * 100, "~._-!*'()"]
    for name in names:
        assert s3("PUT", f"/{bucket}/{name}", name.encode()).status == 200, name
    for name in names:
        assert s3("GET", f"/{bucket}/{name}").body == name.encode()
    found = s3("GET", f"/{bucket}", query={"list-type": "2", "encoding-type": "url"})
    assert [unquote(k) for k in found.texts("Contents/Key")] == sorted(names, key=str.encode)


def test_a_file_and_a_folder_of_one_name(s3: S3, keys: Callable[..., str]) -> None:
    bucket = keys("a", "d/e")
    refused(s3("PUT", f"/{bucket}/a/b", b"x"), 400, "InvalidFilePath")
    refused(s3("PUT", f"/{bucket}/d", b"x"), 400, "InvalidFilePath")
    refused(s3("GET", f"/{bucket}/a/b"), 404, "NoSuchKey")
    refused(s3("GET", f"/{bucket}/d"), 404, "NoSuchKey")


# ---- lists


def test_lists(s3: S3, keys: Callable[..., str]) -> None:
    bucket = keys("a", "b-c", "b/c", "b/d/e", "b0", "c")
    path = f"/{bucket}"
    assert s3("GET", path).texts("Contents/Key") == ["a", "b-c", "b/c", "b/d/e", "b0", "c"]
    top = s3("GET", path, query={"delimiter": "/"})
    assert top.texts("Contents/Key") == ["a", "b-c", "b0", "c"]
    assert top.texts("CommonPrefixes/Prefix") == ["b/"]
    inner = s3("GET", path, query={"delimiter": "/", "prefix": "b/"})
    assert inner.texts("Contents/Key") == ["b/c"]
    assert inner.texts("CommonPrefixes/Prefix") == ["b/d/"]
    assert s3("GET", path, query={"prefix": "b"}).texts("Contents/Key") == [
        "b-c", "b/c", "b/d/e", "b0",
    ]  # fmt: skip
    assert s3("GET", path, query={"marker": "b/c"}).texts("Contents/Key") == ["b/d/e", "b0", "c"]
    entry = s3("GET", path, query={"max-keys": "1"})
    assert entry.text("Contents/ETag") == f'"{md5(b"a").hexdigest()}"'
    assert (entry.text("Contents/Size"), entry.text("Contents/StorageClass")) == ("1", "STANDARD")
    assert entry.text("Contents/LastModified").endswith("Z")
    assert entry.text("Contents/Owner/DisplayName") == "pachyderm"
    assert (entry.text("IsTruncated"), entry.text("NextMarker")) == ("true", "a")


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_pages_join_to_the_whole(s3: S3, version: str, size: int) -> None:
    bucket = "pages"
    names = ["a", "b-c", "b/c", "b/d/e", "b0", "c/", "ü"]
    if s3("PUT", f"/{bucket}").status == 200:
        for name in names:
            assert s3("PUT", f"/{bucket}/{name}", b"").status == 200
    for delimiter in ("", "/"):
        query = {"max-keys": str(size), "delimiter": delimiter, "encoding-type": "url"}
        if version == "2":
            query["list-type"] = "2"
        found: list[str] = []
        while True:
            page = s3("GET", f"/{bucket}", query=query)
            got = page.texts("Contents/Key") + page.texts("CommonPrefixes/Prefix")
            assert len(got) <= size
            found += sorted(got, key=unquote_to_bytes)
            if page.text("IsTruncated") == "false":
                break
            if version == "2":
                query["continuation-token"] = page.text("NextContinuationToken")
                assert page.text("KeyCount") == str(len(got))
            else:
                query["marker"] = page.text("NextMarker").replace("%C3%BC", "ü")
        whole = ["a", "b-c", "b/", "b0", "c/", "%C3%BC"] if delimiter else [*names[:-1], "%C3%BC"]
        assert found == whole


def test_bounds_of_lists(s3: S3, keys: Callable[..., str]) -> None:
    bucket = keys("a")
    for query in ({"max-keys": "0"}, {"max-keys": "0", "list-type": "2"}):
        page = s3("GET", f"/{bucket}", query=query)
        assert (page.text("IsTruncated"), page.texts("Contents/Key")) == ("false", [])
    assert s3("GET", f"/{bucket}", query={"max-keys": ""}).text("MaxKeys") == "1000"
    assert s3("GET", f"/{bucket}", query={"max-keys": "5000"}).text("MaxKeys") == "1000"
    for query in (
        {"max-keys": "x"}, {"max-keys": "-1"}, {"max-keys": "9" * 30}, {"encoding-type": "x"},
        {"list-type": "3"}, {"list-type": "2", "continuation-token": "!"},
        {"versions": "", "version-id-marker": "x"}, {"versions": "", "max-keys": "-1"},
    ):  # fmt: skip
        refused(s3("GET", f"/{bucket}", query=query), 400, "InvalidArgument")
    page = s3("GET", f"/{bucket}", query={"list-type": "2", "start-after": "a"})
    assert (page.texts("Contents/Key"), page.text("StartAfter")) == ([], "a")
    assert page.texts("Contents/Owner") == []
    page = s3("GET", f"/{bucket}", query={"list-type": "2", "fetch-owner": "true"})
    assert page.text("Contents/Owner/ID") == "0" * 32


# ---- buckets


def test_buckets(s3: S3, bucket: str, shared_box: RealBox) -> None:
    refused(s3("PUT", f"/{bucket}"), 409, "BucketAlreadyOwnedByYou")
    assert s3("PUT", f"/dev.{bucket}").status == 200
    names = s3("GET", "/").texts("Buckets/Bucket/Name")
    assert {f"master.{bucket}", f"dev.{bucket}"} <= set(names)
    page = s3("GET", "/", query={"max-buckets": "1", "prefix": f"dev.{bucket}"})
    assert page.texts("Buckets/Bucket/Name") == [f"dev.{bucket}"]
    assert s3("HEAD", f"/{bucket}/").headers["x-amz-bucket-region"] == "PACHYDERM"
    assert s3("HEAD", "/nope").status == 404
    refused(s3("GET", "/nope"), 404, "NoSuchBucket")
    refused(s3("PUT", "/nope/k", b""), 404, "NoSuchBucket")
    refused(s3("PUT", "/bad~name"), 400, "InvalidBucketName")
    s3("PUT", f"/{bucket}/k", b"x")
    refused(s3("DELETE", f"/{bucket}"), 409, "BucketNotEmpty")
    s3("DELETE", f"/{bucket}/k")
    assert s3("DELETE", f"/{bucket}").status == 204
    refused(s3("DELETE", f"/{bucket}"), 404, "NoSuchBucket")
    assert bucket in shared_box.cli("list", "repo")
    assert s3("DELETE", f"/dev.{bucket}").status == 204
    assert bucket not in shared_box.cli("list", "repo")


def test_configurations_of_a_bucket(s3: S3, keys: Callable[..., str]) -> None:
    bucket = keys("k")
    path = f"/{bucket}"
    assert s3("GET", path, query={"location": ""}).body.endswith(b">PACHYDERM</LocationConstraint>")
    assert s3("GET", path, query={"versioning": ""}).text("Status") == "Enabled"
    enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert s3("PUT", path, enabled, {"versioning": ""}).status == 200
    suspended = enabled.replace(b"Enabled", b"Suspended")
    refused(s3("PUT", path, suspended, {"versioning": ""}), 501, "NotImplemented")
    for part, code in (
        ("policy", "NoSuchBucketPolicy"), ("lifecycle", "NoSuchLifecycleConfiguration"),
        ("cors", "NoSuchCORSConfiguration"), ("tagging", "NoSuchTagSet"),
        ("encryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("object-lock", "ObjectLockConfigurationNotFoundError"),
        ("publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
        ("website", "NoSuchWebsiteConfiguration"),
    ):  # fmt: skip
        refused(s3("GET", path, query={part: ""}), 404, code)
        answer = s3("PUT", path, b"<x/>", {part: ""})
        refused(answer, 501, "NotImplemented")
        assert "Put" in answer.text("Message")
        if part != "object-lock":
            assert s3("DELETE", path, query={part: ""}).status == 204
    for part in ("notification", "logging", "accelerate", "requestPayment"):
        assert s3("GET", path, query={part: ""}).status == 200
    assert s3("GET", path, query={"acl": ""}).texts(".//Permission") == ["FULL_CONTROL"]
    assert s3("GET", f"{path}/k", query={"acl": ""}).texts(".//Permission") == ["FULL_CONTROL"]
    assert s3("GET", f"{path}/k", query={"tagging": ""}).texts("TagSet/Tag") == []
    refused(s3("GET", f"{path}/none", query={"tagging": ""}), 404, "NoSuchKey")
    refused(s3("GET", "/nope", query={"policy": ""}), 404, "NoSuchBucket")
    for where in (path, f"{path}/k"):
        assert s3("PUT", where, b"", {"acl": ""}, x_amz_acl="private").status == 200
        refused(s3("PUT", where, b"", {"acl": ""}, x_amz_acl="wrong"), 400, "InvalidArgument")
        refused(s3("PUT", where, b"<AccessControlPolicy/>", {"acl": ""}), 501, "NotImplemented")
    for method, query in (("GET", "torrent"), ("PUT", "retention"), ("POST", "select")):
        refused(s3(method, f"{path}/k", b"", {query: ""}), 501, "NotImplemented")
    for name, value in (("x_amz_tagging", "a=b"), ("x_amz_server_side_encryption", "AES256"),
                        ("x_amz_object_lock_mode", "GOVERNANCE")):  # fmt: skip
        refused(s3("PUT", f"{path}/k", b"", **{name: value}), 501, "NotImplemented")
    refused(s3("PUT", f"{path}/k", b"", x_amz_storage_class="GLACIER"), 400, "InvalidStorageClass")
    refused(s3("PUT", f"{path}/k", b"", x_amz_acl="wrong"), 400, "InvalidArgument")
    assert s3("PUT", f"{path}/k", b"", x_amz_acl="private").status == 200


def test_methods_that_are_not_for_an_address(s3: S3) -> None:
    refused(s3("PATCH", "/nope"), 405, "MethodNotAllowed")
    refused(s3("POST", "/nope/k"), 405, "MethodNotAllowed")
    refused(s3("DELETE", "/"), 405, "MethodNotAllowed")
    refused(s3("OPTIONS", "/nope"), 403, "AccessForbidden")
    refused(s3("PUT", "/nope//k", b""), 404, "NoSuchBucket")
    refused(s3.raw("GET", "/%ff/k"), 400, "InvalidURI")
    refused(s3.raw("GET", "/b/k?versionId=%ff"), 400, "InvalidURI")
