"""Daemons in a tenth of a second: forks of a process that has imported all of it already.

Half a second of processor time is what an interpreter takes to import the daemon, and the suite
starts hundreds. What runs in the fork is what ``python -m pachybox.daemon`` runs, to its last line;
only the interpreter is not taken down piece by piece, which in a fork copies each page it frees.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Daemon:
    """A daemon process, used like a ``subprocess.Popen``: all it prints comes by ``stdout``."""

    def __init__(self, env: Mapping[str, str]) -> None:
        printed, out = os.pipe()
        status, told = os.pipe()
        try:
            asked = json.dumps({"env": dict(env), "cwd": str(Path.cwd())}).encode()
            socket.send_fds(_nursery(), [asked], [out, told])
        finally:
            os.close(out)
            os.close(told)
        self.stdout = os.fdopen(printed, "rb")
        self._status = os.fdopen(status, "rb", buffering=0)
        self.pid = int(self._status.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, negative when a signal ended it; None while it runs."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit status; raises TimeoutExpired after ``timeout`` seconds."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("pachybox.daemon", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """To the process, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has, and its status is on the way
                os.kill(self.pid, number)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            line = self._status.readline()
            assert line, "the process that starts daemons is gone"
            self.returncode = int(line)
            self._status.close()
        return self.returncode

    def __del__(self) -> None:
        self._status.close()


@functools.cache
def _nursery() -> socket.socket:
    """The process that forks daemons, started at the first use; it ends with this one."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    env = {k: v for k, v in os.environ.items() if not k.startswith("PACHYBOX")}
    with there:
        process = subprocess.Popen(
            [sys.executable, __file__, str(there.fileno())],
            env=env | {"PYTHONPATH": str(ROOT)},
            pass_fds=[there.fileno()],
        )

    def end() -> None:
        here.close()
        process.wait()

    atexit.register(end)
    return here


def _fork_daemons(requests: socket.socket) -> bool:
    """Fork a daemon a request; returns False when nobody asks any more, and True in a daemon."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children that have ended are nobody's
    while True:
        asked, fds, _, _ = socket.recv_fds(requests, 1 << 20, 2)
        if not asked:
            return False
        if os.fork() == 0:
            requests.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if _watch(fds[1]):
                os._exit(0)
            os.close(fds[1])
            _become(json.loads(asked), fds[0])
            return True
        for fd in fds:
            os.close(fd)


def _watch(told: int) -> bool:
    """Fork the daemon, tell its number and in the end its status; False in the daemon."""
    pid = os.fork()
    if pid == 0:
        return False
    os.closerange(0, told)
    os.write(told, b"%d\n" % pid)
    _, status = os.waitpid(pid, 0)
    os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
    return True


def _end(code: int) -> None:
    """End as the interpreter does: wait for threads, run what is registered, write what is left."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _become(asked: dict[str, object], out: int) -> None:
    """Take on the environment and the place of who asked."""
    for number in (1, 2):
        os.dup2(out, number)
    os.close(out)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.orig_argv = [sys.executable, "-m", "pachybox.daemon"]  # what a restart runs
    env = asked["env"]
    assert isinstance(env, dict)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(str(asked["cwd"]))


if __name__ == "__main__":
    from pachybox import daemon
    from pachybox.errors import PachyboxError

    gc.freeze()  # a look for cycles in a fork would copy every page of what is imported here
    with socket.socket(fileno=int(sys.argv[1])) as given:
        if not _fork_daemons(given):
            os._exit(0)  # none of them, but the first
    try:
        daemon.main()
    except PachyboxError as error:
        print(f"pachybox: {error}", file=sys.stderr)
        _end(1)
    except BaseException:
        traceback.print_exc()
        _end(1)
    _end(0)
