"""One body pushed into the store, with digests taken on the way.

A short one is gathered in memory and hashed where it stands. A long one is written to an upload
as it comes; its address, MD5 and what else is asked for are taken by threads that follow, reading
back from the page cache, so that a body arrives at the speed of its slowest digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from contextlib import ExitStack
from typing import Protocol

from pachybox.errors import InvalidArgument
from pachybox.model.ids import Hash
from pachybox.store.disk import pread_all, write_all, write_back
from pachybox.store.format import PACK_LIMIT
from pachybox.store.objects import Upload
from pachybox.store.session import Session
from pachybox.store.transfer import CHUNK, STEP, THREAD_FROM, Follower

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
    exception, it leaves nothing behind."""

    def __init__(
        self, session: Session, digests: Collection[str] = (), expected: int | None = None
    ) -> None:
        """``expected``: the length in bytes where it is known."""
        self._session = session
        self._digests: dict[str, Digest] = {"md5": hashlib.md5(usedforsecurity=False)}
        for name in digests:
            if name != "md5":
                self._digests[name] = make_digest(name)
        self._parts: list[bytes] = []  # until there is an upload
        self._upload: Upload | None = None
        self._followers: list[Follower] = []
        self._stack: ExitStack | None = None
        self._told = 0
        self.size = 0
        if expected is not None and expected > PACK_LIMIT:
            self._begin()

    def __enter__(self) -> Intake:
        return self

    def __exit__(self, *error: object) -> None:
        if self._stack is None:
            return
        for follower in self._followers:
            follower.stop()
        if self._upload is not None and error[1] is None:
            self._give_up()
        self._stack.__exit__(*error)  # type: ignore[arg-type]

    def write(self, data: Buffer) -> None:
        """Take the next bytes; ``data`` may be reused on return."""
        self.size += len(data)
        if self._upload is None:
            self._parts.append(data if type(data) is bytes else bytes(data))
            if self.size > PACK_LIMIT:
                parts, self._parts = self._parts, []
                upload = self._begin()
                for part in parts:
                    write_all(upload.fd, part)
            return
        write_all(self._upload.fd, memoryview(data))
        if self.size - self._told >= CHUNK:
            self._tell(self._upload)

    def _begin(self) -> Upload:
        self._stack = ExitStack()
        self._upload = self._stack.enter_context(self._session.upload())
        return self._upload

    def _tell(self, upload: Upload) -> None:
        """Have the followers come up, and the disk begin."""
        if self.size // STEP > self._told // STEP:
            start = self._told // STEP * STEP
            write_back(upload.fd, start, self.size // STEP * STEP - start)
        self._told = self.size
        if not self._followers and self.size >= THREAD_FROM:
            fast = {n: d for n, d in self._digests.items() if n != "md5"}
            for some in ({"md5": self._digests["md5"]}, fast):
                if some:
                    self._followers.append(Follower(upload.fd, [d.update for d in some.values()]))
        for follower in self._followers:
            follower.follow(self.size)
        upload.hasher.follow(self.size)

    def finish(self) -> Taken:
        """No more comes. Not durable until a flush."""
        if self._upload is None:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            for digest in self._digests.values():
                digest.update(data)
            return self._taken(self._session.put(data))
        upload = self._upload
        if self.size <= PACK_LIMIT:  # less came than was expected
            return self._short(upload)
        self._tell(upload)
        if not self._followers:
            self._followers.append(Follower(upload.fd, [d.update for d in self._digests.values()]))
        h, sums = upload.hasher.result(self.size)
        for follower in self._followers:
            follower.finish(self.size)
        self._session.stage(h, upload.path, self.size, sums)
        self._let_go()
        return self._taken(h)

    def _short(self, upload: Upload) -> Taken:
        self._parts = [pread_all(upload.fd, self.size, 0)]
        self._session.discard(upload.path)
        self._let_go()
        return self.finish()

    def _let_go(self) -> None:
        """The upload is somebody's else, or gone: an error of what follows must not remove it."""
        assert self._stack is not None
        self._stack.close()
        self._stack = self._upload = None

    def _taken(self, h: Hash) -> Taken:
        return Taken(h, self.size, {n: d.digest() for n, d in self._digests.items()})

    def _give_up(self) -> None:
        assert self._upload is not None
        self._session.discard(self._upload.path)
