"""pfs_v2.API: reading files, to the client or to a URL."""

from __future__ import annotations

import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from pachybox.api.definitions import pfs
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.api.wire import Content
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotReady, Refused, Unimplemented
from pachybox.model.files import Put
from pachybox.model.ids import DEFAULT_PROJECT, Repo
from pachybox.pfs.read import DatumReader, File, Reader
from pachybox.pps.egress.output import Stopped
from pachybox.pps.egress.target import Target, is_local
from pachybox.pps.egress.target import files as target_of
from pachybox.store.trees import EMPTY

_MESSAGE = 1 << 20  # bytes of content in one response message
_PIECES = 8192  # and at most so many pieces, for files may be empty
_EDITS = 32_768  # files that become nodes of a tree at once


def file_ref(message: Any) -> tuple[Repo, str, str]:
    repo, ref = m.to_ref(message.commit)
    return repo, ref, message.path or "/"


def reader(box: Box, datum: str) -> Reader:
    """What reads the files that one datum wrote; all files for "" and "default"."""
    return box.reader if datum in ("", "default") else DatumReader(box.pfs, datum)


def _infos(datum: str) -> Callable[[File], Any]:
    make = m.FileInfos()
    if not datum:
        return make

    def made(file: File) -> Any:
        info = make(file)
        info.file.datum = datum
        return info

    return made


@handles("pfs_v2.API/InspectFile")
def inspect_file(box: Box, request: Any, call: Call) -> Any:
    datum = request.file.datum
    return _infos(datum)(reader(box, datum).inspect(*file_ref(request.file)))


@handles("pfs_v2.API/ListFile")
def list_file(box: Box, request: Any, call: Call) -> Iterator[Any]:
    found = reader(box, request.file.datum).list(*file_ref(request.file), after=_marker(request))
    return _page(found, request)


@handles("pfs_v2.API/WalkFile")
def walk_file(box: Box, request: Any, call: Call) -> Iterator[Any]:
    found = reader(box, request.file.datum).walk(*file_ref(request.file), after=_marker(request))
    return _page(found, request)


def _marker(request: Any) -> str:
    return "" if request.reverse else request.pagination_marker.path.rstrip("/")


def _page(found: Iterator[File], request: Any) -> Iterator[Any]:
    """At most ``number`` records; of reversed ones, as many are held in memory (all for 0)."""
    if request.reverse and request.number >= 0:
        marker = request.pagination_marker.path
        before = found if not marker else _before(found, marker)
        found = reversed(deque(before, maxlen=request.number or None))
    return map(_infos(request.file.datum), m.at_most(found, request.number))


def _before(found: Iterator[File], marker: str) -> Iterator[File]:
    """The files that come before ``marker`` in the order of the tree."""
    for file in found:
        key = f"{file.path}/" if file.entry.is_dir and file.path != "/" else file.path
        if key >= marker or file.path == marker:
            return
        yield file


@handles("pfs_v2.API/GlobFile")
def glob_file(box: Box, request: Any, call: Call) -> Iterator[Any]:
    repo, ref = m.to_ref(request.commit)
    found = box.reader.glob(repo, ref, request.pattern)
    return map(m.FileInfos(), _within(found, request.path_range))


def _within(found: Iterator[File], edges: Any) -> Iterator[File]:
    lower, upper = edges.lower, edges.upper
    return (f for f in found if f.path >= lower and (not upper or f.path < upper))


@handles("pfs_v2.API/DiffFile")
def diff_file(box: Box, request: Any, call: Call) -> Iterator[Any]:
    """A file of another name is another file: it was taken away, and one was added."""
    for new, old in _diff(box, request):
        if new is not None and old is not None and new.path != old.path:
            pairs = sorted([(new, None), (None, old)], key=lambda p: (p[0] or p[1]).path)  # type: ignore[union-attr]
        else:
            pairs = [(new, old)]
        yield from map(difference, pairs)


@handles("pachybox.v1.API/DiffFile")
def diff_file_pairs(box: Box, request: Any, call: Call) -> Iterator[Any]:
    """As pfs_v2.API/DiffFile, but two files that were named are compared with each other."""
    return map(difference, _diff(box, request))


def _diff(box: Box, request: Any) -> Iterator[tuple[File | None, File | None]]:
    for file in (request.new_file, request.old_file):
        if file.datum not in ("", "default"):
            raise Unimplemented(
                "pfs_v2.API/DiffFile by datum is not built in this version of pachybox",
                "get both files by datum and compare them",
            )
    repo, ref, path = file_ref(request.new_file)
    old = None
    if request.old_file.commit.id or request.old_file.commit.branch.name:
        old = file_ref(request.old_file)
    return box.reader.diff(repo, ref, path, old, shallow=request.shallow)


def difference(pair: tuple[File | None, File | None]) -> Any:
    made = pfs.DiffFileResponse()
    for file, field in zip(pair, (made.new_file, made.old_file), strict=True):
        if file is not None:
            field.CopyFrom(m.FileInfos()(file))
    return made


@handles("pachybox.v1.API/ListHistory")
def list_history(box: Box, request: Any, call: Call) -> Iterator[Any]:
    repo = Repo(request.project or DEFAULT_PROJECT, request.repo)
    found = box.reader.history(repo, request.ref, request.path or "/", request.depth or -1)
    return map(m.FileInfos(), found)


@handles("pfs_v2.API/FindCommits")
def find_commits(box: Box, request: Any, call: Call) -> Iterator[Any]:
    repo, ref = m.to_ref(request.start)
    searched = found = 0
    commit: Any = None
    for record, changed in box.reader.find_commits(repo, ref, request.file_path):
        if call.cancel.is_set():
            return
        searched += 1
        commit = m.commit(record.commit, record.branch)
        if changed:
            found += 1
            yield pfs.FindCommitsResponse(found_commit=commit)
            if request.limit and found >= request.limit:
                break
    yield pfs.FindCommitsResponse(last_searched_commit=commit, commits_searched=searched)


@handles("pfs_v2.API/GetFile")
def get_file(box: Box, request: Any, call: Call) -> Iterator[Any]:
    repo, ref, path = file_ref(request.file)
    file = reader(box, request.file.datum).one_file(repo, ref, path)
    if request.offset > file.entry.size or request.offset < 0:
        raise Refused(
            f"offset {request.offset} is outside {file.path}, which has {file.entry.size} bytes"
        )
    if request.url:
        if request.offset:
            raise InvalidArgument("a file goes to a URL whole", "leave offset out")
        _push(box, call, iter([file]), request.url)
        return
    yield from _messages(box.reader.content(file, request.offset))


@handles("pfs_v2.API/GetFileTAR")
def get_file_tar(box: Box, request: Any, call: Call) -> Iterator[Any]:
    repo, ref, path = file_ref(request.file)
    found = _within(reader(box, request.file.datum).files(repo, ref, path), request.path_range)
    if request.url:
        _push(box, call, found, request.url)
        return
    yield from _messages(_tar(box, found))


def _tar(box: Box, found: Iterator[File]) -> Iterator[bytes]:
    for file in found:
        yield _tar_header(file)
        yield from box.reader.content(file)
        yield bytes(-file.entry.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _messages(pieces: Iterator[bytes]) -> Iterator[Content]:
    """``pieces`` as messages of about 1 MiB."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _MESSAGE or len(held) >= _PIECES:
            yield Content(held, size)
            held, size = [], 0
    if size:
        yield Content(held, size)


def require_may_write(target: Target, call: Call) -> None:
    """Only callers of this machine have the box write to it. Raises Refused."""
    if is_local(target) and not call.local:
        raise Refused(f"{target} is on the box's machine", "ask there, or name a bucket")


def _push(box: Box, call: Call, files: Iterator[File], url: str) -> None:
    """Bring files to a bucket (or, for callers of this machine, to a directory), each to
    ``url`` and its path."""
    target = target_of(url)
    require_may_write(target, call)
    with box.pfs.blobs.session() as session:
        root = EMPTY
        while edits := [Put(f.path, f.entry) for f in islice(files, _EDITS)]:
            root = box.pfs.trees.edit(root, edits, session.put)
        try:
            box.pusher.push(root, target, lambda: not call.cancel.is_set())
        except Stopped:
            raise NotReady("the transfer was broken off", "call again") from None


def _tar_header(file: File) -> bytes:
    info = tarfile.TarInfo(file.path)
    info.size = file.entry.size
    info.mode = 0o644
    if file.commit.finished is not None:
        info.mtime = int(file.commit.finished.timestamp())
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
