"""Inputs for the JSON door: ``POST /api/<method>`` as raw bytes of HTTP."""

from __future__ import annotations

import re
from urllib.parse import quote

from tests.fuzz import messages
from tests.fuzz.noise import ODD, Noise
from tests.fuzz.wire import Outcome, exchange
from tests.fuzz.world import Subject

name = "json"
_TARGET = re.compile(rb"[A-Z]+ (?:https?://[^/ ]*)?(/[^ ?]*)")
_HEADERS = (
    "Content-Type: application/json", "Content-Type: text/plain", "Content-Encoding: gzip",
    "Accept: application/x-protobuf", "Expect: 100-continue", "Expect: 200-never",
    "Transfer-Encoding: gzip", "Transfer-Encoding: chunked", "Content-Length: 5",
    "Content-Length: -1", "Content-Length: 99999999999999999999", "Host: evil.example",
    "Origin: http://evil.example", "Sec-Fetch-Site: cross-site", "Connection: close",
    "Connection: upgrade", "Upgrade: h2c", "authn-token: wrong", "authn-token:",
    "Authorization: Bearer wrong", "Authorization: Basic eDp5", "pach-transaction: nothing",
    "pach-transaction: 0123456789abcdef0123456789abcdef", "Range: bytes=0-", "Cookie: a=b",
    "Grpc-Timeout: 1S", "Grpc-Metadata-x: y", "X: \x00", "no colon here", " folded: x", ": empty",
)  # fmt: skip


def make(noise: Noise) -> bytes:
    """One request, somewhere between valid and noise."""
    method = messages.pick(noise)
    values = [messages.as_json(message) for message in messages.requests(noise, method)]
    if noise.random() < 0.7:
        at = noise.randrange(len(values))
        values[at] = noise.json(values[at])
    body = b"\n".join(noise.json_bytes(value) for value in values)
    return request(noise, "POST", f"/api/{method.full_name}", body)


def request(noise: Noise, verb: str, target: str, body: bytes) -> bytes:
    """``body`` to ``target``, with something wrong in the HTTP of it now and then."""
    lines = ["Host: localhost"]
    if noise.once_in(4):
        lines.append(noise.choice(_HEADERS))
    if noise.once_in(30):
        lines.append(f"X-{noise.choice(ODD)}: {noise.choice(ODD)}")
    if noise.once_in(12):
        target = _odd_target(noise, target)
    if noise.once_in(20):
        verb = noise.choice(
            ("GET", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "post", "", "BREW")
        )
    if noise.once_in(6):
        lines.append("Transfer-Encoding: chunked")
        body = _chunks(noise, body)
    else:
        wrong = noise.once_in(30)
        lines.append(f"Content-Length: {len(body) + (noise.randint(-3, 3) if wrong else 0)}")
    head = "\r\n".join([f"{verb} {target} HTTP/1.{noise.choice('1111110')}", *lines, "", ""])
    data = head.encode("utf-8", "surrogatepass") + body
    return noise.damaged(data, 2) if noise.once_in(20) else data


def _odd_target(noise: Noise, target: str) -> str:
    match noise.randrange(6):
        case 0:
            return target + quote(noise.word(), safe="/%?&=")
        case 1:
            return f"{target}?{quote(noise.word(), safe='=&%')}={noise.number()}"
        case 2:
            return target.replace("/", noise.choice(("//", "/./", "%2f", "\\")), 2)
        case 3:
            return noise.damaged(target.encode(), 1).decode("latin-1")
        case 4:
            return f"http://localhost{target}"
    return target + "x" * noise.choice((1, 300, 20_000))


def _chunks(noise: Noise, body: bytes) -> bytes:
    made = b""
    while body:
        size = noise.choice((1, 7, 100, 5000))
        piece, body = body[:size], body[size:]
        made += b"%x\r\n%s\r\n" % (len(piece), piece)
        if len(made) > 3000:
            made += b"%x\r\n%s\r\n" % (len(body), body) if body else b""
            break
    made += noise.choice(
        (b"0\r\n\r\n",) * 6 + (b"0\r\nx: y\r\n\r\n", b"0\r\n", b"-1\r\n\r\n", b"g\r\n")
    )
    return noise.damaged(made, 1) if noise.once_in(10) else made


def send(to: Subject, data: bytes) -> Outcome:
    return exchange(to.http, to.real(data))


def about(data: bytes) -> str:
    """The method that a request may reach, or its path."""
    match = _TARGET.match(data)
    path = match[1].decode("latin-1") if match else ""
    return path.removeprefix("/api/")


def writes(data: bytes) -> bool:
    """Whether an answer that is well may have changed something."""
    found = about(data)
    return messages.writes(found) if found in messages.METHODS else bool(found)


def empties(data: bytes) -> bool:
    return about(data) in messages.EMPTYING


def stops(data: bytes) -> bool:
    return about(data) in messages.STOPPING


def keyed(data: bytes) -> bool:
    """Whether it may show the token."""
    return False
