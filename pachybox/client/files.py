"""Files: put, get, list, compare, copy, delete."""

# names are given to the kernel as they are
# ruff: noqa: PTH105, PTH108, PTH110, PTH113
from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any, BinaryIO

from pachybox.client.base import BOX, PFS, Base, Stream
from pachybox.client.download import ToDirectory, ToStream, receive
from pachybox.client.frames import Sink
from pachybox.client.names import absolute, commit_of, file_message, repo_message, split_file
from pachybox.client.progress import Progress, watched
from pachybox.client.sources import Pieces, Source, view_of
from pachybox.client.transport import Response
from pachybox.client.transport import target as url_target
from pachybox.client.upload import Put
from pachybox.client.values import FileChange, FileInfo, PutResult
from pachybox.errors import InvalidArgument


class Writing(Base):
    """Methods that change files. A file is written ``repo@ref:path``.

    A put addressed to a branch makes one commit; addressed to an open commit it writes there.
    """

    def put(self, target: str, *, description: str = "", progress: Progress | None = None) -> Put:
        """Begin an upload to ``repo@ref``: a ``with`` block whose content is one commit."""
        repo, ref, _path = split_file(target)
        query = {**self._place(repo, ref), "description": description}
        return Put(self.transport, query, progress)

    def put_file(
        self,
        target: str,
        source: Source,
        *,
        append: bool = False,
        progress: Progress | bool | None = None,
    ) -> PutResult:
        """One file from bytes, a file's name, anything with ``read``, or pieces one by one.

        Arrays count as their bytes; text that is read or iterated over is put as UTF-8.
        """
        path = absolute(split_file(target)[2])
        with watched(progress) as watch, self.put(target, progress=watch) as put:
            if isinstance(source, str | os.PathLike):
                put.file(path, os.fspath(source), append=append)
            elif (data := view_of(source)) is not None:
                put.data(path, data, append=append)
            else:
                put.stream(path, Pieces(source), append=append)
        return _result(put)

    def put_files(
        self,
        target: str,
        directory: str | os.PathLike[str],
        *,
        append: bool = False,
        keep: Callable[[str], bool] | None = None,
        progress: Progress | bool | None = None,
    ) -> PutResult:
        """Everything below ``directory`` to below the target's path, as one commit.

        ``keep`` decides by relative path whether a file is taken. Links to files are followed;
        other links and special files raise InvalidArgument, and nothing is committed.
        ``progress`` True shows a line on standard error.
        """
        with watched(progress) as watch, self.put(target, progress=watch) as put:
            put.directory(
                absolute(split_file(target)[2]), os.fspath(directory), append=append, keep=keep
            )
        return _result(put)

    def put_url(
        self, target: str, url: str, *, recursive: bool = False, append: bool = False
    ) -> PutResult:
        """A file the box fetches from ``url``; ``recursive`` takes all under a prefix."""
        with self.put(target) as put:
            put.url(absolute(split_file(target)[2]), url, recursive=recursive, append=append)
        return _result(put)

    def copy_file(self, source: str, target: str, *, append: bool = False) -> PutResult:
        """Copy a file or directory; no bytes move."""
        repo, ref, path = split_file(source)
        what = {**self._place(repo, ref), "path": absolute(path)}
        with self.put(target) as put:
            put.copy(absolute(split_file(target)[2]), what, append=append)
        return _result(put)

    def delete_file(self, file: str) -> PutResult:
        """Remove a file, a directory with all below it, or what a glob matches."""
        with self.put(file) as put:
            put.delete(absolute(split_file(file)[2]))
        return _result(put)

    def _place(self, repo: str, ref: str) -> dict[str, str]:
        message = repo_message(repo, self.project)
        kind = "" if message["type"] == "user" else f".{message['type']}"
        return {
            "project": message["project"]["name"],
            "repo": message["name"] + kind,
            "ref": ref,
        }


@contextmanager
def _replacing(name: str) -> Iterator[BinaryIO]:
    """A stream whose content becomes file ``name`` once the block has ended well.

    A device or pipe of that name is written to as it is, a symbolic link is followed.
    """
    name = os.path.realpath(name)
    if os.path.exists(name) and not os.path.isfile(name):
        with open(name, "wb") as into:
            yield into
        return
    temporary = f"{name}.part-{os.getpid()}"
    try:
        try:
            file = open(temporary, "wb")  # noqa: SIM115  # closed below
        except OSError as e:
            e.filename = name
            raise
        with file as into:
            yield into
        os.replace(temporary, name)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise


def _result(put: Put) -> PutResult:
    assert put.result is not None  # set when the block ended without an error
    return put.result


class Reading(Base):
    """Methods that read files. A file is written ``repo@ref:path``."""

    def get_file(self, file: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        """One file's content from ``offset`` on, ``limit`` bytes of it at most."""

        def read() -> bytes:
            into = io.BytesIO()
            with self._download(file, offset=offset, limit=limit, descriptors=True) as response:
                receive(response, ToStream(into, absolute(split_file(file)[2])), None)
            return into.getvalue()

        return self._patiently(read)

    def open(
        self,
        file: str,
        mode: str = "r",
        *,
        encoding: str = "utf-8",
        newline: str | None = None,
    ) -> IO[Any]:
        """A file as Python's ``open`` gives it: ``r`` and ``rb`` to read, seekable, at the commit
        that was there at first; ``w`` and ``wb`` to write, put as one commit when it is closed."""
        from pachybox.client import reader

        if mode in ("r", "rt"):
            return reader.open_text(reader.RawFile(self, file), encoding, newline)
        if mode == "rb":
            return io.BufferedReader(reader.RawFile(self, file), reader.READ_AHEAD)
        if mode in ("w", "wt", "wb") and isinstance(self, Writing):
            new = reader.NewFile(self, file)
            if mode == "wb":
                return new
            return reader.NewText(new, encoding=encoding, newline=newline)
        raise InvalidArgument(f"mode {mode!r} is not known", "use r, rb, w or wb")

    def archive_url(self, *files: str) -> str:
        """Where a browser gets ``files`` (``repo@ref:path``: files, directories, globs) as a zip.

        It holds some hundred names; take directories and globs where there are more. Over the
        socket the address has no host: only a box that listens on a port has one.
        """
        from pachybox.client.archive import address

        names = []
        for file in files:
            message = file_message(file, self.project)
            commit = message["commit"]
            ref = commit.get("id") or commit["branch"]["name"]
            repo = commit["repo"]
            names.append(f"{repo['project']['name']}/{repo['name']}@{ref}:{message['path']}")
        return ("" if self.address.local else str(self.address)) + address(names)

    def save_file(
        self,
        file: str,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        offset: int = 0,
        glob: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """One file's content into a file or a binary stream; return the bytes written.

        With ``glob`` the path is a pattern, and the content of all files it matches is joined,
        the header of a split directory once. A file of that name is replaced once all has arrived.
        """
        path = absolute(split_file(file)[2])
        if isinstance(target, str | os.PathLike):
            with _replacing(os.fspath(target)) as into:
                return self.save_file(file, into, offset=offset, glob=glob, progress=progress)
        with self._download(
            file, offset=offset, glob=glob, joined=glob, descriptors=True
        ) as response:
            sink: Sink = ToStream(target, "" if glob else path)
            return receive(response, sink, progress)[1]

    def get_files(
        self,
        source: str,
        directory: str | os.PathLike[str],
        *,
        glob: bool = False,
        progress: Progress | bool | None = None,
    ) -> tuple[int, int]:
        """A directory with all below it, into ``directory``; return (files, bytes).

        Names are relative to the source's path; with ``glob`` it is a pattern, and names are
        relative to the last directory before its first special character.
        """
        path = absolute(split_file(source)[2])
        base = path
        if glob:
            at = min((path.find(c) for c in "*?[]{}!()@+^\\|" if c in path), default=len(path))
            base = path[: path.rfind("/", 0, at) + 1]
        with (
            watched(progress) as watch,
            self._download(source, glob=glob, descriptors=True) as response,
            ToDirectory(os.fspath(directory), base) as sink,
        ):
            return receive(response, sink, watch)

    def _download(
        self,
        file: str,
        *,
        offset: int = 0,
        glob: bool = False,
        joined: bool = False,
        descriptors: bool = False,
        limit: int | None = None,
    ) -> Response:
        repo, ref, path = split_file(file)
        message = repo_message(repo, self.project)
        kind = "" if message["type"] == "user" else f".{message['type']}"
        query = {
            "project": message["project"]["name"],
            "repo": message["name"] + kind,
            "ref": ref,
            "path": absolute(path),
            "glob": "1" if glob else "",
            "joined": "1" if joined else "",
            "fds": "1" if descriptors and self.address.local else "",
            "offset": str(offset) if offset else "",
            "limit": "" if limit is None else str(limit),
        }
        where = url_target("/files/get", query)
        response = self._patiently(lambda: self.transport.request("GET", where))
        try:
            return response.checked()
        except BaseException:
            response.close()
            raise

    def inspect_file(self, file: str) -> FileInfo:
        """One file or directory."""
        return FileInfo.from_json(
            self.call(PFS, "InspectFile", file=file_message(file, self.project))
        )

    def list_file(
        self, directory: str, *, number: int | None = None, reverse: bool = False
    ) -> Stream[FileInfo]:
        """What is in a directory, by name."""
        return self.stream(
            PFS,
            "ListFile",
            file=file_message(directory, self.project),
            number=number,
            reverse=reverse or None,
        ).map(FileInfo.from_json)

    def walk_file(self, directory: str) -> Stream[FileInfo]:
        """Everything below a directory, directories too, ordered by path."""
        return self.stream(PFS, "WalkFile", file=file_message(directory, self.project)).map(
            FileInfo.from_json
        )

    def glob_file(self, pattern: str) -> Stream[FileInfo]:
        """Files and directories whose path matches ``repo@ref:pattern``."""
        repo, ref, glob = split_file(pattern)
        return self.stream(
            PFS,
            "GlobFile",
            commit=commit_of(repo_message(repo, self.project), ref),
            pattern=glob if glob.startswith("/") else f"/{glob}",
        ).map(FileInfo.from_json)

    def diff_file(
        self, new: str, old: str | None = None, *, shallow: bool = False
    ) -> Stream[FileChange]:
        """What differs between two paths; ``old`` defaults to the same path one commit before."""
        return self.stream(
            BOX,
            "DiffFile",
            new_file=file_message(new, self.project),
            old_file=file_message(old, self.project) if old else None,
            shallow=shallow or None,
        ).map(FileChange.from_json)

    def list_history(self, file: str, *, depth: int = -1) -> Stream[FileInfo]:
        """The distinct versions of a path, newest first; at most ``depth`` (-1: all)."""
        repo, ref, path = split_file(file)
        message = repo_message(repo, self.project)
        return self.stream(
            BOX,
            "ListHistory",
            project=message["project"]["name"],
            repo=message["name"],
            ref=ref,
            path=absolute(path),
            depth=depth,
        ).map(FileInfo.from_json)
