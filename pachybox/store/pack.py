"""One pack file: its frames, and what reopening makes of it after a crash.

packs.py holds all of them together; format.py knows the bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pachybox.errors import Corrupt
from pachybox.model.ids import Hash
from pachybox.store import format as fmt
from pachybox.store.disk import pread_all
from pachybox.store.format import Gap, Header, Records, digest


class OpenFile:
    """A descriptor that is closed when the last reader lets go of it.

    race: a pack may be unlinked and forgotten while another thread reads it; closing the
    number under the reader could hand it a different file.
    """

    __slots__ = ("fd",)

    def __init__(self, path: Path, flags: int = os.O_RDONLY) -> None:
        self.fd = os.open(path, flags | os.O_CLOEXEC, 0o600)

    def read(self, length: int, offset: int) -> bytes:
        """Up to ``length`` bytes, the file being held open by the call."""
        return pread_all(self.fd, length, offset)

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


class Pack:
    """One pack file. ``end`` and below change only while it is the open one."""

    def __init__(self, number: int, path: Path, size: int) -> None:
        self.number = number
        self.path = path
        self.end = size  # where the next frame goes
        self.synced = size  # durable up to here
        self.marked = 0  # the latest frame says so up to here
        self.suspect = False  # a sync failed: what is behind ``synced`` must be written again
        self.pins = 0  # file system images about to point into it; the store's lock guards it
        self.file: OpenFile | None = None

    def frames(self) -> Iterator[Header | Gap]:
        """Every frame there is, from the headers."""
        file = open_to_read(self)
        yield from fmt.scan(file.fd, self.number)

    def records(self) -> list[Records]:
        """The records of every readable frame."""
        return [f.records for f in self.frames() if isinstance(f, Header)]


def open_to_read(pack: Pack) -> OpenFile:
    """The pack's open file, or one of one's own."""
    return pack.file or OpenFile(pack.path)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a pack that was open at a crash holds.

    ``frames``: those that stay; ``end``: cut the file there; ``saved``: true blobs behind
    the cut, to be written again; ``rotten``: damage before ``synced``, which no crash makes.
    """

    frames: list[Header]
    end: int
    synced: int
    marked: bool
    saved: dict[Hash, bytes]
    rotten: bool


def recover(pack: Pack) -> Recovered:
    """Read the headers of the pack that was open, and verify what no header calls synced.

    After a power cut true blobs may stand behind the tear, and may have been promised to
    somebody: they are in ``saved``.
    """
    file = open_to_read(pack)
    frames = list(pack.frames())
    synced = max((f.synced for f in frames if isinstance(f, Header)), default=0)
    kept: list[Header] = []
    saved: dict[Hash, bytes] = {}
    cut: int | None = None
    for frame in frames:
        true = true_blobs(file.fd, frame) if frame.offset >= synced else None
        if true is None:
            whole = True
        elif isinstance(frame, Gap):
            whole = False
        else:
            whole = frame.end <= pack.end and len(true) == len(frame.records)
        if cut is None and not whole:
            cut = frame.offset
        if cut is not None:
            saved.update(true or {})
        elif isinstance(frame, Header):
            kept.append(frame)
    end = pack.end if cut is None else cut
    last = frames[-1] if frames else None
    return Recovered(
        frames=kept,
        end=end,
        synced=min(synced, end),
        marked=cut is None and isinstance(last, Header) and not len(last.records),
        saved=saved,
        rotten=any(isinstance(f, Gap) and f.offset < synced for f in frames),
    )


def true_blobs(fd: int, frame: Header | Gap) -> dict[Hash, bytes]:
    """The blobs of a frame whose bytes are those their hash says; of a gap, none."""
    found: dict[Hash, bytes] = {}
    if isinstance(frame, Gap):
        return found
    for name, offset, length, _ in frame.records.tolist():
        data = pread_all(fd, length, offset)
        if digest(data) == name:
            found[Hash(name)] = data
    return found


def verify_unsynced(pack: Pack) -> None:
    """After a failed sync: what could not be written must still be in memory, and true."""
    file = open_to_read(pack)
    for frame in fmt.scan(file.fd, pack.number):
        if frame.end <= pack.synced:
            continue
        if isinstance(frame, Gap) or len(true_blobs(file.fd, frame)) < len(frame.records):
            raise Corrupt(
                f"{pack.path}: content that could not be synced is lost",
                "mend the disk, restart the box and put it again",
            )
