"""Many inputs against boxes that hold a small world: nothing may break, nothing may change.

read, or a write that cannot be well ------> kept: answers, and holds the same in the end
write -> spare: what is refused there -----> kept
without the token -------------------------> keyed kept: refuses all
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.boxes import eventually
from tests.fuzz.noise import Noise
from tests.fuzz.wire import Outcome
from tests.fuzz.world import TOKEN, Resources, Subject, World, state_of

CORPUS = Path(__file__).parent / "corpus"
# What a request is refused with whatever the box holds.
_HARMLESS = frozenset(
    {"", "400", "401", "403", "405", "408", "411", "413", "414", "415", "417", "431", "501", "505"}
    | {"INVALID_ARGUMENT", "OUT_OF_RANGE", "RESOURCE_EXHAUSTED", "UNAUTHENTICATED", "UNIMPLEMENTED"}
)
_REFRESH = 2000  # writes until a spare box is made anew
# Pools of threads grow to what was needed at once, caches to their bounds.
_MORE = Resources(threads=40, fds=40, resident=96 << 20)


class Door(Protocol):
    """A module of inputs for one door."""

    name: str

    def make(self, noise: Noise) -> bytes: ...
    def send(self, to: Subject, data: bytes) -> Outcome: ...
    def writes(self, data: bytes) -> bool: ...
    def empties(self, data: bytes) -> bool: ...
    def stops(self, data: bytes) -> bool: ...
    def keyed(self, data: bytes) -> bool: ...


@dataclass(frozen=True)
class Fault:
    """What must not be, and the input that brought it about."""

    data: bytes
    said: str

    @property
    def name(self) -> str:
        return hashlib.sha256(self.data).hexdigest()[:12]


@dataclass
class Report:
    """What a campaign came to."""

    sent: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    accidents: int = 0
    faults: list[Fault] = field(default_factory=list)


class Pair:
    """A box that must not change, and one that may, both of one world and made when wanted."""

    def __init__(self, world: World, folder: Path, token: str) -> None:
        self._world, self._folder, self._token = world, folder, token
        self._made = 0
        self._written = 0
        self.kept = self._new()
        self._spare: Subject | None = None

    def _new(self) -> Subject:
        self._made += 1
        return self._world.copy(self._folder / str(self._made), self._token)

    @property
    def spare(self) -> Subject:
        self._written += 1
        if self._written % _REFRESH == 0:
            self.drop_spare()
        if self._spare is None:
            self._spare = self._new()
        return self._spare

    def drop_spare(self) -> None:
        """The next one is new."""
        if self._spare is not None:
            self._spare.end()
            self._spare = None

    def replace(self, broken: Subject) -> None:
        """A new one in the place of a box that is no more."""
        if broken is self.kept:
            self.renew()
        elif broken is self._spare:
            self.drop_spare()

    def renew(self) -> None:
        """A new kept box, after one did what it was rightly asked to."""
        self.kept.end()
        self.kept = self._new()

    def running(self) -> list[Subject]:
        return [self.kept] + ([self._spare] if self._spare is not None else [])

    def end(self) -> None:
        for subject in self.running():
            subject.end()


class Campaign:
    """Boxes to send inputs to; ``run`` any number of times, then ``end``."""

    def __init__(self, world: World, folder: Path) -> None:
        self._before = state_of(world.home)
        self._open = Pair(world, folder / "open", "")
        self._keyed = Pair(world, folder / "keyed", TOKEN)
        self._pairs = (self._open, self._keyed)

    def run(self, door: Door, inputs: Iterable[bytes], noise: Noise) -> Report:
        """Send each of ``inputs``; faults of the boxes as a whole come under the last one."""
        report = Report()
        before: list[Resources] = []
        kept: list[Subject] = []
        last = b""
        for data in inputs:
            last = data
            self._one(door, data, noise, report)
            report.sent += 1
            if report.sent == 100 or [p.kept for p in self._pairs] != (kept or [None]):
                kept = [pair.kept for pair in self._pairs]
                before = [subject.resources() for subject in kept]
            if report.sent % 250 == 0:
                self._look(last, report)
        self._look(last, report)
        for subject, then in zip(kept, before, strict=True):
            self._grown(subject, then, last, report)
        return report

    def _one(self, door: Door, data: bytes, noise: Noise, report: Report) -> None:
        pair = self._keyed if door.stops(data) or noise.once_in(4) else self._open
        writes = door.writes(data)
        if pair is self._keyed and not door.keyed(data):
            outcome = self._send(door, pair.kept, data, report)
            if outcome.done:
                report.faults.append(Fault(data, f"let in without the token: {outcome}"))
            return
        if writes:
            outcome = self._send(door, pair.spare, data, report)
            if outcome.done and door.empties(data):
                pair.drop_spare()
            if outcome.done or outcome.fault or outcome.code not in _HARMLESS:
                return
        outcome = self._send(door, pair.kept, data, report)
        if outcome.done and writes:
            report.accidents += 1
            pair.renew()

    def _send(self, door: Door, to: Subject, data: bytes, report: Report) -> Outcome:
        try:
            outcome = door.send(to, data)
        except ConnectionRefusedError:
            outcome = Outcome(False, "", f"nobody listens; {to.tell()}")
            for pair in self._pairs:
                pair.replace(to)
        report.codes[outcome.code] += 1
        if outcome.fault:
            report.faults.append(Fault(data, outcome.fault))
        for line in [] if outcome.fault else to.complaints():
            report.faults.append(Fault(data, f"in the log: {line[:3000]}"))
        return outcome

    def _look(self, last: bytes, report: Report) -> None:
        """Do they all live?"""
        for pair in self._pairs:
            for subject in pair.running():
                if not subject.lives():
                    report.faults.append(Fault(last, f"the daemon is gone; {subject.tell()}"))
                    pair.replace(subject)

    def _grown(self, subject: Subject, then: Resources, last: bytes, report: Report) -> None:
        """A client that is gone leaves nothing behind."""

        def settled() -> bool:
            more = subject.resources() - then
            return more.threads <= _MORE.threads and more.fds <= _MORE.fds

        try:
            eventually(settled, "threads and descriptors are given back", 15)
            assert (subject.resources() - then).resident <= _MORE.resident, "memory has grown"
        except AssertionError as e:
            report.faults.append(Fault(last, f"{e}: {then} -> {subject.resources()}"))

    def changes(self) -> list[str]:
        """Stop the boxes that must not change and tell what did; they run again afterwards."""
        found = []
        for pair in self._pairs:
            after = pair.kept.state()
            found += [
                f"{table}: {self._before.get(table)} -> {rows}"
                for table, rows in after.items()
                if rows != self._before.get(table)
            ]
            pair.kept.start()
            faults = [f for f in pair.kept.box.client.fsck() if f.get("level") != "info"]
            found += [str(fault) for fault in faults]
        return found

    def end(self) -> None:
        for pair in self._pairs:
            pair.end()


def corpus(door: Door) -> Sequence[bytes]:
    """The inputs that found a fault once, and some that go far."""
    folder = CORPUS / door.name
    return [p.read_bytes() for p in sorted(folder.iterdir())] if folder.is_dir() else []


def fresh(door: Door, noise: Noise, count: int) -> Iterator[bytes]:
    """New inputs."""
    for _ in range(count):
        yield door.make(noise)


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for the boxes; a sync costs nothing where it can be in memory."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None, prefix="pachybox-")
