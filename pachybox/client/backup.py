"""The whole box to an archive and back."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Protocol

from pachybox.client.base import Base
from pachybox.client.errors import from_json, lost
from pachybox.client.transport import target
from pachybox.client.values import Json

_ZEROS = bytes(1024)  # what a tar ends with
_MARK = b"\npachybox-error: "
_TAIL = 16 << 10
_CHUNK = 1 << 20

Progress = Callable[[int], None]
"""Called with the bytes so far."""


class Out(Protocol):
    """What an archive is written to."""

    def write(self, data: bytes, /) -> object: ...


class In(Protocol):
    """What an archive is read from."""

    def read(self, size: int, /) -> bytes: ...


class Backup(Base):
    """Methods on the whole box."""

    def extract(self, out: Out, progress: Progress | None = None) -> int:
        """Write the whole box to ``out``; returns the bytes. What was written is whole only when
        this returns. Raises the box's error, or Unreachable."""
        done, tail = 0, b""
        with self.transport.request("POST", "/box/extract", idempotent=False) as response:
            response.checked()
            while data := response.read(_CHUNK):
                out.write(data)
                done += len(data)
                tail = data[-_TAIL:] if len(data) >= _TAIL else (tail + data)[-_TAIL:]
                if progress:
                    progress(done)
        if not tail.endswith(_ZEROS):
            _, mark, error = tail.rpartition(_MARK)
            raise from_json(json.loads(error)) if mark else lost(self.address, "/box/extract")
        return done

    def extract_file(self, fd: int) -> Json:
        """Write the whole box into the open file ``fd``, at its position: blobs, objects, bytes,
        records. On this machine the box writes it, without a copy on the way."""
        if self.transport.address.local:
            return self._handed("/box/extract", fd)
        self.extract(_Raw(fd))
        return {}

    def extract_to(self, url: str) -> Json:
        """Have the box write itself to an object of an object store: blobs, objects, bytes,
        records."""
        return self._answered("/box/extract", url)

    def restore(self, source: In, progress: Progress | None = None) -> Json:
        """Fill the empty box from an archive: blobs, objects, bytes, records."""
        upload = self.transport.upload("/box/restore", {"Content-Type": "application/x-tar"})
        done = 0
        try:
            while data := source.read(_CHUNK):
                upload.send([data])
                done += len(data)
                if progress:
                    progress(done)
            return upload.finish()
        finally:
            upload.abort()

    def restore_file(self, fd: int) -> Json:
        """Fill the empty box from the open file ``fd``, from its position on."""
        if self.transport.address.local:
            return self._handed("/box/restore", fd)
        return self.restore(_Raw(fd))

    def restore_from(self, url: str) -> Json:
        """Fill the empty box from the archive that ``url`` names."""
        return self._answered("/box/restore", url)

    def _handed(self, path: str, fd: int) -> Json:
        upload = self.transport.upload(f"{path}?fd=1", {"Content-Type": "application/x-tar"})
        try:
            upload.send([b"."], [fd])
            return upload.finish()
        finally:
            upload.abort()

    def _answered(self, path: str, url: str) -> Json:
        where = target(path, {"url": url})
        with self.transport.request("POST", where, idempotent=False) as response:
            answer = json.loads(response.checked().body())
        assert isinstance(answer, dict)
        return answer


class _Raw:
    """A descriptor as a source and a sink."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def read(self, size: int) -> bytes:
        return os.read(self._fd, size)
