"""The S3 door to a box with a token: who is let in, who is not, and what is never told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
import zlib
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.boxes import RealBox
from tests.s3 import S3, Answer, Signer, sha256, unsigned_chunks

TOKEN = "secret-token-of-this-test/+="
STREAM = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    home = tmp_path_factory.mktemp("closed") / "home"
    settings = f'token = "{TOKEN}"\nlog_level = "debug"\ns3_domain = "s3.example.org"\n'
    box = RealBox(home, settings=settings).start()
    yield box
    box.stop()


@pytest.fixture(scope="module")
def s3(closed: RealBox) -> Iterator[S3]:
    client = S3.of(closed.client.status().address, Signer(TOKEN, TOKEN))
    assert client("PUT", "/repo").status == 200
    assert client("PUT", "/repo/k", b"content").status == 200
    yield client
    client.close()


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body


def test_the_token_opens(s3: S3) -> None:
    assert s3("GET", "/repo/k").body == b"content"
    assert s3.by("pachybox", TOKEN)("GET", "/repo/k").status == 200
    path = "/repo/a b/ü%+&=~!*'(),:"
    assert s3("PUT", path, b"x", x_amz_meta_a="a  b ", content_type="t/x").status == 200
    query = [("prefix", "a b/ü%+&=~!*'()"), ("list-type", "2"), ("delimiter", "")]
    assert s3("GET", "/repo", query=query).texts("Contents/Key") == [path[6:]]


def test_others_are_refused(s3: S3) -> None:
    refused(s3.by("pachybox", "wrong")("GET", "/repo/k"), 403, "SignatureDoesNotMatch")
    refused(s3.by(TOKEN, TOKEN + "x")("GET", "/repo/k"), 403, "SignatureDoesNotMatch")
    refused(s3.by("other", TOKEN)("GET", "/repo/k"), 403, "InvalidAccessKeyId")
    refused(s3.anyone("GET", "/repo/k"), 403, "AccessDenied")
    refused(s3.anyone("GET", "/"), 403, "AccessDenied")
    refused(s3.anyone("PUT", "/repo/new", b"x"), 403, "AccessDenied")
    assert s3.anyone("HEAD", "/repo/k").status == 403
    bearer = s3.anyone("GET", "/repo/k", authorization=f"Bearer {TOKEN}")
    assert bearer.body == b"content"
    refused(s3("GET", "/repo/new"), 404, "NoSuchKey")


def test_what_was_signed_cannot_be_changed(s3: S3) -> None:
    signer = s3.signer
    assert signer is not None
    host = {"host": f"{s3.host}:{s3.port}", "x-amz-meta-a": "1"}
    query = [("x-id", "PutObject")]
    made = signer.header("PUT", "/repo/t", query, host, sha256(b"x"))
    target = "/repo/t?x-id=PutObject"
    assert s3.raw("PUT", target, b"x", made).status == 200
    wrong = "SignatureDoesNotMatch"
    refused(s3.raw("PUT", "/repo/u?x-id=PutObject", b"x", made), 403, wrong)
    refused(s3.raw("PUT", "/repo/t?x-id=other", b"x", made), 403, wrong)
    refused(s3.raw("PUT", target + "&a", b"x", made), 403, wrong)
    refused(s3.raw("PUT", target, b"x", {**made, "x-amz-meta-a": "2"}), 403, wrong)
    refused(s3.raw("PUT", target, b"y", made), 400, "XAmzContentSHA256Mismatch")
    refused(s3.raw("PUT", target, b"x", {**made, "x-amz-meta-b": "2"}), 403, "AccessDenied")
    refused(s3.raw("DELETE", target, b"x", made), 403, wrong)
    without = {k: v for k, v in made.items() if k != "x-amz-content-sha256"}
    refused(s3.raw("PUT", target, b"x", without), 400, "InvalidRequest")
    assert s3("GET", "/repo/t").body == b"x"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("AWS4-HMAC-SHA256", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=0",
         "AuthorizationHeaderMalformed"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=a/20260101/r/ec2/aws4_request, SignedHeaders=host, Signature="
         + "0" * 64, "AuthorizationHeaderMalformed"),
        ("AWS a", "InvalidArgument"), ("AWS a:b", "InvalidArgument"),
    ],
)  # fmt: skip
def test_malformed_signatures(s3: S3, header: str, code: str) -> None:
    refused(s3.raw("GET", "/repo/k", headers={"authorization": header}), 400, code)


def test_the_clock(s3: S3) -> None:
    signer = s3.signer
    assert signer is not None
    host = {"host": f"{s3.host}:{s3.port}"}
    for shift, status, code in (
        (-1000, 403, "RequestTimeTooSkewed"), (1000, 403, "RequestTimeTooSkewed"),
        (-600, 200, ""), (600, 200, ""),
    ):  # fmt: skip
        stamp = signer.stamp(time.time() + shift)
        made = signer.header("GET", "/repo/k", [], host, "UNSIGNED-PAYLOAD", stamp)
        answer = s3.raw("GET", "/repo/k", headers=made)
        assert (answer.status, answer.code) == (status, code)
    made = signer.header("GET", "/repo/k", [], host, "UNSIGNED-PAYLOAD", "20261340T000000Z")
    refused(s3.raw("GET", "/repo/k", headers=made), 403, "AccessDenied")


def presigned(
    s3: S3, method: str, path: str, query: list[tuple[str, str]] | None = None, **options: object
) -> str:
    signer = Signer("pachybox", TOKEN)
    pairs = signer.presigned(method, path, query or [], f"{s3.host}:{s3.port}", **options)  # type: ignore[arg-type]
    return f"{path}?" + "&".join(f"{quote(n)}={quote(v, safe='')}" for n, v in pairs)


def test_presigned_addresses(s3: S3) -> None:
    anyone = s3.anyone
    target = presigned(s3, "GET", "/repo/k")
    assert anyone.raw("GET", target).body == b"content"
    assert TOKEN not in target
    assert anyone.raw("PUT", presigned(s3, "PUT", "/repo/p"), b"put").status == 200
    assert s3("GET", "/repo/p").body == b"put"
    refused(anyone.raw("DELETE", target), 403, "SignatureDoesNotMatch")
    refused(anyone.raw("GET", target.replace("/k?", "/p?")), 403, "SignatureDoesNotMatch")
    refused(anyone.raw("GET", target.replace("Expires=60", "Expires=61")), 403,
            "SignatureDoesNotMatch")  # fmt: skip
    old = Signer("", "").stamp(time.time() - 120)
    refused(anyone.raw("GET", presigned(s3, "GET", "/repo/k", stamp=old)), 403, "AccessDenied")
    late = Signer("", "").stamp(time.time() + 2000)
    refused(anyone.raw("GET", presigned(s3, "GET", "/repo/k", stamp=late)), 403, "AccessDenied")
    bad = "AuthorizationQueryParametersError"
    for expires in (-1, 604801):
        target = presigned(s3, "GET", "/repo/k", expires=expires)
        refused(anyone.raw("GET", target), 403, bad)
    refused(anyone.raw("GET", "/repo/k?X-Amz-Signature=0"), 400, bad)
    refused(anyone.raw("GET", "/api/k?X-Amz-Algorithm=x"), 400, bad)


def test_headers_in_a_presigned_address(s3: S3) -> None:
    moved = [
        ("x-amz-meta-a", "ü"), ("x-amz-sdk-checksum-algorithm", "CRC32"),
        ("x-amz-checksum-crc32", "AAAAAA=="),
    ]  # fmt: skip
    target = presigned(s3, "PUT", "/repo/moved", moved)
    assert s3.anyone.raw("PUT", target, b"content").status == 200
    kept = s3("HEAD", "/repo/moved").headers["x-amz-meta-a"]
    assert kept.encode("latin-1").decode() == "ü"
    for bad in ([("x-amz-meta-a", "a\r\nb: c")], [("x-amz-meta-a: b", "c")]):
        target = presigned(s3, "PUT", "/repo/bad", bad)
        refused(s3.anyone.raw("PUT", target, b"x"), 400, "InvalidArgument")


def test_version_2_signatures(s3: S3) -> None:
    def sign(text: str) -> str:
        return base64.b64encode(hmac.digest(TOKEN.encode(), text.encode(), "sha1")).decode()

    date = formatdate(usegmt=True)
    signed = sign(f"GET\n\n\n{date}\n/repo/k")
    header = {"date": date, "authorization": f"AWS pachybox:{signed}"}
    assert s3.raw("GET", "/repo/k", headers=header).body == b"content"
    refused(s3.raw("GET", "/repo/p", headers=header), 403, "SignatureDoesNotMatch")
    for shift, status in ((60, 200), (-60, 403)):
        expires = int(time.time()) + shift
        signature = quote(sign(f"GET\n\n\n{expires}\n/repo/k"), safe="")
        target = f"/repo/k?AWSAccessKeyId=pachybox&Expires={expires}&Signature={signature}"
        assert s3.raw("GET", target).status == status


def streamed(
    s3: S3, payload: str, pieces: list[bytes], trailers: list[tuple[str, str]] | None = None
) -> tuple[dict[str, str], bytes]:
    """Headers and body of a PUT to /repo/stream in signed chunks."""
    signer = s3.signer
    assert signer is not None
    size = sum(len(piece) for piece in pieces)
    stamp = signer.stamp()
    named = {"host": f"{s3.host}:{s3.port}", "content-encoding": "aws-chunked",
             "x-amz-decoded-content-length": str(size)}  # fmt: skip
    if trailers:
        named["x-amz-trailer"] = trailers[0][0]
    made = signer.header("PUT", "/repo/stream", [], named, payload, stamp)
    seed = made["authorization"].rpartition("=")[2]
    if payload.startswith("STREAMING-UNSIGNED"):
        return made, unsigned_chunks(pieces, trailers or [])
    return made, signer.chunks(pieces, seed, stamp, trailers)


def test_chunks_that_are_signed(s3: S3) -> None:
    pieces = [b"a" * 70000, b"b" * 3, b"c" * 1000]
    crc = base64.b64encode(zlib.crc32(b"".join(pieces)).to_bytes(4, "big")).decode()
    trailers = [("x-amz-checksum-crc32", crc)]
    for payload, extra in (
        (STREAM, None), (f"{STREAM}-TRAILER", trailers),
        ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", trailers),
    ):  # fmt: skip
        headers, body = streamed(s3, payload, pieces, extra)
        s3("DELETE", "/repo/stream")
        answer = s3.raw("PUT", "/repo/stream", body, headers)
        assert answer.status == 200, answer.body
        assert answer.headers.get("x-amz-checksum-crc32", "") == (crc if extra else "")
        got = s3("GET", "/repo/stream", x_amz_checksum_mode="ENABLED")
        assert got.body == b"".join(pieces)
        assert "content-encoding" not in got.headers
        assert got.headers.get("x-amz-checksum-crc32", "") == (crc if extra else "")


def test_chunks_that_were_changed(s3: S3) -> None:
    s3("PUT", "/repo/stream", b"before")
    pieces = [b"a" * 1000, b"b" * 1000]
    headers, body = streamed(s3, STREAM, pieces)
    wrong = "SignatureDoesNotMatch"
    changed = bytearray(body)
    changed[body.index(b"bbb")] ^= 1
    refused(s3.raw("PUT", "/repo/stream", bytes(changed), headers), 403, wrong)
    unsigned = unsigned_chunks(pieces)
    refused(s3.raw("PUT", "/repo/stream", unsigned, headers), 400, "InvalidRequest")
    short = {**headers, "content-length": str(len(body) - 90)}
    assert s3.raw("PUT", "/repo/stream", body[:-90], short).status in (400, 403)
    bad = [("x-amz-checksum-crc32", "AAAAAA==")]
    for payload in (f"{STREAM}-TRAILER", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        headers, body = streamed(s3, payload, pieces, bad)
        refused(s3.raw("PUT", "/repo/stream", body, headers), 400, "BadDigest")
    headers, body = streamed(s3, f"{STREAM}-TRAILER", pieces, bad)
    body = body.replace(b"AAAAAA==", b"AAAAAQ==")
    refused(s3.raw("PUT", "/repo/stream", body, headers), 403, wrong)
    headers, body = streamed(s3, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", pieces)
    refused(s3.raw("PUT", "/repo/stream", body, headers), 501, "NotImplemented")
    assert s3("GET", "/repo/stream").body == b"before"


def test_virtual_hosts(s3: S3) -> None:
    for host in (f"repo.localhost:{s3.port}", "repo.s3.example.org", f"REPO.s3.example.org:{1}"):
        status = 404 if host.startswith("REPO") else 200
        assert s3("GET", "/k", host=host).status == status
        assert s3("GET", "/", host=host).status == status
    listed = s3("GET", "/", host="s3.example.org")
    assert listed.texts("Buckets/Bucket/Name") == ["master.repo"]


def test_the_token_is_never_told(s3: S3, closed: RealBox) -> None:
    anyone = s3.anyone
    answers = [
        s3.by(TOKEN, "wrong")("GET", "/repo/k"),
        anyone.raw("GET", f"/repo/k?X-Amz-Signature={quote(TOKEN)}"),
        anyone("GET", "/repo/k", authorization=f"AWS {TOKEN}:x"),
        anyone("GET", "/repo/k", authorization=f"AWS4-HMAC-SHA256 {TOKEN}"),
    ]
    for answer in answers:
        assert answer.status >= 400
        assert TOKEN.encode() not in answer.body
    log = (closed.home / "run" / "box.log").read_text()
    assert "S3 GetObject" in log
    assert TOKEN not in log
    assert quote(TOKEN) not in log
    assert hashlib.sha256(b"").hexdigest() not in log


def test_the_owner_of_the_socket_needs_no_token(closed: RealBox, s3: S3, tmp_path: Path) -> None:
    from tests.unit.api.house import Raw

    raw = Raw(closed.socket)
    status, _, body = raw.request("GET", "/repo/k", host="box")
    raw.close()
    assert (status, body) == (200, b"content")
