"""What the box and a worker say to each other, as values and as frames (pachybox.worker.frames).

    box -> worker                      worker -> box
    S  spec and seal, as JSON          Y  ready, as JSON;  N  refused: message, hint
    R  run a task                      O  output of a run
    C  cancel a run                    E  the end of a run
    end of file: kill what runs, exit

The Python worker reads the first frame and then serves the rest itself, or hands its pipes
to the shim, which speaks the same. Paths that are no UTF-8 travel as their bytes.
docs/runners.md has every field.
"""

from __future__ import annotations

import base64
import enum
import json
import os
import signal
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pachybox.worker import frames
from pachybox.worker.frames import Reader, frame, text, texts
from pachybox.worker.layout import Layout

JSON = dict[str, Any]

START, RUN, CANCEL = b"S", b"R", b"C"
READY, REFUSED, OUTPUT, END = b"Y", b"N", b"O", b"E"

PIDS = 4096
"""The most processes and threads of one worker, where a cgroup can count them."""


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
class Limits:
    """What one worker's user code may use: ``cpu`` in cores, ``memory`` in bytes; None: all.
    ``shm`` is the size of a container's /dev/shm in bytes; None: the engine's default."""

    cpu: float | None = None
    memory: int | None = None
    pids: int = PIDS
    shm: int | None = None


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker of one pipeline.

    ``work_dir`` exists, belongs to this worker alone and lies on the store's file system;
    ``env`` is the part of the environment all datums share. ``files`` (path -> content) are
    shown to user code alone, readable to it alone, and never touch a disk. With
    ``datum_batching`` user code is started once and asks for each datum
    (pachybox.worker.next). ``image`` is the id of the image in whose container it runs, "" for
    none; the transform's cmd and working_dir are then whole already, with what the image says.
    ``mounts`` (path -> directory of the host) are shown read-only. ``pod`` is for the runner of
    Pods alone, and never reaches a worker: see pachybox.pps.pool.
    """

    pipeline: str
    transform: Transform
    work_dir: Path
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    datum_batching: bool = False
    image: str = ""
    mounts: Mapping[str, str] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class DatumTask:
    """One attempt at one datum.

    ``layout`` is what appears under /pfs, ``out`` an empty directory that appears as
    ``/pfs/out``. ``timeout_s`` None means no bound. ``log`` is appended to: ``head`` first, then
    what user code prints. ``err_cmd`` runs the transform's err_cmd in place of its cmd.
    ``grace_s`` lies between SIGTERM and SIGKILL of a cancel; 0 is SIGKILL at once. ``endless``
    code may run for months: its log is kept in parts of bounded size (pachybox.worker.log), of
    which the last are there. Its ``out`` may be a named pipe.
    """

    id: str
    layout: Layout
    out: Path
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None
    err_cmd: bool = False
    grace_s: float = 0.0
    head: bytes = b""
    endless: bool = False


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


class Kind(enum.IntEnum):
    """What an End tells: a wait status; why there is none; nothing, since it was killed; what
    batched user code said of its datum, or how it ended without a word."""

    STATUS = 0
    ERROR = 1
    KILLED = 2
    SAID = 3


@dataclass(frozen=True, slots=True)
class End:
    """A worker's report of a run: plain facts, which ``judge`` turns into a DatumResult."""

    kind: Kind
    status: int = 0
    text: str = ""
    timed_out: bool = False
    cancelled: bool = False
    wall_us: int = 0
    cpu_us: int = 0
    rss: int = 0
    dropped: int = 0


_TASK = struct.Struct("<IBQI")
_END = struct.Struct("<BBiQQQQ")
_TIMED_OUT, _CANCELLED = 1, 2
_ERR_CMD, _ENDLESS = 1, 2


@dataclass(frozen=True, slots=True)
class Code:
    """What a run starts: ``env`` is what all datums of the pipeline share, ``cwd`` absolute."""

    argv: tuple[str, ...]
    stdin: bytes = b""
    cwd: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)


def code_of(spec: WorkerSpec, *, err_cmd: bool = False) -> Code:
    """What a worker runs for ``spec``."""
    t = spec.transform
    lines = t.err_stdin if err_cmd else t.stdin
    return Code(
        t.err_cmd if err_cmd else t.cmd,
        b"".join(os.fsencode(line) + b"\n" for line in lines),
        os.path.join("/", t.working_dir),  # noqa: PTH118
        {**t.env, **spec.env},
    )


def pack_start(spec: WorkerSpec, seal: Mapping[str, object]) -> bytes:
    """The first frame: how strongly the worker must be fenced off, and what of the spec that
    takes. What it runs comes with each run."""
    values = asdict(
        replace(spec, transform=Transform((), user=spec.transform.user), env={}, pod={})
    )
    values["work_dir"] = str(spec.work_dir)
    values["files"] = {k: base64.b64encode(v).decode() for k, v in spec.files.items()}
    return frame(START, json.dumps({"spec": values, "seal": seal}).encode())


def start(body: bytes) -> tuple[WorkerSpec, JSON]:
    """The spec, as far as ``pack_start`` packed it, and the seal."""
    message: JSON = json.loads(body)
    values: JSON = message["spec"]
    transform: JSON = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in values["transform"].items()
    }
    spec = WorkerSpec(
        values["pipeline"],
        Transform(**transform),
        Path(values["work_dir"]),
        values["env"],
        Limits(**values["limits"]),
        {k: base64.b64decode(v) for k, v in values["files"].items()},
        values["datum_batching"],
        mounts=values["mounts"],
    )
    return spec, message["seal"]


def pack_run(number: int, task: DatumTask, code: Code) -> bytes:
    """The frame that starts run ``number``. ``id``, ``log`` and ``head`` stay with the box."""
    layout = task.layout
    timeout = 0 if task.timeout_s is None else max(1, round(task.timeout_s * 1e6))
    flags = task.err_cmd * _ERR_CMD | task.endless * _ENDLESS
    parts = [
        _TASK.pack(number, flags, timeout, round(task.grace_s * 1000)),
        text(str(task.out)),
        text(code.cwd),
        texts(code.argv),
        frames.blob(code.stdin),
        texts([f"{key}={value}" for key, value in code.env.items() if key != "PFS"]),
        texts([f"{key}={value}" for key, value in task.env.items() if key != "PFS"]),
        texts(layout.dirs),
        len(layout.files).to_bytes(4, "little"),
    ]
    for path, content in layout.files:
        parts += (text(path), frames.blob(content))
    parts.append(len(layout.links).to_bytes(4, "little"))
    for path, source in layout.links:
        parts += (text(path), text(source))
    parts += (
        text(str(layout.tree or "")),
        text(str(layout.image or "")),
        texts([str(device) for device in layout.devices]),
    )
    return frame(RUN, b"".join(parts))


def run(body: bytes) -> tuple[int, DatumTask, Code]:
    """The number, the task and the code of a run frame; what stays with the box is empty."""
    r = Reader(body)
    number, flags, timeout, grace = r.numbers(_TASK)
    out = Path(r.text())
    cwd, argv, stdin = r.text(), r.texts(), r.blob()
    shared, env = (dict(one.split("=", 1) for one in r.texts()) for _ in range(2))
    dirs = r.texts()
    files = tuple((r.text(), r.blob()) for _ in range(r.u32()))
    links = tuple((r.text(), r.text()) for _ in range(r.u32()))
    tree, image = r.text(), r.text()
    devices = tuple(map(Path, r.texts()))
    layout = Layout(
        dirs, files, links, Path(tree) if tree else None, Path(image) if image else None, devices
    )
    timeout_s = timeout / 1e6 if timeout else None
    task = DatumTask(
        "", layout, out, Path(), env, timeout_s,
        err_cmd=bool(flags & _ERR_CMD), grace_s=grace / 1000, endless=bool(flags & _ENDLESS),
    )  # fmt: skip
    return number, task, Code(tuple(argv), stdin, cwd, shared)


def pack_cancel(number: int) -> bytes:
    """The frame that kills run ``number``, begun or not; one that has ended is not touched."""
    return frame(CANCEL, number.to_bytes(4, "little"))


def pack_output(number: int, data: bytes) -> bytes:
    """A piece of what run ``number`` printed."""
    return frame(OUTPUT, number.to_bytes(4, "little") + data)


def numbered(body: bytes) -> tuple[int, bytes]:
    """The run that a frame is about, and the rest of it."""
    return int.from_bytes(body[:4], "little"), body[4:]


def pack_end(number: int, end: End) -> bytes:
    """The last frame of a run."""
    flags = end.timed_out * _TIMED_OUT | end.cancelled * _CANCELLED
    numbers = (end.kind, flags, end.status, end.wall_us, end.cpu_us, end.rss, end.dropped)
    return frame(END, number.to_bytes(4, "little") + _END.pack(*numbers) + text(end.text))


def end(rest: bytes) -> End:
    """The End in the rest of an end frame."""
    r = Reader(rest)
    kind, flags, status, wall, cpu, rss, dropped = r.numbers(_END)
    timed_out, cancelled = bool(flags & _TIMED_OUT), bool(flags & _CANCELLED)
    said = r.blob().decode("utf-8", "replace")
    return End(Kind(kind), status, said, timed_out, cancelled, wall, cpu, rss, dropped)


def judge(end: End, accepted: Sequence[int], task: DatumTask) -> DatumResult:
    """What the end of a run means: ``accepted`` are exit statuses that count as 0 does."""
    code = number = None
    if end.kind is Kind.STATUS:
        ended = os.waitstatus_to_exitcode(end.status)
        code, number = (ended, None) if ended >= 0 else (None, -ended)
    ok = code is not None and (code == 0 or code in accepted)
    return DatumResult(
        ok,
        code,
        number,
        "" if ok else _reason(end, code, number, task),
        end.timed_out,
        end.cancelled,
        end.wall_us / 1e6,
        end.cpu_us / 1e6,
        end.rss,
    )


def _reason(end: End, code: int | None, number: int | None, task: DatumTask) -> str:
    if end.kind in (Kind.ERROR, Kind.SAID):
        return end.text or "an error without a text"
    if code is not None:
        return f"exit status {code}"
    if number is not None:
        return f"killed by signal {number}{_signal_name(number)}"
    if end.timed_out:
        return f"timed out after {task.timeout_s:g}s"
    if end.cancelled:
        return "cancelled"
    return "killed: the first process of the datum was ended from outside"


def _signal_name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:  # most real-time signals have no name
        return ""
