"""Files over HTTP beside the table: bulk upload and download, and one file by its URL.

The box gives the content through ``Routes``; this part speaks HTTP: frames, ranges, entity
tags, content types.
"""

from __future__ import annotations

import json
import mimetypes
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from pachybox.api.failures import as_error
from pachybox.api.frame_writer import FrameWriter
from pachybox.api.frames import FrameReader, Op
from pachybox.api.http import Request
from pachybox.api.response import JSON, Response
from pachybox.api.table import Call
from pachybox.api.transport import Gone
from pachybox.errors import InvalidArgument, PachyboxError

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_TYPES = mimetypes.MimeTypes()  # built-in types only: the same on every machine


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes of an open file; ``close`` is called when they were sent."""

    fd: int
    offset: int
    length: int
    close: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Download:
    """One file to be sent. ``etag`` is its content's identity, without quotes.

    ``read(offset, length)`` gives that range as pieces: bytes, or FileParts that the
    kernel sends.
    """

    size: int
    etag: str
    read: Callable[[int, int], Iterator[bytes | memoryview | FilePart]]
    content_type: str = ""


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

    def get(
        self, project: str, repo: str, ref: str, path: str, *, glob: bool, joined: bool,
        offset: int, out: FrameWriter, call: Call,
    ) -> None:  # fmt: skip
        """Write the file, the directory's files or all the glob matches to ``out``.

        ``offset`` skips bytes of a single file; with ``joined`` the header of a split directory
        comes once, before the first of its files. ``out`` is ended by the door.
        """
        ...

    def download(self, project: str, repo: str, ref: str, path: str, call: Call) -> Download:
        """One file for sending by its URL."""
        ...


class FilesDoor:
    """``/files/put``, ``/files/get`` and ``/pfs/...``."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes

    def put(self, request: Request, response: Response, call: Call) -> None:
        """Take one upload; answers ``{"commit": ..., "files": n, "bytes": n}``."""
        names = _parameters(request, {"project", "repo", "ref", "description"})
        waiting = response.wire.fds
        frames = FrameReader(request.body, waiting.popleft, os.close)
        ops = frames.ops()
        try:
            commit = self._routes.put(
                names.get("project") or "default",
                _needed(names, "repo"),
                _needed(names, "ref"),
                names.get("description", ""),
                ops,
                call,
            )
        finally:
            ops.close()  # type: ignore[attr-defined]  # it is a generator
        answer = {"commit": commit, "files": frames.files, "bytes": frames.bytes}
        response.send(200, JSON, json.dumps(answer, ensure_ascii=False).encode())

    def get(self, request: Request, response: Response, call: Call) -> PachyboxError | None:
        """Send files as frames. Returns the error which ended a stream that had begun."""
        names = _parameters(
            request, {"project", "repo", "ref", "path", "glob", "joined", "fds", "offset"}
        )
        out = FrameWriter(response, fds=request.local and names.get("fds") == "1")
        offset = names.get("offset") or "0"
        if not re.fullmatch(r"[0-9]{1,18}", offset):
            raise InvalidArgument(f"offset {offset!r} is not a number of bytes")
        try:
            self._routes.get(
                names.get("project") or "default",
                _needed(names, "repo"),
                _needed(names, "ref"),
                names.get("path") or "/",
                glob=names.get("glob") == "1",
                joined=names.get("joined") == "1",
                offset=int(offset),
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

    def download(self, request: Request, response: Response, call: Call) -> None:
        """Send one file: ``/pfs/<project>/<repo>/<ref>/<path>``, whole or a range."""
        parts = request.segments()[1:]
        if len(parts) < 4 or not all(parts[:3]):
            raise InvalidArgument(
                "a file's address is /pfs/<project>/<repo>/<ref>/<path>",
                "ref is a branch or a commit id",
            )
        path = "/" + "/".join(parts[3:])
        file = self._routes.download(parts[0], parts[1], parts[2], path, call)
        tag = f'"{file.etag}"'
        headers = [
            ("Accept-Ranges", "bytes"),
            ("ETag", tag),
            ("Content-Disposition", f"inline; filename*=UTF-8''{quote(parts[-1], safe='')}"),
            # What users stored must not run as a page of this server, nor be guessed at.
            ("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'"),
            ("X-Content-Type-Options", "nosniff"),
            # A branch moves: ask each time, at the price of one comparison.
            ("Cache-Control", "no-cache"),
        ]
        kind = file.content_type or _TYPES.guess_type(path)[0] or "application/octet-stream"
        if not re.fullmatch(r"[!-~]+/[ -~]+", kind):
            kind = "application/octet-stream"
        if _matches(request.headers.get("if-none-match", ""), tag):
            response.send(304, kind, b"", headers)
            return
        start, end, status = 0, file.size, 200
        wanted = request.headers.get("range", "")
        if wanted and request.headers.get("if-range", tag) == tag:
            found = _range(wanted, file.size)
            if found == (0, 0):
                headers.append(("Content-Range", f"bytes */{file.size}"))
                response.send(416, "text/plain", b"", headers)
                return
            if found:
                start, end = found
                status = 206
                headers.append(("Content-Range", f"bytes {start}-{end - 1}/{file.size}"))
        response.begin(status, kind, end - start, headers)
        if request.method != "HEAD":
            _send(file.read(start, end - start), response)
        response.end()


def _send(pieces: Iterator[bytes | memoryview | FilePart], response: Response) -> None:
    for piece in pieces:
        if not isinstance(piece, FilePart):
            response.write(piece)
            continue
        try:
            response.write_file(piece.fd, piece.offset, piece.length)
        finally:
            piece.close()


def _range(text: str, size: int) -> tuple[int, int] | None:
    """Start and end of a single range; (0, 0) when none of it exists, None when not a range."""
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if match is None or match[1] == match[2] == "" or len(match[1] + match[2]) > 36:
        return None  # several ranges or another unit: answered with the whole file
    if not match[1]:
        count = min(int(match[2]), size)
        return (size - count, size) if count else (0, 0)
    start = int(match[1])
    end = min(int(match[2]) + 1, size) if match[2] else size
    if match[2] and int(match[2]) < start:
        return None
    return (start, end) if start < size else (0, 0)


def _matches(header: str, tag: str) -> bool:
    tags = {t.strip().removeprefix("W/") for t in header.split(",")}
    return tag in tags or "*" in tags


def _parameters(request: Request, known: set[str]) -> dict[str, str]:
    found = request.parameters()
    if unknown := sorted(found.keys() - known):
        raise InvalidArgument(
            f"unknown parameter {unknown[0]!r}", f"known: {', '.join(sorted(known))}"
        )
    return found


def _needed(names: dict[str, str], name: str) -> str:
    if not names.get(name):
        raise InvalidArgument(f"parameter {name!r} is missing")
    return names[name]
