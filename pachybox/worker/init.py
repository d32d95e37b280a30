"""The first process of a datum: moves into the sandbox, starts user code, waits, reports.

In a PID namespace it is process 1, so the kernel kills whatever it leaves behind; elsewhere
it adopts orphans and kills them itself. It holds no secret and decides nothing: its one
report (a JSON object on a pipe user code has no end of) goes to the worker.
"""

# Bare system calls on strings, since this runs for every datum.
# ruff: noqa: PTH110, PTH112

from __future__ import annotations

import errno
import json
import os
import resource  # noqa: F401  os.wait4 imports it, and a datum's root may lack the library
import select
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from pachybox.worker import kernel
from pachybox.worker.descendants import kill_family
from pachybox.worker.identity import Identity
from pachybox.worker.layout import Layout
from pachybox.worker.sandbox import FULL, Sandbox

_FALLBACK_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What Python or the worker changed for itself, or a daemon's starter may have.
_DEFAULT_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGCHLD,
    signal.SIGUSR1,
)


@dataclass(frozen=True, slots=True)
class Launch:
    """What to run and the pipe ends to run it with. ``cwd`` is absolute."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    layout: Layout
    out: str
    identity: Identity | None
    stdin: int
    output: int
    report: int


class CannotRun(Exception):
    """The command cannot be started; the text is for the user."""


def run(launch: Launch, sandbox: Sandbox) -> NoReturn:
    """Live the whole life of a datum's first process; never returns.

    The report is {"status", "wall", "cpu", "rss"} of the main process (times in seconds, rss
    in bytes) or {"error": text}. Every other process of the datum is dead or, in a PID
    namespace, dies as this one exits.
    """
    report: Mapping[str, object]
    try:
        report = _live(launch, sandbox)
    except CannotRun as e:
        report = {"error": str(e)}
    except BaseException as e:
        report = {"error": f"cannot set up the datum: {e}"}
    try:
        if sandbox.level != FULL:
            kill_family()
        os.write(launch.report, json.dumps(report).encode())
    finally:
        os._exit(0)


def _live(launch: Launch, sandbox: Sandbox) -> Mapping[str, object]:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    # Asks the code to end; kept until there is code to ask.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    os.setsid()
    identity = launch.identity
    as_root = (identity.uid if identity else os.geteuid()) == 0
    sandbox.enter(launch.layout, launch.out, as_root=as_root)
    os.umask(0o022)
    if sandbox.level != FULL:
        kernel.adopt_orphans()
        signal.signal(signal.SIGTERM, _on_orphaned)
    if identity is not None:
        identity.become()
    kernel.set_dumpable(False)  # user code of the same user must not trace its init
    _die_with_worker(launch.report, signal.SIGKILL if sandbox.level == FULL else signal.SIGTERM)
    try:
        os.chdir(launch.cwd)
    except OSError as e:
        raise CannotRun(f"working directory {launch.cwd}: {e.strerror}") from None
    started = time.monotonic()
    main = _start(launch)
    signal.signal(signal.SIGUSR1, lambda _number, _frame: os.killpg(main, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
    os.close(launch.stdin)
    os.close(launch.output)
    cpu = 0.0
    rss = 0
    while True:
        pid, status, usage = os.wait4(-1, 0)
        cpu += usage.ru_utime + usage.ru_stime
        rss = max(rss, usage.ru_maxrss * 1024)
        if pid == main:
            wall = time.monotonic() - started
            return {"status": status, "wall": wall, "cpu": cpu, "rss": rss}


def _on_orphaned(_number: int, _frame: FrameType | None) -> None:
    """The worker is gone (or asks us to stop): take the family along."""
    kill_family()
    os._exit(1)


def _die_with_worker(report: int, number: signal.Signals) -> None:
    kernel.die_with_parent(number)
    # race: the worker may have died before the line above; then its end of the pipe is closed.
    poll = select.poll()
    poll.register(report, 0)
    if poll.poll(0):
        os._exit(1)


def _start(launch: Launch) -> int:
    program = find_program(launch.argv[0], launch.env.get("PATH", _FALLBACK_PATH))
    try:
        return os.posix_spawn(
            program,
            tuple(launch.argv),
            launch.env,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, launch.stdin, 0),
                (os.POSIX_SPAWN_DUP2, launch.output, 1),
                (os.POSIX_SPAWN_DUP2, launch.output, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
    except ValueError as e:  # a NUL byte, an empty variable name
        raise CannotRun(f"cannot run {program}: {e}") from None
    except OSError as e:
        raise CannotRun(_why_not(program, e)) from None


def _why_not(program: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return f"cannot run {program}: the interpreter its first line names does not exist"
    if error.errno == errno.ENOEXEC:
        return f"cannot run {program}: not a program; a script's first line must be like #!/bin/sh"
    if error.errno == errno.E2BIG:
        return f"cannot run {program}: arguments and environment are too long for the kernel"
    return f"cannot run {program}: {error.strerror}"


def find_program(name: str, path: str) -> str:
    """The file execvp(3) would run for ``name``; CannotRun says why there is none."""
    if "/" in name:
        candidates = [name]
    else:
        candidates = [f"{folder or '.'}/{name}" for folder in path.split(":")]
    blocked = ""
    for candidate in candidates:
        if os.path.isdir(candidate):
            blocked = blocked or f"{candidate} is a directory"
        elif os.path.exists(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            blocked = blocked or f"{candidate} is not executable"
    if blocked and "/" in name:
        raise CannotRun(f"cannot run {blocked}")
    raise CannotRun(f"command not found: {name}" + (f" ({blocked})" if blocked else ""))
