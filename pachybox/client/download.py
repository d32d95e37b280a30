"""Downloads: the frames of GET /files/get into memory, a stream, or a directory.

A directory download never writes outside its target: names are checked, and every
directory on the way is opened without following symbolic links.
"""

# descriptors and plain names: 5 us a file
# ruff: noqa: PTH103, PTH114, PTH118
from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import BinaryIO

from pachybox.client.errors import from_json
from pachybox.client.frames import Sink, frames
from pachybox.client.transport import Response
from pachybox.errors import Internal, InvalidArgument, Refused

_PIECE = 1 << 20
_NO_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF})
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def receive(
    response: Response, sink: Sink, progress: Callable[[int, int], None] | None = None
) -> tuple[int, int]:
    """Feed a download to ``sink``; return (files, bytes). Raises the error the box sends."""
    files = size = 0
    for ops, data in frames(response):
        at = 0
        for op in ops:
            verb = op[0]
            if verb == "p" or verb == "m":
                if verb == "p":
                    sink.begin(op[1])
                    files += 1
                end = at + op[-1]
                if end > at:
                    sink.data(data[at:end])
                size += end - at
                at = end
            elif verb == "o":
                fd = response.fd()
                try:
                    sink.begin(op[1])
                    sink.fd(fd, op[2])
                finally:
                    os.close(fd)
                files += 1
                size += op[2]
            elif verb == "d":
                sink.directory(op[1])
            elif verb == "e":
                raise from_json(op[1])
            else:
                raise Internal(f"the box sent an unknown operation {verb!r}")
        if progress:
            progress(size, files)
    response.read()  # the end of the body, so that the connection can serve again
    return files, size


def copy_fd(source: int, target: int, size: int) -> None:
    """Append the first ``size`` bytes of ``source`` at ``target``'s position, in the kernel."""
    at, kernel = 0, True
    while at < size:
        if kernel:
            try:
                n = os.copy_file_range(source, target, size - at, at)
            except OSError as e:
                if e.errno not in _NO_COPY:
                    raise
                kernel = False
                continue
        else:
            piece = os.pread(source, min(_PIECE, size - at), at)
            n = len(piece)
            write_all(target, memoryview(piece))
        if n == 0:
            raise Internal(f"a file ended after {at} of {size} bytes")
        at += n


def write_all(fd: int, data: memoryview) -> None:
    """Write all of ``data``."""
    while data:
        data = data[os.write(fd, data) :]


class ToStream:
    """Every file's content one after the other into ``stream``.

    With ``only``, a path, anything else than that file is refused: it is a directory.
    """

    def __init__(self, stream: BinaryIO, only: str = "") -> None:
        self._stream = stream
        self._only = only

    def begin(self, path: str) -> None:
        """Check that this is the file asked for."""
        if self._only and path != self._only:
            self._refuse()

    def data(self, piece: memoryview) -> None:
        """Write it."""
        self._stream.write(piece)

    def fd(self, fd: int, size: int) -> None:
        """Copy it, inside the kernel when the stream is a file."""
        try:
            target = self._stream.fileno()
        except (OSError, AttributeError):  # a stream in memory
            at = 0
            while piece := os.pread(fd, min(_PIECE, size - at), at):
                self._stream.write(piece)
                at += len(piece)
            if at < size:
                raise Internal(f"a file ended after {at} of {size} bytes") from None
            return
        self._stream.flush()
        copy_fd(fd, target, size)

    def directory(self, path: str) -> None:
        """A directory has no content of its own."""
        if self._only:
            self._refuse()

    def _refuse(self) -> None:
        raise InvalidArgument(f"{self._only} is a directory", "add -r and -o to get all of it")


class ToDirectory:
    """A tree of files below directory ``target``, named by their path from repo path ``base``.

    Use as a context manager. Existing files are replaced atomically; a file cut short is
    removed. Raises Refused where the target has a symbolic link or a file in the place of a
    directory.
    """

    def __init__(self, target: str, base: str) -> None:
        self._base = base.rstrip("/") + "/"
        os.makedirs(target, exist_ok=True)
        self._target = target
        self._folders: dict[str, int] = {
            "": os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        }
        self._file = -1
        self._folder = -1
        self._name = self._temporary = ""

    def __enter__(self) -> ToDirectory:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        try:
            self._finish(good=kind is None)
        finally:
            for fd in self._folders.values():
                os.close(fd)
            self._folders.clear()

    def begin(self, path: str) -> None:
        """Create the file, under a temporary name when its own is taken."""
        self._finish()
        parent, _, name = self._relative(path).rpartition("/")
        self._folder = self._open_folder(parent)
        self._name, self._temporary = name, ""
        try:
            self._file = os.open(name, _NEW_FILE, 0o666, dir_fd=self._folder)
        except FileExistsError:
            self._temporary = f".pachybox-{os.getpid()}-{id(self):x}"
            self._unlink(self._temporary)
            self._file = os.open(self._temporary, _NEW_FILE, 0o666, dir_fd=self._folder)

    def data(self, piece: memoryview) -> None:
        """Write it."""
        write_all(self._file, piece)

    def fd(self, fd: int, size: int) -> None:
        """Copy it inside the kernel."""
        copy_fd(fd, self._file, size)

    def directory(self, path: str) -> None:
        """Make the directory."""
        self._finish()
        if path.rstrip("/") + "/" != self._base:
            self._open_folder(self._relative(path))

    def _finish(self, good: bool = True) -> None:
        if self._file < 0:
            return
        os.close(self._file)
        self._file = -1
        if not good:
            self._unlink(self._temporary or self._name)
        elif self._temporary:
            try:
                os.replace(
                    self._temporary, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder
                )
            except OSError as e:
                self._unlink(self._temporary)
                raise self._refused(self._name, e) from e

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self._folder)
        except FileNotFoundError:
            pass

    def _relative(self, path: str) -> str:
        """The path below the target: checked, since what the box sends names files here."""
        inside = path.startswith(self._base)
        relative = path[len(self._base) :].strip("/")
        if not inside or not relative or "\0" in relative or "//" in relative:
            raise Internal(f"the box sent {path!r} for {self._base!r}")
        if "." in relative and any(e in (".", "..") for e in relative.split("/")):
            raise Internal(f"the box sent {path!r}, which leads out of {self._base!r}")
        return relative

    def _open_folder(self, relative: str) -> int:
        fd = self._folders.get(relative)
        if fd is not None:
            return fd
        parent, _, name = relative.rpartition("/")
        above = self._open_folder(parent)
        try:
            os.mkdir(name, dir_fd=above)
        except FileExistsError:
            pass
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=above)
        except OSError as e:
            raise self._refused(relative, e) from e
        if len(self._folders) > 128:  # keep few open; the root stays
            for old in list(self._folders)[1:]:
                if not relative.startswith(old + "/"):
                    os.close(self._folders.pop(old))
        self._folders[relative] = fd
        return fd

    def _refused(self, relative: str, error: OSError) -> Refused:
        where = os.path.join(self._target, relative)
        what = "a symbolic link" if os.path.islink(where) else error.strerror
        return Refused(f"cannot write to {where}: {what}", "remove it, or choose another target")
