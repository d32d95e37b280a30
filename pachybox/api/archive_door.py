"""The whole box over HTTP: ``/box/extract`` sends a tar, ``/box/restore`` takes one.

With ``?url=`` the box itself writes to (reads from) an object store, with ``?fd=1`` an open file
that comes with the request over the socket.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pachybox.api.failures import as_error
from pachybox.api.http import Request
from pachybox.api.response import JSON, Response, error_json
from pachybox.api.table import Call
from pachybox.api.transport import Buffer, Gone
from pachybox.errors import InvalidArgument, PachyboxError

PATHS = frozenset({"/box/extract", "/box/restore"})
ERROR_MARK = b"\npachybox-error: "
"""In a body that cannot be finished, before the error's JSON: a tar ends with zeros."""

_TAR = "application/x-tar"


class Output(Protocol):
    """Where an archive goes."""

    def write(self, data: Buffer) -> None: ...


class Archives(Protocol):
    """What the box offers to this door. Any PachyboxError becomes the answer."""

    def extract(self, out: Output) -> dict[str, Any]:
        """Write the whole box to ``out``; returns what there was."""
        ...

    def extract_into(self, fd: int, call: Call) -> dict[str, Any]:
        """Write the whole box into an open file."""
        ...

    def extract_to(self, url: str) -> dict[str, Any]:
        """Write the whole box to an object of an object store."""
        ...

    def restore(self, readinto: Callable[[memoryview], int]) -> dict[str, Any]:
        """Fill the empty box from what ``readinto`` delivers; returns what there was."""
        ...

    def restore_from(self, url: str, call: Call) -> dict[str, Any]:
        """Fill the empty box from what ``url`` names."""
        ...


class ArchiveDoor:
    """Serves ``PATHS``."""

    def __init__(self, archives: Archives) -> None:
        self._archives = archives

    def serve(self, request: Request, response: Response, call: Call) -> PachyboxError | None:
        """Answer one request. Returns the error which ended a stream that had begun."""
        names = request.parameters()
        if unknown := sorted(names.keys() - {"url", "fd"}):
            raise InvalidArgument(f"unknown parameter {unknown[0]!r}", "known: url, fd")
        extract, url = request.path == "/box/extract", names.get("url", "")
        box = self._archives
        if names.get("fd") == "1":
            with _descriptor(request, response) as fd:
                found = box.extract_into(fd, call) if extract else box.restore(_reader(fd))
        elif url:
            found = box.extract_to(url) if extract else box.restore_from(url, call)
        elif extract:
            return self._extract(response)
        else:
            found = box.restore(request.body.readinto)
        response.send(200, JSON, json.dumps(found).encode())
        return None

    def _extract(self, response: Response) -> PachyboxError | None:
        out = _Body(response)
        try:
            self._archives.extract(out)
        except Gone:
            raise
        except Exception as e:
            if not response.started:
                raise
            error = as_error(e, "POST /box/extract")
            response.write(ERROR_MARK + error_json(error).encode())
            response.end()
            return error
        response.end()
        return None


@contextmanager
def _descriptor(request: Request, response: Response) -> Iterator[int]:
    """The open file that came with the request's body, of a caller on this machine."""
    request.body.drain()
    if not request.local or not response.wire.fds:
        raise InvalidArgument("fd=1 needs a descriptor", "send one by the box's socket")
    fd = response.wire.fds.popleft()
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InvalidArgument("the descriptor is no file", "send the archive in the body")
        yield fd
    finally:
        os.close(fd)


def _reader(fd: int) -> Callable[[memoryview], int]:
    return lambda view: os.readv(fd, [view])


class _Body:
    """An answer that begins with its first piece."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def write(self, data: Buffer) -> None:
        """One piece. Raises Gone when the client left."""
        if not self._response.started:
            self._response.begin(200, _TAR)
        self._response.write(data)
