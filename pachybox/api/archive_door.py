"""The whole box over HTTP: ``/box/extract`` sends a tar, ``/box/restore`` takes one.

With ``?url=`` the archive goes to (comes from) an object store by the box itself.
"""

from __future__ import annotations

import json
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

    def extract_to(self, url: str) -> dict[str, Any]:
        """Write the whole box to an object of an object store."""
        ...

    def restore(self, body: Any) -> dict[str, Any]:
        """Fill the empty box from ``body`` (by ``readinto``); returns what there was."""
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
        if unknown := sorted(names.keys() - {"url"}):
            raise InvalidArgument(f"unknown parameter {unknown[0]!r}", "known: url")
        url = names.get("url", "")
        if request.path == "/box/extract":
            if not url:
                return self._extract(response)
            found = self._archives.extract_to(url)
        elif url:
            found = self._archives.restore_from(url, call)
        else:
            found = self._archives.restore(request.body)
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


class _Body:
    """An answer that begins with its first piece."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def write(self, data: Buffer) -> None:
        """One piece. Raises Gone when the client left."""
        if not self._response.started:
            self._response.begin(200, _TAR)
        self._response.write(data)
