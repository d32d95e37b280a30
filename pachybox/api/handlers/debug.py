"""debug_v2.Debug: dumps and profiles of the box, as gzipped tars made while they are sent."""

from __future__ import annotations

import io
import logging
import os
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.wrappers_pb2 import BytesValue

import pachybox
from pachybox import dump, profiling
from pachybox.api.definitions import debug
from pachybox.api.handlers import messages as m
from pachybox.api.handlers.pps import to_pipeline
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import InvalidArgument, NotFound, Unimplemented
from pachybox.model.ids import DEFAULT_PROJECT, Pipeline

_PIECE = 1 << 20
_LONGEST_S = 3600.0
_DEFAULT_S = 10.0
_TASKS = ("box", "logs", "database", "repos", "pipelines")
_LEVELS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "ERROR": logging.ERROR,
    "OFF": logging.CRITICAL + 1,
}
log = logging.getLogger("pachybox.debug")

_SELF = "pachybox"  # the name of the only pod there is


class _Tar:
    """A gzipped tar; ``taken`` gives what was made of it so far."""

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._buffer, mode="w|gz")  # noqa: SIM115  # closed by `end`

    def add(self, name: str, content: bytes | Path) -> Iterator[bytes]:
        """One file; a Path as it is now, or left out when it is gone. Yields what there is."""
        if isinstance(content, bytes):
            self._head(name, len(content))
            self._tar.addfile(self._info, io.BytesIO(content))
            yield from self.taken()
            return
        try:
            file = open(content, "rb")  # noqa: SIM115  # closed below
        except FileNotFoundError:
            return
        with file:
            self._head(name, os.fstat(file.fileno()).st_size)
            self._tar.addfile(self._info, file)
        yield from self.taken()

    def _head(self, name: str, size: int) -> None:
        self._info = tarfile.TarInfo(name)
        self._info.size = size
        self._info.mtime = int(time.time())

    def taken(self) -> Iterator[bytes]:
        """What was made and not yet taken, in pieces."""
        data = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        for start in range(0, len(data), _PIECE):
            yield data[start : start + _PIECE]

    def end(self) -> Iterator[bytes]:
        """The rest of it."""
        self._tar.close()
        yield from self.taken()


# ---- dumps


@handles("debug_v2.Debug/Dump")
def dump_v1(box: Box, request: Any, call: Call) -> Iterator[Any]:
    wanted = dump.Wanted(lines=_limit(request.limit))
    kind = request.filter.WhichOneof("filter")
    if kind == "pachd":
        wanted = dump.Wanted(repos=False, defaults=False, pipelines=(), lines=wanted.lines)
    elif kind == "database":
        wanted = dump.Wanted(box=False, logs=False, repos=False, defaults=False, pipelines=())
    elif kind == "pipeline":
        wanted = _of_pipeline(box, to_pipeline(request.filter.pipeline), wanted.lines)
    elif kind == "worker":
        wanted = _of_pipeline(box, _of_worker(box, request.filter.worker.pod), wanted.lines)
    tar = _Tar()
    for part in dump.parts(box, wanted):
        for piece in tar.add(part.name, part.content):
            yield BytesValue(value=piece)
    for piece in tar.end():
        yield BytesValue(value=piece)


def _limit(number: int) -> int:
    if number < 0:
        raise InvalidArgument(f"limit is {number}", "give a number of lines, or 0 for all")
    return number or dump.Wanted().lines


def _of_pipeline(box: Box, pipeline: Pipeline, lines: int) -> dump.Wanted:
    found = box.pps.pipeline(pipeline).pipeline
    return dump.Wanted(
        box=False, logs=False, database=False, repos=False, defaults=False, pipelines=(found,),
        lines=lines,
    )  # fmt: skip


def _of_worker(box: Box, worker: str) -> Pipeline:
    """The pipeline whose worker that is: workers are named PIPELINE-NUMBER."""
    for record in box.pps.list_pipelines():
        if worker == record.pipeline.name or worker.startswith(f"{record.pipeline.name}-"):
            return record.pipeline
    raise NotFound(f"worker {worker} not found", "logs of a job name its workers")


@handles("debug_v2.Debug/GetDumpV2Template")
def get_dump_v2_template(box: Box, request: Any, call: Call) -> Any:
    unknown = set(request.filters) - {"helm", *_TASKS}
    if unknown:
        raise InvalidArgument(
            f"a dump has no part {min(unknown)!r}", f"name some of {', '.join(_TASKS)}, or none"
        )
    wanted = set(request.filters) or set(_TASKS)
    made = debug.DumpV2Request()
    if "box" in wanted:
        made.system.version = True
    if "database" in wanted:
        made.system.database = True
    if "logs" in wanted:
        made.system.logs.add(name=_SELF)
    if "pipelines" in wanted:
        made.defaults.cluster_defaults = True
        for record in box.pps.list_pipelines():
            made.pipelines.add(project=record.pipeline.project, name=record.pipeline.name)
    made.input_repos = "repos" in wanted
    return debug.GetDumpV2TemplateResponse(request=made)


@handles("debug_v2.Debug/DumpV2")
def dump_v2(box: Box, request: Any, call: Call) -> Iterator[Any]:
    if request.starlark_scripts:
        raise Unimplemented("scripts in a dump are not built", "leave starlark_scripts out")
    named = [Pipeline(p.project or DEFAULT_PROJECT, p.name) for p in request.pipelines]
    for one in named:
        box.pps.pipeline(one)
    system = request.system
    wanted = dump.Wanted(
        box=system.version or bool(system.describes),
        logs=bool(system.logs or system.loki_logs),
        database=system.database,
        repos=request.input_repos,
        defaults=request.defaults.cluster_defaults,
        pipelines=named,
    )
    deadline = time.monotonic() + _seconds(request.timeout, _LONGEST_S)
    return _dump_v2(box, wanted, bool(system.profiles), deadline, call)


def _dump_v2(
    box: Box, wanted: dump.Wanted, profiles: bool, deadline: float, call: Call
) -> Iterator[Any]:
    tar = _Tar()
    task = ""
    for part in dump.parts(box, wanted):
        if part.task != task:
            task = part.task
            yield debug.DumpChunk(
                progress=debug.DumpProgress(
                    task=task, total=len(_TASKS), progress=_TASKS.index(task)
                )
            )
        for piece in tar.add(part.name, part.content):
            yield debug.DumpChunk(content=debug.DumpContent(content=piece))
        if time.monotonic() > deadline:
            break
    if profiles:
        seconds = min(_DEFAULT_S, max(0.0, deadline - time.monotonic()))
        text = profiling.cpu(seconds, call.cancel.is_set)
        for piece in tar.add("pachd/cpu.folded", text.encode()):
            yield debug.DumpChunk(content=debug.DumpContent(content=piece))
    for piece in tar.end():
        yield debug.DumpChunk(content=debug.DumpContent(content=piece))
    yield debug.DumpChunk(
        progress=debug.DumpProgress(task="done", total=len(_TASKS), progress=len(_TASKS))
    )


# ---- profiles


@handles("debug_v2.Debug/Profile")
def profile(box: Box, request: Any, call: Call) -> Iterator[Any]:
    _only_the_box(request.filter)
    name = request.profile.name
    seconds = _seconds(request.profile.duration, _DEFAULT_S)
    if name == "cpu":
        file, make = "pachd/cpu.folded", _timed(profiling.cpu, seconds, call)
    elif name in ("heap", "allocs"):
        file, make = f"pachd/{name}.txt", _timed(profiling.heap, seconds, call)
    elif name in ("goroutine", "threadcreate"):
        file, make = f"pachd/{name}.txt", profiling.stacks
    else:
        raise InvalidArgument(
            f"profile {name!r} is not known", "take cpu, heap, or goroutine (stacks of threads)"
        )
    return _archive(file, make)


def _timed(
    take: Callable[[float, Callable[[], bool]], str], seconds: float, call: Call
) -> Callable[[], str]:
    return lambda: take(seconds, call.cancel.is_set)


def _archive(name: str, make: Callable[[], str]) -> Iterator[Any]:
    tar = _Tar()
    for pieces in (tar.add(name, make().encode()), tar.end()):
        for piece in pieces:
            yield BytesValue(value=piece)


@handles("debug_v2.Debug/Binary")
def binary(box: Box, request: Any, call: Call) -> Iterator[Any]:
    """The program itself: the package as it runs."""
    _only_the_box(request.filter)
    return _program()


def _program() -> Iterator[Any]:
    top = Path(pachybox.__file__).parent
    tar = _Tar()
    for path in sorted(top.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = f"pachd/pachybox/{path.relative_to(top)}"
            for piece in tar.add(name, path):
                yield BytesValue(value=piece)
    for piece in tar.end():
        yield BytesValue(value=piece)


def _only_the_box(which: Any) -> None:
    kind = which.WhichOneof("filter")
    if kind in ("pipeline", "worker", "database"):
        raise Unimplemented(
            f"a profile of a {kind} is not built: only the box itself runs our code",
            "set filter.pachd, or no filter",
        )


@handles("debug_v2.Debug/Trace")
def trace(box: Box, request: Any, call: Call) -> Iterator[Any]:
    raise Unimplemented(
        "debug_v2.Debug/Trace is not built: it is a trace of Go's runtime, which the box is not",
        "take a cpu profile",
    )


# ---- the log


class _Levels:
    """Levels set for a while, and what they were before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._before: dict[str, int] = {}
        self._timers: dict[str, threading.Timer] = {}

    def set(self, name: str, level: int, seconds: float) -> None:
        """Log ``name`` at ``level`` for ``seconds`` from now."""
        logger = logging.getLogger(name)
        with self._lock:
            self._before.setdefault(name, logger.level)
            if name in self._timers:
                self._timers[name].cancel()
            timer = threading.Timer(seconds, self._over, (name,))
            timer.daemon = True
            self._timers[name] = timer
            logger.setLevel(level)
            timer.start()

    def _over(self, name: str) -> None:
        with self._lock:
            if self._timers.get(name) is threading.current_thread():
                logging.getLogger(name).setLevel(self._before.pop(name))
                del self._timers[name]
                log.info("log level over logger=%s", name)


_levels = _Levels()


@handles("debug_v2.Debug/SetLogLevel")
def set_log_level(box: Box, request: Any, call: Call) -> Any:
    seconds = m.span(request.duration).total_seconds()
    if not 0 < seconds <= _LONGEST_S * 24:
        raise InvalidArgument(
            f"duration is {seconds:g} s", "say for how long, from above 0 up to 24 hours"
        )
    kind = request.WhichOneof("level")
    if kind is None:
        raise InvalidArgument("the request sets no level", "set pachyderm, or grpc")
    name = m.enum_name(debug.SetLogLevelRequest.LogLevel, getattr(request, kind))
    if name not in _LEVELS:
        raise InvalidArgument(f"{name} is no level", f"use {', '.join(_LEVELS)}")
    _levels.set("pachybox" if kind == "pachyderm" else "grpc", _LEVELS[name], seconds)
    return debug.SetLogLevelResponse(affected_pods=[_SELF])


def _seconds(duration: Any, default: float) -> float:
    seconds = m.span(duration).total_seconds()
    if not 0 <= seconds <= _LONGEST_S:
        raise InvalidArgument(f"duration is {seconds:g} s", f"give seconds, at most {_LONGEST_S:g}")
    return seconds or default
