"""The client for asyncio programs; written by pachybox.client.generate."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import BinaryIO

from pachybox.client.aio_base import AsyncBase, AsyncBlock, AsyncPutBase, AsyncStream
from pachybox.client.backup_values import BackupInfo
from pachybox.client.frames import Readable
from pachybox.client.ingest_values import CreatedIngest, IngestInfo
from pachybox.client.log_values import LogEntry, LogPart
from pachybox.client.page_values import (
    CommitPage,
    DatumPage,
    DiffPage,
    FilePage,
    JobPage,
    JobTiming,
)
from pachybox.client.pipeline_values import (
    BoxStatus,
    CreatedPipeline,
    DatumInfo,
    ImageInfo,
    JobInfo,
    JobSetInfo,
    LogMessage,
    MovedPipeline,
    PipelineDifference,
    PipelineInfo,
    SecretInfo,
)
from pachybox.client.progress import Progress, Stages
from pachybox.client.sessions import OpenCommit, Transaction
from pachybox.client.sources import Source
from pachybox.client.spec_values import InputPreview, SpecCheck, SpecField
from pachybox.client.token_values import AuditEntry, Token
from pachybox.client.trial_values import TrialEvent
from pachybox.client.upload import Put
from pachybox.client.values import (
    BranchInfo,
    CommitInfo,
    CommitSetInfo,
    FileChange,
    FileInfo,
    Json,
    ProjectInfo,
    PutResult,
    RepoInfo,
)
from pachybox.client.view_values import Summary
from pachybox.model.events import Event


class AsyncPut(AsyncPutBase):
    """One upload under way; see ``Put``. Use as ``async with box.put(...) as put``."""

    async def __aenter__(self) -> AsyncPut:
        await self._open()
        return self

    async def data(self, path: str, data: bytes | memoryview, *, append: bool = False) -> None:
        """The content of ``path`` from memory."""
        return await self._run(self._put.data, path, data, append=append)

    async def file(self, path: str, name: str, *, append: bool = False) -> None:
        """The content of ``path`` from a file of this machine (or a link to one)."""
        return await self._run(self._put.file, path, name, append=append)

    async def open_file(self, path: str, fd: int, name: str) -> None:
        """The content of ``path`` from a regular file that is open at its beginning, and is
        closed here; errors call it ``name``."""
        return await self._run(self._put.open_file, path, fd, name)

    async def stream(self, path: str, stream: Readable, *, append: bool = False) -> None:
        """The content of ``path`` from anything with ``read``, to its end."""
        return await self._run(self._put.stream, path, stream, append=append)

    async def directory(
        self,
        path: str,
        name: str,
        *,
        append: bool = False,
        keep: Callable[[str], bool] | None = None,
    ) -> None:
        """Everything below directory ``name`` to below ``path``; see ``walk``.

        ``keep`` decides by the path from ``name`` whether a file is taken.
        """
        return await self._run(self._put.directory, path, name, append=append, keep=keep)

    async def split(self, path: str, stream: Readable, how: Mapping[str, object]) -> None:
        """The records of ``stream`` as the files of directory ``path``.

        ``how``: split (line, json, sql or csv), target_file_datums, target_file_bytes,
        header_records, append.
        """
        return await self._run(self._put.split, path, stream, how)

    async def url(
        self, path: str, url: str, *, recursive: bool = False, append: bool = False
    ) -> None:
        """Have the box fetch ``url`` into ``path``."""
        return await self._run(self._put.url, path, url, recursive=recursive, append=append)

    async def delete(self, path: str) -> None:
        """Remove ``path``: a file, a directory with all below it, or what a glob matches."""
        return await self._run(self._put.delete, path)

    async def copy(self, path: str, source: Mapping[str, str], *, append: bool = False) -> None:
        """Copy to ``path`` from ``source``: project, repo, ref and path of a file or directory."""
        return await self._run(self._put.copy, path, source, append=append)


class AsyncCommit(AsyncBlock[OpenCommit]):
    """An open commit; see ``OpenCommit``. Use as ``async with box.commit(...) as commit``."""

    async def __aenter__(self) -> AsyncCommit:
        await self._open()
        return self

    def __str__(self) -> str:
        return str(self._block)

    def put(self) -> AsyncPut:
        """Begin an upload of several changes to this commit."""
        return AsyncPut(self._client, str(self), "", None)

    async def put_file(self, path: str, source: Source, *, append: bool = False) -> PutResult:
        """One file; see ``Client.put_file``."""
        return await self._run(self._block.put_file, path, source, append=append)

    async def put_files(
        self,
        path: str,
        directory: str | os.PathLike[str],
        *,
        append: bool = False,
        progress: Progress | bool | None = None,
    ) -> PutResult:
        """Everything below a directory of this machine; see ``Client.put_files``."""
        return await self._run(
            self._block.put_files, path, directory, append=append, progress=progress
        )

    async def put_url(self, path: str, url: str, *, recursive: bool = False) -> PutResult:
        """A file the box fetches from ``url``."""
        return await self._run(self._block.put_url, path, url, recursive=recursive)

    async def copy_file(self, source: str, path: str, *, append: bool = False) -> PutResult:
        """Copy ``repo@ref:path`` to here; no bytes move."""
        return await self._run(self._block.copy_file, source, path, append=append)

    async def delete_file(self, path: str) -> PutResult:
        """Remove a file, a directory with all below it, or what a glob matches."""
        return await self._run(self._block.delete_file, path)

    async def get_file(self, path: str) -> bytes:
        """One file as it is in this commit now."""
        return await self._run(self._block.get_file, path)

    def list_file(self, path: str = "/") -> AsyncStream[FileInfo]:
        """What is in a directory of this commit now."""
        return self._stream(lambda: self._block.list_file(path))

    async def wait(self) -> CommitInfo:
        """After the block: wait until the commit is finished."""
        return await self._run(self._block.wait)


class AsyncTransaction(AsyncBlock[Transaction]):
    """A transaction; see ``Transaction``. Use as ``async with box.transaction()``."""

    async def __aenter__(self) -> AsyncTransaction:
        await self._open()
        return self

    @property
    def info(self) -> Json:
        """What was done, once the block has ended well."""
        return self._block.info


class AsyncClient(AsyncBase):
    """A box, from asyncio: the methods of ``Client``, awaited; streams by ``async for``."""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def put(
        self, target: str, *, description: str = "", progress: Progress | None = None
    ) -> AsyncPut:
        """Begin an upload to ``repo@ref``: an ``async with`` block whose content is one commit."""
        return AsyncPut(self, target, description, progress)

    def commit(
        self, branch: str, *, parent: str | None = None, description: str = ""
    ) -> AsyncCommit:
        """An open commit on ``repo@branch``: finished at the block's end, dropped by an error."""
        return AsyncCommit(self, OpenCommit(self._sync, branch, parent, description))

    def transaction(self) -> AsyncTransaction:
        """A transaction: what is asked in the block is done at its end, all of it or nothing."""
        return AsyncTransaction(self, Transaction(self._sync))

    async def create_project(
        self, name: str, description: str = "", *, update: bool = False
    ) -> None:
        """Make a project, or with ``update`` change its description."""
        return await self._run(self._sync.create_project, name, description, update=update)

    async def inspect_project(self, name: str) -> ProjectInfo:
        """One project."""
        return await self._run(self._sync.inspect_project, name)

    def list_project(self) -> AsyncStream[ProjectInfo]:
        """All projects."""
        return self._stream(lambda: self._sync.list_project())

    async def delete_project(self, name: str, *, force: bool = False) -> None:
        """Remove a project. Refused when it holds anything, unless ``force``."""
        return await self._run(self._sync.delete_project, name, force=force)

    async def create_repo(self, repo: str, description: str = "", *, update: bool = False) -> None:
        """Make a repo, or with ``update`` change its description."""
        return await self._run(self._sync.create_repo, repo, description, update=update)

    async def inspect_repo(self, repo: str) -> RepoInfo:
        """One repo."""
        return await self._run(self._sync.inspect_repo, repo)

    def list_repo(self, *, type: str = "user", all_projects: bool = False) -> AsyncStream[RepoInfo]:
        """The repos of the client's project, or of all; ``type`` "all" gives system repos too."""
        return self._stream(lambda: self._sync.list_repo(type=type, all_projects=all_projects))

    async def delete_repo(self, repo: str, *, force: bool = False) -> bool:
        """Remove a repo with its history; False when there was none.

        Refused when a pipeline reads it or writes it, unless ``force``.
        """
        return await self._run(self._sync.delete_repo, repo, force=force)

    async def delete_repos(self, *, all_projects: bool = False, force: bool = False) -> list[Json]:
        """Remove every repo of the client's project, or of all; returns their names' messages."""
        return await self._run(self._sync.delete_repos, all_projects=all_projects, force=force)

    async def create_branch(
        self,
        branch: str,
        *,
        head: str | None = None,
        provenance: Iterable[str] | None = None,
        trigger: Json | None = None,
    ) -> None:
        """Make or move a branch. Its provenance becomes exactly what is given.

        ``head`` is a branch or commit of the same repo, or ``repo@ref``; without it the branch
        stays where it is.
        """
        return await self._run(
            self._sync.create_branch, branch, head=head, provenance=provenance, trigger=trigger
        )

    async def inspect_branch(self, branch: str) -> BranchInfo:
        """One branch."""
        return await self._run(self._sync.inspect_branch, branch)

    def list_branch(self, repo: str) -> AsyncStream[BranchInfo]:
        """The branches of a repo, newest first."""
        return self._stream(lambda: self._sync.list_branch(repo))

    async def delete_branch(self, branch: str, *, force: bool = False) -> None:
        """Remove a branch; its commits stay. Refused when others depend on it, unless forced."""
        return await self._run(self._sync.delete_branch, branch, force=force)

    async def start_commit(
        self, branch: str, *, parent: str | None = None, description: str = ""
    ) -> str:
        """Open a commit on ``repo@branch``; return its id.

        ``parent`` is a branch or commit of the same repo (default: the branch's head).
        """
        return await self._run(
            self._sync.start_commit, branch, parent=parent, description=description
        )

    async def finish_commit(
        self, commit: str, *, description: str = "", error: str = "", force: bool = False
    ) -> None:
        """Close an open commit; ``description`` replaces the one given at its start."""
        return await self._run(
            self._sync.finish_commit, commit, description=description, error=error, force=force
        )

    async def clear_commit(self, commit: str) -> None:
        """Take out all that was put into an open commit."""
        return await self._run(self._sync.clear_commit, commit)

    async def inspect_commit(self, commit: str) -> CommitInfo:
        """One commit."""
        return await self._run(self._sync.inspect_commit, commit)

    async def wait_commit(self, commit: str) -> CommitInfo:
        """Wait until a commit is finished; look at ``error`` for how it went."""
        return await self._run(self._sync.wait_commit, commit)

    def list_commit(
        self,
        repo: str,
        *,
        start: str | None = None,
        number: int | None = None,
        all: bool = False,
        origin: str | None = None,
    ) -> AsyncStream[CommitInfo]:
        """The commits of ``repo`` or of ``repo@ref`` backwards, newest first.

        ``start`` is the ref to stop at, ``number`` bounds the count, ``all`` includes those made
        by the box itself, ``origin`` is USER, AUTO or FSCK.
        """
        return self._stream(
            lambda: self._sync.list_commit(repo, start=start, number=number, all=all, origin=origin)
        )

    def list_commit_set(self) -> AsyncStream[CommitSetInfo]:
        """All runs of the client's project, newest first."""
        return self._stream(lambda: self._sync.list_commit_set())

    def inspect_commit_set(self, id: str, *, wait: bool = False) -> AsyncStream[CommitInfo]:
        """The commits that share an id; with ``wait`` each as it finishes."""
        return self._stream(lambda: self._sync.inspect_commit_set(id, wait=wait))

    def subscribe_commit(
        self,
        branch: str,
        *,
        start: str | None = None,
        state: str = "FINISHED",
        all: bool = False,
        origin: str | None = None,
    ) -> AsyncStream[CommitInfo]:
        """The commits of ``repo[@branch]`` that have reached ``state``, then new ones for ever.

        ``start`` is the commit after which to begin.
        """
        return self._stream(
            lambda: self._sync.subscribe_commit(
                branch, start=start, state=state, all=all, origin=origin
            )
        )

    def flush_commit(
        self, commits: Iterable[str], repos: Iterable[str] = ()
    ) -> AsyncStream[CommitInfo]:
        """Wait for everything downstream of all of ``commits``: each commit as it finishes.

        ``repos`` keeps only the commits of those repos.
        """
        return self._stream(lambda: self._sync.flush_commit(commits, repos))

    async def delete_commit(self, commit: str) -> list[str]:
        """Remove an input commit and all made from it (1.x); returns what went, as refs.

        Data a child inherited stays in the child.
        """
        return await self._run(self._sync.delete_commit, commit)

    async def drop_commit(self, commit: str, *, recursive: bool = False) -> None:
        """Remove one head commit with its data; ``recursive`` takes what was made from it."""
        return await self._run(self._sync.drop_commit, commit, recursive=recursive)

    async def drop_commit_set(self, id: str) -> None:
        """Remove all commits of a run; each must be a head."""
        return await self._run(self._sync.drop_commit_set, id)

    async def squash_commit(self, commit: str, *, recursive: bool = False) -> None:
        """Remove one commit, leaving its data to its child."""
        return await self._run(self._sync.squash_commit, commit, recursive=recursive)

    async def squash_commit_set(self, id: str) -> None:
        """Remove all commits of a run, leaving their data to their children."""
        return await self._run(self._sync.squash_commit_set, id)

    def find_commit(self, file: str, *, limit: int | None = None) -> AsyncStream[Json]:
        """Walk back from ``repo@ref:path``: the commits in which the path changed.

        Records are pfs_v2.FindCommitsResponse: ``foundCommit``, at the end
        ``lastSearchedCommit`` and ``commitsSearched``.
        """
        return self._stream(lambda: self._sync.find_commit(file, limit=limit))

    async def put_file(
        self,
        target: str,
        source: Source,
        *,
        append: bool = False,
        progress: Progress | bool | None = None,
    ) -> PutResult:
        """One file from bytes, a file's name, anything with ``read``, or pieces one by one.

        Arrays count as their bytes; text that is read or iterated over is put as UTF-8.
        """
        return await self._run(
            self._sync.put_file, target, source, append=append, progress=progress
        )

    async def put_files(
        self,
        target: str,
        directory: str | os.PathLike[str],
        *,
        append: bool = False,
        keep: Callable[[str], bool] | None = None,
        progress: Progress | bool | None = None,
    ) -> PutResult:
        """Everything below ``directory`` to below the target's path, as one commit.

        ``keep`` decides by relative path whether a file is taken. Links to files are followed;
        other links and special files raise InvalidArgument, and nothing is committed.
        ``progress`` True shows a line on standard error.
        """
        return await self._run(
            self._sync.put_files, target, directory, append=append, keep=keep, progress=progress
        )

    async def put_url(
        self, target: str, url: str, *, recursive: bool = False, append: bool = False
    ) -> PutResult:
        """A file the box fetches from ``url``; ``recursive`` takes all under a prefix."""
        return await self._run(self._sync.put_url, target, url, recursive=recursive, append=append)

    async def copy_file(self, source: str, target: str, *, append: bool = False) -> PutResult:
        """Copy a file or directory; no bytes move."""
        return await self._run(self._sync.copy_file, source, target, append=append)

    async def delete_file(self, file: str) -> PutResult:
        """Remove a file, a directory with all below it, or what a glob matches."""
        return await self._run(self._sync.delete_file, file)

    async def get_file(self, file: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        """One file's content from ``offset`` on, ``limit`` bytes of it at most."""
        return await self._run(self._sync.get_file, file, offset=offset, limit=limit)

    async def archive_url(self, *files: str) -> str:
        """Where a browser gets ``files`` (``repo@ref:path``: files, directories, globs) as a zip.

        It holds some hundred names; take directories and globs where there are more. Over the
        socket the address has no host: only a box that listens on a port has one.
        """
        return await self._run(self._sync.archive_url)

    async def save_file(
        self,
        file: str,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        offset: int = 0,
        glob: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """One file's content into a file or a binary stream; return the bytes written.

        With ``glob`` the path is a pattern, and the content of all files it matches is joined,
        the header of a split directory once. A file of that name is replaced once all has arrived.
        """
        return await self._run(
            self._sync.save_file, file, target, offset=offset, glob=glob, progress=progress
        )

    async def get_files(
        self,
        source: str,
        directory: str | os.PathLike[str],
        *,
        glob: bool = False,
        progress: Progress | bool | None = None,
    ) -> tuple[int, int]:
        """A directory with all below it, into ``directory``; return (files, bytes).

        Names are relative to the source's path; with ``glob`` it is a pattern, and names are
        relative to the last directory before its first special character.
        """
        return await self._run(
            self._sync.get_files, source, directory, glob=glob, progress=progress
        )

    async def inspect_file(self, file: str) -> FileInfo:
        """One file or directory."""
        return await self._run(self._sync.inspect_file, file)

    def list_file(
        self, directory: str, *, number: int | None = None, reverse: bool = False
    ) -> AsyncStream[FileInfo]:
        """What is in a directory, by name."""
        return self._stream(lambda: self._sync.list_file(directory, number=number, reverse=reverse))

    def walk_file(self, directory: str) -> AsyncStream[FileInfo]:
        """Everything below a directory, directories too, ordered by path."""
        return self._stream(lambda: self._sync.walk_file(directory))

    def glob_file(self, pattern: str) -> AsyncStream[FileInfo]:
        """Files and directories whose path matches ``repo@ref:pattern``."""
        return self._stream(lambda: self._sync.glob_file(pattern))

    def diff_file(
        self, new: str, old: str | None = None, *, shallow: bool = False
    ) -> AsyncStream[FileChange]:
        """What differs between two paths; ``old`` defaults to the same path one commit before."""
        return self._stream(lambda: self._sync.diff_file(new, old, shallow=shallow))

    def list_history(self, file: str, *, depth: int = -1) -> AsyncStream[FileInfo]:
        """The distinct versions of a path, newest first; at most ``depth`` (-1: all)."""
        return self._stream(lambda: self._sync.list_history(file, depth=depth))

    async def create_fileset(
        self, files: Mapping[str, bytes | str | os.PathLike[str]], deleted: Iterable[str] = ()
    ) -> str:
        """Keep ``files`` (bytes, or names of files here) by their path; returns the fileset.

        Added to a commit they replace what is there, and what ``deleted`` names goes.
        """
        return await self._run(self._sync.create_fileset, files, deleted)

    async def upload_fileset(self) -> Put:
        """Begin an upload to a new fileset: a ``with`` block; ``fileset`` then has its id."""
        return await self._run(self._sync.upload_fileset)

    async def get_fileset(self, commit: str) -> str:
        """The content of ``repo@ref`` as a fileset."""
        return await self._run(self._sync.get_fileset, commit)

    async def add_fileset(self, commit: str, fileset: str) -> None:
        """Put a fileset's files into an open commit; no bytes move."""
        return await self._run(self._sync.add_fileset, commit, fileset)

    async def renew_fileset(self, fileset: str, seconds: int) -> None:
        """Keep a fileset for ``seconds`` from now."""
        return await self._run(self._sync.renew_fileset, fileset, seconds)

    async def compose_filesets(self, filesets: Iterable[str], seconds: int = 600) -> str:
        """One fileset that does what several do, one after the other."""
        return await self._run(self._sync.compose_filesets, filesets, seconds)

    async def create_pipelines(
        self,
        spec: str | Json,
        *,
        source: str = "",
        update: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
        runner: str = "",
        more: Sequence[tuple[str, str]] = (),
        if_version: int | None = None,
    ) -> tuple[list[CreatedPipeline], list[str]]:
        """Make the pipelines of a spec (JSON or YAML text, or a dict); also the warnings.

        ``source`` names where the text came from, for messages. ``dry_run`` only checks it.
        ``more`` has further texts, each with its source. All are made, or none, those that
        others read before those that read them. With ``if_version`` the spec is of one pipeline,
        and is Refused, nothing done, when that is no longer (or not yet) at this version.
        """
        return await self._run(
            self._sync.create_pipelines,
            spec,
            source=source,
            update=update,
            reprocess=reprocess,
            dry_run=dry_run,
            runner=runner,
            more=more,
            if_version=if_version,
        )

    async def create_pipeline(
        self,
        name: str,
        *,
        input: Json,
        cmd: Sequence[str],
        stdin: Sequence[str] = (),
        image: str = "",
        update: bool = False,
        reprocess: bool = False,
        **spec: object,
    ) -> CreatedPipeline:
        """Make one pipeline. ``spec`` takes the other fields of a spec (docs/spec.md).

        >>> box.create_pipeline("edges", cmd=["python3", "edges.py"],
        ...                     input={"pfs": {"repo": "images", "glob": "/*"}})
        """
        return await self._run(
            self._sync.create_pipeline,
            name,
            input=input,
            cmd=cmd,
            stdin=stdin,
            image=image,
            update=update,
            reprocess=reprocess,
            **spec,
        )

    async def validate_pipelines(
        self,
        spec: str | Json,
        *,
        source: str = "",
        runner: str = "",
        more: Sequence[tuple[str, str]] = (),
    ) -> tuple[list[str], list[str], list[str]]:
        """Check a spec without making anything: the names of the pipelines whose specs are
        right, every problem there is, and the warnings. ``more`` as in create_pipelines."""
        return await self._run(
            self._sync.validate_pipelines, spec, source=source, runner=runner, more=more
        )

    async def move_pipelines(
        self,
        pipelines: Sequence[str] = (),
        *,
        runner: str = "",
        all_projects: bool = False,
        dry_run: bool = False,
    ) -> tuple[list[MovedPipeline], list[str]]:
        """Have pipelines run by another runner, with the specs they have; also the warnings. None
        named: all of the project that have an image. ``runner`` left out is what the box would
        choose now. All are moved, or none; those that it runs already are left out. Results that
        are there stay."""
        return await self._run(
            self._sync.move_pipelines,
            pipelines,
            runner=runner,
            all_projects=all_projects,
            dry_run=dry_run,
        )

    def diff_pipelines(
        self,
        spec: str | Json,
        *,
        source: str = "",
        reprocess: bool = False,
        runner: str = "",
        more: Sequence[tuple[str, str]] = (),
    ) -> AsyncStream[PipelineDifference]:
        """What updating to a spec would change and run, pipeline by pipeline, nothing done.
        Arguments as in create_pipelines."""
        return self._stream(
            lambda: self._sync.diff_pipelines(
                spec, source=source, reprocess=reprocess, runner=runner, more=more
            )
        )

    async def inspect_pipeline(self, pipeline: str) -> PipelineInfo:
        """One pipeline with its spec."""
        return await self._run(self._sync.inspect_pipeline, pipeline)

    def list_pipeline(
        self,
        pipeline: str | None = None,
        *,
        history: int = 0,
        commit_set: str | None = None,
        all_projects: bool = False,
    ) -> AsyncStream[PipelineInfo]:
        """The pipelines of the client's project, or of all.

        ``history`` adds that many earlier versions (-1 all); ``commit_set`` shows them as they
        were in that run.
        """
        return self._stream(
            lambda: self._sync.list_pipeline(
                pipeline, history=history, commit_set=commit_set, all_projects=all_projects
            )
        )

    def list_image(self, *, all_projects: bool = False) -> AsyncStream[ImageInfo]:
        """The images that pipelines run: to what each is pinned, and which are missing."""
        return self._stream(lambda: self._sync.list_image(all_projects=all_projects))

    async def extract_pipeline(self, pipeline: str, *, version: int = 0) -> str:
        """The spec of a version (0: the newest) as JSON that can make it again."""
        return await self._run(self._sync.extract_pipeline, pipeline, version=version)

    async def delete_pipeline(
        self, pipeline: str, *, force: bool = False, keep_repo: bool = False
    ) -> None:
        """Remove a pipeline, its jobs, and unless ``keep_repo`` its output repo."""
        return await self._run(
            self._sync.delete_pipeline, pipeline, force=force, keep_repo=keep_repo
        )

    async def delete_pipelines(
        self, *, all_projects: bool = False, force: bool = False, keep_repo: bool = False
    ) -> list[Json]:
        """Remove every pipeline of the client's project, or of all."""
        return await self._run(
            self._sync.delete_pipelines, all_projects=all_projects, force=force, keep_repo=keep_repo
        )

    async def start_pipeline(self, pipeline: str) -> None:
        """Resume a stopped pipeline: one job for the present heads."""
        return await self._run(self._sync.start_pipeline, pipeline)

    async def stop_pipeline(self, pipeline: str) -> None:
        """Pause a pipeline: running jobs are killed, new commits make none."""
        return await self._run(self._sync.stop_pipeline, pipeline)

    async def run_pipeline(
        self, pipeline: str, provenance: Iterable[str] = (), *, job: str = ""
    ) -> str:
        """Run once on chosen commits (``repo@ref``), heads for the rest; returns the job.

        ``job`` takes its commits from an earlier job.
        """
        return await self._run(self._sync.run_pipeline, pipeline, provenance, job=job)

    async def run_cron(self, pipeline: str) -> None:
        """Tick every cron input of a pipeline now."""
        return await self._run(self._sync.run_cron, pipeline)

    async def rerun_pipeline(self, pipeline: str, *, reprocess: bool = False) -> None:
        """A new job on the present heads; ``reprocess`` skips no datum."""
        return await self._run(self._sync.rerun_pipeline, pipeline, reprocess=reprocess)

    async def build_pipeline(
        self,
        spec: Json,
        folder: str | os.PathLike[str] = ".",
        *,
        update: bool = False,
        reprocess: bool = False,
        runner: str = "",
    ) -> CreatedPipeline:
        """Make a pipeline whose ``transform.build`` names its source, relative to ``folder``.

        With ``update`` change it; nothing is uploaded, built or run again that did not change.
        ``reprocess`` builds again too.

        >>> box.build_pipeline({"pipeline": {"name": "edges"},
        ...     "transform": {"build": {"language": "python", "path": "edges"}},
        ...     "input": {"pfs": {"repo": "images", "glob": "/*"}}})
        """
        return await self._run(
            self._sync.build_pipeline,
            spec,
            folder,
            update=update,
            reprocess=reprocess,
            runner=runner,
        )

    async def create_python_pipeline(
        self,
        path: str | os.PathLike[str],
        input: object = None,
        pipeline_name: str | None = None,
        image_pull_secrets: Sequence[str] | None = None,
        debug: bool | None = None,
        env: Mapping[str, str] | None = None,
        secrets: Sequence[object] | None = None,
        image: str | None = None,
        update: bool = False,
        **pipeline_kwargs: object,
    ) -> CreatedPipeline:
        """Make a pipeline of a directory with a main.py, or of one Python file.

        The packages of its requirements.txt (else pyproject.toml) are built once for each change
        of that list; a build.sh or run.sh beside it takes the place of what builds and runs, with
        the source in /pfs/source and what was built in /pfs/build. ``debug`` logs each command
        of these scripts. ``input`` is an object as in specs; without one the code has one datum and
        its source alone. The name defaults to the last element of ``path``, without ``.py``.
        Without ``image`` it runs on this machine; with one, which needs python3 and pip, in that.
        ``pipeline_kwargs`` are the other fields of a spec, ``reprocess`` and ``runner``.
        """
        return await self._run(
            self._sync.create_python_pipeline,
            path,
            input,
            pipeline_name,
            image_pull_secrets,
            debug,
            env,
            secrets,
            image,
            update,
            **pipeline_kwargs,
        )

    def open_trial(self) -> AsyncStream[TrialEvent]:
        """Open a session: a stream of what happens in it, and its life. The first event names it
        (``event.trial``); closing the stream ends it, and nothing is left behind."""
        return self._stream(lambda: self._sync.open_trial())

    async def run_trial(
        self,
        trial: str,
        spec: str | Json,
        *,
        source: str = "",
        pipeline: str = "",
        sample: int = 3,
        datums: Iterable[str] = (),
        inputs: Iterable[str] = (),
        fileset: str = "",
        programs: Iterable[str] = (),
        place: str = "",
        build: str | Json = "",
        runner: str = "",
    ) -> int:
        """Begin a run in a session; the one before is cancelled. Returns its number.

        ``sample`` datums are run, spread evenly over all (0: all), or those of ``datums``: ids, or
        paths of inputs. ``inputs`` (``repo@ref``) are read in place of heads. ``fileset`` holds
        what changed in the source code since the last run, ``programs`` the paths of all its
        files that may be executed; code sees it at ``place``, and starts there, unless the spec
        has a working_dir. With ``build``, the spec of a pipeline that builds, the source is what
        that reads. ``pipeline`` chooses one of several specs; ``source`` is as in
        ``create_pipelines``.
        """
        return await self._run(
            self._sync.run_trial,
            trial,
            spec,
            source=source,
            pipeline=pipeline,
            sample=sample,
            datums=datums,
            inputs=inputs,
            fileset=fileset,
            programs=programs,
            place=place,
            build=build,
            runner=runner,
        )

    async def save_trial(self, trial: str) -> str:
        """The outputs of the last run, put together as a job would, as a fileset: read it as the
        commit ``__filesets__@ID``."""
        return await self._run(self._sync.save_trial, trial)

    async def create_ingest(
        self,
        spec: str | Json | list[Json],
        *,
        source: str = "",
        update: bool = False,
        reset: bool = False,
    ) -> list[CreatedIngest]:
        """Make the sources of a spec (JSON or YAML text, or one or several dicts), all or none.

        ``source`` names where the text came from, for messages. With ``update`` those that are
        there are changed and go on from where they are, with ``reset`` from the beginning.

        >>> box.create_ingest({"name": "drops", "to": "raw@master", "watch": {"path": "/data/in"}})
        """
        return await self._run(
            self._sync.create_ingest, spec, source=source, update=update, reset=reset
        )

    def list_ingest(self, projects: Iterable[str] = ()) -> AsyncStream[IngestInfo]:
        """Every source of the projects (none given: of all), by name: also the cron inputs and
        spouts of pipelines."""
        return self._stream(lambda: self._sync.list_ingest(projects))

    async def inspect_ingest(self, name: str) -> IngestInfo:
        """One source. A cron input goes by the name of the repo of its ticks, a spout by that of
        its pipeline."""
        return await self._run(self._sync.inspect_ingest, name)

    async def pause_ingest(self, name: str) -> None:
        """Have a source bring nothing until it is resumed, also when the box restarts."""
        return await self._run(self._sync.pause_ingest, name)

    async def resume_ingest(self, name: str) -> None:
        """Have a paused source go on from where it was."""
        return await self._run(self._sync.resume_ingest, name)

    async def run_ingest(self, name: str) -> None:
        """Have a source do now what it would do later: look, tick, commit what waits, start
        again."""
        return await self._run(self._sync.run_ingest, name)

    async def delete_ingest(self, name: str) -> None:
        """End and remove a source, with its logs. What it committed stays."""
        return await self._run(self._sync.delete_ingest, name)

    def ingest_log(
        self, name: str, *, follow: bool = False, tail: int = 0, since_s: float = 0.0
    ) -> AsyncStream[LogMessage]:
        """What a source says, and (``user``) what its program does; the last ``tail`` lines (0:
        all). With ``follow`` new ones too, until the source is deleted."""
        return self._stream(
            lambda: self._sync.ingest_log(name, follow=follow, tail=tail, since_s=since_s)
        )

    async def advance_ingest(
        self,
        name: str,
        *,
        version: int,
        batch: int,
        offset: str,
        fileset: str = "",
        append: bool = False,
        deletes: Iterable[str] = (),
        marker: str = "",
        dead: str = "",
        records: int = 0,
        bytes: int = 0,
        files: int = 0,
        dead_letters: int = 0,
        description: str = "",
        made: str = "",
    ) -> str:
        """For sources: commit what came in (filesets, which that uses up: see ``upload_fileset``)
        together with how far the source has come. ``batch`` is the number after the last; one
        that was committed already is not committed again. Returns the newest commit of the
        source, if any."""
        return await self._run(
            self._sync.advance_ingest,
            name,
            version=version,
            batch=batch,
            offset=offset,
            fileset=fileset,
            append=append,
            deletes=deletes,
            marker=marker,
            dead=dead,
            records=records,
            bytes=bytes,
            files=files,
            dead_letters=dead_letters,
            description=description,
            made=made,
        )

    async def cluster_defaults(self) -> Json:
        """The defaults of every pipeline: ``{"createPipelineRequest": {...}}``."""
        return await self._run(self._sync.cluster_defaults)

    async def set_cluster_defaults(
        self,
        defaults: Json | str,
        *,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> list[str]:
        """Set the defaults of every pipeline, as a value or as JSON text; returns the names of the
        pipelines they change (``project/name``). With ``dry_run`` nothing is changed.

        ``regenerate`` makes those anew, ``reprocess`` with all their datums.
        """
        return await self._run(
            self._sync.set_cluster_defaults,
            defaults,
            regenerate=regenerate,
            reprocess=reprocess,
            dry_run=dry_run,
        )

    async def project_defaults(self, project: str | None = None) -> Json:
        """The defaults of a project's pipelines (of the client's project without a name)."""
        return await self._run(self._sync.project_defaults, project)

    async def set_project_defaults(
        self,
        defaults: Json | str,
        project: str | None = None,
        *,
        regenerate: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> list[str]:
        """Set the defaults of a project's pipelines; as ``set_cluster_defaults``."""
        return await self._run(
            self._sync.set_project_defaults,
            defaults,
            project,
            regenerate=regenerate,
            reprocess=reprocess,
            dry_run=dry_run,
        )

    async def render_template(
        self, template: str, args: Mapping[str, str] | None = None
    ) -> list[Json]:
        """The specs a Jsonnet template makes of ``args``."""
        return await self._run(self._sync.render_template, template, args)

    async def repos_summary(self) -> list[Json]:
        """How many user repos each project has, and their size (pfs_v2.ReposSummary)."""
        return await self._run(self._sync.repos_summary)

    async def pipelines_summary(self) -> list[Json]:
        """How many pipelines of each project run, are paused, failed (pps_v2.PipelinesSummary)."""
        return await self._run(self._sync.pipelines_summary)

    async def inspect_job(self, job: str) -> JobInfo:
        """One job."""
        return await self._run(self._sync.inspect_job, job)

    async def wait_job(self, job: str) -> JobInfo:
        """Wait until a job has ended; look at ``state`` for how it went."""
        return await self._run(self._sync.wait_job, job)

    def inspect_job_set(self, id: str, *, wait: bool = False) -> AsyncStream[JobInfo]:
        """The jobs that share an id; with ``wait`` each as it ends."""
        return self._stream(lambda: self._sync.inspect_job_set(id, wait=wait))

    def list_job(
        self,
        pipeline: str | None = None,
        *,
        inputs: Iterable[str] = (),
        history: int = 0,
        number: int | None = None,
        all_projects: bool = False,
    ) -> AsyncStream[JobInfo]:
        """Jobs, newest first: of a pipeline, or of the client's project, or of all.

        ``inputs`` (``repo@ref``) keeps jobs that read those commits; ``history`` adds jobs of
        that many earlier pipeline versions (-1 all).
        """
        return self._stream(
            lambda: self._sync.list_job(
                pipeline, inputs=inputs, history=history, number=number, all_projects=all_projects
            )
        )

    def list_job_set(self, *, number: int | None = None) -> AsyncStream[JobSetInfo]:
        """Runs of the client's project, newest first."""
        return self._stream(lambda: self._sync.list_job_set(number=number))

    def subscribe_job(self, pipeline: str) -> AsyncStream[JobInfo]:
        """Every job of a pipeline whenever it changes, for ever."""
        return self._stream(lambda: self._sync.subscribe_job(pipeline))

    def flush_job(
        self, commits: Iterable[str], pipelines: Iterable[str] = ()
    ) -> AsyncStream[JobInfo]:
        """Wait for every job downstream of all of ``commits``: each as it ends."""
        return self._stream(lambda: self._sync.flush_job(commits, pipelines))

    async def stop_job(self, job: str, *, reason: str = "") -> None:
        """Kill a job; its output commit is closed empty."""
        return await self._run(self._sync.stop_job, job, reason=reason)

    async def delete_job(self, job: str) -> None:
        """Stop a job and remove its record; the output commit stays."""
        return await self._run(self._sync.delete_job, job)

    def list_datum(
        self,
        job: str | None = None,
        *,
        input: Json | None = None,
        states: Iterable[str] = (),
        after: str | None = None,
        number: int | None = None,
    ) -> AsyncStream[DatumInfo]:
        """The datums of a job, or those that a spec's ``input`` would make now.

        ``states`` keeps FAILED, SUCCESS, SKIPPED, STARTING, RECOVERED; ``after`` is the id of
        the last datum of the page before.
        """
        return self._stream(
            lambda: self._sync.list_datum(
                job, input=input, states=states, after=after, number=number
            )
        )

    async def inspect_datum(self, job: str, datum: str) -> DatumInfo:
        """One datum of a job."""
        return await self._run(self._sync.inspect_datum, job, datum)

    async def restart_datum(self, job: str, filters: Iterable[str]) -> None:
        """Have the running datum whose inputs match all ``filters`` (paths, hashes) tried again."""
        return await self._run(self._sync.restart_datum, job, filters)

    def logs(
        self,
        pipeline: str | None = None,
        job: str | None = None,
        *,
        datum: str | None = None,
        inputs: Iterable[str] = (),
        master: bool = False,
        follow: bool = False,
        tail: int | None = None,
        since_s: float | None = None,
    ) -> AsyncStream[LogMessage]:
        """Log lines of a pipeline, a job or a datum; with ``follow`` new ones too.

        ``job`` may be an id alone: of all jobs of that run. ``inputs`` are paths or hashes: a
        line is kept when its datum has all of them. ``master`` adds what the box says.
        """
        return self._stream(
            lambda: self._sync.logs(
                pipeline,
                job,
                datum=datum,
                inputs=inputs,
                master=master,
                follow=follow,
                tail=tail,
                since_s=since_s,
            )
        )

    def box_log(
        self,
        pipeline: str = "",
        job: str = "",
        *,
        follow: bool = False,
        tail: int = 0,
        since_s: float = 0.0,
    ) -> AsyncStream[LogMessage]:
        """What the box itself said, of all or about a pipeline or a job; with ``follow`` new
        lines too."""
        return self._stream(
            lambda: self._sync.box_log(pipeline, job, follow=follow, tail=tail, since_s=since_s)
        )

    async def read_log(
        self,
        *,
        pipeline: str = "",
        job: str = "",
        datum: str = "",
        ingest: str = "",
        after: int | None = None,
        before: int | None = None,
        lines: int = 500,
    ) -> LogPart:
        """Up to ``lines`` lines that begin at or ``after`` a place, or (the last such) ``before``
        it; with neither, the last of the log."""
        return await self._run(
            self._sync.read_log,
            pipeline=pipeline,
            job=job,
            datum=datum,
            ingest=ingest,
            after=after,
            before=before,
            lines=lines,
        )

    async def find_log(
        self,
        *,
        pattern: str,
        pipeline: str = "",
        job: str = "",
        datum: str = "",
        ingest: str = "",
        after: int = 0,
        back: bool = False,
        regex: bool = True,
    ) -> LogEntry | None:
        """The first line that begins at or after ``after`` and has the pattern in it; with ``back``
        the last one that begins before. A pattern is a regular expression of RE2's syntax
        (``(?i)`` for either case), or without ``regex`` the text itself."""
        return await self._run(
            self._sync.find_log,
            pattern=pattern,
            pipeline=pipeline,
            job=job,
            datum=datum,
            ingest=ingest,
            after=after,
            back=back,
            regex=regex,
        )

    def follow_log(
        self, *, after: int, pipeline: str = "", job: str = "", datum: str = "", ingest: str = ""
    ) -> AsyncStream[LogEntry]:
        """Lines that begin at or after ``after``, and new ones as they come: of a job until it is
        over, else for ever.

        When the connection is lost it is made again and continues with the next line, so none is
        missed or seen twice; after ``patience_s`` without an answer Unreachable is raised.
        """
        return self._stream(
            lambda: self._sync.follow_log(
                after=after, pipeline=pipeline, job=job, datum=datum, ingest=ingest
            )
        )

    async def check_spec(
        self,
        text: str,
        *,
        source: str = "",
        project: str = "",
        runner: str = "",
        kind: str = "pipeline",
    ) -> SpecCheck:
        """Everything wrong with a text (JSON or YAML, one spec or several) and where, however bad
        it is. ``source`` is its name: one that ends in ``.jsonnet`` is evaluated first. ``kind``
        is ``pipeline`` or ``ingest``."""
        return await self._run(
            self._sync.check_spec, text, source=source, project=project, runner=runner, kind=kind
        )

    async def describe_spec(self, kind: str = "pipeline") -> tuple[SpecField, ...]:
        """Every field that a spec may have, parents before their children; ``kind`` as in
        ``check_spec``."""
        return await self._run(self._sync.describe_spec, kind)

    async def preview_input(
        self, spec: str | Json, *, project: str = "", limit: int = 50
    ) -> InputPreview:
        """What the input of a draft (the text of a spec, or an input alone) would be now: how many
        datums, how large, and the first ``limit``. The work is bounded, also over millions."""
        return await self._run(self._sync.preview_input, spec, project=project, limit=limit)

    async def create_secret(
        self, file: bytes | str | Json, data: Mapping[str, str | bytes] | None = None
    ) -> None:
        """Keep a secret: a Kubernetes Secret as JSON or YAML text, or a dict.

        With ``data``, its keys and values, ``file`` is but the secret's name.
        """
        return await self._run(self._sync.create_secret, file, data)

    async def inspect_secret(self, name: str) -> SecretInfo:
        """One secret: its name, type and age."""
        return await self._run(self._sync.inspect_secret, name)

    async def list_secret(self) -> list[SecretInfo]:
        """Every secret, by name."""
        return await self._run(self._sync.list_secret)

    async def delete_secret(self, name: str, *, force: bool = False) -> None:
        """Forget a secret. Refused while a pipeline names it, unless ``force``."""
        return await self._run(self._sync.delete_secret, name, force=force)

    async def create_token(
        self,
        name: str,
        role: str = "reader",
        *,
        repos: Iterable[str] = (),
        expires_s: float = 0,
        s3: bool = False,
    ) -> str:
        """Make a token and return it: it is told this once.

        ``role`` is reader, writer or admin, of ``repos`` or (none given) of the whole box. It holds
        for ``expires_s`` seconds, rounded up to whole ones, 0: until it is revoked. With ``s3`` its
        name is an access key of S3, whose secret key is the token; the token itself is both in any
        case.
        """
        return await self._run(
            self._sync.create_token, name, role, repos=repos, expires_s=expires_s, s3=s3
        )

    def list_token(self) -> AsyncStream[Token]:
        """Every token, by name, those revoked too."""
        return self._stream(lambda: self._sync.list_token())

    async def delete_token(self, name: str, *, purge: bool = False) -> None:
        """Revoke a token: it is over at once, also for what goes on. With ``purge`` forget it."""
        return await self._run(self._sync.delete_token, name, purge=purge)

    async def delete_all_tokens(self) -> None:
        """Forget all tokens: unless one is set in box.toml, the box is open to this machine."""
        return await self._run(self._sync.delete_all_tokens)

    def audit(
        self, *, since_s: float = 0, who: str = "", tail: int = 0, follow: bool = False
    ) -> AsyncStream[AuditEntry]:
        """What was changed by whom, and what was refused to whom, oldest first.

        Of the last ``since_s`` seconds (0: all that is kept), by ``who`` alone if it is given, the
        last ``tail`` lines of it (0: all). With ``follow`` it goes on as things happen.
        """
        return self._stream(
            lambda: self._sync.audit(since_s=since_s, who=who, tail=tail, follow=follow)
        )

    async def edit_metadata(
        self,
        kind: str,
        name: str,
        *,
        add: Mapping[str, str] | None = None,
        edit: Mapping[str, str] | None = None,
        delete: Sequence[str] = (),
        replace: Mapping[str, str] | None = None,
    ) -> None:
        """Change what is kept of a project, repo, branch or commit.

        ``add`` refuses keys that exist, ``edit`` sets them in any case, ``delete`` refuses
        missing ones; ``replace``, which comes first, sets all of it.
        """
        return await self._run(
            self._sync.edit_metadata, kind, name, add=add, edit=edit, delete=delete, replace=replace
        )

    def walk_commit_provenance(
        self, commits: str | Iterable[str], *, depth: int | None = None, number: int | None = None
    ) -> AsyncStream[CommitInfo]:
        """``commits`` and what they were made from, through the whole DAG."""
        return self._stream(
            lambda: self._sync.walk_commit_provenance(commits, depth=depth, number=number)
        )

    def walk_commit_subvenance(
        self, commits: str | Iterable[str], *, depth: int | None = None, number: int | None = None
    ) -> AsyncStream[CommitInfo]:
        """``commits`` and what was made from them, through the whole DAG."""
        return self._stream(
            lambda: self._sync.walk_commit_subvenance(commits, depth=depth, number=number)
        )

    def walk_branch_provenance(
        self, branches: str | Iterable[str], *, depth: int | None = None, number: int | None = None
    ) -> AsyncStream[BranchInfo]:
        """``branches`` and those they follow."""
        return self._stream(
            lambda: self._sync.walk_branch_provenance(branches, depth=depth, number=number)
        )

    def walk_branch_subvenance(
        self, branches: str | Iterable[str], *, depth: int | None = None, number: int | None = None
    ) -> AsyncStream[BranchInfo]:
        """``branches`` and those that follow them."""
        return self._stream(
            lambda: self._sync.walk_branch_subvenance(branches, depth=depth, number=number)
        )

    async def project_exists(self, name: str) -> bool:
        """Whether there is such a project."""
        return await self._run(self._sync.project_exists, name)

    async def repo_exists(self, repo: str) -> bool:
        """Whether there is such a repo."""
        return await self._run(self._sync.repo_exists, repo)

    async def branch_exists(self, branch: str) -> bool:
        """Whether there is such a branch."""
        return await self._run(self._sync.branch_exists, branch)

    async def commit_exists(self, commit: str) -> bool:
        """Whether there is such a commit."""
        return await self._run(self._sync.commit_exists, commit)

    async def file_exists(self, file: str) -> bool:
        """Whether there is such a file or directory."""
        return await self._run(self._sync.file_exists, file)

    async def pipeline_exists(self, pipeline: str) -> bool:
        """Whether there is such a pipeline."""
        return await self._run(self._sync.pipeline_exists, pipeline)

    async def status(self) -> BoxStatus:
        """What runs where, and how much there is."""
        return await self._run(self._sync.status)

    async def version(self) -> Json:
        """The API version the box speaks (versionpb_v2.Version)."""
        return await self._run(self._sync.version)

    async def inspect_cluster(self) -> Json:
        """The box's ids and warnings as Pachyderm's clients ask for them."""
        return await self._run(self._sync.inspect_cluster)

    async def healthy(self) -> bool:
        """Whether the box is up and serving. Raises Unreachable when nothing answers."""
        return await self._run(self._sync.healthy)

    async def ready(self) -> list[str]:
        """Why the box would not take a write now; nothing when it would. Raises Unreachable when
        nothing answers."""
        return await self._run(self._sync.ready)

    async def shutdown(self) -> None:
        """Ask the box to end; it finishes what is being written first."""
        return await self._run(self._sync.shutdown)

    def doctor(self) -> AsyncStream[Json]:
        """What the box's machine can do: records of check, level, detail, remedy
        and code (explained by ``pachybox doctor CODE``)."""
        return self._stream(lambda: self._sync.doctor())

    async def settings(self) -> Json:
        """What the box runs with: ``home``, and ``settings``, records of key, value (text) and
        origin (default, box.toml, environment or flag). Secrets are ``***``."""
        return await self._run(self._sync.settings)

    def fsck(self, *, fix: bool = False, quick: bool = False) -> AsyncStream[Json]:
        """Check that all metadata is consistent and all content there; with ``fix`` mend it.
        ``quick``: the metadata and where the trees of heads begin, no content."""
        return self._stream(lambda: self._sync.fsck(fix=fix, quick=quick))

    async def collect_garbage(self) -> Json:
        """Free content nothing names: scanned, freedBytes, packsRemoved, objectsRemoved."""
        return await self._run(self._sync.collect_garbage)

    def scrub(self, *, now: bool = False) -> AsyncStream[Json]:
        """How far reading and proving all content is: began, doneBytes, totalBytes, ended,
        lastWhole, damaged; the last record has each ``damage``. With ``now`` all is read at once,
        a record some five times a second; leaving early leaves the rest to the box."""
        return self._stream(lambda: self._sync.scrub(now=now))

    def list_webhook(self) -> AsyncStream[Json]:
        """The webhooks of ``box.toml`` and how they do: number, url (what may be secret in it left
        out), events, signed, waiting, delivered, failed, dropped, error, lastTime."""
        return self._stream(lambda: self._sync.list_webhook())

    def test_webhook(self, webhook: str = "all") -> AsyncStream[Json]:
        """Send a test to a webhook (its number or its url), or to all: records of number, url,
        status and error, which is empty where it was taken. Raises NotFound."""
        return self._stream(lambda: self._sync.test_webhook(webhook))

    async def delete_all(self) -> None:
        """Remove every pipeline, repo and secret."""
        return await self._run(self._sync.delete_all)

    def events(
        self, *, after: int = 0, follow: bool = False, kinds: Iterable[str] = ()
    ) -> AsyncStream[Event]:
        """Events numbered above ``after``, in order; with ``follow`` new ones as they happen.

        ``kinds`` are beginnings (``commit.``). Where events above ``after`` are no longer kept, or
        the box has not come so far (it was restored), the first one is of the kind ``reset``,
        whatever the kinds: look at everything anew. When the connection is lost while following,
        it is made again and continues with the next number, so none is missed or seen twice;
        after ``patience_s`` without an answer Unreachable is raised.
        """
        return self._stream(lambda: self._sync.events(after=after, follow=follow, kinds=kinds))

    async def start_transaction(self) -> str:
        """Open a transaction, return its id."""
        return await self._run(self._sync.start_transaction)

    async def finish_transaction(self, id: str) -> Json:
        """Do all that was queued, atomically (transaction_v2.TransactionInfo)."""
        return await self._run(self._sync.finish_transaction, id)

    async def inspect_transaction(self, id: str) -> Json:
        """What is queued (transaction_v2.TransactionInfo)."""
        return await self._run(self._sync.inspect_transaction, id)

    async def list_transaction(self) -> list[Json]:
        """All open transactions."""
        return await self._run(self._sync.list_transaction)

    async def delete_transaction(self, id: str) -> None:
        """Drop a transaction with all that was queued."""
        return await self._run(self._sync.delete_transaction, id)

    async def create_backup(
        self,
        to: str = "",
        *,
        passphrase: str = "",
        new: bool = False,
        progress: Stages | None = None,
    ) -> BackupInfo:
        """Back the box up while it works. With a ``passphrase`` the key of its secrets goes along,
        sealed. ``new``: the place holds none of the backups it held before, and that is right."""
        return await self._run(
            self._sync.create_backup, to, passphrase=passphrase, new=new, progress=progress
        )

    def list_backup(self, to: str = "") -> AsyncStream[BackupInfo]:
        """The backups there are, the oldest first."""
        return self._stream(lambda: self._sync.list_backup(to))

    async def verify_backup(
        self,
        to: str = "",
        ids: Iterable[str] = (),
        *,
        share: float = 0.0,
        progress: Stages | None = None,
    ) -> Json:
        """Prove that backups (none named: all) can be restored, by reading their records and
        directories, and ``share`` (0 to 1) of the packs of content: problems (a line each), bytes,
        packs."""
        return await self._run(self._sync.verify_backup, to, ids, share=share, progress=progress)

    async def restore_backup(
        self,
        id: str = "latest",
        to: str = "",
        *,
        passphrase: str = "",
        progress: Stages | None = None,
    ) -> Json:
        """Fill the empty box from a backup, all or nothing: backup, hasKey (of its secrets)."""
        return await self._run(
            self._sync.restore_backup, id, to, passphrase=passphrase, progress=progress
        )

    async def prune_backup(
        self, keep: str = "", to: str = "", *, dry_run: bool = False, progress: Stages | None = None
    ) -> Json:
        """Take away the backups that ``keep`` ("last 7, daily 30") does not want, and the content
        that only they needed: kept, removed, packs, bytes."""
        return await self._run(
            self._sync.prune_backup, keep, to, dry_run=dry_run, progress=progress
        )

    async def summary(self) -> Summary:
        """The whole box in one call."""
        return await self._run(self._sync.summary)

    async def page_job(
        self,
        *,
        pipeline: str | None = None,
        offset: int = 0,
        limit: int = 256,
        search: str = "",
        states: Iterable[str] = (),
        sort: str = "created",
        reverse: bool = False,
    ) -> JobPage:
        """Jobs of a pipeline, or of all in all projects, newest first. ``sort`` is created,
        pipeline, state, total or time; ``states`` keeps those (``JOB_FAILURE``)."""
        return await self._run(
            self._sync.page_job,
            pipeline=pipeline,
            offset=offset,
            limit=limit,
            search=search,
            states=states,
            sort=sort,
            reverse=reverse,
        )

    async def page_datum(
        self,
        job: str,
        *,
        offset: int = 0,
        limit: int = 256,
        search: str = "",
        states: Iterable[str] = (),
        sort: str = "trouble",
        reverse: bool = False,
    ) -> DatumPage:
        """Datums of a job. ``sort`` is trouble (failed, running, recovered, waiting, slowest,
        skipped), input, time (slowest first) or state; ``states`` keeps those (``FAILED``)."""
        return await self._run(
            self._sync.page_datum,
            job,
            offset=offset,
            limit=limit,
            search=search,
            states=states,
            sort=sort,
            reverse=reverse,
        )

    async def timing(self, job: str) -> JobTiming:
        """Where the time of a job went: by worker, by phase, by datum."""
        return await self._run(self._sync.timing, job)

    async def page_file(
        self,
        directory: str,
        *,
        offset: int = 0,
        limit: int = 500,
        search: str = "",
        sort: str = "name",
        reverse: bool = False,
    ) -> FilePage:
        """What is in a directory (``repo@ref:path``). ``sort`` is name, or size: largest first."""
        return await self._run(
            self._sync.page_file,
            directory,
            offset=offset,
            limit=limit,
            search=search,
            sort=sort,
            reverse=reverse,
        )

    async def page_commit(
        self, repo_or_branch: str, *, offset: int = 0, limit: int = 256, search: str = ""
    ) -> CommitPage:
        """Commits of a repo, or of the branch ``repo@branch``, newest first. ``search`` is a part
        of the id or of the description."""
        return await self._run(
            self._sync.page_commit, repo_or_branch, offset=offset, limit=limit, search=search
        )

    async def page_diff(
        self, new: str, old: str | None = None, *, offset: int = 0, limit: int = 256
    ) -> DiffPage:
        """The files in which two paths (``repo@ref:path``) differ; ``old`` defaults to the same
        path one commit before."""
        return await self._run(self._sync.page_diff, new, old, offset=offset, limit=limit)

    async def repo_users(self, repo: str) -> tuple[str, ...]:
        """The pipelines that read a repo, by name."""
        return await self._run(self._sync.repo_users, repo)

    async def create_demo(self) -> list[str]:
        """Make the demo, or make it anew where it is there; the names of its pipelines.

        Its first tick is made at once. Raises AlreadyExists, having done nothing, when a repo or
        a pipeline of one of its names is not the demo's.
        """
        return await self._run(self._sync.create_demo)

    async def delete_demo(self) -> list[str]:
        """Remove the demo with its data; what was removed, [] when it was not there."""
        return await self._run(self._sync.delete_demo)
