"""From what became of datums to the trees a job leaves: its tree of datums and its output.

Both are edits of the base job's, by datum: the cost follows what changed, not what there is.
The tree of datums has ``/<datum id>/meta`` and ``/<datum id>/out/...`` for each datum of the
job, whichever job ran it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from pachybox.errors import InvalidArgument
from pachybox.model.files import Delete, Edit, Entry, Kind, Put
from pachybox.model.ids import Hash
from pachybox.pfs.service import Pfs
from pachybox.store.blobs import Session
from pachybox.store.trees import EMPTY

CONCATENATE = "concatenate"
_PIECE = 4096  # datums put into the tree at once


@dataclass(frozen=True, slots=True)
class Parts:
    """What differs from the base job: directories of datums by id (new or changed), ids gone."""

    changed: Mapping[str, Hash]
    removed: Collection[str]


@dataclass(frozen=True, slots=True)
class Merged:
    """A job's two roots."""

    datums: Hash
    output: Hash


@dataclass
class Merger:
    """Makes the trees of one job from those of its base (``EMPTY``: none)."""

    pfs: Pfs
    session: Session
    datums: Hash = EMPTY
    output: Hash = EMPTY
    policy: str = "error"
    _writers: dict[str, str] = field(default_factory=dict)

    def tree(self, parts: Parts) -> Hash:
        """The tree of datums."""
        trees, put = self.pfs.trees, self.session.put
        root = trees.edit(self.datums, [Delete(f"/{id_}") for id_ in parts.removed], put)
        # in order and piece by piece: each piece is a part of the directory, and edits of 100,000
        # datums at once would be 60 MB
        ids = iter(sorted(parts.changed))
        while piece := list(islice(ids, _PIECE)):
            edits: list[Edit] = []
            for id_ in piece:
                whole = trees.entry(parts.changed[id_])
                entry = Entry(id_, Kind.DIR, whole.hash, whole.size, whole.count)
                edits.append(Put(f"/{id_}", entry))
            root = trees.edit(root, edits, put)
        return root

    def merge(self, parts: Parts) -> Merged:
        """Both trees. Raises InvalidArgument naming the path and both datums when two write
        one path (unless the policy is to concatenate)."""
        tree = self.tree(parts)
        if self.policy == CONCATENATE:
            return Merged(tree, self._concatenated(tree))
        return Merged(tree, self._output(tree, parts))

    def _output(self, tree: Hash, parts: Parts) -> Hash:
        deletes: list[Edit] = []
        puts: dict[str, Entry] = {}
        for id_, path, old, new in self._changes(parts):
            if old is not None:
                deletes.append(Delete(path))
            if new is not None:
                if path in puts:
                    raise _collision(path, id_, self._writers[path])
                puts[path], self._writers[path] = new, id_
        root = self.pfs.trees.edit(self.output, deletes, self.session.put)
        if root != EMPTY:
            for path in puts:
                there = self.pfs.trees.get(root, path)
                if there is not None and not there.is_dir:
                    id_ = self._writers[path]
                    raise _collision(path, id_, self._owner(tree, path, id_))
        edits = [Put(path, puts[path]) for path in sorted(puts)]
        try:
            return self.pfs.trees.edit(root, edits, self.session.put)
        except InvalidArgument as e:
            raise self._mixed(tree, puts, e) from e

    def _changes(self, parts: Parts) -> Iterator[tuple[str, str, Entry | None, Entry | None]]:
        """(datum, path, what it wrote there before, what now) for files that differ."""
        trees = self.pfs.trees
        for id_ in parts.removed:
            if (was := trees.get(self.datums, f"/{id_}/out")) is not None:
                for path, entry in trees.walk(was.hash):
                    if not entry.is_dir:
                        yield id_, path, entry, None
        for id_, directory in parts.changed.items():
            was = trees.get(self.datums, f"/{id_}/out") if self.datums != EMPTY else None
            now = trees.child(directory, "out")
            if was == now:
                continue
            before, after = (EMPTY if e is None else e.hash for e in (was, now))
            for change in trees.diff(before, after):
                old = None if change.old is None or change.old.is_dir else change.old
                new = None if change.new is None or change.new.is_dir else change.new
                if old is not None or new is not None:
                    yield id_, change.path, old, new

    def _owner(self, tree: Hash, path: str, other: str) -> str:
        for entry in self.pfs.trees.list(tree):
            if entry.name != other and self.pfs.trees.get(tree, f"/{entry.name}/out{path}"):
                return entry.name
        return "another datum"

    def _mixed(self, tree: Hash, puts: Mapping[str, Entry], e: InvalidArgument) -> InvalidArgument:
        """Name both datums where one has a file and the other a directory of one path."""
        for path in sorted(puts):
            above = path.rpartition("/")[0]
            while above:
                for entry in self.pfs.trees.list(tree):
                    there = self.pfs.trees.get(tree, f"/{entry.name}/out{above}")
                    if there is not None and not there.is_dir:
                        return InvalidArgument(
                            f"file / directory path collision: {above} is a file of datum "
                            f"{entry.name} and a directory of datum {self._writers[path]}"
                        )
                above = above.rpartition("/")[0]
        return e

    def _concatenated(self, tree: Hash) -> Hash:
        """Files of one path one after the other, by datum id. Reads the whole tree: who else
        wrote a path is known only by looking."""
        parts: dict[str, list[Entry]] = {}
        for datum in self.pfs.trees.list(tree):
            if (out := self.pfs.trees.get(datum.hash, "/out")) is None:
                continue
            for path, entry in self.pfs.trees.walk(out.hash):
                if not entry.is_dir:
                    parts.setdefault(path, []).append(entry)
        edits = []
        for path, entries in sorted(parts.items()):
            whole = entries[0]
            if len(entries) > 1:
                name = path.rpartition("/")[2]
                whole = self.pfs.content.concat(name, entries, self.session.put)
            edits.append(Put(path, whole))
        return self.pfs.trees.edit(EMPTY, edits, self.session.put)


def _collision(path: str, one: str, other: str) -> InvalidArgument:
    return InvalidArgument(
        f"duplicate path output by different datums ({path} from {one} and {path} from {other})"
    )
