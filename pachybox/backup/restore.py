"""An archive back into an empty box, all of it or nothing.

Content goes into the store first, proven by its hashes and kept from the collector; records
are spooled. Only when the archive is whole, its figures add up and everything that a record
names is there, the records are written, as one transaction. Whatever happens before leaves
the box empty; content nobody names is collected.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from blake3 import blake3

from pachybox.backup import archive
from pachybox.backup.archive import Figures, Member, broken
from pachybox.backup.records import TAKEN, Records, fill, parsed, require_empty
from pachybox.errors import InvalidArgument
from pachybox.meta.connect import migrations
from pachybox.pfs.service import Pfs
from pachybox.store.session import Session

_ROWS = 2000  # written at a time
_LINE = 64 << 20  # bytes of one record at most
_HOLD = 10_000  # hashes looked up at a time


def restore(pfs: Pfs, readinto: Callable[[memoryview], int], scratch: Path) -> Figures:
    """Fill the empty box from an archive; returns what there was.

    Jobs that were open are open again and run. Raises Refused when the box is not empty,
    InvalidArgument when it is no archive or a newer one, Corrupt when it is damaged.
    """
    require_empty(pfs)
    with tempfile.TemporaryFile(dir=scratch) as spool, pfs.blobs.session() as session:
        reader = _Reader(session, spool)
        for member in archive.members(readinto):
            reader.take(member)
        reader.check()
        fill(pfs, session, reader.records)
    return reader.figures


class _Reader:
    """Takes the members of an archive one by one, in their order."""

    def __init__(self, session: Session, spool: IO[bytes]) -> None:
        self._session = session
        self.records = Records(spool)
        self.figures = Figures()
        self._begun = False
        self._end: dict[str, Any] | None = None
        self._tables = {table.name: table for table in TAKEN}

    def take(self, member: Member) -> None:
        """One member. Raises InvalidArgument, Corrupt, Exhausted."""
        if not self._begun:
            self._begin(member)
        elif self._end is not None:
            raise broken(f"{member.name} comes after its end")
        elif member.name.startswith("meta/"):
            self._records(member)
        elif member.name.startswith("blobs/"):
            self._bundle(member)
        elif member.name.startswith("objects/"):
            self._object(member)
        elif member.name == archive.END:
            self._end = _object_of(member)
        else:
            raise broken(f"{member.name} does not belong to it")

    def _begin(self, member: Member) -> None:
        if member.name != archive.MANIFEST:
            raise archive.foreign()
        about = _object_of(member)
        if about.get("format") != archive.FORMAT:
            raise archive.foreign()
        version, schema = about.get("version"), about.get("schema")
        known = migrations()[-1][0]
        if not (isinstance(version, int) and isinstance(schema, int)):
            raise archive.foreign()
        if version > archive.VERSION or schema > known:
            raise InvalidArgument(
                f"the archive was written by a newer pachybox ({about.get('pachybox')})",
                "restore it with that version or a later one",
            )
        self._begun = True

    def _records(self, member: Member) -> None:
        name = member.name.removeprefix("meta/").removesuffix(".jsonl")
        if name not in self._tables or name in self.records.parts:
            raise broken(f"{member.name} does not belong to it")
        at, hasher, lines = self.records.file.tell(), blake3(), 0
        for piece in member.pieces():
            self.records.file.write(piece)
            hasher.update(piece)
            lines += bytes(piece).count(b"\n")
        self.records.parts[name] = (at, member.size)
        self.figures.records[name] = lines
        self.figures.hashes[name] = hasher.hexdigest()

    def _bundle(self, member: Member) -> None:
        hashes, blobs = archive.unbundle(member.read(archive.BUNDLE_LIMIT), member.name)
        for told, found in zip(hashes, self._session.put_many(blobs), strict=True):
            if told != found:
                raise broken(f"blob {told.hex()} in {member.name} is not what its name says")
        self.figures.blobs += len(blobs)
        self.figures.bytes += sum(map(len, blobs))

    def _object(self, member: Member) -> None:
        h, size = self._session.put_stream(member.readinto)
        if h.hex() != member.name.rpartition("/")[2]:
            raise broken(f"{member.name} is not what its name says")
        self.figures.objects += 1
        self.figures.bytes += size

    def check(self) -> None:
        """Corrupt unless the archive was whole."""
        if self._end is None:
            raise broken("it has no end")
        if self._end != self.figures.as_json():
            raise broken("it does not hold what its end says")


def _object_of(member: Member) -> dict[str, Any]:
    return parsed(member.read(archive.TEXT_LIMIT), member.name)
