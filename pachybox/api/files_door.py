"""Files over HTTP beside the table: bulk upload and download, in frames.

The box gives the content through ``Routes``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from pachybox.api.failures import as_error
from pachybox.api.frame_writer import FrameWriter
from pachybox.api.frames import FrameReader, Op
from pachybox.api.http import Request
from pachybox.api.response import JSON, Response
from pachybox.api.table import Call
from pachybox.api.transport import Gone
from pachybox.errors import InvalidArgument, PachyboxError


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes of an open file; ``close`` is called when they were sent."""

    fd: int
    offset: int
    length: int
    close: Callable[[], None]


class Routes(Protocol):
    """What the box offers to this door. Any PachyboxError becomes the answer."""

    def put(
        self, project: str, repo: str, ref: str, description: str, ops: Iterator[Op], call: Call
    ) -> dict[str, Any]:
        """Apply one upload as one commit and return it in CommitInfo's JSON form.

        ``ops`` is to be read to its end before anything is committed: an exception out
        of it (a malformed or truncated body, a client gone) means that nothing may be seen.
        """
        ...

    def put_fileset(self, ops: Iterator[Op], call: Call) -> str:
        """Keep one upload as a fileset and return its id."""
        ...

    def get(
        self, project: str, repo: str, ref: str, path: str, *, glob: bool, joined: bool,
        offset: int, limit: int | None, out: FrameWriter, call: Call,
    ) -> None:  # fmt: skip
        """Write the file, the directory's files or all the glob matches to ``out``.

        ``offset`` skips bytes of a single file, ``limit`` bounds what follows; with ``joined``
        the header of a split directory comes once, before the first of its files. ``out`` is
        ended by the door.
        """
        ...


class FilesDoor:
    """``/files/put`` and ``/files/get``."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def put(self, request: Request, response: Response, call: Call) -> None:
        """Take one upload; answers ``{"commit": ..., "files": n, "bytes": n}``, or with
        ``fileset=1``, which names no commit, ``{"fileset": ID, ...}``."""
        names = _parameters(request, {"project", "repo", "ref", "description", "fileset"})
        waiting = response.wire.fds
        frames = FrameReader(request.body, waiting.popleft, os.close)
        ops = frames.ops()
        made: dict[str, Any] = {}
        try:
            if names.get("fileset") == "1":
                made["fileset"] = self._routes.put_fileset(ops, call)
            else:
                made["commit"] = self._routes.put(
                    names.get("project") or "default",
                    _needed(names, "repo"),
                    _needed(names, "ref"),
                    names.get("description", ""),
                    ops,
                    call,
                )
        finally:
            ops.close()  # type: ignore[attr-defined]  # it is a generator
        answer = {**made, "files": frames.files, "bytes": frames.bytes}
        response.send(200, JSON, json.dumps(answer, ensure_ascii=False).encode())

    def get(self, request: Request, response: Response, call: Call) -> PachyboxError | None:
        """Send files as frames. Returns the error which ended a stream that had begun."""
        names = _parameters(
            request,
            {"project", "repo", "ref", "path", "glob", "joined", "fds", "offset", "limit"},
        )
        out = FrameWriter(response, fds=request.local and names.get("fds") == "1")
        offset, limit = _bytes(names, "offset"), _bytes(names, "limit")
        try:
            self._routes.get(
                names.get("project") or "default",
                _needed(names, "repo"),
                _needed(names, "ref"),
                names.get("path") or "/",
                glob=names.get("glob") == "1",
                joined=names.get("joined") == "1",
                offset=offset or 0,
                limit=limit,
                out=out,
                call=call,
            )
        except Gone:
            raise
        except Exception as e:
            if not out.started:
                raise
            error = as_error(e, "GET /files/get")
            out.error(error)
            return error
        out.end()
        return None


def _parameters(request: Request, known: set[str]) -> dict[str, str]:
    found = request.parameters()
    if unknown := sorted(found.keys() - known):
        raise InvalidArgument(
            f"unknown parameter {unknown[0]!r}", f"known: {', '.join(sorted(known))}"
        )
    return found


def _bytes(names: dict[str, str], name: str) -> int | None:
    text = names.get(name)
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise InvalidArgument(f"{name} {text!r} is not a number of bytes")
    return int(text)


def _needed(names: dict[str, str], name: str) -> str:
    if not names.get(name):
        raise InvalidArgument(f"parameter {name!r} is missing")
    return names[name]
