"""Versioned files without a daemon around them, for tests of what datums see and leave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pachybox.meta.writer import Meta
from pachybox.model.files import Edit, Entry, Kind, Put
from pachybox.model.ids import Repo
from pachybox.model.pps import DatumInput
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import PutTree
from pachybox.store.blobs import BlobStore
from pachybox.store.trees import EMPTY


@contextmanager
def opened(folder: Path) -> Iterator[Pfs]:
    """Pfs in a folder of its own."""
    blobs = BlobStore.open(folder / "store")
    meta = Meta(folder / "meta.duckdb", barrier=blobs.flush)
    try:
        yield Pfs(meta, blobs)
    finally:
        meta.close()
        blobs.close()


def commit(pfs: Pfs, repo: str, files: dict[str, bytes] | Iterable[tuple[str, Entry]]) -> None:
    """A commit that adds these files on master; the repo is made."""
    name = Repo("default", repo)
    pfs.create_repo(name, update=True)
    with pfs.blobs.session() as s:
        edits: list[Edit] = []
        for path, what in files.items() if isinstance(files, dict) else files:
            base = path.rsplit("/", 1)[1]
            if isinstance(what, bytes):
                what = Entry(base, Kind.FILE, s.put(what), len(what))
            edits.append(Put(path, what))
        root = pfs.trees.edit(EMPTY, edits, s.put)
        pfs.write(s, name, "master", [PutTree(root, len(edits))])


def append(pfs: Pfs, parts: list[bytes]) -> Entry:
    """A file of several pieces."""
    with pfs.blobs.session() as s:
        entry = Entry("x", Kind.FILE, s.put(parts[0]), len(parts[0]))
        for part in parts[1:]:
            more = Entry("x", Kind.FILE, s.put(part), len(part))
            entry = pfs.content.concat("x", [entry, more], s.put)
        pfs.blobs.flush()
        s.keep()
    return entry


def an_input(pfs: Pfs, repo: str, path: str = "/", name: str = "in") -> DatumInput:
    """What a glob would have found at ``path`` of the newest commit."""
    head = pfs.resolve(Repo("default", repo), "master")
    entry = pfs.trees.get(head.root, path)
    assert entry is not None, path
    return DatumInput(
        name, "default", repo, "master", head.commit.id, path, entry.hash, entry.size, entry.is_dir
    )
