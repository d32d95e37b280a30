"""Files of this machine by ``file:`` URLs, for callers who are its users."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pachybox.errors import CHECK_FILE, InvalidArgument, NotFound, Refused


@contextmanager
def opened(url: str, *, trusted: bool) -> Iterator[io.FileIO]:
    """The file that ``url`` names. Raises Refused for callers who are not ``trusted`` and for
    what is no regular file, NotFound, InvalidArgument."""
    path = _path(url, trusted)
    try:
        # a named pipe must not hold up the box until somebody writes to it
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFound(f"{url} does not exist", "check the path") from None
    except OSError as e:
        raise Refused(f"{url} cannot be read: {e.strerror}", CHECK_FILE) from None
    with io.FileIO(fd) as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Refused(f"{url} is no regular file", "take a directory with -r")
        yield file


def below(
    url: str, *, trusted: bool, warn: Callable[[str], None]
) -> Iterator[tuple[str, str, int]]:
    """(URL, path below, size) of each regular file below the directory ``url``, in order. What
    is neither a file nor a directory is told to ``warn``. Raises as ``opened``."""
    top = _path(url, trusted)
    if not top.is_dir():
        raise NotFound(f"{url} is no directory", "leave -r out to take a file")
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file():
                found = path.stat().st_size
                yield f"file://{quote(str(path))}", str(path.relative_to(top)), found
            else:
                warn(f"{path} is no regular file: not stored")


def _path(url: str, trusted: bool) -> Path:
    if not trusted:
        raise Refused(
            f"{url} is a file of the box's machine", "send the file itself, or ask on the machine"
        )
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or "\0" in path:
        raise InvalidArgument(f"{url!r} names no file", "write file:///path/to/file")
    return Path(path)
