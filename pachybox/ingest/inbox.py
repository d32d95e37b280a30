"""What was posted to one source and waits for it, on disk; and the keys by which it is known again.

``take`` answers when all it took is durable. The inbox is the only writer of its folder; the source
reads there (``spouts/push.py``), and what it has committed is cut away here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pachybox.errors import Exhausted, InvalidArgument, PachyboxError, Refused
from pachybox.spool import Frame, Keys, Log, Reader, Seen
from pachybox.spool.keys import BODY_DIGEST, digest_of

KEY_AGE_S = 24 * 3600
KEYS = 1_000_000
_SECOND = 1_000_000
_PAD = bytes(16 - BODY_DIGEST)


class KeyReused(InvalidArgument):
    """An idempotency key came with another body than the first time."""


class Closed(Exception):
    """The inbox was closed meanwhile, or is another now; nothing was taken."""


@dataclass(frozen=True, slots=True)
class Posted:
    """One request's records. ``key`` (b"": none) names the request, ``digest`` its body."""

    records: Sequence[bytes]
    key: bytes = b""
    digest: bytes = bytes(BODY_DIGEST)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a request was answered: how many records, whether they had come before, and the
    position after them."""

    accepted: int
    duplicate: bool
    position: int


class Inbox:
    """Thread-safe. ``floor`` is how far the source has committed."""

    def __init__(self, folder: Path, limit: int, floor: int) -> None:
        """Raises OSError, Refused."""
        self._folder = folder
        self._lock = threading.Lock()
        self._closed = False
        self._damaged = False
        self._log = Log(folder, limit, floor)
        self._keys: Keys | None = None
        try:
            if self._key_file.exists():
                self._open_keys()
        except BaseException:
            self._log.close()
            raise

    @property
    def _key_file(self) -> Path:
        return self._folder / "keys"

    def _open_keys(self) -> Keys:
        """The keys of what was cut away are in their file, the others with their records."""
        keys = Keys(self._key_file, self._log.start, KEYS)
        with Reader(self._folder, self._log.start) as reader:
            position = -1
            while position != reader.position:
                position = reader.position
                for _, end, frame in reader.frames():
                    if frame.note:
                        keys.add(frame.note, _seen(frame, end))
        self._keys = keys
        return keys

    def take(self, posted: Sequence[Posted]) -> list[Taken | PachyboxError]:
        """Take requests, as one; what became of each. A request whose key is known is answered as
        it was then. Raises Closed."""
        now = time.time_ns() // 1000
        made: list[Taken | PachyboxError | None] = []
        fresh: list[int] = []
        twins: dict[bytes, int] = {}  # of this very group
        with self._lock:
            if self._closed or self.broken:
                raise Closed
            for number, one in enumerate(posted):
                known = self._known(one, now)
                if known is None and one.key in twins:
                    known = _same(one, posted[twins[one.key]].digest)
                elif known is None and not one.records:
                    # nothing would be committed that lets the log be cut behind it
                    known = Taken(0, False, self._log.end)
                elif known is None:
                    fresh.append(number)
                    if one.key:
                        twins[one.key] = number
                made.append(known)
            self._append(posted, fresh, made, now)
        return self._durable(posted, made, twins)

    def _known(self, one: Posted, now: int) -> Taken | PachyboxError | None:
        """What is to be said of a request whose key came before."""
        if not one.key:
            return None
        seen = (self._keys or self._open_keys()).find(one.key)
        if seen is None or seen.time + KEY_AGE_S < now // _SECOND:
            return None
        wrong = _same(one, seen.digest)
        return wrong or Taken(seen.records, True, seen.position)

    def _append(
        self,
        posted: Sequence[Posted],
        fresh: Sequence[int],
        made: list[Taken | PachyboxError | None],
        now: int,
    ) -> None:
        if not fresh:
            return
        frames = [
            Frame(now, one.records, one.key, one.digest + _PAD)
            for one in (posted[number] for number in fresh)
        ]
        try:
            ends = self._log.append(frames)
        except (Exhausted, Refused) as e:
            for number in fresh:
                made[number] = e
            return
        for number, frame, end in zip(fresh, frames, ends, strict=True):
            if frame.note and self._keys is not None:
                try:
                    self._keys.add(frame.note, _seen(frame, end))
                except OSError:
                    self._damaged = True  # crash: the key is in the log, and read from there
                    raise
            made[number] = Taken(len(frame.records), False, end)

    def _durable(
        self,
        posted: Sequence[Posted],
        made: Sequence[Taken | PachyboxError | None],
        twins: dict[bytes, int],
    ) -> list[Taken | PachyboxError]:
        answers: list[Taken | PachyboxError] = []
        failure: PachyboxError | None = None
        last = max((one.position for one in made if isinstance(one, Taken)), default=0)
        try:
            self._log.sync(last)  # of what came before too, which another thread may be about to
        except PachyboxError as e:
            failure = e
        for one, outcome in zip(posted, made, strict=True):
            if outcome is None:
                first = made[twins[one.key]]
                assert first is not None
                twin = isinstance(first, Taken)
                outcome = Taken(first.accepted, True, first.position) if twin else first  # type: ignore[union-attr]
            answers.append(failure if failure and isinstance(outcome, Taken) else outcome)
        return answers

    def cut(self, position: int) -> None:
        """Remove what lies before ``position``, which is committed. Raises OSError."""
        with self._lock:
            if self._closed or not self._log.would_cut(position):
                return
            if self._keys is not None:
                self._keys.sync()
            self._log.cut(position)

    @property
    def full(self) -> bool:
        """Whether nothing is taken before something is cut away."""
        return self._log.full

    @property
    def broken(self) -> bool:
        """Whether it must be opened anew."""
        return self._log.broken or self._damaged

    def close(self) -> None:
        """Give the folder up. Idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._log.close()
                if self._keys is not None:
                    self._keys.close()


def _seen(frame: Frame, end: int) -> Seen:
    return Seen(frame.digest[:BODY_DIGEST], end, frame.time // _SECOND, len(frame.records))


def _same(one: Posted, digest: bytes) -> KeyReused | None:
    if one.digest == digest:
        return None
    name = one.key.decode("utf-8", "replace")
    return KeyReused(
        f"idempotency key {name!r} came with another body before",
        "use a new key for what is new, and the same body to try again",
    )


def body_digest(body: bytes) -> bytes:
    """What tells the bodies of requests apart."""
    return digest_of(body, BODY_DIGEST)
