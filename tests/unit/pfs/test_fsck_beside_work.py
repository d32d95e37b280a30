"""A proof of the metadata of a box that works on: what changes meanwhile is no damage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.meta.tables import BRANCHES, COMMITS, Table
from pachybox.model.ids import Branch, Repo
from pachybox.pfs import care
from pachybox.pfs.service import Pfs
from tests.unit.backup.world import World

DATA, OUT = Repo("default", "data"), Repo("default", "out")
HEAD = Branch(DATA, "master")


@pytest.fixture
def pfs(tmp_path: Path) -> Iterator[Pfs]:
    world = World(tmp_path / "box")
    world.put(DATA, {"/a": b"1"})
    world.pfs.create_repo(OUT)
    world.pfs.create_branch(Branch(OUT, "master"), provenance=[HEAD])
    yield world.pfs
    world.close()


def commit(pfs: Pfs) -> None:
    with pfs.blobs.session() as session:
        pfs.write(session, DATA, "master", [])


def beside(pfs: Pfs, monkeypatch: pytest.MonkeyPatch, work: Callable[[Pfs], None]) -> None:
    """Have ``work`` be done once when the proof has read which commits there are, and once when
    it has read what they name."""
    select, every = pfs.meta.select, pfs.meta.all

    def selected(table: Table[Any, Any], *rest: Any) -> list[Any]:
        if rest == ("ORDER BY seq",):
            work(pfs)
        return select(table, *rest)

    def listed(table: Table[Any, Any]) -> list[Any]:
        found = every(table)
        if table is BRANCHES:
            work(pfs)
        return found

    monkeypatch.setattr(pfs.meta, "select", selected)
    monkeypatch.setattr(pfs.meta, "all", listed)


def errors(pfs: Pfs, *, fix: bool = False) -> list[care.Finding]:
    return [f for f in care.fsck(pfs, fix=fix) if f.level != "info"]


def drop(pfs: Pfs) -> None:
    """The head goes, and another comes."""
    commit(pfs)
    pfs.drop([pfs.resolve(repo, "master").commit for repo in (DATA, OUT)])


@pytest.mark.parametrize("fix", [False, True])
@pytest.mark.parametrize("work", [commit, drop])
def test_work_is_no_damage(
    pfs: Pfs, monkeypatch: pytest.MonkeyPatch, work: Callable[[Pfs], None], fix: bool
) -> None:
    beside(pfs, monkeypatch, work)
    assert errors(pfs, fix=fix) == []


def test_what_is_lost_is_said_and_mended(pfs: Pfs) -> None:
    commit(pfs)
    lost = pfs.resolve(DATA, "master").commit
    pfs.meta.write(lambda tx: tx.remove(COMMITS, lost))
    assert f"its head {lost.id} does not exist" in [f.detail for f in errors(pfs)]
    assert {f.level for f in errors(pfs, fix=True)} == {"fixed"}
    assert errors(pfs) == []
