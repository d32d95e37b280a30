"""The smallest EROFS image that shows something: /data/a.txt, and /data/big to stand for a link."""

from __future__ import annotations

import struct

_BLOCK, _UNIT, _INLINE = 4096, 32, 2 << 1
_FILE, _FOLDER = 0o100444, 0o40755
_KINDS = {_FILE: 1, _FOLDER: 2}


def small_image(content: bytes) -> bytes:
    """An image of one block; ``content`` is a.txt's, at most a few hundred bytes."""
    data = bytearray(_BLOCK)
    places = {"root": 36, "data": 44, "a.txt": 60, "big": 90}
    root = [(".", "root", _FOLDER), ("..", "root", _FOLDER), ("data", "data", _FOLDER)]
    inner = [(".", "data", _FOLDER), ("..", "root", _FOLDER)]
    inner += [("a.txt", "a.txt", _FILE), ("big", "big", _FILE)]
    _put(data, places["root"], _FOLDER, _folder(root, places))
    _put(data, places["data"], _FOLDER, _folder(inner, places))
    _put(data, places["a.txt"], _FILE, content)
    _put(data, places["big"], _FILE, b"")
    head = (0xE0F5E1E2, 0, 0, 12, 0, places["root"], 4, 0, 0, 1, 0, 0)
    struct.pack_into("<IIIBBHQQIIII", data, 1024, *head)
    return bytes(data)


def _folder(entries: list[tuple[str, str, int]], places: dict[str, int]) -> bytes:
    heads, names = b"", b""
    for name, what, mode in entries:
        start = 12 * len(entries) + len(names)
        heads += struct.pack("<QHBB", places[what], start, _KINDS[mode], 0)
        names += name.encode()
    return heads + names


def _put(data: bytearray, place: int, mode: int, content: bytes) -> None:
    links = 2 if mode == _FOLDER else 1
    inode = struct.pack("<HHHHIIIIHHI", _INLINE, 0, mode, links, len(content), 0, 0, place, 0, 0, 0)
    start = place * _UNIT
    assert not any(data[start : start + 32 + len(content)])
    data[start : start + 32 + len(content)] = inode + content
