"""The lock on a data directory: one daemon at a time."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from pachybox.errors import Refused

log = logging.getLogger("pachybox.box")


class Lock:
    """The lock on a data directory: one daemon at a time. Freed by the kernel when the
    process dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """Take the lock. Raises Refused naming the process that holds it."""
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._fd, 32).decode(errors="replace").strip()
            os.close(self._fd)
            raise Refused(
                f"another box (process {holder or 'unknown'}) is running on {path.parent.parent}",
                "use it, stop it with: pachybox down, or choose another PACHYBOX_HOME",
            ) from None
        text = f"{os.getpid()}\n".encode()
        try:
            os.pwrite(self._fd, text, 0)
            os.ftruncate(self._fd, len(text))
        except OSError as e:  # a full disk must not keep a box from starting: it can still read
            log.warning("%s does not name this process: %s", path, e)

    def release(self) -> None:
        """Give the lock up."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock at ``path``."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
