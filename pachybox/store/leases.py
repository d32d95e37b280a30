"""Who may still need what: keeps the collector from content that no commit names yet.

A session is a lease on everything it put or found. The collector records from before it asks
for the roots until it is done, so what a session touches meanwhile is known even after the
session has ended. Eight bytes of a hash are enough: a false match keeps a dead blob, no more.
All methods are called with the store's short lock held.
"""

from __future__ import annotations

from collections.abc import Sequence

from pachybox.model.ids import Hash

WIDTH = 8


class Lease:
    """What one session has put or found."""

    __slots__ = ("touched",)

    def __init__(self) -> None:
        self.touched = bytearray()


class Leases:
    """All leases, and the record of a collection."""

    def __init__(self) -> None:
        self._active: set[Lease] = set()
        self._record: bytearray | None = None
        self._fresh: dict[Hash, Lease] = {}  # objects only one session knows of

    def begin(self) -> Lease:
        """A new lease."""
        lease = Lease()
        self._active.add(lease)
        return lease

    def touch(self, lease: Lease, hashes: Sequence[Hash]) -> None:
        """Protect ``hashes`` until the lease ends."""
        heads = b"".join([h[:WIDTH] for h in hashes])
        lease.touched += heads
        if self._record is not None:
            self._record += heads

    def made(self, lease: Lease, h: Hash) -> None:
        """An object is there only because of this lease."""
        self._fresh[h] = lease

    def shared(self, lease: Lease, h: Hash) -> None:
        """The lease relies on an object that was there: its maker cannot take it back."""
        if self._fresh.get(h) is not lease:
            self._fresh.pop(h, None)

    @property
    def any_fresh(self) -> bool:
        """Whether there is an object that only one session knows of. To be asked without the
        lock by a session, of its own."""
        return bool(self._fresh)

    def keep(self, lease: Lease) -> list[Hash]:
        """The objects of this lease are no longer its own; those that were."""
        if not self._fresh:
            return []
        own = [h for h, maker in self._fresh.items() if maker is lease]
        for h in own:
            del self._fresh[h]
        return own

    def end(self, lease: Lease) -> list[Hash]:
        """End a lease; returns the objects only it knew of."""
        self._active.discard(lease)
        return self.keep(lease)

    def start_record(self) -> bytes:
        """Begin recording; what all leases hold now."""
        self._record = bytearray()
        return b"".join(bytes(lease.touched) for lease in self._active)

    def recorded(self, since: int) -> bytes:
        """What was touched since the record had ``since`` bytes."""
        return bytes(memoryview(self._record or b"")[since:])

    def stop_record(self) -> None:
        """End recording."""
        self._record = None
