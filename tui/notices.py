"""What was said in passing, to be read again: the newest 200 notices."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import NamedTuple

_KEPT = 200


class Notice(NamedTuple):
    """One notice; ``detail`` is the whole story of an error, a traceback even."""

    time: datetime
    text: str
    error: bool = False
    detail: str = ""

    @property
    def whole(self) -> str:
        """All there is to copy."""
        stamp = self.time.astimezone().isoformat(" ", "seconds")
        more = [self.detail] if self.detail and self.detail != self.text else []
        return "\n".join([stamp, self.text, *more])


class Notices:
    """Newest last."""

    def __init__(self) -> None:
        self._kept: deque[Notice] = deque(maxlen=_KEPT)

    def add(self, notice: Notice) -> bool:
        """Keep it; False when it is what was said last, within five seconds."""
        last = self._kept[-1] if self._kept else None
        self._kept.append(notice)
        return not (
            last
            and last.text == notice.text
            and (notice.time - last.time).total_seconds() < 5.0
            and notice.error
        )

    @property
    def all(self) -> list[Notice]:
        """Newest first."""
        return list(reversed(self._kept))
