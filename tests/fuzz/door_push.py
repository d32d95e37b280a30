"""Inputs for the door of posted records: ``POST /ingest/NAME``."""

from __future__ import annotations

import gzip
from urllib.parse import quote

from tests.fuzz import door_json
from tests.fuzz.noise import Noise
from tests.fuzz.wire import Outcome, exchange
from tests.fuzz.world import Subject

name = "push"
_KINDS = (
    "application/json", "application/x-ndjson", "text/plain", "application/octet-stream",
    "application/jsonl", "application/json-seq", "application/json; charset=utf-8",
    "text/plain; charset=latin-1", "application/x-www-form-urlencoded", "", ";", "a/b/c",
)  # fmt: skip
_RECORD = {"id": 1, "at": "2026-01-02T03:04:05Z", "kind": "a", "list": [1, {"x": None}]}


def make(noise: Noise) -> bytes:
    """One request."""
    where = noise.choice(("pushed", "pushed", "default/pushed", "closed", "nothing", "space/x"))
    if noise.once_in(8):
        where = quote(noise.word(), safe="/%")
    kind = noise.choice(_KINDS) if noise.once_in(2) else noise.choice(_KINDS[:3])
    body = _body(noise)
    lines = [f"Content-Type: {kind}"]
    if noise.once_in(3):
        body = gzip.compress(body)
        if noise.once_in(4):
            body = noise.damaged(body, 2)
        lines.append(f"Content-Encoding: {noise.choice(('gzip', 'x-gzip', 'GZIP', 'br', ''))}")
    if noise.once_in(3):
        key = noise.choice(("k", "k2", "a b", "", '"quoted"', "k" * 256, "\u00e9", "\x01"))
        lines.append(f"Idempotency-Key: {key}")
    if noise.once_in(4):
        lines.append(f"Authorization: Bearer {noise.choice(('v', 'v', 'w', '', noise.word()))}")
    data = door_json.request(noise, "POST", f"/ingest/{where}", body)
    more = "\r\n".join(lines).encode("utf-8", "surrogatepass")
    return data.replace(b"\r\n\r\n", b"\r\n" + more + b"\r\n\r\n", 1)


def _body(noise: Noise) -> bytes:
    values = [noise.json(dict(_RECORD)) for _ in range(noise.randrange(4))]
    texts = [noise.json_bytes(value) for value in values]
    match noise.randrange(6):
        case 0:
            return b"[" + noise.choice((b",", b" ,\n", b"", b",,")).join(texts) + b"]"
        case 1:
            return noise.choice((b"\n", b"\r\n", b"\n\n", b"\x1e")).join(texts)
        case 2:
            return noise.choice((b"[" * 3000, b'{"a":' * 3000, b"\xff\xfe{\x00}\x00", b"\x00"))
        case 3:
            return noise.randbytes(noise.choice((0, 1, 50, 5000)))
        case 4:
            return b"1\n" * noise.choice((3, 100_001))
    return texts[0] if texts else b"{}"


def send(to: Subject, data: bytes) -> Outcome:
    return exchange(to.http, to.real(data))


def writes(data: bytes) -> bool:
    """Whether an answer that is well may have changed something."""
    return not data.startswith((b"GET ", b"HEAD "))


def empties(data: bytes) -> bool:
    return False


def stops(data: bytes) -> bool:
    return False


def keyed(data: bytes) -> bool:
    """Whether it may show the token of a source."""
    return b"/closed" in data or b"closed" in data[:100]
