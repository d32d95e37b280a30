"""Large content on its way in: received, hashed and written at once, and read back by nobody.

                        +--> address, sums, file
    who brings it --> piece --> MD5
                        +--> other digests

Pieces are a few buffers that go round, so memory is bounded and who brings content waits for the
slowest of the threads. Short content never leaves its first piece, and needs no threads.
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
from pachybox.store.transfer import CHUNK, THREAD_FROM, Sums

RING = 8  # pieces of one inflow
_SPARE = 8  # kept between inflows: new memory costs more than the hash of what it holds
_spare: list[memoryview] = []

Update = Callable[[memoryview], object]


class _Piece:
    """A buffer of one CHUNK, the unit of sums; the file system may write from it directly."""

    __slots__ = ("filled", "users", "view")

    def __init__(self) -> None:
        try:
            self.view = _spare.pop()
        except IndexError:
            self.view = memoryview(mmap.mmap(-1, CHUNK))  # at a page's beginning
        self.filled = 0
        self.users = 0  # lanes that are not done with it

    def let_go(self) -> None:
        """Nobody uses it any more."""
        if len(_spare) < _SPARE:
            _spare.append(self.view)
        self.view = memoryview(b"")


class Inflow:
    """Takes one content; a context manager. Left before ``close``, it leaves nothing behind.

    ``room`` and ``came`` have the content put where it is needed, ``write`` copies it there. For
    one thread. What goes wrong in the others is raised by the next call.
    """

    def __init__(
        self,
        begin: Callable[[], Upload],
        give_up: Callable[[Path], None],
        digests: Sequence[Sequence[Update]] = (),
    ) -> None:
        """``begin`` makes an upload, ``give_up`` removes it. ``digests``: the update functions of
        others, by lane."""
        self._begin = begin
        self._give_up = give_up
        self._lanes: list[Sequence[Update]] = [(self._store,), *digests]
        self._queues: list[SimpleQueue[_Piece | None]] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._free: SimpleQueue[_Piece] = SimpleQueue()
        self._made: list[_Piece] = []
        self._piece: _Piece | None = None
        self._writer: Writer | None = None
        self._hash = blake3(max_threads=1)
        self._sums: Sums[int] = array("Q")
        self._upload: Upload | None = None
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
            if self._error is not None:
                raise self._error
            self._piece = piece = self._next()
        return piece.view[piece.filled :]

    def came(self, count: int) -> None:
        """``count`` bytes were put at the beginning of ``room``."""
        piece = self._piece
        assert piece is not None
        self.size += count
        piece.filled += count
        if piece.filled == CHUNK:
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
        """All content, of which less than a CHUNK has come."""
        piece = self._piece
        return memoryview(b"") if piece is None else piece.view[: piece.filled]

    def finish(self) -> tuple[Hash, Sums[int], Path]:
        """All has come: address, sums, and the upload that has the content."""
        if self._piece is not None and self._piece.filled:
            self._pass_on(self._piece)
        self._stop()
        if self._error is not None:
            raise self._error
        assert self._upload is not None
        return Hash(self._hash.digest()), self._sums, self._upload.path

    def close(self) -> None:
        """The upload is somebody else's: an error of what follows must not remove it."""
        if self._upload is not None:
            self._upload.close()
            self._upload = None

    def _next(self) -> _Piece:
        if self._free.empty() and len(self._made) < RING:
            self._made.append(piece := _Piece())
            return piece
        piece = self._free.get()
        piece.filled = 0
        return piece

    def _pass_on(self, piece: _Piece) -> None:
        if self._upload is None:
            self._upload = self._begin()
            self._writer = Writer(self._upload.fd, self._upload.path)
        if not self._threads and self.size >= THREAD_FROM:
            self._start()
        self._piece = None
        if self._threads:
            piece.users = len(self._lanes)
            for queue in self._queues:
                queue.put(piece)
            return
        for lane in self._lanes:
            _take(lane, piece)
        self._free.put(piece)

    def _start(self) -> None:
        for lane in self._lanes:
            queue: SimpleQueue[_Piece | None] = SimpleQueue()
            self._queues.append(queue)
            thread = threading.Thread(
                target=self._run, args=(lane, queue), name="inflow", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _stop(self) -> None:
        for queue in self._queues:
            queue.put(None)
        for thread in self._threads:
            thread.join()
        for piece in self._made:
            piece.let_go()
        self._queues, self._threads, self._made, self._piece = [], [], [], None
        self._lanes = []  # this object is one of theirs: what it holds is not to wait for gc

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

    def _store(self, data: memoryview) -> None:
        assert self._writer is not None
        self._hash.update(data)
        self._sums.append(xxhash.xxh3_64_intdigest(data))
        self._writer.write(data)


def _take(lane: Sequence[Update], piece: _Piece) -> None:
    data = piece.view[: piece.filled]
    for update in lane:
        update(data)
