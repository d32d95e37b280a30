"""Figures of the daemon's process, by the names that Prometheus' own clients use."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from functools import cache

from pachybox.api.metrics import Gauge


def gauges() -> Iterator[Gauge]:
    """Those of this process; ``/proc`` is read, nothing else."""
    size, resident = map(int, _words("/proc/self/statm")[:2])
    page = os.sysconf("SC_PAGE_SIZE")
    used = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    open_fds = len(os.listdir("/proc/self/fd"))
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    for name, text, kind, value in (
        ("process_resident_memory_bytes", "Memory of the daemon.", "gauge", resident * page),
        ("process_virtual_memory_bytes", "Its address space.", "gauge", size * page),
        ("process_open_fds", "Files it has open.", "gauge", open_fds),
        ("process_max_fds", "Files it may have open.", "gauge", most),
        ("process_threads", "Its threads.", "gauge", threading.active_count()),
        (
            "process_cpu_seconds_total",
            "Processor time it took.",
            "counter",
            used.ru_utime + used.ru_stime,
        ),
        (
            "pachybox_children_cpu_seconds_total",
            "Processor time of programs it started and that have ended.",
            "counter",
            children.ru_utime + children.ru_stime,
        ),
        ("process_start_time_seconds", "When it started.", "gauge", _began()),
    ):
        yield name, text, kind, {}, float(value)


def _words(path: str) -> list[str]:
    with open(path, encoding="ascii") as file:
        return file.read().split()


@cache
def _began() -> float:
    """Seconds since 1970."""
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        ticks = float(file.read().rpartition(")")[2].split()[19])
    with open("/proc/stat", encoding="ascii") as file:
        boot = next(float(line.split()[1]) for line in file if line.startswith("btime"))
    return boot + ticks / os.sysconf("SC_CLK_TCK")
