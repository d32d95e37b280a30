"""Versioned files in this process, for figures of parts that need no daemon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import fresh
from pachybox.meta.writer import Meta
from pachybox.model.files import Edit, Entry, Put
from pachybox.model.ids import Repo
from pachybox.model.pps import DatumInput
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import PutTree
from pachybox.store.blobs import BlobStore, Session
from pachybox.store.trees import EMPTY


@contextmanager
def opened(name: str) -> Iterator[tuple[Pfs, Path]]:
    """Pfs in a fresh folder, and that folder."""
    folder = fresh(name)
    blobs = BlobStore.open(folder / "store")
    meta = Meta(folder / "meta.duckdb", barrier=blobs.flush)
    try:
        yield Pfs(meta, blobs), folder
    finally:
        meta.close()
        blobs.close()


def commit(pfs: Pfs, session: Session, repo: str, edits: Iterable[Edit]) -> None:
    """A commit of files that are in the store."""
    pfs.create_repo(Repo("default", repo), update=True)
    changes = list(edits)
    root = pfs.trees.edit(EMPTY, changes, session.put)
    pfs.write(session, Repo("default", repo), "master", [PutTree(root, len(changes))])


def put(path: str, entry: Entry) -> Put:
    """The edit that puts a file."""
    return Put(path, entry)


def whole_repo(pfs: Pfs, repo: str) -> DatumInput:
    """The newest commit as a datum's input, glob /."""
    head = pfs.resolve(Repo("default", repo), "master")
    top = pfs.trees.entry(head.root)
    return DatumInput(
        "in", "default", repo, "master", head.commit.id, "/", top.hash, top.size, True
    )
