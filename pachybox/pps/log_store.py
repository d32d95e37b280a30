"""Which files make up a log: of a job, of all jobs of a pipeline, of a source that rotates its own.

What is to be known of places beside the files is in ``logs/@places/``: the cuts of a job of several
workers (pachybox.pps.log_order), and where each of several logs begins (pachybox.pps.log_chain).
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from pachybox.model.ids import CommitId, Job, Pipeline
from pachybox.pps.log_chain import Chain
from pachybox.pps.log_file import LineFile
from pachybox.pps.log_order import Order, View
from pachybox.pps.log_view import Log, Part
from pachybox.pps.logs import APART, directory

PLACES = f"{APART}places"
_ENDING = ".jsonl"
_KEPT = 64  # logs whose order is kept in memory
_SETTLED_NS = 200_000_000  # a folder whose last change is so long ago has no newer one unseen

T = TypeVar("T")


@dataclass(slots=True)
class _Row:
    """The parts of a pipeline's log as they were when its folders were last changed."""

    changed: int = -1
    settled: bool = False
    parts: list[Part] = field(default_factory=list)


class LogStore:
    """The logs below one directory. For many threads."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._lock = threading.Lock()
        self._orders: OrderedDict[Path, Order] = OrderedDict()
        self._chains: OrderedDict[Path, Chain] = OrderedDict()
        self._rows: OrderedDict[Path, _Row] = OrderedDict()

    def job(self, job: Job, datum: str = "") -> Log:
        """The log of a job: the lines of its workers by time."""
        return Log(partial(self._of_job, job), datum)

    def pipeline(self, pipeline: Pipeline, datum: str = "") -> Log:
        """The logs of a pipeline's jobs one after the other, or that of the spout that it is."""
        return Log(partial(self._of_pipeline, pipeline), datum)

    def rotated(self, name: str, files: Callable[[], Sequence[Path]]) -> Log:
        """The log that is in ``files``, oldest first; ``name`` is where its places are kept."""
        return Log(lambda: self._of_files(self._logs / PLACES / name, files(), ""))

    def _of_job(self, job: Job) -> list[Part]:
        folder = directory(self._logs, job)
        saved = self._places(job.pipeline) / job.id
        stems = _stems(folder)
        if any("-" in stem for stem in stems):  # the log of a program that never ends
            files = [folder / f"{stem}{_ENDING}" for stem in sorted(stems, key=_number)]
            return self._of_files(saved.with_name(f"{job.id}.parts"), files, job.id)
        return [Part(0, None, job.id, partial(self._open_job, folder, saved))]

    @contextmanager
    def _open_job(self, folder: Path, saved: Path) -> Iterator[View]:
        def make() -> Order:
            return Order(partial(_paths, folder), saved.with_name(f"{saved.name}.cuts"))

        with self._kept(self._orders, folder, make).open() as view:
            yield view

    def _of_pipeline(self, pipeline: Pipeline) -> list[Part]:
        """The jobs of a pipeline, found anew only when there are others than before: there may be
        thousands, and who follows asks often."""
        top = self._logs / pipeline.project / pipeline.name
        row = self._kept(self._rows, top, _Row)
        last = row.parts[-1].job if row.parts else ""
        changed = max(_changed(top), _changed(top / last) if last else 0)
        if changed != row.changed or not row.settled:
            row.settled = time.time_ns() - changed > _SETTLED_NS
            row.parts, row.changed = self._jobs(pipeline, top), changed
        return row.parts

    def _jobs(self, pipeline: Pipeline, top: Path) -> list[Part]:
        names = set(os.listdir(top)) if top.is_dir() else set()
        saved = self._places(pipeline) / "jobs"
        chain = self._kept(self._chains, saved, lambda: Chain(saved))
        old = [link.id for link in chain.known() if link.id in names]
        fresh = sorted(names.difference(old), key=lambda name: _changed(top / name))
        sizes = {link.id: link.size for link in chain.known()[:-1]}
        parts = {}
        found = []
        for name in (*old, *fresh):
            if name not in sizes:
                parts[name] = self._of_job(Job(pipeline, CommitId(name)))
                sizes[name] = _end(parts[name])
            found.append((name, sizes[name]))
        made = []
        links = chain.place(found)
        for link in links:
            below = parts.get(link.id) or self._of_job(Job(pipeline, CommitId(link.id)))
            for number, part in enumerate(below):
                last = number == len(below) - 1
                size = link.size - part.base if last else part.size
                grows = last and link is links[-1]
                made.append(
                    Part(link.base + part.base, None if grows else size, part.job, part.open)
                )
        return made

    def _of_files(self, saved: Path, files: Sequence[Path], job: str) -> list[Part]:
        found: dict[str, tuple[Path, int]] = {}
        for path in files:
            try:
                file = LineFile(path)
            except FileNotFoundError:
                continue
            try:
                if size := file.end():
                    found[file.stamp(0).decode("latin-1")] = (path, size)
            finally:
                file.close()
        chain = self._kept(self._chains, saved, lambda: Chain(saved))
        links = chain.place([(name, size) for name, (_, size) in found.items()])
        return [
            Part(
                link.base,
                None if link is links[-1] else link.size,
                job,
                partial(_open_file, found[link.id][0], link.id),
            )
            for link in links
        ]

    def _places(self, pipeline: Pipeline) -> Path:
        return self._logs / PLACES / pipeline.project / pipeline.name

    def _kept(self, among: OrderedDict[Path, T], key: Path, make: Callable[[], T]) -> T:
        with self._lock:
            found = among.get(key)
            if found is None:
                found = among[key] = make()
            among.move_to_end(key)
            while len(among) > _KEPT:
                among.popitem(last=False)
            return found


@contextmanager
def _open_file(path: Path, stamp: str) -> Iterator[View]:
    """One file alone, unless another has come to its name meanwhile: then nothing."""

    def paths() -> dict[str, Path]:
        try:
            file = LineFile(path)
        except FileNotFoundError:
            return {}
        with_stamp = file.stamp(0).decode("latin-1")
        file.close()
        return {"0": path} if with_stamp == stamp else {}

    with Order(paths, None).open() as view:
        yield view


def _stems(folder: Path) -> list[str]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)]


def _paths(folder: Path) -> dict[str, Path]:
    return {stem: folder / f"{stem}{_ENDING}" for stem in _stems(folder)}


def _number(stem: str) -> int:
    number = stem.partition("-")[2]
    return int(number) if number.isdigit() else 1


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _end(parts: Sequence[Part]) -> int:
    for part in parts[-1:]:
        with part.open() as view:
            return part.base + view.size
    return 0


def forget_places(logs: Path) -> None:
    """Remove the places of jobs and pipelines whose logs are gone."""
    for folder in (logs / PLACES).glob(f"[!{APART}]*/*"):
        top = logs / folder.parent.name / folder.name
        if not top.is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            continue
        for path in folder.iterdir():
            if path.name != "jobs" and not (top / path.name.partition(".")[0]).is_dir():
                path.unlink(missing_ok=True)
