"""The S3 door: bodies and their digests, multipart uploads, and what else is at the port."""

from __future__ import annotations

import base64
import hashlib
import socket
import zlib
from collections.abc import Iterator

import pytest
from awscrt import checksums as crt

from tests.boxes import RealBox, eventually
from tests.s3 import S3, Answer, unsigned_chunks
from tests.unit.api.house import Raw

MIB = 1 << 20


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sums(data: bytes) -> dict[str, str]:
    """All checksums of ``data`` by algorithm."""
    return {
        "crc32": b64(zlib.crc32(data).to_bytes(4, "big")),
        "crc32c": b64(crt.crc32c(data).to_bytes(4, "big")),
        "crc64nvme": b64(crt.crc64nvme(data).to_bytes(8, "big")),
        "sha1": b64(hashlib.sha1(data).digest()),
        "sha256": b64(hashlib.sha256(data).digest()),
    }


# ---- digests


@pytest.mark.parametrize("size", [0, 10, 3 * MIB + 1])
def test_all_checksums_are_compared_and_kept(s3: S3, bucket: str, size: int) -> None:
    data = bytes(i & 0xFF for i in range(256)) * (size // 256 + 1)
    data = data[:size]
    path = f"/{bucket}/k"
    for name, value in sums(data).items():
        headers = {f"x_amz_checksum_{name}": value, "x_amz_sdk_checksum_algorithm": name.upper()}
        put = s3("PUT", path, data, **headers)
        assert (put.status, put.headers[f"x-amz-checksum-{name}"]) == (200, value)
        got = s3("HEAD", path, x_amz_checksum_mode="ENABLED")
        assert got.headers[f"x-amz-checksum-{name}"] == value
        assert got.headers["x-amz-checksum-type"] == "FULL_OBJECT"
        assert f"x-amz-checksum-{name}" not in s3("HEAD", path).headers
        wrong = sums(data + b"x")[name]
        refused(s3("PUT", path, data, **{f"x_amz_checksum_{name}": wrong}), 400, "BadDigest")
    attributes = s3("GET", path, query={"attributes": ""},
                    x_amz_object_attributes="ETag,Checksum,ObjectSize,StorageClass")  # fmt: skip
    assert attributes.text("Checksum/ChecksumSHA256") == sums(data)["sha256"]
    assert attributes.text("ObjectSize") == str(size)
    assert attributes.text("ETag") == hashlib.md5(data).hexdigest()
    ranged = s3("GET", path, range="bytes=0-1", x_amz_checksum_mode="ENABLED")
    assert "x-amz-checksum-sha256" not in ranged.headers


def test_nothing_is_stored_of_what_is_not_as_said(s3: S3, bucket: str) -> None:
    path = f"/{bucket}/k"
    md5 = b64(hashlib.md5(b"data").digest())
    assert s3("PUT", path, b"data", content_md5=md5).status == 200
    for headers, code in (
        ({"content_md5": b64(bytes(16))}, "BadDigest"), ({"content_md5": "short"}, "InvalidDigest"),
        ({"content_md5": b64(b"short")}, "InvalidDigest"), ({"content_md5": ""}, "InvalidDigest"),
        ({"x_amz_content_sha256": "0" * 64}, "XAmzContentSHA256Mismatch"),
        ({"x_amz_content_sha256": "wrong"}, "InvalidArgument"),
        ({"x_amz_checksum_crc32": "x"}, "InvalidRequest"),
        ({"x_amz_checksum_crc32": b64(bytes(5))}, "InvalidRequest"),
        ({"x_amz_checksum_crc32": b64(bytes(4)), "x_amz_checksum_sha1": b64(bytes(20))},
         "InvalidRequest"),
        ({"x_amz_sdk_checksum_algorithm": "CRC32"}, "InvalidRequest"),
        ({"x_amz_sdk_checksum_algorithm": "MD4"}, "InvalidRequest"),
        ({"x_amz_sdk_checksum_algorithm": "SHA1", "x_amz_checksum_crc32": b64(bytes(4))},
         "InvalidRequest"),
        ({"x_amz_trailer": "x-amz-meta-a"}, "InvalidRequest"),
        ({"x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, "MissingContentLength"),
    ):  # fmt: skip
        answer = s3("PUT", path, b"other", **headers)
        assert (answer.status, answer.code) == (411 if code.startswith("Miss") else 400, code)
    answer = s3("PUT", path, b"x", **{f"x_amz_meta_{n}": "v" * 3000 for n in range(3)})
    refused(answer, 400, "MetadataTooLarge")
    assert s3("GET", path).body == b"data"
    assert len(s3("GET", f"/{bucket}", query={"versions": ""}).texts("Version")) == 1


def test_chunked_bodies(s3: S3, bucket: str) -> None:
    path = f"/{bucket}/k"
    pieces = [b"a" * 100_000, b"b", b"c" * (2 * MIB)]
    http = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    assert s3("PUT", path, http, transfer_encoding="chunked").status == 200
    assert s3("GET", path).body == b"".join(pieces)
    crc = sums(b"".join(pieces))["crc32c"]
    coded = unsigned_chunks(pieces, [("x-amz-checksum-crc32c", crc)])
    length = str(len(b"".join(pieces)))
    headers = {
        "x_amz_content_sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "x_amz_trailer": "x-amz-checksum-crc32c", "x_amz_decoded_content_length": length,
        "content_encoding": "gzip,aws-chunked",
    }  # fmt: skip
    twice = b"%x\r\n%s\r\n0\r\n\r\n" % (len(coded), coded)
    for body, more in ((coded, {}), (twice, {"transfer_encoding": "chunked"})):
        answer = s3("PUT", path, body, **headers, **more)
        assert answer.status == 200, answer.body
        assert answer.headers["x-amz-checksum-crc32c"] == crc
        assert s3("HEAD", path).headers["content-encoding"] == "gzip"
    wrong = {**headers, "x_amz_decoded_content_length": str(int(length) - 1)}
    refused(s3("PUT", path, coded, **wrong), 400, "IncompleteBody")
    wrong = {**headers, "x_amz_trailer": "x-amz-checksum-sha1"}
    refused(s3("PUT", path, coded, **wrong), 400, "InvalidRequest")
    assert s3("PUT", path, b"plain", content_encoding="aws-chunked").status == 200
    assert "content-encoding" not in s3("HEAD", path).headers


# ---- the transport


@pytest.fixture
def raw(s3: S3) -> Iterator[Raw]:
    client = Raw((s3.host, s3.port))
    yield client
    client.close()


def test_a_client_that_waits_is_told_to_go_on(s3: S3, raw: Raw, bucket: str) -> None:
    raw.send(
        f"PUT /{bucket}/k HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n"
        "expect: 100-continue\r\n\r\n".encode()
    )
    assert raw.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
    raw.send(b"hello")
    assert raw.answer()[0] == 200
    raw.send(
        b"PUT /none/k HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n"
        b"expect: 100-continue\r\n\r\n"
    )
    status, headers, body = raw.answer()
    assert (status, headers["connection"]) == (404, "close")
    assert b"NoSuchBucket" in body
    assert raw.ended()
    assert s3("GET", f"/{bucket}/k").body == b"hello"


def test_a_connection_goes_on_after_refusals(raw: Raw, bucket: str) -> None:
    for _ in range(3):
        status, headers, _ = raw.request("PUT", f"/{bucket}/a//b", b"x" * 1000)
        assert (status, headers.get("connection")) == (400, None)
        assert raw.request("GET", f"/{bucket}/none")[0] == 404
        assert raw.request("HEAD", f"/{bucket}/none")[::2] == (404, b"")
        assert raw.request("PUT", f"/{bucket}/k", b"x")[0] == 200
        assert raw.request("DELETE", f"/{bucket}/k")[0] == 204


def test_lengths(s3: S3, raw: Raw, bucket: str) -> None:
    raw.send(f"PUT /{bucket}/k HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    status, _, body = raw.answer()
    assert (status, b"MissingContentLength" in body) == (411, True)
    raw.send(
        f"PUT /{bucket}/k HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc".encode()
    )
    raw.sock.shutdown(socket.SHUT_WR)
    assert raw.ended()
    refused(s3("GET", f"/{bucket}/k"), 404, "NoSuchKey")
    answer = s3("PUT", f"/{bucket}/k", b"", content_length=str(6 << 40))
    refused(answer, 400, "EntityTooLarge")


def test_every_answer_has_its_number(s3: S3, raw: Raw) -> None:
    answers = [s3("GET", "/"), s3("GET", "/none"), s3("HEAD", "/none"), s3("PATCH", "/none")]
    numbers = {answer.headers["x-amz-request-id"] for answer in answers}
    assert len(numbers) == 4
    assert answers[1].text("RequestId") == answers[1].headers["x-amz-request-id"]
    assert answers[1].text("Resource") == "/none"


def test_a_client_that_leaves_stops_its_request(s3: S3, bucket: str, shared_box: RealBox) -> None:
    leaving = Raw((s3.host, s3.port))
    head = f"PUT /{bucket}/k HTTP/1.1\r\nhost: localhost\r\ncontent-length: {64 * MIB}\r\n\r\n"
    leaving.send(head.encode() + b"x" * MIB)
    leaving.close()
    line = 'pachybox_requests_total{method="S3 PutObject",code="cancelled"}'
    eventually(lambda: line in metrics(s3), "the request ends")
    assert s3("GET", f"/{bucket}").texts("Contents/Key") == []


def metrics(s3: S3) -> str:
    return s3.raw("GET", "/metrics").body.decode()


# ---- what else is at the port


def test_other_doors_keep_their_addresses(s3: S3) -> None:
    for path, start in (
        ("/healthz", b"ok"), ("/metrics", b"# HELP"), ("/openapi.json", b"{"), ("/docs", b"<!"),
    ):  # fmt: skip
        answer = s3.raw("GET", path)
        assert (answer.status, answer.body[: len(start)].lower()) == (200, start.lower())
        assert "x-amz-request-id" not in answer.headers
    version = s3.raw("POST", "/api/versionpb_v2.API/GetVersion", b"{}")
    assert version.body.startswith(b"{")
    assert s3.raw("GET", "/pfs/default/none/master/f").body.startswith(b"{")
    page = s3.raw("GET", "/", headers={"accept": "text/html,*/*"})
    assert (page.status, page.headers["location"]) == (302, "/docs")
    assert s3.raw("GET", "/", headers={"accept": "*/*"}).xml.tag == "ListAllMyBucketsResult"


def test_what_is_marked_as_s3_is_s3s(s3: S3) -> None:
    stamp = "20260101T000000Z"
    for target, headers in (
        ("/pfs/k", {"x-amz-date": stamp}), ("/pfs/k?X-Amz-Signature=0", {}),
        ("/docs", {"authorization": "AWS x:y"}), ("/docs", {"host": "docs.localhost"}),
        ("/api/x?AWSAccessKeyId=a&Signature=b&Expires=1", {}),
        ("/", {"accept": "text/html", "authorization": "AWS4-HMAC-SHA256 x"}),
    ):  # fmt: skip
        assert "x-amz-request-id" in s3.raw("GET", target, headers=headers).headers, target


def test_foreign_pages_are_refused(s3: S3) -> None:
    for headers in (
        {"host": "evil.example"}, {"host": "localhost.evil.example"}, {"host": "evillocalhost"},
        {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"},
    ):  # fmt: skip
        answer = s3.raw("GET", "/", headers=headers)
        refused(answer, 403, "AccessDenied")
    assert s3.raw("GET", "/", headers={"host": "a.b.localhost"}).code == "NoSuchBucket"


def test_requests_are_counted_by_operation(s3: S3, bucket: str) -> None:
    s3("GET", f"/{bucket}/none")
    s3("GET", "/", body=b"", authorization="AWS4-HMAC-SHA256 x")
    text = metrics(s3)
    assert 'pachybox_requests_total{method="S3 GetObject",code="NoSuchKey"}' in text
    assert 'method="S3 CreateBucket",code="ok"' in text
    assert 'method="S3 ListBuckets",code="AuthorizationHeaderMalformed"' in text


# ---- multipart uploads


def begin(s3: S3, path: str, **headers: str) -> str:
    answer = s3("POST", path, query={"uploads": ""}, **headers)
    assert answer.status == 200, answer.body
    return answer.text("UploadId")


def completion(parts: list[tuple[int, str]]) -> bytes:
    inner = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in parts
    )
    return f"<CompleteMultipartUpload>{inner}</CompleteMultipartUpload>".encode()


def test_a_multipart_upload(s3: S3, bucket: str) -> None:
    path = f"/{bucket}/d/big"
    pieces = [b"a" * 5 * MIB, b"b" * 5 * MIB, b"end"]
    upload = begin(s3, path, content_type="text/x", x_amz_meta_a="1",
                   x_amz_checksum_algorithm="CRC32", x_amz_checksum_type="FULL_OBJECT")  # fmt: skip
    etags = {}
    for number in (3, 1, 2):
        piece = pieces[number - 1]
        part = s3("PUT", path, piece, {"partNumber": str(number), "uploadId": upload},
                  x_amz_checksum_crc32=sums(piece)["crc32"])  # fmt: skip
        etags[number] = part.headers["etag"]
        assert etags[number] == f'"{hashlib.md5(piece).hexdigest()}"'
    listed = s3("GET", path, query={"uploadId": upload, "max-parts": "2"})
    assert listed.texts("Part/PartNumber") == ["1", "2"]
    assert (listed.text("IsTruncated"), listed.text("NextPartNumberMarker")) == ("true", "2")
    assert listed.texts("Part/ChecksumCRC32") == [sums(p)["crc32"] for p in pieces[:2]]
    rest = s3("GET", path, query={"uploadId": upload, "part-number-marker": "2"})
    assert rest.texts("Part/Size") == ["3"]
    uploads = s3("GET", f"/{bucket}", query={"uploads": "", "prefix": "d/"})
    assert uploads.texts("Upload/UploadId") == [upload]
    assert uploads.texts("Upload/Key") == ["d/big"]
    refused(s3("GET", path), 404, "NoSuchKey")
    chosen = completion([(n, etags[n]) for n in (1, 2, 3)])
    whole = b"".join(pieces)
    wrong = {"x_amz_checksum_crc32": sums(b"x")["crc32"]}
    refused(s3("POST", path, chosen, {"uploadId": upload}, **wrong), 400, "BadDigest")
    wrong = {"x_amz_mp_object_size": "1"}
    refused(s3("POST", path, chosen, {"uploadId": upload}, **wrong), 400, "InvalidRequest")
    done = s3("POST", path, chosen, {"uploadId": upload},
              x_amz_checksum_crc32=sums(whole)["crc32"], if_none_match="*")  # fmt: skip
    assert done.status == 200, done.body
    digest = hashlib.md5(b"".join(hashlib.md5(p).digest() for p in pieces)).hexdigest()
    assert done.text("ETag") == f'"{digest}-3"'
    assert done.text("ChecksumCRC32") == sums(whole)["crc32"]
    got = s3("GET", path, x_amz_checksum_mode="ENABLED")
    assert got.body == whole
    assert (got.headers["content-type"], got.headers["x-amz-meta-a"]) == ("text/x", "1")
    assert got.headers["x-amz-checksum-crc32"] == sums(whole)["crc32"]
    part = s3("GET", path, query={"partNumber": "2"})
    assert (part.status, part.body, part.headers["x-amz-mp-parts-count"]) == (206, pieces[1], "3")
    across = s3("GET", path, range=f"bytes={5 * MIB - 2}-{5 * MIB + 1}")
    assert across.body == b"aabb"
    attributes = s3("GET", path, query={"attributes": ""}, x_amz_object_attributes="ObjectParts")
    assert attributes.text("ObjectParts/PartsCount") == "3"
    assert attributes.texts("ObjectParts/Part/Size") == [str(len(p)) for p in pieces]
    refused(s3("GET", path, query={"uploadId": upload}), 404, "NoSuchUpload")


def test_composite_checksums(s3: S3, bucket: str) -> None:
    path = f"/{bucket}/k"
    upload = begin(s3, path, x_amz_checksum_algorithm="SHA256")
    part = s3("PUT", path, b"one", {"partNumber": "1", "uploadId": upload})
    assert part.headers["x-amz-checksum-sha256"] == sums(b"one")["sha256"]
    chosen = completion([(1, part.headers["etag"])])
    refused(s3("POST", path, chosen, {"uploadId": upload}), 400, "InvalidRequest")
    sum_of_it = f"<ChecksumSHA256>{sums(b'one')['sha256']}</ChecksumSHA256></Part>".encode()
    summed = chosen.replace(b"</Part>", sum_of_it)
    done = s3("POST", path, summed, {"uploadId": upload})
    made = b64(hashlib.sha256(hashlib.sha256(b"one").digest()).digest())
    assert done.text("ChecksumSHA256") == f"{made}-1"
    assert done.text("ChecksumType") == "COMPOSITE"
    for name, kind in (("CRC64NVME", "COMPOSITE"), ("SHA1", "FULL_OBJECT"), ("", "COMPOSITE")):
        headers = {"x_amz_checksum_type": kind}
        if name:
            headers["x_amz_checksum_algorithm"] = name
        refused(s3("POST", path, b"", {"uploads": ""}, **headers), 400, "InvalidRequest")


def test_parts_that_are_copied(s3: S3, bucket: str) -> None:
    source = bytes(range(256)) * (24 * MIB // 1024)
    s3("PUT", f"/{bucket}/source", source)
    path, size = f"/{bucket}/target", len(source)
    upload = begin(s3, path)
    where = {"x_amz_copy_source": f"/{bucket}/source"}
    query = {"partNumber": "1", "uploadId": upload}
    first = s3("PUT", path, b"", query, x_amz_copy_source_range=f"bytes=1-{size - 1}", **where)
    assert first.text("ETag") == f'"{hashlib.md5(source[1:]).hexdigest()}"'
    second = s3("PUT", path, b"", {**query, "partNumber": "2"}, **where)
    for text, code in (("bytes=0-", "InvalidArgument"), ("bytes=5-2", "InvalidArgument"),
                       (f"bytes=0-{size}", "InvalidRange"),
                       (f"bytes={size}-{size + 1}", "InvalidRange")):  # fmt: skip
        assert s3("PUT", path, b"", query, x_amz_copy_source_range=text, **where).code == code
    chosen = completion([(1, first.text("ETag")), (2, second.text("ETag"))])
    assert s3("POST", path, chosen, {"uploadId": upload}).status == 200
    assert s3("GET", path).body == source[1:] + source


def test_uploads_that_cannot_be_completed(s3: S3, bucket: str) -> None:
    path = f"/{bucket}/k"
    upload = begin(s3, path)
    query = {"uploadId": upload}
    etags = [
        s3("PUT", path, b"small", {"partNumber": str(n), **query}).headers["etag"] for n in (1, 2)
    ]
    for parts, code in (
        ([(1, etags[0]), (2, etags[1])], "EntityTooSmall"), ([(2, etags[1]), (1, etags[0])],
        "InvalidPartOrder"), ([(1, etags[0]), (1, "0" * 32)], "InvalidPart"),
        ([(1, "0" * 32)], "InvalidPart"), ([(7, etags[0])], "InvalidPart"), ([], "MalformedXML"),
    ):  # fmt: skip
        refused(s3("POST", path, completion(parts), query), 400, code)
    for number in ("0", "10001", "x", "-1", ""):
        answer = s3("PUT", path, b"", {"partNumber": number, **query})
        refused(answer, 400, "InvalidArgument")
    for body in (b"", b"<x/>", b"<CompleteMultipartUpload><Part/></CompleteMultipartUpload>"):
        refused(s3("POST", path, body, query), 400, "MalformedXML")
    refused(s3("PUT", f"/{bucket}/other", b"", {"partNumber": "1", **query}), 404, "NoSuchUpload")
    assert s3("DELETE", path, query=query).status == 204
    refused(s3("DELETE", path, query=query), 404, "NoSuchUpload")
    refused(s3("PUT", path, b"", {"partNumber": "1", **query}), 404, "NoSuchUpload")
    refused(s3("GET", path), 404, "NoSuchKey")
    assert s3("GET", f"/{bucket}", query={"uploads": ""}).texts("Upload") == []
