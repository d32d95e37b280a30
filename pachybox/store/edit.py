"""Editing a tree: an ordered list of edits becomes one new root.

First the edits are folded, in order, into one small trie of what each name shall be
(:class:`_Op`); the tree is not read for that. Then each touched directory is looked at once,
deepest first, and rewritten in one batch. The cost follows the edits, not the tree.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import cast

from pachybox.errors import InvalidArgument
from pachybox.model.files import Delete, Edit, Entry, Kind
from pachybox.model.ids import Hash
from pachybox.store.chunks import Finder, Shape, Splice, Summary, build
from pachybox.store.few import put_files
from pachybox.store.node import EMPTY, Nodes, PutBlob, Row, row_of


@dataclass(slots=True)
class _Op:
    """What becomes of one name. With neither ``entry`` nor ``sub`` it is removed.

    ``cleared``: what the tree has there does not matter any more. ``not_dir`` and
    ``not_file``: what the tree must not have there, or an edit was a collision. ``sub``:
    edits below, made on ``entry`` (a grafted directory) or, unless cleared, on what the tree
    has. ``overtaken``: edits below that a later edit made void, with the directory they
    were made on (None: the tree's); they still can have been a collision.
    """

    cleared: bool = False
    entry: Entry | None = None
    sub: _Names | None = None
    not_dir: bool = False
    not_file: bool = False
    overtaken: list[tuple[Hash | None, _Names]] = field(default_factory=list)

    def base(self, here: Hash | None) -> Hash | None:
        """The directory that ``sub`` is made on, when the tree has ``here``."""
        if self.entry is not None:
            return self.entry.hash
        return EMPTY if self.cleared else here


_Names = dict[str, Row | _Op]
"""By name what becomes of it; a Row is that of a file put where no directory may be."""


def collision(path: str, what: str) -> InvalidArgument:
    """The error for a name that would be both a file and a directory."""
    return InvalidArgument(
        f"file / directory path collision: {path}",
        f"there is {what} of that name already; delete it first or use another path",
    )


class _Fold:
    """Folds edits, in order, until one whose legality depends on the tree's content."""

    def __init__(self) -> None:
        self.names: _Names = {}
        self._opened: dict[str, _Names] = {}  # by path, directories that were put into

    def take(self, edits: Sequence[Edit], start: int) -> int:
        """Fold from index ``start`` on; the index of the first edit not taken.

        Left for another round are edits of the root, and a file put where this round edits
        a directory: whether anything is left in that, only the tree can tell.
        """
        opened = self._opened
        for at in range(start, len(edits)):
            edit = edits[at]
            parent, _, name = edit.path.rpartition("/")
            if name in _BAD_NAMES or "\0" in name:
                if edit.path in _ROOT:
                    return at
                raise _bad_path(edit.path)
            if isinstance(edit, Delete):
                self._delete(parent, name)
                continue
            entry = edit.entry
            names = opened.get(parent)
            if names is None:
                names = self._open(parent)
            kind = entry.kind
            if kind is _DIR:
                op = self._clear(names, name)
                op.entry = entry if entry.hash != EMPTY else None
                continue
            old = names.get(name)
            if not isinstance(old, _Op):
                # perf: made while the entry is in the processor's cache, 1.2 s -> 0.4 s a million;
                # of plain values alone, so that the garbage collector lets go of it
                mark = 1 if kind is _FILE else 3
                names[name] = (name, entry.hash, entry.size, 1, mark, entry.attrs)
            elif old.sub is not None:
                return at
            elif old.entry is not None and old.entry.is_dir:
                raise collision(edit.path, "a directory")
            else:
                old.entry = entry
        return len(edits)

    def _delete(self, parent: str, name: str) -> None:
        names = self.names
        for element in _elements(parent):
            op = names.get(element)
            if op is None:
                op = names[element] = _Op()
            if isinstance(op, tuple) or (op.entry is not None and not op.entry.is_dir):
                return  # nothing is below a file
            if op.sub is None:
                if op.cleared and op.entry is None:
                    return
                op.sub = {}
            names = op.sub
        self._clear(names, name)

    def _clear(self, names: _Names, name: str) -> _Op:
        """Make ``name`` removed, keeping what it takes to see a collision made before."""
        old = names.get(name)
        if not isinstance(old, _Op):
            op = names[name] = _Op(cleared=True, not_dir=old is not None)
            return op
        if old.sub is not None:
            old.overtaken.append((old.base(None), old.sub))
            self._opened.clear()
        old.cleared, old.entry, old.sub = True, None, None
        return old

    def _open(self, path: str) -> _Names:
        """The names edited in the directory ``path``, in which something is put."""
        names = self.names
        here = ""
        for element in _elements(path):
            here = f"{here}/{element}"
            known = self._opened.get(here)
            if known is None:
                op = names.get(element)
                if op is None:
                    op = names[element] = _Op()
                if isinstance(op, tuple) or (op.entry is not None and not op.entry.is_dir):
                    raise collision(here, "a file")
                op.not_file = op.not_file or not op.cleared
                if op.sub is None:
                    op.sub = {}
                self._opened[here] = known = op.sub
            names = known
        self._opened[path] = names
        return names


_FILE, _DIR = (
    Kind.FILE,
    Kind.DIR,
)  # perf: looking a member up in its enum costs as much as the rest of a test
_ROOT = ("", "/")
_BAD_NAMES = frozenset(("", ".", ".."))


def _elements(path: str) -> list[str]:
    elements = path.split("/")[1:] if path else []
    if (path and path[0] != "/") or not _BAD_NAMES.isdisjoint(elements) or "\0" in path:
        raise _bad_path(path)
    return elements


def _bad_path(path: str) -> InvalidArgument:
    return InvalidArgument(
        f"path {path!a} is not allowed",
        'begin with a slash, and have no empty, "." or ".." elements and no NUL',
    )


_Step = Generator["_Step", Summary, Summary]
"""A directory being rewritten: yields the directories it waits for, returns itself."""


class Editor:
    """Applies edits to trees of one store. Without state of its own between calls."""

    def __init__(self, nodes: Nodes, put: PutBlob, shape: Shape) -> None:
        self._nodes = nodes
        self._put = put
        self._shape = shape

    def apply(self, root: Hash, edits: Sequence[Edit]) -> Hash:
        """The root after ``edits``, in order. Raises InvalidArgument on a collision or a path
        that no file can have; nodes may have been stored by then."""
        made = put_files(self._nodes, self._put, self._shape, root, edits)
        if made is not None:
            return made
        at = 0
        try:
            while at < len(edits):
                edit = edits[at]
                if edit.path in _ROOT:
                    root = _new_root(edit)
                    at += 1
                    continue
                fold = _Fold()
                at = fold.take(edits, at)
                root = run(self._directory(root, fold.names, "")).hash
        except UnicodeEncodeError as error:
            name = ascii(error.object)[:200]
            raise InvalidArgument(
                f"a name is not valid UTF-8, in {name}", "rename the file to a UTF-8 name"
            ) from None
        return root

    def _directory(self, base: Hash, names: _Names, path: str) -> _Step:
        """The directory ``base`` with ``names`` changed."""
        order = sorted(names)
        if base == EMPTY:
            return build((yield from self._fresh(order, names, path)), self._put, self._shape)
        finder = Finder(self._nodes, base)
        changes: dict[str, Row | None] = {}
        for name in order:
            file, directory = finder.find(name), finder.find(name + "/")
            old = file or directory
            row = yield from self._settle(name, names[name], file, directory, path)
            if row != old:
                if old is not None:
                    changes[old[0]] = None
                if row is not None:
                    changes[row[0]] = row
        return Splice(self._nodes, base, self._put, self._shape).apply(sorted(changes.items()))

    def _fresh(
        self, order: list[str], names: _Names, path: str
    ) -> Generator[_Step, Summary, list[Row]]:
        """The rows of a directory that was not there."""
        if _Op not in set(map(type, names.values())):
            return cast(list[Row], list(map(names.__getitem__, order)))
        rows = []
        for name in order:
            value = names[name]
            if isinstance(value, _Op):
                row = yield from self._settle(name, value, None, None, path)
            else:
                row = value
            if row is not None:
                rows.append(row)
        rows.sort(key=_key)
        return rows

    def _settle(
        self, name: str, op: Row | _Op, file: Row | None, directory: Row | None, path: str
    ) -> Generator[_Step, Summary, Row | None]:
        """The row that ``name`` gets, where the tree has ``file`` or ``directory``."""
        if isinstance(op, tuple):
            if directory is not None:
                raise collision(f"{path}/{name}", "a directory")
            return op
        path = f"{path}/{name}"
        if op.not_dir and directory is not None:
            raise collision(path, "a directory")
        if op.not_file and file is not None:
            raise collision(path, "a file")
        here = EMPTY if directory is None else Hash(directory[1])
        for base, sub in op.overtaken:
            yield self._directory(here if base is None else base, sub, path)
        if op.sub is None:
            return None if op.entry is None else row_of(name, op.entry)
        if file is not None and not op.cleared:
            return file  # nothing but deletions below it
        made = yield self._directory(op.base(here) or EMPTY, op.sub, path)
        if op.entry is not None:
            attrs = op.entry.attrs
        else:
            attrs = b"" if op.cleared or directory is None else directory[5]
        return None if made.hash == EMPTY else made.row(name, attrs)


def _key(row: Row) -> str:
    return row[0]


def _new_root(edit: Edit) -> Hash:
    if isinstance(edit, Delete):
        return EMPTY
    if edit.entry.kind is not Kind.DIR:
        raise collision("/", "a directory")
    return edit.entry.hash


def run(step: _Step) -> Summary:
    """Run a rewriting to its end. Own stack, so that depth is bound by memory alone."""
    stack = [step]
    value: Summary | None = None
    while True:
        try:
            waits_for = stack[-1].send(cast(Summary, value))
        except StopIteration as end:
            stack.pop()
            value = cast(Summary, end.value)
            if not stack:
                return value
        else:
            stack.append(waits_for)
            value = None
