"""Where backups lie: a directory, or a prefix of a bucket.

A target holds files by name (``packs/ab/abcd...``). A file appears whole or not at all, is durable
when ``put`` returns, and is never changed; that is all that the rest relies on.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pachybox.errors import Exhausted, InvalidArgument, NotFound, NotReady, PachyboxError, Refused
from pachybox.pfs import buckets
from pachybox.store.disk import FULL, pread_all, remove, sync_path, write_all

if TYPE_CHECKING:
    from obstore.store import ObjectStore

Buffer = bytes | memoryview

TMP = "tmp"
_TIMEOUT_S = 60.0
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
    """A directory. Files are written beside, synced, and renamed into their place."""

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
        path = self.top / name
        beside = self.top / TMP / f"{os.getpid()}-{secrets.token_hex(8)}"
        with self._told(name):
            self._make(beside.parent)
            self._make(path.parent)
            fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                try:
                    write_all(fd, data)
                    os.fsync(fd)
                finally:
                    os.close(fd)
                beside.rename(path)
            except BaseException:
                remove(beside)
                raise
            sync_path(path.parent)

    def get(self, name: str) -> bytes:
        """See Target."""
        with self._told(name):
            return (self.top / name).read_bytes()

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """See Target."""
        with self._told(name):
            fd = os.open(self.top / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return pread_all(fd, length, offset)
            finally:
                os.close(fd)

    def list(self, folder: str) -> Iterator[tuple[str, int]]:
        """See Target."""
        with self._told(folder or "."):
            stack = [self.top / folder if folder else self.top]
            while stack:
                try:
                    entries = list(os.scandir(stack.pop()))
                except FileNotFoundError:
                    continue
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(Path(entry.path))
                        continue
                    try:
                        size = entry.stat(follow_symlinks=False).st_size
                    except FileNotFoundError:  # renamed or removed meanwhile
                        continue
                    yield str(Path(entry.path).relative_to(self.top)), size

    def delete(self, name: str) -> None:
        """See Target."""
        path = self.top / name
        with self._told(name):
            try:
                path.unlink()
            except FileNotFoundError:
                return
            sync_path(path.parent)

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
                f"{self.top / name} is below what is no directory", "name a directory"
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
            raise NotReady(
                f"{self.top / name} cannot be used: {e.strerror or e}", "mend it, then try again"
            ) from e


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
            if verb == "written" and isinstance(found, NotFound):
                found = NotFound(
                    f"there is no bucket {self._bucket}",
                    "make it first; one of another box is a branch: "
                    "pachybox create branch REPO@BRANCH",
                )
            raise found from e
