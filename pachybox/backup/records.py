"""The records of a box outside of its database: spooled to a file, and back into an empty box.

One read snapshot of the database is spooled so that a slow reader of it holds none. On the way back
everything becomes one transaction, once all that the records name is in the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

import duckdb
from blake3 import blake3

from pachybox.backup.archive import broken
from pachybox.errors import Refused
from pachybox.meta.apply import Filling, Staged
from pachybox.meta.connect import told
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

NOT_TAKEN = frozenset({"box_id"})
TAKEN = tuple(table for table in ALL if table not in OF_BOX)
"""Facts of this very box, which no other may claim."""
_OWN_PARTS = ("backup.", "health.", "janitor.", "scrub.", "webhooks.")
"""How facts begin that are about the work of this very box."""

_ROWS = 2000  # fetched and written at a time
_LINE = 64 << 20  # bytes of one record at most
_HOLD = 10_000  # hashes looked up at a time
_ORDERS = ("seq", "created_us")
"""Columns that rise as rows are added: in their order what is new is at the end."""


@dataclass(slots=True)
class Records:
    """The records of one moment in ``file``: by table (first byte, length), how many there are, and
    the BLAKE3 in hex of the lines. ``roots``: what they name, when they come from a box."""

    file: IO[bytes]
    parts: dict[str, tuple[int, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    roots: set[Hash] = field(default_factory=set)

    def lines(self, name: str) -> Iterator[bytes]:
        """The records of a table, a line of JSON each."""
        at, length = self.parts.get(name, (0, 0))
        self.file.seek(at)
        end = at + length
        while at < end:
            line = self.file.readline(_LINE)
            at += len(line)
            yield line

    def rows(self, table: Table[Any, Any]) -> Iterator[dict[str, Any]]:
        """The records of one table. Raises Corrupt."""
        for line in self.lines(table.name):
            yield parsed(line, f"meta/{table.name}.jsonl")


def parsed(text: bytes, name: str) -> dict[str, Any]:
    """An object of JSON. Raises Corrupt."""
    try:
        value = json.loads(text)
    except ValueError:
        raise broken(f"{name} is not JSON") from None
    if not isinstance(value, dict):
        raise broken(f"{name} holds no object")
    return value


# ---- out of a box


def spool(pfs: Pfs, file: IO[bytes]) -> Records:
    """Write all records of this moment to ``file``."""
    found = Records(file)
    pfs.meta.fold()
    try:
        with pfs.meta.db.cursor() as con:
            con.execute("BEGIN TRANSACTION")
            try:
                for table in TAKEN:
                    _spool(con, table, found)
                for sql in care.ROOTS:
                    rows = con.execute(sql)
                    while some := rows.fetchmany(_ROWS):
                        found.roots.update(Hash(row[0]) for row in some)
            finally:
                con.execute("ROLLBACK")
    except duckdb.Error as e:
        raise told(pfs.meta.db.path, e) from e
    found.roots.discard(EMPTY)
    file.flush()
    return found


def _spool(con: duckdb.DuckDBPyConnection, table: Table[Any, Any], into: Records) -> None:
    at, count, hasher = into.file.tell(), 0, blake3()
    order = [c for c in _ORDERS if c in table.columns][:1] + list(table.columns[: table.keys])
    rows = con.execute(f"{table.select} ORDER BY {', '.join(dict.fromkeys(order))}")
    while batch := rows.fetchmany(_ROWS):
        kept = [r for r in batch if not (table is FACTS and _own(r[0]))]
        text = "".join(_line(table.columns, row) for row in kept).encode()
        into.file.write(text)
        hasher.update(text)
        count += len(kept)
    if count:
        into.parts[table.name] = (at, into.file.tell() - at)
        into.counts[table.name] = count
        into.hashes[table.name] = hasher.hexdigest()


def _own(fact: object) -> bool:
    return fact in NOT_TAKEN or str(fact).startswith(_OWN_PARTS)


def _line(columns: tuple[str, ...], row: tuple[Any, ...]) -> str:
    values = (v.hex() if isinstance(v, bytes) else v for v in row)
    return json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False) + "\n"


# ---- into a box


def require_empty(pfs: Pfs) -> None:
    """Refused unless nothing was ever put here, or all of it was deleted."""
    for table in TAKEN:
        if table in (EVENTS, FACTS):
            continue
        spared = f" WHERE name <> '{DEFAULT_PROJECT}'" if table is PROJECTS else ""
        if pfs.meta.db.read(f"SELECT count(*) FROM {table.name}{spared}")[0][0]:
            raise Refused(
                f"the box is not empty: it has {table.name.replace('_', ' ')}",
                "restore into a new one: pachybox up --home DIR, or pachybox delete all",
            )


def roots(records: Records) -> set[Hash]:
    """Every tree that the records name. Raises Corrupt."""
    found: set[Hash] = set()
    for table in TAKEN:
        columns = [column for name, column in care.ROOT_COLUMNS if name == table.name]
        for row in records.rows(table) if columns else ():
            found.update(_hash(row[column]) for column in columns if row.get(column) is not None)
    found.discard(EMPTY)
    return found


def fill(pfs: Pfs, session: Session, records: Records) -> None:
    """Have the empty box hold ``records``, durably and all at once. What they name must have been
    put under ``session``. Raises Corrupt when it is not there, Refused when the box is not empty.
    """
    _require_content(pfs, session, roots(records))
    pfs.fill(lambda: require_empty(pfs), _fillings(pfs, records), lambda: _open_work(pfs))
    session.keep()


def _hash(text: object) -> Hash:
    try:
        return Hash(bytes.fromhex(str(text)))
    except ValueError:
        raise broken(f"{text!r} is not a hash") from None


def _require_content(pfs: Pfs, session: Session, roots: set[Hash]) -> None:
    """Corrupt unless everything below the roots is in the store."""
    reached = care.live(pfs, roots)
    while some := list(islice(reached, _HOLD)):
        if missing := session.hold(some):
            raise broken(f"blob {missing[0].hex()}, which a record names, is not in it")


def _fillings(pfs: Pfs, records: Records) -> Iterator[Filling]:
    """The records as rows, events numbered behind those that are here."""
    behind = pfs.meta.last_event
    for table in TAKEN:
        binary = _binary(pfs, table)
        rows = records.rows(table)
        while some := list(islice(rows, _ROWS)):
            if table is FACTS:
                some = [row for row in some if not _own(row.get("name"))]
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
