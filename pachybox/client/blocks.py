"""The client's ``with`` blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from pachybox.client.base import Base
from pachybox.client.sessions import OpenCommit, Transaction

if TYPE_CHECKING:
    from pachybox.client.sync import Client


class Blocks(Base):
    """``with`` blocks: what happens inside is done at their end, or not at all."""

    def commit(
        self, branch: str, *, parent: str | None = None, description: str = ""
    ) -> OpenCommit:
        """An open commit on ``repo@branch``: finished at the block's end, dropped by an error."""
        return OpenCommit(cast("Client", self), branch, parent, description)

    def transaction(self) -> Transaction:
        """A transaction: what is asked in the block is done at its end, all of it or nothing."""
        return Transaction(cast("Client", self))
