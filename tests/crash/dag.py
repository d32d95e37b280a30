"""Ten pipelines on two inputs, a client that keeps feeding them, and what must come of it."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import duckdb

from pachybox.client import Client
from pachybox.errors import NotReady, Unreachable
from tests.boxes import RealBox
from tests.flow.invariants import CHECKS, Facts, fsck_is_clean
from tests.flow.judge import Judge, Line
from tests.flow.oracle import Leaf, Plan

INPUTS = ("in0", "in1")
NAMES = tuple(f"{letter}{digit}" for letter in "ab" for digit in range(4))
MOST_OPEN = 30  # jobs that wait; a client that meets more of them waits too


def _plan(tag: str, kind: str, *leaves: Leaf) -> Plan:
    return Plan(tag, kind, leaves, tolerant=True, tries=20)


# A chain (p0 p2 p4 p7 p9), a fan-out (p2, p3 of p0), and what brings several together.
DAG = {
    "p0": _plan("p0", "pfs", Leaf("in0")),
    "p1": _plan("p1", "pfs", Leaf("in1", glob="/")),
    "p2": _plan("p2", "pfs", Leaf("p0")),
    "p3": _plan("p3", "pfs", Leaf("p0", glob="/")),
    "p4": _plan("p4", "pfs", Leaf("p2")),
    "p5": _plan("p5", "join", Leaf("in0"), Leaf("in1")),
    "p6": _plan("p6", "cross", Leaf("p1"), Leaf("in1")),
    "p7": _plan("p7", "union", Leaf("p4"), Leaf("p3")),
    "p8": _plan("p8", "group", Leaf("in0"), Leaf("in1")),
    "p9": _plan("p9", "pfs", Leaf("p7", glob="/")),
}


def downstream(repo: str) -> set[str]:
    """The pipelines that a commit to ``repo`` makes run."""
    found = {repo}
    for name, plan in DAG.items():
        if any(leaf.repo in found for leaf in plan.leaves):
            found.add(name)
    return found - {repo}


def prepare(client: Client, runs: Path) -> None:
    """Make the inputs, with a file each, and the pipelines."""
    for repo in INPUTS:
        client.create_repo(repo)
        client.put_file(f"{repo}@master:/{NAMES[0]}", b"first\n")
    for name, plan in DAG.items():
        client.create_pipelines(plan.spec(name, runs))


class Feeder:
    """A thread that commits to the inputs until it is stopped, box or no box."""

    def __init__(self, box: RealBox, seed: int, most_open: int = MOST_OPEN) -> None:
        self._box = box
        self._most_open = most_open
        self._draw = random.Random(seed)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it; raises what broke it."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the client hangs"
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                client = Client(str(self._box.socket), patience_s=0)
                try:
                    while not self._stop.is_set():
                        self._feed(client)
                except (Unreachable, NotReady):
                    self._stop.wait(0.02)  # the box is dead; look again
                finally:
                    client.close()
        except BaseException as e:
            self._error = e

    def _feed(self, client: Client) -> None:
        if sum(not job.done for job in client.list_job(number=10 * MOST_OPEN)) > self._most_open:
            self._stop.wait(0.02)  # for the box to catch up
            return
        with client.put(f"{self._draw.choice(INPUTS)}@master") as put:
            for name in self._draw.sample(NAMES, self._draw.randint(1, 4)):
                if self._draw.random() < 0.2:
                    put.delete(f"/{name}")
                else:
                    word = self._draw.choice(("fast", "slow"))
                    put.data(f"/{name}", f"{word} {self._draw.randint(0, 99)}\n".encode())


def check_all(box: RealBox, runs: Path) -> Judge:
    """Nothing is stuck, every job of every input commit is there and succeeded, and the output
    of each is what its program makes of what it read."""
    facts = Facts.of(box.client)
    for check in CHECKS:
        check(facts)
    states = {(job.state, job.reason) for job in facts.jobs.values()}
    assert states == {("JOB_SUCCESS", "")}, states
    for commit in facts.commits.values():
        if commit.repo in INPUTS and commit.parent:  # the first was there before the pipelines
            missing = {f"{p}@{commit.id}" for p in downstream(commit.repo)} - set(facts.jobs)
            assert not missing, f"{commit} made no {missing}"
    judge = Judge(runs)
    for name, plan in DAG.items():
        judge.lines[name] = Line()
        judge.lines[name].version(plan, reprocess=False)
    judge.all(box.client, facts)
    fsck_is_clean(box.client)
    return judge


def check_rows(home: Path) -> None:
    """In the metadata of a box that is down, a datum of a job is one row, and the rows of a job
    are as many as it says."""
    with duckdb.connect(str(home / "meta.duckdb"), read_only=True) as db:
        twice = db.execute(
            "SELECT pipeline, job, id, count(*) FROM datums GROUP BY ALL HAVING count(*) > 1"
        ).fetchall()
        assert twice == [], twice
        wrong = db.execute(
            "SELECT j.pipeline, j.id, j.processed, count(d.id) FROM jobs j LEFT JOIN datums d "
            "ON d.pipeline = j.pipeline AND d.job = j.id AND d.state = 'SUCCESS' "
            "GROUP BY ALL HAVING count(d.id) <> j.processed"
        ).fetchall()
        assert wrong == [], wrong


def replay(box: RealBox, other: RealBox) -> None:
    """Make the inputs of ``other`` those of ``box``, commit by commit, then its pipelines."""
    for repo in INPUTS:
        other.client.create_repo(repo)
        commits = [c for c in box.client.list_commit(repo, all=True) if c.finished]
        for commit in reversed(commits):
            with other.client.put(f"{repo}@master") as put:
                put.delete("/")
                for file in box.client.walk_file(f"{commit}:/"):
                    if not file.is_dir:
                        put.data(file.path, box.client.get_file(f"{commit}:{file.path}"))
