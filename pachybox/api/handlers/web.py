"""Files for the web door: one by its URL, a directory, and the members of a zip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from pachybox.api.access.policy import Policy
from pachybox.api.access.principal import Role
from pachybox.api.archive_address import Wanted
from pachybox.api.files_door import FilePart
from pachybox.api.table import Call
from pachybox.api.web_door import Download, Listing, Member
from pachybox.box import Box
from pachybox.errors import PachyboxError
from pachybox.model.pfs import CommitRecord
from pachybox.model.refs import parse_repo
from pachybox.pfs.read import File


class WebRoutes:
    """What the web door calls."""

    def __init__(self, box: Box, policy: Policy) -> None:
        self._box = box
        self._policy = policy

    def page(self, project: str, repo: str, ref: str, path: str, call: Call) -> Download | Listing:
        """A file, or a directory."""
        reader, target = self._box.reader, parse_repo(repo, project)
        with self._policy.under(call, Role.READER, target):
            found = reader.inspect(target, ref, path)
        etag, finished = found.entry.hash.hex(), found.commit.finished
        if found.entry.is_dir:
            return Listing(etag, self._entries(found), finished)

        def read(offset: int, length: int) -> Iterator[bytes | memoryview | FilePart]:
            return reader.content(found, offset, length)

        return Download(found.entry.size, etag, read, modified=finished)

    def _entries(self, directory: File) -> Iterator[tuple[str, int, bool]]:
        commit = directory.commit.commit
        for file in self._box.reader.list(commit.repo, commit.id, directory.path):
            tail = "/" if file.entry.is_dir else ""
            yield file.path + tail, file.entry.size, file.entry.is_dir

    def members(
        self, wanted: Sequence[Wanted], call: Call
    ) -> Iterator[Member | tuple[Wanted, PachyboxError]]:
        """The files of a zip. Branches are looked up first, so that one that moves meanwhile is
        read at one commit."""
        commits: dict[tuple[str, str, str], CommitRecord] = {}
        found: list[tuple[Wanted, CommitRecord]] = []
        for one in wanted:
            key = one.project, one.repo, one.ref
            try:
                if key not in commits:
                    target = parse_repo(one.repo, one.project)
                    with self._policy.under(call, Role.READER, target):
                        commits[key] = self._box.reader.commit(target, one.ref)
                found.append((one, commits[key]))
            except PachyboxError as e:
                yield one, e
        for one, commit in found:
            try:
                yield from self._below(one, commit)
            except PachyboxError as e:
                yield one, e

    def _below(self, one: Wanted, commit: CommitRecord) -> Iterator[Member]:
        reader, name = self._box.reader, commit.commit
        when = commit.finished or datetime.now(UTC)
        for file in reader.files(name.repo, name.id, one.path or "/"):
            where = f"{name.repo.project}/{name.repo.name}/{name.id}{file.path}"
            yield Member(where, file.entry.size, when, reader.content(file))
