"""A life of a cron input under a simulated clock: what happens to it, and what has to come of it.

A ``World`` is what the ticks are made in (the decisions alone, or a box). ``live`` puts it through
drawn events and compares every tick with the due times that the oracle knows.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from hypothesis import strategies as st

from tests.unit.model.clock_oracle import WINDOWS, moments, schedules, wall

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ROUNDS = 40  # that are looked for what is due after an event


@dataclass(frozen=True)
class Life:
    """A cron input and what happens to it. ``begin``: when it is made; ``start``: the setting;
    ``due``: all seconds after the one or the other at which it is due, in order; ``end``: until
    when that is known. Events are what happens and by how many milliseconds the clock moves."""

    spec: str
    zone: str
    begin: datetime
    start: datetime | None
    overwrite: bool
    coalesce: bool
    due: Sequence[int]
    end: datetime
    events: tuple[tuple[str, int], ...]


class World(Protocol):
    """Where ticks are made."""

    def look(self, now: datetime, *, fails: bool) -> datetime | None:
        """One round: the tick made of the schedule, if any. ``fails``: none can be committed."""

    def by_hand(self, now: datetime) -> datetime | None:
        """Tick by hand: the time that the file is named by; None when it was refused."""

    def files(self) -> set[datetime]:
        """The tick files that are there."""

    def set_paused(self, paused: bool) -> None: ...

    def set_coalesce(self, coalesce: bool) -> None: ...

    def restart(self) -> None: ...


_STEPS = st.one_of(  # milliseconds
    st.integers(1, 3000),
    st.integers(1, 7_200_000),
    st.integers(1, 14 * 86_400_000),
    st.integers(1, 120 * 86_400_000),
)
_OTHERS = ("by hand", "by hand", "on time", "restart", "pause", "resume", "fail", "last", "each")
_EVENTS = st.one_of(
    st.tuples(st.just("on"), _STEPS),
    st.tuples(st.just("on"), _STEPS),
    st.tuples(st.just("back"), _STEPS),
    st.tuples(st.just("due"), st.integers(0, 5000)),
    st.tuples(st.just("due"), st.integers(0, 5000)),
    st.tuples(st.sampled_from(_OTHERS), st.just(0)),
)


@st.composite
def lives(draw: st.DrawFn, most: int = 40) -> Life:
    """Lives over up to three years in one of the zones, of up to ``most`` events."""
    zone, year = draw(st.sampled_from(WINDOWS))
    clock = wall(zone, year)
    every = draw(st.sampled_from([0, 0, 0, 1, 7, 3600, 86_400, 1_000_000]))
    begin = draw(moments(clock))
    start = None
    if draw(st.booleans()):
        step = timedelta(milliseconds=draw(_STEPS) * draw(st.sampled_from([-1, -1, 1])))
        start = min(max(begin + step, clock.start), clock.end).replace(microsecond=0)
    first = _second(start or begin)
    due: Sequence[int]
    if every:
        spec = f"@every {every}s"
        due = range(first + every, _second(clock.end), every)
    else:
        drawn = draw(schedules())
        spec, found = drawn.text, clock.due(drawn)
        due = found[found > first].tolist()
    return Life(
        spec, zone, begin, start, draw(st.booleans()), draw(st.booleans()), due, clock.end,
        tuple(draw(st.lists(_EVENTS, min_size=3, max_size=most))),
    )  # fmt: skip


def _second(t: datetime) -> int:
    return (t - _EPOCH) // timedelta(seconds=1)


class _Expected:
    """How far the due times are made, and what is to be made next."""

    def __init__(self, life: Life) -> None:
        self.due, self.place = life.due, 0

    def next(self) -> int | None:
        return self.due[self.place] if self.place < len(self.due) else None

    def take(self, now: datetime, coalesce: bool) -> datetime | None:
        """What is to be made at ``now``."""
        until = bisect_right(self.due, _second(now))
        if until <= self.place:
            return None
        self.place = until if coalesce else self.place + 1
        return _EPOCH + timedelta(seconds=self.due[self.place - 1])


def live(life: Life, world: World) -> int:
    """Live a life; how many ticks of the schedule were made. Each due time has one, at its time or
    after it, in order; the last alone where those missed are not wanted; none has two."""
    expected, now, made = _Expected(life), life.begin, 0
    coalesce, paused, files = life.coalesce, False, set[datetime]()

    def tick(at: datetime) -> None:
        if life.overwrite:
            files.clear()
        files.add(at)

    for event, step in (*life.events, ("resume", 0), ("on", 1)):
        if event in ("on", "back"):
            now += timedelta(milliseconds=step if event == "on" else -step)
            now = min(max(now, life.begin - timedelta(days=30)), life.end - timedelta(seconds=2))
        elif event in ("due", "on time") and (due := expected.next()) is not None:
            then = _EPOCH + timedelta(seconds=due, milliseconds=step)
            now = max(now, min(then, life.end - timedelta(seconds=2)))
        elif event in ("last", "each"):
            coalesce = event == "last"
            world.set_coalesce(coalesce)
        elif event in ("pause", "resume"):
            paused = event == "pause"
            world.set_paused(paused)
        elif event == "restart":
            world.restart()
        if event in ("by hand", "on time"):
            at = world.by_hand(now)
            if at is not None:
                assert at == now.replace(microsecond=0) or life.overwrite
                expected.place += expected.next() == _second(at)  # it is the tick that is due
                tick(at)
        for _ in range(_ROUNDS):
            wanted = None if paused or event == "fail" else expected.take(now, coalesce)
            assert world.look(now, fails=event == "fail") == wanted
            if wanted is None:
                break
            made += 1
            tick(wanted)
        assert world.files() == files
    return made
