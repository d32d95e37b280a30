"""Files: pfs_v2.API's reading and writing, and the bulk routes of the files door."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf import json_format
from google.protobuf.empty_pb2 import Empty

from pachybox.api.access.principal import Role
from pachybox.api.frame_writer import FrameWriter
from pachybox.api.frames import Copy, Op, Url
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.upload import Upload
from pachybox.api.handlers.web import WebRoutes
from pachybox.api.table import Call, handles
from pachybox.api.wire import content
from pachybox.box import Box
from pachybox.errors import InvalidArgument
from pachybox.model.files import Kind
from pachybox.model.ids import DEFAULT_PROJECT, Repo
from pachybox.model.paths import clean, escape, parent
from pachybox.model.refs import parse_repo
from pachybox.pfs.read import File
from pachybox.pfs.write import header_size

_SMALL = 128 << 10  # files of up to this many bytes travel together in one frame
_BATCH = 1 << 20
_MESSAGE = 2 << 20  # bytes of content in one response message
_PIECES = 8192  # and at most so many pieces, for files may be empty


class FileRoutes(WebRoutes):
    """What the files door and the web door call."""

    def _judged(self, ops: Iterator[Op], call: Call) -> Iterator[Op]:
        """``ops`` as far as the caller may have each done."""
        for op in ops:
            if isinstance(op, Copy):
                source = Repo(op.src_project or DEFAULT_PROJECT, op.src_repo)
                self._policy.require(call, Role.READER, source)
            elif isinstance(op, Url):  # the box itself fetches, by what it has at hand
                self._policy.require(call, Role.WRITER)
            else:
                call.principal.require_live()
            yield op

    def put(
        self, project: str, repo: str, ref: str, description: str, ops: Iterator[Op], call: Call
    ) -> dict[str, Any]:
        """One upload as one commit; see the files door."""
        target = parse_repo(repo, project)
        with self._policy.under(call, Role.WRITER, target):
            self._box.pfs.check_target(target, ref)
            with self._box.pfs.blobs.session() as session:
                upload = Upload(
                    self._box.reader, session, trusted=call.local, reach=self._box.config.url_fetch
                )
                made = upload.take(self._judged(ops, call))
                commit = self._box.pfs.write(session, target, ref, made, description)
        return json_format.MessageToDict(self._policy.shown(call, m.commit_info(commit)))

    def put_fileset(self, ops: Iterator[Op], call: Call) -> str:
        """One upload as a fileset; see the files door."""
        self._policy.require(call, Role.WRITER, somewhere=True)
        with self._box.pfs.blobs.session() as session:
            upload = Upload(
                self._box.reader, session, trusted=call.local, reach=self._box.config.url_fetch
            )
            made = self._box.filesets.create(session, upload.take(self._judged(ops, call)))
        self._policy.changed(call)
        return made

    def get(
        self, project: str, repo: str, ref: str, path: str, *, glob: bool, joined: bool,
        offset: int, limit: int | None, out: FrameWriter, call: Call,
    ) -> None:  # fmt: skip
        """A file, a directory's files, or all that a glob matches; see the files door."""
        target = parse_repo(repo, project)
        with self._policy.under(call, Role.READER, target):
            self._get(target, ref, path, glob, joined, offset, limit, out)

    def _get(
        self, target: Repo, ref: str, path: str, glob: bool, joined: bool, offset: int,
        limit: int | None, out: FrameWriter,
    ) -> None:  # fmt: skip
        pattern = path if glob else escape(clean(path))
        if offset or limit is not None:
            file = self._box.reader.one_file(target, ref, path)
            left = max(0, file.entry.size - offset)
            left = left if limit is None else min(left, limit)
            out.put(file.path, left, self._box.reader.content(file, offset, left))
            return
        small: list[tuple[str, bytes]] = []
        held = 0
        headers = _Headers(self._box)
        for file in self._box.reader.files(target, ref, pattern):
            skip = headers.known(file) if joined else 0
            if file.entry.size - skip <= _SMALL:
                data = b"".join(self._box.reader.content(file, skip))
                small.append((file.path, data))
                held += len(data)
                if held >= _BATCH or len(small) >= 4096:
                    out.put_small(small)
                    small, held = [], 0
                continue
            if small:
                out.put_small(small)
                small, held = [], 0
            if skip:
                out.put(file.path, file.entry.size - skip, self._box.reader.content(file, skip))
            else:
                self._large(file, out)
        if small:
            out.put_small(small)

    def _large(self, file: File, out: FrameWriter) -> None:
        """Hand over the descriptor of a whole stored object where the client can take it; what
        it reads was verified first."""
        entry, blobs = file.entry, self._box.pfs.blobs
        if entry.kind is Kind.FILE and out.fds:
            where = blobs.locate(entry.hash)
            if where.whole:
                blobs.verify(entry.hash)
                fd = os.open(where.path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    out.object(file.path, entry.size, fd)
                finally:
                    os.close(fd)
                return
        out.put(file.path, entry.size, self._box.reader.content(file))


class _Headers:
    """How much of each file of a joined download came already: its directory's header."""

    def __init__(self, box: Box) -> None:
        self._trees = box.pfs.trees
        self._directory = ""
        self._size = 0

    def known(self, file: File) -> int:
        """Bytes of the header at the start of ``file`` when a file before it had it too."""
        directory = parent(file.path)
        if directory == self._directory:
            return self._size
        self._directory = directory
        found = self._trees.get(file.commit.root, directory)
        self._size = header_size(found) if found is not None else 0
        return 0


# ---- writing


@handles("pfs_v2.API/ModifyFile")
def modify_file(box: Box, requests: Iterator[Any], call: Call) -> Any:
    """Apply a stream of modifications as one commit, or into an open one."""
    first = next(requests, None)
    if first is None or not first.HasField("set_commit"):
        raise InvalidArgument("the first message must set the commit", "send set_commit first")
    repo, ref = m.to_ref(first.set_commit)
    box.pfs.check_target(repo, ref)
    with box.pfs.blobs.session() as session:
        upload = Upload(box.reader, session, trusted=call.local, reach=box.config.url_fetch)
        modify(upload, requests)
        box.pfs.write(session, repo, ref, upload.ops)
    return Empty()


def _added(request: Any) -> tuple[str, memoryview] | None:
    """Path and content of an add_file message; None for another one."""
    if not request.HasField("add_file") or request.add_file.HasField("url"):
        return None
    return request.add_file.path, content(request, request.add_file.raw.value)


class Raw:
    """Consecutive messages with content for one path, read as one file."""

    def __init__(
        self,
        first: Any,
        rest: Iterator[Any],
        added: Callable[[Any], tuple[str, memoryview] | None] = _added,
    ) -> None:
        """``added`` gives path and content of a message, None when it has none."""
        found = added(first)
        assert found is not None
        self.path, self._first = found
        self._added = added
        self._rest = rest
        self.next: Any = None  # the message behind the last of them

    def pieces(self) -> Iterator[memoryview]:
        """The content, a message's at a time."""
        yield self._first
        self._first = memoryview(b"")
        for request in self._rest:
            found = self._added(request)
            if found is None or found[0] != self.path:
                self.next = request
                return
            del request  # its content may be large, and is not to outlive its turn
            yield found[1]
            del found


def _of_no_datum(datum: str) -> None:
    if datum not in ("", "default"):
        raise InvalidArgument(
            f"datum is {datum!r}, and files that users write belong to no datum",
            "leave it out; outputs of jobs are read by datum",
        )


def modify(upload: Upload, requests: Iterator[Any]) -> None:
    """Take a stream of ModifyFile messages: add_file appends, and content of one path may span
    messages."""
    request = next(requests, None)
    while request is not None:
        following: Any = None
        for kind in ("add_file", "delete_file", "copy_file"):
            if request.HasField(kind):
                _of_no_datum(getattr(request, kind).datum)
        if request.HasField("add_file"):
            add = request.add_file
            if add.HasField("url"):
                upload.url(add.path, add.url.url, recursive=add.url.recursive, append=True)
            else:
                raw = Raw(request, requests)
                upload.put_pieces(raw.path, raw.pieces(), append=True)
                following = raw.next
                if following is not None:
                    request = following
                    continue
        elif request.HasField("delete_file"):
            if not request.delete_file.path:
                raise InvalidArgument("delete_file names no path", 'set path; "/" is everything')
            upload.remove(request.delete_file.path, exact=True)
        elif request.HasField("copy_file"):
            copy = request.copy_file
            repo, ref = m.to_ref(copy.src.commit)
            upload.copy(repo, ref, copy.src.path, copy.dst, append=copy.append)
        elif request.HasField("set_commit"):
            raise InvalidArgument("the commit is set twice", "send one stream per commit")
        else:
            raise InvalidArgument("the message modifies nothing", "set add_file, or another")
        request = next(requests, None)
