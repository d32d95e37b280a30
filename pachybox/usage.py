"""What the machine is doing, and what the box takes of its disk.

Nothing here costs whoever asks: counters are read, and what only a walk of the disk could tell is
measured by a thread now and then, while somebody asks.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pachybox.errors import PachyboxError
from pachybox.meta.tables import FACTS
from pachybox.meta.writer import Meta

log = logging.getLogger("pachybox.usage")

_SAMPLES = "disk_samples"
_SAMPLE_S, _SAMPLES_KEPT = 3600.0, 168  # one an hour, of a week
_MEASURE_S = 60.0  # between two walks of the disk at least
_SHARE = 50  # and walking takes a fiftieth of the time at most
_ASKED_S = 600.0  # so long after somebody asked, it is measured again
_CPU_S = 0.5  # the share of the processors is told of so much time at least


@dataclass(frozen=True, slots=True)
class Machine:
    """``cpu`` is the share of all processors in use, 0 to 1; the rest is bytes."""

    cpu: float
    memory_used: int
    memory_total: int
    disk_used: int
    disk_total: int
    disk_free: int


@dataclass(frozen=True, slots=True)
class DiskUse:
    """Bytes on the disk: ``data`` content and metadata, ``cache`` what datums are given and
    write while they run, ``images`` those of pipelines, ``logs``."""

    data: int = 0
    cache: int = 0
    images: int = 0
    logs: int = 0
    growth_per_day: float = 0.0


class Usage:
    """Figures of one box; ``start`` has them measured."""

    def __init__(
        self,
        home: Path,
        meta: Callable[[], Meta],
        store_bytes: Callable[[], int],
        image_bytes: Callable[[], int],
    ) -> None:
        """``store_bytes`` is cheap; ``image_bytes`` may take its time."""
        self._home = home
        self._meta = meta
        self._store_bytes = store_bytes
        self._image_bytes = image_bytes
        self._lock = threading.Lock()
        self._measured = DiskUse()
        self._beside = 0  # bytes of data that are not the store's
        self._ticks = _cpu_ticks()
        self._cpu, self._cpu_at = 0.0, time.monotonic()
        self._asked = -_ASKED_S
        self._closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="usage", daemon=True)

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def stop(self) -> None:
        """End that. Idempotent."""
        self._closed = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    # ---- for those who look

    def machine(self) -> Machine:
        """The machine now. The processors' share is that of the time since the last look."""
        total, available = _memory()
        disk = os.statvfs(self._home)
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        free = disk.f_bavail * disk.f_frsize
        return Machine(self._cpu_now(), total - available, total, used, used + free, free)

    def disk(self) -> DiskUse:
        """What the box takes, as it was measured last; ``data`` now."""
        now = time.monotonic()
        with self._lock:
            first, self._asked = now - self._asked > _ASKED_S, now
            found, beside = self._measured, self._beside
        if first:
            self._wake.set()
        return replace(found, data=self._store_bytes() + beside)

    def _cpu_now(self) -> float:
        with self._lock:
            now = time.monotonic()
            if now - self._cpu_at >= _CPU_S:
                busy, whole = _cpu_ticks()
                passed = whole - self._ticks[1]
                self._cpu = min(1.0, (busy - self._ticks[0]) / passed) if passed > 0 else 0.0
                self._ticks, self._cpu_at = (busy, whole), now
            return self._cpu

    # ---- measuring

    def _run(self) -> None:
        pause = 0.0
        while not self._closed:
            self._wake.wait(pause)
            self._wake.clear()
            if self._closed:
                return
            began = time.monotonic()
            try:
                if began - self._asked <= _ASKED_S:
                    self._measure()
                self._sample()
            except Exception:  # it must be there for the next time
                log.exception("cannot measure what is on the disk")
            took = time.monotonic() - began
            asked = time.monotonic() - self._asked <= _ASKED_S
            pause = max(_MEASURE_S if asked else _ASKED_S, _SHARE * took)

    def _measure(self) -> None:
        home = self._home
        beside = sum(_size(path) for path in home.glob("meta.duckdb*") if path.is_file())
        beside += _size_below(home / "ingest")
        cache, logs = _size_below(home / "work"), _size_below(home / "logs")
        images = self._measured.images
        try:
            images = self._image_bytes()
        except (PachyboxError, OSError) as e:
            log.debug("sizes of images are not known: %s", e)
        with self._lock:
            self._beside = beside
            self._measured = replace(self._measured, cache=cache, logs=logs, images=images)

    def _sample(self) -> None:
        """Keep what the store holds, once an hour, and tell how it grew."""
        found = self._meta().get(FACTS, _SAMPLES)
        samples: list[list[float]] = json.loads(found[1]) if found is not None else []
        now, held = time.time(), self._store_bytes()
        first = next((at for at in samples if at[0] > now - _SAMPLES_KEPT * _SAMPLE_S), None)
        growth = 0.0
        if first is not None and now - first[0] >= _SAMPLE_S:
            growth = (held - first[1]) / (now - first[0]) * 86_400
        with self._lock:
            self._measured = replace(self._measured, growth_per_day=growth)
        if samples and now - samples[-1][0] < _SAMPLE_S:
            return
        samples = [*samples, [now, held]][-_SAMPLES_KEPT:]
        try:
            self._meta().write(lambda tx: tx.put(FACTS, (_SAMPLES, json.dumps(samples))))
        except PachyboxError as e:  # a full disk, or the box is stopping
            log.debug("no sample kept: %s", e)


def _cpu_ticks() -> tuple[int, int]:
    """(busy, all) ticks of all processors since the machine started."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(text) for text in file.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]  # idle, and idle with a disk at work
    return sum(ticks) - idle, sum(ticks)


def _memory() -> tuple[int, int]:
    """(whole, available) bytes of memory."""
    found = {}
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            found[name] = rest
            if name == "MemAvailable":
                break
    total, available = (int(found[n].split()[0]) << 10 for n in ("MemTotal", "MemAvailable"))
    return total, available


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:  # gone meanwhile
        return 0


def _size_below(folder: Path) -> int:
    """Bytes on the disk of the files below a folder, without those that have other names too
    (inputs of datums that are links to the store) and without what is mounted there."""
    total = 0
    folders = [os.fspath(folder)]
    try:
        device = folder.stat().st_dev
    except OSError:
        return 0
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    found = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        if found.st_dev == device:
                            folders.append(entry.path)
                    elif found.st_nlink == 1:
                        total += found.st_blocks * 512
        except OSError:  # gone meanwhile, or not to be read
            continue
    return total
