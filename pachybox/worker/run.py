"""One datum, from the worker's side: fork its first process, feed and watch it, judge the end.

The worker stays outside the datum's namespaces: it writes the log, keeps the clock and
listens to the box. When ``run`` returns (or raises), no process of the datum lives.
"""

# Bare system calls on strings, since this runs for every datum.
# ruff: noqa: PTH108, PTH114, PTH118

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pachybox.worker import init, kernel, plain
from pachybox.worker.control import Control
from pachybox.worker.descendants import kill_family
from pachybox.worker.identity import Identity
from pachybox.worker.log import LogWriter
from pachybox.worker.sandbox import NONE, Sandbox
from pachybox.worker.wire import DatumResult, DatumTask, WorkerSpec

_CHUNK = 1 << 18
_PIPE = 1 << 20  # the most a pipe can still hold when its writers are dead


@dataclass(frozen=True, slots=True)
class Bench:
    """What all datums of one worker share."""

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
    log: LogWriter
    started: float
    timed_out: bool = False
    cancelled: bool = False
    said: bytes = b""
    wall: float = 0.0
    cpu: float = 0.0
    rss: int = 0


def run(bench: Bench, task: DatumTask, number: int, control: Control) -> DatumResult:
    """Run one datum to its end; ``number`` is what a cancel message must name."""
    transform = bench.spec.transform
    argv = transform.err_cmd if task.err_cmd else transform.cmd
    lines = transform.err_stdin if task.err_cmd else transform.stdin
    if not argv:
        return DatumResult(False, reason="nothing to run: the transform has no command")
    env = environment(bench, task)
    link = ""
    try:
        if bench.identity is not None:
            os.chown(task.out, bench.identity.uid, bench.identity.gid)
        if bench.sandbox.level == NONE:
            pfs = str(task.inputs)
            link = plain.link_out(pfs, str(task.out))
            argv = tuple(plain.rewrite(word, pfs) for word in argv)
            lines = tuple(plain.rewrite(line, pfs) for line in lines)
            env = {key: plain.rewrite(value, pfs) for key, value in env.items()}
        watch = _begin(bench, task, argv, env, _stdin(lines))
        try:
            _attend(watch, control, number, task.timeout_s)
        finally:
            _finish(watch)
    except OSError as e:
        return DatumResult(False, reason=f"cannot set up the datum: {e}")
    finally:
        if link and os.path.islink(link):
            os.unlink(link)
    return _judge(watch, transform.accept_return_code, task)


def environment(bench: Bench, task: DatumTask) -> dict[str, str]:
    """The code's environment: the worker's own, then the user's, the pipeline's, the datum's."""
    env = dict(bench.base_env)
    if bench.identity is not None:
        env |= bench.identity.environment()
    env |= bench.spec.transform.env
    env |= bench.spec.env
    env |= task.env
    env["PFS"] = "/pfs"
    return env


def _stdin(lines: Sequence[str]) -> bytes:
    return b"".join(os.fsencode(line) + b"\n" for line in lines)


def _begin(
    bench: Bench, task: DatumTask, argv: Sequence[str], env: Mapping[str, str], stdin: bytes
) -> _Watch:
    log = LogWriter(str(task.log))
    output, their_output = os.pipe()
    report, their_report = os.pipe()
    if stdin:
        their_stdin, feed = os.pipe()
        os.set_blocking(feed, False)
    else:
        their_stdin, feed = os.open("/dev/null", os.O_RDONLY), -1
    launch = init.Launch(
        argv=argv,
        env=env,
        cwd=os.path.join("/", bench.spec.transform.working_dir),
        inputs=str(task.inputs),
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
        log.close()
        raise
    finally:
        for fd in (their_output, their_report, their_stdin):
            os.close(fd)
    return _Watch(pid, output, report, feed, memoryview(stdin), log, time.monotonic())


def _attend(watch: _Watch, control: Control, number: int, timeout_s: float | None) -> None:
    """Serve the datum's pipes until its first process has reported or is gone."""
    poll = select.poll()
    for fd in (watch.output, watch.report, control.fd):
        poll.register(fd, select.POLLIN)
    if watch.stdin >= 0:
        poll.register(watch.stdin, select.POLLOUT)
    if _told_to_stop(control, number):  # it may have come along with the run
        watch.cancelled = True
        _kill(watch)
    while True:
        wait_ms = None
        if timeout_s is not None and not watch.timed_out:
            left = watch.started + timeout_s - time.monotonic()
            if left <= 0:
                watch.timed_out = True
                _kill(watch)
            else:
                wait_ms = left * 1000 + 1
        for fd, _event in poll.poll(wait_ms):
            if fd == watch.output:
                data = os.read(fd, _CHUNK)
                watch.log.feed(data)
                if not data:
                    poll.unregister(fd)
            elif fd == watch.report:
                data = os.read(fd, _CHUNK)
                watch.said += data
                if not data:
                    return
            elif fd == watch.stdin:
                if not _feed(watch):
                    poll.unregister(fd)
                    os.close(fd)
                    watch.stdin = -1
            else:
                control.read()
                if control.closed:
                    poll.unregister(fd)
                if _told_to_stop(control, number) and not watch.cancelled:
                    watch.cancelled = True
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


def _told_to_stop(control: Control, number: int) -> bool:
    while (message := control.next()) is not None:
        if message["op"] == "cancel" and message["run"] == number:
            return True
    return control.closed


def _kill(watch: _Watch) -> None:
    os.kill(watch.pid, signal.SIGKILL)  # a child not waited for yet, so the number is its own


def _finish(watch: _Watch) -> None:
    """Wait until all of the datum is dead, take its last output, close the log."""
    _kill(watch)
    # In a PID namespace this returns once every process in it is gone.
    _, _, usage = os.wait4(watch.pid, 0)
    watch.wall = time.monotonic() - watch.started
    watch.cpu, watch.rss = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    kill_family()  # elsewhere: what the first process, killed, left to us
    os.set_blocking(watch.output, False)
    taken = 0
    try:
        while taken <= _PIPE and (data := os.read(watch.output, _CHUNK)):
            watch.log.feed(data)
            taken += len(data)
    except BlockingIOError:
        pass  # someone outside the datum was handed the pipe; not our affair
    for fd in (watch.output, watch.report, watch.stdin):
        if fd >= 0:
            os.close(fd)
    watch.log.close()


def _judge(watch: _Watch, accepted: Sequence[int], task: DatumTask) -> DatumResult:
    try:
        said = json.loads(watch.said) if watch.said else {}
    except ValueError:  # killed in the middle of its report
        said = {}
    if "error" in said and not (watch.timed_out or watch.cancelled):
        return DatumResult(False, reason=said["error"])
    code = number = None
    if "status" in said:
        ended = os.waitstatus_to_exitcode(said["status"])
        code, number = (ended, None) if ended >= 0 else (None, -ended)
    # A report that was complete before the kill came counts: the code had ended by itself.
    timed_out = watch.timed_out and not said
    cancelled = watch.cancelled and not said
    ok = code is not None and (code == 0 or code in accepted)
    if ok:
        reason = ""
    elif timed_out:
        reason = f"timed out after {task.timeout_s:g}s"
    elif cancelled:
        reason = "cancelled"
    elif code is not None:
        reason = f"exit status {code}"
    elif number is not None:
        reason = f"killed by signal {number}{_signal_name(number)}"
    else:
        reason = "killed: the first process of the datum was ended from outside"
    return DatumResult(
        ok,
        code,
        number,
        reason,
        timed_out,
        cancelled,
        said.get("wall", watch.wall),
        said.get("cpu", watch.cpu),
        said.get("rss", watch.rss),
    )


def _signal_name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:  # most real-time signals have no name
        return ""
