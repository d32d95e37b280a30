"""Taking a datum's output into the store, once no process of the datum lives.

Large files are renamed in, small ones packed. A symlink to something under /pfs (an input, a file
or directory of the output) is stored by reference, nothing is copied; any other symlink, and every
special file, is an error that fails the datum and names the file: the daemon may have rights that
user code has not, so it reads nothing on its behalf. Empty directories are not kept.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pachybox.errors import InvalidArgument
from pachybox.model.files import Edit, Entry, Kind, Put
from pachybox.model.ids import Hash
from pachybox.model.paths import clean
from pachybox.model.pps import DatumInput
from pachybox.model.units import format_size
from pachybox.pfs.service import Pfs
from pachybox.pps.links import Links
from pachybox.pps.shape import shape_of
from pachybox.store.blobs import Session
from pachybox.store.format import PACK_LIMIT

_DEEPEST = 500  # directories inside each other
_HOLES = 4 << 30  # bytes never written, of all files of a datum: they are read and hashed too
_BATCH = 4 << 20  # bytes of small files read before they are put together
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass
class Collected:
    """What was found: edits that make the output tree, and its size in bytes.

    ``empty``: there was nothing in the directory, not even directories; it can serve again
    (its mode may have been changed by user code).
    """

    edits: list[Edit] = field(default_factory=list)
    size: int = 0
    empty: bool = False


class Collector:
    """Collects one output directory."""

    def __init__(
        self,
        pfs: Pfs,
        session: Session,
        out: Path,
        inputs: tuple[DatumInput, ...],
        root_of: Callable[[DatumInput], Hash],
        shown: Path | None = None,
    ) -> None:
        """``root_of``: the tree of an input's commit. ``shown``: the directory that user code
        knew as /pfs where there is no such mount; its symlinks lead there."""
        self._pfs = pfs
        self._session = session
        self._out = str(out)
        self._inputs = inputs
        self._root_of = root_of
        self._shown = shown
        self._made = Collected()
        self._waiting: list[tuple[str, str, bytes]] = []  # path, name, content
        self._held = 0
        self._holes = 0
        self._symlinks: dict[str, str] = {}
        self._directories: set[str] = set()
        self._buffer = bytearray()  # made when there is something to read

    def collect(self) -> Collected:
        """Walk the directory. Raises InvalidArgument naming the file that cannot be kept.

        Large files are gone from the directory afterwards, the others are still there.
        """
        try:
            names = os.listdir(self._out)
            if not names:
                return Collected(empty=True)
            self._buffer = bytearray(PACK_LIMIT + 1)
            self._walk(names, "", 0)
        except OSError as e:
            name = os.fsdecode(e.filename or "").removeprefix(self._out)[:200]
            name = name if not name or name.startswith("/") else f"/.../{name}"
            raise InvalidArgument(
                f"cannot upload /pfs/out{name}: {e.strerror}", "write files that can be read"
            ) from e
        self._flush()
        if self._symlinks:
            files = {e.path: e.entry for e in self._made.edits if isinstance(e, Put)}
            links = Links(
                self._pfs.trees,
                self._session.put,
                files,
                self._symlinks,
                self._directories,
                lambda: shape_of(self._pfs.trees, self._inputs, self._root_of),
            )
            if self._shown is not None:
                links.alias(str(self._shown), "/pfs")
            links.alias(self._out, "/pfs/out")
            for path in self._symlinks:
                if (entry := links.entry(path)) is not None:
                    self._put(path, entry)
        return self._made

    # -- walking

    def _walk(self, names: list[str] | None, prefix: str, depth: int) -> None:
        """One directory; ``names`` when they are known."""
        if depth > _DEEPEST:
            raise InvalidArgument(
                f"cannot upload /pfs/out{prefix[:60]}...: deeper than {_DEEPEST} directories",
                "write fewer directories inside each other",
            )
        below: list[str] = []
        fd = _open_directory(self._out + prefix)
        try:
            with os.scandir(fd) as found:
                entries = sorted(found, key=lambda e: e.name)
            for item in entries:
                path = _path(prefix, item.name)
                if item.is_file(follow_symlinks=False):
                    self._file(fd, item.name, path)
                elif item.is_symlink():
                    self._symlinks[path] = os.readlink(item.name, dir_fd=fd)
                elif item.is_dir(follow_symlinks=False):
                    below.append(path)
                else:
                    raise InvalidArgument(
                        f"cannot upload special file /pfs/out{path}",
                        "write regular files and directories only",
                    )
        finally:
            os.close(fd)
        self._directories.update(below)
        for path in below:
            self._walk(None, path, depth + 1)

    def _file(self, directory: int, name: str, path: str) -> None:
        try:
            fd = os.open(name, _READ, dir_fd=directory)
        except PermissionError:  # its owner is who the box is, when not root
            os.chmod(name, 0o600, dir_fd=directory)
            fd = os.open(name, _READ, dir_fd=directory)
        try:
            n = os.readv(fd, (self._buffer,))
            if n > PACK_LIMIT:
                self._check_holes(fd, path)
        finally:
            os.close(fd)
        if n > PACK_LIMIT:
            digest, size = self._session.adopt(Path(self._out + path))
            self._put(path, Entry(name, Kind.FILE, digest, size))
            return
        self._waiting.append((path, name, bytes(memoryview(self._buffer)[:n])))
        self._held += n
        if self._held >= _BATCH:
            self._flush()

    def _check_holes(self, fd: int, path: str) -> None:
        """Refuse what takes no room here and hours to hash, or the whole disk once copied."""
        about = os.fstat(fd)
        if about.st_size - about.st_blocks * 512 < _HOLES - self._holes:
            self._holes += max(0, about.st_size - about.st_blocks * 512)
            return
        self._holes += about.st_size - _data(fd, about.st_size)  # it may be compressed instead
        if self._holes > _HOLES:
            raise InvalidArgument(
                f"cannot upload /pfs/out{path}: {format_size(about.st_size)}, most of which were "
                f"never written (sparse); one datum may have {format_size(_HOLES)} of that",
                "write smaller files, or compress them",
            )

    def _flush(self) -> None:
        hashes = self._session.put_many([data for _, _, data in self._waiting])
        for (path, name, data), digest in zip(self._waiting, hashes, strict=True):
            self._put(path, Entry(name, Kind.FILE, digest, len(data)))
        self._waiting.clear()
        self._held = 0

    def _put(self, path: str, entry: Entry) -> None:
        self._made.edits.append(Put(path, entry))
        self._made.size += entry.size


def _data(fd: int, size: int) -> int:
    """The bytes of a file that were written, as far as its file system tells."""
    total = at = 0
    while at < size:
        try:
            begin = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as e:
            if e.errno == errno.ENXIO:  # nothing but a hole to the end
                break
            raise
        at = os.lseek(fd, begin, os.SEEK_HOLE)
        total += at - begin
    return total


def _open_directory(path: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(path, flags)
        if os.access(path, os.R_OK | os.X_OK):
            return fd
        os.close(fd)
    except PermissionError:
        pass
    os.chmod(path, 0o700)  # noqa: PTH101 - a string; its owner is who the box is, when not root
    return os.open(path, flags)


def _path(prefix: str, name: str) -> str:
    try:
        return clean(f"{prefix}/{name}")
    except InvalidArgument as e:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")[:200]
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InvalidArgument(
                f"cannot upload /pfs/out{prefix}/{shown}: its name is not UTF-8",
                "write file names in UTF-8",
            ) from None
        raise InvalidArgument(
            f"cannot upload /pfs/out{prefix[:200]}: {e.message}", e.hint
        ) from None
