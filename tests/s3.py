"""A raw S3 client for tests: plain HTTP, and a signer of its own that owes the box nothing."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import quote

Pairs = Sequence[tuple[str, str]]


def encoded(text: str, keep: str = "") -> str:
    """Amazon's UriEncode."""
    return quote(text, safe=keep + "-._~")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Signer:
    """Signs requests by version 4."""

    access: str
    secret: str
    region: str = "us-east-1"
    service: str = "s3"

    def stamp(self, at: float | None = None) -> str:
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at if at is not None else time.time()))

    def scope(self, stamp: str) -> str:
        return f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"

    def key(self, stamp: str) -> bytes:
        key = ("AWS4" + self.secret).encode()
        for part in self.scope(stamp).split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return key

    def signature(
        self, method: str, path: str, query: Pairs, headers: Mapping[str, str], payload: str,
        stamp: str,
    ) -> str:  # fmt: skip
        """Of a request whose ``headers`` are all signed; ``path`` is encoded already."""
        names = sorted(name.lower() for name in headers)
        low = {name.lower(): " ".join(value.split()) for name, value in headers.items()}
        pairs = sorted((encoded(n), encoded(v)) for n, v in query)
        text = "\n".join(
            [method, path, "&".join(f"{n}={v}" for n, v in pairs),
             *(f"{n}:{low[n]}" for n in names), "", ";".join(names), payload]
        )  # fmt: skip
        return self.sign(f"AWS4-HMAC-SHA256\n{stamp}\n{self.scope(stamp)}\n{sha256(text.encode())}",
                         stamp)  # fmt: skip

    def sign(self, text: str, stamp: str) -> str:
        return hmac.new(self.key(stamp), text.encode(), hashlib.sha256).hexdigest()

    def header(
        self, method: str, path: str, query: Pairs, headers: dict[str, str], payload: str,
        stamp: str = "",
    ) -> dict[str, str]:  # fmt: skip
        """``headers`` with the signature's."""
        stamp = stamp or self.stamp()
        made = {**headers, "x-amz-date": stamp, "x-amz-content-sha256": payload}
        names = ";".join(sorted(name.lower() for name in made))
        signature = self.signature(method, path, query, made, payload, stamp)
        made["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access}/{self.scope(stamp)}, "
            f"SignedHeaders={names}, Signature={signature}"
        )
        return made

    def presigned(
        self, method: str, path: str, query: Pairs, host: str, expires: int = 60, stamp: str = ""
    ) -> list[tuple[str, str]]:
        """``query`` with the signature's parameters."""
        stamp = stamp or self.stamp()
        made = [
            *query,
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", f"{self.access}/{self.scope(stamp)}"),
            ("X-Amz-Date", stamp),
            ("X-Amz-Expires", str(expires)),
            ("X-Amz-SignedHeaders", "host"),
        ]
        signature = self.signature(method, path, made, {"host": host}, "UNSIGNED-PAYLOAD", stamp)
        return [*made, ("X-Amz-Signature", signature)]

    def chunks(
        self, pieces: Sequence[bytes], seed: str, stamp: str, trailers: Pairs | None = None
    ) -> bytes:
        """An aws-chunked body whose chunks are signed, the last (empty) one with them."""
        body, previous = b"", seed
        for piece in [*pieces, b""]:
            previous = self.sign(
                f"AWS4-HMAC-SHA256-PAYLOAD\n{stamp}\n{self.scope(stamp)}\n{previous}\n"
                f"{sha256(b'')}\n{sha256(piece)}",
                stamp,
            )
            body += b"%x;chunk-signature=%s\r\n" % (len(piece), previous.encode())
            body += piece + (b"\r\n" if piece else b"")
        if trailers is not None:
            text = "".join(f"{n}:{v}\n" for n, v in trailers)
            previous = self.sign(
                f"AWS4-HMAC-SHA256-TRAILER\n{stamp}\n{self.scope(stamp)}\n{previous}\n"
                f"{sha256(text.encode())}",
                stamp,
            )
            body += text.replace("\n", "\r\n").encode()
            body += f"x-amz-trailer-signature:{previous}\r\n".encode()
        return body + b"\r\n"


def unsigned_chunks(pieces: Sequence[bytes], trailers: Pairs = ()) -> bytes:
    """An aws-chunked body without signatures."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return body + b"0\r\n" + "".join(f"{n}:{v}\r\n" for n, v in trailers).encode() + b"\r\n"


@dataclass
class Answer:
    """What came back; headers by lower-case name."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def xml(self) -> ET.Element:
        """The body's root, its names without their namespace."""
        root = ET.fromstring(self.body)
        for element in root.iter():
            element.tag = re.sub(r"^\{.*\}", "", element.tag)
        return root

    def texts(self, path: str) -> list[str]:
        return [element.text or "" for element in self.xml.findall(path)]

    def text(self, path: str) -> str:
        return self.xml.findtext(path) or ""

    @property
    def code(self) -> str:
        """The error's code, "" for an answer that is none."""
        if self.status < 400 or not self.body:
            return ""
        return self.text("Code")


@dataclass
class S3:
    """A client on one connection, made anew when the box closed it."""

    host: str
    port: int
    signer: Signer | None = None
    line: list[http.client.HTTPConnection] = field(default_factory=list)

    @classmethod
    def of(cls, address: str, signer: Signer | None = None) -> S3:
        """A client of ``http://host:port``."""
        host, _, port = address.removeprefix("http://").partition(":")
        return cls(host, int(port), signer)

    def by(self, access: str, secret: str) -> S3:
        """The same connection, used by another."""
        return replace(self, signer=Signer(access, secret))

    @property
    def anyone(self) -> S3:
        """The same connection, used by somebody without a name."""
        return replace(self, signer=None)

    def close(self) -> None:
        while self.line:
            self.line.pop().close()

    def raw(
        self, method: str, target: str, body: bytes | Iterator[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """Send just this, with Host and Content-Length where they are not given."""
        if not self.line:
            self.line.append(http.client.HTTPConnection(self.host, self.port, timeout=30))
        connection = self.line[0]
        given = {"host": f"{self.host}:{self.port}", **(headers or {})}
        low = {name.lower() for name in given}
        if isinstance(body, bytes) and not low & {"content-length", "transfer-encoding"}:
            given["content-length"] = str(len(body))
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in given.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders()
        try:
            for piece in (body,) if isinstance(body, bytes) else body:
                connection.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it answered before it read all
        answer = connection.getresponse()
        data = answer.read()
        found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, data)
        if answer.will_close:
            self.close()
        return found

    def __call__(
        self, method: str, path: str, body: bytes = b"", query: Mapping[str, str] | Pairs = (),
        **headers: str,
    ) -> Answer:  # fmt: skip
        """A request: ``path`` and ``query`` in plain text, headers with _ for -."""
        pairs = list(query.items() if isinstance(query, Mapping) else query)
        where = encoded(path, "/")
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("host", f"{self.host}:{self.port}")
        if self.signer is not None:
            payload = named.pop("x-amz-content-sha256", sha256(body))
            named = self.signer.header(method, where, pairs, named, payload)
        target = where
        if pairs:
            target += "?" + "&".join(f"{encoded(n)}={encoded(v)}" for n, v in pairs)
        return self.raw(method, target, body, named)
