"""Packs on their way into a repository: packed by the caller's thread, written by two others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self

import numpy as np

from pachybox.backup.packs import (
    PACK_BYTES,
    PIECE,
    Kind,
    PackBuilder,
    Rows,
    encode_index,
    name_of,
    pack_path,
)
from pachybox.backup.repository import Repository
from pachybox.errors import Exhausted, PachyboxError, Refused
from pachybox.model.ids import Hash

_WRITERS = 2
_MOST = PACK_BYTES + (1 << 20)  # bytes of a pack
_INDEX_PACKS = 32  # an index after so many packs ...
_INDEX_S = 120.0  # ... or so long, so that a backup that was cut short is not begun anew


def called_off() -> Refused:
    """The error of a backup for which nobody waits, or whose box stops."""
    return Refused("the backup was called off", "what was sent already is used by the next")


class Sender:
    """Takes blobs. ``sent``: bytes written; ``packs``, ``indexes``: the names of those it made."""

    def __init__(
        self, repository: Repository, gone: Callable[[], bool], there: Mapping[str, int]
    ) -> None:
        """``there``: packs that need not be written again, see Repository.put_pack."""
        self._repository = repository
        self._there = there
        self._gone = gone
        self._pack = PackBuilder()
        self._pool = ThreadPoolExecutor(_WRITERS, "backup")
        self._writing: deque[tuple[Rows, Future[tuple[str, int]]]] = deque()
        self._packs: list[tuple[str, int]] = []
        self._rows: list[Rows] = []
        self._indexed = time.monotonic()
        self.sent = 0
        self.packs: set[str] = set()
        self.indexes: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, kind: Kind, h: Hash, data: bytes | memoryview) -> None:
        """A whole blob of at most PIECE bytes."""
        self.add_piece(kind, h, data, 0, len(data))

    def add_long(self, kind: Kind, h: Hash, size: int, read: Callable[[int, int], bytes]) -> None:
        """A blob of any size; ``read`` gives bytes of it, by where they begin and how many."""
        for at in range(0, size, PIECE):
            self.add_piece(kind, h, read(at, min(PIECE, size - at)), at, size)

    def add_piece(self, kind: Kind, h: Hash, data: bytes | memoryview, at: int, total: int) -> None:
        """A part of a blob; the others must come before ``settle`` or ``index`` is called."""
        if len(data) + self._pack.size > _MOST:
            self._close()
        self._pack.add(kind, h, data, at, total)
        if self._pack.full:
            self._close()

    def settle(self) -> None:
        """Write an index when it is time: between two blobs, never after a tree."""
        enough = len(self._packs) + len(self._writing) >= _INDEX_PACKS
        if enough or time.monotonic() - self._indexed > _INDEX_S:
            self.index()

    def index(self) -> None:
        """Have all that came be there, and name it."""
        packs, rows = self.finish()
        if packs:
            data = encode_index(packs, np.concatenate(rows))
            try:
                self.indexes.append(self._repository.put_index(data))
            except Exhausted:
                if name_of(data) not in self._repository.index_names():
                    self._packs = packs
                raise
            self.sent += len(data)
        self._indexed = time.monotonic()

    def finish(self) -> tuple[list[tuple[str, int]], list[Rows]]:
        """Have all that came be there; the packs and their rows that no index names yet."""
        self._close()
        while self._writing:
            self._take()
        done = self._packs, self._rows
        self._packs, self._rows = [], []
        return done

    def give_back(self) -> None:
        """Once it has ended without room: remove what it wrote and no index names, which each
        further try would need room for too. Nobody else may rely on it: see Lock.single."""
        for _, writing in self._writing:
            with suppress(PachyboxError, CancelledError):
                self._packs.append(writing.result())
        for name, _ in self._packs:
            if name not in self._there:
                with suppress(PachyboxError):
                    self._repository.target.delete(pack_path(name))

    def _close(self) -> None:
        if self._pack.empty:
            return
        if self._gone():
            raise called_off()
        data, rows = self._pack.close()
        self._writing.append(
            (rows, self._pool.submit(self._repository.put_pack, data, self._there))
        )
        while len(self._writing) >= _WRITERS:  # memory: as many packs, and the next
            self._take()

    def _take(self) -> None:
        rows, writing = self._writing.popleft()
        name, size = writing.result()
        rows["pack"] = len(self._packs)
        self._packs.append((name, size))
        self.packs.add(name)
        self._rows.append(rows)
        self.sent += size
