"""The address of a zip: ``/archive/<which files>.zip``, in Pachyderm's form 1.

``which files`` is base64url without padding of: the byte 1, then a Zstandard frame of paths
``project/repo@branch-or-commit:/path``, each ended by NUL. No paths are the byte 1 alone.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pachybox.errors import InvalidArgument

_VERSION = 1
_LIMIT = 4 << 20  # bytes of paths
_WINDOW = 8 << 20  # what RFC 8878 asks every decoder to bear
_PATH = re.compile(r"([^/]*)/([^@]*)@([^:]*):(.*)", re.DOTALL)
_HINT = "the address comes from Pachyderm's console, pachctl, or Client.archive_url"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file, directory or glob at a branch or commit."""

    project: str
    repo: str
    ref: str
    path: str

    def __str__(self) -> str:
        return f"{self.project}/{self.repo}@{self.ref}:{self.path}"


def parse(address: str) -> Sequence[Wanted]:
    """What an address' path (``/archive/...``) wants. Raises InvalidArgument."""
    name, dot, form = address.removeprefix("/archive/").partition(".")
    if "/" in name or not dot:
        raise InvalidArgument("the address is not /archive/<which files>.zip", _HINT)
    if form != "zip":
        raise InvalidArgument(f"unknown archive format {form[:20]!r}", "ask for .zip")
    try:
        data = base64.b64decode(name + "=" * (-len(name) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as e:
        raise InvalidArgument("the address is not base64url", _HINT) from e
    if not data or data[0] != _VERSION:
        raise InvalidArgument("the address is of an unknown version", _HINT)
    text = _unpacked(data[1:])
    return [_wanted(one) for one in text.removesuffix("\0").split("\0")] if text else []


def _unpacked(data: bytes) -> str:
    if not data:
        return ""
    import zstandard  # few ask for zips

    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    try:
        with unpacker.stream_reader(data) as reader:
            if len(reader.read(_LIMIT + 1)) > _LIMIT:
                raise InvalidArgument(f"the address holds more than {_LIMIT >> 20} MiB", _HINT)
        whole = unpacker.decompressobj()  # the reader takes a frame that is cut short as it is
        text = whole.decompress(data)
        if not whole.eof:
            raise InvalidArgument("the address cannot be unpacked: it is cut short", _HINT)
        return text.decode()
    except (zstandard.ZstdError, UnicodeDecodeError) as e:
        raise InvalidArgument(f"the address cannot be unpacked: {e}", _HINT) from e


def _wanted(text: str) -> Wanted:
    found = _PATH.fullmatch(text)
    if found is None or not all(found.groups()[:3]):
        raise InvalidArgument(
            f"{text[:200]!r} in the address is no file", "the form is project/repo@ref:/path"
        )
    return Wanted(*found.groups())
