"""A box that is not there: the methods of ``AsyncClient`` that views use, with canned answers.

What changes something is written down in ``calls`` and does nothing. ``fail`` makes every
further call raise, as a lost box does; ``push`` sends an event to who follows.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from types import SimpleNamespace, TracebackType
from typing import Any, Generic, TypeVar

from pachybox.client import AsyncClient
from pachybox.client.ingest_values import IngestInfo
from pachybox.client.log_values import LogEntry, LogPart
from pachybox.client.page_values import (
    CommitPage,
    DatumPage,
    DiffPage,
    FilePage,
    JobPage,
    JobTiming,
)
from pachybox.client.pipeline_values import BoxStatus, JobInfo, PipelineInfo
from pachybox.client.spec_values import InputPreview, SpecCheck, SpecField
from pachybox.client.values import (
    BranchInfo,
    CommitInfo,
    CommitSetInfo,
    FileChange,
    FileInfo,
    RepoInfo,
)
from pachybox.client.view_values import Summary
from pachybox.errors import NotFound, Unreachable
from pachybox.model.events import Event
from tests.tui import canned
from tests.tui.canned import NOW
from tui.places import split

T = TypeVar("T")
READS = ("inspect_", "find_", "diff_", "extract_", "resolve_")


class FakeStream(Generic[T]):
    """Records that are there already; used as an ``AsyncStream``."""

    def __init__(self, items: Iterable[T] | AsyncIterator[T]) -> None:
        self._items = items if isinstance(items, AsyncIterator) else self._given(items)

    @staticmethod
    async def _given(items: Iterable[T]) -> AsyncIterator[T]:
        for item in items:
            yield item

    def __aiter__(self) -> FakeStream[T]:
        return self

    async def __anext__(self) -> T:
        return await anext(self._items)

    async def __aenter__(self) -> FakeStream[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType
    ) -> None:
        await self.aclose()

    async def all(self) -> list[T]:
        return [item async for item in self]

    async def aclose(self) -> None:
        pass


class FakeBox:
    """See above. Every method has the name and the arguments of the client's."""

    def __init__(self, summary: Summary | None = None) -> None:
        self.now = summary or canned.summary()
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.greeted = 0
        self.sync = SimpleNamespace(address="/srv/box/run/box.sock", project="default")
        self.followers: list[asyncio.Queue[Event | None]] = []
        self._lost = ""
        self._hangs: asyncio.Event | None = None
        self._seq = self.now.event_seq

    def __call__(self) -> FakeBox:
        """So that the fake itself is what makes the client."""
        return self

    def __getattr__(self, name: str) -> Any:
        """All else of the client: what reads finds nothing, what changes is written down."""
        method = getattr(AsyncClient, name, None)
        if not inspect.isfunction(method):
            raise AttributeError(name)
        if not inspect.iscoroutinefunction(method):
            return lambda *args, **kwargs: self._list(())

        async def record(*args: Any, **kwargs: Any) -> None:
            self._answering()
            if not name.startswith(READS):
                self.calls.append((name, args, kwargs))

        return record

    def _answering(self) -> None:
        if self._lost:
            raise Unreachable(self._lost, "is it running?")

    def changed(self) -> list[str]:
        """The names of the calls that would have changed something."""
        return [name for name, _, _ in self.calls]

    # The box itself

    def fail(self, why: str = "no box answers at /run/box.sock") -> None:
        """From now on nothing answers."""
        self._lost = why
        for queue in self.followers:
            queue.put_nowait(None)

    def hang(self) -> None:
        """From now on the box takes questions and does not answer."""
        self._hangs = asyncio.Event()

    def recover(self) -> None:
        """And from now on all answers again."""
        self._lost = ""
        if self._hangs is not None:
            self._hangs.set()
            self._hangs = None

    def event(self, kind: str, data: Any) -> Event:
        """The next event, with anything in it."""
        self._seq += 1
        return Event(self._seq, NOW, kind, data)

    def push(self, kind: str, **data: str) -> None:
        """Something happened."""
        event = self.event(kind, data)
        for queue in self.followers:
            queue.put_nowait(event)

    async def close(self) -> None:
        pass

    async def summary(self) -> Summary:
        self._answering()
        self.greeted += 1
        return self.now

    async def healthy(self) -> bool:
        self._answering()
        if self._hangs is not None:
            await self._hangs.wait()
        return True

    async def status(self) -> BoxStatus:
        self._answering()
        return canned.STATUS

    def events(
        self, *, after: int = 0, follow: bool = False, kinds: Iterable[str] = ()
    ) -> FakeStream[Event]:
        return FakeStream(self._followed() if follow else ())

    async def _followed(self) -> AsyncIterator[Event]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue()
        self.followers.append(queue)
        while event := await queue.get():
            yield event
        raise Unreachable(self._lost)

    # Data

    def list_repo(self, *, type: str = "user", all_projects: bool = False) -> FakeStream[RepoInfo]:
        return self._list(canned.repo_info(r.name) for r in self.now.repos)

    async def inspect_repo(self, repo: str) -> RepoInfo:
        self._known(repo, (r.name for r in self.now.repos), "repo")
        return canned.repo_info(repo)

    async def repo_users(self, repo: str) -> tuple[str, ...]:
        self._answering()
        return tuple(
            p.name for p in self.now.pipelines if any(i.split("@")[0] == repo for i in p.inputs)
        )

    def list_branch(self, repo: str) -> FakeStream[BranchInfo]:
        found = next((r for r in self.now.repos if r.name == repo), None)
        return self._list(canned.branch_info(repo, b) for b in (found.branches if found else ()))

    async def inspect_branch(self, branch: str) -> BranchInfo:
        repo, name, _ = split(branch)
        self._known(repo, (r.name for r in self.now.repos), "repo")
        return canned.branch_info(repo, name)

    async def page_commit(
        self, repo_or_branch: str, *, offset: int = 0, limit: int = 256, search: str = ""
    ) -> CommitPage:
        self._answering()
        rows = canned.commits(split(repo_or_branch)[0])
        rows = [c for c in rows if search in c.id or search in c.description]
        return CommitPage(len(rows), tuple(rows[offset : offset + limit]))

    def list_commit(self, repo: str, **how: Any) -> FakeStream[CommitInfo]:
        return self._list(canned.commits(split(repo)[0]))

    async def inspect_commit(self, commit: str) -> CommitInfo:
        self._answering()
        repo, ref, _ = split(commit)
        found = canned.commits(repo)
        return next((c for c in found if c.id.startswith(ref)), found[0])

    def list_commit_set(self) -> FakeStream[CommitSetInfo]:
        ids = (canned.RUN, canned.BEFORE)
        names = ("raw", "clean", "resize")
        sets = [(id, tuple(canned.commit(n, id, "", 60) for n in names)) for id in ids]
        return self._list(CommitSetInfo(id, commits, {}) for id, commits in sets)

    def inspect_commit_set(self, id: str, *, wait: bool = False) -> FakeStream[CommitInfo]:
        return self._list(canned.commit(n, id, "", 60) for n in ("raw", "clean", "resize"))

    async def page_file(
        self, directory: str, *, offset: int = 0, limit: int = 500, search: str = "", **how: Any
    ) -> FilePage:
        self._answering()
        repo, _, path = split(directory)
        under = (path or "/").rstrip("/") + "/"
        rows = [canned.file(repo, canned.RUN, *f) for f in canned.FILES.get(under, [])]
        rows = [r for r in rows if search.lower() in r.path.lower()]
        return FilePage(len(rows), tuple(rows[offset : offset + limit]))

    def list_file(self, directory: str, **how: Any) -> FakeStream[FileInfo]:
        repo, _, path = split(directory)
        under = (path or "/").rstrip("/") + "/"
        return self._list(canned.file(repo, canned.RUN, *f) for f in canned.FILES.get(under, []))

    async def inspect_file(self, file: str) -> FileInfo:
        self._answering()
        repo, _, path = split(file)
        for found in canned.FILES.values():
            for name, size in found:
                if name.rstrip("/") == path.rstrip("/"):
                    return canned.file(repo, canned.RUN, name, size)
        raise NotFound(f"file {path} not found in {repo}")

    async def get_file(self, file: str, *, offset: int = 0, limit: int | None = None) -> bytes:
        self._answering()
        _, ref, path = split(file)
        data = canned.CONTENT.get(path, b"")
        if ref == canned.BEFORE:
            data = data.replace(b'"cameras": 3', b'"cameras": 2')
        return data[offset : None if limit is None else offset + limit]

    async def page_diff(
        self, new: str, old: str | None = None, *, offset: int = 0, limit: int = 256
    ) -> DiffPage:
        self._answering()
        repo = split(new)[0]
        one = canned.file(repo, canned.RUN, "/2024/07/cam3.csv", 2_100_000)
        two = canned.file(repo, canned.RUN, "/index.json", 518)
        was = canned.file(repo, canned.BEFORE, "/index.json", 412)
        rows = (FileChange(None, one, {}), FileChange(was, two, {}))
        return DiffPage(2, 1, 0, 1, 2_100_106, rows[offset : offset + limit])

    # Work

    def list_pipeline(self, pipeline: str | None = None, **how: Any) -> FakeStream[PipelineInfo]:
        names = [p.name for p in self.now.pipelines]
        return self._list(canned.pipeline_info(n) for n in names if pipeline in (None, n))

    async def inspect_pipeline(self, pipeline: str, **how: Any) -> PipelineInfo:
        self._known(pipeline, (p.name for p in self.now.pipelines), "pipeline")
        return canned.pipeline_info(pipeline)

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
        self._answering()
        wanted = set(states)
        rows = [j for j in self.now.jobs if pipeline in (None, j.pipeline) and search in str(j)]
        rows = [j for j in rows if not wanted or j.state in wanted]
        rows = rows[::-1] if reverse else rows
        return JobPage(len(rows), tuple(rows[offset : offset + limit]))

    async def inspect_job(self, job: str, **how: Any) -> JobInfo:
        self._known(job, map(str, self.now.jobs), "job")
        return canned.job_info(job)

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
        self._answering()
        wanted = set(states)
        every = canned.datums()
        rows = [d for d in every if search in d.input and (not wanted or d.state in wanted)]
        rows = rows[::-1] if reverse else rows
        counts: dict[str, int] = {}
        for datum in every:
            counts[datum.state] = counts.get(datum.state, 0) + 1
        return DatumPage(len(rows), counts, tuple(rows[offset : offset + limit]))

    async def timing(self, job: str) -> JobTiming:
        self._answering()
        spans = [
            {"datum": d.id, "state": d.state, "startS": 10 * (n // 3), "downloadS": 0.1,
             "processS": d.process_s or 4.0, "uploadS": 0.2}
            for n, d in enumerate(d for d in canned.datums() if d.worker)
        ]  # fmt: skip
        phases = {"download": (0.1, 0.1, 0.2), "process": (8.9, 14.0, 41.0), "upload": (0.2,) * 3}
        raw = {
            "workers": [
                {"name": f"w{w + 1}", "busyShare": 0.9, "spans": spans[w:60:3]} for w in range(3)
            ],
            "phases": [
                {"phase": name, "p50": p50, "p95": p95, "max": most}
                for name, (p50, p95, most) in phases.items()
            ],
        }
        return JobTiming.from_json(raw)

    # Specs

    async def check_spec(self, text: str, **how: Any) -> SpecCheck:
        self._answering()
        return SpecCheck((), ())

    async def describe_spec(self, kind: str = "pipeline") -> tuple[SpecField, ...]:
        self._answering()
        return canned.spec_fields()

    async def preview_input(self, spec: object, **how: Any) -> InputPreview:
        self._answering()
        rows = [
            {"id": d.id, "inputs": list(d.inputs), "bytes": "98000000"} for d in canned.datums()
        ]
        raw = {"total": "120", "bytes": str(17 << 30), "largest": "412000000", "tookUs": "80000",
               "median": "96000000", "rows": rows[:50], "commits": [f"clean@{canned.RUN}"],
               "globs": [{"glob": "/", "datums": "1"}, {"glob": "/*", "datums": "20"}]}  # fmt: skip
        return InputPreview.from_json(raw)

    async def extract_pipeline(self, pipeline: str, **how: Any) -> str:
        self._answering()
        return json.dumps({"pipeline": {"name": pipeline}, **canned.SPEC}, indent=2)

    # Ingest

    def list_ingest(self, **how: Any) -> FakeStream[IngestInfo]:
        return self._list(self.now.ingests)

    async def inspect_ingest(self, name: str, **how: Any) -> IngestInfo:
        self._known(name, (i.name for i in self.now.ingests), "ingest")
        return next(i for i in self.now.ingests if i.name == name)

    # Logs

    async def read_log(
        self, *, after: int | None = None, before: int | None = None, lines: int = 500, **of: str
    ) -> LogPart:
        self._answering()
        log = LOG
        if after is not None:
            chosen = [e for e in log if e.at >= after][:lines]
        elif before is not None:
            chosen = [e for e in log if e.at < before][-lines:]
        else:
            chosen = log[-lines:]
        start = chosen[0].at if chosen else 0
        end = chosen[-1].at + 100 if chosen else start
        return LogPart(tuple(chosen), start, end, 100 * len(log))

    async def find_log(
        self, *, pattern: str, after: int = 0, back: bool = False, regex: bool = True, **of: str
    ) -> LogEntry | None:
        self._answering()
        found = [e for e in LOG if pattern in e.text and (e.at < after if back else e.at >= after)]
        return (found[-1] if back else found[0]) if found else None

    def follow_log(self, *, after: int = 0, **of: str) -> FakeStream[LogEntry]:
        return FakeStream(self._never())

    @staticmethod
    async def _never() -> AsyncIterator[LogEntry]:
        await asyncio.Event().wait()
        for entry in LOG[:0]:
            yield entry

    # Shared

    def _list(self, items: Iterable[T]) -> FakeStream[T]:
        self._answering()
        return FakeStream(list(items))

    def _known(self, name: str, names: Iterable[str], noun: str) -> None:
        self._answering()
        if name not in set(names):
            raise NotFound(f"{noun} {name} not found", f"see: pachybox list {noun}")


def _entry(n: int, level: str, text: str) -> LogEntry:
    time = datetime.fromisoformat(canned.at(60 - n).replace("Z", "+00:00"))
    return LogEntry(
        time, text, level, f"{n % 3:064x}", f"w{n % 3 + 1}", 100 * n, 1, True, canned.RUN
    )


LOG = [
    *(_entry(n, "info", f"INFO open /pfs/clean/a/{n:03d}.png") for n in range(40)),
    _entry(40, "warn", "WARN palette mode, converting"),
    _entry(41, "error", "ERROR cannot allocate 3.1 GB"),
]
