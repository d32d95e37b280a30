"""Pages of differences: as the whole difference says, at the cost of what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pachybox.model.ids import Hash, Repo
from pachybox.pfs.diff_pages import DiffPages
from pachybox.pfs.read import File, Reader
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import RemoveFile
from pachybox.store.node import Node, Nodes
from tests.unit.pps.world import commit, opened

REPO = Repo("default", "r")
Pair = tuple[File | None, File | None]


def filled(pfs: Pfs) -> None:
    """Three commits: some files, more in directories, and some of both removed."""
    commit(pfs, "r", {"/a": b"1", "/c/x": b"2", "/d/e/f": b"3", "/g": b"4"})
    more = {f"/new/{n % 3}/{n}": b"12" for n in range(30)}
    commit(pfs, "r", {"/a": b"22", "/c/y": b"2", "/e": b"5", **more})
    with pfs.blobs.session() as session:
        pfs.write(session, REPO, "master", [RemoveFile(p) for p in ("/d", "/g", "/new/1")])


def whole(reader: Reader, new: tuple[Repo, str, str], old: tuple[Repo, str, str]) -> list[Pair]:
    pairs = reader.diff(*new, old)
    return [pair for pair in pairs if not any(f is not None and f.entry.is_dir for f in pair)]


@pytest.mark.parametrize("new", ["master", "master^", "master^2"])
@pytest.mark.parametrize("old", ["master", "master^", "master^2"])
@pytest.mark.parametrize("paths", [("/", "/"), ("/new", "/new"), ("/c", "/new"), ("/a", "/a")])
def test_pages_make_up_the_difference(
    tmp_path: Path, new: str, old: str, paths: tuple[str, str]
) -> None:
    with opened(tmp_path) as pfs:
        filled(pfs)
        reader, pages = Reader(pfs), DiffPages(pfs)
        sides = (REPO, new, paths[0]), (REPO, old, paths[1])
        now = pfs.trees.get(reader.commit(REPO, new).root, paths[0])
        was = pfs.trees.get(reader.commit(REPO, old).root, paths[1])
        if now is None and was is None:
            return  # an error, where the paths are two
        if paths[0] != paths[1] and was is None:
            assert now is not None  # a whole directory, of which the other form tells no files
            assert pages.page(reader, *sides, 0, 9).added == now.count
            return
        expected = whole(reader, *sides)
        for limit in (1, 4, 100):
            for offset in range(0, len(expected) + 2, limit):
                page = pages.page(reader, *sides, offset, limit)
                assert page.rows == expected[offset : offset + limit]
        assert page.total == len(expected)
        assert page.added == sum(before is None for _, before in expected)
        assert page.removed == sum(now is None for now, _ in expected)
        sizes = [
            (now.entry.size if now else 0, was.entry.size if was else 0) for now, was in expected
        ]
        assert page.bytes_delta == sum(now - was for now, was in sizes)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Hash]:
    """Names of the tree nodes that are read from now on."""
    loaded: list[Hash] = []
    load = Nodes.load

    def counting(self: Nodes, name: Hash) -> Node:
        loaded.append(name)
        return load(self, name)

    monkeypatch.setattr(Nodes, "load", counting)
    return loaded


def test_a_whole_new_directory_costs_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as pfs:
        commit(pfs, "r", {f"/many/{n % 50:02d}/{n:05d}": b"x" for n in range(20_000)})
        reader = Reader(pfs)
        loaded = counted(monkeypatch)
        page = DiffPages(pfs).page(reader, (REPO, "master", "/"), None, 19_990, 20)
        assert (page.total, page.added, len(page.rows)) == (20_000, 20_000, 10)
        assert len(loaded) < 20


def test_a_difference_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as pfs:
        commit(pfs, "r", {f"/{n % 50}/{n}": b"1" for n in range(2000)})
        commit(pfs, "r", {f"/{n % 50}/{n}": b"2" for n in range(2000)})
        reader, pages = Reader(pfs), DiffPages(pfs)
        loaded = counted(monkeypatch)
        first = pages.page(reader, (REPO, "master", "/"), None, 0, 5)
        walked = len(loaded)
        assert pages.page(reader, (REPO, "master", "/"), None, 0, 5) == first
        assert walked >= 100  # both sides of fifty directories
        assert len(loaded) - walked <= 6  # the two commits' roots are found anew, no more
