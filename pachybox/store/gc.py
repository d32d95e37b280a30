"""The collector: frees blobs that no commit names and no session needs, while the box works.

Mark: eight bytes of every live hash, sorted. Sweep: dead objects go; packs with nothing live
go; packs of which less than half lives are emptied into the open pack and go. Before anything
is unlinked it is made unfindable under the store's lock, after a last look at what sessions
have touched since the mark; so a session either was seen, or does not find and stores anew.

crash: at any step every live blob is findable, since copies are durable before their source
is forgotten; what is left over (copies, unlinked-but-indexed packs, files in tmp/) is dead or
double, and the next opening or collection removes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pachybox.errors import Exhausted
from pachybox.model.ids import Hash
from pachybox.store.blobs import BlobStore
from pachybox.store.disk import pread_all, remove
from pachybox.store.format import RECORD, Records, digest
from pachybox.store.index import Prefixes, prefixes
from pachybox.store.leases import WIDTH
from pachybox.store.objects import SUFFIX
from pachybox.store.pack import Pack, open_to_read

KEEP_SHARE = 0.5  # of a pack's content; with less alive it is rewritten
_BATCH = 256  # objects taken away under one hold of the lock
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Collected:
    """What a collection did. ``skipped``: packs left alone because a live blob in them is bad."""

    scanned: int
    freed_bytes: int
    packs_removed: int
    objects_removed: int
    skipped: tuple[str, ...] = ()


@dataclass(slots=True)
class _Tally:
    scanned: int = 0
    freed: int = 0
    packs: int = 0
    objects: int = 0
    skipped: list[str] = field(default_factory=list)


def collect(store: BlobStore, roots_live: Callable[[], Iterable[Hash]]) -> Collected:
    """Remove what neither ``roots_live`` nor any session of this moment needs.

    ``roots_live`` is called after recording began and yields the hash of every blob that is
    live, in any order, repeats allowed. When it raises nothing is removed. On a full disk
    the packs that would have to be rewritten stay. One collection at a time; others wait.
    """
    with store.collecting:
        with store.lock:
            held = store.leases.start_record()
        try:
            live = mark(roots_live(), held)
            tally = _Tally()
            store.objects.clear_tmp()
            _sweep_objects(store, live, tally)
            _sweep_packs(store, live, tally)
        finally:
            with store.lock:
                store.leases.stop_record()
            store.recount()
    return Collected(tally.scanned, tally.freed, tally.packs, tally.objects, tuple(tally.skipped))


def mark(live: Iterable[Hash], held: bytes = b"") -> Prefixes:
    """The sorted prefixes of ``live`` and of what sessions hold."""
    parts = [prefixes(held, WIDTH)]
    hashes = iter(live)
    while some := b"".join(islice(hashes, 1 << 16)):
        parts.append(prefixes(some))
    return np.unique(np.concatenate(parts))


def contains(live: Prefixes, asked: Prefixes) -> npt.NDArray[np.bool_]:
    """For each of ``asked`` whether it is in the sorted ``live``."""
    if not len(live):
        return np.zeros(len(asked), bool)
    at = np.searchsorted(live, asked)
    at[at == len(live)] = 0
    found: npt.NDArray[np.bool_] = live[at] == asked
    return found


class _Touched:
    """What sessions have put or found since the mark. Asked with the lock held."""

    def __init__(self, store: BlobStore) -> None:
        self._leases = store.leases
        self._seen = 0
        self._known = prefixes(b"", WIDTH)

    def now(self) -> Prefixes:
        new = self._leases.recorded(self._seen)
        if new:
            self._seen += len(new)
            self._known = np.union1d(self._known, prefixes(new, WIDTH))
        return self._known


def _sweep_objects(store: BlobStore, live: Prefixes, tally: _Tally) -> None:
    touched = _Touched(store)
    for shard, names in store.objects.names():
        hashes = [h for name in names if (h := _hash_of(name)) is not None]
        tally.scanned += len(hashes)
        known = set(hashes)
        dead = [
            h
            for h, is_live in zip(hashes, contains(live, prefixes(b"".join(hashes))), strict=True)
            if not is_live
        ]
        for at in range(0, len(dead), _BATCH):
            _remove_objects(store, dead[at : at + _BATCH], touched, tally)
        for name in names:
            stem = name.removesuffix(SUFFIX)
            if stem != name and (h := _hash_of(stem)) is not None and h not in known:
                with store.lock:  # sums whose object is gone, unless it came meanwhile
                    if not (shard / stem).exists() and h not in store.objects.pending:
                        remove(shard / name)


def _remove_objects(store: BlobStore, dead: list[Hash], touched: _Touched, tally: _Tally) -> None:
    doomed: list[Path] = []
    with store.lock:
        spared = contains(touched.now(), prefixes(b"".join(dead)))
        for h, spare in zip(dead, spared, strict=True):
            if not spare:
                tally.objects += 1
                doomed += store.objects.withdraw(h)
    for path in doomed:
        tally.freed += path.stat().st_size
        remove(path)


def _hash_of(name: str) -> Hash | None:
    try:
        raw = bytes.fromhex(name)
    except ValueError:
        return None
    return Hash(raw) if len(raw) == 32 else None


def _sweep_packs(store: BlobStore, live: Prefixes, tally: _Tally) -> None:
    packs = store.packs
    _seal_if_mostly_dead(store, live)
    with store.lock:  # race: a writer begins the next pack at any moment; it is not sealed
        now = packs.open_pack
        sealed = [p for p in packs.packs.values() if now is None or p is not now.pack]
    alive, whole = _weigh(store, live, tally)
    shares = sorted(
        (alive.get(p.number, 0) / (whole.get(p.number, 0) or 1), p.number, p) for p in sealed
    )
    dead = sum(whole.get(p.number, 0) - alive.get(p.number, 0) for p in sealed)
    touched = _Touched(store)
    try:
        for share, number, pack in shares:  # the emptiest first: they make room for the others
            if share >= KEEP_SHARE:
                break
            if _empty(store, pack, live, touched, tally):
                dead -= whole.get(number, 0) - alive.get(number, 0)
    except Exhausted as e:
        _log.warning("packs that are half empty stay until there is room: %s", e)
    store.dead_bytes = dead
    try:
        packs.index.compact(packs.packs)
    except OSError as e:  # only tidiness: look-ups pass over packs that are gone
        _log.warning("index not tidied: %s", e)


def _seal_if_mostly_dead(store: BlobStore, live: Prefixes) -> None:
    """The pack that grows cannot be collected; one worth collecting must stop growing."""
    now = store.packs.open_pack
    if now is None:
        return
    rows = np.concatenate([np.zeros(0, RECORD), *now.pack.records()])
    lengths = rows["length"].astype(np.int64) + 1  # the empty blob weighs something too
    if not len(rows):
        return
    kept = contains(live, prefixes(rows["hash"].tobytes()))
    if int(lengths[kept].sum()) < KEEP_SHARE * int(lengths.sum()):
        store.packs.seal()


def _weigh(
    store: BlobStore, live: Prefixes, tally: _Tally
) -> tuple[dict[int, int], dict[int, int]]:
    """Bytes of content alive and in all, by sealed pack; from the index, a block at a time."""
    alive: dict[int, int] = {}
    whole: dict[int, int] = {}
    for segment in store.packs.index.segments:
        columns = segment.columns()
        for at in range(0, segment.count, 1 << 20):
            rows = slice(at, at + (1 << 20))
            kept = contains(live, columns.prefix[rows])
            numbers, which = np.unique(columns.pack[rows], return_inverse=True)
            lengths = columns.length[rows].astype(np.float64)
            for into, weights in ((alive, lengths * kept), (whole, lengths)):
                sums = np.bincount(which, weights, len(numbers))
                for number, n in zip(numbers.tolist(), sums.tolist(), strict=True):
                    into[number] = into.get(number, 0) + int(n)
            tally.scanned += len(lengths)
    return alive, whole


def _empty(store: BlobStore, pack: Pack, live: Prefixes, touched: _Touched, tally: _Tally) -> bool:
    """Copy what lives in a sealed pack to the open one, then remove it; False when it stays."""
    if pack.pins:  # a hint; what counts is the look under the lock below
        return False
    records = np.concatenate([np.zeros(0, RECORD), *pack.records()])
    keys = prefixes(records["hash"].tobytes())
    wanted = contains(live, keys)
    copied = np.zeros(len(records), bool)
    while True:
        bad = [h for h, ok in _copy(store, pack, records[wanted & ~copied]) if not ok]
        if bad:
            tally.skipped.append(f"{pack.path}: blob {bad[0].hex()} is corrupt")
            return False
        copied |= wanted
        store.packs.sync()  # crash: the copies must be safe before their source goes
        with store.lock:
            if pack.pins:
                return False  # the copies are double now, which the next collection mends
            wanted = contains(touched.now(), keys)
            if not (wanted & ~copied).any():
                store.packs.forget(pack)
                break
    remove(pack.path)
    tally.packs += 1
    tally.freed += pack.end
    return True


def _copy(store: BlobStore, pack: Pack, records: Records) -> Iterator[tuple[Hash, bool]]:
    """Put blobs of one pack into the open pack; for each whether it was true."""
    if not len(records):
        return
    file = open_to_read(pack)
    hashes = records["hash"].tobytes()
    rows = zip(records["offset"].tolist(), records["length"].tolist(), strict=True)
    for i, (offset, length) in enumerate(rows):
        h = Hash(hashes[32 * i : 32 * i + 32])
        data = pread_all(file.fd, length, offset)
        true = digest(data) == h
        if true:
            store.packs.admit_copy(h, data, pack.number)
        yield h, true
