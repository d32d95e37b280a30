"""One upload: operations as they arrive into content in the store and file operations.

Content is stored while it streams in; nothing is named until the whole upload is there,
so an upload that breaks off leaves no commit, and what it stored is freed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pachybox.api.frames import Copy, Op, PutBatch, PutData, PutFd, Read, Remove, Split, Url
from pachybox.errors import InvalidArgument
from pachybox.model.files import Entry, Kind, Put
from pachybox.model.glob import Glob
from pachybox.model.ids import DEFAULT_PROJECT, Repo
from pachybox.model.paths import clean
from pachybox.pfs.read import Reader
from pachybox.pfs.remote import list_prefix, open_url
from pachybox.pfs.split import Piece, Role, split
from pachybox.pfs.write import CopyFile, FileOp, PutFile, PutSplit, PutTree, RemoveFile
from pachybox.store.blobs import Session
from pachybox.store.trees import EMPTY

_CHUNK = 1 << 20
_FOLD = 32_768  # plain puts kept one by one before they become a tree


class Upload:
    """Collects the file operations of one upload."""

    def __init__(
        self, reader: Reader, session: Session, *, trusted: bool, reach: str = "public"
    ) -> None:
        """``trusted`` callers (by the unix socket) may have the box fetch URLs of its own
        network."""
        self._reader = reader
        self._session = session
        self._trusted = trusted
        self._reach = reach
        self.ops: list[FileOp] = []
        self.warnings: list[str] = []
        self._folded = 0  # operations at the beginning that are not to be folded again

    def take(self, ops: Iterator[Op]) -> list[FileOp]:
        """Store the content of every operation; raises what is wrong with the first bad one."""
        for op in ops:
            if isinstance(op, PutBatch):
                self._batch(op)
            elif isinstance(op, PutData):
                self.put_stream(op.path, op.read, append=op.append)
            elif isinstance(op, PutFd):
                digest, size = self._session.put_fd(op.fd)
                self._put(op.path, Entry("", Kind.FILE, digest, size), op.append)
            elif isinstance(op, Remove):
                self.remove(op.path)
            elif isinstance(op, Copy):
                self.copy(
                    Repo(op.src_project or DEFAULT_PROJECT, op.src_repo),
                    op.src_ref,
                    op.src_path,
                    op.path,
                    append=op.append,
                )
            elif isinstance(op, Url):
                self.url(op.path, op.url, recursive=op.recursive, append=op.append)
            else:
                self._split(op)
        return self.ops

    def _batch(self, op: PutBatch) -> None:
        hashes = self._session.put_many(op.pieces())
        for path, size, digest in zip(op.paths, op.sizes, hashes, strict=True):
            where = clean(path)
            name = where[where.rfind("/") + 1 :]
            entry = Entry(name or _file_path(path), Kind.FILE, digest, size)
            self.ops.append(PutFile(where, entry, True) if op.append else Put(where, entry))
        if len(self.ops) - self._folded >= _FOLD:
            self._fold()

    def _fold(self) -> None:
        """Turn the run of plain puts at the end of the operations into a tree."""
        start = len(self.ops)
        while start > self._folded:
            last = self.ops[start - 1]
            if not isinstance(last, Put):
                break
            start -= 1
        run = self.ops[start:]
        if not run:
            self._folded = len(self.ops)
            return
        before = self.ops[start - 1] if start else None
        root, count = EMPTY, 0
        if isinstance(before, PutTree):
            root, count, start = before.root, before.count, start - 1
        edits = [op for op in run if isinstance(op, Put)]
        root = self._reader.pfs.trees.edit(root, edits, self._session.put)
        self.ops[start:] = [PutTree(root, count + len(run))]
        self._folded = len(self.ops)

    def put_stream(self, path: str, read: Read, *, append: bool) -> None:
        """A file of any size, read to its end."""
        digest, size = self._session.put_stream(read)
        self._put(path, Entry("", Kind.FILE, digest, size), append)

    def put_pieces(self, path: str, pieces: Iterable[memoryview], *, append: bool) -> None:
        """A file of any size, in pieces as they come."""
        digest, size = self._session.put_pieces(pieces)
        self._put(path, Entry("", Kind.FILE, digest, size), append)

    def _put(self, path: str, entry: Entry, append: bool) -> None:
        where = _file_path(path)
        name = where[where.rfind("/") + 1 :]
        self.ops.append(PutFile(where, Entry(name, entry.kind, entry.hash, entry.size), append))

    def put_bytes(self, path: str, data: bytes, *, append: bool) -> None:
        """A whole file in memory."""
        self._put(path, Entry("", Kind.FILE, self._session.put(data), len(data)), append)

    def remove(self, path: str, *, exact: bool = False) -> None:
        """Delete what is at a path, or (unless ``exact``) what it matches as a glob."""
        clean(path)
        if not exact:
            Glob(path)
        self.ops.append(RemoveFile(path, exact))

    def copy(self, repo: Repo, ref: str, source: str, path: str, *, append: bool) -> None:
        """Copy a file or subtree of a commit by reference."""
        found = self._reader.inspect(repo, ref, source)
        target = clean(path) if found.entry.is_dir else _file_path(path)
        self.ops.append(CopyFile(target, found.commit.root, found.path, append))

    def url(self, path: str, url: str, *, recursive: bool, append: bool) -> None:
        """Fetch a URL, or with ``recursive`` every object below it."""
        if recursive:
            base = clean(path).rstrip("/")
            found = list_prefix(
                url, warn=self.warnings.append, trusted=self._trusted, reach=self._reach
            )
            for item in found:
                self._fetch(f"{base}/{item.suffix}", item.url, append)
            return
        self._fetch(path, url, append)

    def _fetch(self, path: str, url: str, append: bool) -> None:
        with open_url(url, trusted=self._trusted, reach=self._reach) as remote:
            self.put_stream(path, remote.readinto, append=append)

    def _split(self, op: Split) -> None:
        pieces = split(
            op.split,
            _chunks(op.read),
            target_datums=op.target_file_datums,
            target_bytes=op.target_file_bytes,
            header_records=op.header_records,
        )
        made: dict[Role, list[Entry]] = {Role.HEADER: [], Role.FILE: [], Role.FOOTER: []}
        for first in pieces:
            digest, size = self._session.put_stream(_Feed(first, pieces).read)
            made[first.role].append(Entry("", Kind.FILE, digest, size))
        header, footer = made[Role.HEADER], made[Role.FOOTER]
        self.ops.append(
            PutSplit(
                _file_path(op.path),
                tuple(made[Role.FILE]),
                header[0] if header and header[0].size else None,
                footer[0] if footer and footer[0].size else None,
                op.append,
            )
        )


def _file_path(path: str) -> str:
    cleaned = clean(path)
    if cleaned == "/":
        raise InvalidArgument(
            "the root directory cannot be a file", "give the file a path, such as repo@branch:/name"
        )
    return cleaned


def _chunks(read: Read) -> Iterator[bytes]:
    buffer = memoryview(bytearray(_CHUNK))
    while count := read(buffer):
        yield bytes(buffer[:count])


class _Feed:
    """Reads one file of a split: its pieces as they are made."""

    def __init__(self, first: Piece, pieces: Iterator[Piece]) -> None:
        self._pieces = pieces
        self._rest = memoryview(first.data)
        self._last = first.last

    def read(self, target: memoryview) -> int:
        """Fill a part of ``target``; 0 at the end of the file."""
        while not self._rest:
            if self._last:
                return 0
            piece = next(self._pieces)
            self._rest, self._last = memoryview(piece.data), piece.last
        count = min(len(self._rest), len(target))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
