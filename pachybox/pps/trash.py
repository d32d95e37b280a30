"""Directories that nobody needs any more, removed off the path of work.

Unlinking 100,000 files takes seconds; moving their directory away takes none.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
from contextlib import suppress
from pathlib import Path


class Trash:
    """A directory and a thread that empties it. Callable from any thread."""

    def __init__(self, folder: Path) -> None:
        """``folder`` must be on the file system of what is thrown away."""
        self._folder = folder
        self._lock = threading.Lock()
        self._count = 0
        self._queue: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def put(self, path: Path) -> None:
        """Remove ``path`` with all below it, soon; nothing happens when it is not there."""
        with self._lock:
            self._count += 1
            target = self._folder / str(self._count)
            if self._thread is None:
                self._thread = threading.Thread(target=self._empty, name="trash", daemon=True)
                self._thread.start()
        try:
            self._folder.mkdir(exist_ok=True)
            path.rename(target)
        except OSError:  # it is not there; or the disk is full, or something is in the way
            remove_tree(path)
        else:
            self._queue.put(target)

    def close(self) -> None:
        """Wait until all is gone."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _empty(self) -> None:
        while (path := self._queue.get()) is not None:
            remove_tree(path)


def remove_tree(path: Path) -> None:
    """Remove a directory with all below it, as far as that is possible: also what its owner,
    where that is the box itself, has shut. Links are not followed."""
    shutil.rmtree(path, ignore_errors=True)
    if not path.is_dir():
        return
    with suppress(OSError):
        path.chmod(0o700)
        for folder, below, _ in os.walk(path):
            for one in (Path(folder, name) for name in below):
                if not one.is_symlink():
                    one.chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)
