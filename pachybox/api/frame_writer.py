"""Bulk download: files into the frames of one answer (the form is that of ``frames``)."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import Any

from pachybox.api.frames import MAX_DATA_BYTES
from pachybox.api.response import Response, error_object
from pachybox.api.transport import Buffer
from pachybox.errors import PachyboxError

CONTENT_TYPE = "application/x-pachybox-frames"
_BATCH_BYTES = 1 << 20
_BATCH_OPS = 8192
_LENGTH = struct.Struct("<I")
_END = _LENGTH.pack(0)


class FrameWriter:
    """Writes downloaded files as the frames of one answer.

    ``fds`` tells whether the client takes large objects as descriptors (``object``);
    otherwise their bytes go by ``put`` or ``put_file``. Raises Gone when the client left.
    """

    def __init__(self, response: Response, *, fds: bool) -> None:
        self.fds = fds
        self._response = response
        self._ops: list[list[Any]] = []
        self._data: list[Buffer] = []
        self._size = 0

    @property
    def started(self) -> bool:
        """Whether any file was written."""
        return self._response.started or bool(self._ops)

    def put_small(self, files: Iterable[tuple[str, Buffer]]) -> None:
        """Whole small files."""
        for path, content in files:
            size = len(content)
            if size > _BATCH_BYTES:
                self.put(path, size, [content])
                continue
            self._ops.append(["p", path, size])
            self._data.append(content)
            self._size += size
            if self._size >= _BATCH_BYTES or len(self._ops) >= _BATCH_OPS:
                self.flush()

    def put(self, path: str, size: int, chunks: Iterable[Buffer]) -> None:
        """One file of ``size`` bytes in pieces of any length.

        Raises ValueError when the pieces do not make up ``size``.
        """
        head: list[Any] = ["p", path]
        written = 0
        for chunk in chunks:
            view = memoryview(chunk)
            for start in range(0, len(view), MAX_DATA_BYTES):
                piece = view[start : start + MAX_DATA_BYTES]
                if self._size + len(piece) > MAX_DATA_BYTES:
                    self.flush()
                self._ops.append([*head, len(piece)])
                self._data.append(bytes(piece))  # the chunk's buffer may be used again
                self._size += len(piece)
                written += len(piece)
                head = ["m"]
                if self._size >= _BATCH_BYTES:
                    self.flush()
        if head[0] == "p":
            self._ops.append([*head, 0])
        if written != size:
            raise ValueError(f"{path} has {size} bytes, {written} were given")

    def put_file(self, path: str, size: int, fd: int, offset: int = 0) -> None:
        """One file whose bytes stand in an open file, sent from there by the kernel."""
        head: list[Any] = ["p", path]
        end = offset + size
        while True:
            count = min(end - offset, MAX_DATA_BYTES)
            self._ops.append([*head, count])
            self.flush()
            self._response.write_file(fd, offset, count)
            offset += count
            head = ["m"]
            if offset == end:
                return

    def object(self, path: str, size: int, fd: int) -> None:
        """One file as a descriptor; the caller may close it afterwards. Needs ``fds``."""
        self._ops.append(["o", path, size])
        self.flush((fd,))

    def directory(self, path: str) -> None:
        """A directory (files make their own; this is for empty ones and for order)."""
        self._ops.append(["d", path])

    def flush(self, fds: tuple[int, ...] = ()) -> None:
        """Send what is held as one frame."""
        if not self._ops:
            return
        header = json.dumps(self._ops, ensure_ascii=False, separators=(",", ":")).encode()
        frame = b"".join((_LENGTH.pack(len(header)), header, *self._data))
        self._ops, self._data, self._size = [], [], 0
        self._write(frame, fds)

    def _write(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        if not self._response.started:
            self._response.begin(200, CONTENT_TYPE)
        self._response.write(data, fds)

    def end(self) -> None:
        """End the stream."""
        self.flush()
        self._write(_END)
        self._response.end()

    def error(self, error: PachyboxError) -> None:
        """End the stream with an error; files written so far may be incomplete."""
        self._ops.append(["e", error_object(error)])
        self.end()
