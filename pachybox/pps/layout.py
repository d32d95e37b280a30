"""What stands under /pfs for one datum: its inputs as a Layout, ready to be shown by a worker.

Three ways, by size and by what the runner can show:

* small datums travel: their content goes to the worker with the task, no file is made here;
* large ones become an EROFS image that points into the store (image.py), where the runner mounts
  such images; else a directory of hard links and copies;
* where nothing can be mounted, everything is copied into a directory, since user code can write to
  what it is given.

What is copied is verified on the way: content that does not match its hash raises Corrupt and the
datum does not run. What is only pointed at (objects, and packs through an image) is proven too
where a datum has little of it; of more its size is compared, and fsck proves the rest.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

from pachybox.errors import Corrupt, NotFound, Refused
from pachybox.meta.tables import COMMITS
from pachybox.model.files import Entry, Kind
from pachybox.model.ids import Commit, Hash, Repo
from pachybox.model.pps import DatumInput
from pachybox.pfs.service import Pfs
from pachybox.pps.image import LINKS, ImageBuilder
from pachybox.pps.runners.base import Presents
from pachybox.pps.shape import Shape, count, shape_of, walk
from pachybox.store.bulk import Pins, check_size, read_many
from pachybox.store.disk import full_disk_is_exhausted, write_all
from pachybox.store.format import PACK_LIMIT
from pachybox.worker.layout import Layout

FEW_FILES, FEW_BYTES = 64, 1 << 20
"""A datum that has no more travels with its task, when the other way is an image."""

MANY_FILES, MANY_BYTES = 4096, 16 << 20
"""The same, when the other way is files on the disk."""

PROVEN_BYTES = 64 << 20
"""A datum that has no more is proven before it runs, at some 5 GB/s; a datum of many gigabytes
would wait for seconds."""

_BATCH = 4 << 20  # bytes of small files held while they are copied


class Way(Enum):
    """What a runner can show, best first."""

    IMAGE = "image"  # EROFS images from plain files, and single files, mounted
    TREE = "tree"  # directories and single files, mounted read-only: hard links are safe
    COPIES = "copies"  # nothing is mounted: user code can write to what it gets

    @classmethod
    def of(cls, presents: Presents) -> Way:
        """The best of what a runner can show."""
        return cls.IMAGE if presents.image else cls.TREE if presents.links else cls.COPIES


@dataclass(slots=True)
class Presented:
    """A layout, and what must stay in place while it is shown. Leave it when the datum is over."""

    layout: Layout
    _pins: Pins | None = None

    def close(self) -> None:
        """Let go. The image or tree may be removed by whoever removes ``into``."""
        if self._pins is not None:
            self._pins.release()
        if self.layout.image is not None:
            self.layout.image.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Presenter:
    """Lays out the datums of one job. Thread-safe.

    The caller holds the trees of the input commits (Pfs.reading) until the last datum is over.
    """

    def __init__(
        self,
        pfs: Pfs,
        way: Way,
        empty: frozenset[str] = frozenset(),
        *,
        proven: int = PROVEN_BYTES,
        roots: Mapping[tuple[str, str, str], Hash] | None = None,
    ) -> None:
        """``empty`` names the inputs shown with zero-length files; datums of at most ``proven``
        bytes are proven before they are shown. ``roots``: trees that stand for commits (project,
        repo, id), which need not exist."""
        self._pfs = pfs
        self._way = way
        self._empty = empty
        self._proven = proven
        self._roots: dict[tuple[str, str, str], Hash] = dict(roots or {})

    def root_of(self, one: DatumInput) -> Hash:
        """The tree of the input's commit; NotFound when it was deleted before the first datum."""
        key = (one.project, one.repo, one.commit)
        root = self._roots.get(key)
        if root is None:
            repo = Repo(one.project, one.repo)
            commit = self._pfs.meta.get(COMMITS, Commit(repo, one.commit))
            if commit is None:
                raise NotFound(f"commit {one.commit} not found in repo {repo.full}")
            root = self._roots[key] = commit.root
        return root

    def present(self, inputs: Iterable[DatumInput], into: Path) -> Presented:
        """Make the layout of one datum. What files that takes are made in the folder ``into``
        (itself made when needed), which is on the file system of the store.

        Raises Corrupt, NotFound when an input commit was deleted, InvalidArgument naming both
        when two inputs differ at one path, Exhausted when the disk is full.
        """
        inputs = tuple(inputs)
        shape = shape_of(self._pfs.trees, inputs, self.root_of)
        prove = sum(one.size for one in inputs) <= self._proven
        image = self._way is Way.IMAGE
        most, most_bytes = (FEW_FILES, FEW_BYTES) if image else (MANY_FILES, MANY_BYTES)
        files = count(shape)
        # where user code sees the machine's own folders, its symlinks must lead to one we know
        if files <= most and self._way is not Way.COPIES:
            small = self._travel(shape, most_bytes, prove)
            if small is not None:
                return Presented(small)
        with full_disk_is_exhausted(into):
            into.mkdir(exist_ok=True, parents=True)
            if image:
                if prove:
                    self._prove(shape)
                try:
                    return self._image(shape, into / "image", files)
                except Refused:  # more devices than an image can have
                    pass
            (into / "tree").mkdir()
            return Presented(self._tree(shape, into / "tree", prove))

    # -- small datums

    def _travel(self, shape: Shape, most: int, prove: bool) -> Layout | None:
        """The layout without a file of its own; None when there is too much content."""
        dirs: list[str] = []
        here: list[tuple[str, Entry]] = []
        large: list[tuple[str, Entry]] = []
        size = 0
        for path, entry in walk(self._pfs.trees, shape):
            if entry is None:
                dirs.append(path)
            elif entry.size > PACK_LIMIT and entry.kind is Kind.FILE and not self._hollow(path):
                large.append((path, entry))
            else:
                here.append((path, entry))
                size += 0 if self._hollow(path) else entry.size
        if size > most or len(large) > LINKS:
            return None
        return Layout(
            dirs=tuple(dirs),
            files=tuple(self._read(here)),
            links=tuple([(path, str(self._object(entry, prove))) for path, entry in large]),
            bytes=size + sum([entry.size for _, entry in large]),
        )

    def _hollow(self, path: str) -> bool:
        return bool(self._empty) and path.partition("/")[0] in self._empty

    def _read(self, files: list[tuple[str, Entry]]) -> Iterator[tuple[str, bytes]]:
        """The content of small files, verified."""
        whole = [
            (path, entry)
            for path, entry in files
            if entry.kind is Kind.FILE and entry.size and not self._hollow(path)
        ]
        found = read_many(self._pfs.blobs, [entry.hash for _, entry in whole])
        for (path, entry), data in zip(whole, found, strict=True):
            check_size(entry.hash, entry.size, len(data), self._pfs.blobs.root)
            yield path, data
        if len(whole) == len(files):
            return
        for path, entry in files:
            if self._hollow(path) or not entry.size:
                yield path, b""
            elif entry.kind is not Kind.FILE:
                yield path, self._pfs.content.read_all(entry)

    def _prove(self, shape: Shape) -> None:
        """Raise Corrupt unless all content is what its hashes say."""
        waiting: list[Entry] = []
        size = 0
        for path, entry in walk(self._pfs.trees, shape):
            if entry is None or not entry.size or self._hollow(path):
                continue
            if entry.size > PACK_LIMIT and entry.kind is Kind.FILE:
                self._pfs.blobs.verify(entry.hash)
            elif entry.kind is Kind.FILE:
                waiting.append(entry)
                size += entry.size
                if size > _BATCH:
                    read_many(self._pfs.blobs, [one.hash for one in waiting])
                    waiting, size = [], 0
            else:
                for _ in self._pfs.content.read(entry):
                    pass
        read_many(self._pfs.blobs, [one.hash for one in waiting])

    def _object(self, entry: Entry, prove: bool) -> Path:
        """The object that is this large file; Corrupt when it is missing, of another size, or
        (with ``prove``) not what its hash says."""
        if prove:
            self._pfs.blobs.verify(entry.hash)
        place = self._pfs.blobs.locate(entry.hash)
        check_size(entry.hash, entry.size, place.length, place.path)
        if not place.whole:
            raise Corrupt(f"{place.path}: blob {entry.hash.hex()} should be a file of its own")
        return place.path

    # -- large ones

    def _image(self, shape: Shape, path: Path, files: int) -> Presented:
        pins = Pins(self._pfs.blobs)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            made = ImageBuilder(self._pfs, fd, pins, files, self._empty).build(shape)
        except BaseException:
            pins.release()
            path.unlink()
            raise
        finally:
            os.close(fd)
        layout = Layout(links=made.links, image=path, devices=made.devices, bytes=made.bytes)
        return Presented(layout, pins)

    def _tree(self, shape: Shape, top: Path, prove: bool) -> Layout:
        """A directory with everything in it; hard links for objects unless user code could
        write through them."""
        size = waiting = 0
        small: list[tuple[str, Entry]] = []
        for path, entry in walk(self._pfs.trees, shape):
            if entry is None:
                (top / path).mkdir()
                continue
            size += 0 if self._hollow(path) else entry.size
            if entry.size <= PACK_LIMIT or self._hollow(path):
                small.append((path, entry))
                waiting += entry.size
                if waiting > _BATCH or len(small) >= MANY_FILES:
                    self._copy_small(top, small)
                    small, waiting = [], 0
            elif entry.kind is not Kind.FILE or not self._link(entry, top / path, prove):
                self._copy_large(entry, top / path)
        self._copy_small(top, small)
        return Layout(tree=top, bytes=size)

    def _link(self, entry: Entry, target: Path, prove: bool) -> bool:
        """Link an object; False when it must be copied."""
        if self._way is Way.COPIES:
            return False
        try:
            os.link(self._object(entry, prove), target)
        except OSError as e:
            # too many links, another file system, a kernel that protects links
            if e.errno in (errno.EMLINK, errno.EXDEV, errno.EPERM, errno.EACCES):
                return False
            raise
        return True

    def _copy_small(self, top: Path, files: list[tuple[str, Entry]]) -> None:
        for path, data in self._read(files):
            _write(f"{top}/{path}", (data,))

    def _copy_large(self, entry: Entry, target: Path) -> None:
        _write(str(target), self._pfs.content.read(entry))


def _write(path: str, content: Iterable[bytes]) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        for piece in content:
            write_all(fd, piece)
    finally:
        os.close(fd)
