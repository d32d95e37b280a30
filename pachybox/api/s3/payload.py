"""A request's body: its coding undone, and what was said of its bytes compared with them.

Whoever stores it reads it to the end, has the digests of ``wanted`` made, and calls ``verify``
before anything names the content.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

from pachybox.api.http import Body, Request
from pachybox.api.s3.auth import Identity
from pachybox.api.s3.checksums import (
    NAMES,
    SIZES,
    Digests,
    algorithm,
    base64_of,
    digest_of,
    plain_base64,
)
from pachybox.api.s3.chunked import AwsChunked
from pachybox.api.s3.errors import S3Error

_HEX = re.compile(r"[0-9a-fA-F]{64}")
_STREAMS = {
    # payload: signed, trailing
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
}
_PREFIX = "x-amz-checksum-"


class Payload:
    """One body. ``length`` in plain bytes, None when unknown; ``wanted`` the digests that
    ``verify`` will ask for."""

    def __init__(self, request: Request, identity: Identity, *, summed: bool = True) -> None:
        """``summed``: whether a checksum in the headers is this body's.

        Raises S3Error when what is said of the body contradicts itself.
        """
        headers = request.headers
        self._body: Body = request.body
        self._chunked: AwsChunked | None = None
        self._sha256 = ""
        self._expected: dict[str, bytes] = {}
        self._trailer = ""
        self._got = 0  # plain bytes of chunks
        self.length: int | None = None
        self.wanted: set[str] = set()
        said = identity.payload or headers.get("x-amz-content-sha256", "")
        decoded = headers.get("x-amz-decoded-content-length")
        # Some write aws-chunked as a content coding and send plain bytes: that alone says nothing.
        coded = decoded is not None and "aws-chunked" in headers.get("content-encoding", "").lower()
        if coded or said.startswith("STREAMING-"):
            self._stream(said, decoded, identity)
        elif said and said != "UNSIGNED-PAYLOAD":
            if not _HEX.fullmatch(said):
                raise S3Error(
                    "InvalidArgument",
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-..., or a SHA-256.",
                )
            self._sha256 = said.lower()
            self.wanted.add("sha256")
        if self._chunked is None and (length := headers.get("content-length")) is not None:
            self.length = int(length)
        if (md5 := headers.get("content-md5")) is not None:
            digest = plain_base64(md5)
            if digest is None or len(digest) != 16:
                raise S3Error("InvalidDigest", "The Content-MD5 you specified is not valid.")
            self._expect("md5", digest)
        if summed:
            self._checksums(headers)

    def _stream(self, said: str, length: str | None, identity: Identity) -> None:
        if said.startswith("STREAMING-") and said not in _STREAMS:
            raise S3Error("NotImplemented", f"The payload {said[:60]} is not built here.")
        signed, trailing = _STREAMS.get(said, (False, True))
        self._chunked = AwsChunked(self._body.readinto, identity, signed=signed, trailing=trailing)
        if length is None:
            raise S3Error("MissingContentLength", "x-amz-decoded-content-length is missing.")
        if not re.fullmatch(r"[0-9]{1,18}", length):
            raise S3Error("InvalidArgument", "x-amz-decoded-content-length is not a number.")
        self.length = int(length)

    def _checksums(self, headers: dict[str, str]) -> None:
        given = [
            name
            for header in headers
            if header.startswith(_PREFIX) and (name := header[len(_PREFIX) :]) in SIZES
        ]
        trailer = headers.get("x-amz-trailer", "").strip().lower()
        if trailer:
            if not trailer.startswith(_PREFIX) or trailer[len(_PREFIX) :] not in SIZES:
                raise S3Error(
                    "InvalidRequest", "The value in x-amz-trailer is no checksum's header."
                )
            self._trailer = trailer[len(_PREFIX) :]
            self.wanted.add(self._trailer)
        if len(given) + bool(trailer) > 1:
            raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header.")
        for name in given:
            self._expect(name, digest_of(name, headers[_PREFIX + name]))
        said = headers.get("x-amz-sdk-checksum-algorithm")
        if said is not None:
            name = algorithm(said)
            if given and given != [name]:
                raise S3Error("InvalidRequest", "Value for x-amz-sdk-checksum-algorithm is not "
                              "that of the x-amz-checksum- header.")  # fmt: skip
            if not given and not trailer and "content-md5" not in headers:
                raise S3Error(
                    "InvalidRequest",
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding "
                    "x-amz-checksum-* or x-amz-trailer headers were found.",
                )

    def _expect(self, name: str, digest: bytes) -> None:
        self._expected[name] = digest
        self.wanted.add(name)

    def need_length(self) -> None:
        """Raise MissingContentLength for a body that says neither its length nor that it comes in
        chunks."""
        if self.length is None and self._body.finished:
            raise S3Error("MissingContentLength")

    def readinto(self, target: memoryview) -> int:
        """Some plain bytes into ``target`` (not empty); 0 at the end. Raises S3Error, Gone,
        TimedOut, Rejected."""
        if self._chunked is None:
            return self._body.readinto(target)
        n = self._chunked.readinto(target)
        self._got += n
        if self.length is not None and self._got > self.length:
            raise _lied()  # at once: what goes on for ever would fill the disk
        return n

    def fill(self, target: memoryview) -> int:
        """Plain bytes until ``target`` is full or the body ends; how many."""
        got = 0
        while got < len(target):
            n = self.readinto(target[got:])
            if not n:
                break
            got += n
        return got

    def read_known(self, length: int) -> bytes:
        """The whole body of ``length`` plain bytes. Raises IncompleteBody."""
        buffer = bytearray(length)
        if length and self.fill(memoryview(buffer)) != length:
            raise S3Error("IncompleteBody")
        return bytes(buffer)

    def verify(self, digests: Mapping[str, bytes], size: int) -> dict[str, str]:
        """Compare the digests of the whole body, ``size`` bytes, with all that was said of it.

        Returns the checksums to keep, by algorithm in base64. Raises S3Error: BadDigest,
        XAmzContentSHA256Mismatch, IncompleteBody.
        """
        if self._chunked is not None:
            self._finish(size)
        if self._sha256 and digests["sha256"].hex() != self._sha256:
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                fields={
                    "ClientComputedContentSHA256": self._sha256,
                    "S3ComputedContentSHA256": digests["sha256"].hex(),
                },
            )
        for name, expected in self._expected.items():
            if not hmac.compare_digest(digests[name], expected):
                raise S3Error("BadDigest", _mismatch(name))
        kept = {name: base64_of(d) for name, d in self._expected.items() if name != "md5"}
        return kept

    def _finish(self, size: int) -> None:
        assert self._chunked is not None
        if self._chunked.readinto(memoryview(bytearray(1))) or size != self.length:
            raise _lied()
        if not self._body.finished and self._body.readinto(memoryview(bytearray(1))):
            raise S3Error("InvalidRequest", "The body goes on behind its last chunk.")
        trailers = self._chunked.trailers
        if self._trailer:
            said = trailers.get(_PREFIX + self._trailer)
            if said is None:
                raise S3Error("InvalidRequest", "The trailer that x-amz-trailer names is missing.")
            self._expected[self._trailer] = digest_of(self._trailer, said)

    def read_all(self, limit: int) -> bytes:
        """The whole body, verified. Raises MaxMessageLengthExceeded past ``limit`` bytes."""
        if self.length is not None and self.length > limit:
            raise S3Error("MaxMessageLengthExceeded")
        pieces = []
        total = 0
        digests = Digests(self.wanted)
        buffer = memoryview(bytearray(min(64 << 10, (self.length or (64 << 10)) + 1)))
        while n := self.readinto(buffer):
            total += n
            if total > limit:
                raise S3Error("MaxMessageLengthExceeded")
            digests.update(buffer[:n])
            pieces.append(bytes(buffer[:n]))
        self.verify(digests.finish(), total)
        return b"".join(pieces)


def _lied() -> S3Error:
    return S3Error("IncompleteBody", "x-amz-decoded-content-length is not the body's.")


def _mismatch(name: str) -> str:
    what = "Content-MD5" if name == "md5" else NAMES[name]
    return f"The {what} you specified did not match the calculated checksum."
