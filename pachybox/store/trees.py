"""Immutable file trees, named by the hash of their root directory's node.

The face of the tree layer: reading here, changing in :mod:`edit`, comparing in :mod:`diff`,
merging in :mod:`union`; one directory's map is in :mod:`chunks`, its bytes in :mod:`node`.
Nodes come and go through two callables, so any blob store serves.

Order everywhere is that of the paths' UTF-8 bytes with a directory counting as its name and
a ``/``: the order in which a hierarchical walk meets them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from pachybox.errors import NotFound
from pachybox.model.files import Change, Edit, Entry, Kind
from pachybox.model.ids import Hash
from pachybox.store.chunks import SHAPE, Finder, Shape, leaves, leaves_at, leaves_back
from pachybox.store.content import decode_segments
from pachybox.store.diff import diff_trees
from pachybox.store.edit import Editor
from pachybox.store.node import EMPTY, Get, Node, Nodes, PutBlob, Row, entry_of
from pachybox.store.union import Union

__all__ = ["EMPTY", "Trees"]

_DIR, _SEGMENTS = int(Kind.DIR), int(Kind.SEGMENTS)


class Trees:
    """All trees of one store. Thread-safe; nodes read are kept within ``cache_bytes``.

    Every method raises Corrupt when a node is malformed, and whatever ``get`` raises when
    it is missing. Roots need not be stored to be named: EMPTY is always valid.
    """

    def __init__(self, get: Get, cache_bytes: int = 48 << 20, shape: Shape = SHAPE) -> None:
        self._get = get
        self._nodes = Nodes(get, cache_bytes)
        self._shape = shape  # tests split small directories; a store has one shape for ever

    def entry(self, root: Hash) -> Entry:
        """The whole tree as a directory entry without a name: its size and number of files."""
        node = self._nodes.peek(root)
        return Entry("", Kind.DIR, root, sum(node.sizes), sum(node.counts))

    def child(self, root: Hash, name: str) -> Entry | None:
        """The entry ``name`` of the directory ``root`` itself, or None. Leaves the cache alone:
        for small directories that are looked at once."""
        node = self._nodes.peek(root)
        if node.level:
            return self.get(root, f"/{name}")
        for key in (name, name + "/"):
            i = bisect_left(node.keys, key)
            if i < len(node.keys) and node.keys[i] == key:
                return entry_of(node.row(i))
        return None

    def get(self, root: Hash, path: str) -> Entry | None:
        """The entry at ``path``, or None. ``/`` is the root itself."""
        elements = [e for e in path.split("/") if e]
        if not elements:
            return self.entry(root)
        last = elements.pop()
        for element in elements:
            row = self._find(root, element + "/")
            if row is None:
                return None
            root = Hash(row[1])
        row = self._find(root, last) or self._find(root, last + "/")
        return None if row is None else entry_of(row)

    def _find(self, directory: Hash, key: str) -> Row | None:
        nodes = self._nodes
        node = nodes.load(directory)
        while True:
            i = bisect_left(node.keys, key)
            if i == len(node.keys):
                return None
            if node.level == 0:
                return node.row(i) if node.keys[i] == key else None
            node = nodes.child(node, i)

    def lookup(self, root: Hash) -> Callable[[str], Entry | None]:
        """Like ``get`` of one root, for many paths: half the cost where neighbours come one
        after the other, as they lie in the tree. For one thread."""
        finders: dict[str, Finder | None] = {}

        def get(path: str) -> Entry | None:
            directory, _, name = path.rpartition("/")
            if not name:
                return self.get(root, path)
            if directory not in finders:
                finders.clear()  # one directory at a time
                at = self.get(root, directory)
                found = at is not None and at.is_dir
                finders[directory] = Finder(self._nodes, at.hash) if at and found else None
            finder = finders[directory]
            if finder is None:
                return None
            row = finder.find(name) or finder.find(name + "/")
            return None if row is None else entry_of(row)

        return get

    def list(
        self, root: Hash, path: str = "/", *, after: str = "", reverse: bool = False
    ) -> Iterator[Entry]:
        """The entries of one directory in order, found by a seek.

        ``after`` is the name of an entry, and only what comes behind it in the order asked
        for is given; where there is no entry of that name, the place it would have as
        a file counts. A ``/`` at its end says that it is a directory. Raises NotFound when
        ``path`` is no directory, at once and not at the first entry.
        """
        directory = self._directory(root, path)
        key = self._place(directory, after)
        return self._listed_back(directory, key) if reverse else self._listed(directory, key)

    def entries(self, directory: Hash) -> int:
        """How many entries a directory, by its hash, has itself."""
        return self._nodes.load(directory).entries

    def list_at(self, directory: Hash, index: int) -> Iterator[Entry]:
        """The entries of a directory, by its hash, from its number ``index`` (from 0) on: found
        by counts, so that it costs the same wherever that is."""
        for node, start in leaves_at(self._nodes, directory, index):
            yield from node.iterate(start)

    def files_at(self, directory: Hash, base: str, index: int) -> Iterator[tuple[str, Entry]]:
        """(base + path, entry) of the files below a directory, by its hash, from its number
        ``index`` (from 0) on: what comes before is passed by its counts."""
        node, i = self._nodes.load(directory), 0
        stack: list[tuple[Node, int, str]] = []
        while True:
            while i < len(node.keys):
                if index >= node.counts[i]:
                    index -= node.counts[i]
                    i += 1
                elif node.level:
                    stack.append((node, i + 1, base))
                    node, i = self._nodes.child(node, i), 0
                elif (entry := node.entry(i)).is_dir:
                    stack.append((node, i + 1, base))
                    base += f"{entry.name}/"
                    node, i = self._nodes.load(entry.hash), 0
                else:
                    yield base + entry.name, entry
                    i += 1
            if not stack:
                return
            node, i, base = stack.pop()

    def _listed(self, directory: Hash, after: str) -> Iterator[Entry]:
        for node, start in leaves(self._nodes, directory, after):
            yield from node.iterate(start)

    def _listed_back(self, directory: Hash, before: str) -> Iterator[Entry]:
        for node, end in leaves_back(self._nodes, directory, before):
            for i in range(end - 1, -1, -1):
                yield node.entry(i)

    def _directory(self, root: Hash, path: str) -> Hash:
        entry = self.get(root, path)
        if entry is None:
            raise NotFound(f"directory {path} not found", "list its parent to see what is there")
        if not entry.is_dir:
            raise NotFound(f"{path} is a file, not a directory", "name a directory")
        return entry.hash

    def _place(self, directory: Hash, after: str) -> str:
        """The key of the entry called ``after``."""
        if not after or after.endswith("/") or self._find(directory, after + "/") is None:
            return after
        return after + "/"

    def names(self, directory: Hash, after: str = "") -> Iterator[Entry]:
        """The entries of a directory by its hash whose key is behind ``after``, a place in
        the order and not a name: what is there does not matter."""
        return self._listed(directory, after)

    def files(self, directory: Hash, base: str, after: str = "") -> Iterator[tuple[str, Entry]]:
        """(base + path, entry) of every file below a directory by its hash, from the place
        ``after`` on: a path from there, of which the rest is a place like that of ``names``."""
        return (one for one in self._walked(directory, base, after) if not one[1].is_dir)

    def walk(self, root: Hash, path: str = "/", *, after: str = "") -> Iterator[tuple[str, Entry]]:
        """Everything below the directory ``path`` in order, itself excluded: directories,
        each before its contents, and files. Paths have no ``/`` at the end.

        ``after`` is a path, and only what comes behind it is given: for a directory that
        begins with its contents. Raises NotFound when ``path`` is no directory, at once.
        """
        directory = self._directory(root, path)
        base = path.rstrip("/") + "/"
        if after and not after.endswith("/"):
            at = self.get(root, after)
            after += "/" if at is not None and at.is_dir else ""
        if after and not after.startswith("/"):
            after = "/" + after
        if after.startswith(base):
            after = after[len(base) :]
        elif after > base:
            return iter(())
        else:
            after = ""
        return self._walked(directory, base, after)

    def _walked(self, directory: Hash, base: str, after: str) -> Iterator[tuple[str, Entry]]:
        stack: list[tuple[str, Iterator[Entry]]] = []
        # walk down along `after`: in each directory on its way begin behind its next element
        while after:
            head, slash, after = after.partition("/")
            stack.append((base, self._listed(directory, head + slash)))
            row = self._find(directory, head + slash) if slash else None
            if row is None:
                break
            base, directory = base + head + slash, Hash(row[1])
            if not after:
                stack.append((base, self._listed(directory, "")))
        if not stack:
            stack.append((base, self._listed(directory, "")))
        while stack:
            base, entries = stack[-1]
            for entry in entries:
                path = base + entry.name
                yield path, entry
                if entry.is_dir:
                    stack.append((path + "/", self._listed(entry.hash, "")))
                    break
            else:
                stack.pop()

    def leaves(self, directory: Hash) -> Iterator[Node]:
        """The entries of one directory as they are stored, some dozens at a time by columns:
        for bulk use. Leaves the cache alone."""
        for node, _ in leaves(self._nodes, directory, once=True):
            yield node

    def rows(self, root: Hash) -> Iterator[tuple[str, int, Hash]]:
        """(path, size, hash) of every file in order, for bulk use: a quarter of the cost of
        walk. The hash of a file of several segments is that of its segment list. Leaves the
        cache alone."""
        stack = [("/", leaves(self._nodes, root, once=True))]
        pending: list[tuple[str, Node, int]] = []  # leaves left for a directory in them
        while stack:
            base, chunks = stack[-1]
            if pending and pending[-1][0] == base:
                _, node, at = pending.pop()
            else:
                following = next(chunks, None)
                if following is None:
                    stack.pop()
                    continue
                node, at = following
            end = _next_directory(node, at)
            hashes = node.hashes[32 * at : 32 * end]
            yield from zip(
                [base + key for key in node.keys[at:end]],
                node.sizes[at:end],
                [Hash(hashes[i : i + 32]) for i in range(0, len(hashes), 32)],
                strict=True,
            )
            if end == len(node.keys):
                continue
            pending.append((base, node, end + 1))
            stack.append((base + node.keys[end], leaves(self._nodes, node.hash(end), once=True)))

    def edit(self, root: Hash, edits: Sequence[Edit], put: PutBlob) -> Hash:
        """The root after ``edits``, made in order; ``root`` stays as it was.

        A Put of a file replaces a file, a Put of a directory entry replaces whatever is
        there by the tree it names (the entries' own names do not matter); missing
        directories are made, emptied ones vanish, up to the root. A directory keeps its attrs
        while it lasts. Raises InvalidArgument when a file is put where a directory is or
        below a file, as it stands when that edit's turn comes, and on illegal paths.

        New nodes go to ``put`` before the nodes that name them; ``get`` must find them at
        once. When it raises, some may have been put. Cost follows the edits.
        """
        return Editor(self._nodes, put, self._shape).apply(root, edits)

    def diff(
        self,
        old: Hash,
        new: Hash,
        path: str = "/",
        *,
        descend: Callable[[str], bool] | None = None,
        once: bool = False,
    ) -> Iterator[Change]:
        """What differs at and below ``path``, in order; cost follows the difference.

        Directories with a difference in them are changes too, before their contents; what is
        added or removed whole is given down to its files. The directory ``path`` itself is
        left out when both trees have it. A file that became a directory is a removal and an
        addition. Nothing when neither tree has ``path``. A directory below ``path`` to whose
        path ``descend`` says no is given without what is in it. ``once`` is for trees that
        nobody is likely to read soon: what is read of them is not kept.
        """
        if path.strip("/") == "":
            yield from diff_trees(self._nodes, old, new, "/", descend, once=once)
            return
        path = path.rstrip("/")
        was, now = self.get(old, path), self.get(new, path)
        if was is None or now is None or was.is_dir is not now.is_dir:
            pairs = [(was, None), (None, now)]
        elif was.is_dir:
            yield from diff_trees(self._nodes, was.hash, now.hash, path + "/", descend, once=once)
            return
        else:
            pairs = [(was, now)] if was != now else []
        for one in sorted(pairs, key=lambda pair: any(e is not None and e.is_dir for e in pair)):
            entry = one[0] or one[1]
            if entry is None:
                continue
            yield Change(path, *one)
            if entry.is_dir:
                a, b = (EMPTY if e is None else e.hash for e in one)
                yield from diff_trees(self._nodes, a, b, path + "/", descend, once=once)

    def union(
        self,
        parts: Sequence[tuple[str, Hash]],
        put: PutBlob,
        base: Hash = EMPTY,
        *,
        same_ok: bool = False,
    ) -> Hash:
        """One tree of all files of ``parts`` (label, root) and ``base``.

        Raises InvalidArgument naming the path and both labels when two have a file of
        one path, identical or not (with ``same_ok`` only when they differ), or one has a file
        where the other has a directory. ``base`` counts as a part labelled "the base".
        Linear in what the parts have, however many they are; a directory that only one
        part has is taken over by its hash, unread.
        """
        everything = [("the base", base), *parts] if base != EMPTY else parts
        return Union(self._nodes, put, self._shape, same_ok).merge(everything)

    def refs(self, node: Hash) -> tuple[Sequence[Hash], Sequence[Hash]]:
        """(nodes, blobs) that one node names directly, for the mark of the collector and
        for fsck. A file of segments names its list and the list's blobs. Leaves the cache
        alone."""
        found = self._nodes.peek(node)
        hashes = found.split_hashes()
        if found.level:
            return hashes, ()
        nodes: list[Hash] = []
        blobs: list[Hash] = []
        for hash_, mark in zip(hashes, found.marks, strict=True):
            (nodes if mark == _DIR else blobs).append(hash_)
            if mark == _SEGMENTS:
                blobs += [s.hash for s in decode_segments(self._get(hash_), hash_)]
        return nodes, blobs


def _next_directory(node: Node, at: int) -> int:
    """The index of the first directory of a leaf from ``at`` on, or its length."""
    assert isinstance(node.marks, bytes)
    i = node.marks.find(_DIR, at)
    return len(node.keys) if i < 0 else i
