"""What a dump of a box holds, for whoever looks for a fault in it: no files, no secrets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

from pachybox import __version__, profiling
from pachybox.box import Box
from pachybox.config import Config
from pachybox.meta.tables import ALL, DEFAULTS
from pachybox.model.ids import Pipeline
from pachybox.settings import effective

_JOBS = 100
_LINES = 10_000
_HIDDEN = "(left out)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which parts. ``pipelines`` None is all of them; ``lines`` bounds each log of a pipeline."""

    box: bool = True
    logs: bool = True
    database: bool = True
    repos: bool = True
    defaults: bool = True
    pipelines: Sequence[Pipeline] | None = None
    lines: int = _LINES


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the dump; ``task`` is the work it belongs to. A Path is copied as it is then."""

    task: str
    name: str
    content: bytes | Path


def parts(box: Box, wanted: Wanted) -> Iterator[Part]:
    """The files of a dump, each made when it is asked for."""
    if wanted.box:
        yield Part("box", "pachd/version.json", _json(_versions()))
        yield Part("box", "pachd/status.json", _json(box.status()))
        yield Part("box", "pachd/config.json", _json(_settings(box.config)))
        yield Part("box", "pachd/doctor.json", _json([asdict(f) for f in box.findings()]))
        yield Part("box", "pachd/goroutine.txt", profiling.stacks().encode())
    if wanted.logs:
        log = box.config.log_file
        for path in sorted(log.parent.glob(f"{log.name}*")):
            yield Part("logs", f"pachd/logs/{path.name}", path)
    if wanted.database:
        yield Part("database", "database/tables.json", _json(_tables(box)))
    if wanted.repos:
        for info in box.pfs.list_repos(repo_type=None):
            repo = info.record.repo
            found = {
                "repo": asdict(info.record),
                "branches": [asdict(b) for b in info.branches],
                "commits": [asdict(c) for c in box.pfs.list_commits(repo, number=_JOBS)],
            }
            name = f"{repo.project}/{repo.name}.{repo.type}"
            yield Part("repos", f"source-repos/{name}.json", _json(found))
    if wanted.defaults:
        for kept in box.meta.all(DEFAULTS):
            where = f"projects/{kept.project}" if kept.project else "cluster"
            yield Part("pipelines", f"defaults/{where}.json", _json(_defaults(kept.text)))
    for record in box.pps.list_pipelines():
        if wanted.pipelines is None or record.pipeline in wanted.pipelines:
            yield from _pipeline(box, record.pipeline, wanted.lines)


def _pipeline(box: Box, pipeline: Pipeline, lines: int) -> Iterator[Part]:
    record = box.pps.pipeline(pipeline)
    top = f"pipelines/{pipeline.project}/{pipeline.name}"
    shown = {**asdict(record), "spec": _without_env(record.spec), "user_spec": _HIDDEN}
    shown.pop("salt")
    yield Part("pipelines", f"{top}/spec.json", _json(shown))
    jobs = islice(box.pps.list_jobs(pipeline), _JOBS)
    yield Part("pipelines", f"{top}/jobs.json", _json([asdict(j) for j in jobs]))
    log = bytearray()
    found = box.pps.log_reader.read(pipeline, everything=True, tail=lines, cancelled=lambda: False)
    for line in found:
        if line is not None:
            fields = {**asdict(line), "job": str(line.job)}
            log += json.dumps(fields, default=_plain).encode() + b"\n"
    yield Part("pipelines", f"{top}/logs.jsonl", bytes(log))


def _versions() -> dict[str, str]:
    return {"pachybox": __version__, "python": sys.version, "platform": sys.platform}


def _settings(config: Config) -> dict[str, Any]:
    found = [one._asdict() for one in effective(config)]
    return {"home": config.home, "settings": found}


def _tables(box: Box) -> dict[str, int]:
    return {t.name: int(box.meta.db.read(f"SELECT count(*) FROM {t.name}")[0][0]) for t in ALL}


def _without_env(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec without the values of its environment, where people put passwords."""
    transform = dict(spec.get("transform") or {})
    if transform.get("env"):
        transform["env"] = dict.fromkeys(transform["env"], _HIDDEN)
    return {**spec, "transform": transform}


def _defaults(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return {name: _without_env(spec) if spec else spec for name, spec in found.items()}


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1, default=_plain).encode() + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return str(value)
