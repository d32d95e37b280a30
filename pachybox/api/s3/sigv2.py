"""Signature version 2: what old clients sign. Pure."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import unquote

_SUBRESOURCES = frozenset(
    ("accelerate", "acl", "cors", "delete", "encryption", "lifecycle", "location", "logging",
     "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment",
     "response-cache-control", "response-content-disposition", "response-content-encoding",
     "response-content-language", "response-content-type", "response-expires", "restore", "select",
     "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website")
)  # fmt: skip


def string_to_sign(
    method: str, bucket: str, path: str, query: str, headers: Mapping[str, str], date: str
) -> bytes:
    """What is signed. ``bucket`` is that of a virtual host, else ""; ``path`` is as sent;
    ``date`` the header's, or the expiry of a presigned address."""
    amz = "".join(
        f"{name}:{headers[name].strip()}\n" for name in sorted(headers) if name.startswith("x-amz-")
    )
    pairs = []
    for pair in sorted(query.split("&")):
        name, mark, value = pair.partition("=")
        if name in _SUBRESOURCES:
            pairs.append(f"{name}={unquote(value, 'latin-1')}" if mark else name)
    resource = (f"/{bucket}" if bucket else "") + path + ("?" + "&".join(pairs) if pairs else "")
    lines = (method, headers.get("content-md5", ""), headers.get("content-type", ""), date)
    return ("\n".join(lines) + "\n" + amz + resource).encode("latin-1")


def sign(secret: str, text: bytes) -> str:
    """The signature in base64."""
    return base64.b64encode(hmac.digest(secret.encode(), text, "sha1")).decode()
