"""S3 inside jobs, as a lane sees it: a door of its own for one datum.

The buckets are pps's (buckets.py); what speaks S3 stands above it, so the daemon lends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from pachybox.errors import InvalidArgument, Refused
from pachybox.model.pps import Datum
from pachybox.pps.collect import Collected
from pachybox.pps.planner import inputs_of

if TYPE_CHECKING:
    from pachybox.pps.buckets import DatumBuckets


class Gate(Protocol):
    """An open door to the buckets of one datum."""

    @property
    def url(self) -> str:
        """What the datum finds in S3_ENDPOINT."""
        ...

    @property
    def key(self) -> str:
        """Its access key, which is its secret key too."""
        ...

    def close(self) -> None:
        """Hang up. What was acknowledged is in the buckets; nothing comes after it."""
        ...


class Gates(Protocol):
    """Opens doors. Callable from any thread."""

    def open(self, buckets: DatumBuckets) -> Gate:
        """A door to ``buckets`` for callers on this machine."""
        ...


def s3_inputs(spec: Mapping[str, Any]) -> frozenset[str]:
    """The names of the inputs read through S3."""
    return frozenset(leaf.name for leaf in inputs_of(spec) if leaf.s3)


def shown(datum: Datum, hidden: frozenset[str]) -> Datum:
    """The datum without the inputs that are not under /pfs."""
    if not hidden:
        return datum
    return replace(datum, inputs=tuple(i for i in datum.inputs if i.name not in hidden))


class Door:
    """The door of one attempt at a datum."""

    def __init__(self, buckets: DatumBuckets, gates: Gates | None) -> None:
        """Raises Refused when the box has no S3 door."""
        if gates is None:
            raise Refused("the box has no S3 door, which the pipeline needs", "start it anew")
        self._buckets = buckets
        self._gate = gates.open(buckets)

    @property
    def environment(self) -> dict[str, str]:
        """How user code finds it: reference §3.11, and the name that AWS's own tools know."""
        gate = self._gate
        return {
            "S3_ENDPOINT": gate.url,
            "AWS_ENDPOINT_URL_S3": gate.url,
            "AWS_ACCESS_KEY_ID": gate.key,
            "AWS_SECRET_ACCESS_KEY": gate.key,
        }

    def collected(self, made: Collected) -> Collected:
        """The output of the datum, ``made`` being what was found in /pfs/out.

        Raises InvalidArgument when files are there that should have come by S3.
        """
        self.close()
        if not self._buckets.writable:
            return made
        if made.edits:
            raise InvalidArgument(
                f"the pipeline has s3_out, and {made.edits[0].path} was written to /pfs/out",
                "write to the bucket out of $S3_ENDPOINT, or remove s3_out",
            )
        puts = self._buckets.edits()
        return Collected(list(puts), sum(put.entry.size for put in puts), empty=made.empty)

    def close(self) -> None:
        """Hang up; a second call does nothing."""
        self._gate.close()
