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
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pachybox import __version__
from pachybox.backup import archive, records
from pachybox.backup.archive import BUNDLE_BYTES, Buffer, Figures
from pachybox.backup.sinks import Sink
from pachybox.backup.walk import Seen, keys_of
from pachybox.errors import Corrupt
from pachybox.meta.connect import migrations
from pachybox.model.ids import Hash
from pachybox.pfs import care
from pachybox.pfs.service import Pfs
from pachybox.store.disk import pread_all
from pachybox.store.format import RECORD, Records, digest
from pachybox.store.gc import contains
from pachybox.store.index import Prefixes
from pachybox.store.objects import SUFFIX
from pachybox.store.pack import Pack, open_to_read
from pachybox.store.transfer import CHUNK

_LOOKED_UP = 1 << 16  # hashes at a time
_SPAN = 8 << 20  # bytes of a pack read at a time


def extract(pfs: Pfs, sink: Sink, scratch: Path, box_id: str) -> Figures:
    """Write the box to ``sink``; returns what was written.

    ``scratch`` is a directory for the spooled records. Raises Corrupt, before the archive's
    end is written, when content is missing or not what its hash says.
    """
    writer = _Writer(sink)
    with pfs.blobs.collecting, tempfile.TemporaryFile(dir=scratch) as spool:
        found = records.spool(pfs, spool)
        writer.figures.records, writer.figures.hashes = found.counts, found.hashes
        manifest = {
            "format": archive.FORMAT,
            "version": archive.VERSION,
            "schema": migrations()[-1][0],
            "pachybox": __version__,
            "box": box_id,
            "extracted": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(writer.mtime)),
        }
        writer.text(archive.MANIFEST, manifest)
        for name, (at, length) in found.parts.items():
            writer.begin(f"meta/{name}.jsonl", length)
            for start in range(at, at + length, CHUNK):
                writer.write(pread_all(spool.fileno(), min(CHUNK, at + length - start), start))
            writer.end(length)
        _content(pfs, _live(care.live(pfs, found.roots)), writer)
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


def _live(hashes: Iterator[Hash]) -> Prefixes:
    seen = Seen()
    while some := b"".join(islice(hashes, _LOOKED_UP)):
        seen.new(some)
    return seen.keys


def _positions(live: Prefixes, asked: Prefixes) -> Any:
    return np.searchsorted(live, asked)


def _pack(pfs: Pfs, pack: Pack, live: Prefixes, seen: Any, writer: _Writer) -> None:
    records = np.concatenate([np.zeros(0, RECORD), *pack.records()])
    if not len(records):
        return
    keys = keys_of(records["hash"].tobytes())
    wanted = contains(live, keys)
    records, at = records[wanted], _positions(live, keys[wanted])
    new = ~seen[at]  # a crash in a collection leaves a blob in two packs
    seen[at] = True
    records = records[new]
    entries: list[tuple[Hash, Buffer]] = []
    size = 0
    for h, data in blobs_of(pfs, pack, records[np.argsort(records["offset"])]):
        entries.append((h, data))
        size += len(data)
        if size >= BUNDLE_BYTES:
            writer.bundle(entries)
            entries, size = [], 0
    if entries:
        writer.bundle(entries)


def blobs_of(pfs: Pfs, pack: Pack, records: Records) -> Iterator[tuple[Hash, Buffer]]:
    """The blobs of one pack, proven, read in spans. What has moved from it is found where it is."""
    hashes = records["hash"].tobytes()
    try:
        file = open_to_read(pack)
    except FileNotFoundError:  # collected meanwhile
        for at in range(0, len(hashes), 32):
            h = Hash(hashes[at : at + 32])
            yield h, pfs.blobs.get(h)
        return
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
    key = keys_of(h)
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
