"""The address of a zip of files, as the box's HTTP door reads it (docs/api.md)."""

from __future__ import annotations

import base64
from collections.abc import Sequence

_BLOCK = 128 << 10  # of a Zstandard frame
_HEAD = b"\x28\xb5\x2f\xfd\xa0"  # a frame that says its size in four bytes


def address(files: Sequence[str]) -> str:
    """``/archive/<which files>.zip`` for ``project/repo@ref:/path`` each.

    The paths are framed as Zstandard wants it, but not packed: an address is short.
    """
    text = "".join(f"{file}\0" for file in sorted(files)).encode()
    parts = [b"\1", _HEAD, len(text).to_bytes(4, "little")] if text else [b"\1"]
    for at in range(0, len(text), _BLOCK):
        piece = text[at : at + _BLOCK]
        last = at + _BLOCK >= len(text)
        parts += [(len(piece) << 3 | last).to_bytes(3, "little"), piece]
    return f"/archive/{base64.urlsafe_b64encode(b''.join(parts)).decode().rstrip('=')}.zip"
