"""How full the disk may become: three marks, and what happens at each.

In percent as ``df`` counts them: of what can be used, used / (used + available). From the first
mark on the box warns, from the second on nothing comes in by itself (ingest sources, crons), from
the third on nothing is written. Each goes on by itself when the disk is a point below its mark.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from pachybox.config import Config
from pachybox.model.units import format_size

HYSTERESIS = 1.0  # points; less would have a box that works at a mark flutter
WRITABLE = (
    "mount it writable again (see dmesg for why it is not), or stop the box, check the file system "
    "and start it again"
)
REMEDY = "free some space, or delete old commits and run garbage-collect"
_FASTEST = 4 << 30  # bytes a second that nothing writes faster than
_PAUSE_S = (1.0, 15.0)  # between two looks, by how far the next mark is


class Level(IntEnum):
    """What the disk allows."""

    FREE = 0
    WARN = 1
    PAUSE = 2
    REFUSE = 3


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system at one time, in bytes; ``available`` is what is not only root's."""

    used: int
    available: int

    @property
    def percent(self) -> float:
        """How full it is, as ``df`` counts; one without a size (0 bytes) is never full."""
        whole = self.used + self.available
        return 100 * self.used / whole if whole else 0.0

    @property
    def shown(self) -> str:
        """The same to be read: ``92.4 %``, never rounded up to a mark that is not reached."""
        return f"{math.floor(self.percent * 10) / 10:g} %"


def disk_of(found: os.statvfs_result) -> Disk:
    """What ``statvfs`` says."""
    return Disk((found.f_blocks - found.f_bfree) * found.f_frsize, found.f_bavail * found.f_frsize)


def is_read_only(where: Path) -> bool:
    """Whether the file system of ``where`` takes no writes: mounted so, or made so by a kernel that
    found damage on it."""
    if os.statvfs(where).f_flag & os.ST_RDONLY:
        return True
    device = where.stat().st_dev
    wanted = f" {os.major(device)}:{os.minor(device)} "
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            return any(wanted in line and "emergency_ro" in line.split(" ")[-1] for line in file)
    except OSError:  # no /proc, or not all of it
        return False


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks in percent (0: none), and ``reserve``, bytes that stay free whatever they are of
    the whole."""

    warn: int
    pause: int
    refuse: int
    reserve: int = 0

    @staticmethod
    def of(config: Config) -> Marks:
        """Those of a box's settings."""
        return Marks(
            config.disk_warn_percent,
            config.disk_pause_percent,
            config.disk_refuse_percent,
            config.reserve_bytes,
        )

    def level(self, disk: Disk, before: Level = Level.FREE) -> Level:
        """The level of ``disk`` when it was ``before`` until now."""
        if disk.available < self.reserve:
            return Level.REFUSE
        for level in (Level.REFUSE, Level.PAUSE, Level.WARN):
            mark = self.mark(level)
            if mark and disk.percent >= mark - (HYSTERESIS if before >= level else 0.0):
                return level
        return Level.FREE

    def mark(self, level: Level) -> int:
        """From how many percent on a level holds; 0 when it never does."""
        return (0, self.warn, self.pause, self.refuse)[level]

    def kept(self, disk: Disk) -> int:
        """How many bytes must stay available for writes not to be refused."""
        by_share = 0
        if self.refuse:
            by_share = (disk.used + disk.available) * (100 - self.refuse) // 100
        return max(self.reserve, by_share)

    def pause_s(self, disk: Disk, level: Level) -> float:
        """How long the disk needs not be looked at: it cannot fill up to a mark sooner."""
        first = next((mark for mark in (self.warn, self.pause, self.refuse) if mark), 0)
        if level > Level.FREE or not (first or self.reserve):
            return _PAUSE_S[0] if level > Level.FREE else _PAUSE_S[1]
        room = disk.available - self.reserve
        if first:
            room = min(room, (disk.used + disk.available) * first // 100 - disk.used)
        return min(max(room / _FASTEST, _PAUSE_S[0]), _PAUSE_S[1])

    # ---- in words

    def held(self, disk: Disk, level: Level) -> str:
        """Why nothing comes in by itself; "" when it does."""
        if level < Level.PAUSE:
            return ""
        if disk.available < self.reserve:
            return f"{self._reserved(disk)}: ingest goes on above that"
        mark = self.pause or self.refuse
        return f"disk {disk.shown} full: ingest goes on below {mark - HYSTERESIS:g} %"

    def warning(self, disk: Disk, level: Level) -> str:
        """How full it is, what happens when, and the remedy; "" when there is room."""
        if level == Level.FREE:
            return ""
        left = format_size(disk.available)
        if level == Level.REFUSE:
            text = f"the disk is nearly full ({disk.shown}, {left} left): writes are refused"
            if disk.available >= self.reserve:
                text += f" until it is below {self.refuse - HYSTERESIS:g} %"
            else:
                text += f", {format_size(self.reserve)} are kept in reserve"
            return f"{text}; {REMEDY}"
        what = []
        if level == Level.PAUSE:
            what = [f"ingest and crons are held until it is below {self.pause - HYSTERESIS:g} %"]
        elif self.pause:
            what = [f"ingest and crons are held at {self.pause} %"]
        if self.refuse:
            what.append(f"writes are refused at {self.refuse} %")
        text = ": ".join(
            part
            for part in (f"the disk is {disk.shown} full ({left} left)", ", ".join(what))
            if part
        )
        return f"{text}; {REMEDY}"

    def refusal(self, disk: Disk, where: object) -> str:
        """Why something cannot be written below ``where``."""
        text = f"the disk is nearly full: {format_size(disk.available)} free on the file system of"
        if disk.available < self.reserve:
            return f"{text} {where}, {format_size(self.reserve)} are kept in reserve"
        return f"{text} {where} ({disk.shown} used), writes are refused from {self.refuse} % on"

    def _reserved(self, disk: Disk) -> str:
        left, kept = format_size(disk.available), format_size(self.reserve)
        return f"{left} left on the disk, {kept} are kept in reserve"
