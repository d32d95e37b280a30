"""What the box and a worker say to each other: one JSON object a line, over pipes or a socket.

    box -> worker                                  worker -> box
    {"op": "start", "spec": {...}, "seal": {...}}  {"ready": {...}} or {"refused": {...}}
    {"op": "run", "run": 1, "task": {...}}         {"run": 1, "result": {...}}
    {"op": "cancel", "run": 1}                     (nothing of its own; the run's result comes)
    end of file: kill what runs, exit

The same lines serve a worker inside a container, so a runner is a way to start one and
to lay out directories, nothing more. Paths that are no UTF-8 travel as lone surrogates.
docs/runners.md has every field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Transform:
    """What a pipeline runs (reference §2.3). ``cmd`` is an argv: no shell is involved."""

    cmd: tuple[str, ...]
    stdin: tuple[str, ...] = ()
    err_cmd: tuple[str, ...] = ()
    err_stdin: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    accept_return_code: tuple[int, ...] = ()
    user: str = ""
    working_dir: str = ""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker of one pipeline.

    ``work_dir`` exists, belongs to this worker alone and lies on the store's file system;
    ``env`` is the part of the environment all datums share.
    """

    pipeline: str
    transform: Transform
    work_dir: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatumTask:
    """One attempt at one datum.

    ``inputs`` is a directory whose entries appear as ``/pfs/<name>``, ``out`` an empty one
    that appears as ``/pfs/out``. ``timeout_s`` None means no bound. ``log`` is appended to.
    ``err_cmd`` runs the transform's err_cmd in place of its cmd.
    """

    id: str
    inputs: Path
    out: Path
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    err_cmd: bool = False
    grace_s: float = 0.0


@dataclass(frozen=True, slots=True)
class DatumResult:
    """How an attempt ended. When it is there, no process of the datum lives.

    ``exit_code`` and ``signal`` are None when the code never ran or ended the other way.
    ``reason`` is empty exactly when ``ok``. ``process_s`` is wall time of the main process,
    ``cpu_s`` user and system time of all processes waited for.
    """

    ok: bool
    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    timed_out: bool = False
    cancelled: bool = False
    process_s: float = 0.0
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0


def line(message: Mapping[str, object]) -> bytes:
    """One message as it goes over the pipe."""
    return json.dumps(message).encode() + b"\n"


def pack(value: WorkerSpec | DatumTask | DatumResult) -> JSON:
    """A record as JSON values; ``spec``, ``task`` and ``result`` below undo it."""
    out = asdict(value)
    for key, item in out.items():
        if isinstance(item, Path):
            out[key] = str(item)
    return out


def spec(values: JSON) -> WorkerSpec:
    """The WorkerSpec that ``pack`` made ``values`` of."""
    transform: JSON = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in values["transform"].items()
    }
    return WorkerSpec(
        values["pipeline"], Transform(**transform), Path(values["work_dir"]), values["env"]
    )


def task(values: JSON) -> DatumTask:
    """The DatumTask that ``pack`` made ``values`` of."""
    paths = {key: Path(values[key]) for key in ("inputs", "out", "log")}
    return DatumTask(**{**values, **paths})


def result(values: JSON) -> DatumResult:
    """The DatumResult that ``pack`` made ``values`` of."""
    return DatumResult(**values)
