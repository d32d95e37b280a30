"""Directories that nobody needs any more, removed off the path of work.

Unlinking 100,000 files takes seconds; moving their directory away takes none.
"""

from __future__ import annotations

import queue
import shutil
import threading
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
            self._folder.mkdir(exist_ok=True)
            if self._thread is None:
                self._thread = threading.Thread(target=self._empty, name="trash", daemon=True)
                self._thread.start()
        try:
            path.rename(target)
        except FileNotFoundError:
            return
        self._queue.put(target)

    def close(self) -> None:
        """Wait until all is gone."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _empty(self) -> None:
        while (path := self._queue.get()) is not None:
            shutil.rmtree(path, ignore_errors=True)
