"""Images of file systems without the files' data: EROFS metadata that points into other files.

An image names devices (packs and objects of the store) and says of each file at which block of
which device its bytes begin. Mounted by the kernel (6.12 or newer: from plain files) it shows a
million files of the store without copying one. Short content, which no block begins with, lies
in the image itself.

Layout, in this order: superblock, room for the device table, then as it comes: inodes, blocks of
directories, copied data. Nothing is read back and nothing but inodes of directories is kept, so
memory does not grow with the number of files. The writer knows nothing of the store.

Constants and structs are those of Linux, fs/erofs/erofs_fs.h; names of that file in brackets.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pachybox.errors import Refused
from pachybox.store.disk import pwrite_all

BLOCK = 512  # [blkszbits] 9, the least the kernel takes; packs are aligned to it
MAX_DEVICES = 65535  # [extra_devices] has 16 bits
MAX_BLOCKS = 1 << 32  # [startblk_lo] has 32 bits: 2 TiB of one device can be pointed at
INLINE = 256  # content shorter than this may be put into the image, behind its inode

_BITS = 9
_SUPER_AT = 1024  # [EROFS_SUPER_OFFSET]
_MAGIC = 0xE0F5E1E2  # [EROFS_SUPER_MAGIC_V1]
_CHUNKED, _DEVICES = 0x4, 0x8  # [EROFS_FEATURE_INCOMPAT_CHUNKED_FILE, _DEVICE_TABLE]
_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIHHHBBIQB23s")  # [erofs_super_block]
_DEVICE = struct.Struct("<64sIIHH52s")  # [erofs_deviceslot]
_SLOT = 32  # an inode number counts these from the start of the metadata
_FIRST = 1  # the root's number: 0 is no inode to some programs
_COMPACT = struct.Struct("<HHHHIIIIHHI")  # [erofs_inode_compact], 32 bytes
_EXTENDED = struct.Struct("<HHHHQIIIIQII16s")  # [erofs_inode_extended], 64 bytes
_DIRENT = struct.Struct("<QHBB")  # [erofs_dirent]
_CHUNK = struct.Struct("<HHI")  # [erofs_inode_chunk_index]
# [i_format]: bit 0 is set for the extended form; from bit 1 on stands how content is laid out
# [EROFS_INODE_FLAT_PLAIN, _FLAT_INLINE, _CHUNK_BASED]
_PLAIN, _INLINE, _CHUNKS, _LONG = 0 << 1, 2 << 1, 4 << 1, 1
_INDEXES = 0x20  # [EROFS_CHUNK_FORMAT_INDEXES]; below it the size of chunks, 2**n blocks
_MAX_CHUNK_BITS = 31  # [EROFS_CHUNK_FORMAT_BLKBITS_MASK]
_REGULAR, _DIRECTORY = 1, 2  # [EROFS_FT_REG_FILE, EROFS_FT_DIR]
_FILE_MODE, _DIR_MODE = 0o100444, 0o40555
_FLUSH = 4 << 20  # bytes gathered before they are written
_SHORT = 48  # entries of a directory put together one by one; more by columns

Numbers = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.intp]

_PLAIN_FILE = np.dtype(
    "<u2,<u2,<u2,<u2,<u4,<u4,<u4,<u4,<u2,<u2,<u4,<u2,<u2,<u4,V24"
)  # a compact inode and the index of its only chunk
_PLAIN_FILE.names = (
    "format", "xattrs", "mode", "nlink", "size", "mtime", "chunk", "ino", "uid", "gid", "reserved",
    "block_high", "device", "block", "pad",
)  # fmt: skip
_ENTRY = np.dtype([("nid", "<u8"), ("name", "<u2"), ("type", "u1"), ("reserved", "u1")])


class Extent(NamedTuple):
    """A stretch of a device. ``offset`` is a multiple of BLOCK; device 1 is the first, 0 is the
    image itself (``Writer.data``). Its last block must be there whole: the kernel cannot read
    a block in which the device ends."""

    device: int
    offset: int
    length: int


class Writer:
    """Writes one image, a directory before what is in it.

    First make the entries of a directory (``files``, ``inline``, ...), which gives numbers, then
    ``directory`` to name them. Every number is named once. ``finish`` at the end.
    """

    def __init__(self, fd: int, mtime: int, devices: int) -> None:
        """Begin an image in the empty file ``fd``; all files get ``mtime`` (seconds since 1970).

        ``devices``: at most so many will be pointed into.
        """
        room = min(devices, MAX_DEVICES) * _DEVICE.size
        self._fd = fd
        self._mtime = mtime
        self._meta = _up(_SUPER_AT + _SUPER.size + room)
        self._end = self._meta + BLOCK  # where what comes next will lie
        self._pending: list[bytes | memoryview] = []
        self._pending_bytes = 0
        self._reserved: list[tuple[int, bytearray]] = [(_FIRST, bytearray(_SLOT))]
        self._inodes = 1
        self.root = _FIRST

    # -- entries

    def files(self, sizes: Numbers, devices: Numbers, offsets: Numbers) -> Numbers:
        """Files that are each one stretch of a device, by columns; sizes below 4 GiB."""
        n = len(sizes)
        first = self._next()
        nids = first + 2 * np.arange(n, dtype=np.uint64)
        rows = np.zeros(n, _PLAIN_FILE)
        rows["format"], rows["mode"], rows["nlink"] = _CHUNKS, _FILE_MODE, 1
        rows["size"], rows["ino"] = sizes, nids & 0xFFFFFFFF
        rows["chunk"] = _INDEXES | _chunk_bits(int(sizes.max(initial=1)))
        rows["device"], rows["block"] = devices, offsets >> np.uint64(_BITS)
        self._append(rows.tobytes(), n)
        return nids

    def empty(self, count: int) -> Numbers:
        """``count`` files without content."""
        first = self._next()
        self._append(
            b"".join([self._compact(_PLAIN, _FILE_MODE, 1, 0, 0, first + i) for i in range(count)]),
            count,
        )
        return first + np.arange(count, dtype=np.uint64)

    def inline(self, contents: Sequence[bytes]) -> Numbers:
        """Files whose bytes, fewer than INLINE, stand behind their inodes."""
        nids = np.zeros(len(contents), np.uint64)
        classes: dict[int, list[int]] = {}
        for i, data in enumerate(contents):
            classes.setdefault(1 + -(-len(data) // _SLOT), []).append(i)
        for slots, members in classes.items():
            # inode and content must not lie across the end of a block
            each, first = BLOCK // (slots * _SLOT), self._next()
            blocks: list[bytes] = []
            for start in range(0, len(members), each):
                base = first + len(blocks) * (BLOCK // _SLOT)
                parts = []
                for at, i in enumerate(members[start : start + each]):
                    data, nid = contents[i], base + at * slots
                    nids[i] = nid
                    head = self._compact(_INLINE, _FILE_MODE, 1, len(data), 0, nid)
                    parts.append((head + data).ljust(slots * _SLOT, b"\0"))
                blocks.append(b"".join(parts).ljust(BLOCK, b"\0"))
            self._append(b"".join(blocks), len(members))
        return nids

    def extents(self, pieces: Sequence[Extent]) -> int | None:
        """A file of stretches one after another; None when they cannot be pointed at: every
        one but the last must be a multiple of BLOCK long, and all reachable by block number."""
        size = sum([p.length for p in pieces])
        bits = _common_bits(pieces)
        if bits is None or size >> (bits + _BITS) > 1 << 20:
            return None
        chunks = bytearray()
        for piece in pieces:
            first = piece.offset >> _BITS
            if first + (piece.length >> _BITS) >= MAX_BLOCKS - 1 and piece.offset:
                return None
            for block in range(first, first + _blocks(piece.length), 1 << bits):
                if block >= MAX_BLOCKS - 1:
                    return None
                chunks += _CHUNK.pack(0, piece.device, block)
        return self._long(_CHUNKS, size, _INDEXES | bits, bytes(chunks))

    def data(self, content: bytes) -> Extent:
        """Bytes put into the image, to be a piece of a file."""
        made = Extent(0, self._end, len(content))
        self._add(content)
        self._pad()
        return made

    def copied(self, size: int, content: Iterable[bytes | memoryview]) -> int:
        """A file whose bytes are put into the image."""
        block, done = self._end >> _BITS, 0
        for piece in content:
            self._add(piece)
            done += len(piece)
        if done != size:
            raise ValueError(f"{done} bytes came for a file of {size}")
        self._pad()
        if self._end >> _BITS >= MAX_BLOCKS:
            raise Refused("an input has more than 2 TiB to be copied", "split its files")
        return self._long(_PLAIN, size, block if size else 0, b"")

    def directories(self, count: int) -> Numbers:
        """Numbers for ``count`` directories, each to be given to ``directory`` later."""
        if not count:
            return np.zeros(0, np.uint64)
        first = self._next()
        room = bytearray(count * _SLOT)
        self._reserved.append((first, room))
        self._append(bytes(len(room)), count)
        return first + np.arange(count, dtype=np.uint64)

    def directory(
        self, nid: int, parent: int, names: Sequence[bytes], nids: Numbers, subdirs: Rows
    ) -> None:
        """Write a directory (the root is its own parent).

        ``names`` rise strictly as bytes; ``nids`` has the number of each; ``subdirs`` the rows
        that are directories.
        """
        types = np.full(len(names), _REGULAR, np.uint8)
        types[subdirs] = _DIRECTORY
        every = zip(names, nids.tolist(), types.tolist(), strict=True)
        dots = ((b".", nid, _DIRECTORY), (b"..", parent, _DIRECTORY))
        if len(names) <= _SHORT:
            data = memoryview(_few_entries(sorted((*every, *dots))))
        else:
            data = _many_entries(names, nids, types, dots)
        start = self._end >> _BITS
        self._add(data)
        self._pad()
        links = len(subdirs) + 2
        # 1: "not counted", as other file systems have it; the field has 16 bits
        links = links if links < 1 << 16 else 1
        self._set(nid, self._compact(_PLAIN, _DIR_MODE, links, len(data), start, nid))

    def finish(self, device_sizes: Sequence[int]) -> int:
        """Write what is left, for devices of these sizes in order; returns the image's size."""
        if len(device_sizes) * _DEVICE.size > self._meta - _SUPER_AT - _SUPER.size:
            raise ValueError("more devices than were announced")
        self._flush()
        for first, room in self._reserved:
            pwrite_all(self._fd, bytes(room), self._meta + first * _SLOT)
        table = [
            _DEVICE.pack(b"", min(_blocks(n), MAX_BLOCKS - 1), 0, 0, 0, b"") for n in device_sizes
        ]
        head = _SUPER.pack(
            _MAGIC, 0, 0, _BITS, 0, _FIRST, self._inodes, self._mtime, 0,
            min(self._end >> _BITS, MAX_BLOCKS - 1), self._meta >> _BITS, 0, bytes(16), b"",
            _CHUNKED | _DEVICES, 0, len(device_sizes), (_SUPER_AT + _SUPER.size) // _DEVICE.size,
            0, 0, 0, 0, 0, b"",
        )  # fmt: skip
        pwrite_all(self._fd, head + b"".join(table), _SUPER_AT)
        os.ftruncate(self._fd, self._end)
        return self._end

    # -- inodes

    def _compact(self, layout: int, mode: int, links: int, size: int, u: int, nid: int) -> bytes:
        return _COMPACT.pack(layout, 0, mode, links, size, 0, u, nid & 0xFFFFFFFF, 0, 0, 0)

    def _long(self, layout: int, size: int, u: int, behind: bytes) -> int:
        """An inode of the longer form, which holds any size."""
        nid = self._next()
        mode, ino = _FILE_MODE, nid & 0xFFFFFFFF
        head = _EXTENDED.pack(
            layout | _LONG, 0, mode, 0, size, u, ino, 0, 0, self._mtime, 0, 1, bytes(16)
        )
        self._append(head + behind, 1)
        return nid

    def _set(self, nid: int, inode: bytes) -> None:
        """Fill in a directory's inode where it was reserved."""
        at = bisect_right(self._reserved, nid, key=lambda r: r[0]) - 1
        first, room = self._reserved[at]
        room[(nid - first) * _SLOT : (nid - first + 1) * _SLOT] = inode

    # -- bytes

    def _next(self) -> int:
        """The number of an inode that is appended now: always at the start of a block."""
        return (self._end - self._meta) // _SLOT

    def _append(self, data: bytes, inodes: int) -> None:
        self._inodes += inodes
        self._add(data)
        self._pad()

    def _pad(self) -> None:
        if short := -self._end % BLOCK:
            self._add(bytes(short))

    def _add(self, data: bytes | memoryview) -> None:
        self._pending.append(data)
        self._pending_bytes += len(data)
        self._end += len(data)
        if self._pending_bytes >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._pending)
        pwrite_all(self._fd, data, self._end - len(data))
        self._pending, self._pending_bytes = [], 0


def _up(n: int) -> int:
    return n + -n % BLOCK


def _blocks(size: int) -> int:
    return -(-size // BLOCK)


def _chunk_bits(size: int) -> int:
    """The least chunk, as a power of 2 of blocks, that holds ``size`` bytes."""
    return max(0, (size - 1).bit_length() - _BITS)


def _common_bits(pieces: Sequence[Extent]) -> int | None:
    """The largest chunk, as a power of 2 of blocks, that all pieces but the last are made of."""
    if len(pieces) == 1:
        bits = _chunk_bits(pieces[0].length)
        return bits if bits <= _MAX_CHUNK_BITS else None
    lengths = 0
    for piece in pieces[:-1]:
        lengths |= piece.length
    lowest = (lengths & -lengths).bit_length() - 1
    if lowest < _BITS:
        return None
    return min(lowest - _BITS, _MAX_CHUNK_BITS)


# ---- directories: blocks of entries, each with its names behind them


def _few_entries(entries: Sequence[tuple[bytes, int, int]]) -> bytes:
    out, start = [], 0
    while start < len(entries):
        used, end = 0, start
        while end < len(entries) and used + _DIRENT.size + len(entries[end][0]) <= BLOCK:
            used += _DIRENT.size + len(entries[end][0])
            end += 1
        at = _DIRENT.size * (end - start)
        heads, names = [], []
        for name, nid, kind in entries[start:end]:
            heads.append(_DIRENT.pack(nid, at, kind, 0))
            names.append(name)
            at += len(name)
        block = b"".join(heads + names)
        out.append(block if end == len(entries) else block.ljust(BLOCK, b"\0"))
        start = end
    return b"".join(out)


def _many_entries(
    names: Sequence[bytes],
    nids: Numbers,
    types: npt.NDArray[np.uint8],
    dots: Sequence[tuple[bytes, int, int]],
) -> memoryview:
    """The same by columns."""
    names = list(names)
    for name, nid, kind in dots:
        at = bisect_right(names, name)
        names.insert(at, name)
        nids, types = np.insert(nids, at, nid), np.insert(types, at, kind)
    lengths = np.fromiter(map(len, names), np.int64, len(names))
    name_ends = np.cumsum(lengths)
    ends = name_ends + _DIRENT.size * np.arange(1, len(names) + 1)
    limits, starts, at = memoryview(ends.data), [0], 0
    while (at := bisect_right(limits, (limits[at - 1] if at else 0) + BLOCK)) < len(names):
        starts.append(at)
    counts = np.diff(np.array([*starts, len(names)]))
    rows = np.zeros(len(names), _ENTRY)
    before = name_ends - lengths
    base = before[starts] - _DIRENT.size * counts  # names begin behind their block's entries
    rows["nid"], rows["type"], rows["name"] = nids, types, before - np.repeat(base, counts)
    heads, text = memoryview(rows.tobytes()), memoryview(b"".join(names))
    out = bytearray(len(starts) * BLOCK)
    end = 0
    spans = zip(starts, [*starts[1:], len(names)], [*before[starts].tolist(), len(text)][1:],
                before[starts].tolist(), strict=True)  # fmt: skip
    for number, (first, last, text_end, text_start) in enumerate(spans):
        at, middle = number * BLOCK, number * BLOCK + _DIRENT.size * (last - first)
        end = middle + text_end - text_start
        out[at:middle] = heads[_DIRENT.size * first : _DIRENT.size * last]
        out[middle:end] = text[text_start:text_end]
    return memoryview(out)[:end]
