"""What stands under /pfs for one datum: the inputs as files, laid out before it runs.

Small content is written; large content is linked from the store when the runner shows
inputs read-only (nothing user code does can then reach the store), copied otherwise.
All of it is verified on the way: content that does not match its hash raises Corrupt
and the datum does not run.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pachybox.errors import NotFound
from pachybox.meta.tables import COMMITS
from pachybox.model.files import Entry, Kind
from pachybox.model.ids import Commit, Hash, Repo
from pachybox.model.pps import DatumInput
from pachybox.pfs.service import Pfs
from pachybox.worker.layout import Layout


def present(
    pfs: Pfs, inputs: Iterable[DatumInput], into: Path, links: bool, empty: frozenset[str]
) -> Layout:
    """interim"""
    into.mkdir()
    size = lay_out(pfs, inputs, into, links=links, empty=empty)
    return Layout(tree=into, bytes=size)


def lay_out(
    pfs: Pfs, inputs: Iterable[DatumInput], into: Path, *, links: bool, empty: frozenset[str]
) -> int:
    """Make ``into/<name>/<path>`` for every input; returns the bytes presented.

    ``empty`` names the inputs shown with zero-length files. Raises Corrupt, or NotFound when
    the input commit was deleted.
    """
    total = 0
    for one in inputs:
        root = root_of(pfs, one)
        found = pfs.trees.get(root, one.path)
        if found is None:
            raise NotFound(f"file {one.path} not found in {one.repo}@{one.commit}")
        base = into / one.name
        hollow = one.name in empty
        if not found.is_dir:
            target = _under(base, one.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            total += _file(pfs, found, target, links, hollow)
            continue
        top = _under(base, one.path)
        top.mkdir(parents=True, exist_ok=True)
        strip = 0 if one.path == "/" else len(one.path)
        for path, entry in pfs.trees.walk(root, one.path):
            target = _under(top, path[strip:])
            if entry.is_dir:
                target.mkdir(exist_ok=True)
            else:
                total += _file(pfs, entry, target, links, hollow)
    return total


def root_of(pfs: Pfs, one: DatumInput) -> Hash:
    """The tree of the input's commit; NotFound when it was deleted."""
    repo = Repo(one.project, one.repo)
    commit = pfs.meta.get(COMMITS, Commit(repo, one.commit))
    if commit is None:
        raise NotFound(f"commit {one.commit} not found in repo {repo.full}")
    return commit.root


def _under(base: Path, path: str) -> Path:
    return base / path.lstrip("/") if path != "/" else base


def _file(pfs: Pfs, entry: Entry, target: Path, links: bool, hollow: bool) -> int:
    if hollow:
        target.touch()
        return 0
    if entry.kind is Kind.FILE and links:
        where = pfs.blobs.locate(entry.hash)
        if where.whole:
            pfs.blobs.verify(entry.hash)
            os.link(where.path, target)
            return entry.size
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        for piece in pfs.content.read(entry):
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]
    finally:
        os.close(fd)
    return entry.size
