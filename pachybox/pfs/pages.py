"""Pieces of long lists by number: the entries of a directory, commits, differences.

What is in a tree never changes, so what a search or an order of it costs is paid once: the numbers
of the entries that make it up are kept, a few million of them at most.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from itertools import islice
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.meta.tables import BRANCHES, COMMITS
from pachybox.model.files import Entry
from pachybox.model.ids import Branch, Commit, Hash, Repo
from pachybox.model.pfs import CommitRecord
from pachybox.pfs.read import File, Reader
from pachybox.pfs.service import Pfs
from pachybox.store.trees import Trees

MOST = 10_000
"""Rows of a page."""
_KEPT = 4 << 20  # numbers remembered, 4 bytes each
_IDS_KEPT = 3 << 19  # ids of commits, 16 bytes each


def window(offset: int, limit: int, usual: int = 256) -> tuple[int, int]:
    """The page asked for; 0 rows are the usual number. Raises InvalidArgument."""
    if offset < 0 or limit < 0:
        raise InvalidArgument(
            f"there is no page of {limit} rows at {offset}", "use numbers from 0 on"
        )
    return offset, min(limit or usual, MOST)


def entries_at(trees: Trees, directory: Hash, numbers: Sequence[int]) -> Iterator[Entry]:
    """The entries of a directory, by its hash, with these numbers; neighbours are found
    together."""
    i = 0
    while i < len(numbers):
        step = -1 if i + 1 < len(numbers) and numbers[i + 1] == numbers[i] - 1 else 1
        end = i + 1
        while end < len(numbers) and numbers[end] == numbers[end - 1] + step:
            end += 1
        first = min(numbers[i], numbers[end - 1])
        found = list(islice(trees.list_at(directory, first), end - i))
        yield from found if step == 1 else reversed(found)
        i = end


class Kept:
    """Arrays and lists by what they are made from, the least used ones dropped."""

    def __init__(self, most: int = _KEPT) -> None:
        self._most = most
        self._size = 0
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, Sequence[Any]] = OrderedDict()

    def get(self, key: Hashable) -> Sequence[Any] | None:
        """What is held under ``key``."""
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: Hashable, made: Sequence[Any]) -> None:
        """Hold ``made`` if it is not larger than all there is room for."""
        with self._lock:
            if (old := self._held.pop(key, None)) is not None:
                self._size -= len(old) + 1
            self._size += len(made) + 1
            self._held[key] = made
            while self._size > self._most and self._held:
                _, gone = self._held.popitem(last=False)
                self._size -= len(gone) + 1


class _Ids(Sequence[str]):
    """Ids of commits, packed: a history may have a million."""

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def __len__(self) -> int:
        return len(self._packed) // 16

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        return self._packed[16 * at : 16 * at + 16].hex()


class Pages:
    """Pages over one Pfs."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs
        self._kept = Kept()
        self._histories = Kept(_IDS_KEPT)

    # ---- a directory

    def files(
        self,
        reader: Reader,
        file: tuple[Repo, str, str],
        offset: int,
        limit: int,
        *,
        search: str = "",
        sort: str = "name",
        reverse: bool = False,
    ) -> tuple[int, list[File]]:
        """How many entries a directory has (that ``search`` keeps), and those of the page. A file
        lists itself."""
        if sort not in ("", "name", "size"):
            raise InvalidArgument(f"files are not sorted by {sort!r}", "use name or size")
        found = reader.inspect(*file)
        if not found.entry.is_dir:
            return 1, [found][offset : offset + limit]
        base = "" if found.path == "/" else found.path
        directory = found.entry.hash
        with self._pfs.reading(found.commit.root):
            order = self._order(directory, search.lower(), sort == "size")
            total = self._pfs.trees.entries(directory) if order is None else len(order)
            numbers: Sequence[int] = range(total) if order is None else order
            if reverse:
                numbers = numbers[max(0, total - offset - limit) : max(0, total - offset)][::-1]
            else:
                numbers = numbers[offset : offset + limit]
            entries = list(entries_at(self._pfs.trees, directory, numbers))
        return total, [File(found.commit, f"{base}/{e.name}", e) for e in entries]

    def _order(self, directory: Hash, search: str, by_size: bool) -> Sequence[int] | None:
        """The numbers of the entries that ``search`` keeps, in order; None for all, by name."""
        if not search and not by_size:
            return None
        key = (directory, search, by_size)
        found = self._kept.get(key)
        if found is not None:
            return found
        keep: array[int] = array("I")
        sizes: array[int] = array("Q")
        number = 0
        for node in self._pfs.trees.leaves(directory):
            if not search:
                keep.extend(range(number, number + len(node.keys)))
                sizes.extend(node.sizes)
            else:
                for i, name in enumerate(node.keys):
                    if search in name.lower():
                        keep.append(number + i)
                        sizes.append(node.sizes[i])
            number += len(node.keys)
        if by_size:
            order = sorted(range(len(keep)), key=sizes.__getitem__, reverse=True)
            keep = array("I", (keep[i] for i in order))
        self._kept.put(key, keep)
        return keep

    # ---- commits

    def commits(
        self, repo: Repo, branch: str, offset: int, limit: int, search: str = ""
    ) -> tuple[int, list[CommitRecord]]:
        """Commits of a repo, or the history of a branch, newest first: how many there are, and
        those of the page."""
        meta = self._pfs.meta
        self._pfs.inspect_repo(repo)
        if branch:
            return self._history(repo, branch, offset, limit, search.lower())
        where = "WHERE project = ? AND repo = ? AND type = ?"
        params: list[object] = [repo.project, repo.name, repo.type]
        if search:
            where += " AND (starts_with(id, ?) OR contains(lower(description), ?))"
            params += [search.lower()] * 2
        total = int(meta.db.read(f"SELECT count(*) FROM commits {where}", params)[0][0])
        rows = meta.select(
            COMMITS, f"{where} ORDER BY seq DESC LIMIT ? OFFSET ?", [*params, limit, offset]
        )
        return total, rows

    def _history(
        self, repo: Repo, branch: str, offset: int, limit: int, search: str
    ) -> tuple[int, list[CommitRecord]]:
        """What a walk back from a branch's head (or from another commit) meets."""
        meta = self._pfs.meta
        record = meta.get(BRANCHES, Branch(repo, branch))
        if record is not None and record.head is None:
            return 0, []
        head = self._pfs.resolve(repo, branch).commit.id
        ids = self._ancestors(repo, head)
        if search:
            ids = self._matching(repo, ids, search)
        page = (meta.get(COMMITS, Commit(repo, i)) for i in ids[offset : offset + limit])
        return len(ids), [c for c in page if c is not None]

    def _ancestors(self, repo: Repo, head: str) -> Sequence[Any]:
        """The ids of a commit and all its ancestors; kept while the repo's commits are the same."""
        mine = [repo.project, repo.name, repo.type]
        where = "FROM commits WHERE project = ? AND repo = ? AND type = ?"
        read = self._pfs.meta.db.read
        state = read(f"SELECT count(*), max(seq) {where}", mine)[0]
        key = (repo, head, *state)
        found = self._histories.get(key)
        if found is None:
            parents = dict(read(f"SELECT id, parent {where}", mine))
            made = bytearray()
            at: str | None = head
            while at is not None and at in parents:
                made += bytes.fromhex(at)
                at = parents.pop(at)
            found = _Ids(bytes(made))
            self._histories.put(key, found)
        return found

    def _matching(self, repo: Repo, ids: Sequence[Any], search: str) -> list[Any]:
        rows = self._pfs.meta.db.read(
            "SELECT id FROM commits WHERE project = ? AND repo = ? AND type = ? "
            "AND (starts_with(id, ?) OR contains(lower(description), ?))",
            [repo.project, repo.name, repo.type, search, search],
        )
        keep = {row[0] for row in rows}
        return [i for i in ids if i in keep]
