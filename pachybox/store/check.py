"""Proving the store: every byte against its hash, the index against the packs; and repair.

What fsck runs. check() only reads and may run while the box works; repair() mends what can be
mended without guessing and moves what is corrupt aside, saying so.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pachybox.durable import sync_path
from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.blobs import BlobStore
from pachybox.store.disk import pread_all
from pachybox.store.format import Gap, Header, Records, digest
from pachybox.store.gc import contains, mark
from pachybox.store.index import prefixes
from pachybox.store.objects import SUFFIX, decode_sums
from pachybox.store.pack import Pack, open_to_read
from pachybox.store.transfer import CHUNK, hash_file


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. ``level`` is "error", "info" or "fixed"; ``thing`` a file or a blob;
    ``blob`` the content that cannot be read because of it."""

    level: str
    thing: str
    detail: str
    blob: Hash | None = None


def check(store: BlobStore, live: Iterable[Hash] | None = None) -> Iterator[Problem]:
    """Read everything; yields an error for each thing that is not true.

    With ``live`` (each needed hash) also an error for each that is missing, and in the end
    an info with the count of blobs that nothing needs. Safe while the box works: what is
    collected meanwhile is passed over.
    """
    seen: list[bytes] = []
    for pack in _packs(store):
        yield from _check_pack(store, pack, seen)
    yield from _check_index(store)
    yield from _check_objects(store, seen)
    if live is not None:
        needed = []
        for h in live:
            if store.size(h) is None:
                yield Problem("error", h.hex(), "is needed and not in the store")
            needed.append(h)
        present = np.unique(prefixes(b"".join(seen)))
        unneeded = int((~contains(mark(needed), present)).sum())
        if unneeded:
            yield Problem(
                "info", str(store.root), f"{unneeded} blobs are unreferenced; collection frees them"
            )


def hashes(store: BlobStore) -> Iterator[Hash]:
    """The hash of all content, once for each place it is in; reads no content."""
    for pack in _packs(store):
        try:
            frames = list(pack.frames())
        except FileNotFoundError:  # collected meanwhile
            continue
        for frame in frames:
            if isinstance(frame, Header):
                yield from (h for h, _, _ in _entries(frame.records))
    for shard, names in store.objects.names():
        for name in names:
            if len(name) == 64 and name.startswith(shard.name):
                yield Hash(bytes.fromhex(name))


def repair(store: BlobStore) -> Iterator[Problem]:
    """Mend what check() would find; yields what was done to which file.

    The index is made anew. A pack with a corrupt blob or frame is emptied of all that is
    true and moved to quarantine/; so is a corrupt object. Nothing is deleted. What was
    corrupt is missing afterwards, until the same content is put again.
    """
    with store.collecting:
        if not store.packs.index.intact() or any(True for _ in _check_index(store)):
            store.packs.rebuild_index()
            yield Problem("fixed", str(store.packs.index.folder), "rebuilt from the packs")
        store.flush()
        for pack in _packs(store):
            problems = list(_check_pack(store, pack, []))
            if problems:
                yield from _set_aside(store, pack, problems)
        for problem, h, path in _object_problems(store, []):
            if path.name.endswith(SUFFIX):
                path.unlink(missing_ok=True)  # made anew when the object is next read
                store.objects.open(h)
                yield Problem("fixed", str(path), f"{problem}; made anew from the object")
                continue
            with store.lock:
                if not path.exists():
                    continue
                store.objects.forget(h)
                path.rename(store.quarantine / path.name)
            sync_path(path.parent)
            yield Problem("fixed", str(path), f"{problem}; moved to {store.quarantine}")


def _packs(store: BlobStore) -> list[Pack]:
    store.flush()
    with store.lock:
        return [pack for _, pack in sorted(store.packs.packs.items())]


def _check_pack(store: BlobStore, pack: Pack, seen: list[bytes]) -> Iterator[Problem]:
    try:
        file = open_to_read(pack)
    except FileNotFoundError:
        if pack.number in store.packs.packs:
            yield Problem("error", str(pack.path), "is missing")
        return
    end = pack.end  # the open pack may grow behind this
    for frame in fmt.scan(file.fd, pack.number):
        if frame.offset >= end:
            break
        if isinstance(frame, Gap):
            yield Problem(
                "error", str(pack.path), f"no frame header at {frame.offset} to {frame.end}"
            )
            continue
        seen.append(frame.records["hash"].tobytes())
        for h, offset, length in _entries(frame.records):
            if digest(pread_all(file.fd, length, offset)) != h:
                yield Problem("error", str(pack.path), f"blob {h.hex()} at {offset} is corrupt", h)
            elif store.packs.find(h) is None and pack.number in store.packs.packs:
                yield Problem("error", h.hex(), f"is in {pack.path} and not in the index")


def _check_index(store: BlobStore) -> Iterator[Problem]:
    """Checksums, and for each entry that the pack it names says the same."""
    for segment in store.packs.index.segments:
        if not segment.intact():
            yield Problem("error", str(segment.path), "its checksum is wrong")
            continue
        for number in sorted(segment.packs):
            pack = store.packs.packs.get(number)
            if pack is None:
                continue
            try:
                frames = list(pack.frames())
            except FileNotFoundError:
                continue
            if any(isinstance(f, Gap) for f in frames):
                continue  # reported with the pack; the index knows more than its headers now
            true = {e for f in frames if isinstance(f, Header) for e in _entries(f.records)}
            for entry in _entries(segment.records(number)):
                if entry not in true:
                    yield Problem(
                        "error", str(segment.path), f"blob {entry[0].hex()} is not in {pack.path}"
                    )


def _entries(rows: Records) -> Iterator[tuple[Hash, int, int]]:
    """Hash, offset and length of each record."""
    hashes = rows["hash"].tobytes()
    places = zip(rows["offset"].tolist(), rows["length"].tolist(), strict=True)
    for i, (offset, length) in enumerate(places):
        yield Hash(hashes[32 * i : 32 * i + 32]), offset, length


def _check_objects(store: BlobStore, seen: list[bytes]) -> Iterator[Problem]:
    for detail, h, path in _object_problems(store, seen):
        lost = None if path.name.endswith(SUFFIX) else h
        yield Problem("error", str(path), detail, lost)


def _object_problems(store: BlobStore, seen: list[bytes]) -> Iterator[tuple[str, Hash, Path]]:
    """Each false object or file of sums: what is wrong, whose it is, where it is."""
    for shard, names in store.objects.names():
        for name in sorted(names):
            stem = name.removesuffix(SUFFIX)
            try:
                h = Hash(bytes.fromhex(stem))
            except ValueError:
                h = Hash(b"")
            if len(h) != 32 or not stem.startswith(shard.name):
                yield "is no object's name", h, shard / name
            elif stem == name:
                seen.append(h)
                yield from _check_object(h, shard / name)


def _check_object(h: Hash, path: Path) -> Iterator[tuple[str, Hash, Path]]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # collected meanwhile
        return
    try:
        size = os.fstat(fd).st_size
        true, sums = hash_file(fd, size)
    finally:
        os.close(fd)
    if true != h:
        yield "the content is not what the name says", h, path
        return
    beside = path.with_name(path.name + SUFFIX)
    if size > CHUNK and beside.exists() and decode_sums(beside.read_bytes(), h, size) != sums:
        yield "the sums are not those of the object", h, beside


def _set_aside(store: BlobStore, pack: Pack, problems: list[Problem]) -> Iterator[Problem]:
    """Copy every true blob out of a damaged pack and move its file to quarantine/."""
    packs = store.packs
    now = packs.open_pack
    if now is not None and now.pack is pack:
        packs.seal()
    saved = lost = 0
    file = open_to_read(pack)
    for h, (offset, length) in _known(store, pack).items():
        data = pread_all(file.fd, length, offset)
        if digest(data) == h:
            packs.admit_copy(h, data, pack.number)
            saved += 1
        else:
            lost += 1
            yield Problem("info", h.hex(), f"was corrupt in {pack.path} and is missing now")
    packs.sync()
    with store.lock:
        packs.forget(pack)
        pack.path.rename(store.quarantine / pack.path.name)
    sync_path(store.quarantine)
    sync_path(packs.folder)
    packs.index.compact(packs.packs)
    yield Problem(
        "fixed",
        str(pack.path),
        f"{problems[0].detail}; {saved} true blobs copied out, {lost} corrupt, "
        f"the pack moved to {store.quarantine}",
    )


def _known(store: BlobStore, pack: Pack) -> dict[Hash, tuple[int, int]]:
    """Offset and length of all a pack is said to hold, by its headers or by the index."""
    found: dict[Hash, tuple[int, int]] = {}
    for segment in store.packs.index.segments:
        entries = _entries(segment.records(pack.number))
        found.update((h, (offset, length)) for h, offset, length in entries)
    for records in pack.records():
        found.update((h, (offset, length)) for h, offset, length in _entries(records))
    return found
