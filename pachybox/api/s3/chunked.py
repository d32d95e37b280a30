"""The body coding ``aws-chunked``: chunks with or without signatures, then trailers.

    10000;chunk-signature=<hex>\r\n<bytes>\r\n ... 0;chunk-signature=<hex>\r\n
    x-amz-checksum-crc32:<base64>\r\n x-amz-trailer-signature:<hex>\r\n \r\n

It may stand inside HTTP's own chunks. The plain bytes come out as they come in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

from pachybox.api.s3 import sigv4
from pachybox.api.s3.auth import Identity
from pachybox.api.s3.errors import S3Error

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;chunk-signature=([0-9a-f]{64}))?\s*")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*([ -~]*)")
_MOST_LINE = 4096
_MOST_TRAILERS = 32
_BUFFER_BYTES = 64 << 10


class AwsChunked:
    """Reads a body in this coding from ``source``, which fills a view and says how much (0 at the
    end). ``signed``: each chunk must carry a signature, and with ``identity.key`` the right one;
    ``trailing``: trailers follow the last chunk."""

    def __init__(
        self,
        source: Callable[[memoryview], int],
        identity: Identity,
        *,
        signed: bool,
        trailing: bool,
    ) -> None:
        self._source = source
        self._identity = identity
        self._signed = signed
        self._trailing = trailing
        self._bytes = bytearray(_BUFFER_BYTES)
        self._buffer = memoryview(self._bytes)
        self._start = self._end = 0
        self._left = 0  # of the present chunk
        self._begun = self._finished = False
        self._previous = identity.signature
        self._claimed = ""
        self._hash = hashlib.sha256() if signed and identity.key else None
        self.trailers: dict[str, str] = {}

    def readinto(self, target: memoryview) -> int:
        """Some plain bytes into ``target`` (not empty); 0 at the end, when ``trailers`` is whole.

        Raises S3Error: IncompleteBody, SignatureDoesNotMatch, InvalidRequest.
        """
        if self._finished or (not self._left and not self._next_chunk()):
            return 0
        held = min(self._end - self._start, self._left, len(target))
        if held:
            target[:held] = self._buffer[self._start : self._start + held]
            self._start += held
            n = held
        else:
            n = self._source(target[: self._left])
            if not n:
                raise S3Error("IncompleteBody")
        if self._hash is not None:
            self._hash.update(target[:n])
        self._left -= n
        if not self._left:
            self._check_chunk()
        return n

    def _check_chunk(self) -> None:
        """At the end of a chunk's bytes: is it the one that was signed?"""
        if self._hash is None:
            return
        who = self._identity
        text = sigv4.chunk_to_sign(who.timestamp, who.scope, self._previous, self._hash.hexdigest())
        self._compare(text, self._claimed)
        self._hash = hashlib.sha256()

    def _compare(self, text: bytes, claimed: str) -> None:
        made = sigv4.sign(self._identity.key, text)
        if not hmac.compare_digest(made, claimed):
            raise S3Error("SignatureDoesNotMatch", "A chunk's signature is not that of its bytes.")
        self._previous = made

    def _next_chunk(self) -> bool:
        """Read the next chunk's head; False when it was the last, and all behind it was read."""
        if self._begun and self._line():
            raise S3Error("InvalidRequest", "A chunk does not end where it said.")
        self._begun = True
        match = _SIZE.fullmatch(self._line())
        if match is None or (self._signed and match[2] is None):
            raise S3Error("InvalidRequest", "A chunk's head is malformed.")
        self._claimed = (match[2] or b"").decode()
        self._left = int(match[1], 16)
        if self._left:
            return True
        self._check_chunk()
        self._read_trailers()
        self._finished = True
        return False

    def _read_trailers(self) -> None:
        signature = None
        hashed = hashlib.sha256()
        for _ in range(_MOST_TRAILERS):
            line = self._line(at_end=True)
            if not line:
                break
            match = _TRAILER.fullmatch(line)
            if match is None or not self._trailing:
                raise S3Error("InvalidRequest", "A trailer is malformed.")
            name, value = match[1].decode().lower(), match[2].decode().strip()
            if name == "x-amz-trailer-signature":
                signature = value
            else:
                self.trailers[name] = value
                hashed.update(f"{name}:{value}\n".encode())
        else:
            raise S3Error("InvalidRequest", "There are too many trailers.")
        who = self._identity
        if self._trailing and self._signed and who.key:
            text = sigv4.trailer_to_sign(
                who.timestamp, who.scope, self._previous, hashed.hexdigest()
            )
            self._compare(text, signature or "")

    def _line(self, *, at_end: bool = False) -> bytes:
        """A line without its end; with ``at_end`` the end of the body is an empty line."""
        line = bytearray()
        while len(line) <= _MOST_LINE:
            if self._start == self._end:
                self._start, self._end = 0, self._source(self._buffer)
                if not self._end:
                    if at_end and not line.strip():
                        return b""
                    raise S3Error("IncompleteBody")
            found = self._bytes.find(b"\n", self._start, self._end)
            if found >= 0:
                line += self._buffer[self._start : found]
                self._start = found + 1
                if len(line) > _MOST_LINE:
                    break
                return bytes(line.removesuffix(b"\r"))
            line += self._buffer[self._start : self._end]
            self._start = self._end
        raise S3Error("InvalidRequest", "A chunk's line is too long.")
