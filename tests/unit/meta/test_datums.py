"""The table of datums: no index keeps it in order, so the writer does, however many there are."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pachybox.errors import Exhausted
from pachybox.meta import connect
from pachybox.meta.connect import migrations
from pachybox.meta.tables import COMMITS, DATUMS, DatumRecord
from pachybox.meta.tx import Tx
from pachybox.meta.writer import Meta
from pachybox.model.ids import Commit, CommitId, Hash, Job, Pipeline, Repo
from pachybox.model.pfs import CommitRecord, Origin
from pachybox.model.pps import DatumState, Stats
from tests.unit.meta.kills import killed

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
TREE = Hash(b"t" * 32)


def digest(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()


def an_id(number: int) -> CommitId:
    return CommitId(digest("job", number)[:32])


def a_job(number: int) -> Job:
    return Job(Pipeline("default", f"p{number % 3}"), an_id(number))


def datum(seq: int, number: int, turn: int = 0) -> DatumRecord:
    return DatumRecord(
        a_job(seq), digest(number), digest(number, seq % 2), DatumState.SUCCESS, "ü", TREE, NOW,
        Stats(process_s=turn), (f"/f{number}",), 1, NOW, 1, turn, seq,
    )  # fmt: skip


def output(seq: int) -> CommitRecord:
    job = a_job(seq)
    return CommitRecord(
        Commit(job.pipeline.repo, job.id), "master", None, Origin.AUTO, "", seq, NOW, None, "",
        TREE, 0, 0, (),
    )  # fmt: skip


def held(meta: Meta) -> dict[Any, DatumRecord]:
    """What the table holds; fails where a key is there twice."""
    rows = meta.select(DATUMS, "")
    found = {DATUMS.key(row): row for row in rows}
    assert len(found) == len(rows)
    return found


def check(meta: Meta, model: dict[Any, DatumRecord]) -> None:
    assert held(meta) == model
    of: dict[str, set[int]] = {}
    for record in model.values():
        of.setdefault(record.hash, set()).add(record.seq)
    for hash_, seqs in of.items():
        assert seqs <= meta.hashes.find([hash_])
    assert set().union(*of.values()) <= meta.hashes.find(list(of))
    assert meta.hashes.find([digest("none")]) == set()


def a_change(picks: random.Random, model: dict[Any, DatumRecord], turn: int, tx: Tx) -> None:
    """Something done to datums, in the table and in the model."""
    for _ in range(picks.choice([1, 2, 4, 5, 40])):
        record = datum(picks.randrange(1, 6), picks.randrange(40), turn)
        key = DATUMS.key(record)
        if picks.random() < 0.3:
            tx.remove(DATUMS, key)
            model.pop(key, None)
        elif key not in model and picks.random() < 0.5:
            tx.add(DATUMS, record)
            model[key] = record
        else:
            tx.put(DATUMS, record)
            model[key] = record


@pytest.mark.parametrize("seed", range(6))
def test_the_table_is_as_a_dict_whatever_is_done(tmp_path: Path, seed: int) -> None:
    """Also over restarts and kills, and wherever the hashes are: waiting or in the index."""
    picks = random.Random(seed)
    model: dict[Any, DatumRecord] = {}
    meta = Meta(tmp_path / "m.duckdb")
    for turn in range(30):
        match picks.randrange(8):
            case 0:
                meta.close()
                meta = Meta(tmp_path / "m.duckdb")
            case 1:
                meta.index_hashes()
            case 2:
                pipeline = a_job(picks.randrange(3)).pipeline
                key = (pipeline.project, pipeline.name)
                meta.write(
                    lambda tx, k=key: tx.purge(DATUMS, "project = ? AND pipeline = ?", k), solo=True
                )
                for gone in [k for k, v in model.items() if v.job.pipeline == pipeline]:
                    del model[gone]
            case _:
                quick = picks.random() < 0.3
                meta.write(partial(a_change, picks, model, turn), quick=quick)
    cut = killed(tmp_path / "m.duckdb", tmp_path / "cut")
    check(meta, model)
    meta.close()
    again = Meta(cut)
    check(again, model)
    again.close()


def test_an_index_of_another_day_or_none_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "m.duckdb"
    meta = Meta(path)
    meta.write(lambda tx: [tx.add(DATUMS, datum(1, n)) for n in range(20)])
    meta.index_hashes()
    meta.close()
    index = path.with_name("m.duckdb.hashes")
    old = index.read_bytes()
    meta = Meta(path)
    meta.write(lambda tx: [tx.add(DATUMS, datum(2, n)) for n in range(20)])
    meta.index_hashes()
    assert meta.db.read("SELECT count(*) FROM datum_hashes") == [(0,)]
    model = held(meta)
    meta.close()
    for left in (old, b"no database", None):
        index.unlink()
        if left is not None:
            index.write_bytes(left)
        meta = Meta(path)
        check(meta, model)
        meta.close()


# ---- boxes from before


def former(path: Path, rows: Iterable[DatumRecord], limit: str = "192MB") -> None:
    """A database as the schema before left it."""
    con = duckdb.connect(str(path), config={"memory_limit": limit, "threads": 2})
    con.execute("CREATE TABLE schema_version (version BIGINT NOT NULL)")
    for number, sql in migrations():
        if number < 13:
            con.execute(sql)
            con.execute("INSERT INTO schema_version VALUES (?)", [number])
    for record in map(output, (1, 2, 3)):
        con.execute(
            f"INSERT INTO commits VALUES ({', '.join('?' * len(COMMITS.columns))})",
            COMMITS.to_row(record),
        )
    appender = con.appender("datums")
    appender.append_rows([DATUMS.to_row(row)[1:] for row in rows])
    appender.flush()
    con.close()


def test_a_box_of_the_former_schema_keeps_its_datums(tmp_path: Path) -> None:
    """Those of jobs whose commit is gone too; and a kill in the middle has it begun again."""
    rows = [datum(seq, n) for seq in (3, 1, 2, 9) for n in range(30)]
    former(tmp_path / "m.duckdb", rows)
    con = duckdb.connect(str(tmp_path / "m.duckdb"))
    con.execute("BEGIN")
    con.execute(dict(migrations())[13])
    path = killed(tmp_path / "m.duckdb", tmp_path / "cut")
    con.close()
    model = {DATUMS.key(r): r for r in (replace(r, seq=r.seq % 9) for r in rows)}
    for _ in range(2):
        meta = Meta(path)
        check(meta, model)
        assert held(meta)[DATUMS.key(datum(2, 7))] == datum(2, 7)
        where = "WHERE seq = 2 AND job = ?"
        assert len(meta.select(DATUMS, where, [a_job(2).id])) == 30
        meta.close()
    meta = Meta(path)
    meta.write(lambda tx: tx.put(DATUMS, datum(2, 7, turn=5)))
    assert held(meta) == model | {DATUMS.key(datum(2, 7)): datum(2, 7, turn=5)}
    meta.close()


def test_datums_of_an_older_extract_are_found(tmp_path: Path) -> None:
    """They come without ``seq``, whose commits are there, and into no index."""
    rows = [datum(seq, n) for seq in (1, 2) for n in range(30)]
    filling = [
        ("commits", COMMITS.columns, [COMMITS.to_row(output(seq)) for seq in (1, 2)]),
        ("datums", DATUMS.columns[1:], [DATUMS.to_row(row)[1:] for row in rows]),
    ]
    meta = Meta(tmp_path / "m.duckdb")
    meta.fill(lambda: None, filling, dict)
    check(meta, {DATUMS.key(row): row for row in rows})
    meta.close()


# ---- memory


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> connect.Room:
    """A tenth of the memory that a box has for its metadata."""
    monkeypatch.setitem(connect._CONFIG, "checkpoint_threshold", "2MB")
    return connect.Room(bytes=19_000_000)


def test_more_datums_than_their_indexes_would_have_memory_for(
    tmp_path: Path, scarce: connect.Room
) -> None:
    """Of the former schema 19 MB took 75,000."""
    meta = Meta(tmp_path / "m.duckdb", room=scarce)
    each = 5_000
    for seq in range(1, 25):
        meta.write(lambda tx, s=seq: [tx.add(DATUMS, datum(s, n)) for n in range(each)])
    meta.index_hashes()
    assert meta.db.read("SELECT count(*), count(DISTINCT seq) FROM datums") == [(24 * each, 24)]
    meta.write(lambda tx: [tx.put(DATUMS, datum(3, n, turn=1)) for n in range(0, each, 7)])
    assert meta.hashes.find([datum(4, 17).hash]) == set(range(2, 25, 2))
    found = meta.db.read("SELECT count(*) FROM datums WHERE seq = 3 GROUP BY tries ORDER BY tries")
    assert found == [(each - 715,), (715,)]
    meta.close()


def test_a_change_for_which_memory_does_not_suffice_takes_nothing_along(
    tmp_path: Path, scarce: connect.Room
) -> None:
    """It is told why, what was there before stays, and what fits goes on."""

    def some(first: int, more: int, tx: Tx) -> None:
        for n in range(first, first + more):
            tx.add(COMMITS, replace(output(n), commit=Commit(Repo("default", "r"), an_id(n))))

    meta = Meta(tmp_path / "m.duckdb", room=scarce)
    count, said = 0, None
    while said is None and count < 1_000_000:
        try:
            meta.write(partial(some, count, 5000))
            count += 5000
        except Exhausted as e:
            said = e
    assert said is not None
    assert "needs more memory than it may have" in said.message
    assert "retention" in said.hint
    assert meta.db.read("SELECT count(*) FROM commits") == [(count,)]
    meta.write(lambda tx: tx.event("small"))
    meta.write(lambda tx: tx.purge(COMMITS, "seq >= ?", [count // 2]), solo=True)
    meta.write(partial(some, count, 100))
    meta.close()
    meta = Meta(tmp_path / "m.duckdb", room=scarce)
    assert meta.db.read("SELECT count(*) FROM commits") == [(count // 2 + 100,)]
    meta.close()
