"""Scrubbing: all content is read from the disk and proven once in so many days.

A thread reads a little now and then, as much as is due, when nobody else wants the disk. How far it
has come is kept with its record in the box's health, so that a restart goes on there; a crash loses
ten minutes of it. What is damaged is kept by name until it is whole again or nothing needs it.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from pachybox.care.health import Health
from pachybox.care.idle import be_idle
from pachybox.care.proving import END, START, Damage, Place, Step, proof, walk
from pachybox.errors import PachyboxError, Refused
from pachybox.meta.tables import FACTS
from pachybox.meta.tx import Tx
from pachybox.model.ids import DEFAULT_PROJECT, Hash
from pachybox.model.units import format_size
from pachybox.pfs import care
from pachybox.pfs.service import Pfs

log = logging.getLogger("pachybox.scrub")

PART = "scrub"
_DAMAGED = "scrub.damaged"
_TURN_S = 60.0
_KEEP_S = 600.0  # how far it has come is written no more often: it costs the disk a transaction;
# and what is damaged is read again no more often
_SHARE = 0.8  # of the period, in which a pass is to be done
_REST = 3.0  # after a piece it rests so many times as long as that took
_PIECE = 1 << 20  # bytes that are worth getting up for
_MOST = 100  # damages kept by name
_NAMES = 10  # files that are told of one


@dataclass(frozen=True, slots=True)
class Known:
    """Damaged content with files that it is in, ``repo@commit:/path``."""

    damage: Damage
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass through all content. Times in seconds since 1970, sizes in bytes. ``whole_at``: when
    the last pass ended, 0 for never; ``ended``: this one is over."""

    began: float
    place: Place = START
    done: int = 0
    total: int = 0
    whole_at: float = 0.0

    @property
    def ended(self) -> bool:
        """Whether all was read."""
        return self.place.kind == END


class Scrub:
    """The scrubbing of one box. ``start`` has it done; callable from any thread."""

    def __init__(
        self, pfs: Pfs, health: Health, days: int, clock: Callable[[], float] = time.time
    ) -> None:
        """``days``: the period; 0: only ``now`` scrubs."""
        self._pfs = pfs
        self._health = health
        self._period = days * 86_400.0
        self._clock = clock
        self._stop = threading.Event()
        self._one = threading.Lock()  # one walk at a time
        self._lock = threading.Lock()  # of what follows
        self._pass = self._kept_pass()
        self._known = self._kept_damage()
        self._looked: dict[str, float] = {}  # when damage was looked at again, by its key
        self._written = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="scrub", daemon=True)

    def start(self) -> None:
        """Begin to scrub by itself."""
        if self._period:
            self._thread.start()

    def stop(self) -> None:
        """End that, and keep how far it has come. Idempotent."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def period_s(self) -> float:
        """In which all is read once; 0 for never."""
        return self._period

    def state(self) -> tuple[Pass, list[Known]]:
        """The pass under way, or the last one, and what is damaged."""
        with self._lock:
            return self._pass, list(self._known.values())

    def shown(self) -> str:
        """How far it is, for people."""
        now, known = self.state()
        if now.ended:
            text = f"all {format_size(now.done)} proven"
        else:
            share = now.done / now.total if now.total else 0.0
            text = f"{format_size(now.done)} of {format_size(now.total)} proven ({share:.0%})"
        if not self._period:
            text += ", goes on only when asked (scrub_days = 0)"
        return f"{text}; {len(known)} damaged" if known else text

    # ---- a pass that somebody waits for

    def now(self) -> Iterator[Pass]:
        """Read and prove all content now, as fast as nobody else wants the disk; how far it is,
        piece by piece. Left early, the pass before it goes on as if nothing had been. Raises
        Refused when one runs already."""
        if not self._one.acquire(timeout=5.0):
            raise Refused("a scrub runs already", "see how far it is: pachybox scrub")
        before = self._pass
        try:
            self._looked.clear()
            self._look_again()
            self._begin()
            for step in self._steps():
                self._took(step)
                yield self._pass
            self._close()
            yield self._pass
        finally:
            if not self._pass.ended:
                self._pass = before
            self._one.release()

    # ---- by itself

    def _run(self) -> None:
        be_idle()
        while not self._stop.wait(_TURN_S):
            try:
                self._turn()
            except PachyboxError as e:
                log.warning("cannot scrub: %s", e)
            except Exception:  # it must be there for the next turn
                log.exception("cannot scrub")
        if self._pass.done and not self._pass.ended:
            self._tell()

    def _turn(self) -> None:
        """Read what is due."""
        if not self._one.acquire(blocking=False):
            return
        try:
            self._look_again()
            self._weigh()
            if self._pass.ended and self._elapsed() >= self._period:
                self._begin()
            if self._pass.ended or not self._pass.total or self._due() < _PIECE:
                return
            for step in self._steps():
                began = time.monotonic()
                self._took(step)
                rest = _REST * (time.monotonic() - began)
                if step.place.kind < END and (self._due() <= 0 or self._stop.wait(rest)):
                    return
            self._close()
        finally:
            self._one.release()

    def _elapsed(self) -> float:
        """Of the period; a clock that was put back does not make a pass wait for it."""
        with self._lock:
            elapsed = self._clock() - self._pass.began
            if elapsed < 0:
                self._pass = replace(self._pass, began=self._clock())
        return max(elapsed, 0.0)

    def _weigh(self) -> None:
        """How much there is to read may have changed. What there is to read begins with the
        first content."""
        total = self._pfs.blobs.usage().bytes
        with self._lock:
            if not self._pass.ended:
                began = self._pass.began if self._pass.total else self._clock()
                self._pass = replace(self._pass, began=began, total=max(total, self._pass.done))

    def _due(self) -> float:
        """Bytes that should have been read by now and were not; all when the time is over."""
        share = self._elapsed() / (_SHARE * self._period)
        with self._lock:
            return share * self._pass.total - self._pass.done if share < 1 else math.inf

    def _steps(self) -> Iterator[Step]:
        return walk(self._pfs.blobs, self._pass.place)

    # ---- what comes of it

    def _begin(self) -> None:
        total = self._pfs.blobs.usage().bytes
        with self._lock:
            self._pass = Pass(self._clock(), total=total, whole_at=self._pass.whole_at)

    def _took(self, step: Step) -> None:
        with self._lock:
            done = self._pass.done + step.read
            self._pass = replace(
                self._pass, place=step.place, done=done, total=max(self._pass.total, done)
            )
        if self._stop.is_set():
            return
        if step.damage:
            self._found(step.damage)
        elif time.monotonic() - self._written > _KEEP_S:
            self._tell()

    def _close(self) -> None:
        """All content was read: the metadata is left."""
        self._found([Damage("", f.thing, f.detail) for f in care.tables(self._pfs)])
        with self._lock:
            self._pass = replace(self._pass, total=self._pass.done, whole_at=self._clock())
            log.info("all content was read bytes=%d damaged=%d", self._pass.done, len(self._known))
        self._tell()

    def _found(self, damages: list[Damage] | tuple[Damage, ...]) -> None:
        """Say of each that it is damaged, once; and nothing of what was taken meanwhile."""
        for damage in damages:
            known = Known(damage, self._names(damage))
            with self._lock:
                new = _key(damage) not in self._known and len(self._known) < _MOST
                if not new or (damage.detail.startswith("is missing") and not known.files):
                    continue
                self._known[_key(damage)] = known
            log.error("%s %s %s %s", damage.blob, damage.path, damage.detail, known.files)
            self._announce("scrub.damaged", known)
        if damages:
            self._tell()

    def _look_again(self) -> None:
        """Forget damage that is no more: put again, mended, or needed by nothing. To see whether
        it is may take a read of all commits, or of a disk that fails: seldom of one and the same.
        """
        store = self._pfs.blobs
        with self._lock:
            known = [k for k in self._known.values() if k.damage.blob]
        gone = []
        for one in known:
            h = Hash(bytes.fromhex(one.damage.blob))
            if h in store.packs.bad or h in store.objects.bad:
                continue  # it was not put again
            now = time.monotonic()
            if now - self._looked.get(_key(one.damage), -math.inf) < _KEEP_S:
                continue
            self._looked[_key(one.damage)] = now
            found = proof(store, h, Path(one.damage.path))
            missing = found is not None and found.detail == "is missing"
            if found is None or (missing and not self._names(found)):
                gone.append(one)
        for one in gone:
            with self._lock:
                del self._known[_key(one.damage)]
                del self._looked[_key(one.damage)]
            log.info("whole again, or gone: %s", one.damage.blob)
            self._announce("scrub.mended", one)
        if gone:
            self._tell()

    def _names(self, damage: Damage) -> tuple[str, ...]:
        if not damage.blob:
            return ()
        found = care.commits(self._pfs, {Hash(bytes.fromhex(damage.blob))})
        things = (f.thing.removeprefix("commit ") for f in islice(found, _NAMES))
        return tuple(thing.removeprefix(f"{DEFAULT_PROJECT}/") for thing in things)

    def _announce(self, kind: str, known: Known) -> None:
        data = {**asdict(known.damage), "files": list(known.files)}
        self._pfs.meta.later(lambda tx: tx.event(kind, **data)).add_done_callback(
            lambda done: done.exception()
        )

    # ---- its record

    def _tell(self) -> None:
        with self._lock:
            now, known = self._pass, list(self._known.values())
            self._written = time.monotonic()
        text = json.dumps([{**asdict(k.damage), "files": k.files} for k in known])

        def keep(tx: Tx) -> None:
            tx.put(FACTS, (_DAMAGED, text))

        before = self._pfs.meta.get(FACTS, _DAMAGED)
        if text != (before[1] if before is not None else "[]"):
            self._pfs.meta.later(keep).add_done_callback(lambda done: done.exception())
        self._health.record(
            PART,
            _summary(known),
            self._remedy() if known else "",
            damaged=len(known),
            began=now.began,
            kind=now.place.kind,
            name=now.place.name,
            offset=now.place.offset,
            done=now.done,
            total=now.total,
            whole_at=now.whole_at,
        )

    def _remedy(self) -> str:
        backup = self._health.last("backup")
        if backup is not None and backup.ok_at is not None:
            day = datetime.fromtimestamp(backup.ok_at, UTC).date().isoformat()
            return (
                f"put the same files again, or restore the backup of {day} beside this box and "
                "copy them from there"
            )
        return "put the same files again, or restore a backup; pachybox fsck names all it is in"

    def _kept_pass(self) -> Pass:
        last = self._health.last(PART)
        if last is None:
            return Pass(self._clock(), total=self._pfs.blobs.usage().bytes)
        f = last.figures
        place = Place(int(f["kind"]), str(f["name"]), int(f["offset"]))
        numbers = (int(f["done"]), int(f["total"]), float(f["whole_at"]))
        return Pass(float(f["began"]), place, *numbers)

    def _kept_damage(self) -> dict[str, Known]:
        kept = self._pfs.meta.get(FACTS, _DAMAGED)
        found = {}
        for one in json.loads(kept[1]) if kept is not None else ():
            files = tuple(one.pop("files"))
            found[_key(Damage(**one))] = Known(Damage(**one), files)
        return found


def _key(damage: Damage) -> str:
    return damage.blob or damage.path


def _summary(known: list[Known]) -> str:
    """What ``status`` says of it; "" when all is well."""
    if not known:
        return ""
    files = [name for one in known for name in one.files]
    where = files[0] if files else known[0].damage.path
    others = f" and {len(files) - 1} more" if len(files) > 1 else ""
    pieces = "1 piece" if len(known) == 1 else f"{len(known)} pieces"
    return f"{pieces} of content damaged on the disk: {where}{others}"
