"""The room that a box has: what is refused, what is held, what is said about it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pachybox.config import Config
from pachybox.errors import Exhausted, PachyboxError
from pachybox.meta.writer import Meta
from pachybox.model.units import format_size
from pachybox.watermarks import (
    HYSTERESIS,
    REMEDY,
    WRITABLE,
    Disk,
    Level,
    Marks,
    disk_of,
    is_read_only,
)

log = logging.getLogger("pachybox.disk")

_LOOK_S = 0.1  # at most so often, when content grows
_BLIND_S = 5.0  # at most so long, whatever room there is: it may have become read-only


class Space:
    """Looks at the file system of a box's folder: before content grows, and now and then by a
    thread of its own. Callable from any thread."""

    def __init__(
        self, config: Config, meta: Callable[[], Meta], store_bytes: Callable[[], int]
    ) -> None:
        """``store_bytes``: what the content store takes, for the quota."""
        self._home: Path = config.home
        self._quota = config.quota_bytes
        self.marks = Marks.of(config)
        self.relieve: Callable[[], bool] = lambda: False
        """Makes room by ending what filled the disk; whether there is room now."""
        self._meta = meta
        self._store_bytes = store_bytes
        self.read_only = False
        """Whether the file system takes no writes, by the last look."""
        self._disk, self._level = self.now(), Level.FREE
        self._level = self.marks.level(self._disk)
        self._lock = threading.Lock()  # of the two
        self._told = Level.FREE
        self._told_read_only = False
        self._checked = 0.0
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="disk", daemon=True)

    def start(self) -> None:
        """Begin to look by itself."""
        self._thread.start()

    def stop(self) -> None:
        """End that. Idempotent."""
        self._closed = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    # ---- what it is

    def now(self) -> Disk:
        """The file system as it is."""
        return disk_of(os.statvfs(self._home))

    @property
    def level(self) -> Level:
        """What the disk allows, by the last look."""
        return self._level

    @property
    def disk(self) -> Disk:
        """The file system at the last look."""
        return self._disk

    def kept(self, found: os.statvfs_result) -> int:
        """How many bytes of a file system must stay free."""
        return self.marks.kept(disk_of(found))

    def held(self) -> str:
        """Why nothing may come in by itself now; "" when it may. Cheap."""
        with self._lock:
            if self.read_only:
                return "the disk is read-only: ingest goes on when it can be written again"
            return self.marks.held(self._disk, self._level)

    def forbidden(self) -> str:
        """Why nothing at all can be written now; "" when it can. Looks."""
        with self._lock:
            self._look()
        self._announce()
        return self._locked() if self.read_only else ""

    def _locked(self) -> str:
        return f"the file system of {self._home} is read-only: nothing can be written"

    def warnings(self) -> list[str]:
        """What whoever uses the box should know; looks at the disk."""
        with self._lock:
            self._look()
            text = self.marks.warning(self._disk, self._level)
        self._announce()
        locked = [f"{self._locked()}; {WRITABLE}"] if self.read_only else []
        return [*locked, text] if text else locked

    def refusals(self) -> list[str]:
        """Why a write would be refused now, by the last look; looks at the mount. Cheap."""
        found = []
        if self.read_only or os.statvfs(self._home).f_flag & os.ST_RDONLY:
            found.append(self._locked())
        with self._lock:
            if self._level == Level.REFUSE:
                found.append(self.marks.warning(self._disk, self._level))
        if self._quota and (used := self._store_bytes()) > self._quota:
            found.append(f"the quota is used up: {format_size(used)}, {format_size(self._quota)}")
        return found

    @property
    def thread(self) -> threading.Thread:
        """The one that looks by itself."""
        return self._thread

    # ---- what is refused

    def check(self) -> None:
        """Raise Exhausted when the disk or the quota is used up, or the disk is read-only. Asked
        before content grows; looks at the disk at most ten times a second. Waits until what a
        running datum filled the disk with is removed."""
        now = time.monotonic()
        if now - self._checked < _LOOK_S:
            return
        disk = self.now()
        if disk.available < self.marks.kept(disk):
            self.relieve()
        with self._lock:
            self._look()
            disk, level = self._disk, self._level
        self._announce()
        if self.read_only:
            raise Exhausted(self._locked(), WRITABLE)
        if level == Level.REFUSE:
            after = f"; writes go on below {self.marks.refuse - HYSTERESIS:g} %"
            raise Exhausted(
                self.marks.refusal(disk, self._home),
                REMEDY + (after if disk.available >= self.marks.reserve else ""),
            )
        if self._quota and (used := self._store_bytes()) > self._quota:
            raise Exhausted(
                f"the quota is used up: {format_size(used)} of {format_size(self._quota)}",
                "delete old commits and run garbage-collect, or raise quota_bytes in box.toml",
            )
        self._checked = now

    # ---- looking

    def _look(self) -> None:
        """With the lock: see how it is, and what that means after what it was."""
        self._disk = self.now()
        self.read_only = is_read_only(self._home)
        self._level = self.marks.level(self._disk, self._level)

    def _announce(self) -> None:
        """Have the thread say that the level is another one, if it is."""
        if self._level != self._told or self.read_only != self._told_read_only:
            self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            pause = 1.0
            try:
                pause = self._turn()
            except Exception:  # it must be there for the next look
                log.exception("cannot look at the disk of %s", self._home)
            self._wake.wait(pause)
            self._wake.clear()

    def _turn(self) -> float:
        disk = self.now()
        if disk.available < self.marks.kept(disk):
            self.relieve()
        with self._lock:
            self._look()
            disk, level = self._disk, self._level
        if self.read_only != self._told_read_only:
            self._told_read_only = self.read_only
            if self.read_only:
                log.error("%s", self._locked())
            else:
                log.info("the file system of %s can be written again", self._home)
        if level != self._told:
            before, self._told = self._told, level
            self._say(disk, level, before)
        return 1.0 if self.read_only else min(self.marks.pause_s(disk, level), _BLIND_S)

    def _say(self, disk: Disk, level: Level, before: Level) -> None:
        text = self.marks.warning(disk, level) or f"the disk is {disk.shown} full"
        where = log.warning if level > before else log.info
        where("level=%s was=%s %s", level.name.lower(), before.name.lower(), text)
        facts = {"level": level.name.lower(), "was": before.name.lower()}
        try:
            self._meta().write(
                lambda tx: tx.event("disk.level", **facts, used_percent=round(disk.percent, 1))
            )
        except PachyboxError as e:  # a disk that is really full
            log.warning("no event of that: %s", e)
