"""Files for browsers: one by its URL, a directory's listing, many as a zip.

    GET /pfs/<project>/<repo>/<branch or commit>/<path>
    GET /archive/<which files>.zip

The box gives the content through ``Pages``; this part speaks HTTP: conditions, ranges,
redirections, types, and the zip.
"""

from __future__ import annotations

import html
import mimetypes
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Protocol
from urllib.parse import quote

from pachybox.api import archive_address
from pachybox.api.archive_address import Wanted
from pachybox.api.files_door import FilePart
from pachybox.api.http import Request
from pachybox.api.response import Response
from pachybox.api.table import Call
from pachybox.api.zip_writer import ZipWriter, gathered
from pachybox.errors import InvalidArgument, NotFound, PachyboxError

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_TYPES = mimetypes.MimeTypes()  # built-in types only: the same on every machine
_TEXT, _HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"
_CHUNK = 1 << 20
_BATCH = 64 << 10
# What users stored must not run as a page of this server, nor be guessed at.
_SAFE = [
    ("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'"),
    ("X-Content-Type-Options", "nosniff"),
]


@dataclass(frozen=True, slots=True)
class Download:
    """One file to be sent. ``etag`` is its content's identity, without quotes.

    ``read(offset, length)`` gives that range as pieces: bytes, or FileParts that the
    kernel sends. ``modified`` is when its commit finished, None while it is open.
    """

    size: int
    etag: str
    read: Callable[[int, int], Iterator[bytes | memoryview | FilePart]]
    content_type: str = ""
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """A directory: (path, size, whether a directory) of what is in it, in order."""

    etag: str
    entries: Iterator[tuple[str, int, bool]]
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a zip; ``pieces`` are its ``size`` bytes."""

    name: str
    size: int
    modified: datetime
    pieces: Iterator[bytes]


class Pages(Protocol):
    """What the box offers to this door. Any PachyboxError becomes the answer."""

    def page(self, project: str, repo: str, ref: str, path: str, call: Call) -> Download | Listing:
        """A file, or a directory."""
        ...

    def members(
        self, wanted: Sequence[Wanted], call: Call
    ) -> Iterator[Member | tuple[Wanted, PachyboxError]]:
        """The files of a zip, and what of ``wanted`` could not be had."""
        ...


class WebDoor:
    """``/pfs/...`` and ``/archive/...``."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def archive(self, request: Request, response: Response, call: Call) -> None:
        """Send a zip of files. What is missing is told in its ``@error.txt``, as in Pachyderm."""
        wanted = archive_address.parse(request.path)
        name = f"pachybox-download-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}.zip"
        disposition = ("Content-Disposition", f"attachment; filename={name}")
        response.begin(200, "application/zip", None, [disposition, *_SAFE[1:]])
        write, flush = gathered(response.write, _CHUNK)
        archive = ZipWriter(write)
        troubles = []
        for member in self._pages.members(wanted, call):
            if not isinstance(member, Member):
                troubles.append(f"path {member[0]}: {member[1]}\n")
                continue
            begun = archive.size
            try:
                archive.add(member.name, member.size, member.pieces, member.modified)
            except PachyboxError as e:
                if archive.size != begun:
                    raise  # within a file: the answer is cut short
                troubles.append(f"path {member.name}: {e}\n")
        if troubles:  # no file of a repo can have this name: the first part is a project
            text = "".join(troubles).encode()
            archive.add("@error.txt", len(text), [text], datetime.now(UTC))
        archive.finish()
        flush()
        response.end()

    def page(self, request: Request, response: Response, call: Call) -> None:
        """Send one file, whole or a range, or a directory's listing."""
        parts = request.segments()[1:]
        if len(parts) < 3 or not all(parts[:3]):
            raise NotFound(
                "a file's address is /pfs/<project>/<repo>/<branch or commit>/<path>",
                "ref is a branch or a commit id",
            )
        if len(parts) == 3:
            _to_directory(request, response)
            return
        project, repo, ref = parts[:3]
        found = self._pages.page(project, repo, ref, "/" + "/".join(parts[3:]), call)
        # A commit's content stays once it has finished; a branch moves: ask each time.
        fixed = found.modified is not None and re.fullmatch("[0-9a-f]{32}", ref)
        headers = [
            ("ETag", f'"{found.etag}"'),
            ("Cache-Control", "private" if fixed else "private, no-cache"),
            ("Vary", "authn-token"),
            *_SAFE,
        ]
        if found.modified is not None:
            headers.append(("Last-Modified", format_datetime(found.modified, usegmt=True)))
        if isinstance(found, Download):
            _send_file(request, response, found, parts[-1], headers)
        elif parts[-1]:
            _to_directory(request, response)
        else:
            _send_listing(request, response, found, headers)


def _to_directory(request: Request, response: Response) -> None:
    """A directory's relative links need its address to end with a slash."""
    query = f"?{request.query}" if request.query else ""
    # One slash in front only: two would lead to another host.
    where = "/" + request.path.lstrip("/") + "/" + query
    response.send(301, _TEXT, b"", [("Location", where), ("Vary", "authn-token")])


# ---- a file


def _send_file(
    request: Request,
    response: Response,
    file: Download,
    name: str,
    headers: list[tuple[str, str]],
) -> None:
    headers += [
        ("Accept-Ranges", "bytes"),
        ("Content-Disposition", f"inline; filename*=UTF-8''{quote(name, safe='')}"),
    ]
    kind = file.content_type or _TYPES.guess_type(name)[0] or "application/octet-stream"
    if not re.fullmatch(r"[!-~]+/[ -~]+", kind):
        kind = "application/octet-stream"
    tag = f'"{file.etag}"'
    if status := _condition(request.headers, tag, file.modified):
        response.send(status, kind, b"", headers)
        return
    start, end, status = 0, file.size, 200
    wanted = request.headers.get("range", "")
    if wanted and _range_holds(request.headers.get("if-range", ""), tag, file.modified):
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


def _condition(headers: dict[str, str], tag: str, modified: datetime | None) -> int:
    """412 or 304 when a condition says so, in the order of RFC 9110; else 0."""
    if "if-match" in headers:
        if not _matches(headers["if-match"], tag):
            return 412
    elif _since(headers.get("if-unmodified-since", ""), modified) is False:
        return 412
    if "if-none-match" in headers:
        return 304 if _matches(headers["if-none-match"], tag) else 0
    return 304 if _since(headers.get("if-modified-since", ""), modified) else 0


def _since(text: str, modified: datetime | None) -> bool | None:
    """Whether a file is no newer than a header's date; None when there is none to compare."""
    if not text or modified is None:
        return None
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return modified.replace(microsecond=0) <= when


def _range_holds(condition: str, tag: str, modified: datetime | None) -> bool:
    if not condition or condition == tag:
        return True
    return modified is not None and condition == format_datetime(modified, usegmt=True)


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


# ---- a directory


def _send_listing(
    request: Request, response: Response, found: Listing, headers: list[tuple[str, str]]
) -> None:
    """Lines ``-`` or ``d``, size, path; to a browser a page with links."""
    page = _prefers_html(request.headers.get("accept", ""))
    response.begin(200, _HTML if page else _TEXT, None, headers)
    if request.method == "HEAD":
        response.close_head()
        return
    put, flush = gathered(response.write, _BATCH)
    if page:
        title = html.escape("/".join(request.segments()[1:]))
        put(_TOP.format(title=title).encode())
    for path, size, is_dir in found.entries:
        put((_row if page else _line)(path, size, is_dir).encode())
    if page:
        put(b"</table>\n")
    flush()
    response.end()


_TOP = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>body {{ font: 15px/1.5 monospace; margin: 2rem; color-scheme: light dark; }}
td {{ padding-right: 2rem; }} td + td {{ text-align: right; }}</style>
<h1>{title}</h1>
<table>
<tr><td><a href="..">..</a><td>
"""


def _line(path: str, size: int, is_dir: bool) -> str:
    return f"{'d' if is_dir else '-'}\t{size}\t{path}\n"


def _row(path: str, size: int, is_dir: bool) -> str:
    name = path.rstrip("/").rpartition("/")[2] + ("/" if is_dir else "")
    # "./" so that a name with a colon is no scheme
    link = f"./{quote(name)}"
    return f'<tr><td><a href="{link}">{html.escape(name)}</a><td>{size}\n'


def _prefers_html(accept: str) -> bool:
    """Whether a browser asks: it names HTML, while curl takes anything."""
    kinds = {k.partition(";")[0].strip().lower() for k in accept.split(",")}
    return "text/html" in kinds and "text/plain" not in kinds


def token_of(request: Request) -> None:
    """Take ``?authn-token=`` as the header of that name: links carry no headers."""
    if "authn-token" in request.query:
        token = request.parameters().get("authn-token", "")
        if not re.fullmatch(r"[!-~]*", token):
            raise InvalidArgument("authn-token is no token")
        if token:
            request.headers["authn-token"] = token
