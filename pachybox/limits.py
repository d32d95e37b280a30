"""What the machine lets a daemon have, memory and open files, and how it shares that out.

One plan, made at the start. Where there is plenty it is the measured optimum of each part; below,
the parts shrink together, so that the box lives in 256 MB, and does not learn of a limit by being
killed.
"""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pachybox.config import Config
from pachybox.errors import Refused
from pachybox.model.units import format_size

log = logging.getLogger("pachybox.limits")

LEAST_FILES = 128
"""Open files below which no box starts: an idle one has 35, and a database that finds none left
gives itself up."""
LEAST_MEMORY = 160 << 20
"""What the smallest plan is made for."""
_OWN_FILES = 64  # the program's own, its database's and its workers'
_MOST_FILES = 1 << 16  # more is asked for by no box, and slows programs that close all there may be
_AMPLE = 1 << 30
"""With so much memory every part has what it is best with."""
_CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory.high", "memory.limit_in_bytes")  # v2, v2, v1


@dataclass(frozen=True, slots=True)
class Plan:
    """``memory``: what the box may use, in bytes; then the shares of its parts. ``files``: how many
    it may have open; then how many of them are kept or lent."""

    memory: int
    database_bytes: int
    database_threads: int
    nodes_bytes: int
    requests_bytes: int
    pieces: int
    files: int
    packs: int
    objects: int
    connections: int


def plan(memory: int, files: int) -> Plan:
    """The shares of ``memory`` bytes and ``files`` open files."""
    share = min(max((memory - LEAST_MEMORY) / (_AMPLE - LEAST_MEMORY), 0.0), 1.0)

    def between(least: int, most: int) -> int:
        return int(least + share * (most - least))

    free = max(files - _OWN_FILES, 0)
    connections = min(free // 4, between(48, 512))
    return Plan(
        memory=memory,
        database_bytes=between(40, 192) * 1_000_000,
        database_threads=2 if share > 0.2 else 1,
        nodes_bytes=between(4 << 20, 24 << 20),
        requests_bytes=between(24 << 20, 128 << 20),
        pieces=between(6, 32),
        files=files,
        packs=min(max(free // 8, 4), 256),
        objects=min(max(free // 16, 4), 64),
        connections=max(connections, 8),
    )


def of(config: Config) -> Plan:
    """The plan of a box here and now. Raises Refused when it may not open enough files."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files < LEAST_FILES:
        raise Refused(
            f"the limit of open files is {files}, and a box needs {LEAST_FILES}",
            "raise it: ulimit -n 4096, or LimitNOFILE= of the service",
        )
    memory = config.memory_bytes or min(value for value, _ in allowed())
    return plan(memory, files)


def raise_open_files() -> None:
    """Have this process open as many files as the hard limit lets it, within reason."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def allowed() -> Iterator[tuple[int, str]]:
    """Each bound of this process's memory that there is, in bytes, and what sets it."""
    yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), "the machine"
    for number, name in ((resource.RLIMIT_DATA, "RLIMIT_DATA"), (resource.RLIMIT_AS, "RLIMIT_AS")):
        soft = resource.getrlimit(number)[0]
        if soft != resource.RLIM_INFINITY:
            yield soft, name
    for group in memory_groups():
        for name in _LIMITS:
            try:
                text = (group / name).read_text().strip()
            except OSError:
                continue
            if text.isdigit() and int(text) < 1 << 60:  # v1 says "none" by a number near 2 ** 63
                yield int(text), str(group / name)


def memory_groups() -> Iterator[Path]:
    """The control groups by which this process's memory may be counted: its own, then those around
    it. In a container its own is at the top of what it sees."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top = _CGROUPS
        elif "memory" in controllers.split(","):
            top = _CGROUPS / "memory"
        else:
            continue
        folder = top / path.lstrip("/")
        for one in (folder, *folder.parents):
            yield one
            if one == top:
                break


def told(found: Plan) -> str:
    """The plan in one line of the log."""
    return (
        f"memory={format_size(found.memory)} database={format_size(found.database_bytes)} "
        f"nodes={format_size(found.nodes_bytes)} requests={format_size(found.requests_bytes)} "
        f"pieces={found.pieces} files={found.files} connections={found.connections}"
    )
