"""A working box to one archive.

The records are one read snapshot of the database, spooled to a file so that a slow reader holds
no snapshot. What they name is in the store, since content is durable before a record names it,
and nothing is collected until the archive is whole. Jobs run on meanwhile; what they record
after the snapshot is not in the archive. Memory: eight bytes of hash for each blob.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import duckdb
import numpy as np
from blake3 import blake3

from pachybox import __version__
from pachybox.backup import archive
from pachybox.backup.archive import BUNDLE_BYTES, Buffer, Figures
from pachybox.backup.sinks import Sink
from pachybox.errors import Corrupt
from pachybox.meta.connect import migrations, told
from pachybox.meta.tables import ALL, OF_BOX, Table
from pachybox.model.ids import Hash
from pachybox.pfs import care
from pachybox.pfs.service import Pfs
from pachybox.store.disk import pread_all
from pachybox.store.format import RECORD, Records, digest
from pachybox.store.gc import contains, mark
from pachybox.store.index import Prefixes, prefixes
from pachybox.store.objects import SUFFIX
from pachybox.store.pack import Pack, open_to_read
from pachybox.store.transfer import CHUNK
from pachybox.store.trees import EMPTY

_ROWS = 2000  # fetched at a time
_SPAN = 8 << 20  # bytes of a pack read at a time
NOT_TAKEN = frozenset({"box_id"})
"""Facts of this very box, which no other may claim."""


@dataclass(slots=True)
class _Snapshot:
    """The records of one moment, spooled: (table, first byte, length) in ``file``."""

    file: IO[bytes]
    parts: list[tuple[str, int, int]] = field(default_factory=list)
    roots: set[Hash] = field(default_factory=set)


def extract(pfs: Pfs, sink: Sink, scratch: Path, box_id: str) -> Figures:
    """Write the box to ``sink``; returns what was written.

    ``scratch`` is a directory for the spooled records. Raises Corrupt, before the archive's
    end is written, when content is missing or not what its hash says.
    """
    writer = _Writer(sink)
    with pfs.blobs.collecting, tempfile.TemporaryFile(dir=scratch) as spool:
        snapshot = _snapshot(pfs, spool, writer.figures)
        manifest = {
            "format": archive.FORMAT,
            "version": archive.VERSION,
            "schema": migrations()[-1][0],
            "pachybox": __version__,
            "box": box_id,
            "extracted": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(writer.mtime)),
        }
        writer.text(archive.MANIFEST, manifest)
        for name, at, length in snapshot.parts:
            writer.begin(f"meta/{name}.jsonl", length)
            for start in range(at, at + length, CHUNK):
                writer.write(pread_all(spool.fileno(), min(CHUNK, at + length - start), start))
            writer.end(length)
        _content(pfs, mark(care.live(pfs, snapshot.roots)), writer)
    writer.text(archive.END, writer.figures.as_json())
    writer.write(archive.trailer())
    return writer.figures


class _Writer:
    """Members of a tar, one after another."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.write = sink.write
        self.mtime = int(time.time())
        self.figures = Figures()
        self._bundles = 0

    def begin(self, name: str, size: int) -> None:
        self.write(archive.header(name, size, self.mtime))

    def end(self, size: int) -> None:
        if pad := archive.padding(size):
            self.write(pad)

    def member(self, name: str, data: Buffer) -> None:
        head, pad = archive.header(name, len(data), self.mtime), archive.padding(len(data))
        self.write(head)
        self.write(data)
        if pad:
            self.write(pad)

    def text(self, name: str, value: dict[str, Any]) -> None:
        self.member(name, (json.dumps(value, indent=1) + "\n").encode())

    def bundle(self, entries: list[tuple[Hash, Buffer]]) -> None:
        self._bundles += 1
        self.figures.blobs += len(entries)
        self.figures.bytes += sum(len(data) for _, data in entries)
        self.member(f"blobs/{self._bundles:08d}", archive.bundle(entries))


# ---- records


def _snapshot(pfs: Pfs, spool: IO[bytes], figures: Figures) -> _Snapshot:
    found = _Snapshot(spool)
    pfs.meta.fold()
    try:
        with pfs.meta.db.cursor() as con:
            con.execute("BEGIN TRANSACTION")
            try:
                for table in (t for t in ALL if t not in OF_BOX):
                    _spool(con, table, found, figures)
                for sql in care.ROOTS:
                    rows = con.execute(sql)
                    while some := rows.fetchmany(_ROWS):
                        found.roots.update(Hash(row[0]) for row in some)
            finally:
                con.execute("ROLLBACK")
    except duckdb.Error as e:
        raise told(pfs.meta.db.path, e) from e
    found.roots.discard(EMPTY)
    spool.flush()
    return found


def _spool(
    con: duckdb.DuckDBPyConnection, table: Table[Any, Any], into: _Snapshot, figures: Figures
) -> None:
    at, count, hasher = into.file.tell(), 0, blake3()
    rows = con.execute(f"{table.select} ORDER BY {', '.join(table.columns[: table.keys])}")
    while batch := rows.fetchmany(_ROWS):
        kept = [r for r in batch if not (table.name == "facts" and r[0] in NOT_TAKEN)]
        text = "".join(_line(table.columns, row) for row in kept).encode()
        into.file.write(text)
        hasher.update(text)
        count += len(kept)
    if count:
        into.parts.append((table.name, at, into.file.tell() - at))
        figures.records[table.name] = count
        figures.hashes[table.name] = hasher.hexdigest()


def _line(columns: tuple[str, ...], row: tuple[Any, ...]) -> str:
    values = (v.hex() if isinstance(v, bytes) else v for v in row)
    return json.dumps(dict(zip(columns, values, strict=True)), ensure_ascii=False) + "\n"


# ---- content


def _content(pfs: Pfs, live: Prefixes, writer: _Writer) -> None:
    """Every live blob, short ones in the order in which they lie on disk."""
    seen = np.zeros(len(live), bool)
    for number in sorted(pfs.blobs.packs.packs):
        pack = pfs.blobs.packs.packs.get(number)
        if pack is not None:
            _pack(pfs, pack, live, seen, writer)
    for shard, names in pfs.blobs.objects.names():
        for name in names:
            if not name.endswith(SUFFIX) and len(name) == 64:
                _object(pfs, Hash(bytes.fromhex(name)), shard.name, live, seen, writer)
    if len(live) and not seen.all():
        raise Corrupt(
            f"{int((~seen).sum())} blobs that records name are not in the store",
            "run pachybox fsck, which names their files",
        )


def _positions(live: Prefixes, asked: Prefixes) -> Any:
    return np.searchsorted(live, asked)


def _pack(pfs: Pfs, pack: Pack, live: Prefixes, seen: Any, writer: _Writer) -> None:
    records = np.concatenate([np.zeros(0, RECORD), *pack.records()])
    if not len(records):
        return
    keys = prefixes(records["hash"].tobytes())
    wanted = contains(live, keys)
    records, at = records[wanted], _positions(live, keys[wanted])
    new = ~seen[at]  # a crash in a collection leaves a blob in two packs
    seen[at] = True
    records = records[new]
    entries: list[tuple[Hash, Buffer]] = []
    size = 0
    for h, data in _blobs(pfs, pack, records[np.argsort(records["offset"])]):
        entries.append((h, data))
        size += len(data)
        if size >= BUNDLE_BYTES:
            writer.bundle(entries)
            entries, size = [], 0
    if entries:
        writer.bundle(entries)


def _blobs(pfs: Pfs, pack: Pack, records: Records) -> Iterator[tuple[Hash, Buffer]]:
    """The blobs of one pack, proven, read in spans."""
    file = open_to_read(pack)
    hashes = records["hash"].tobytes()
    offsets, lengths = records["offset"].tolist(), records["length"].tolist()
    start, span = 0, memoryview(b"")
    for i, (offset, length) in enumerate(zip(offsets, lengths, strict=True)):
        h = Hash(hashes[32 * i : 32 * i + 32])
        if offset + length > start + len(span) or offset < start:
            start = offset
            span = memoryview(pread_all(file.fd, min(_SPAN, max(pack.end - start, length)), start))
        data: Buffer = span[offset - start : offset - start + length]
        yield h, data if digest(data) == h else pfs.blobs.get(h)


def _object(pfs: Pfs, h: Hash, shard: str, live: Prefixes, seen: Any, writer: _Writer) -> None:
    key = prefixes(h)
    if not contains(live, key)[0]:
        return
    found = pfs.blobs.objects.open(h)
    if found is None:
        return
    writer.begin(f"objects/{shard}/{h.hex()}", found.size)
    writer.sink.blob(pfs.blobs, h, found.size)
    writer.end(found.size)
    seen[_positions(live, key)] = True
    writer.figures.objects += 1
    writer.figures.bytes += found.size
