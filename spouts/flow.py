"""From a log of records on disk to the branch: group after group, each with where it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from pachybox.client.upload import Put
from pachybox.errors import AlreadyExists, InvalidArgument
from pachybox.spool import Frame, Reader
from spouts.desk import Desk
from spouts.records import Group, Settings, marker_of
from spouts.task import Json

_LOOK_S = 0.25  # between two looks for what is new
_READ_BYTES = 4 << 20


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
        self._reader = Reader(folder, self._begin)
        self._unread: Iterator[tuple[int, bytes]] = iter(())
        self._group = Group(settings, desk.batch + 1)

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
            if group.count and (flush or group.full or group.due_in(time.time()) <= 0):
                self._commit()
                continue
            if more:
                continue
            lag = max(0.0, time.time() - group.oldest / 1e6) if group.count else 0.0
            self._desk.report(lag_s=lag, pending=group.count)
            if not group.count:
                return min(_LOOK_S, self._settings.seconds)
            return max(0.0, min(_LOOK_S, group.due_in(time.time())))

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
        group, desk = self._group, self._desk
        if self._marker:
            found = marker_of(group.last, self._marker, self._settings.form)
            self._offset["marker"] = found or self._offset.get("marker", "")
        lag = time.time() - group.oldest / 1e6
        desk.report(lag_s=max(0.0, lag), pending=group.count)
        # crash: what is committed must not come again under another position
        self._reader.sync()

        def fill(put: Put) -> None:
            for path in group.files:
                put.data(path, group.content(path))

        offset = dict(self._offset)
        try:
            desk.commit(
                fill if group.files else None,
                offset,
                append=True,
                dead=group.dead(),
                records=group.taken,
                bytes=group.bytes,
                files=len(group.files),
            )
        except (InvalidArgument, AlreadyExists) as e:
            desk.failed(f"{group.taken} records go to the dead letters: {e}")
            desk.commit(None, offset, dead=group.dead_all(str(e)))
        self._group = Group(self._settings, desk.batch + 1)


def _count(offset: Json, name: str) -> int:
    """A number in an offset; 0 when there is none, as any client may set it."""
    found = offset.get(name)
    return found if type(found) is int and 0 <= found < 1 << 62 else 0
