"""One walk over all content, a small piece at a time, each read from the disk and proven.

Packs by number, frame by frame, then objects by name, chunk by chunk. New packs get higher numbers
and what the collector saves goes into them, so nothing that was there when a walk began slips
through; a walk that was broken off goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import xxhash

from pachybox.care.idle import Plain, drop_cached
from pachybox.errors import Corrupt
from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.blobs import BlobStore
from pachybox.store.format import Gap, digest
from pachybox.store.objects import Opened
from pachybox.store.pack import Pack, open_to_read
from pachybox.store.transfer import CHUNK

PACKS, OBJECTS, END = range(3)


class Place(NamedTuple):
    """How far a walk has come: all before it was read. ``name`` is a pack's number in eight
    digits or more, or an object's hash."""

    kind: int = PACKS
    name: str = ""
    offset: int = 0


START = Place()


@dataclass(frozen=True, slots=True)
class Damage:
    """Content that is not what its name says, or cannot be read. ``blob``: its hash in hex, ""
    for a part of a pack of which not even that is known."""

    blob: str
    path: str
    detail: str


@dataclass(frozen=True, slots=True)
class Step:
    """One piece: ``place`` behind it, the bytes read, what is wrong there."""

    place: Place
    read: int
    damage: tuple[Damage, ...] = ()


def walk(store: BlobStore, after: Place = START) -> Iterator[Step]:
    """Prove what comes at ``after`` or behind it. Safe while the box works: what is collected
    meanwhile is passed over."""
    if after.kind == PACKS:
        with store.lock:
            packs = sorted(store.packs.packs.items())
        for number, pack in packs:
            name = f"{number:08d}"
            if (len(name), name) < (len(after.name), after.name):
                continue
            begin = after.offset if name == after.name else 0
            yield from _pack(store, pack, name, begin)
    start = after if after.kind == OBJECTS else Place(OBJECTS)
    for shard, names in store.objects.names() if after.kind < END else ():
        for name in sorted(n for n in names if _is_object(n, shard)):
            if name >= start.name:
                begin = start.offset if name == start.name else 0
                yield from _object(store, shard / name, Hash(bytes.fromhex(name)), begin)
    yield Step(Place(END), 0)


def _is_object(name: str, shard: Path) -> bool:
    if len(name) != 64 or not name.startswith(shard.name):
        return False
    try:
        bytes.fromhex(name)
    except ValueError:
        return False
    return True


def _pack(store: BlobStore, pack: Pack, name: str, begin: int) -> Iterator[Step]:
    try:
        headers = open_to_read(pack)
        with Plain(pack.path) as file:
            for frame in fmt.scan(headers.fd, pack.number):
                end = min(frame.end, pack.synced)
                if frame.offset >= pack.synced:
                    return  # what is behind is still being written
                if frame.offset >= begin:
                    bad = _frame(store, pack, file, frame)
                    yield Step(Place(PACKS, name, end), end - frame.offset, tuple(bad))
    except FileNotFoundError:  # collected meanwhile
        return
    except OSError as e:
        yield Step(Place(PACKS, name, pack.end), 0, (_unreadable("", pack.path, e),))


def _frame(store: BlobStore, pack: Pack, file: Plain, frame: fmt.Header | Gap) -> Iterator[Damage]:
    if isinstance(frame, Gap):
        if pack.number in store.packs.packs:
            yield Damage("", str(pack.path), f"no frame begins at {frame.offset} to {frame.end}")
        return
    data = file.read(frame.offset, frame.end - frame.offset)
    for raw, offset, length, _ in frame.records.tolist():
        at = offset - frame.offset
        if digest(data[at : at + length]) != raw and pack.number in store.packs.packs:
            yield from _confirmed(store, Hash(raw), pack.path, f"at {offset}")


def _object(store: BlobStore, path: Path, h: Hash, begin: int) -> Iterator[Step]:
    name = h.hex()
    try:
        opened = store.objects.open(h)
        if opened is None:  # collected meanwhile
            return
        with Plain(opened.path) as file:
            for at in range(begin, max(opened.size, 1), CHUNK):
                chunk = file.read(at, min(CHUNK, opened.size - at))
                bad = () if _true(h, opened, at, chunk) else _confirmed(store, h, path, f"at {at}")
                damage = tuple(bad)
                end = opened.size if damage else at + len(chunk)
                yield Step(Place(OBJECTS, name, max(end, 1)), len(chunk), damage)
                if damage:
                    return
    except FileNotFoundError:
        return
    except Corrupt as e:  # its sums had to be made anew
        yield Step(Place(OBJECTS, name, 1 << 62), 0, (Damage(name, str(path), e.message),))
    except OSError as e:
        yield Step(Place(OBJECTS, name, 1 << 62), 0, (_unreadable(name, path, e),))


def _true(h: Hash, opened: Opened, at: int, chunk: memoryview) -> bool:
    if len(chunk) != min(CHUNK, opened.size - at):
        return False
    if opened.sums is None:
        return digest(chunk) == h
    return xxhash.xxh3_64_intdigest(chunk) == opened.sums[at // CHUNK]


def _confirmed(store: BlobStore, h: Hash, path: Path, where: str) -> Iterator[Damage]:
    """Nothing when the store has a true copy elsewhere, or it has just been collected. What is
    confirmed the store knows as false from now on: putting it again stores it afresh."""
    try:
        drop_cached(path)
    except FileNotFoundError:
        return
    damage = proof(store, h, path)
    if damage is not None:
        yield Damage(damage.blob, damage.path, f"{damage.detail} {where}")


def proof(store: BlobStore, h: Hash, path: Path) -> Damage | None:
    """What is wrong with one blob, said to be in ``path``; None when it is there and true."""
    try:
        store.verify(h)
    except Corrupt:
        gone = store.size(h) is None
        return Damage(h.hex(), str(path), "is missing" if gone else "is not what its hash says")
    except OSError as e:
        return _unreadable(h.hex(), path, e)
    return None


def _unreadable(blob: str, path: Path, e: OSError) -> Damage:
    return Damage(blob, str(path), f"cannot be read: {e.strerror}")
