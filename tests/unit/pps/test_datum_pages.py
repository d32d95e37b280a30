"""Pages of datums: right for every mixture of what was run and what was skipped, at the cost of
the rows that are shown."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pachybox.meta.tables import DATUMS, JOBS, DatumRecord
from pachybox.meta.writer import utc_now
from pachybox.model.files import Edit, Entry, Kind, Put
from pachybox.model.ids import CommitId, Hash, Job, Pipeline, Repo
from pachybox.model.pps import Datum, DatumInput, DatumState, JobRecord, JobState, Stats
from pachybox.pfs.service import Pfs
from pachybox.pps import meta_file
from pachybox.pps.bench import Running
from pachybox.pps.datum_pages import STATES, DatumPages, Live
from pachybox.pps.job_pages import page_of_jobs
from pachybox.pps.timing import SPANS, timing
from pachybox.store.trees import EMPTY
from tests.unit.pps.world import opened

PIPELINE = Pipeline("default", "p")


def an_id(number: int) -> str:
    """Ids are hashes: their order tells nothing of that of the paths."""
    return f"{(number * 2654435761) % (1 << 32):064x}"


def directory(pfs: Pfs, number: int) -> Hash:
    of = Repo("default", "in")
    inputs = DatumInput(
        "in", of.project, of.name, "master", CommitId("c"), f"/f{number}", EMPTY, 1, False
    )
    datum = Datum(an_id(number), f"h{number}", (inputs,))
    text = meta_file.write(datum, CommitId("0" * 32), DatumState.SUCCESS, "", Stats())
    with pfs.blobs.session() as session:
        meta = Entry("meta", Kind.FILE, session.put(text), len(text))
        root = pfs.trees.edit(EMPTY, [Put("/meta", meta)], session.put)
        session.keep()
    return root


def tree(pfs: Pfs, numbers: range, made: Callable[[int], Hash]) -> Hash:
    edits: list[Edit] = [Put(f"/{an_id(n)}", Entry("d", Kind.DIR, made(n), 0, 1)) for n in numbers]
    with pfs.blobs.session() as session:
        root = pfs.trees.edit(EMPTY, edits, session.put)
        session.keep()
    return root


def a_job(pfs: Pfs, number: int, total: int, ran: dict[int, DatumState]) -> JobRecord:
    """A job that is over, of datums 0 to ``total``, of which it ran some; the n-th took n ms."""
    shared = directory(pfs, 0)
    root = tree(pfs, range(total), lambda n: directory(pfs, n) if total < 100 else shared)
    job = Job(PIPELINE, CommitId(f"{number:032x}"))
    now = utc_now()
    counted = {s: sum(1 for state in ran.values() if state is s) for s in DatumState}
    record = JobRecord(
        job, 1, JobState.SUCCESS, "", now, now, now, total, counted[DatumState.SUCCESS],
        total - len(ran), counted[DatumState.FAILED], counted[DatumState.RECOVERED], datums=root,
    )  # fmt: skip

    def write(tx: Any) -> None:
        tx.put(JOBS, record)
        for n, state in ran.items():
            stats = Stats(process_s=n / 1000)
            tx.add(
                DATUMS,
                DatumRecord(
                    job, an_id(n), f"{n:064x}", state, "", shared, now, stats, (f"/f{n}",), 1, now,
                    n % 2, 1,
                ),
            )  # fmt: skip

    pfs.meta.write(write)
    return record


@contextmanager
def counted(pfs: Pfs, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The rows that the database gave, one number a query."""
    rows: list[int] = []
    read = pfs.meta.db.read

    def counting(sql: str, params: Any = ()) -> list[tuple[Any, ...]]:
        found = read(sql, params)
        rows.append(len(found))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(pfs.meta.db, "read", counting)
        yield rows


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_every_page_of_every_mixture(tmp_path: Path, share: float) -> None:
    total, picks = 60, random.Random(7)
    ran = {
        n: picks.choice([DatumState.SUCCESS] * 4 + [DatumState.FAILED, DatumState.RECOVERED])
        for n in range(total)
        if picks.random() < share or share == 1.0
    }
    with opened(tmp_path) as pfs:
        a_job(pfs, 1, total, dict.fromkeys(range(total), DatumState.SUCCESS))
        job = a_job(pfs, 2, total, ran)
        pages = DatumPages(pfs, lambda job: Live((), ()))
        whole = pages.page(job, 0, 1_000)
        assert {r.id for r in whole.rows} == {an_id(n) for n in range(total)}
        assert whole.total == total
        rank = [STATES.index(row.state) for row in whole.rows]
        assert rank == sorted(rank)
        skipped = [row.id for row in whole.rows if row.state == "SKIPPED"]
        assert skipped == sorted(an_id(n) for n in range(total) if n not in ran)
        for reverse in (False, True):
            wanted = whole.rows[::-1] if reverse else whole.rows
            for limit in (1, 7, 60):
                for offset in range(0, total, limit):
                    page = pages.page(job, offset, limit, reverse=reverse)
                    assert page.rows == wanted[offset : offset + limit]
        paths = [int(r.inputs[0][2:]) for r in pages.page(job, 0, 100, sort="input").rows]
        assert paths == sorted(range(total), key=str)
        few = pages.page(job, 3, 4, sort="input", states=["SKIPPED"], search="f2")
        twenties = [n for n in sorted(range(total), key=str) if str(n)[0] == "2" and n not in ran]
        assert [r.inputs for r in few.rows] == [(f"/f{n}",) for n in twenties[3:7]]
        for word in ("f1", "/f59", an_id(3)[:20], "f"):
            found = pages.page(job, 0, 100, search=word)
            hits = {an_id(n) for n in range(total) if word in f"/f{n}" or an_id(n).startswith(word)}
            assert {row.id for row in found.rows} == hits
            assert found.total == len(hits)


def test_a_page_costs_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as pfs:
        pages = DatumPages(pfs, lambda job: Live((), ()))
        costs = []
        for number, total in ((1, 200), (2, 6_000)):
            ran = dict.fromkeys(range(total), DatumState.SUCCESS)
            ran[3] = ran[5] = DatumState.FAILED
            job = a_job(pfs, number, total, ran)
            for offset in (0, total // 2, total - 20):
                with counted(pfs, monkeypatch) as rows:
                    page = pages.page(job, offset, 20)
                    assert len(page.rows) == 20
                    costs.append(sum(rows))
            with counted(pfs, monkeypatch) as rows:
                assert pages.page(job, 0, 20, states=["FAILED"]).total == 2
                assert sum(rows) <= 10
            with counted(pfs, monkeypatch) as rows:
                shown = timing(pfs, pages, job, ())
                assert sum(len(one.spans) for one in shown.workers) == min(total, SPANS)
                assert sum(rows) <= SPANS + 10
        assert max(costs) <= 30, costs


def test_what_was_compared_with_a_tree_is_not_compared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as pfs:
        pages = DatumPages(pfs, lambda job: Live((), ()))
        a_job(pfs, 1, 3_000, dict.fromkeys(range(3_000), DatumState.SUCCESS))
        job = a_job(pfs, 2, 3_000, dict.fromkeys(range(0, 3_000, 2), DatumState.SUCCESS))
        first = pages.page(job, 2_500, 20)
        with counted(pfs, monkeypatch) as rows:
            assert pages.page(job, 2_500, 20) == first
            assert sum(rows) <= 10


def test_rows_of_a_job_that_runs(tmp_path: Path) -> None:
    with opened(tmp_path) as pfs:
        done = a_job(pfs, 1, 5, {0: DatumState.SUCCESS, 1: DatumState.FAILED})
        job = JobRecord(
            done.job, 1, JobState.RUNNING, "", done.created, done.started, None, 20, 1, 4, 1
        )

        def datum(n: int) -> Datum:
            one = DatumInput(
                "in", "default", "in", "master", CommitId("c"), f"/f{n}", EMPTY, 1, False
            )
            return Datum(an_id(n), f"{n:064x}", (one,))

        now = utc_now().timestamp()
        live = Live(
            [Running(datum(11), now - 5, 1, 2), Running(datum(10), now - 60, 0)],
            [datum(12), datum(13)],
        )
        pages = DatumPages(pfs, lambda job: live)
        page = pages.page(job, 0, 100)
        assert page.counts == {
            "FAILED": 1, "RUNNING": 2, "WAITING": 12, "SUCCESS": 1, "SKIPPED": 4,
        }  # fmt: skip
        states = [row.state for row in page.rows]
        assert states == ["FAILED", "RUNNING", "RUNNING", "WAITING", "WAITING", "SUCCESS"]
        assert page.total == 6
        oldest, newer = page.rows[1:3]
        assert (oldest.inputs, oldest.worker, newer.tries) == (("/f10",), 0, 2)
        assert 59 <= oldest.stats.process_s <= 70
        assert [r.inputs for r in pages.page(job, 0, 9, search="/f12").rows] == [("/f12",)]
        spans = {s.datum: s for w in timing(pfs, pages, job, live.running).workers for s in w.spans}
        assert spans[an_id(10)].state == "RUNNING"


def test_pages_of_jobs_cost_what_they_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as pfs:

        def write(tx: Any) -> None:
            for n in range(500):
                job = Job(PIPELINE, CommitId(f"{n:032x}"))
                tx.put(JOBS, JobRecord(job, 1, JobState.SUCCESS, "", tx.now, None, None, n))

        pfs.meta.write(write)
        with counted(pfs, monkeypatch) as rows:
            total, found = page_of_jobs(pfs.meta, PIPELINE, 490, 20, sort="total")
            assert (total, [job.total for job in found]) == (500, list(range(9, -1, -1)))
            total, found = page_of_jobs(pfs.meta, None, 495, 20, sort="total", reverse=True)
            assert [job.total for job in found] == list(range(495, 500))
            assert sum(rows) <= 20
