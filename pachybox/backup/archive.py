"""The form of an extracted box: a tar of few members, whose content is proven by hashes.

    pachybox.json        what this is: format, version, schema, when and from which box
    meta/<table>.jsonl   every record, a JSON object a line; hashes as hex
    blobs/00000001       a bundle of short blobs
    objects/ab/abcd...   a long blob, named by its hash
    end.json             how much there was; without it the file ends early

docs/format.md describes it byte by byte.
"""

from __future__ import annotations

import struct
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

from pachybox.errors import Corrupt, InvalidArgument
from pachybox.model.ids import Hash

FORMAT = "pachybox-extract"
VERSION = 1
MANIFEST = "pachybox.json"
END = "end.json"
BLOCK = 512
BUNDLE_BYTES = 4 << 20
BUNDLE_LIMIT = 64 << 20  # what a reader takes into memory at most
TEXT_LIMIT = 1 << 20  # of the manifest and of end.json

_BUNDLE_MAGIC = b"pbBU"
_BUNDLE_HEAD = struct.Struct("<4sI")
_ENTRY = struct.Struct("<32sI")
_CHUNK = 1 << 20

Buffer = bytes | memoryview


@dataclass(slots=True)
class Figures:
    """What an archive holds: content by number and bytes, records by table."""

    blobs: int = 0
    objects: int = 0
    bytes: int = 0
    records: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)  # of each meta member, BLAKE3 in hex

    def as_json(self) -> dict[str, object]:
        """The content of end.json."""
        return asdict(self)


def header(name: str, size: int, mtime: int) -> bytes:
    """The block that begins a member."""
    info = tarfile.TarInfo(name)
    info.size, info.mtime, info.mode = size, mtime, 0o600
    return info.tobuf(tarfile.GNU_FORMAT)


def padding(size: int) -> bytes:
    """The zeros after ``size`` bytes of content."""
    return bytes(-size % BLOCK)


def trailer() -> bytes:
    """What ends a tar."""
    return bytes(2 * BLOCK)


def bundle(entries: Sequence[tuple[Hash, Buffer]]) -> bytes:
    """The content of a blobs/ member: hashes and lengths, then the blobs one after another."""
    head = [_BUNDLE_HEAD.pack(_BUNDLE_MAGIC, len(entries))]
    head += [_ENTRY.pack(h, len(data)) for h, data in entries]
    return b"".join((*head, *(data for _, data in entries)))


def unbundle(data: bytes, name: str) -> tuple[list[Hash], list[bytes]]:
    """The hashes and blobs of a bundle; whether they are true is the caller's to prove."""
    try:
        magic, count = _BUNDLE_HEAD.unpack_from(data)
        at = _BUNDLE_HEAD.size + count * _ENTRY.size
        rows = list(_ENTRY.iter_unpack(data[_BUNDLE_HEAD.size : at]))
    except struct.error:
        raise broken(f"{name} is no bundle of blobs") from None
    hashes, blobs = [], []
    for h, length in rows:
        hashes.append(Hash(h))
        blobs.append(data[at : at + length])
        at += length
    if magic != _BUNDLE_MAGIC or len(rows) != count or at != len(data):
        raise broken(f"{name} is no bundle of blobs")
    return hashes, blobs


def broken(what: str) -> Corrupt:
    """The error for an archive that is not what it should be."""
    return Corrupt(f"the archive is damaged: {what}", "extract the box again")


class Member:
    """One member while it is read; what is left of it is skipped by the next one."""

    def __init__(self, name: str, size: int, readinto: Callable[[memoryview], int]) -> None:
        self.name = name
        self.size = size
        self.left = size
        self._readinto = readinto

    def readinto(self, view: memoryview) -> int:
        """Some bytes of the member; 0 at its end. Corrupt when the archive ends before."""
        if not self.left or not view:
            return 0
        n = self._readinto(view[: self.left])
        if not n:
            raise broken(f"it ends within {self.name}")
        self.left -= n
        return n

    def read(self, limit: int) -> bytes:
        """All of a member that is not longer than ``limit``."""
        if self.size > limit:
            raise broken(f"{self.name} has {self.size} bytes, more than {limit}")
        data = bytearray(self.size)
        view = memoryview(data)
        while view:
            view = view[self.readinto(view) :]
        return bytes(data)

    def pieces(self) -> Iterator[memoryview]:
        """The content in pieces; each is good until the next is asked for."""
        view = memoryview(bytearray(min(_CHUNK, self.size)))
        while n := self.readinto(view):
            yield view[:n]


def members(readinto: Callable[[memoryview], int]) -> Iterator[Member]:
    """The members of an archive in order.

    Raises InvalidArgument when it is no tar at all, Corrupt when it is torn.
    """
    first, block = True, memoryview(bytearray(BLOCK))
    scratch = memoryview(bytearray(_CHUNK))
    while _fill(readinto, block, first):
        if not any(block):
            if first:
                raise foreign()
            while readinto(scratch):  # the rest are zeros that pad a tape's record
                pass
            return
        try:
            info = tarfile.TarInfo.frombuf(bytes(block), "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError):
            if first:
                raise foreign() from None
            raise broken("a member's header is not one") from None
        if not info.isreg():
            raise foreign() if first else broken(f"{info.name} is not a plain file")
        first = False
        member = Member(info.name, info.size, readinto)
        yield member
        rest = member.left + -info.size % BLOCK
        member.left = 0
        while rest:
            n = readinto(scratch[: min(rest, _CHUNK)])
            if not n:
                raise broken(f"it ends within {info.name}")
            rest -= n
    raise broken("it ends early")


def foreign() -> InvalidArgument:
    """The error for a file that no extract wrote."""
    return InvalidArgument("this is no extracted box", "give a file that pachybox extract wrote")


def _fill(readinto: Callable[[memoryview], int], view: memoryview, first: bool) -> bool:
    """Fill ``view``; False when nothing came at all."""
    got = 0
    while got < len(view):
        n = readinto(view[got:])
        if not n:
            if first:
                raise foreign()
            if got:
                raise broken("it ends within a header")
            return False
        got += n
    return True
