"""The metadata writer: transactions, groups, memory and database telling the same story."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pachybox.errors import Exhausted, NotReady, Refused
from pachybox.meta import writer
from pachybox.meta.apply import Staged
from pachybox.meta.connect import migrations
from pachybox.meta.folding import Folding
from pachybox.meta.tables import BRANCHES, COMMITS, REPOS
from pachybox.meta.tx import Tx
from pachybox.meta.writer import Meta
from pachybox.model.ids import Branch, Commit, Hash, Repo, new_commit_id
from pachybox.model.pfs import BranchRecord, CommitRecord, Origin, RepoRecord, Trigger

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)


def repo(name: str, description: str = "") -> RepoRecord:
    return RepoRecord(Repo("default", name), description, NOW, {"k": "ü"})


def commit(name: str, seq: int = 1) -> CommitRecord:
    home = Repo("default", name)
    return CommitRecord(
        Commit(home, new_commit_id()), "master", None, Origin.USER, "", seq, NOW, None, "",
        Hash(b"r" * 32), 5, 1, ((Branch(home, "up"), new_commit_id()),),
    )  # fmt: skip


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Meta]:
    made = Meta(tmp_path / "m.duckdb", clock=lambda: NOW)
    yield made
    made.close()


def test_what_is_written_is_there_after_reopening(tmp_path: Path) -> None:
    """Records of every kind of column come back equal."""
    meta = Meta(tmp_path / "m.duckdb", clock=lambda: NOW)
    one, two = repo("r"), commit("r")
    branch = BranchRecord(
        Branch(one.repo, "b"), two.commit.id, (Branch(one.repo, "up"),), NOW, NOW,
        Trigger("up", size="1MB", commits=2, all=True), quiet=(Branch(one.repo, "up"),),
    )  # fmt: skip

    def change(tx: Tx) -> None:
        tx.put(REPOS, one)
        tx.add(COMMITS, two)
        tx.put(BRANCHES, branch)
        tx.event("repo.created", repo="r")

    meta.write(change)
    meta.close()
    meta = Meta(tmp_path / "m.duckdb")
    assert meta.get(REPOS, one.repo) == one
    assert meta.get(COMMITS, two.commit) == two
    assert meta.get(BRANCHES, branch.branch) == branch
    assert [(e.seq, e.kind, e.data) for e in meta.events(0)] == [(1, "repo.created", {"repo": "r"})]
    meta.close()


def test_a_change_that_raises_leaves_nothing_and_its_neighbours_alone(meta: Meta) -> None:
    """Many changes in one group: the failing ones fail alone."""
    gate = threading.Event()

    def hold(tx: Tx) -> None:
        gate.wait(10)

    def change(n: int) -> str:
        def run(tx: Tx) -> str:
            tx.put(REPOS, repo(f"r{n}"))
            if n % 3 == 0:
                raise ValueError(f"no {n}")
            return f"r{n}"

        try:
            return meta.write(run)
        except ValueError as e:
            return str(e)

    with ThreadPoolExecutor(31) as pool:
        first = pool.submit(meta.write, hold)
        rest = [pool.submit(change, n) for n in range(30)]
        gate.set()
        first.result()
        answers = [f.result() for f in rest]
    assert answers == [f"no {n}" if n % 3 == 0 else f"r{n}" for n in range(30)]
    names = {r.repo.name for r in meta.all(REPOS)}
    assert names == {f"r{n}" for n in range(30) if n % 3}
    assert {row[0] for row in meta.db.read("SELECT name FROM repos")} == names


def test_changes_of_one_group_see_each_other(meta: Meta) -> None:
    """A hundred threads count one record up: no update is lost."""

    def count(tx: Tx) -> None:
        old = tx.get(REPOS, Repo("default", "n"))
        tx.put(REPOS, repo("n", str(int(old.description) + 1 if old else 1)))

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: meta.write(count), range(100)))
    found = meta.get(REPOS, Repo("default", "n"))
    assert found is not None
    assert found.description == "100"


def test_put_remove_and_put_again_in_one_change(meta: Meta) -> None:
    def change(tx: Tx) -> None:
        tx.put(REPOS, repo("a", "1"))
        tx.remove(REPOS, Repo("default", "a"))
        assert tx.get(REPOS, Repo("default", "a")) is None
        tx.put(REPOS, repo("a", "2"))

    meta.write(change)
    assert meta.db.read("SELECT name, description FROM repos") == [("a", "2")]
    meta.write(lambda tx: tx.remove(REPOS, Repo("default", "a")))
    assert meta.all(REPOS) == []
    assert meta.db.read("SELECT count(*) FROM repos") == [(0,)]


def test_a_solo_change_selects_what_it_staged(meta: Meta) -> None:
    """SQL sees the durable rows, ``also`` the staged ones; removed ones are left out."""
    old, gone, new = commit("r", 1), commit("r", 2), commit("r", 3)

    def fill(tx: Tx) -> None:
        tx.add(COMMITS, old)
        tx.add(COMMITS, gone)

    meta.write(fill)

    def change(tx: Tx) -> list[int]:
        tx.remove(COMMITS, gone.commit)
        tx.add(COMMITS, new)
        found = tx.select(COMMITS, "WHERE repo = 'r'", also=lambda c: c.commit.repo.name == "r")
        return sorted(c.seq for c in found)

    assert meta.write(change, solo=True) == [1, 3]


def test_content_is_durable_before_it_is_named(tmp_path: Path) -> None:
    """The barrier runs before the commit; when it fails nothing is named."""
    calls: list[str] = []
    full = threading.Event()

    def barrier() -> None:
        calls.append("synced")
        if full.is_set():
            raise OSError(28, "No space left on device")

    meta = Meta(tmp_path / "m.duckdb", barrier=barrier)
    meta.write(lambda tx: tx.put(REPOS, repo("a")))
    assert calls == ["synced"]
    full.set()
    with pytest.raises(Exhausted, match="no space left"):
        meta.write(lambda tx: tx.put(REPOS, repo("b")))
    full.clear()
    assert [r.repo.name for r in meta.all(REPOS)] == ["a"]
    meta.write(lambda tx: tx.put(REPOS, repo("c")))
    assert [r.repo.name for r in meta.all(REPOS)] == ["a", "c"]
    meta.close()


def test_events_are_numbered_waited_for_and_pruned(meta: Meta) -> None:
    seen = meta.last_event
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(meta.wait_change, seen, 30.0)
        for i in range(20):
            meta.write(lambda tx, i=i: tx.event("x.happened", i=i))  # type: ignore[misc]
        assert waiting.result() > seen
    assert [e.seq for e in meta.events(5, 3)] == [6, 7, 8]
    assert meta.prune_events(4) == 16
    assert meta.first_event() == 17
    assert meta.last_event == 20


def test_only_one_process_and_no_newer_schema(tmp_path: Path, meta: Meta) -> None:
    newer = tmp_path / "newer.duckdb"
    con = duckdb.connect(str(newer))
    con.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
    con.execute("INSERT INTO schema_version VALUES (9999)")
    con.close()
    with pytest.raises(Refused, match="schema version 9999"):
        Meta(newer)


def test_a_closed_box_takes_no_changes(tmp_path: Path) -> None:
    meta = Meta(tmp_path / "m.duckdb")
    meta.close()
    meta.close()
    with pytest.raises(NotReady):
        meta.write(lambda tx: None)


def test_changes_nobody_waits_for_are_written_with_the_next_that_somebody_does(
    tmp_path: Path,
) -> None:
    """Three and one are one transaction: content is made durable once."""
    flushed: list[int] = []
    meta = Meta(tmp_path / "m.duckdb", barrier=lambda: flushed.append(1))
    busy, free = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        busy.set()
        free.wait()

    def last(tx: Tx) -> int:
        tx.put(REPOS, repo("last"))
        return len(tx.all(REPOS))

    with ThreadPoolExecutor(2) as pool:
        pool.submit(meta.write, hold)
        busy.wait()
        futures = [meta.later(lambda tx, n=n: tx.put(REPOS, repo(f"r{n}"))) for n in range(3)]
        seen = pool.submit(meta.write, last)
        while meta._queue.qsize() < 4:
            time.sleep(0.001)
        free.set()
        assert seen.result() == 4  # it saw those before it
    assert all(f.done() for f in futures)
    assert len(flushed) == 1
    meta.close()


def test_a_change_nobody_waits_for_is_durable_without_company(tmp_path: Path) -> None:
    """It needs no other change, nor does it get lost when the box stops before its time."""
    meta = Meta(tmp_path / "m.duckdb")
    meta.later(lambda tx: tx.put(REPOS, repo("alone"))).result(timeout=30)
    last = meta.later(lambda tx: tx.put(REPOS, repo("closing")))
    meta.close()
    last.result(timeout=0)
    with pytest.raises(NotReady):
        meta.later(lambda tx: None)
    meta = Meta(tmp_path / "m.duckdb")
    assert {r.repo.name for r in meta.all(REPOS)} == {"alone", "closing"}
    meta.close()


def test_a_change_that_fails_later_takes_no_other_along(meta: Meta) -> None:
    """Its future tells; what came with it, before and after, stands. A solo change waits."""

    def fail(tx: Tx) -> None:
        tx.put(REPOS, repo("bad"))
        raise Refused("no")

    good = meta.later(lambda tx: tx.put(REPOS, repo("good")))
    bad = meta.later(fail)
    seen = meta.write(lambda tx: tx.select(COMMITS, "WHERE seq > 0"), solo=True)
    assert seen == []
    good.result(timeout=0)
    with pytest.raises(Refused):
        bad.result(timeout=0)
    assert {r.repo.name for r in meta.all(REPOS)} == {"good"}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_records_not_read_before_are_replaced_or_made(tmp_path: Path, count: int) -> None:
    """After a start the writer does not know which rows there are."""
    old, new = [commit("r", n) for n in range(count)], [commit("r", 9) for _ in range(count)]
    meta = Meta(tmp_path / "m.duckdb")
    meta.write(lambda tx: [tx.put(COMMITS, c) for c in old])
    meta.close()
    meta = Meta(tmp_path / "m.duckdb")
    changed = [replace(c, size=77) for c in old]
    meta.write(lambda tx: [tx.put(COMMITS, c) for c in changed[:1] + new[:1]])
    meta.write(lambda tx: [tx.put(COMMITS, c) for c in changed + new])
    meta.close()
    meta = Meta(tmp_path / "m.duckdb")
    found = meta.select(COMMITS, "WHERE size >= 0")
    assert sorted(found, key=str) == sorted(changed + new, key=str)


def test_a_box_of_the_first_version_opens_with_all_it_holds(tmp_path: Path) -> None:
    """The later schemas only add: what the first wrote reads as it did."""
    number, first = migrations()[0]
    assert number == 1
    con = duckdb.connect(str(tmp_path / "m.duckdb"))
    con.execute(first)
    con.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
    con.execute("INSERT INTO schema_version VALUES (1)")
    con.execute(
        "INSERT INTO branches VALUES ('default', 'r', 'user', 'b', NULL, "
        """'[["default", "up", "user", "master"]]', '', 7, 8, '{"k": "v"}')"""
    )
    con.close()
    meta = Meta(tmp_path / "m.duckdb", clock=lambda: NOW)
    branch = Branch(Repo("default", "r"), "b")
    up = Branch(Repo("default", "up"), "master")
    found = meta.get(BRANCHES, branch)
    assert found is not None
    assert (found.direct_provenance, found.metadata, found.quiet) == ((up,), {"k": "v"}, ())
    changed = replace(found, quiet=(up,))
    meta.write(lambda tx: tx.put(BRANCHES, changed))
    meta.close()
    meta = Meta(tmp_path / "m.duckdb")
    assert meta.get(BRANCHES, branch) == changed
    meta.close()


@pytest.mark.parametrize("quick", [False, True])
def test_a_long_log_goes_into_the_file_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool
) -> None:
    """Also beside readers who bring in what waits in the journal, by the same connection."""
    meta = Meta(tmp_path / "m.duckdb", clock=lambda: NOW)
    log = tmp_path / "m.duckdb.wal"
    meta.write(lambda tx: tx.put(REPOS, repo("r")))
    meta.checkpoint()
    assert log.stat().st_size > 0, "a short one stays"
    monkeypatch.setattr(writer, "_LOG_BYTES", 1)
    made = [commit("r", n) for n in range(50)]

    def add(some: list[CommitRecord]) -> None:
        for one in some:
            meta.write(lambda tx, one=one: tx.add(COMMITS, one), quick=quick)  # type: ignore[misc]

    with ThreadPoolExecutor(5) as pool:  # beside writers and readers
        parts = [pool.submit(add, made[n::4]) for n in range(4)]
        reads = pool.submit(lambda: [meta.select(COMMITS, "WHERE seq > 5") for _ in range(20)])
        while not all(part.done() for part in parts):
            meta.checkpoint()
        for part in parts:
            part.result()
        reads.result()
    meta.fold()
    meta.checkpoint()
    assert not log.exists() or log.stat().st_size == 0
    assert all(meta.get(COMMITS, one.commit) == one for one in made)
    meta.close()
    meta = Meta(tmp_path / "m.duckdb", clock=lambda: NOW)
    assert sorted(c.seq for c in meta.select(COMMITS, "")) == list(range(50))
    meta.close()


@pytest.mark.parametrize("quick", [False, True], ids=["database", "journal"])
def test_what_sql_has_shown_is_told_by_its_key_too(
    meta: Meta, monkeypatch: pytest.MonkeyPatch, quick: bool
) -> None:
    """A reader comes when a change is durable, and the writer has not published it yet. Nor is
    the key told anything and then less."""
    one, name = commit("r"), "quick" if quick else "write"
    meta.write(lambda tx: tx.put(REPOS, repo("r")))
    meta.write(lambda tx: tx.add(COMMITS, one))
    durable, have_read = getattr(Folding, name), threading.Event()

    def both() -> tuple[list[CommitRecord], CommitRecord | None]:
        found = meta.select(COMMITS, "ORDER BY seq"), meta.get(COMMITS, one.commit)
        have_read.set()
        return found

    def held(*args: Any) -> Any:
        done = durable(*args)
        if threading.current_thread() is meta.thread and not readers:
            told.append(meta.get(COMMITS, one.commit))
            readers.append(pool.submit(both))
            have_read.wait(0.5)  # a reader that waits for the change cannot be seen to wait
            told.append(meta.get(COMMITS, one.commit))
        return done

    readers: list[Future[tuple[list[CommitRecord], CommitRecord | None]]] = []
    told: list[CommitRecord | None] = []
    after = replace(one, finished=NOW)
    monkeypatch.setattr(Folding, name, held)
    with ThreadPoolExecutor(1) as pool:
        meta.write(lambda tx: tx.put(COMMITS, after), quick=quick)
        listed, got = readers[0].result(20)
    assert (listed, got) == ([after], after)
    assert told in ([one, one], [after, after])


def test_an_event_is_told_when_what_follows_from_it_can_be_asked_for(meta: Meta) -> None:
    """Lists in memory are kept by a listener: it is told before anybody hears of the event."""
    meta.write(lambda tx: tx.event("first"))
    told: list[tuple[int, list[str]]] = []

    def listen(staged: Staged) -> None:
        told.append((meta.last_event, [e.kind for e in meta.events(0)]))

    meta.on_publish = listen
    meta.write(lambda tx: tx.event("second"))
    assert told == [(1, ["first"])]
    assert (meta.last_event, [e.kind for e in meta.events(0)]) == (2, ["first", "second"])
