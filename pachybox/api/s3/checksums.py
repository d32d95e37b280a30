"""Checksums of S3: their names, their forms, and how they are made."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from pachybox.api.s3.errors import S3Error

SIZES = {"crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}
"""Bytes of each algorithm's digest."""

NAMES = {"crc32": "CRC32", "crc32c": "CRC32C", "crc64nvme": "CRC64NVME", "sha1": "SHA1",
         "sha256": "SHA256"}  # fmt: skip
"""The algorithms' names in answers."""

FULL, COMPOSITE = "FULL_OBJECT", "COMPOSITE"


def algorithm(name: str) -> str:
    """The algorithm a request names. Raises InvalidRequest."""
    low = name.strip().lower()
    if low not in SIZES:
        raise S3Error(
            "InvalidRequest", f"Checksum algorithm {name[:40]!r} is none of {', '.join(SIZES)}."
        )
    return low


def digest_of(name: str, text: str) -> bytes:
    """The digest that ``text`` says in base64. Raises InvalidRequest when it cannot be one."""
    found = plain_base64(text)
    if found is None or len(found) != SIZES[name]:
        raise S3Error("InvalidRequest", f"Value for x-amz-checksum-{name} header is invalid.")
    return found


def plain_base64(text: str) -> bytes | None:
    """The bytes that strict base64 says, else None."""
    try:
        return base64.b64decode(text.encode("latin-1"), validate=True)
    except (binascii.Error, ValueError):
        return None


def base64_of(digest: bytes) -> str:
    """``digest`` as S3 writes it."""
    return base64.b64encode(digest).decode()


class Digests:
    """Several digests of one stream of bytes."""

    def __init__(self, names: Iterable[str]) -> None:
        """``names``: md5, or algorithms of SIZES."""
        self._hashes = {}
        self._sums: dict[str, tuple[Callable[[bytes, int], int], int]] = {}
        for name in names:
            if name.startswith("crc"):
                self._sums[name] = _crc(name), 0
            else:
                self._hashes[name] = hashlib.new(name, usedforsecurity=False)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        for hashing in self._hashes.values():
            hashing.update(data)
        for name, (crc, value) in self._sums.items():
            self._sums[name] = crc, crc(data, value)  # type: ignore[arg-type]

    def finish(self) -> dict[str, bytes]:
        """The digests by name."""
        found = {name: hashing.digest() for name, hashing in self._hashes.items()}
        for name, (_, value) in self._sums.items():
            found[name] = value.to_bytes(SIZES[name], "big")
        return found


def _crc(name: str) -> Callable[[bytes, int], int]:
    from awscrt import checksums  # perf: loaded by the first that asks

    function: Callable[[bytes, int], int] = getattr(checksums, name)
    return function


def composite(name: str, parts: Sequence[Mapping[str, str]]) -> str:
    """The checksum of the parts' checksums, with their number; "" when a part has none."""
    total = Digests([name])
    for checksums in parts:
        if name not in checksums:
            return ""
        total.update(base64.b64decode(checksums[name]))
    return f"{base64_of(total.finish()[name])}-{len(parts)}"


def combined(name: str, parts: Sequence[tuple[Mapping[str, str], int]]) -> str:
    """The CRC of the whole from the parts' CRCs and sizes; "" when a part has none."""
    from awscrt import checksums as crt

    combine = getattr(crt, f"combine_{name}")
    total = 0
    for checksums, size in parts:
        if name not in checksums:
            return ""
        total = combine(total, int.from_bytes(base64.b64decode(checksums[name]), "big"), size)
    return base64_of(total.to_bytes(SIZES[name], "big"))
