"""The newest jobs in memory: what the database says, whatever was published in between."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from pachybox.meta.tables import JOBS, PIPELINES
from pachybox.meta.tx import Tx
from pachybox.meta.writer import utc_now
from pachybox.model.ids import CommitId, Job, Pipeline
from pachybox.model.pps import JobRecord, JobState
from pachybox.pps.newest import LATEST, Newest
from tests.unit.pps.world import opened

OVER = (JobState.SUCCESS, JobState.FAILURE, JobState.KILLED)


def a_job(pipeline: str, number: int, state: JobState) -> JobRecord:
    job = Job(Pipeline("default", pipeline), CommitId(f"{number:032x}"))
    return JobRecord(job, 1, state, "", utc_now(), None, None)


def test_it_follows_what_is_published(tmp_path: Path) -> None:
    picks = random.Random(3)
    with opened(tmp_path) as pfs:
        newest = Newest(pfs.meta)
        newest.follow()
        held: list[JobRecord] = []

        def step(tx: Tx) -> None:
            for _ in range(picks.randrange(1, 6)):
                kind = picks.random()
                if held and kind < 0.3:
                    number = picks.randrange(len(held))
                    old = held[number]
                    state = picks.choice(OVER)
                    held[number] = JobRecord(old.job, 1, state, "", old.created, None, tx.now)
                    tx.put(JOBS, held[number])
                elif held and kind < 0.4:
                    tx.remove(JOBS, held.pop(picks.randrange(len(held))).job)
                else:
                    name = f"p{picks.randrange(5)}"
                    made = a_job(name, picks.getrandbits(60), JobState.CREATED)
                    held.append(made)
                    tx.put(JOBS, made)

        for number in range(150):
            pfs.meta.write(step)
            if number % 3:
                continue
            last, told, jobs = newest.look()
            fresh = Newest(pfs.meta).look()
            assert last == fresh[0]
            assert told == fresh[1]
            assert jobs == fresh[2]
            assert sum(job.state.terminal for job in jobs) <= LATEST
        assert len(held) > 4 * LATEST


def test_a_look_asks_the_database_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as pfs:
        newest = Newest(pfs.meta)
        newest.follow()
        made = [a_job("p", n, JobState.SUCCESS) for n in range(300)]

        def write(tx: Tx) -> None:
            for job in made:
                tx.put(JOBS, job)

        pfs.meta.write(write)
        newest.look()

        def refuse(*_: Any) -> list[tuple[Any, ...]]:
            raise AssertionError("the database was asked")

        with monkeypatch.context() as patch:
            patch.setattr(pfs.meta.db, "read", refuse)
            pfs.meta.write(lambda tx: tx.put(JOBS, a_job("p", 999, JobState.CREATED)))
            last, told, jobs = newest.look()
        assert last[Pipeline("default", "p")].job.id == f"{999:032x}"
        assert told[Pipeline("default", "p")] == made[-1]
        assert jobs[0].state is JobState.CREATED
        assert jobs[1:] == made[:-51:-1]
        newest.reset()
        assert newest.look() == (last, told, jobs)
        pfs.meta.write(lambda tx: tx.remove(PIPELINES, Pipeline("default", "p")))
        assert newest.look()[:2] == ({}, {})
