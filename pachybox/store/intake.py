"""One body pushed into the store, with digests taken on the way.

A long one arrives at the speed of its slowest digest (see inflow.py): MD5, which S3 makes names of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from typing import Protocol

from pachybox.errors import InvalidArgument
from pachybox.model.ids import Hash
from pachybox.store.format import PACK_LIMIT
from pachybox.store.inflow import Update
from pachybox.store.session import Session

Buffer = bytes | bytearray | memoryview


class Digest(Protocol):
    """What hashlib's are."""

    def update(self, data: Buffer, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc:
    """A checksum of awscrt as a digest: its bytes are those of the number, highest first."""

    def __init__(self, name: str, size: int) -> None:
        from awscrt import checksums  # 20 ms, and few ask for it

        self._more: Callable[..., int] = getattr(checksums, name)
        self._size = size
        self._value = 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._more(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


_CRCS = {"crc32": 4, "crc32c": 4, "crc64nvme": 8}
DIGESTS = ("md5", "sha1", "sha256", *_CRCS)


def make_digest(name: str) -> Digest:
    """A new digest of that name; InvalidArgument when there is none."""
    if name in _CRCS:
        return _Crc(name, _CRCS[name])
    if name not in DIGESTS:
        raise InvalidArgument(f"no digest is called {name!r}", f"known: {', '.join(DIGESTS)}")
    return hashlib.new(name, usedforsecurity=False)


def digests_of(data: Buffer, names: Collection[str] = ()) -> dict[str, bytes]:
    """MD5 of a whole body, and the digests of ``names``."""
    found = {"md5": hashlib.md5(data, usedforsecurity=False).digest()}
    for name in names:
        if name != "md5":
            digest = make_digest(name)
            digest.update(data)
            found[name] = digest.digest()
    return found


class Taken:
    """What came of a body: its address, size, and digests by name."""

    __slots__ = ("digests", "hash", "size")

    def __init__(self, hash_: Hash, size: int, digests: dict[str, bytes]) -> None:
        self.hash = hash_
        self.size = size
        self.digests = digests


class Intake:
    """Takes one body under a session; a context manager. Left before ``finish``, or by an
    exception, it leaves nothing behind.

    ``room``, ``came`` and ``write`` are Inflow's.
    """

    def __init__(self, session: Session, digests: Collection[str] = ()) -> None:
        self._session = session
        md5 = hashlib.md5(usedforsecurity=False)
        others = {name: make_digest(name) for name in digests if name != "md5"}
        self._digests: dict[str, Digest] = {"md5": md5, **others}
        lanes: list[list[Update]] = [[md5.update]]
        if others:
            lanes.append([d.update for d in others.values()])
        self._flow = session.inflow(lanes)
        self.room, self.came, self.write = self._flow.room, self._flow.came, self._flow.write

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *error: object) -> None:
        self._flow.__exit__(*error)

    @property
    def size(self) -> int:
        """Bytes taken so far."""
        return self._flow.size

    def finish(self) -> Taken:
        """No more comes. Not durable until a flush."""
        if self.size <= PACK_LIMIT:
            for digest in self._digests.values():
                digest.update(self._flow.held())
        h, size = self._session.settle(self._flow)
        return Taken(h, size, {n: d.digest() for n, d in self._digests.items()})
