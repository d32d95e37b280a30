"""Signature version 4: the canonical form of a request, and what is made of it. Pure."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256().hexdigest()
_SPACES = re.compile(r" {2,}")


def canonical_path(path: str) -> str:
    """The path of a request line, decoded once and encoded as Amazon does: once, / kept."""
    return quote(unquote_to_bytes(path), safe="/~") or "/"


def canonical_query(query: str, without: str | None = None) -> str:
    """A query's pairs, encoded alike and sorted; the parameter ``without`` is left out."""
    pairs = []
    for pair in query.split("&"):
        if not pair:
            continue
        name, _, value = pair.replace("+", " ").partition("=")
        name = quote(unquote_to_bytes(name), safe="~")
        if name != without:
            pairs.append((name, quote(unquote_to_bytes(value), safe="~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def canonical_request(
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    signed: Iterable[str],
    payload: str,
    without: str | None = None,
) -> bytes:
    """The text whose hash is signed. ``headers`` by lower-case name hold the bytes of the wire as
    Latin-1; ``signed`` are their names in order."""
    names = list(signed)
    lines = [f"{name}:{_SPACES.sub(' ', headers.get(name, '').strip())}" for name in names]
    text = "\n".join(
        [method, canonical_path(path), canonical_query(query, without), *lines, "",
         ";".join(names), payload]
    )  # fmt: skip
    return text.encode("latin-1")


def string_to_sign(timestamp: str, scope: str, request: bytes) -> bytes:
    """What the key signs of a request."""
    digest = hashlib.sha256(request).hexdigest()
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{digest}".encode("latin-1")


@lru_cache(64)
def signing_key(secret: str, scope: str) -> bytes:
    """The key of a day, region and service: ``20260101/region/s3/aws4_request``."""
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode("latin-1"), "sha256")
    return key


def sign(key: bytes, text: bytes) -> str:
    """The signature in hex."""
    return hmac.digest(key, text, "sha256").hex()


def chunk_to_sign(timestamp: str, scope: str, previous: str, digest: str) -> bytes:
    """What the key signs of a chunk with the SHA-256 ``digest``, behind ``previous``."""
    return (
        f"{ALGORITHM}-PAYLOAD\n{timestamp}\n{scope}\n{previous}\n{EMPTY_SHA256}\n{digest}"
    ).encode("latin-1")


def trailer_to_sign(timestamp: str, scope: str, previous: str, digest: str) -> bytes:
    """What the key signs of the trailers with the SHA-256 ``digest``."""
    return f"{ALGORITHM}-TRAILER\n{timestamp}\n{scope}\n{previous}\n{digest}".encode("latin-1")
