"""Names that cannot be read, or taken: told once a cause, tried again less and less often."""

from __future__ import annotations

from dataclasses import dataclass

from spouts.watch.names import printable
from spouts.watch.waiting import Mark

_PAUSE_S = (1.0, 300.0)
_MOST = 10_000  # remembered; of more the oldest are found again by a look at everything


@dataclass(slots=True)
class _Trouble:
    why: str
    seen: Mark | None
    due: float
    pause: float
    trying: bool = False


class Troubles:
    """By name. Times are monotonic."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Trouble] = {}
        self._new: list[str] = []
        self._odd: set[tuple[str, str]] = set()

    def __len__(self) -> int:
        """How many rest; those that are tried again are counted where they wait."""
        return sum(not one.trying for one in self._by_name.values())

    def add(self, name: str, why: str, seen: Mark | None, now: float) -> None:
        """Something does not work with this version of a file (or a directory: None)."""
        before = self._by_name.pop(name, None)
        pause = _PAUSE_S[0]
        if before is not None and before.why == why and before.seen == seen:
            pause = min(2 * before.pause, _PAUSE_S[1])
        else:
            self._new.append(f"{printable(name) or 'the folder'}: {why}")
        self._by_name[name] = _Trouble(why, seen, now + pause, pause)
        if len(self._by_name) > _MOST:
            del self._by_name[next(iter(self._by_name))]

    def rests(self, name: str, seen: Mark | None) -> bool:
        """Whether this version (None: what is committed) is not to be tried now."""
        found = self._by_name.get(name)
        return found is not None and found.seen == seen and not found.trying

    def due(self, now: float) -> list[str]:
        """The names to be tried again now; each is given once a pause."""
        found = [name for name, one in self._by_name.items() if one.due <= now]
        for name in found:
            one = self._by_name[name]
            one.due, one.trying = now + one.pause, True
        return found

    def next_due(self) -> float | None:
        """When the next is to be tried again."""
        return min((one.due for one in self._by_name.values()), default=None)

    def forget(self, name: str) -> None:
        """It works, or is gone."""
        self._by_name.pop(name, None)

    def first(self, name: str, what: str) -> bool:
        """Whether this was not said of the name before."""
        if (name, what) in self._odd:
            return False
        if len(self._odd) >= _MOST:
            self._odd.clear()
        self._odd.add((name, what))
        return True

    def news(self) -> str:
        """The troubles that were not told, in one line; "" without any."""
        new, self._new = self._new, []
        if not new:
            return ""
        more = f" (and {len(new) - 1} more)" if len(new) > 1 else ""
        return f"cannot take {new[0]}{more}; tried again"
