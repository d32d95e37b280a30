"""Large content on its way in: received, hashed and written at once, and read back by nobody.

                            +--> address and sums
    who brings it --> piece +--> file
                            +--> MD5, other digests

A few pieces go round, so memory is bounded and who brings content waits for the slowest thread.
What fits into one piece needs no threads, and what fits into a pack no file.
"""

from __future__ import annotations

import mmap
import threading
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue

import xxhash
from blake3 import blake3

from pachybox.model.ids import Hash
from pachybox.store.disk import Writer
from pachybox.store.objects import Upload
from pachybox.store.transfer import CHUNK, Sums

PIECE = 2 * CHUNK  # smaller ones cost a third more of the processor: threads wake for each
RING = 6  # pieces of one inflow
_LEAST = 2  # of them, when there are many inflows
PIECES = 32  # of all inflows, but for their first ones
_SPARED = 4  # a fourth is kept when nobody needs it: new memory costs more than hashing its content

Update = Callable[[memoryview], object]


class _Piece:
    """A buffer that the file system can write from directly."""

    __slots__ = ("filled", "users", "view")

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.filled = 0
        self.users = 0  # lanes that are not done with it


class _Memory:
    """The buffers of all inflows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spare: list[memoryview] = []
        self._taken = 0
        self.most = PIECES

    def take(self, held: int) -> memoryview | None:
        """Another buffer for who has ``held``; None when that must do."""
        with self._lock:
            if held >= RING or (held >= _LEAST and self._taken >= self.most):
                return None
            self._taken += 1
            if self._spare:
                return self._spare.pop()
        return memoryview(mmap.mmap(-1, PIECE))  # begins a memory page

    def give(self, view: memoryview) -> None:
        """A buffer that is not used any more."""
        with self._lock:
            self._taken -= 1
            if len(self._spare) < self.most // _SPARED:
                self._spare.append(view)


_memory = _Memory()


def bound(pieces: int) -> None:
    """How many pieces all inflows of this process may have, but for their first ones."""
    _memory.most = pieces


class Inflow:
    """Takes one content; a context manager. Left before ``close``, it leaves nothing behind.

    ``room`` and ``came`` have the content put where it is needed, ``write`` copies it there. For
    one thread; what goes wrong in the others is raised by a later call.
    """

    def __init__(
        self,
        begin: Callable[[], Upload],
        give_up: Callable[[Path], None],
        digests: Sequence[Sequence[Update]] = (),
    ) -> None:
        """``begin`` makes an upload, ``give_up`` removes it. ``digests``: the update functions of
        others, a thread for each sequence."""
        self._begin = begin
        self._give_up = give_up
        self._digests = digests
        self._upload: Upload | None = None
        self._file: Writer | None = None
        self._lanes: list[Sequence[Update]] = []
        self._queues: list[SimpleQueue[_Piece | None]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._made: list[_Piece] = []
        self._free: SimpleQueue[_Piece] = SimpleQueue()
        self._piece: _Piece | None = None  # that is being filled
        self._hash = blake3(max_threads=1)
        self._sums: Sums[int] = array("Q")
        self.size = 0

    def __enter__(self) -> Inflow:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()
        if self._upload is not None:
            self._upload.close()
            self._give_up(self._upload.path)

    # -- the thread that brings content

    def room(self) -> memoryview:
        """Where the next bytes go, never empty. Waits for the threads when all is full."""
        piece = self._piece
        if piece is None:
            self._piece = piece = self._next()
        return piece.view[piece.filled :]

    def came(self, count: int) -> None:
        """``count`` bytes were put at the beginning of ``room``."""
        piece = self._piece
        assert piece is not None
        self.size += count
        piece.filled += count
        if piece.filled == PIECE:
            if not self._threads:
                self._start()
            self._pass_on(piece)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes; ``data`` may be reused on return."""
        view = memoryview(data)
        while view:
            room = self.room()
            count = min(len(room), len(view))
            room[:count] = view[:count]
            self.came(count)
            view = view[count:]

    def held(self) -> memoryview:
        """All content, when it is less than a piece."""
        return memoryview(b"") if self._piece is None else self._piece.view[: self.size]

    def finish(self) -> tuple[Hash, Sums[int], Path]:
        """All has come, and not nothing: address, sums, and the file that has the content."""
        if self._piece is not None and self._piece.filled:
            self._pass_on(self._piece)
        self._stop()
        if self._error is not None:
            raise self._error
        assert self._file is not None
        self._file.finish()
        assert self._upload is not None
        return Hash(self._hash.digest()), self._sums, self._upload.path

    def close(self) -> None:
        """Somebody else has the upload, or there is none: what follows must not remove it."""
        if self._upload is not None:
            self._upload.close()
            self._upload = None
        self._stop()

    def _next(self) -> _Piece:
        if self._error is not None:
            raise self._error
        if self._free.empty() and (view := _memory.take(len(self._made))) is not None:
            self._made.append(piece := _Piece(view))
            return piece
        piece = self._free.get()
        piece.filled = 0
        return piece

    def _pass_on(self, piece: _Piece) -> None:
        if not self._lanes:
            self._prepare(direct=False)
        self._piece = None
        if self._threads:
            piece.users = len(self._lanes)
            for queue in self._queues:
                queue.put(piece)
        else:
            for lane in self._lanes:
                _take(lane, piece)

    def _prepare(self, *, direct: bool) -> None:
        self._upload = self._begin()
        self._file = Writer(self._upload.fd, self._upload.path, direct=direct)
        self._lanes = [(self._file.write,), (self._name,), *self._digests]

    def _start(self) -> None:
        # What is large is read from the disk as fast as it was written there; a small file is
        # better kept in the cache for the job that reads it next.
        self._prepare(direct=True)
        for lane in self._lanes:
            queue: SimpleQueue[_Piece | None] = SimpleQueue()
            thread = threading.Thread(
                target=self._run, args=(lane, queue), name="inflow", daemon=True
            )
            thread.start()
            self._queues.append(queue)
            self._threads.append(thread)

    def _stop(self) -> None:
        for queue in self._queues:
            queue.put(None)
        for thread in self._threads:
            thread.join()
        for piece in self._made:
            _memory.give(piece.view)
        self._queues, self._threads, self._made, self._piece = [], [], [], None
        self._free = SimpleQueue()
        self._lanes = []  # they hold this object, and its memory must not wait for a gc

    # -- the others

    def _run(self, lane: Sequence[Update], queue: SimpleQueue[_Piece | None]) -> None:
        while (piece := queue.get()) is not None:
            if self._error is None:
                try:
                    _take(lane, piece)
                except BaseException as e:  # raised again in the thread that brings content
                    self._error = e
            with self._lock:
                piece.users -= 1
                last = not piece.users
            if last:
                self._free.put(piece)

    def _name(self, data: memoryview) -> None:
        self._hash.update(data)
        for at in range(0, len(data), CHUNK):
            self._sums.append(xxhash.xxh3_64_intdigest(data[at : at + CHUNK]))


def _take(lane: Sequence[Update], piece: _Piece) -> None:
    data = piece.view[: piece.filled]
    for update in lane:
        update(data)
