"""The event that tells of a source which state it is in now."""

from __future__ import annotations

from contextlib import suppress

from pachybox.errors import NotReady
from pachybox.meta.writer import Meta
from pachybox.model.ingest import Ingest, IngestState


def tell(meta: Meta, ingest: Ingest, state: IngestState, reason: str) -> None:
    """Have it written; nobody waits for that, and a box that is stopping tells nothing."""
    with suppress(NotReady):
        meta.later(
            lambda tx: tx.event(
                "ingest.state",
                project=ingest.project,
                ingest=ingest.name,
                state=state.value,
                reason=reason,
            )
        )
