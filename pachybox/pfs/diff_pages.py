"""Pages of the files in which two trees differ.

A directory that only one of them has is counted and passed whole, by what its entry says; so the
first commit of a million files costs what is shown of it. Otherwise the cost follows the
difference, once: what was found is kept, as long as it is not too much.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from pachybox.model.files import Change
from pachybox.model.ids import Hash, Repo
from pachybox.model.pfs import CommitRecord
from pachybox.pfs.pages import Kept
from pachybox.pfs.read import File, Reader
from pachybox.pfs.service import Pfs
from pachybox.store.trees import EMPTY

_KEPT = 20_000  # changes remembered, a kilobyte each
Pair = tuple[File | None, File | None]
"""(new, old)"""


@dataclass(frozen=True, slots=True)
class Differences:
    """What differs between two trees: the counts of all, and a page of pairs."""

    added: int
    removed: int
    changed: int
    bytes_delta: int
    rows: list[Pair]

    @property
    def total(self) -> int:
        """How many files differ."""
        return self.added + self.removed + self.changed


@dataclass(frozen=True, slots=True)
class _Sides:
    """The two commits and where in them the trees are that are compared."""

    new: CommitRecord
    new_base: str
    old: CommitRecord | None
    old_base: str

    def pair(self, change: Change) -> Pair:
        """A change as files."""
        new = None
        if change.new is not None:
            new = File(self.new, self.new_base + change.path, change.new)
        old = None
        if change.old is not None and self.old is not None:
            old = File(self.old, self.old_base + change.path, change.old)
        return new, old


class DiffPages:
    """Pages of differences over one Pfs."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs
        self._kept = Kept(_KEPT)

    def page(
        self,
        reader: Reader,
        new: tuple[Repo, str, str],
        old: tuple[Repo, str, str] | None,
        offset: int,
        limit: int,
    ) -> Differences:
        """The files that differ below two paths, by path; see Reader.diff."""
        new_commit, path, old_commit, old_path = reader.sides(*new, old)
        trees = self._pfs.trees
        was = None if old_commit is None else trees.get(old_commit.root, old_path)
        now = trees.get(new_commit.root, path)
        if (was is None or was.is_dir) and (now is None or now.is_dir) and (was or now):
            sides = _Sides(
                new_commit, "" if path == "/" else path, old_commit,
                "" if old_path == "/" else old_path,
            )  # fmt: skip
            roots = EMPTY if was is None else was.hash, EMPTY if now is None else now.hash
            with self._pfs.reading(roots[0]), self._pfs.reading(roots[1]):
                return self._page(sides, self._changes(*roots), offset, limit)
        pairs = (p for p in reader.diff(*new, old) if not any(f and f.entry.is_dir for f in p))
        return _counted(pairs, offset, limit)

    def _changes(self, old: Hash, new: Hash) -> Iterable[Change]:
        """What differs, a directory that only one has as one change."""
        found = self._kept.get((old, new))
        if found is not None:
            return found
        return self._noted(old, new)

    def _noted(self, old: Hash, new: Hash) -> Iterator[Change]:
        noted: list[Change] = []
        for change in self._found(old, new):
            if len(noted) <= _KEPT:
                noted.append(change)
            yield change
        if len(noted) <= _KEPT:
            self._kept.put((old, new), noted)

    def _found(self, old: Hash, new: Hash) -> Iterator[Change]:
        trees = self._pfs.trees
        if old != new and EMPTY in (old, new):
            whole = (None if root == EMPTY else trees.entry(root) for root in (old, new))
            yield Change("", *whole)
            return
        last: list[Change] = []
        for change in trees.diff(old, new, descend=lambda path: _both(last[0])):
            last[:] = [change]  # asked about behind this, where it is a directory
            if not (_is_dir(change) and _both(change)):
                yield change

    def _page(
        self, sides: _Sides, changes: Iterable[Change], offset: int, limit: int
    ) -> Differences:
        added = removed = changed = delta = number = 0
        rows: list[Pair] = []
        for change in changes:
            was, now = change.old, change.new
            count = 1
            if was is None or now is None:
                entry = was or now
                assert entry is not None
                count = entry.count
                added, removed = added + count * (was is None), removed + count * (now is None)
            else:
                changed += 1
            delta += (now.size if now else 0) - (was.size if was else 0)
            skip = max(0, offset - number)
            if skip < count and len(rows) < limit:
                wanted = min(count - skip, limit - len(rows))
                rows += islice(self._files(sides, change, skip), wanted)
            number += count
        return Differences(added, removed, changed, delta, rows)

    def _files(self, sides: _Sides, change: Change, skip: int) -> Iterator[Pair]:
        entry = change.old or change.new
        assert entry is not None
        if not entry.is_dir:
            yield sides.pair(change)
            return
        for path, file in self._pfs.trees.files_at(entry.hash, f"{change.path}/", skip):
            one = (file, None) if change.new is None else (None, file)
            yield sides.pair(Change(path, *one))


def _counted(pairs: Iterable[Pair], offset: int, limit: int) -> Differences:
    added = removed = delta = number = 0
    rows = []
    for number, (new, old) in enumerate(pairs, 1):
        added += old is None
        removed += new is None
        delta += (new.entry.size if new else 0) - (old.entry.size if old else 0)
        if offset < number <= offset + limit:
            rows.append((new, old))
    return Differences(added, removed, number - added - removed, delta, rows)


def _is_dir(change: Change) -> bool:
    entry = change.new or change.old
    return entry is not None and entry.is_dir


def _both(change: Change) -> bool:
    return change.old is not None and change.new is not None
