"""Writing files: what an upload asks for, turned into one new tree.

Content goes to the store first (Session); here only names and hashes move. ``apply``
is a pure function of a base tree and a list of operations, so that it can run outside
the writer on a guess of the base and again inside when the guess was wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pachybox.errors import InvalidArgument, NotFound
from pachybox.model.files import Delete, Edit, Entry, Kind, Put
from pachybox.model.glob import Glob
from pachybox.model.ids import Hash
from pachybox.model.paths import clean
from pachybox.pfs.find import find
from pachybox.pfs.object_attributes import OBJECTS, without
from pachybox.pfs.split import first_free, split_name
from pachybox.store.content import Content
from pachybox.store.trees import EMPTY, Trees

PutBlob = Callable[[bytes], Hash]


@dataclass(frozen=True, slots=True)
class PutFile:
    """Set (or, with ``append``, extend) the file at ``path`` by content already stored."""

    path: str
    entry: Entry
    append: bool = False


@dataclass(frozen=True, slots=True)
class RemoveFile:
    """Remove what is at ``path``. Missing is not an error.

    A name that is there comes first, another is taken as a glob. With ``exact`` (Pachyderm
    2.x) there are no globs, and a directory is named with a slash at its end: a client that puts
    a file deletes what has its name before, and must not lose a directory by that.
    """

    path: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class CopyFile:
    """Set ``path`` to the file or subtree ``source`` of the tree ``root``."""

    path: str
    root: Hash
    source: str
    append: bool = False


@dataclass(frozen=True, slots=True)
class PutSplit:
    """Make ``path`` a directory of numbered files, one per entry of ``files``.

    ``header``/``footer`` are given when the data brought one: they become the directory's,
    are part of each file (first and last segment), and replace those of the files there.
    Without ``append`` what was at ``path`` goes first.
    """

    path: str
    files: tuple[Entry, ...]
    header: Entry | None
    footer: Entry | None
    append: bool


@dataclass(frozen=True, slots=True)
class PutTree:
    """Put every file of the tree ``root``, of which there are ``count``: a long run of PutFile
    folded into a tree as it arrived, so that an upload's memory does not grow with it."""

    root: Hash
    count: int


@dataclass(frozen=True, slots=True)
class AddTree:
    """Lay the tree ``root`` on what is there: first what ``deletes`` names goes (as RemoveFile,
    exact), then every file of the tree is appended to the file of its name, or made."""

    root: Hash
    deletes: tuple[str, ...] = ()


FileOp = Put | PutFile | RemoveFile | CopyFile | PutSplit | PutTree | AddTree
"""A Put sets a file that is stored whole, as PutFile without ``append`` does: of those there are
many, and a tree takes them as they are."""


def _require_directory(there: Entry, path: str) -> None:
    """Refuse to put a directory where a file is: it would be lost."""
    if not there.is_dir:
        raise InvalidArgument(
            f"file / directory path collision: {path}; there is a file of that name already",
            "delete it first or use another path",
        )


class Writer:
    """Applies operations in order to one base tree."""

    def __init__(self, trees: Trees, content: Content, put: PutBlob) -> None:
        self._trees = trees
        self._content = content
        self._put = put

    def apply(self, root: Hash, ops: Sequence[FileOp]) -> Hash:
        """The tree after ``ops`` on ``root``. Raises InvalidArgument on a file / directory
        collision, a missing copy source (NotFound), or a bad path."""
        self._root = root
        self._edits: list[Edit] = []
        self._pending: dict[str, Entry] = {}
        self._removing = False
        for op in ops:
            if isinstance(op, Put):
                self._edits.append(op)
                self._pending[op.path] = op.entry
            elif isinstance(op, PutFile):
                self._put_file(op)
            elif isinstance(op, RemoveFile):
                self._remove(op)
            elif isinstance(op, CopyFile):
                self._copy(op)
            elif isinstance(op, PutTree):
                self._root = op.root if self._settle() == EMPTY else self._root
                if self._root != op.root:
                    self._overlay(op.root, "")
            elif isinstance(op, AddTree):
                self._add_tree(op)
            else:
                self._split(op)
        return self._settle()

    def forget(self, attributes: Hash, ops: Sequence[FileOp], base: Hash) -> Hash:
        """The tree of S3 attributes without what ``ops`` on the tree ``base`` remove."""
        gone: list[str] = []
        for op in ops:
            if isinstance(op, AddTree):
                gone += map(clean, op.deletes)
            elif isinstance(op, RemoveFile):
                gone.append(clean(op.path))
                if not op.exact and self._trees.get(base, gone[-1]) is None:
                    glob = Glob(OBJECTS + op.path.lstrip("/"))
                    found = find(self._trees, attributes, glob)
                    gone += ["/" + path.removeprefix(OBJECTS) for path, _ in found]
        return without(self._trees, attributes, gone, self._put)

    def _settle(self) -> Hash:
        if self._edits:
            self._root = self._trees.edit(self._root, self._edits, self._put)
            self._edits = []
            self._pending = {}
            self._removing = False
        return self._root

    def _set(self, path: str, entry: Entry) -> None:
        name = path.rsplit("/", 1)[1]
        entry = entry if entry.name == name else replace(entry, name=name)
        self._edits.append(Put(path, entry))
        self._pending[path] = entry

    def _put_file(self, op: PutFile) -> None:
        if not op.append:
            self._set(op.path, op.entry)
            return
        old = self._pending.get(op.path) or self._trees.get(self._settled_for(op.path), op.path)
        if old is None:
            self._set(op.path, op.entry)
        elif old.is_dir:
            raise InvalidArgument(
                f"file / directory path collision: {op.path} is a directory",
                "append to a file, or delete the directory first",
            )
        else:
            self._set(op.path, self._content.concat(old.name, [old, op.entry], self._put))

    def _settled_for(self, path: str) -> Hash:
        """The tree to look ``path`` up in: pending removals could have taken it away."""
        if self._removing:
            return self._settle()
        return self._root

    def _remove(self, op: RemoveFile) -> None:
        found = self._trees.get(self._settle(), clean(op.path))
        if op.exact and found is not None and found.is_dir and not op.path.endswith("/"):
            return
        if op.exact or found is not None:
            self._delete(clean(op.path))
            return
        glob = Glob(op.path)
        if glob.is_literal:
            self._delete(clean(glob.literal))
            return
        for path, _ in list(find(self._trees, self._settle(), glob)):
            self._delete(path)

    def _delete(self, path: str) -> None:
        self._removing = True
        if path == "/":
            for entry in self._trees.list(self._settle()):
                self._edits.append(Delete(f"/{entry.name}"))
            return
        self._edits.append(Delete(path))
        self._pending.pop(path, None)

    def _copy(self, op: CopyFile) -> None:
        found = self._trees.get(op.root, op.source)
        if found is None:
            raise NotFound(f"file {op.source} not found", "list file shows what there is")
        if not found.is_dir:
            self._put_file(PutFile(op.path, found, op.append))
            return
        if op.append or op.path == "/":
            base = "" if op.path == "/" else op.path
            strip = 0 if op.source == "/" else len(op.source)
            for path, entry in self._trees.walk(op.root, op.source):
                if not entry.is_dir:
                    self._put_file(PutFile(base + path[strip:], entry, op.append))
            return
        self._settle()
        self._delete(op.path)
        self._set(op.path, found)

    def _overlay(self, top: Hash, base: str) -> None:
        """Put what is in ``top`` below ``base``: a directory that is new is taken whole."""
        for entry in self._trees.list(top):
            path = f"{base}/{entry.name}"
            there = self._trees.get(self._root, path) if entry.is_dir else None
            if there is not None:
                _require_directory(there, path)
                self._overlay(entry.hash, path)
            else:
                self._set(path, entry)

    def _add_tree(self, op: AddTree) -> None:
        for path in op.deletes:
            self._remove(RemoveFile(path, exact=True))
        if self._settle() == EMPTY:
            self._root = op.root
        else:
            self._append(op.root, "")

    def _append(self, top: Hash, base: str) -> None:
        """Append the files in ``top`` to those below ``base``."""
        for entry in self._trees.list(top):
            path = f"{base}/{entry.name}"
            there = self._trees.get(self._root, path)
            if there is None:
                self._set(path, entry)
            elif entry.is_dir:
                _require_directory(there, path)
                self._append(entry.hash, path)
            else:
                self._put_file(PutFile(path, entry, append=True))

    def _split(self, op: PutSplit) -> None:
        self._settle()
        old = self._trees.get(self._root, op.path)
        if old is not None and not old.is_dir:
            if op.append:
                raise InvalidArgument(
                    f"file / directory path collision: {op.path} is a file",
                    "put split data on a new path, or delete the file first",
                )
            self._delete(op.path)
        elif old is not None and not op.append:
            self._delete(op.path)
        self._settle()
        here = list(self._trees.list(self._root, op.path)) if old is not None and op.append else []
        kept = _frame(old) if old is not None else (None, None)
        header, footer = op.header or kept[0], op.footer or kept[1]
        if here and (op.header or op.footer):
            for entry in here:
                self._set(f"{op.path}/{entry.name}", self._reframe(entry, kept, header, footer))
        number = first_free(e.name for e in here)
        for i, entry in enumerate(op.files):
            name = split_name(number + i)
            parts = [p for p in (header, entry, footer) if p is not None]
            whole = parts[0] if len(parts) == 1 else self._framed(name, parts)
            self._set(f"{op.path}/{name}", whole)
        self._settle()
        if header or footer:
            self._mark(op.path, header, footer)

    def _framed(self, name: str, parts: Sequence[Entry]) -> Entry:
        return self._content.concat(name, parts, self._put)

    def _reframe(
        self,
        entry: Entry,
        kept: tuple[Entry | None, Entry | None],
        header: Entry | None,
        footer: Entry | None,
    ) -> Entry:
        """``entry`` with its old header and footer cut off and the new ones put on."""
        head = kept[0].size if kept[0] else 0
        tail = kept[1].size if kept[1] else 0
        body = self._content.slice(entry, head, entry.size - head - tail, self._put)
        return self._framed(entry.name, [p for p in (header, body, footer) if p is not None])

    def _mark(self, path: str, header: Entry | None, footer: Entry | None) -> None:
        made = self._trees.get(self._root, path)
        if made is None:
            return
        attrs = {
            key: [value.hash.hex(), int(value.kind), value.size]
            for key, value in (("footer", footer), ("header", header))
            if value is not None
        }
        text = json.dumps(attrs, sort_keys=True, separators=(",", ":")).encode()
        self._set(path, replace(made, attrs=text))
        self._settle()


def _frame(directory: Entry) -> tuple[Entry | None, Entry | None]:
    """The header and footer a split directory keeps."""
    if not directory.attrs:
        return (None, None)
    attrs = json.loads(directory.attrs)

    def one(key: str) -> Entry | None:
        if key not in attrs:
            return None
        digest, kind, size = attrs[key]
        return Entry(key, Kind(kind), Hash(bytes.fromhex(digest)), size)

    return (one("header"), one("footer"))


def header_size(directory: Entry) -> int:
    """Bytes of the header that every file of a split directory begins with."""
    header = _frame(directory)[0]
    return header.size if header else 0
