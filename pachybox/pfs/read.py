"""Reading files of a commit: list, inspect, glob, walk, diff, history, content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from pachybox.errors import InvalidArgument, NotFound
from pachybox.meta.tables import COMMITS, JOBS
from pachybox.model.files import Change, Entry
from pachybox.model.glob import Glob
from pachybox.model.ids import USER, Commit, Job, Pipeline, Repo
from pachybox.model.paths import clean
from pachybox.model.pfs import CommitRecord
from pachybox.pfs import commits, filesets
from pachybox.pfs.find import find
from pachybox.pfs.repos import FILESETS_REPO
from pachybox.pfs.service import Pfs
from pachybox.store.trees import EMPTY


@dataclass(frozen=True, slots=True)
class File:
    """A file or directory of a commit."""

    commit: CommitRecord
    path: str
    entry: Entry


class Reader:
    """Reads over one Pfs. Iterators hold a lease on the tree while they run."""

    def __init__(self, pfs: Pfs) -> None:
        self.pfs = pfs

    def commit(self, repo: Repo, ref: str) -> CommitRecord:
        """The commit ``ref`` names, if its contents may be read now (NotReady otherwise).
        In the repo ``__filesets__`` that is a fileset."""
        if repo.name == FILESETS_REPO:
            return filesets.as_commit(self.pfs.meta, repo, ref)
        return commits.readable(self.pfs.resolve(repo, ref))

    def inspect(self, repo: Repo, ref: str, path: str) -> File:
        """One file or directory; NotFound names file, repo and commit."""
        commit = self.commit(repo, ref)
        path = clean(path)
        entry = self.pfs.trees.get(commit.root, path)
        if entry is None:
            raise _missing(commit, path)
        return File(commit, path, entry)

    def list(self, repo: Repo, ref: str, path: str, *, after: str = "") -> Iterator[File]:
        """What is in a directory, or in every directory a glob matches; a file lists itself.

        ``after`` leaves out entries up to that path.
        """
        commit = self.commit(repo, ref)
        with self.pfs.reading(commit.root):
            for where, entry in list(self._named(commit, path)):
                yield from self._inside(commit, where, entry, after)

    def _named(self, commit: CommitRecord, path: str) -> Iterator[tuple[str, Entry]]:
        """The file or directory of that very name, else all that it matches as a glob.

        A name may hold signs of the grammar (``/a (1).txt``); what is there comes first.
        """
        where, found = _plain(path), None
        if where is not None:
            found = self.pfs.trees.get(commit.root, where)
        if where is not None and found is not None:
            yield where, found
            return
        glob = Glob(path)
        if glob.is_literal:
            where = clean(glob.literal)
            found = self.pfs.trees.get(commit.root, where)
            if found is None:
                raise _missing(commit, where)
            yield where, found
            return
        yield from find(self.pfs.trees, commit.root, glob)

    def _inside(self, commit: CommitRecord, where: str, found: Entry, after: str) -> Iterator[File]:
        if not found.is_dir:
            if where > after:
                yield File(commit, where, found)
            return
        base = "" if where == "/" else where
        seek = after[len(base) + 1 :] if after.startswith(f"{base}/") else ""
        for entry in self.pfs.trees.list(commit.root, where, after=seek.split("/", 1)[0]):
            yield File(commit, f"{base}/{entry.name}", entry)

    def glob(self, repo: Repo, ref: str, pattern: str) -> Iterator[File]:
        """Files and directories the pattern matches, in path order."""
        commit = self.commit(repo, ref)
        glob = Glob(pattern)
        with self.pfs.reading(commit.root):
            for path, entry in find(self.pfs.trees, commit.root, glob):
                yield File(commit, path, entry)

    def walk(self, repo: Repo, ref: str, path: str, *, after: str = "") -> Iterator[File]:
        """``path`` itself, then everything below it, in path order."""
        commit = self.commit(repo, ref)
        path = clean(path)
        found = self.pfs.trees.get(commit.root, path)
        if found is None:
            raise _missing(commit, path)
        with self.pfs.reading(commit.root):
            if path > after:
                yield File(commit, path, found)
            if found.is_dir:
                for where, entry in self.pfs.trees.walk(commit.root, path, after=after):
                    yield File(commit, where, entry)

    def files(self, repo: Repo, ref: str, pattern: str) -> Iterator[File]:
        """Every file (no directories) at or below what ``pattern`` matches, each once."""
        commit = self.commit(repo, ref)
        with self.pfs.reading(commit.root):
            covered = ""
            none = True
            for path, entry in self._named(commit, pattern):
                none = False
                if covered and (path.startswith(covered) or covered == "/"):
                    continue
                if not entry.is_dir:
                    yield File(commit, path, entry)
                    continue
                covered = "/" if path == "/" else f"{path}/"
                for where, inner in self.pfs.trees.walk(commit.root, path):
                    if not inner.is_dir:
                        yield File(commit, where, inner)
            if none:
                raise _missing(commit, pattern)

    def diff(
        self,
        repo: Repo,
        ref: str,
        path: str,
        old: tuple[Repo, str, str] | None = None,
        *,
        shallow: bool = False,
    ) -> Iterator[tuple[File | None, File | None]]:
        """What differs between two trees: (new, old) pairs by path below ``path``.

        Without ``old``: against the same path of the parent commit. ``shallow``: only the
        direct children.
        """
        new_commit, path, old_commit, old_path = self.sides(repo, ref, path, old)
        if old_path != path:
            yield from self._diff_moved(new_commit, path, old_commit, old_path)
            return
        old_root = old_commit.root if old_commit is not None else EMPTY
        with self.pfs.reading(new_commit.root), self.pfs.reading(old_root):
            depth = 0 if path == "/" else path.count("/")
            for change in self.pfs.trees.diff(old_root, new_commit.root, path):
                if shallow and change.path.count("/") > depth + 1:
                    continue
                yield _pair(new_commit, old_commit, change)

    def sides(
        self, repo: Repo, ref: str, path: str, old: tuple[Repo, str, str] | None = None
    ) -> tuple[CommitRecord, str, CommitRecord | None, str]:
        """What ``diff`` compares: commit and path of both sides."""
        new_commit = self.commit(repo, ref)
        path = clean(path)
        if old is not None:
            return new_commit, path, self.commit(old[0], old[1]), clean(old[2])
        parent = new_commit.parent
        found = None if parent is None else self.pfs.meta.get(COMMITS, Commit(repo, parent))
        return new_commit, path, found, path

    def _diff_moved(
        self,
        new_commit: CommitRecord,
        path: str,
        old_commit: CommitRecord | None,
        old_path: str,
    ) -> Iterator[tuple[File | None, File | None]]:
        """Two different paths: compare the subtrees (or the two files) as they are."""
        new = self.pfs.trees.get(new_commit.root, path)
        old = None if old_commit is None else self.pfs.trees.get(old_commit.root, old_path)
        if new is None and old is None:
            raise _missing(new_commit, path)
        if new is not None and old is not None and new.is_dir and old.is_dir:
            assert old_commit is not None
            base_new = "" if path == "/" else path
            base_old = "" if old_path == "/" else old_path
            for change in self.pfs.trees.diff(old.hash, new.hash):
                yield (
                    None
                    if change.new is None
                    else File(new_commit, base_new + change.path, change.new),
                    None
                    if change.old is None
                    else File(old_commit, base_old + change.path, change.old),
                )
            return
        if new is not None and old is not None and new.hash == old.hash:
            return
        yield (
            None if new is None else File(new_commit, path, new),
            None if old is None or old_commit is None else File(old_commit, old_path, old),
        )

    def history(self, repo: Repo, ref: str, path: str, depth: int) -> Iterator[File]:
        """The distinct versions of a file or directory, newest first: ``depth`` of them
        (-1: all). A version is shown with the commit that brought it."""
        commit: CommitRecord | None = self.commit(repo, ref)
        path = clean(path)
        held: File | None = None
        shown = 0
        missing = True
        while commit is not None:
            entry = self.pfs.trees.get(commit.root, path)
            changed = held is not None and (entry is None or entry.hash != held.entry.hash)
            if changed and held is not None:
                yield held
                shown += 1
                if shown == depth:
                    return
            held = None if entry is None else File(commit, path, entry)
            missing = missing and entry is None
            parent = commit.parent
            commit = None if parent is None else self.pfs.meta.get(COMMITS, Commit(repo, parent))
        if held is not None:
            yield held
        elif missing:
            raise _missing(self.commit(repo, ref), path)

    def find_commits(self, repo: Repo, ref: str, path: str) -> Iterator[tuple[CommitRecord, bool]]:
        """Walk back from ``ref``: each commit with whether it changed ``path``."""
        commit: CommitRecord | None = self.pfs.resolve(repo, ref)
        path = clean(path)
        while commit is not None:
            parent = (
                None
                if commit.parent is None
                else self.pfs.meta.get(COMMITS, Commit(repo, commit.parent))
            )
            now = self.pfs.trees.get(commit.root, path)
            before = None if parent is None else self.pfs.trees.get(parent.root, path)
            same = (now is None) == (before is None) and (
                now is None or before is None or now.hash == before.hash
            )
            yield commit, not same
            commit = parent

    def one_file(self, repo: Repo, ref: str, path: str) -> File:
        """A single file for reading, by its name or a glob that matches no other; a directory
        is refused with the way to get it."""
        commit = self.commit(repo, ref)
        with self.pfs.reading(commit.root):
            found = list(islice(self._named(commit, path), 2))
        if not found:
            raise _missing(commit, path)
        if len(found) > 1:
            raise InvalidArgument(f"{path} matches more than one file", "name one, or get a tar")
        where, entry = found[0]
        if entry.is_dir:
            raise InvalidArgument(f"{where} is a directory", "get it with -r, or name a file in it")
        return File(commit, where, entry)

    def content(self, file: File, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of a file, verified, in pieces of at most 1 MiB."""
        if file.entry.is_dir:
            raise InvalidArgument(f"{file.path} is a directory", "name a file in it")
        with self.pfs.reading(file.commit.root):
            yield from self.pfs.content.read(file.entry, offset, length)


class DatumReader(Reader):
    """Reads, of commits that jobs made, the files that one datum wrote."""

    def __init__(self, pfs: Pfs, datum: str) -> None:
        super().__init__(pfs)
        self._datum = datum

    def commit(self, repo: Repo, ref: str) -> CommitRecord:
        """As Reader.commit, with the datum's files as its tree: none for another one's datum."""
        commit = super().commit(repo, ref)
        job = self.pfs.meta.get(JOBS, Job(Pipeline(repo.project, repo.name), commit.commit.id))
        found = None
        if job is not None and job.datums is not None and repo.type == USER:
            found = self.pfs.trees.get(job.datums, f"/{self._datum}/out")
        if found is None or not found.is_dir:
            return replace(commit, root=EMPTY, size=0, files=0)
        return replace(commit, root=found.hash, size=found.size, files=found.count)


def _plain(path: str) -> str | None:
    """``path`` as a plain path, None when it cannot be one."""
    try:
        return clean(path)
    except InvalidArgument:
        return None


def _pair(
    new_commit: CommitRecord, old_commit: CommitRecord | None, change: Change
) -> tuple[File | None, File | None]:
    new = None if change.new is None else File(new_commit, change.path, change.new)
    old = (
        None
        if change.old is None or old_commit is None
        else File(old_commit, change.path, change.old)
    )
    return new, old


def _missing(commit: CommitRecord, path: str) -> NotFound:
    c = commit.commit
    return NotFound(
        f"file {path} not found in repo {c.repo.full} at commit {c.id}",
        f"list file {c.repo}@{c.id}:/ shows what there is",
    )
