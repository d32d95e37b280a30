"""The texts and versions of what the one file carries beside Python packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import platform
import sqlite3
import ssl
import sysconfig
import zlib
from pathlib import Path

from pachybox.errors import Refused

_OWN = Path(__file__).with_name("licences")
_ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, libraries: list[Path]) -> None:
    """Fill ``folder`` for appliance/licences.py. Raises Refused for a library that nobody has
    looked at the licence of."""
    folder.mkdir()
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        raise Refused("the compiler is missing", "make setup")
    zig = Path(found.origin).parent
    listed = [
        _part(folder, "CPython", platform.python_version(), "PSF-2.0", _python_text()),
        _part(folder, "musl", _musl(zig), "MIT", zig / "lib" / "libc" / "musl" / "COPYRIGHT"),
        _part(folder, "zig", importlib.metadata.version("ziglang"), "MIT", zig / "LICENSE"),
    ]
    for library in libraries:
        known = _known(library.name)
        if known is None:
            raise Refused(
                f"the licence of {library.name} is not known",
                "look at it, and name it in appliance/binary/carried.py",
            )
        if known[0] not in [one["name"] for one in listed]:
            listed.append(_part(folder, *known))
    (folder / "parts.json").write_text(json.dumps(listed, indent=1))
    (folder / "pachybox.txt").write_bytes((_ROOT / "LICENSE").read_bytes())


def _part(folder: Path, name: str, version: str, licence: str, text: Path) -> dict[str, str]:
    (folder / f"{name}.txt").write_bytes(text.read_bytes())
    return {"name": name, "version": version, "licence": licence}


def _known(library: str) -> tuple[str, str, str, Path] | None:
    """(name, version, licence, text) by the name of a library's file."""
    name = library.partition(".so")[0]
    if name.startswith("libpython"):
        return "CPython", platform.python_version(), "PSF-2.0", _python_text()
    if name in ("libssl", "libcrypto"):  # the licence of pachybox itself
        return "OpenSSL", ssl.OPENSSL_VERSION.split()[1], "Apache-2.0", _ROOT / "LICENSE"
    if name == "libffi":
        return "libffi", library.partition(".so.")[2], "MIT", _OWN / "libffi.txt"
    if name == "libz":
        return "zlib", zlib.ZLIB_RUNTIME_VERSION, "Zlib", _OWN / "zlib.txt"
    if name == "libsqlite3":
        return "SQLite", sqlite3.sqlite_version, "public domain", _OWN / "sqlite.txt"
    if name == "libexpat":
        return "expat", library.partition(".so.")[2], "MIT", _OWN / "expat.txt"
    return None


def _python_text() -> Path:
    place = Path(sysconfig.get_path("stdlib")) / "LICENSE.txt"
    if not place.is_file():
        raise Refused(f"{place} is missing", "build with a Python that brings its licence")
    return place


def _musl(zig: Path) -> str:
    header = zig / "lib" / "libc" / "musl" / "src" / "internal" / "version.h"
    return header.read_text().split('"')[1]
