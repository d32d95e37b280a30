"""Zstandard, decoding only (RFC 8878): what the address of a zip of files is packed with.

The standard library has it from Python 3.14 on. Here are a few hundred bytes to unpack, where a
plain decoder is fast enough (about 1 MB/s), and one that can be read and bounded is what a part
that anyone may send text to needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import xxhash

from pachybox.api.zstd_bits import Backward, Fse, Malformed, fse, read_fse

_MAGIC = 0xFD2FB528
_BLOCK = 128 << 10


def decompress(data: bytes, limit: int) -> bytes:
    """The content of all frames in ``data``. Raises Malformed, also past ``limit`` bytes."""
    out = bytearray()
    try:
        at = 0
        while at < len(data):
            at = _frame(data, at, out, limit)
    except IndexError as e:
        raise Malformed("the frame ends too early") from e
    return bytes(out)


def raw_frame(content: bytes) -> bytes:
    """A frame that holds ``content`` as it is, for those who have nothing to pack with."""
    parts = [_MAGIC.to_bytes(4, "little"), b"\xa0", len(content).to_bytes(4, "little")]
    for at in range(0, len(content) or 1, _BLOCK):
        piece = content[at : at + _BLOCK]
        last = at + _BLOCK >= len(content)
        parts += [(len(piece) << 3 | last).to_bytes(3, "little"), piece]
    return b"".join(parts)


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise Malformed("the frame ends too early")
    return int.from_bytes(data[at : at + size], "little")


def _frame(data: bytes, at: int, out: bytearray, limit: int) -> int:
    magic = _number(data, at, 4)
    if magic & 0xFFFFFFF0 == 0x184D2A50:  # to be skipped
        return at + 8 + _number(data, at + 4, 4)
    if magic != _MAGIC:
        raise Malformed("no Zstandard frame")
    flags = data[at + 4]
    single, checked = flags >> 5 & 1, flags >> 2 & 1
    if flags & 8:
        raise Malformed("a reserved bit is set")
    at += 5 + (1 - single)
    dictionary = (0, 1, 2, 4)[flags & 3]
    if _number(data, at, dictionary):
        raise Malformed("packed with a dictionary")
    at += dictionary
    sized = (single, 2, 4, 8)[flags >> 6]
    size = _number(data, at, sized) + (256 if sized == 2 else 0)
    at += sized
    start, last, state = len(out), False, _State()
    while not last:
        head = _number(data, at, 3)
        at += 3
        last, kind, length = bool(head & 1), head >> 1 & 3, head >> 3
        taken = 1 if kind == 1 else length
        block = data[at : at + taken]
        if len(block) < taken or kind == 3 or length > _BLOCK or len(out) + length > limit:
            raise Malformed("a block is too long, or of no known kind")
        at += taken
        if kind < 2:
            out += block if kind == 0 else block * length
        else:
            _block(block, state, out, start, limit)
    if sized and len(out) - start != size:
        raise Malformed("the content has not the size that is said")
    if checked:
        if _number(data, at, 4) != xxhash.xxh64_intdigest(bytes(out[start:])) & 0xFFFFFFFF:
            raise Malformed("the checksum does not fit")
        at += 4
    return at


# ---- literals


@dataclass(slots=True)
class _State:
    """What a block may take over from those before it in the frame."""

    offsets: list[int] = field(default_factory=lambda: [1, 4, 8])
    huffman: tuple[int, list[tuple[int, int]]] | None = None
    tables: list[Fse | None] = field(default_factory=lambda: [None, None, None])


def _literals(block: bytes, state: _State) -> tuple[bytes, int]:
    """The literals of a block, and where they end in it."""
    kind, form = block[0] & 3, block[0] >> 2 & 3
    if kind < 2:
        head = (1, 2, 1, 3)[form]
        size = _number(block, 0, head) >> (3 if head == 1 else 4)
        end = head + (1 if kind == 1 else size)
        if end > len(block) or size > _BLOCK:
            raise Malformed("literals are cut off")
        found = block[head:end]
        return (found * size if kind == 1 else found), end
    head, bits = ((3, 10), (3, 10), (4, 14), (5, 18))[form]
    word = _number(block, 0, head)
    size, packed = word >> 4 & ((1 << bits) - 1), word >> (4 + bits)
    end = head + packed
    if end > len(block) or size > _BLOCK:
        raise Malformed("literals are cut off")
    data = block[head:end]
    if kind == 2:
        state.huffman, at = _huffman(data)
        data = data[at:]
    if state.huffman is None:
        raise Malformed("literals lack their table")
    if not form:
        return _unpack(data, size, state.huffman), end
    each, out, at = (size + 3) // 4, b"", 6
    for number in range(4):
        length = _number(data, 2 * number, 2) if number < 3 else len(data) - at
        count = each if number < 3 else size - 3 * each
        if length < 0 or count < 0:
            raise Malformed("literals are cut off")
        out += _unpack(data[at : at + length], count, state.huffman)
        at += length
    return out, end


def _huffman(data: bytes) -> tuple[tuple[int, list[tuple[int, int]]], int]:
    """A table of (symbol, bits) by the next bits, with how many those are; where it ends."""
    first = data[0]
    if first >= 128:
        count = first - 127
        end = 1 + (count + 1) // 2
        weights = [data[1 + i // 2] >> (0 if i & 1 else 4) & 15 for i in range(count)]
    else:
        end = 1 + first
        if end > len(data):
            raise Malformed("a table of codes is cut off")
        weights = _weights(data[1:end])
    total = sum(1 << w >> 1 for w in weights)
    log = total.bit_length()
    rest = (1 << log) - total
    if not total or log > 11 or rest & (rest - 1) or len(weights) > 255:
        raise Malformed("a table of codes is malformed")
    weights.append(rest.bit_length())
    table: list[tuple[int, int]] = []
    for weight in range(1, log + 1):
        for symbol, w in enumerate(weights):
            if w == weight:
                table += [(symbol, log + 1 - weight)] * (1 << weight >> 1)
    if len(table) != 1 << log:
        raise Malformed("a table of codes is malformed")
    return (log, table), end


def _weights(data: bytes) -> list[int]:
    """Weights packed by two states that take turns."""
    table, at = read_fse(data, 0, 6, 16)
    stream = Backward(data[at:])
    states = [stream.read(table.log), stream.read(table.log)]
    out: list[int] = []
    turn = 0
    while len(out) < 256:
        now = states[turn]
        out.append(table.symbol[now])
        bits = table.bits[now]
        if stream.left < bits:
            out.append(table.symbol[states[1 - turn]])
            return out
        states[turn] = table.base[now] + stream.read(bits)
        turn = 1 - turn
    raise Malformed("a table of codes is too long")


def _unpack(data: bytes, count: int, huffman: tuple[int, list[tuple[int, int]]]) -> bytes:
    log, table = huffman
    stream = Backward(data)
    out = bytearray()
    for _ in range(count):
        symbol, bits = table[stream.peek(log)]
        stream.left -= bits
        out.append(symbol)
    if stream.left:
        raise Malformed("a stream of codes does not end where it should")
    return bytes(out)


# ---- sequences: so many literals, then a copy of what came before

_EXTRA_L = [*[0] * 16, 1, 1, 1, 1, 2, 2, 3, 3, 4, *range(6, 17)]
_EXTRA_M = [*[0] * 32, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, *range(7, 17)]


def _bases(extra: Sequence[int], first: int) -> list[int]:
    out = [first]
    for bits in extra[:-1]:
        out.append(out[-1] + (1 << bits))
    return out


_BASE_L = [*_bases(_EXTRA_L[:25], 0), *(1 << bits for bits in range(6, 17))]
_BASE_M = [*_bases(_EXTRA_M[:43], 3), *((1 << bits) + 3 for bits in range(7, 17))]
_USUAL = (
    (6, [4, 3, *[2] * 11, 1, 1, 1, *[2] * 9, 3, 2, *[1] * 5, *[-1] * 4]),
    (5, [*[1] * 6, 2, 2, 2, *[1] * 15, *[-1] * 5]),
    (6, [1, 4, 3, *[2] * 6, *[1] * 37, *[-1] * 7]),
)
_MOST = ((9, 36), (8, 32), (9, 53))  # accuracy and symbols: literals, offsets, matches


@cache
def _usual(which: int) -> Fse:
    log, chances = _USUAL[which]
    return fse(chances, log)


def _tables(block: bytes, at: int, modes: int, state: _State) -> tuple[list[Fse], int]:
    if modes & 3:
        raise Malformed("a reserved bit is set")
    found: list[Fse] = []
    for which in range(3):
        mode = modes >> (6 - 2 * which) & 3
        table = state.tables[which]
        if mode == 0:
            table = _usual(which)
        elif mode == 1:
            if block[at] >= _MOST[which][1]:
                raise Malformed("a symbol is out of range")
            table = Fse(0, [block[at]], [0], [0])
            at += 1
        elif mode == 2:
            table, at = read_fse(block, at, *_MOST[which])
        if table is None:
            raise Malformed("a table of states is missing")
        state.tables[which] = table
        found.append(table)
    return found, at


def _block(block: bytes, state: _State, out: bytearray, start: int, limit: int) -> None:
    literals, at = _literals(block, state)
    count = block[at]
    at += 1
    if count == 255:
        count = _number(block, at, 2) + 0x7F00
        at += 2
    elif count >= 128:
        count = (count - 128 << 8) + block[at]
        at += 1
    taken, end = 0, len(out) + _BLOCK
    if count:
        tables, at = _tables(block, at + 1, block[at], state)
        stream = Backward(block[at:])
        states = [stream.read(table.log) for table in tables]
        for number in range(count):
            low, match, offset = _sequence(tables, states, stream, state.offsets)
            out += literals[taken : taken + low]
            taken += low
            _copy(out, offset, match, start)
            if taken > len(literals) or len(out) > min(limit, end):
                raise Malformed("a block unpacks to too much")
            if number < count - 1:
                for which in (0, 2, 1):
                    table, now = tables[which], states[which]
                    states[which] = table.base[now] + stream.read(table.bits[now])
        if stream.left:
            raise Malformed("a stream of sequences does not end where it should")
    out += literals[taken:]
    if len(out) > min(limit, end):
        raise Malformed("a block unpacks to too much")


def _sequence(
    tables: list[Fse], states: list[int], stream: Backward, offsets: list[int]
) -> tuple[int, int, int]:
    """How many literals, how long a match, how far back; ``offsets`` are the last three."""
    low_code, far_code, match_code = (
        table.symbol[now] for table, now in zip(tables, states, strict=True)
    )
    value = (1 << far_code) + stream.read(far_code)
    match = _BASE_M[match_code] + stream.read(_EXTRA_M[match_code])
    low = _BASE_L[low_code] + stream.read(_EXTRA_L[low_code])
    if value > 3:
        offsets[:] = [value - 3, *offsets[:2]]
        return low, match, value - 3
    which = value - 1 + (low == 0)
    offset = offsets[which] if which < 3 else offsets[0] - 1
    if which:
        del offsets[min(which, 2)]
        offsets.insert(0, offset)
    return low, match, offset


def _copy(out: bytearray, offset: int, length: int, start: int) -> None:
    at = len(out) - offset
    if offset < 1 or at < start:
        raise Malformed("a match lies before the beginning")
    piece = out[at : at + length]
    if len(piece) < length:  # it overlaps itself
        piece = (piece * (length // len(piece) + 1))[:length]
    out += piece
