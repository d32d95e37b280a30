"""What is S3's, which bucket and key a request means, and which operation it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from pachybox.api.http import Request
from pachybox.api.s3 import absent
from pachybox.api.s3.errors import S3Error

RESERVED = frozenset(
    ("api", "archive", "box", "docs", "files", "healthz", "ingest", "jsonschema", "metrics",
     "openapi.json", "pfs", "readyz")
)  # fmt: skip
"""First segments that belong to other doors unless the request is plainly S3's."""

MOST_KEY_BYTES = 1024
_QUERY_SIGNS = ("X-Amz-Signature=", "X-Amz-Algorithm=", "AWSAccessKeyId=")

_BUCKET = {
    "GET": {
        "": "ListObjects",
        "list-type": "ListObjectsV2",
        "location": "GetBucketLocation",
        "uploads": "ListMultipartUploads",
        "versioning": "GetBucketVersioning",
        "versions": "ListObjectVersions",
    },
    "HEAD": {"": "HeadBucket"},
    "PUT": {"": "CreateBucket", "versioning": "PutBucketVersioning"},
    "DELETE": {"": "DeleteBucket"},
    "POST": {"": "PostObject", "delete": "DeleteObjects"},
}
_OBJECT = {
    "GET": {"": "GetObject", "attributes": "GetObjectAttributes", "uploadId": "ListParts"},
    "HEAD": {"": "HeadObject"},
    "PUT": {"": "PutObject", "uploadId": "UploadPart"},
    "DELETE": {"": "DeleteObject", "uploadId": "AbortMultipartUpload"},
    "POST": {"uploadId": "CompleteMultipartUpload", "uploads": "CreateMultipartUpload"},
}
for _table, _more in ((_BUCKET, absent.BUCKET), (_OBJECT, absent.OBJECT)):
    for _method, _names in _more.items():
        _table[_method] = {**_names, **_table[_method]}


def signed(request: Request) -> bool:
    """Whether the request carries a signature of S3, right or wrong."""
    sign = request.headers.get("authorization", "")
    if sign.startswith(("AWS4-", "AWS ")):
        return True
    query = request.query
    return "A" in query and any(mark in query for mark in _QUERY_SIGNS)


def claims(request: Request, domains: tuple[str, ...]) -> bool:
    """Whether S3 answers: what is addressed or marked as S3's, and all that is no other door's.

    A browser that asks for ``/`` is shown the pages.
    """
    path = request.path
    if path == "/" and request.method == "GET" and not request.query:
        headers = request.headers
        page = "text/html" in headers.get("accept", "") and not signed(request)
        return not page or bool(virtual_bucket(headers.get("host", ""), domains))
    end = path.find("/", 1)
    if (path[1:end] if end > 0 else path[1:]) not in RESERVED:
        return True
    if signed(request) or virtual_bucket(request.headers.get("host", ""), domains):
        return True
    return any(name.startswith("x-amz-") for name in request.headers)


@lru_cache(64)
def virtual_bucket(host: str, domains: tuple[str, ...]) -> str:
    """The bucket that a host's name says before one of our ``domains`` (lower case); "" = none."""
    name = host.partition(":")[0]
    low = name.lower()
    for domain in domains:
        if low.endswith(domain) and len(low) > len(domain) + 1 and low[-len(domain) - 1] == ".":
            return name[: -len(domain) - 1]
    return ""


def address(request: Request, domains: tuple[str, ...]) -> tuple[str, str]:
    """Bucket and key, "" for none. Raises InvalidURI for what is not UTF-8."""
    path = request.path[1:]
    if bucket := virtual_bucket(request.headers.get("host", ""), domains):
        return bucket, _decoded(path)
    bucket, _, key = path.partition("/")
    if not bucket and key:
        raise S3Error("InvalidBucketName", "The path begins with two slashes.")
    return _decoded(bucket), _decoded(key)


def _decoded(text: str) -> str:
    if "%" not in text:
        return text
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI", "The path is not UTF-8 after decoding.") from None


def parse_query(text: str) -> dict[str, str]:
    """The query's parameters decoded; of a repeated one, the last. Raises InvalidURI."""
    found: dict[str, str] = {}
    if not text:
        return found
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if name or value:
            found[_plus_decoded(name)] = _plus_decoded(value)
    return found


def _plus_decoded(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidURI", "The query is not UTF-8 after decoding.") from None


def operation(
    method: str, bucket: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]
) -> str:
    """The operation's name, as Amazon calls it. Raises MethodNotAllowed, AccessForbidden."""
    if method == "OPTIONS":
        raise S3Error("AccessForbidden")  # a page's question: there is no CORS configuration
    if not bucket:
        if method in ("GET", "HEAD"):
            return "ListBuckets"
        raise _not_allowed("GET")
    table = _OBJECT if key else _BUCKET
    names = table.get(method)
    if names is None:
        raise _not_allowed(", ".join(table))
    if query:
        for name in query:
            if name in names:
                found = names[name]
                break
        else:
            found = names.get("", "")
    else:
        found = names.get("", "")
    if not found:
        raise _not_allowed("GET, HEAD, PUT, DELETE")
    if method == "PUT" and key and "x-amz-copy-source" in headers:
        return {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(found, found)
    return found


def _not_allowed(allowed: str) -> S3Error:
    return S3Error("MethodNotAllowed", headers=(("Allow", allowed),))


def check_key(key: str) -> None:
    """Refuse a key longer than S3's. Raises KeyTooLongError."""
    if len(key) > MOST_KEY_BYTES // 4 and len(key.encode()) > MOST_KEY_BYTES:
        raise S3Error(
            "KeyTooLongError",
            fields={"Size": str(len(key.encode())), "MaxSizeAllowed": str(MOST_KEY_BYTES)},
        )
