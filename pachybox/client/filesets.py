"""Filesets: files that belong to no commit yet, kept for a while."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping

from pachybox.client.base import PFS, Base
from pachybox.client.names import absolute, commit_message
from pachybox.client.upload import Put
from pachybox.client.values import Json
from pachybox.errors import Internal

_PIECE = 3 << 18  # divisible by 3: pieces' base64 has no padding to spare


class Filesets(Base):
    """Methods on filesets. A fileset is an id; it is gone after its time to live."""

    def create_fileset(
        self,
        files: Mapping[str, bytes | str | os.PathLike[str]],
        deleted: Iterable[str] = (),
    ) -> str:
        """Keep ``files`` (bytes, or names of files here) by their path; returns the fileset.

        Added to a commit they replace what is there, and what ``deleted`` names goes.
        """
        upload = self.transport.upload(
            f"/api/{PFS}/CreateFileSet", {"Content-Type": "application/json"}
        )
        try:
            for path in deleted:
                upload.send([json.dumps({"deleteFile": {"path": absolute(path)}}).encode() + b"\n"])
            for message in _additions(files):
                upload.send([json.dumps(message).encode() + b"\n"])
            answer = upload.finish()
        finally:
            upload.abort()
        return _id(answer)

    def upload_fileset(self) -> Put:
        """Begin an upload to a new fileset: a ``with`` block; ``fileset`` then has its id."""
        return Put(self.transport, {"fileset": "1"})

    def get_fileset(self, commit: str) -> str:
        """The content of ``repo@ref`` as a fileset."""
        return _id(self.call(PFS, "GetFileSet", commit=commit_message(commit, self.project)))

    def add_fileset(self, commit: str, fileset: str) -> None:
        """Put a fileset's files into an open commit; no bytes move."""
        where = commit_message(commit, self.project)
        self.call(PFS, "AddFileSet", commit=where, file_set_id=fileset)

    def renew_fileset(self, fileset: str, seconds: int) -> None:
        """Keep a fileset for ``seconds`` from now."""
        self.call(PFS, "RenewFileSet", file_set_id=fileset, ttl_seconds=str(seconds))

    def compose_filesets(self, filesets: Iterable[str], seconds: int = 600) -> str:
        """One fileset that does what several do, one after the other."""
        found = self.call(
            PFS, "ComposeFileSet", file_set_ids=list(filesets), ttl_seconds=str(seconds)
        )
        return _id(found)


def _id(answer: Json) -> str:
    if found := answer.get("fileSetId"):
        return str(found)
    raise Internal("the box named no fileset")


def _additions(files: Mapping[str, bytes | str | os.PathLike[str]]) -> Iterator[Json]:
    for path, source in files.items():
        yield {"deleteFile": {"path": absolute(path)}}  # else what is there would be added to
        for piece in _pieces(source):
            raw = base64.b64encode(piece).decode()
            yield {"addFile": {"path": absolute(path), "raw": raw}}


def _pieces(source: bytes | str | os.PathLike[str]) -> Iterator[bytes]:
    """At least one piece, so that an empty file is there too."""
    if isinstance(source, bytes):
        yield source[:_PIECE]
        yield from (source[at : at + _PIECE] for at in range(_PIECE, len(source), _PIECE))
        return
    with open(source, "rb") as file:
        yield file.read(_PIECE)
        while piece := file.read(_PIECE):
            yield piece
