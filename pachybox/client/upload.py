"""Uploads: from what a caller names (bytes, paths, streams, URLs) to one atomic commit.

``walk`` finds the files of a directory; ``Put`` collects one upload and is what
``Client.put`` lends to its caller.
"""

# pathlib costs 8 us a file and 8 ms at start
# ruff: noqa: PTH114, PTH115, PTH116
from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType

from pachybox.client.connection import Buffer
from pachybox.client.frames import FrameWriter, Readable
from pachybox.client.progress import Progress
from pachybox.client.transport import Transport, target
from pachybox.client.values import PutResult
from pachybox.errors import CHECK_FILE, InvalidArgument

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def walk(root: str) -> Iterator[tuple[str, str]]:
    """Every file below directory ``root``: (path from root, name to open), ordered by name.

    A symbolic link to a file counts as that file. A broken link, a link to a directory, a
    named pipe, a socket or a device raises InvalidArgument naming it, as does a directory
    that cannot be read: nothing is left out in silence.
    """
    stack = [(os.fspath(root), "")]
    while stack:
        folder, prefix = stack.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=_name)
        except OSError as e:
            raise InvalidArgument(f"cannot read {folder}: {e.strerror or e}", CHECK_FILE) from e
        below = []
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                yield prefix + entry.name, entry.path
            elif entry.is_dir(follow_symlinks=False):
                below.append((entry.path, f"{prefix}{entry.name}/"))
            else:
                check_regular(entry.path)
                yield prefix + entry.name, entry.path
        stack.extend(reversed(below))


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name


def check_regular(name: str, *, link: bool = True) -> None:
    """Raise InvalidArgument unless ``name`` is a file or a symbolic link to one."""
    try:
        mode = os.stat(name).st_mode
    except OSError as e:
        if os.path.islink(name):
            raise InvalidArgument(
                f"{name} is a broken symbolic link to {os.readlink(name)}", "remove or mend it"
            ) from None
        raise InvalidArgument(f"cannot read {name}: {e.strerror or e}", CHECK_FILE) from None
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        if link and os.path.islink(name):
            raise InvalidArgument(
                f"{name} is a symbolic link to a directory", "links to directories are not followed"
            )
        raise InvalidArgument(f"{name} is a directory", "add -r to put what is in it")
    kind = _KINDS.get(stat.S_IFMT(mode), "a special file")
    raise InvalidArgument(f"{name} is {kind}, not a file", "put files and directories of files")


class Put:
    """One upload under way: what is added becomes one atomic commit when the block ends.

    Paths are paths in the repo. Leaving the block by an exception commits nothing. ``result``
    (of an upload to a fileset ``fileset``) is set when the block has ended well.
    """

    def __init__(
        self, transport: Transport, query: Mapping[str, str], progress: Progress | None = None
    ) -> None:
        self._progress = progress
        self._paths: set[str] | None = None
        self._upload = transport.upload(
            target("/files/put", query), {"Content-Type": "application/x-pachybox-frames"}
        )
        self._frames = FrameWriter(self._send, descriptors=transport.address.local)
        self.result: PutResult | None = None
        self.fileset = ""  # the id of the fileset that was made, when that was asked for

    def _send(self, buffers: Sequence[Buffer], fds: Sequence[int]) -> None:
        self._upload.send(buffers, fds)
        if self._progress:
            self._progress(self._frames.bytes, self._frames.files)

    def __enter__(self) -> Put:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._frames.end()
                answer = self._upload.finish()
                self.fileset = answer.get("fileset", "")
                if not self.fileset:
                    self.result = PutResult.from_json(answer)
        finally:
            self._frames.close()
            self._upload.abort()

    def data(self, path: str, data: bytes | memoryview, *, append: bool = False) -> None:
        """The content of ``path`` from memory."""
        self._frames.put_data(path, data, append=append)

    def file(self, path: str, name: str, *, append: bool = False) -> None:
        """The content of ``path`` from a file of this machine (or a link to one)."""
        check_regular(name)
        self._frames.put_file(path, name, append=append)

    def open_file(self, path: str, fd: int, name: str) -> None:
        """The content of ``path`` from a regular file that is open at its beginning, and is
        closed here; errors call it ``name``."""
        self._frames.put_open(path, fd, name)

    def stream(self, path: str, stream: Readable, *, append: bool = False) -> None:
        """The content of ``path`` from anything with ``read``, to its end."""
        self._frames.put_stream(path, stream, append=append)

    def directory(
        self,
        path: str,
        name: str,
        *,
        append: bool = False,
        keep: Callable[[str], bool] | None = None,
    ) -> None:
        """Everything below directory ``name`` to below ``path``; see ``walk``.

        ``keep`` decides by the path from ``name`` whether a file is taken.
        """
        base, put = path.rstrip("/") + "/", self._frames.put_file
        for relative, source in walk(name):
            if keep is None or keep(relative):
                put(base + relative, source, append=append)

    def split(self, path: str, stream: Readable, how: Mapping[str, object]) -> None:
        """The records of ``stream`` as the files of directory ``path``.

        ``how``: split (line, json, sql or csv), target_file_datums, target_file_bytes,
        header_records, append.
        """
        self._frames.split(path, stream, how)

    def url(self, path: str, url: str, *, recursive: bool = False, append: bool = False) -> None:
        """Have the box fetch ``url`` into ``path``."""
        self._frames.url(path, url, recursive=recursive, append=append)

    def delete(self, path: str) -> None:
        """Remove ``path``: a file, a directory with all below it, or what a glob matches."""
        self._frames.delete(path)

    def copy(self, path: str, source: Mapping[str, str], *, append: bool = False) -> None:
        """Copy to ``path`` from ``source``: project, repo, ref and path of a file or directory."""
        what = {f"src_{key}": value for key, value in source.items()}
        self._frames.copy({**what, "path": path, "append": append})
