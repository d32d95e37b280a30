"""The journal in front of the database: durable at once, folded in before anybody can tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pachybox.errors import Corrupt, Exhausted
from pachybox.meta.tables import BRANCHES, COMMITS, FILESETS, REPOS, FilesetRecord
from pachybox.meta.tx import Tx
from pachybox.meta.writer import Meta
from pachybox.model.ids import Branch, Commit, CommitId, Hash, Repo, new_commit_id
from pachybox.model.pfs import BranchRecord, CommitRecord, Origin, RepoRecord
from tests.unit.meta.kills import killed

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
HOME = Repo("default", "r")


def commit(id_: CommitId, seq: int = 1) -> CommitRecord:
    return CommitRecord(
        Commit(HOME, id_), "master", None, Origin.USER, "ü\n\"", seq, NOW, None, "",
        Hash(b"r" * 32), 5, 1, (), {}, Hash(b"a" * 32),
    )  # fmt: skip


def branch(head: CommitId | None) -> BranchRecord:
    return BranchRecord(Branch(HOME, "master"), head, (), NOW, NOW)


def started(path: Path) -> Meta:
    meta = Meta(path, clock=lambda: NOW)

    def make(tx: Tx) -> None:
        tx.put(REPOS, RepoRecord(HOME, "", NOW))
        tx.put(BRANCHES, branch(None))

    meta.write(make)
    return meta


def put(record: CommitRecord) -> Callable[[Tx], None]:
    def run(tx: Tx) -> None:
        tx.add(COMMITS, record)
        tx.put(BRANCHES, branch(record.commit.id))
        tx.event("commit.started", id=record.commit.id)

    return run


def test_quick_changes_outlive_a_kill(tmp_path: Path) -> None:
    """Nothing is in the database yet, and after a kill all of it is there: also what a second
    change made of a record, and a change that went to the database itself."""
    path = tmp_path / "m.duckdb"
    meta = started(path)
    one, two, three = (commit(new_commit_id(), seq) for seq in (1, 2, 3))
    meta.write(put(one), quick=True)
    meta.write(put(two), quick=True)
    meta.write(lambda tx: tx.put(COMMITS, replace(two, size=9)), quick=True)
    cut = killed(path, tmp_path / "a")
    meta.write(put(three))
    meta.write(lambda tx: tx.put(COMMITS, replace(one, error="e")), quick=True)
    cut_later = killed(path, tmp_path / "b")
    assert meta.get(COMMITS, two.commit) == replace(two, size=9)
    meta.close()

    again = Meta(cut, clock=lambda: NOW)
    found = again.select(COMMITS, "ORDER BY seq")
    assert found == [one, replace(two, size=9)]
    assert again.get(BRANCHES, Branch(HOME, "master")) == branch(two.commit.id)
    assert [e.kind for e in again.events(0)] == ["commit.started"] * 2
    again.close()
    later = Meta(cut_later, clock=lambda: NOW)
    found = later.select(COMMITS, "ORDER BY seq")
    assert found == [replace(one, error="e"), replace(two, size=9), three]
    later.close()


def test_a_fileset_that_is_used_up_at_once_is_never_in_the_database(tmp_path: Path) -> None:
    """One that came there meanwhile goes from there."""
    path = tmp_path / "m.duckdb"
    meta = started(path)
    used, folded, kept = (
        FilesetRecord(name, Hash(b"r" * 32), (), NOW, NOW) for name in ("used", "folded", "kept")
    )
    meta.write(lambda tx: tx.add(FILESETS, folded), quick=True)
    assert meta.select(FILESETS, "") == [folded]
    for one in (used, kept):
        meta.write(lambda tx, one=one: tx.add(FILESETS, one), quick=True)  # type: ignore[misc]
    before = (path.with_name(f"{path.name}.journal")).read_bytes()
    meta.write(lambda tx: tx.remove(FILESETS, used.id), quick=True)
    assert (path.with_name(f"{path.name}.journal")).read_bytes() != before, "it went there"
    assert meta.get(FILESETS, used.id) is None
    cut = killed(path, tmp_path / "a")
    meta.write(lambda tx: tx.remove(FILESETS, folded.id), quick=True)
    assert meta.get(FILESETS, folded.id) is None
    assert meta.select(FILESETS, "") == [kept]
    meta.close()
    again = Meta(cut, clock=lambda: NOW)
    assert again.select(FILESETS, "ORDER BY id") == [folded, kept]
    again.close()


def test_reads_by_sql_see_quick_changes(tmp_path: Path) -> None:
    """select, cursors and changes of their own transaction see what waits."""
    meta = started(tmp_path / "m.duckdb")
    one, two = commit(new_commit_id()), commit(new_commit_id(), 2)
    meta.write(put(one), quick=True)
    assert meta.select(COMMITS, "") == [one]
    meta.write(put(two), quick=True)
    seen = meta.write(lambda tx: tx.select(COMMITS, "ORDER BY seq"), solo=True)
    assert seen == [one, two]
    meta.close()


def test_what_is_folded_in_is_not_made_again(tmp_path: Path) -> None:
    """Lines that stay in the file behind a folding do not undo what came after it, and a line
    that is not whole ends the journal."""
    path = tmp_path / "m.duckdb"
    meta = started(path)
    one, two = commit(new_commit_id()), commit(new_commit_id(), 2)
    meta.write(put(one), quick=True)
    meta.write(lambda tx: tx.put(COMMITS, replace(one, size=7)))
    cut = killed(path, tmp_path / "a")
    meta.write(put(two), quick=True)
    torn = killed(path, tmp_path / "b")
    meta.close()
    again = Meta(cut, clock=lambda: NOW)
    assert again.select(COMMITS, "") == [replace(one, size=7)]
    again.close()

    journal = torn.with_name(f"{torn.name}.journal")
    data = bytearray(journal.read_bytes())
    data[data.index(b"\n") - 1] ^= 1
    journal.write_bytes(data)
    torn.with_name(f"{torn.name}.seen").unlink()  # it would tell, as it should
    left = Meta(torn, clock=lambda: NOW)
    assert left.select(COMMITS, "") == [replace(one, size=7)]
    left.close()


def test_a_damaged_line_before_the_last_is_refused(tmp_path: Path) -> None:
    """A crash tears the last line only. Writes into an open commit have no event whose number
    would tell that they are gone."""
    path = tmp_path / "m.duckdb"
    meta = started(path)
    one = commit(new_commit_id())
    meta.write(put(one), quick=True)
    meta.write(lambda tx: tx.put(COMMITS, replace(one, size=6)), quick=True)
    meta.write(lambda tx: tx.put(COMMITS, replace(one, size=7)), quick=True)
    cut = killed(path, tmp_path / "a")
    meta.close()
    journal = cut.with_name(f"{cut.name}.journal")
    data = bytearray(journal.read_bytes())
    first = data.index(b"\n")
    data[data.index(b"\n", first + 1) - 1] ^= 1
    journal.write_bytes(data)
    with pytest.raises(Corrupt, match="journal is damaged"):
        Meta(cut, clock=lambda: NOW)
    journal.unlink()
    cut.with_name(f"{cut.name}.seen").unlink()
    Meta(cut, clock=lambda: NOW).close()


class Torn:
    """A connection whose next commit is durable, and fails."""

    def __init__(self, con: Any) -> None:
        self._con = con

    def execute(self, sql: str, *more: Any) -> Any:
        done = self._con.execute(sql, *more)
        if sql == "COMMIT":
            raise duckdb.FatalException("could not sync")
        return done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._con, name)


def test_a_folding_that_is_durable_and_failed_is_done(tmp_path: Path) -> None:
    """What follows in the journal waits for the next one: it is there after a kill."""
    path = tmp_path / "m.duckdb"
    meta = started(path)
    one, two, three = (commit(new_commit_id(), seq) for seq in (1, 2, 3))
    meta.write(put(one), quick=True)
    meta.db.writer = Torn(meta.db.writer)  # type: ignore[assignment]
    meta.write(put(two))
    meta.write(put(three), quick=True)
    cut = killed(path, tmp_path / "a")
    assert meta.select(COMMITS, "ORDER BY seq") == [one, two, three]
    meta.close()
    again = Meta(cut, clock=lambda: NOW)
    assert again.select(COMMITS, "ORDER BY seq") == [one, two, three]
    again.close()


def test_while_nothing_can_be_brought_in(tmp_path: Path) -> None:
    """What waits is told apart; a change that reads by SQL fails sooner than it misses it."""
    path = tmp_path / "m.duckdb"
    meta = started(path)
    one = commit(new_commit_id())
    meta.write(put(one), quick=True)
    con = meta.db.writer
    tries: list[str] = []

    class Full(Torn):
        def execute(self, sql: str, *more: Any) -> Any:
            if sql == "COMMIT":
                tries.append(sql)
                raise duckdb.IOException("No space left on device")
            return self._con.execute(sql, *more)

    meta.db.writer = Full(con)  # type: ignore[assignment]
    assert meta.select(COMMITS, "") == meta.select(COMMITS, "") == []
    assert len(tries) == 1
    assert meta.waiting(COMMITS) == [one]
    with pytest.raises(Exhausted):
        meta.fold()
    with pytest.raises(Exhausted):
        meta.write(lambda tx: tx.select(COMMITS, ""), solo=True)
    meta.db.writer = con
    assert meta.write(lambda tx: tx.select(COMMITS, ""), solo=True) == [one]
    assert meta.waiting(COMMITS) == []
    meta.close()
