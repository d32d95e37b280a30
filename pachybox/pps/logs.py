"""Logs of jobs: one file per worker of a job, ``logs/<project>/<pipeline>/<job>/<n>.jsonl``. A
spout, which has no jobs, has its log (in parts) where a job called ``spout`` would.

The lines of an attempt begin with one of the box's own that names the datum, so whatever follows
belongs to it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pachybox.model.ids import CommitId, Job, Pipeline
from pachybox.model.units import format_time, parse_time

APART = "@"
"""What begins the name of a folder among those of projects that is of no project: names of
projects cannot have it."""

_decode = json.JSONDecoder().decode


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line. ``user`` is False for what the box says about the datum."""

    job: Job
    worker: str
    datum: str
    time: datetime
    user: bool
    message: str


@dataclass
class _Tail:
    """How far one file was read, and which datum its next line belongs to."""

    offset: int = 0
    datum: str = ""


def heading(datum: str, message: str, now: datetime, attempt: int = 1) -> bytes:
    """A line of the box's own: from here on the file is about an attempt at ``datum``."""
    line = {
        "ts": format_time(now),
        "user": False,
        "datum": datum,
        "attempt": attempt,
        "message": message,
    }
    return json.dumps(line).encode() + b"\n"


class JobLog:
    """Reads the log of one job, from the start and again for what was added since."""

    def __init__(self, directory: Path, job: Job) -> None:
        self._directory = directory
        self._job = job
        self._tails: dict[Path, _Tail] = {}

    def new_lines(self) -> list[LogLine]:
        """Lines not returned before, by time. A line still being written waits."""
        found: list[LogLine] = []
        if self._directory.is_dir():
            for path in sorted(self._directory.glob("*.jsonl")):
                found += self._read(path, self._tails.setdefault(path, _Tail()))
        return sorted(found, key=lambda line: line.time)

    def _read(self, path: Path, tail: _Tail) -> Iterator[LogLine]:
        worker, stamp, when = path.stem.partition("-")[0], "", datetime.min.replace(tzinfo=UTC)
        try:
            f = open(path, "rb")  # noqa: SIM115 (closed below)
        except FileNotFoundError:
            return  # of a log in parts, the oldest goes
        with f:
            f.seek(tail.offset)
            for raw in f:
                if not raw.endswith(b"\n"):
                    return
                tail.offset += len(raw)
                try:
                    line = _decode(raw.decode())
                    if line["ts"] != stamp:  # perf: lines that came at once share it (14 us -> 6)
                        when, stamp = parse_time(line["ts"]), line["ts"]
                except (ValueError, KeyError):
                    continue  # torn by a crash in mid-write
                tail.datum = line.get("datum") or tail.datum
                yield LogLine(self._job, worker, tail.datum, when, line["user"], line["message"])


def directory(logs: Path, job: Job) -> Path:
    """Where the logs of ``job`` are."""
    return logs / job.pipeline.project / job.pipeline.name / job.id


SPOUT = CommitId("spout")


def of_spout(pipeline: Pipeline) -> Job:
    """What stands for a job where the log of a spout is."""
    return Job(pipeline, SPOUT)


def prune(logs: Path, keep_bytes: int, wanted: Callable[[Job], bool]) -> int:
    """Remove the logs of jobs that are gone, then the oldest until ``keep_bytes`` are left.

    Returns the bytes freed. The newest job of a pipeline keeps its log.
    """
    found: list[tuple[float, int, Path]] = []
    freed = 0
    for pipeline in sorted(logs.glob(f"[!{APART}]*/*")):
        jobs = jobs_with_logs(logs, Pipeline(pipeline.parent.name, pipeline.name))
        for job in jobs:
            where = directory(logs, job)
            size = sum(f.stat().st_size for f in where.iterdir())
            if not wanted(job):
                shutil.rmtree(where, ignore_errors=True)
                freed += size
            elif job is not jobs[-1]:
                found.append((where.stat().st_mtime, size, where))
    total = sum(size for _, size, _ in found)
    for _, size, where in sorted(found):
        if total <= keep_bytes:
            break
        shutil.rmtree(where, ignore_errors=True)
        total -= size
        freed += size
    return freed


def jobs_with_logs(logs: Path, pipeline: Pipeline) -> list[Job]:
    """The jobs of a pipeline that left logs, oldest first."""
    top = logs / pipeline.project / pipeline.name
    if not top.is_dir():
        return []
    found = sorted(top.iterdir(), key=lambda p: p.stat().st_mtime)
    return [Job(pipeline, CommitId(p.name)) for p in found]
