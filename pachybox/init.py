"""The first process of a container or a machine: it starts the box, passes signals on to it, and
waits for whatever is orphaned, so that no zombie stays.

The box itself waits for its own children one by one, which would miss a stranger's, and must not
take another thread's: so it is a child here.
"""

from __future__ import annotations

import os
import signal
import sys

MARK = "PACHYBOX_INIT"
"""In the environment of a box that was started here: its log goes to standard error too."""

_PASSED = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH),
)
_GRACE_S = 2.0


def needed() -> bool:
    """Whether this is the first process: nobody else will wait for orphans."""
    return os.getpid() == 1


def run(command: list[str]) -> int:
    """Run ``command`` until it ends; returns its exit status (128 + the signal's number when one
    ended it). What is left then is asked to end, and killed after two seconds by the kernel, as
    this process ends.

    Raises OSError when the command cannot be started.
    """
    watched = {*_PASSED, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    child = os.posix_spawn(
        command[0], command, {**os.environ, MARK: "1"}, setsigmask=(), setsigdef=watched
    )
    while True:
        number = signal.sigwait(watched)
        if number != signal.SIGCHLD:
            os.kill(child, number)  # not yet waited for, so the number is still its own
            continue
        status = _reap(child)
        if status is not None:
            break
    _end_others()
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def same_command() -> list[str]:
    """The command line of this process."""
    return [sys.executable, *sys.orig_argv[1:]]


def _reap(child: int) -> int | None:
    """Wait for all that have ended; the status of ``child`` when it has."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def _end_others() -> None:
    """Ask what is left to end, and wait a little."""
    try:
        os.kill(-1, signal.SIGTERM)
    except ProcessLookupError:
        return
    while signal.sigtimedwait({signal.SIGCHLD}, _GRACE_S) is not None:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
