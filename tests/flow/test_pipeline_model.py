"""A long random walk over pipelines: whatever is done in whatever order, the invariants hold."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pachybox.client import Client
from pachybox.errors import InvalidArgument, NotFound, Refused
from tests.boxes import RealBox, eventually
from tests.flow.invariants import CHECKS, Facts, fsck_is_clean
from tests.flow.judge import Judge, Line
from tests.flow.oracle import Leaf, Plan

STEPS = 200
INPUTS = ("in0", "in1")
PIPELINES = tuple(f"p{i}" for i in range(5))
NAMES = tuple(f"{letter}{digit}" for letter in "ab" for digit in range(3))
WORDS = ("one", "two", "three", "four", "five", "slow", "bad")


class Walk:
    """Steps on one box. What a step does is drawn from the seed and its number alone; a step
    that the box refuses, as the state it meets is not fit for it, is a step too."""

    def __init__(self, box: RealBox, runs: Path, seed: int) -> None:
        self.box = box
        self.seed = seed
        self.runs = runs
        self.judge = Judge(runs)
        self.truth: dict[str, dict[str, str]] = {}  # "repo@commit" -> files
        self.by_hand: set[str] = set()
        self.done: list[str] = []
        self.tags = 0
        self.draw = random.Random(seed)

    @property
    def client(self) -> Client:
        return self.box.client

    def prepare(self) -> None:
        """Two input repos, and pipelines."""
        self.runs.mkdir()
        for repo in INPUTS:
            self.client.create_repo(repo)
        for name in PIPELINES:
            self.put()
            self.create(name)

    def step(self, number: int) -> None:
        """One step, and a look at everything after some."""
        self.draw = random.Random(f"{self.seed}:{number}")
        steps: list[tuple[int, Callable[[], None]]] = [
            (24, self.put), (6, self.delete_file), (10, self.create), (8, self.update),
            (4, self.stop), (6, self.start), (4, self.rerun), (3, self.run_on_older),
            (3, self.delete), (3, self.stop_job), (2, self.delete_job), (4, self.move_branch),
            (3, self.delete_commit), (3, self.squash), (2, self.drop), (3, self.open_commit),
            (2, self.open_both), (9, self.finish_commit), (2, self.set_trigger), (3, self.kill),
            (1, self.collect),
        ]  # fmt: skip
        chosen = self.draw.choices([s for _, s in steps], [w for w, _ in steps])[0]
        self.done.append(chosen.__name__)
        settle = self.draw.random() < 0.4
        try:
            chosen()
        except (Refused, NotFound) as e:
            self.done[-1] += f" -> {e.message}"
        if settle:
            self.settle()

    def say(self, what: str) -> None:
        """Remember what a step did."""
        self.done[-1] += f" {what}"

    # ---- looking

    def facts(self) -> Facts:
        facts = Facts.of(self.client)
        facts.by_hand = self.by_hand
        return facts

    def settle(self) -> Facts:
        """Wait until nothing can go on, then look at everything."""
        self.done.append("settle")
        found: list[Facts] = []

        def quiet() -> bool:
            if self.client.status().jobs_running:
                return False
            found[:] = [self.facts()]
            return not list(found[0].waiting())

        try:
            eventually(quiet, "every job that can go on has ended", 30)
        except AssertionError as e:
            stuck = [(str(job), job.state) for job in self.facts().waiting()]
            raise AssertionError(f"{e}: {stuck}") from None
        facts = found[0]
        for check in CHECKS:
            check(facts)
        self.judge.all(self.client, facts)
        for repo in INPUTS:
            branch = facts.branches.get(f"{repo}@master")
            if branch is not None and branch.head:
                name = f"{repo}@{branch.head}"
                if facts.commits[name].finished is not None:
                    assert self.judge.files(self.client, name) == self.truth[name], name
        return facts

    # ---- data

    def files_at(self, ref: str) -> dict[str, str]:
        """What must be in a commit of an input."""
        try:
            commit = self.client.inspect_commit(ref)
        except NotFound:
            return {}
        return self.truth[str(commit)]

    def put(self) -> None:
        repo = self.draw.choice(INPUTS)
        names = self.draw.sample(NAMES, self.draw.randint(1, 3))
        texts = {n: f"{self.draw.choice(WORDS)} {self.draw.randint(0, 9)}\n" for n in names}
        before = self.files_at(f"{repo}@master")
        with self.client.put(f"{repo}@master") as put:
            for name, text in texts.items():
                put.data(f"/{name}", text.encode())
        assert put.result is not None
        self.truth[f"{repo}@{put.result.commit}"] = {**before, **texts}

    def delete_file(self) -> None:
        repo, name = self.draw.choice(INPUTS), self.draw.choice(NAMES)
        before = dict(self.files_at(f"{repo}@master"))
        if not before:
            return
        self.client.delete_file(f"{repo}@master:/{name}")
        before.pop(name, None)
        self.truth[str(self.client.inspect_commit(f"{repo}@master"))] = before

    def open_commit(self) -> None:
        repo = self.draw.choice(INPUTS)
        before = self.files_at(f"{repo}@master")
        id_ = self.client.start_commit(f"{repo}@master")
        self.truth[f"{repo}@{id_}"] = dict(before)

    def open_both(self) -> None:
        """A commit of both inputs in one transaction: one id, one job of what reads both."""
        before = {repo: self.files_at(f"{repo}@master") for repo in INPUTS}
        id_ = self.client.start_transaction()
        try:
            with Client(str(self.box.socket), transaction_id=id_) as queue:
                for repo in INPUTS:
                    queue.start_commit(f"{repo}@master")
        except Refused:
            self.client.delete_transaction(id_)
            raise
        self.client.finish_transaction(id_)
        for repo in INPUTS:
            self.truth[f"{repo}@{id_}"] = dict(before[repo])

    def finish_commit(self) -> None:
        self.finish_open(self.draw.choice(INPUTS))

    def finish_open(self, repo: str) -> None:
        """Finish the commits of an input that are open, also where no branch leads."""
        for commit in self.client.list_commit(repo, all=True):
            if commit.finished is None:
                self.client.finish_commit(str(commit))

    def older(self, repo: str) -> str:
        """Some commit of an input, as its id."""
        commits = list(self.client.list_commit(repo))
        place = self.draw.random()
        if not commits:
            raise NotFound(f"{repo} has no commit")
        return commits[int(place * len(commits))].id

    def move_branch(self) -> None:
        """``master`` of an input or a branch that pipelines read goes to some commit."""
        repo, name = self.draw.choice(INPUTS), self.draw.choice(("master", "release", "release"))
        self.client.create_branch(f"{repo}@{name}", head=self.older(repo))

    def set_trigger(self) -> None:
        """The branch that pipelines read follows ``master`` from now on, every so many commits."""
        trigger = {"branch": "master", "commits": self.draw.randint(1, 3)}
        self.client.create_branch(f"{self.draw.choice(INPUTS)}@release", trigger=trigger)

    def delete_commit(self) -> None:
        repo = self.draw.choice(INPUTS)
        self.client.delete_commit(f"{repo}@{self.older(repo)}")

    def squash(self) -> None:
        self.client.squash_commit_set(self.older(self.draw.choice(INPUTS)))

    def drop(self) -> None:
        repo = self.draw.choice(INPUTS)
        self.client.drop_commit(f"{repo}@master", recursive=True)

    # ---- pipelines

    def plan(self, name: str) -> Plan:
        """A new version of a pipeline; it reads inputs and pipelines before it only."""
        self.tags += 1
        sources = [*INPUTS, *PIPELINES[: PIPELINES.index(name)]]
        kind = self.draw.choice(("pfs", "pfs", "pfs", "cross", "union", "join", "group"))
        named = kind in ("join", "group")  # by the names that files of inputs have
        leaves = []
        for repo in self.draw.sample(INPUTS if named else sources, 1 if kind == "pfs" else 2):
            branch = "release" if repo in INPUTS and self.draw.random() < 0.2 else "master"
            glob = "/*" if named else self.draw.choice(("/*", "/*", "/"))
            leaves.append(Leaf(repo, branch, glob))
        recover, tolerant, same = (self.draw.random() < chance for chance in (0.3, 0.5, 0.1))
        return Plan(f"t{self.tags}", kind, tuple(leaves), tolerant, recover, same)

    def create(self, name: str = "") -> None:
        name = name or self.draw.choice(PIPELINES)
        plan = self.plan(name)
        if name in self.judge.lines:
            return
        self.client.create_pipelines(plan.spec(name, self.runs))
        self.judge.lines[name] = Line()
        self.judge.lines[name].version(plan, reprocess=False)
        self.say(f"{name} {plan}")

    def some(self) -> str:
        """A pipeline that exists."""
        place = self.draw.random()
        names = sorted(self.judge.lines)
        if not names:
            raise NotFound("no pipeline")
        name = names[int(place * len(names))]
        self.say(name)
        return name

    def update(self) -> None:
        name = self.some()
        plan, reprocess = self.plan(name), self.draw.random() < 0.4
        self.client.create_pipelines(plan.spec(name, self.runs), update=True, reprocess=reprocess)
        self.judge.lines[name].version(plan, reprocess)
        self.say(f"{plan} {reprocess=}")

    def stop(self) -> None:
        self.client.stop_pipeline(self.some())

    def start(self) -> None:
        self.client.start_pipeline(self.some())

    def rerun(self) -> None:
        name, reprocess = self.some(), self.draw.random() < 0.4
        if reprocess:
            self.settle()  # so that it is known which jobs are of which epoch
        self.client.rerun_pipeline(name, reprocess=reprocess)
        if reprocess:
            self.judge.lines[name].reprocess()

    def run_on_older(self) -> None:
        name, repo = self.some(), self.draw.choice(INPUTS)
        try:
            job = self.client.run_pipeline(name, [f"{repo}@{self.older(repo)}"])
        except InvalidArgument:
            return  # it does not read that repo
        self.by_hand.add(job)

    def delete(self) -> None:
        name, force, keep = self.some(), self.draw.random() < 0.4, self.draw.random() < 0.3
        self.say(f"{force=} {keep=}")
        self.client.delete_pipeline(name, force=force, keep_repo=keep)
        del self.judge.lines[name]
        assert (f"{name}@master" in self.facts().branches) == keep

    def newest_job(self) -> str:
        found = next(iter(self.client.list_job(self.some())), None)
        if found is None:
            raise NotFound("no job")
        return str(found)

    def stop_job(self) -> None:
        self.client.stop_job(self.newest_job())

    def delete_job(self) -> None:
        self.client.delete_job(self.newest_job())

    # ---- the box

    def kill(self) -> None:
        """kill -9; what is quiet is the same afterwards."""
        before = self.settle() if self.draw.random() < 0.3 else None
        self.box.kill()
        self.box.start()
        if before is not None:
            after = self.settle()
            assert after.jobs.keys() == before.jobs.keys()
            for name, job in after.jobs.items():
                # one that waits may be on its way from CREATED to STARTING
                assert job == before.jobs[name] or not (job.done or before.jobs[name].done)
            before.jobs = after.jobs
            assert after == before, "a restart has changed what a quiet box says"

    def collect(self) -> None:
        self.client.collect_garbage()
        fsck_is_clean(self.client)

    def end(self) -> None:
        """Everything started and finished, everything looked at again, and room given back."""
        for repo in INPUTS:
            self.finish_open(repo)
        for name in self.judge.lines:
            try:
                self.client.start_pipeline(name)
            except NotFound:
                pass  # what it reads was deleted
        facts = self.settle()
        assert all(job.done for job in facts.jobs.values())
        self.client.collect_garbage()
        fsck_is_clean(self.client)
        for name, commit in facts.commits.items():
            if name in self.truth:
                assert commit.finished is not None, name
                assert Judge(self.runs).files(self.client, name) == self.truth[name]
        self.client.delete_pipelines(force=True)
        self.client.delete_repos(force=True)
        facts = Facts.of(self.client)
        assert [facts.repos, facts.pipelines, facts.jobs] == [[], {}, {}], "something was left"
        self.client.collect_garbage()
        fsck_is_clean(self.client)


@pytest.mark.parametrize("seed", [int(os.environ.get("PACHYBOX_TEST_SEED") or 1)])
def test_whatever_is_done_in_whatever_order_the_invariants_hold(
    tmp_path: Path, seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Create, change, stop, start, run and delete pipelines; write, move, squash and delete what
    they read; kill the box: after every few steps, what docs/design.md promises is true."""
    with capsys.disabled():
        print(f" [seed {seed}]", end="", flush=True)
    box = RealBox(tmp_path / "home", settings="workers = 2\n").start()
    walk = Walk(box, tmp_path / "runs", seed)
    try:
        walk.done.append("prepare")
        walk.prepare()
        for number in range(STEPS):
            walk.step(number)
        walk.end()
        assert box.stop() == 0
    except BaseException:
        with capsys.disabled():
            print("\n".join(f"{i}: {line}" for i, line in enumerate(walk.done)))
        raise
    finally:
        box.kill()
    print(f"{walk.judge.counted}")
