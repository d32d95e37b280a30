"""Combinations of sides that are iterated again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, TypeVar

from pachybox.pps.algebra.match import Combination

T = TypeVar("T")

HOLD = 10_000  # a side with no more than this is kept while it is iterated


class Again(Generic[T]):
    """An iterable over what ``make`` gives, made again for each iteration."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Iterable[T]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[T]:
        return iter(self._make())


class Held(Generic[T]):
    """Like Again, but what was made is kept for the next iteration, as long as it is no more
    than ``most``. For one thread; iterations may overlap."""

    __slots__ = ("_items", "_make", "_most", "_source")

    def __init__(self, make: Callable[[], Iterable[T]], most: int = HOLD) -> None:
        self._make = make
        self._most = most
        self._items: list[T] | None = []  # None: too many
        self._source: Iterator[T] | None = None  # what follows the items

    def __iter__(self) -> Iterator[T]:
        at = 0
        while self._items is not None:
            if at == len(self._items) and not self._advance():
                return
            if self._items is not None:
                yield self._items[at]
                at += 1
        yield from islice(self._make(), at, None)

    def _advance(self) -> bool:
        """Make one more item, or learn that they are too many; False at the end."""
        assert self._items is not None
        if self._source is None:
            self._source = iter(self._make())
        for item in self._source:
            self._items.append(item)
            if len(self._items) > self._most:
                self._items = self._source = None
            return True
        self._source = iter(())
        return False


def some(items: Iterable[T]) -> bool:
    """Whether there is any."""
    return any(True for _ in items)


def product(sides: Sequence[Iterable[Combination]]) -> Iterator[Combination]:
    """Every combination of one of each side, the first side varying fastest.

    The last side is iterated once, the others once for each of those behind them. No side:
    nothing. One empty side: nothing, and no long way to it.
    """
    if sides and all(some(side) for side in sides):
        yield from _product(sides)


def _product(sides: Sequence[Iterable[Combination]]) -> Iterator[Combination]:
    *inner, last = sides
    if not inner:
        yield from last
    elif len(inner) == 1:
        (first,) = inner
        for tail in last:
            for head in first:
                yield head + tail
    else:
        for tail in last:
            for head in _product(inner):
                yield head + tail
