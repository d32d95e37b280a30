"""Inputs for the S3 door: every operation, signed or not, whole or damaged.

An input is JSON: a request before it is signed (signatures are good for minutes only), how it is
to be signed, and a seed for the damage that is done to it afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import Any
from urllib.parse import quote

from tests.fuzz.noise import ODD, Noise
from tests.fuzz.wire import Outcome, exchange
from tests.fuzz.world import TOKEN, Subject
from tests.s3 import Signer, unsigned_chunks

name = "s3"
_BUCKET, _KEY = "master.images", "/master.images/a.txt"
_HOST = "localhost"
_DELETE = "<Delete><Object><Key>a.txt</Key></Object><Quiet>true</Quiet></Delete>"
_PARTS = (
    "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
    "</CompleteMultipartUpload>"
)
_VERSIONING = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
# (verb, path, query, body) of every operation, and of some that are not had
_SEEDS: tuple[tuple[str, str, str, str], ...] = (
    ("GET", "/", "", ""), ("GET", f"/{_BUCKET}", "", ""), ("GET", f"/{_BUCKET}", "list-type=2", ""),
    ("GET", f"/{_BUCKET}", "list-type=2&prefix=d&delimiter=/&max-keys=2&fetch-owner=true", ""),
    ("GET", f"/{_BUCKET}", "versions&key-marker=a&version-id-marker=x", ""),
    ("GET", f"/{_BUCKET}", "location", ""), ("GET", f"/{_BUCKET}", "versioning", ""),
    ("GET", f"/{_BUCKET}", "uploads&max-uploads=5", ""), ("HEAD", f"/{_BUCKET}", "", ""),
    ("PUT", "/master.fresh", "", "<CreateBucketConfiguration/>"),
    ("PUT", f"/{_BUCKET}", "versioning", _VERSIONING), ("DELETE", "/master.other", "", ""),
    ("POST", f"/{_BUCKET}", "delete", _DELETE), ("POST", f"/{_BUCKET}", "", "x"),
    ("GET", _KEY, "", ""), ("HEAD", _KEY, "", ""), ("GET", _KEY, "attributes", ""),
    ("GET", _KEY, "partNumber=1", ""), ("GET", _KEY, "versionId=0123456789abcdef", ""),
    ("GET", _KEY, "response-content-type=text/html&response-expires=x", ""),
    ("PUT", f"/{_BUCKET}/new", "", "content"), ("DELETE", _KEY, "", ""),
    ("POST", f"/{_BUCKET}/up", "uploads", ""),
    ("PUT", f"/{_BUCKET}/up", "uploadId=x&partNumber=1", "p"),
    ("GET", f"/{_BUCKET}/up", "uploadId=x&max-parts=3", ""),
    ("DELETE", f"/{_BUCKET}/up", "uploadId=x", ""),
    ("POST", f"/{_BUCKET}/up", "uploadId=x", _PARTS), ("GET", f"/{_BUCKET}", "acl", ""),
    ("PUT", _KEY, "tagging", "<Tagging/>"), ("POST", _KEY, "select&select-type=2", "<x/>"),
    ("GET", f"/{_BUCKET}", "policy", ""), ("PUT", f"/{_BUCKET}", "cors", "<x/>"),
    ("OPTIONS", _KEY, "", ""),
)  # fmt: skip
_HEADERS: tuple[tuple[str, str], ...] = (
    ("content-md5", "x"), ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), ("content-type", "a/b"),
    ("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "x"), ("x-amz-meta-a", "ü"),
    ("x-amz-checksum-sha256", "AAAA"), ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
    ("x-amz-sdk-checksum-algorithm", "CRC32"), ("x-amz-checksum-algorithm", "WHAT"),
    ("x-amz-checksum-type", "COMPOSITE"), ("x-amz-checksum-mode", "ENABLED"),
    ("x-amz-trailer", "x-amz-checksum-crc32"), ("x-amz-decoded-content-length", "5"),
    ("x-amz-decoded-content-length", "x"), ("content-encoding", "aws-chunked"),
    ("x-amz-copy-source", "/master.images/a.txt"), ("x-amz-copy-source", "%ff?versionId=x"),
    ("x-amz-copy-source", "nothing"), ("x-amz-copy-source-range", "bytes=0-1"),
    ("x-amz-copy-source-if-match", "x"), ("x-amz-metadata-directive", "REPLACE"),
    ("x-amz-metadata-directive", "WHAT"), ("if-match", '"x"'), ("if-none-match", "*"),
    ("if-modified-since", "never"), ("range", "bytes=0-2"), ("range", "bytes=9-1"),
    ("range", "bytes=-0"), ("x-amz-acl", "public-read"), ("x-amz-tagging", "a=b"),
    ("x-amz-storage-class", "WHAT"), ("x-amz-server-side-encryption", "AES256"),
    ("x-amz-expected-bucket-owner", "1"), ("x-amz-object-attributes", "ETag,What"),
    ("x-amz-meta-" + "k" * 3000, "v"), ("x-amz-write-offset-bytes", "3"), ("expires", "x"),
    ("host", "master.images.localhost"), ("host", "..localhost"), ("transfer-encoding", "chunked"),
    ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("x-amz-content-sha256", "0" * 64),
    ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), ("x-amz-date", "yesterday"),
    ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), ("x-amz-mp-object-size", "-1"),
    ("authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/s3/aws4_request"),
    ("expect", "100-continue"),
    ("authorization", "AWS a:b"), ("authorization", "Bearer x"), ("date", "x"),
)  # fmt: skip
_PARAMETERS = (
    "prefix", "delimiter", "marker", "max-keys", "continuation-token", "start-after",
    "encoding-type",
    "versionId", "uploadId", "partNumber", "part-number-marker", "key-marker", "upload-id-marker",
    "list-type", "X-Amz-Algorithm", "X-Amz-Expires", "X-Amz-Date", "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders", "AWSAccessKeyId", "Signature", "Expires", "acl", "tagging", "torrent",
    "response-cache-control", "x-id", "append", "policyStatus",
)  # fmt: skip
_XML = (
    '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><Delete>&b;</Delete>',
    '<!DOCTYPE x SYSTEM "file:///etc/passwd"><Delete/>', "<Delete xmlns='urn:x'/>", "<a>" * 3000,
    "<Delete>" + "<Object><Key>x</Key></Object>" * 1001 + "</Delete>", "<?xml version='1.1'?><x/>",
    "<?xml version='1.0' encoding='utf-16'?><x/>", "<Delete><Object/></Delete>", "<x>&#0;</x>", "",
    "<Delete><Object><Key>a.txt</Key><VersionId>x</VersionId><ETag>y</ETag></Object></Delete>",
    "<CompleteMultipartUpload><Part><PartNumber>x</PartNumber></Part></CompleteMultipartUpload>",
    "<CompleteMultipartUpload><Part><PartNumber>-99999999999999999999</PartNumber><ETag/></Part>"
    "</CompleteMultipartUpload>",
)  # fmt: skip
_SIGNS = ("none", "none", "header", "header", "presigned", "chunks", "unsigned-chunks", "wrong")


def make(noise: Noise) -> bytes:
    """One request, somewhere between valid and noise."""
    verb, path, query, body = noise.choice(_SEEDS)
    content = body.encode()
    if noise.once_in(4):
        path = f"/{_BUCKET}/" + quote(noise.word(), safe=noise.choice(("/", "/%?#&")))
    elif noise.once_in(10):
        path = "/" + quote(noise.word(), safe="/") + noise.choice(("", "/k"))
    if noise.once_in(3):
        value = noise.choice((noise.word(), str(noise.number()), ""))
        query += f"&{noise.choice(_PARAMETERS)}={quote(value, safe='')}"
    if content.startswith(b"<") and noise.random() < 0.7:
        content = noise.damaged(content) if noise.once_in(2) else noise.choice(_XML).encode()
    elif content and noise.once_in(3):
        content = noise.randbytes(noise.choice((0, 1, 100, 70_000)))
    headers = [noise.choice(_HEADERS) for _ in range(noise.choice((0, 1, 1, 2, 4)))]
    if noise.once_in(8):
        headers.append(("x-amz-checksum-crc32", _crc32(content)))
    made: dict[str, Any] = {
        "verb": verb if not noise.once_in(25) else noise.choice(("PATCH", "POST", "PUT", "GET")),
        "path": path, "query": query.lstrip("&"), "headers": headers,
        "body": base64.b64encode(content).decode(), "sign": noise.choice(_SIGNS),
    }  # fmt: skip
    if noise.once_in(4):
        made["damage"] = noise.randrange(1 << 30)
    return json.dumps(made).encode()


def _crc32(data: bytes) -> str:
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def rendered(data: bytes) -> bytes:
    """The bytes to send now."""
    made = json.loads(data)
    noise = Noise(made.get("damage", 0))
    body, path, query = base64.b64decode(made["body"]), made["path"], made["query"]
    given = {n: v for n, v in made["headers"]}
    headers = {"host": _HOST, **{n: v for n, v in given.items() if n != "host"}}
    headers["host"] = given.get("host", _HOST)
    pairs = [tuple(pair.partition("=")[::2]) for pair in query.split("&") if pair]
    signer = Signer(TOKEN, TOKEN if made["sign"] != "wrong" else "guess")
    verb, sign = made["verb"], made["sign"]
    if sign in ("header", "wrong"):
        signed = {n: v for n, v in headers.items() if n in ("host", "content-type")}
        plain = headers.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
        headers |= signer.header(verb, path, pairs, signed, plain)
    elif sign == "presigned":
        pairs = signer.presigned(verb, path, pairs, headers["host"])
        query = "&".join(f"{n}={quote(str(v), safe='')}" for n, v in pairs)
    elif sign == "chunks":
        headers["x-amz-decoded-content-length"] = str(len(body))
        stamp = signer.stamp()
        signed = {n: v for n, v in headers.items() if n == "host"}
        headers |= signer.header(
            verb, path, pairs, signed, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", stamp
        )
        seed = headers["authorization"].rpartition("=")[2]
        body = signer.chunks([body[:10], body[10:]] if len(body) > 10 else [body], seed, stamp)
    elif sign == "unsigned-chunks":
        trailer = ("x-amz-checksum-crc32", _crc32(body))
        headers |= {
            "x-amz-decoded-content-length": str(len(body)), "x-amz-trailer": trailer[0],
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        }  # fmt: skip
        body = unsigned_chunks([body], [trailer])
    if "transfer-encoding" in headers:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    else:
        headers.setdefault("content-length", str(len(body)))
    return _damaged(noise, made, _bytes(verb, path, query, headers, body), body)


def _bytes(verb: str, path: str, query: str, headers: dict[str, str], body: bytes) -> bytes:
    target = path + (f"?{query}" if query else "")
    lines = [f"{verb} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogatepass") + body


def _damaged(noise: Noise, made: dict[str, Any], data: bytes, body: bytes) -> bytes:
    """What is on the wire, with its head or its body damaged when the input says so."""
    if "damage" not in made:
        return data
    at = len(data) - len(body)
    if body and noise.once_in(2):
        harmed = noise.damaged(body, 2)
        return data[:at] + harmed + body[len(harmed) :]  # as long as it said, at least
    head = data[:at].decode("latin-1").split("\r\n")
    line = noise.randrange(max(1, len(head) - 2))
    head[line] = noise.damaged(head[line].encode("latin-1"), 1).decode("latin-1")
    if noise.once_in(6):
        head.insert(1, f"x-amz-{noise.choice(ODD)}: {noise.choice(ODD)}".encode().decode("latin-1"))
    return "\r\n".join(head).encode("latin-1") + body


def send(to: Subject, data: bytes) -> Outcome:
    return exchange(to.http, to.real(rendered(data)))


def writes(data: bytes) -> bool:
    """Whether an answer that is well may have changed something."""
    return json.loads(data)["verb"] not in ("GET", "HEAD", "OPTIONS") or "damage" in json.loads(
        data
    )


def empties(data: bytes) -> bool:
    made = json.loads(data)
    return made["verb"] == "DELETE" and made["path"].count("/") < 2


def stops(data: bytes) -> bool:
    return False


def keyed(data: bytes) -> bool:
    """Whether it is signed with the token."""
    return json.loads(data)["sign"] in ("header", "presigned", "chunks")
