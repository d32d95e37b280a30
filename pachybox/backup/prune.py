"""Old backups go, and what only they needed.

What the others need is found first, by reading all their records and trees; when anything of it is
missing, nothing is taken away. Then, in this order: packs that no index names go, for there to be
room; the snapshots go; what lives in packs that are mostly dead, or small, is written to new ones;
one index names what lives and supersedes all others; those go; packs that it does not name go. A
crash at any point leaves files that nobody names, for the next prune. Nobody else works in the
repository meanwhile (locks.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pachybox.backup.create import Report
from pachybox.backup.keep import Keep
from pachybox.backup.known import Flags, Held
from pachybox.backup.locks import Lock, locked
from pachybox.backup.packs import ROW, Kind, Rows, encode_index, name_of, pack_path, unpacked
from pachybox.backup.reach import needed
from pachybox.backup.repository import Repository, Snapshot
from pachybox.backup.sender import Sender
from pachybox.backup.target import TMP, Target
from pachybox.backup.walk import keys_of
from pachybox.errors import Exhausted, NotFound, Refused
from pachybox.model.ids import Hash
from pachybox.store.gc import contains
from pachybox.store.index import Prefixes

_WAIT_S = 60.0
_KEEP_SHARE = 0.5  # of a pack that lives; with less it is written anew
_SMALL = 4 << 20  # packs below this are joined ...
_MANY = 16  # ... when there are so many
_INDEXES = 32  # index files that are joined
_ROWS = 1 << 20  # of an index


@dataclass(slots=True)
class Pruned:
    """What was done, or would be. Sizes in bytes."""

    kept: list[Snapshot] = field(default_factory=list)
    removed: list[Snapshot] = field(default_factory=list)
    packs_removed: int = 0
    freed_bytes: int = 0
    problems: list[str] = field(default_factory=list)


def prune(
    target: Target,
    keep: Keep,
    scratch: Path,
    report: Report,
    gone: Callable[[], bool],
    *,
    dry_run: bool = False,
) -> Pruned:
    """Take away the backups that ``keep`` does not want, and what nobody needs then.

    Raises Refused when none would be left, NotReady when somebody else works there, Corrupt when
    something that is kept is damaged: then nothing is taken away.
    """
    repository = Repository.open(target)
    if dry_run:
        return _divide(repository, keep)
    with locked(target, alone=True, wait_s=_WAIT_S, gone=gone) as lock:
        done = _divide(repository, keep)
        there = repository.packs_there()
        names = repository.index_names()
        held = Held(repository.indexes(), there)
        live = needed(repository, held, done.kept, scratch, report, gone).keys
        _remove_packs(repository, {*held.packs, *held.lost}, lock, done)
        lock.check()
        for snapshot in done.removed:
            target.delete(f"snapshots/{snapshot.id}.json")
        with Sender(repository, gone, {}) as sender:
            named = _sweep(repository, held, live, there, names, sender, lock, done, report)
        _remove_packs(repository, named, lock, done)
        for name, _ in list(target.list(TMP)):
            target.delete(name)
    return done


def _divide(repository: Repository, keep: Keep) -> Pruned:
    snapshots = [repository.snapshot(id) for id in repository.snapshot_ids()]
    wanted: set[str] = set()
    for box in {one.box for one in snapshots}:  # one does not count for another
        mine = [(one.id, one.time) for one in snapshots if one.box == box]
        wanted |= keep.kept(mine, time.time())
    if snapshots and not wanted:
        raise Refused("no backup would be left", "keep some: --keep 'last 1'")
    return Pruned(
        [one for one in snapshots if one.id in wanted],
        [one for one in snapshots if one.id not in wanted],
    )


def _sweep(
    repository: Repository,
    held: Held,
    live: Prefixes,
    there: dict[str, int],
    names: list[str],
    sender: Sender,
    lock: Lock,
    done: Pruned,
    report: Report,
) -> set[str]:
    """Have indexes name what lives and nothing else; the packs that they name."""
    alive = contains(live, keys_of(held.rows["hash"].tobytes())) & _first(held.rows)
    packs: list[tuple[str, int]] = []
    parts: list[Rows] = []
    again: list[tuple[str, Rows]] = []
    small = sum(size < _SMALL for size in there.values()) >= _MANY
    flags = dict(_by_pack(held, alive))
    for name, rows in flags.items():
        if not len(rows):
            continue
        stored = int(rows["stored"].astype(np.int64).sum())
        if stored < _KEEP_SHARE * there[name] or (small and there[name] < _SMALL):
            again.append((name, rows))
            continue
        rows["pack"] = len(packs)
        packs.append((name, there[name]))
        parts.append(rows)
    same = alive.all() and not again and not held.lost and len(names) == len(held.indexes)
    if same and len(names) <= _INDEXES:
        return {name for name, _ in packs}
    stay, fresh, rows_of = _written_again(repository, again, sender, lock, done, report)
    for name, rows in stay:
        rows["pack"] = len(packs)
        packs.append((name, there[name]))
        parts.append(rows)
    for rows in rows_of:
        rows["pack"] += len(packs)
    packs, parts = packs + fresh, parts + rows_of
    lock.check()
    _write_indexes(repository, packs, parts, names)
    lock.check()
    for name in names:
        repository.target.delete(f"index/{name}")
    return {name for name, _ in packs}


def _first(rows: Rows) -> Flags:
    """Which rows are no copies of others: two boxes may send the same at once."""
    words = np.frombuffer(rows["hash"].tobytes(), ">u8").reshape(-1, 4)
    keys = (rows["kind"], rows["at"], *(words[:, i] for i in (3, 2, 1, 0)))
    order = np.lexsort(keys)
    first = np.ones(len(rows), bool)
    if len(rows) > 1:
        alike = np.ones(len(rows) - 1, bool)
        for key in keys:
            alike &= key[order][1:] == key[order][:-1]
        first[order[1:]] = ~alike
    return first


def _by_pack(held: Held, wanted: Flags) -> list[tuple[str, Rows]]:
    """The wanted rows of each pack, in their order there."""
    rows = held.rows[wanted]
    order = np.lexsort((rows["offset"], rows["pack"]))
    rows = rows[order]
    edges = np.searchsorted(rows["pack"], np.arange(len(held.packs) + 1))
    return [(name, rows[edges[i] : edges[i + 1]].copy()) for i, name in enumerate(held.packs)]


def _written_again(
    repository: Repository,
    again: list[tuple[str, Rows]],
    sender: Sender,
    lock: Lock,
    done: Pruned,
    report: Report,
) -> tuple[list[tuple[str, Rows]], list[tuple[str, int]], list[Rows]]:
    """Have the pieces of packs in new ones: the packs that stay, those that came, and their rows.
    Where there is no room all stay."""
    stay = []
    try:
        for i, (name, rows) in enumerate(again):
            report("writing anew", i, len(again))
            lock.check_again()
            if not _write_again(repository, name, rows, sender):
                done.problems.append(f"{repository.shown_pack(name)} is damaged, and stays")
                stay.append((name, rows))
        fresh, rows_of = sender.finish()
    except Exhausted as e:
        text = f"{len(again)} packs stay as they are, prune again when there is room: {e.message}"
        done.problems.append(text)
        return again, [], []
    return stay, fresh, rows_of


def _write_again(repository: Repository, name: str, rows: Rows, sender: Sender) -> bool:
    """Send pieces of a pack anew; False when it is not what its name says."""
    try:
        data = repository.target.get(pack_path(name))
    except NotFound:
        return False
    if name_of(data) != name:
        return False
    view, shown = memoryview(data), repository.shown_pack(name)
    for row in rows:
        offset = int(row["offset"])
        piece = unpacked(row, view[offset : offset + int(row["stored"])], shown)
        h = Hash(row["hash"].tobytes())
        sender.add_piece(Kind(int(row["kind"])), h, piece, int(row["at"]), int(row["total"]))
    return True


def _write_indexes(
    repository: Repository, packs: list[tuple[str, int]], parts: list[Rows], names: list[str]
) -> None:
    """Write what is in packs; the last index supersedes those of before."""
    some: list[tuple[str, int]] = []
    rows: list[Rows] = [np.zeros(0, ROW)]
    for pack, mine in zip(packs, parts, strict=True):
        if sum(map(len, rows)) >= _ROWS:
            repository.put_index(encode_index(some, np.concatenate(rows)))
            some, rows = [], []
        mine["pack"] = len(some)
        some.append(pack)
        rows.append(mine)
    repository.put_index(encode_index(some, np.concatenate(rows), names))


def _remove_packs(repository: Repository, named: set[str], lock: Lock, done: Pruned) -> None:
    lock.check()
    for name, size in repository.packs_there().items():
        if name not in named:
            lock.check_again()
            repository.target.delete(pack_path(name))
            done.packs_removed += 1
            done.freed_bytes += size
