"""Finding the processes of a box from outside, and killing one of a kind."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process and when it began, in the kernel's ticks: together they name it for ever."""

    pid: int
    began: int

    def alive(self) -> bool:
        """Whether it runs still; one that is dead and waits to be asked does not."""
        found = _look(self.pid)
        return found is not None and found[1] == self.began

    def kill(self) -> bool:
        """kill -9; False when it had ended."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def _look(pid: int) -> tuple[int, int] | None:
    """Parent and beginning of a process that lives."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] in "ZX" else (int(words[1]), int(words[19]))


def below(root: int) -> list[Process]:
    """Every process that descends from ``root``."""
    parents: dict[int, tuple[int, int]] = {}
    for folder in os.listdir("/proc"):
        if folder.isdigit() and (found := _look(int(folder))):
            parents[int(folder)] = found
    inside, grown = {root}, True
    while grown:
        more = {p for p, (parent, _) in parents.items() if parent in inside} - inside
        inside |= more
        grown = bool(more)
    return [Process(pid, parents[pid][1]) for pid in sorted(inside - {root})]


def runs_user_code(process: Process, mark: Path) -> bool:
    """Whether it is user code: only that has ``mark`` in its environment."""
    try:
        return os.fsencode(mark) in Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return False
