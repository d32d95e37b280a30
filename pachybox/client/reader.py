"""A file of the box as a Python file: seekable and buffered, at one commit."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pachybox.client.names import repo_message, split_file
from pachybox.client.transport import escaped
from pachybox.errors import InvalidArgument

if TYPE_CHECKING:
    from pachybox.client.files import Reading, Writing

READ_AHEAD = 1 << 20


class RawFile(io.RawIOBase):
    """The unbuffered file; ``open_file`` puts a buffer on top.

    The commit is looked up once, so what is read is of one state even when the branch moves.
    A read that loses its connection is sent again.
    """

    def __init__(self, client: Reading, file: str) -> None:
        info = client.inspect_file(file)
        if info.is_dir:
            raise InvalidArgument(f"{info.path} is a directory", "open a file in it")
        repo, _ref, _path = split_file(file)
        message = repo_message(repo, client.project)
        kind = "" if message["type"] == "user" else f".{message['type']}"
        parts = [message["project"]["name"], message["name"] + kind, info.commit]
        path = "/".join(map(escaped, [*parts, *info.path.split("/")[1:]]))
        self.name = info.path
        self.size = info.size_bytes
        self.commit = info.commit
        self._client = client
        self._target = f"/pfs/{path}"
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; from the start, from here, or from the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"cannot seek to {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` as far as the file goes; how many bytes."""
        view = memoryview(buffer).cast("B")
        count = min(len(view), self.size - self._at)
        if count <= 0:
            return 0
        view = view[:count]
        wanted = {"Range": f"bytes={self._at}-{self._at + count - 1}"}

        def read() -> None:
            request = self._client.transport.request
            with request("GET", self._target, headers=wanted) as answer:
                answer.checked().read_into(view)

        self._client._patiently(read)
        self._at += count
        return count


class NewFile(io.BufferedRandom):
    """A file to write: kept on disk here, and put as one commit when it is closed well."""

    def __init__(self, client: Writing, file: str) -> None:
        import tempfile

        self._put: tuple[Writing, str] | None = (client, file)
        super().__init__(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115  # closed with this

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self._put = None
        self.close()

    def close(self) -> None:
        """Put what was written, unless the ``with`` block failed."""
        put, self._put = self._put, None
        try:
            if put is not None:
                self.flush()
                self.seek(0)
                put[0].put_file(put[1], self)
        finally:
            super().close()


class NewText(io.TextIOWrapper):
    """``NewFile`` for text."""

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            self.buffer._put = None  # type: ignore[attr-defined]  # it is a NewFile
        self.close()


def open_text(raw: io.RawIOBase, encoding: str, newline: str | None) -> io.TextIOWrapper:
    """``raw`` read as text."""
    return io.TextIOWrapper(io.BufferedReader(raw, READ_AHEAD), encoding=encoding, newline=newline)
