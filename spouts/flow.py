"""From a log of records on disk to the branch: group after group, each with where it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pachybox.client.upload import Put
from pachybox.errors import AlreadyExists, Corrupt, InvalidArgument
from pachybox.spool import Frame, Reader
from spouts.desk import Desk
from spouts.records import Group, Settings, marker_of
from spouts.task import Json

_LOOK_S = 0.25  # between two looks for what is new
_READ_BYTES = 4 << 20
_COUNT_BYTES = 64 << 20  # in which what waits is counted at a time


class Flow:
    """For one thread. The source's offset is ``{"position": P, "skip": N}``: where the frame
    begins whose first N records (none without ``skip``) are committed; with ``marker``, the marker
    of the last of them too.
    """

    def __init__(self, desk: Desk, folder: Path, settings: Settings, marker: str = "") -> None:
        """``marker``: see records.marker_of; "" for records without."""
        self._desk = desk
        self._settings = settings
        self._marker = marker
        self._offset: Json = dict(desk.offset)
        self._begin = _count(self._offset, "position")
        self._skip = _count(self._offset, "skip")
        self._folder = folder
        self._reader = Reader(folder, self._begin)
        self._unread: Iterator[tuple[int, bytes]] = iter(())
        self._group = Group(settings, desk.batch + 1)
        self._met = 0.0  # when the group's first record was read, by the clock that is never set

    @property
    def committed(self) -> int:
        """All before this position is committed."""
        return _count(self._desk.offset, "position")

    def turn(self, *, flush: bool = False) -> float:
        """Commit what is due, with ``flush`` all that is there; the seconds after which to look
        again. Raises Stopping, and what Desk.commit raises."""
        while True:
            more = self._read()
            group = self._group
            if group.count and (flush or group.full or self._due_in() <= 0):
                self._commit()
                continue
            if more:
                continue
            lag = max(0.0, time.time() - group.oldest / 1e6) if group.count else 0.0
            self._desk.report(lag_s=lag, pending=group.count)
            if not group.count:
                return min(_LOOK_S, self._settings.seconds)
            return max(0.0, min(_LOOK_S, self._due_in()))

    def _due_in(self) -> float:
        """Seconds until the group is to be committed, also when the clock was set back."""
        left = self._met + self._settings.seconds - time.monotonic()
        return min(left, self._group.due_in(time.time()))

    def _read(self) -> bool:
        """Add what there is until the group is full; whether there was anything."""
        group = self._group
        found = False
        while not group.full:
            one = next(self._unread, None)
            if one is None:
                self._unread = self._records()
                one = next(self._unread, None)
                if one is None:
                    return found
            if not group.count:
                self._met = time.monotonic()
            group.add(one[1], one[0])
            found = True
        return found

    def _records(self) -> Iterator[tuple[int, bytes]]:
        """(time, record) of what is there. After each, ``_offset`` is that behind it."""
        for begin, end, frame in self._reader.frames(_READ_BYTES):
            skip = self._skip if begin == self._begin else 0
            yield from self._of_frame(begin, end, frame, skip)
            self._begin, self._skip = end, 0

    def _of_frame(
        self, begin: int, end: int, frame: Frame, skip: int
    ) -> Iterator[tuple[int, bytes]]:
        last = len(frame.records) - 1
        if last < skip:
            self._offset["position"] = end
            self._offset.pop("skip", None)
        for number in range(skip, last + 1):
            if number == last:
                self._offset["position"] = end
                self._offset.pop("skip", None)
            else:
                self._offset["position"] = begin
                self._offset["skip"] = number + 1
            yield frame.time, frame.records[number]

    def _commit(self) -> None:
        if self._marker:
            found = marker_of(self._group.last, self._marker, self._settings.form)
            self._offset["marker"] = found or self._offset.get("marker", "")
        # crash: what is committed must not come again under another position
        self._reader.sync()
        with Reader(self._folder, _count(self._offset, "position")) as behind:
            self._hand_in(dict(self._offset), behind)
        self._group = Group(self._settings, self._desk.batch + 1)

    def _hand_in(self, offset: Json, behind: Reader) -> None:
        """Commit the group. ``behind`` is where ``offset`` says."""
        group, desk = self._group, self._desk
        pending = group.count - _count(offset, "skip")

        def tell() -> None:
            lag = time.time() - group.oldest / 1e6
            desk.report(lag_s=max(0.0, lag), pending=max(group.count, pending))

        def count() -> None:
            nonlocal pending
            with suppress(Corrupt):  # who reads it says so
                pending += sum(len(frame.records) for *_, frame in behind.frames(_COUNT_BYTES))
            tell()

        def fill(put: Put) -> None:
            for path in group.files:
                put.data(path, group.content(path))

        tell()
        try:
            desk.commit(
                fill if group.files else None,
                offset,
                append=True,
                dead=group.dead(),
                records=group.taken,
                bytes=group.bytes,
                files=len(group.files),
                waiting=count,
            )
        except (InvalidArgument, AlreadyExists) as e:
            desk.failed(f"{group.taken} records go to the dead letters: {e}")
            desk.commit(None, offset, dead=group.dead_all(str(e)), waiting=count)


def _count(offset: Json, name: str) -> int:
    """A number in an offset; 0 when there is none, as any client may set it."""
    found = offset.get(name)
    return found if type(found) is int and 0 <= found < 1 << 62 else 0
