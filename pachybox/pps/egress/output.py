"""The tree on its way out: its files in order, and several of them at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from pachybox.model.files import Entry
from pachybox.model.ids import Hash
from pachybox.pfs.service import Pfs

_AHEAD = 8  # files taken up for each under way: a long one holds up what may be marked


class Stopped(Exception):
    """The egress is no longer wanted, or the box stops."""


@dataclass(frozen=True, slots=True)
class Output:
    """One commit's tree. ``wanted`` is asked between pieces; ``scratch`` is for large passing
    things, ``home`` the box's own directory, where no egress may write."""

    pfs: Pfs
    root: Hash
    wanted: Callable[[], bool]
    scratch: Path
    home: Path

    def check(self) -> None:
        """Raise Stopped when there is no point in going on."""
        if not self.wanted():
            raise Stopped

    def files(self, path: str = "/", after: str = "") -> Iterator[tuple[str, Entry]]:
        """Every file below ``path`` that comes behind ``after``, in order."""
        for where, entry in self.pfs.trees.walk(self.root, path, after=after):
            if not entry.is_dir:
                yield where, entry

    def content(self, entry: Entry) -> Iterator[bytes]:
        """The bytes of a file, verified, in pieces of at most 1 MiB. May raise Stopped."""
        for piece in self.pfs.content.read(entry):
            self.check()
            yield piece


@dataclass
class _Item:
    path: str
    entry: Entry
    done: threading.Event = field(default_factory=threading.Event)
    ok: bool = False


def side_by_side(
    files: Iterator[tuple[str, Entry]],
    push: Callable[[str, Entry], None],
    width: int,
    mark: Callable[[str, int], None],
) -> None:
    """``push`` every file, ``width`` at a time. ``mark(path, size)`` is called in the order of
    the files, each when it and all before it are done.

    Raises the error that came first, when all before that file are marked and no push is
    under way: a late one must not overwrite what comes after.
    """
    todo: SimpleQueue[_Item | None] = SimpleQueue()
    errors: list[BaseException] = []

    def work() -> None:
        while (item := todo.get()) is not None:
            try:
                if not errors:
                    push(item.path, item.entry)
                    item.ok = True
            except BaseException as e:
                errors.append(e)
            item.done.set()

    threads = [threading.Thread(target=work, name="egress-file", daemon=True) for _ in range(width)]
    for thread in threads:
        thread.start()
    window: deque[_Item] = deque()

    def settle(most: int) -> None:
        while len(window) > most or (window and window[0].done.is_set()):
            item = window.popleft()
            item.done.wait()
            if not item.ok:
                raise errors[0]
            mark(item.path, item.entry.size)

    try:
        for path, entry in files:
            item = _Item(path, entry)
            window.append(item)
            todo.put(item)
            settle(width * _AHEAD)
        settle(0)
    finally:
        errors.append(Stopped())  # what is still queued need not begin
        for _ in threads:
            todo.put(None)
        for thread in threads:
            thread.join()
