"""An archive back into an empty box, all of it or nothing.

Content goes into the store first, proven by its hashes and kept from the collector; records
are spooled. Only when the archive is whole, its figures add up and everything that a record
names is there, the records are written, as one transaction. Whatever happens before leaves
the box empty; content nobody names is collected.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from blake3 import blake3

from pachybox.backup import archive
from pachybox.backup.archive import Figures, Member, broken
from pachybox.backup.extract import NOT_TAKEN
from pachybox.errors import InvalidArgument, Refused
from pachybox.meta.apply import Filling, Staged
from pachybox.meta.connect import migrations
from pachybox.meta.tables import (
    ALL,
    BRANCHES,
    EVENTS,
    FACTS,
    JOBS,
    OF_BOX,
    PIPELINES,
    PROJECTS,
    Table,
)
from pachybox.model.ids import DEFAULT_PROJECT, Hash
from pachybox.pfs import care
from pachybox.pfs.service import Pfs
from pachybox.store.session import Session
from pachybox.store.trees import EMPTY

_ROWS = 2000  # written at a time
_LINE = 64 << 20  # bytes of one record at most
_HOLD = 10_000  # hashes looked up at a time


def restore(pfs: Pfs, readinto: Callable[[memoryview], int], scratch: Path) -> Figures:
    """Fill the empty box from an archive; returns what there was.

    Jobs that were open are open again and run. Raises Refused when the box is not empty,
    InvalidArgument when it is no archive or a newer one, Corrupt when it is damaged.
    """
    _require_empty(pfs)
    with tempfile.TemporaryFile(dir=scratch) as spool, pfs.blobs.session() as session:
        reader = _Reader(session, spool)
        for member in archive.members(readinto):
            reader.take(member)
        reader.check()
        roots = {h for h in _roots(reader) if h != EMPTY}
        _require_content(pfs, session, roots)
        pfs.fill(lambda: _require_empty(pfs), _fillings(pfs, reader), lambda: _open_work(pfs))
        session.keep()
    return reader.figures


def _require_empty(pfs: Pfs) -> None:
    """Refused unless nothing was ever put here, or all of it was deleted."""
    for table in ALL:
        if table in (EVENTS, FACTS, *OF_BOX):
            continue
        spared = f" WHERE name <> '{DEFAULT_PROJECT}'" if table is PROJECTS else ""
        if pfs.meta.db.read(f"SELECT count(*) FROM {table.name}{spared}")[0][0]:
            raise Refused(
                f"the box is not empty: it has {table.name.replace('_', ' ')}",
                "restore into a new one: pachybox up --home DIR, or pachybox delete all",
            )


class _Reader:
    """Takes the members of an archive one by one, in their order."""

    def __init__(self, session: Session, spool: IO[bytes]) -> None:
        self._session = session
        self.spool = spool
        self.parts: dict[str, tuple[int, int]] = {}  # table -> first byte and length in the spool
        self.figures = Figures()
        self._begun = False
        self._end: dict[str, Any] | None = None
        self._tables = {table.name: table for table in ALL if table not in OF_BOX}

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
        if name not in self._tables or name in self.parts:
            raise broken(f"{member.name} does not belong to it")
        at, hasher, lines = self.spool.tell(), blake3(), 0
        for piece in member.pieces():
            self.spool.write(piece)
            hasher.update(piece)
            lines += bytes(piece).count(b"\n")
        self.parts[name] = (at, member.size)
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

    def rows(self, table: Table[Any, Any]) -> Iterator[dict[str, Any]]:
        """The records of one table, as they were written."""
        if table.name not in self.parts:
            return
        at, length = self.parts[table.name]
        self.spool.seek(at)
        end = at + length
        while at < end:
            line = self.spool.readline(_LINE)
            at += len(line)
            yield _parsed(line, f"meta/{table.name}.jsonl")


def _object_of(member: Member) -> dict[str, Any]:
    return _parsed(member.read(archive.TEXT_LIMIT), member.name)


def _parsed(text: bytes, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        raise broken(f"{name} is not JSON") from None
    if not isinstance(value, dict):
        raise broken(f"{name} holds no object")
    return value


def _hash(text: object) -> Hash:
    try:
        return Hash(bytes.fromhex(str(text)))
    except ValueError:
        raise broken(f"{text!r} is not a hash") from None


def _roots(reader: _Reader) -> Iterator[Hash]:
    for table in ALL:
        columns = [column for name, column in care.ROOT_COLUMNS if name == table.name]
        for row in reader.rows(table) if columns else ():
            yield from (_hash(row[column]) for column in columns if row.get(column) is not None)


def _require_content(pfs: Pfs, session: Session, roots: set[Hash]) -> None:
    """Corrupt unless everything below the roots is in the store."""
    reached = care.live(pfs, roots)
    while some := list(islice(reached, _HOLD)):
        if missing := session.hold(some):
            raise broken(f"blob {missing[0].hex()}, which a record names, is not in it")


def _fillings(pfs: Pfs, reader: _Reader) -> Iterator[Filling]:
    """The records as rows, events numbered behind those that are here."""
    behind = pfs.meta.last_event
    for table in ALL:
        binary = _binary(pfs, table)
        rows = reader.rows(table)
        while some := list(islice(rows, _ROWS)):
            if table is FACTS:
                some = [row for row in some if row.get("name") not in NOT_TAKEN]
            if table is EVENTS:
                some = [{**row, "seq": row["seq"] + behind} for row in some]
            by_columns: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
            for row in some:
                if unknown := row.keys() - set(table.columns):
                    raise broken(f"{table.name} has no column {min(unknown)!r}")
                values = (_hash(v) if c in binary and v is not None else v for c, v in row.items())
                by_columns.setdefault(tuple(row), []).append(tuple(values))
            for columns, values_of in by_columns.items():
                yield table.name, columns, values_of


def _binary(pfs: Pfs, table: Table[Any, Any]) -> set[str]:
    rows = pfs.meta.db.read(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_name = ? AND data_type = 'BLOB'",
        (table.name,),
    )
    return {name for (name,) in rows}


def _open_work(pfs: Pfs) -> Staged:
    """What the scheduler and timers are to know of: the pipelines, the open jobs in their order,
    and the branches."""
    found = pfs.meta.select(
        JOBS,
        "WHERE finished_us IS NULL ORDER BY (SELECT min(c.seq) FROM commits c WHERE c.id = jobs.id "
        "AND c.project = jobs.project AND c.repo = jobs.pipeline AND c.type = 'user')",
    )
    jobs = {job.job: job for job in found}
    return {JOBS: jobs} | {table: pfs.meta.resident(table) for table in (PIPELINES, BRANCHES)}
