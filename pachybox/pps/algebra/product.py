"""Combinations of sides that are iterated again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
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
    """Like Again, but once iterated to the end it is a list, when it is no longer than ``most``."""

    __slots__ = ("_items", "_make", "_most")

    def __init__(self, make: Callable[[], Iterable[T]], most: int = HOLD) -> None:
        self._make = make
        self._most = most
        self._items: Sequence[T] | None = None

    def __iter__(self) -> Iterator[T]:
        return self._fill() if self._items is None else iter(self._items)

    def _fill(self) -> Iterator[T]:
        items: list[T] | None = []
        for item in self._make():
            if items is not None:
                items.append(item)
                if len(items) > self._most:
                    items = None
            yield item
        self._items = items


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
