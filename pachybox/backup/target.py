"""Where backups lie: a directory, or a prefix of a bucket.

A target holds files by name (``packs/ab/abcd...``). A file appears whole or not at all, is durable
when ``put`` returns, and is never changed; that is all that the rest relies on.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pachybox.durable import sync_path
from pachybox.errors import Exhausted, InvalidArgument, NotFound, NotReady, PachyboxError, Refused
from pachybox.pfs import buckets
from pachybox.store.disk import FULL, pread_all, write_all

if TYPE_CHECKING:
    from obstore.store import ObjectStore

Buffer = bytes | memoryview

TMP = "tmp"
_LOST_FOUND = "lost+found"
_TIMEOUT_S = 60.0
_MOST = 1 << 30  # bytes of a file that is read whole
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # of a FIFO none is awaited
_SCHEMES = ("s3", "gs")


class Target(Protocol):
    """Files by name. Safe to use from many threads. Every method raises NotReady or Refused when
    the place cannot be reached, with what to do."""

    shown: str
    near: bool
    """Whether small reads cost next to nothing."""

    def put(self, name: str, data: Buffer) -> None:
        """Write a whole file, durably; one of that name is replaced. Raises Exhausted."""
        ...

    def get(self, name: str) -> bytes:
        """A whole file. Raises NotFound."""
        ...

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """A part of a file; fewer bytes where it ends. Raises NotFound."""
        ...

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """(name, size) of every file under ``folder`` ("": all), in no order."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file; one that is not there is fine."""
        ...


def open_target(url: str) -> Target:
    """The target that ``url`` names: an absolute path, file:///PATH, s3://BUCKET/PREFIX or
    gs://BUCKET/PREFIX. Raises InvalidArgument."""
    scheme, colon, rest = url.partition("://")
    if not colon:
        if not url.startswith("/"):
            raise InvalidArgument(
                f"backups cannot go to {url!r}", "name an absolute path, or s3://BUCKET/PREFIX"
            )
        return Folder(Path(os.path.normpath(url)))
    if scheme == "file" and rest.startswith("/"):
        return Folder(Path(os.path.normpath(rest)))
    if scheme not in _SCHEMES or "@" in rest or "?" in rest:
        raise InvalidArgument(
            f"backups cannot go to {scheme}://",
            "name an absolute path, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX, without credentials",
        )
    _, bucket, prefix = buckets.split(url)
    return Bucket(scheme, bucket, "/".join(e for e in prefix.split("/") if e))


class Folder:
    """A directory. Files are written beside, synced, and renamed into their place.

    Others may write there too, so below its top no symlink is followed and nothing but plain
    files is opened: whoever has the place shall not have what the box's user may touch.
    """

    def __init__(self, top: Path) -> None:
        self.top = top
        self.shown = str(top)
        self.near = True

    def put(self, name: str, data: Buffer) -> None:
        """See Target."""
        try:
            self._write(name, data)
        except NotFound:  # race: a prune that ends removes what lies in TMP
            self._write(name, data)

    def _write(self, name: str, data: Buffer) -> None:
        beside = f"{os.getpid()}-{secrets.token_hex(8)}"
        with self._told(name):
            self._make(self.top)
            with self._folder(TMP, make=True) as tmp:
                fd = os.open(beside, _NEW, 0o600, dir_fd=tmp)
                try:
                    try:
                        write_all(fd, data)
                        os.fsync(fd)
                    finally:
                        os.close(fd)
                    above, _, last = name.rpartition("/")
                    with self._folder(above, make=True) as folder:
                        os.rename(beside, last, src_dir_fd=tmp, dst_dir_fd=folder)
                        os.fsync(folder)
                except BaseException:
                    with suppress(FileNotFoundError):
                        os.unlink(beside, dir_fd=tmp)
                    raise

    def get(self, name: str) -> bytes:
        """See Target."""
        with self._told(name), self._file(name) as (fd, size):
            if size > _MOST:
                raise Refused(
                    f"{self.top / name} is longer than any file of a backup", "move it away"
                )
            return pread_all(fd, size, 0)

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See Target."""
        with self._told(name), self._file(name) as (fd, size):
            return pread_all(fd, max(min(length, size - offset), 0), offset)

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """See Target."""
        stack = [folder]
        while stack:
            name = stack.pop()
            with self._told(name or "."):
                try:
                    with self._folder(name) as fd, os.scandir(fd) as entries:
                        found = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries]
                        sizes = _sizes(fd, [one for one, is_dir in found if not is_dir])
                except FileNotFoundError:
                    continue
            if not name:  # the top of a disk has it, and the box's user may not look into it
                found = [one for one in found if one != (_LOST_FOUND, True)]
            below = f"{name}/" if name else ""
            stack += [below + one for one, is_dir in found if is_dir]
            yield from ((below + one, size) for one, size in sizes)

    def delete(self, name: str) -> None:
        """See Target."""
        above, _, last = name.rpartition("/")
        with self._told(name):
            try:
                with self._folder(above) as folder:
                    os.unlink(last, dir_fd=folder)
                    os.fsync(folder)
            except FileNotFoundError:
                return

    @contextmanager
    def _folder(self, name: str, *, make: bool = False) -> Iterator[int]:
        """An open directory below the top, or the top."""
        fd = os.open(self.top, _DIRECTORY)
        try:
            for one in name.split("/") if name else ():
                try:
                    below = os.open(one, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                except FileNotFoundError:
                    if not make:
                        raise
                    with suppress(FileExistsError):
                        os.mkdir(one, 0o700, dir_fd=fd)
                    os.fsync(fd)
                    below = os.open(one, _DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _file(self, name: str) -> Iterator[tuple[int, int]]:
        """An open file, and its size."""
        above, _, last = name.rpartition("/")
        with self._folder(above) as folder:
            fd = os.open(last, _READ, dir_fd=folder)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            yield fd, found.st_size
        finally:
            os.close(fd)

    def _make(self, folder: Path) -> None:
        """Make a directory and have it be there after a power cut."""
        if folder.is_dir():
            return
        self._make(folder.parent)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if not folder.is_dir():
                raise
        sync_path(folder.parent)

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise NotFound(
                f"{self.top / name} does not exist", "check the path, and that the disk is mounted"
            ) from None
        except (FileExistsError, NotADirectoryError) as e:
            raise Refused(
                f"{self.top / name} is below a symlink, or what is no directory",
                "name a directory",
            ) from e
        except PermissionError as e:
            raise Refused(
                f"{self.top / name} may not be used: {e.strerror}",
                "give the box's user the right to",
            ) from e
        except OSError as e:
            if e.errno in FULL:
                raise Exhausted(
                    f"cannot write under {self.top}: {e.strerror}",
                    "free space there, or remove old backups: pachybox backup prune",
                ) from e
            if e.errno in (errno.ELOOP, errno.ENOTDIR):
                raise Refused(
                    f"{self.top / name} is behind a symlink, or is no plain file",
                    "find out who made it; a place of backups has plain files and directories only",
                ) from e
            raise NotReady(
                f"{self.top / name} cannot be used: {e.strerror or e}", "mend it, then try again"
            ) from e


def _sizes(folder: int, names: Sequence[str]) -> list[tuple[str, int]]:
    """The names and sizes of files in an open directory; without those that went meanwhile."""
    found: list[tuple[str, int]] = []
    for name in names:
        with suppress(FileNotFoundError):
            found.append((name, os.stat(name, dir_fd=folder, follow_symlinks=False).st_size))
    return found


class Bucket:
    """A prefix of a bucket. Credentials and endpoint are those of the environment."""

    def __init__(self, scheme: str, bucket: str, prefix: str) -> None:
        self._scheme, self._bucket = scheme, bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self.shown = f"{scheme}://{bucket}/{prefix}"
        self.near = False

    def put(self, name: str, data: Buffer) -> None:
        """See Target."""
        import obstore

        with self._told(name, "written"):
            obstore.put(self._store(), self._prefix + name, bytes(data), use_multipart=False)

    def get(self, name: str) -> bytes:
        """See Target."""
        import obstore

        with self._told(name, "read"):
            return bytes(obstore.get(self._store(), self._prefix + name).bytes())

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See Target."""
        import obstore

        if not length:
            return b""
        with self._told(name, "read"):
            found = obstore.get_range(
                self._store(), self._prefix + name, start=offset, length=length
            )
            return bytes(found)

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """See Target."""
        import obstore

        under = f"{self._prefix}{folder}".rstrip("/")
        with self._told(folder, "listed"):
            for some in obstore.list(self._store(), under or None):
                for meta in some:
                    yield meta["path"].removeprefix(self._prefix), meta["size"]

    def delete(self, name: str) -> None:
        """See Target."""
        import obstore

        try:
            with self._told(name, "removed"):
                obstore.delete(self._store(), self._prefix + name)
        except NotFound:
            return

    def _store(self) -> ObjectStore:
        return buckets.store(self._scheme, self._bucket, None, _TIMEOUT_S)

    @contextmanager
    def _told(self, name: str, verb: str) -> Iterator[None]:
        try:
            yield
        except (PachyboxError, GeneratorExit):
            raise
        except Exception as e:
            found = buckets.told(f"{self.shown}/{name}".rstrip("/"), e, verb)
            unlisted = verb == "listed" and "404 Not Found" in str(e)
            if unlisted or (verb == "written" and isinstance(found, NotFound)):
                found = NotFound(
                    f"there is no bucket {self._bucket}",
                    "make it first; one of another box is a branch: "
                    "pachybox create branch REPO@BRANCH",
                )
            raise found from e
