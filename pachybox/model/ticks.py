"""Which tick of a cron input comes next: the decision alone, without clock or data. Pure.

The *position* of a schedule is the time up to which its ticks are made: the newest tick file at the
head of the tick repo, so that what is committed is all there is to know, and a restart is nothing
special. The next tick is the first due time after it. Two things could not be told by files: a tick
made by hand is named by its moment, which may lie behind due times that are still to be made, and
inside the time of an ``@every``. There ``behind``, kept with the hand-made tick, is the position
until the schedule has come past it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from pachybox.model.schedule import Schedule

AHEAD = timedelta(seconds=60)
"""A position further than this ahead of the clock is no matter of a clock being put right."""


@dataclass(frozen=True, slots=True)
class Ticks:
    """What is known of a cron input's ticks. ``made``: when it was made. ``start``: its ticks come
    after that. ``newest``: the newest tick file. ``behind``: see the module."""

    schedule: Schedule
    made: datetime
    start: datetime | None = None
    newest: datetime | None = None
    behind: datetime | None = None

    @property
    def position(self) -> datetime:
        """The time after which the next tick is due."""
        found = self.behind or self.newest
        if self.start is None:
            return found or self.made
        return max(self.start, found) if found else self.start

    def next(self) -> datetime | None:
        """When the next tick is due; None for never."""
        return self.schedule.after(self.position)

    def ahead(self, now: datetime) -> bool:
        """Whether there are ticks of a time that the clock has yet to come to: it was put back."""
        newest = self.behind or self.newest
        return newest is not None and newest > now + AHEAD

    def due(self, now: datetime, *, coalesce: bool = False) -> datetime | None:
        """The tick to make at ``now``, if any: the next, or of those missed the last."""
        at = self.next()
        if at is None or at > now:
            return None
        return self.schedule.last(at, now) if coalesce else at

    def missed(self, now: datetime, most: int) -> int:
        """How many ticks are due; those of fields are counted up to ``most``."""
        count, at = 0, self.next()
        if self.schedule.every and at is not None and at <= now:
            return (now - at) // timedelta(seconds=self.schedule.every) + 1
        while at is not None and at <= now and count < most:
            count += 1
            at = self.schedule.after(at)
        return count

    def by_hand(self, now: datetime, *, overwrite: bool) -> datetime | None:
        """The time that a tick by hand is named by: this second. One that would overwrite the tick
        of a time to come is of that time instead; None when the clock was put back by more than a
        little, so that nothing would be seen of it."""
        at = now.replace(microsecond=0)
        if not overwrite or self.newest is None or self.newest <= at:
            return at
        return None if self.newest > now + AHEAD else self.newest

    def behind_by_hand(self, at: datetime) -> datetime | None:
        """What ``behind`` is to be with a tick by hand at ``at`` (whole seconds); None where the
        files tell all: it is the tick that is due, or changes nothing of what comes next."""
        due = self.next()
        if due is None:
            return None
        if at < self.position:  # the clock was put back
            return self.behind or (None if self.newest or self.start else self.position)
        if due == at:
            return self.behind_by_schedule(at)
        later = self.newest is not None and self.newest > at
        return self.position if later or due != self.schedule.after(at) else None

    def behind_by_schedule(self, at: datetime) -> datetime | None:
        """What ``behind`` is to be with the tick of the schedule at ``at``."""
        return None if self.newest is None or at >= self.newest else at
