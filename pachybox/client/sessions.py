"""``with`` blocks over several calls: an open commit, a transaction."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pachybox.client.base import Stream
from pachybox.client.names import absolute, split_ref
from pachybox.client.progress import Progress
from pachybox.client.sources import Source
from pachybox.client.upload import Put
from pachybox.client.values import CommitInfo, FileInfo, Json, PutResult

if TYPE_CHECKING:
    from pachybox.client.sync import Client


class OpenCommit:
    """An open commit: what is put in the ``with`` block is one commit, finished at its end.

    Unlike ``Client.put``, whose content arrives all at once, the box has each file as soon as it
    was put, and reads in the block see it. Leaving the block by an exception drops the commit.
    Paths are paths in the repo.
    """

    def __init__(self, client: Client, branch: str, parent: str | None, description: str) -> None:
        self._client = client
        self._branch = branch
        self._how = {"parent": parent, "description": description}
        self.id = ""

    def __str__(self) -> str:
        """How the commit is written: ``repo@id``."""
        return f"{split_ref(self._branch)[0]}@{self.id}"

    def __enter__(self) -> OpenCommit:
        parent = self._how["parent"]
        description = self._how["description"] or ""
        self.id = self._client.start_commit(self._branch, parent=parent, description=description)
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is None:
            self._client.finish_commit(str(self))
        else:
            self._client.drop_commit(str(self))

    def _at(self, path: str) -> str:
        return f"{self}:{absolute(path)}"

    def put(self, *, progress: Progress | None = None) -> Put:
        """Begin an upload of several changes to this commit."""
        return self._client.put(str(self), progress=progress)

    def put_file(self, path: str, source: Source, *, append: bool = False) -> PutResult:
        """One file; see ``Client.put_file``."""
        return self._client.put_file(self._at(path), source, append=append)

    def put_files(
        self,
        path: str,
        directory: str | os.PathLike[str],
        *,
        append: bool = False,
        progress: Progress | bool | None = None,
    ) -> PutResult:
        """Everything below a directory of this machine; see ``Client.put_files``."""
        return self._client.put_files(self._at(path), directory, append=append, progress=progress)

    def put_url(self, path: str, url: str, *, recursive: bool = False) -> PutResult:
        """A file the box fetches from ``url``."""
        return self._client.put_url(self._at(path), url, recursive=recursive)

    def copy_file(self, source: str, path: str, *, append: bool = False) -> PutResult:
        """Copy ``repo@ref:path`` to here; no bytes move."""
        return self._client.copy_file(source, self._at(path), append=append)

    def delete_file(self, path: str) -> PutResult:
        """Remove a file, a directory with all below it, or what a glob matches."""
        return self._client.delete_file(self._at(path))

    def get_file(self, path: str) -> bytes:
        """One file as it is in this commit now."""
        return self._client.get_file(self._at(path))

    def list_file(self, path: str = "/") -> Stream[FileInfo]:
        """What is in a directory of this commit now."""
        return self._client.list_file(self._at(path))

    def wait(self) -> CommitInfo:
        """After the block: wait until the commit is finished."""
        return self._client.wait_commit(str(self))


class Transaction:
    """A transaction: what the client is told in the ``with`` block is done at its end, at once.

    For the length of the block all that can be part of a transaction, and is asked through this
    client from any thread, belongs to it. Leaving by an exception drops it. ``info`` is what was
    done (transaction_v2.TransactionInfo), once the block has ended well.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._before = ""
        self.id = ""
        self.info: Json = {}

    def __enter__(self) -> Transaction:
        self._before = self._client.transaction_id
        self.id = self._client.start_transaction()
        self._client.transaction_id = self.id
        return self

    def __exit__(self, kind: object, *rest: object) -> None:
        self._client.transaction_id = self._before
        if kind is None:
            self.info = self._client.finish_transaction(self.id)
        else:
            self._client.delete_transaction(self.id)
