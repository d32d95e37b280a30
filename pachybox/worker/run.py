"""One datum, where no shim runs: fork its first process, feed and watch it, report the end.

The worker stays outside the datum's namespaces: it passes output on, keeps the clock and
listens to the box. When ``run`` returns (or raises), no process of the datum lives.
"""

# Bare system calls on strings, since this runs for every datum.

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pachybox.worker import init, kernel, plain
from pachybox.worker.control import Control
from pachybox.worker.descendants import kill_family
from pachybox.worker.identity import Identity
from pachybox.worker.log import CAP
from pachybox.worker.sandbox import NONE, Sandbox
from pachybox.worker.wire import Code, DatumTask, End, Kind, WorkerSpec, pack_output

_CHUNK = 1 << 18
_PENDING = 1 << 19  # output is left in its pipe while the box has so much to take
_PIPE = 1 << 20  # the most a pipe can still hold when its writers are dead


@dataclass(frozen=True, slots=True)
class Bench:
    """What all datums of one worker share. ``base_env`` comes from ``environment``."""

    spec: WorkerSpec
    sandbox: Sandbox
    identity: Identity | None
    base_env: Mapping[str, str]


@dataclass(slots=True)
class _Watch:
    """A datum under way."""

    pid: int
    output: int
    report: int
    stdin: int
    unfed: memoryview
    endless: bool
    started: float
    sent: int = 0
    dropped: int = 0
    grace: float | None = None
    asked: bool = False  # to end, before it is killed: then it was cancelled, however it ends
    timed_out: bool = False
    cancelled: bool = False
    said: bytes = b""
    wall: float = 0.0
    cpu: float = 0.0
    rss: int = 0


def run(bench: Bench, task: DatumTask, code: Code, number: int, control: Control) -> End:
    """Run one datum to its end; ``number`` is what a cancel message must name."""
    if control.stopped(number):
        return End(Kind.KILLED, cancelled=True)
    if not code.argv:
        return End(Kind.ERROR, text="nothing to run: the transform has no command")
    argv, stdin = code.argv, code.stdin
    env = {**bench.base_env, **code.env, **task.env}
    folder: plain.Folder | None = None
    try:
        if bench.identity is not None:
            os.chown(task.out, bench.identity.uid, bench.identity.gid)
        if bench.sandbox.level == NONE:
            folder = plain.Folder(bench.spec.work_dir, task)
            argv = tuple(plain.rewrite(word, folder.pfs) for word in argv)
            lines = os.fsdecode(stdin).split("\n")
            stdin = os.fsencode("\n".join(plain.rewrite(line, folder.pfs) for line in lines))
            env = {key: plain.rewrite(value, folder.pfs) for key, value in env.items()}
        watch = _begin(bench, task, replace(code, argv=argv, stdin=stdin, env=env))
        try:
            _attend(watch, control, number, task)
        finally:
            _finish(watch, control, number)
    except OSError as e:
        return End(Kind.ERROR, text=f"cannot set up the datum: {e}")
    finally:
        if folder is not None:
            folder.remove()
    return _report(watch)


def environment(identity: Identity | None, own: Mapping[str, str]) -> dict[str, str]:
    """What all datums of a worker share of their environment: its ``own``, then the user's."""
    env = dict(own)
    if identity is not None:
        env |= identity.environment()
    return env | {"PFS": "/pfs"}


def _begin(bench: Bench, task: DatumTask, code: Code) -> _Watch:
    output, their_output = os.pipe()
    report, their_report = os.pipe()
    if code.stdin:
        their_stdin, feed = os.pipe()
        os.set_blocking(feed, False)
    else:
        their_stdin, feed = os.open("/dev/null", os.O_RDONLY), -1
    launch = init.Launch(
        argv=code.argv,
        env=code.env,
        cwd=code.cwd,
        layout=task.layout,
        out=str(task.out),
        identity=bench.identity,
        stdin=their_stdin,
        output=their_output,
        report=their_report,
    )
    try:
        pid = kernel.fork_into(bench.sandbox.namespaces)
        if pid == 0:
            for fd in (output, report, feed):
                if fd >= 0:
                    os.close(fd)
            init.run(launch, bench.sandbox)
    except OSError:
        for fd in (output, report, feed):
            if fd >= 0:
                os.close(fd)
        raise
    finally:
        for fd in (their_output, their_report, their_stdin):
            os.close(fd)
    return _Watch(pid, output, report, feed, memoryview(code.stdin), task.endless, time.monotonic())


def _attend(watch: _Watch, control: Control, number: int, task: DatumTask) -> None:
    """Serve the datum's pipes until its first process has reported or is gone."""
    while True:
        _stop_if_told(watch, control, number, task.grace_s)
        wait_s = _look_at_clock(watch, task.timeout_s)
        poll = select.poll()
        poll.register(watch.report, select.POLLIN)
        if not control.closed:
            poll.register(control.fd, select.POLLIN)
        if control.pending:
            poll.register(control.out, select.POLLOUT)
        if watch.output >= 0 and control.pending < _PENDING:
            poll.register(watch.output, select.POLLIN)
        if watch.stdin >= 0:
            poll.register(watch.stdin, select.POLLOUT)
        for fd, _event in poll.poll(None if wait_s is None else wait_s * 1000 + 1):
            if fd == watch.output:
                if not _take(watch, control, number):
                    os.close(fd)
                    watch.output = -1
            elif fd == watch.report:
                data = os.read(fd, _CHUNK)
                watch.said += data
                if not data:
                    return
            elif fd == watch.stdin:
                if not _feed(watch):
                    os.close(fd)
                    watch.stdin = -1
            elif fd == control.out:
                control.flush()
            else:
                control.read()


def _take(watch: _Watch, control: Control, number: int) -> int:
    """Pass a piece of output on, or only count it when there was too much."""
    data = os.read(watch.output, _CHUNK)
    kept = data if watch.endless else data[: max(0, CAP - watch.sent)]
    watch.sent += len(kept)
    watch.dropped += len(data) - len(kept)
    if kept:
        control.send(pack_output(number, kept))
    return len(data)


def _look_at_clock(watch: _Watch, timeout_s: float | None) -> float | None:
    """End what is over its time; the seconds until there is something to end, None: never."""
    now = time.monotonic()
    waits = []
    if timeout_s is not None and not watch.timed_out:
        waits.append(watch.started + timeout_s - now)
        if waits[-1] <= 0 and not watch.cancelled:
            watch.timed_out = True
            _kill(watch)
    if watch.grace is not None:
        waits.append(watch.grace - now)
        if waits[-1] <= 0:
            watch.grace = None
            _kill(watch)
    return min((wait for wait in waits if wait > 0), default=None)


def _stop_if_told(watch: _Watch, control: Control, number: int, grace_s: float) -> None:
    """Kill what the box cancels; with a grace period the code is asked to end first."""
    if control.closed and watch.grace is not None:
        watch.grace = time.monotonic()
    if watch.cancelled or not control.stopped(number):
        return
    watch.cancelled = True
    if grace_s and not control.closed:
        watch.grace = time.monotonic() + grace_s
        watch.asked = True
        os.kill(watch.pid, signal.SIGUSR1)
    else:
        _kill(watch)


def _feed(watch: _Watch) -> bool:
    """Give the code some of its stdin; False when there is no more, or it reads no more."""
    try:
        watch.unfed = watch.unfed[os.write(watch.stdin, watch.unfed[:_CHUNK]) :]
    except BlockingIOError:
        return True
    except BrokenPipeError:
        return False
    return bool(watch.unfed)


def _kill(watch: _Watch) -> None:
    os.kill(watch.pid, signal.SIGKILL)  # a child not waited for yet, so the number is its own


def _finish(watch: _Watch, control: Control, number: int) -> None:
    """Wait until all of the datum is dead and take its last output."""
    _kill(watch)
    # In a PID namespace this returns once every process in it is gone.
    _, _, usage = os.wait4(watch.pid, 0)
    watch.wall = time.monotonic() - watch.started
    watch.cpu, watch.rss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    kill_family()  # elsewhere: what the first process, killed, left to us
    if watch.output >= 0:
        os.set_blocking(watch.output, False)
        taken = 0
        try:
            while taken <= _PIPE and (size := _take(watch, control, number)):
                taken += size
        except BlockingIOError:
            pass  # someone outside the datum was handed the pipe; not our affair
    for fd in (watch.output, watch.report, watch.stdin):
        if fd >= 0:
            os.close(fd)


def _report(watch: _Watch) -> End:
    try:
        said = json.loads(watch.said) if watch.said else {}
    except ValueError:  # killed in the middle of its report
        said = {}
    stopped = watch.timed_out or watch.cancelled
    if "error" in said and not stopped:
        return End(Kind.ERROR, text=said["error"])
    # A report that was complete before the kill came counts: the code had ended by itself.
    ended = "status" in said and not (watch.cancelled and watch.asked)
    return End(
        Kind.STATUS if ended else Kind.KILLED,
        said.get("status", 0),
        "",
        watch.timed_out and not ended,
        watch.cancelled and not ended,
        int(said.get("wall", watch.wall) * 1e6),
        int(said.get("cpu", watch.cpu) * 1e6),
        said.get("rss", watch.rss),
        watch.dropped,
    )
