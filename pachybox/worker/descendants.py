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


def children(pid: int) -> list[int]:
    """The children of any process, oldest first; none when there is no such process."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):  # gone, or a kernel without that file
        return sorted(_by_parent().get(pid, []))


def kill_child(pid: int, parent: int) -> None:
    """Kill a process if it still is a child of ``parent``."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if pid in children(parent):  # the number has not come to mean another process
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except OSError:
        pass  # it is gone
    finally:
        os.close(handle)


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


def _by_parent() -> dict[int, list[int]]:
    """The living children of every process, as /proc shows them now."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b") ")[2].split(b" ", 2)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] not in (b"Z", b"X"):
            found.setdefault(int(fields[1]), []).append(int(name))
        else:  # the dead have no children, but are waited for by their parent
            found.setdefault(int(fields[1]), [])
    return found


def _family() -> set[int]:
    """All descendants of this process."""
    below = _by_parent()
    found: set[int] = set()
    todo = [os.getpid()]
    while todo:
        new = below.get(todo.pop(), [])
        found.update(new)
        todo += new
    return found
