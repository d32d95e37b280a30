"""What Zstandard writes its blocks with: bits from the end, and tables of states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


class Malformed(ValueError):
    """What was given is no Zstandard frame, or unpacks to too much."""


class Backward:
    """A stream of bits read from its end, where a 1 marks it."""

    def __init__(self, data: bytes) -> None:
        if not data or not data[-1]:
            raise Malformed("a stream of bits has no end")
        self._data = data
        self.left = len(data) * 8 - 9 + data[-1].bit_length()

    def peek(self, count: int) -> int:
        """The next ``count`` bits (at most 32); zeros follow past the start."""
        low = self.left - count
        if low >= 0:
            word = int.from_bytes(self._data[low >> 3 : (low >> 3) + 8], "little")
            return word >> (low & 7) & ((1 << count) - 1)
        word = int.from_bytes(self._data[:8], "little") & ((1 << max(self.left, 0)) - 1)
        return word << -low & ((1 << count) - 1)

    def read(self, count: int) -> int:
        """Take ``count`` bits. Raises Malformed when there are fewer."""
        found = self.peek(count)
        self.left -= count
        if self.left < 0:
            raise Malformed("a stream of bits ends too early")
        return found


@dataclass(slots=True)
class Fse:
    """A decoding table: for each state its symbol, and how the next state is found."""

    log: int
    symbol: list[int]
    bits: list[int] = field(default_factory=list)
    base: list[int] = field(default_factory=list)


def fse(chances: Sequence[int], log: int) -> Fse:
    size = 1 << log
    symbol, high = [0] * size, size
    for s, chance in enumerate(chances):
        if chance == -1:
            high -= 1
            symbol[high] = s
    step, at = (size >> 1) + (size >> 3) + 3, 0
    for s, chance in enumerate(chances):
        for _ in range(chance):
            symbol[at] = s
            at = (at + step) & (size - 1)
            while at >= high:
                at = (at + step) & (size - 1)
    if at:
        raise Malformed("a table of states is not full")
    table = Fse(log, symbol)
    following = [max(chance, 1) for chance in chances]
    for s in symbol:
        x = following[s]
        following[s] += 1
        bits = log - x.bit_length() + 1
        table.bits.append(bits)
        table.base.append((x << bits) - size)
    return table


def read_fse(data: bytes, at: int, most_log: int, most_symbols: int) -> tuple[Fse, int]:
    """A table as it is described at ``at``; also where the description ends."""
    word = int.from_bytes(data[at : at + 320], "little")
    log, used = (word & 15) + 5, 4
    if log > most_log:
        raise Malformed("a table of states is too large")
    left, chances = 1 << log, list[int]()
    while left > 0 and len(chances) < most_symbols:
        bits = (left + 1).bit_length()
        value = word >> used & ((1 << bits) - 1)
        lower = (1 << (bits - 1)) - 1
        threshold = (1 << bits) - 2 - left
        if value & lower < threshold:
            value &= lower
            used += bits - 1
        else:
            if value > lower:
                value -= threshold
            used += bits
        chances.append(value - 1)
        left -= abs(value - 1)
        while value == 1:  # after a symbol that never comes: how many more of them
            more = word >> used & 3
            used += 2
            chances += [0] * more
            if more < 3:
                break
    end = at + (used + 7) // 8
    if left or len(chances) > most_symbols or end > len(data):
        raise Malformed("a table of states is malformed")
    return fse(chances, log), end
