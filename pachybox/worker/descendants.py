"""Killing a whole family of processes where no PID namespace does it.

Works for a process that adopts orphans (kernel.adopt_orphans): double forks and new
sessions do not take a process out of its family, so descent is all there is to follow.
"""

from __future__ import annotations

import os
import signal

_ROUNDS = 1000  # a bound for the search alone; each round that finds no one ends it


def kill_family() -> None:
    """Kill every descendant of this process and wait until none is left.

    All are stopped before any is killed, since a stopped process forks no more.
    Processes of a user we may not signal are left; no_new_privileges prevents those.
    """
    while _have_children():
        stopped: set[int] = set()
        for _ in range(_ROUNDS):
            found = _family() - stopped
            if not found:
                break
            for pid in found:
                _signal(pid, signal.SIGSTOP)
            stopped |= found
        for pid in stopped:
            _signal(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _have_children() -> bool:
    """Reap the dead; whether a child is left alive."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _family() -> set[int]:
    """All descendants of this process, as /proc shows them now."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b") ")[2].split(b" ", 2)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] not in (b"Z", b"X"):
            children.setdefault(int(fields[1]), []).append(int(name))
        else:  # the dead have no children, but are waited for by their parent
            children.setdefault(int(fields[1]), [])
    found: set[int] = set()
    todo = [os.getpid()]
    while todo:
        new = children.get(todo.pop(), [])
        found.update(new)
        todo += new
    return found
