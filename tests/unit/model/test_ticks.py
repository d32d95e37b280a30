"""Which tick comes next: every due time once, whatever happens to the clock and the box."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import event, given, settings

from pachybox.model.schedule import parse_schedule
from pachybox.model.ticks import Ticks
from tests.unit.model.clock_oracle import MANY
from tests.unit.model.tick_simulation import Life, live, lives


class Decisions:
    """The decisions alone, over what a tick repo would hold."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._ticks = Ticks(parse_schedule(life.spec, life.zone), life.begin, life.start)
        self._files: set[datetime] = set()
        self._paused, self._coalesce = False, life.coalesce

    def look(self, now: datetime, *, fails: bool) -> datetime | None:
        at = self._ticks.due(now, coalesce=self._coalesce)
        if at is None or self._paused or fails:
            return None
        self._commit(at, self._ticks.behind_by_schedule(at))
        return at

    def by_hand(self, now: datetime) -> datetime | None:
        at = self._ticks.by_hand(now, overwrite=self._life.overwrite)
        if at is None:
            return None
        self._commit(at, self._ticks.behind_by_hand(at))
        return at

    def _commit(self, at: datetime, behind: datetime | None) -> None:
        if self._life.overwrite:
            self._files.clear()
        self._files.add(at)
        self._ticks = replace(self._ticks, newest=max(self._files), behind=behind)

    def files(self) -> set[datetime]:
        return self._files

    def set_paused(self, paused: bool) -> None:
        self._paused = paused

    def set_coalesce(self, coalesce: bool) -> None:
        self._coalesce = coalesce

    def restart(self) -> None:
        """Nothing is remembered but what is durable."""


@settings(max_examples=MANY)
@given(lives())
def test_every_due_time_has_its_tick_once_over_years(life: Life) -> None:
    made = live(life, Decisions(life))
    event(f"ticks: {'none' if not made else 'some' if made < 20 else 'many'}")


def test_ticks_of_a_time_to_come_are_told() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ticks = Ticks(parse_schedule("@daily"), now, newest=now + timedelta(minutes=1))
    assert not ticks.ahead(now)
    assert ticks.ahead(now - timedelta(seconds=1))
    assert not replace(ticks, newest=None, start=now + timedelta(days=9)).ahead(now)


def test_missed_ticks_are_counted_up_to_a_bound() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ticks = Ticks(parse_schedule("@every 1s"), now)
    assert ticks.missed(now + timedelta(seconds=7.9), 1000) == 7
    assert ticks.missed(now, 1000) == 0
    assert ticks.missed(now + timedelta(days=30), 1000) == 30 * 86_400
    assert Ticks(parse_schedule("* * * * *"), now).missed(now + timedelta(minutes=9), 1000) == 9
    assert Ticks(parse_schedule("* * * * *"), now).missed(now + timedelta(days=9), 1000) == 1000
    assert Ticks(parse_schedule("@never"), now).missed(now, 1000) == 0
