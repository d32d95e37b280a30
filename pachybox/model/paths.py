"""Paths inside a repo: the one place that says which are legal. Pure.

A path is absolute, ``/``-separated, without empty, ``.`` or ``..`` elements;
the root is ``/``. Any valid UTF-8 without NUL is allowed, also the characters
that mean something in a glob: :func:`escape` turns a path into the pattern that
matches exactly it.

Every path must be usable as ``/pfs/<input name><path>`` by a user's program on
Linux, hence the limits: an element is a file name (255 bytes), and the whole
leaves room in PATH_MAX (4096 with its NUL) for ``/pfs/`` and the longest name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pachybox.errors import InvalidArgument
from pachybox.model.ids import MAX_NAME

MAX_ELEMENT = 255
"""Longest element in bytes of UTF-8: the kernel's NAME_MAX."""

MAX_PATH = 4096 - len("\0") - len("/pfs/") - MAX_NAME
"""Longest path in bytes of UTF-8 (3835)."""

# perf: what nearly every caller sends, accepted in one C call (0.5 us against 3)
_CLEAN_ASCII = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[^/\0]{1,255}+)+", re.ASCII).fullmatch
_GLOB_SPECIAL = re.compile(r"[*?\[\]{}!()@+^\\|,]")


def clean(path: str) -> str:
    """Return ``path`` in its one canonical form: ``a``, ``/a`` and ``a//`` give ``/a``.

    Raises InvalidArgument naming the path and the rule it breaks.
    """
    if path.isascii() and len(path) <= MAX_PATH and _CLEAN_ASCII(path):
        return path
    encodable(path, "path")
    elements = [e for e in path.split("/") if e]
    for element in elements:
        _check_element(path, element)
    cleaned = "/" + "/".join(elements)
    if len(cleaned.encode()) > MAX_PATH:
        raise InvalidArgument(
            f"path {_short(path)} is longer than {MAX_PATH} bytes", "use shorter names"
        )
    return cleaned


def _check_element(path: str, element: str) -> None:
    if element in (".", ".."):
        raise InvalidArgument(
            f"path {_short(path)} has the element {element!r}",
            'write the path from the root, without "." and ".."',
        )
    if len(element.encode()) > MAX_ELEMENT:
        raise InvalidArgument(
            f"path {_short(path)} has an element longer than {MAX_ELEMENT} bytes",
            "use shorter names: each must be a file name on Linux",
        )


def encodable(text: str, what: str) -> None:
    """Raise InvalidArgument unless ``text`` is UTF-8 without NUL (so: without surrogates)."""
    if "\0" in text:
        raise InvalidArgument(f"{what} {_short(text)} has a NUL", "remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(
            f"{what} {_short(text)} is not valid UTF-8 (character {error.start + 1})",
            "rename the file to a UTF-8 name",
        ) from None


def _short(path: str) -> str:
    """A path for a message: printable, and not pages long."""
    return ascii(path) if len(path) <= 120 else f"{path[:100]!a}..."


def join(directory: str, name: str) -> str:
    """The path of ``name`` (one element or several) in a cleaned ``directory``."""
    return "/" + name if directory == "/" else f"{directory}/{name}"


def split(path: str) -> tuple[str, str]:
    """``(parent, base)`` of a cleaned path; the root gives ``("/", "")``."""
    parent, _, name = path.rpartition("/")
    return parent or "/", name


def parent(path: str) -> str:
    """The directory of a cleaned path; the root is its own parent."""
    return path.rpartition("/")[0] or "/"


def base(path: str) -> str:
    """The last element of a cleaned path; empty for the root."""
    return path.rpartition("/")[2]


def elements(path: str) -> list[str]:
    """The elements of a cleaned path, outermost first; none for the root."""
    return [] if path == "/" else path[1:].split("/")


def prefixes(path: str) -> Iterator[str]:
    """The directories above a cleaned path, root first, without the path itself."""
    if path == "/":
        return
    yield "/"
    at = path.find("/", 1)
    while at > 0:
        yield path[:at]
        at = path.find("/", at + 1)


def contains(directory: str, path: str) -> bool:
    """Whether cleaned ``path`` is ``directory`` or lies below it."""
    return directory == "/" or path == directory or path.startswith(directory + "/")


def relative(directory: str, path: str) -> str:
    """What follows ``directory`` in ``path``, without a leading slash; empty when equal.

    Both are cleaned, and ``directory`` contains ``path``.
    """
    return path[1:] if directory == "/" else path[len(directory) + 1 :]


def escape(path: str) -> str:
    """The glob pattern that matches exactly ``path``."""
    return _GLOB_SPECIAL.sub(r"\\\g<0>", path)
