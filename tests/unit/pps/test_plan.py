"""Jobs planned as a difference leave what jobs planned whole would, whatever came before them."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pachybox.box import Box
from pachybox.config import Config
from pachybox.errors import PachyboxError
from pachybox.meta.tables import COMMITS, PIPELINE_VERSIONS, PIPELINES
from pachybox.model.files import Delete, Edit, Entry, Kind, Put
from pachybox.model.ids import Branch, Commit, Hash, Job, Pipeline, Repo
from pachybox.model.pfs import CommitRecord
from pachybox.model.pps import JobRecord, JobState
from pachybox.pfs import commits
from pachybox.pfs.change import Change
from pachybox.pps.pipelines import Chosen
from pachybox.pps.plan import Planner
from pachybox.store.trees import EMPTY
from tests.boxes import eventually
from tests.unit.pps.copying import CopyRunner, mixed, output

P = Pipeline("default", "p")
REPOS = tuple(Repo("default", name) for name in "ab")
NAMES = tuple(f"/{d}{n}" for d in ("", "x/") for n in ("k1", "k2", "k3"))
WORDS = ("one", "two", "two", "three", "w1", "w2", "w3", "w1/below", "bad", "no")
STEPS = 60


class History:
    """Random steps in one box; ``check`` looks at every job that ended since."""

    def __init__(self, home: Path, seed: int) -> None:
        self.home = home
        self.draw = random.Random(seed)
        self.box = self._open()
        self.checked: set[Job] = set()
        self.seen: Counter[str] = Counter()
        for repo in REPOS:
            self.box.pfs.create_repo(repo)
            self.write(repo)
        self.create(update=False)

    def _open(self) -> Box:
        box = Box(Config(self.home), CopyRunner(lambda: time.sleep(self.draw.choice((0, 0.001)))))
        box.start()
        return box

    # ---- steps

    def write(self, repo: Repo | None = None) -> None:
        repo = repo or self.draw.choice(REPOS)
        pfs = self.box.pfs
        with pfs.blobs.session() as session:

            def change(ch: Change) -> None:
                commit = commits.start_commit(ch, Branch(repo, "master"), None, "")
                root = commit.root
                for _ in range(self.draw.randrange(1, 4)):
                    path = self.draw.choice(NAMES)
                    edit: Edit = Delete(path)
                    if self.draw.random() < 0.7:
                        text = self.draw.choice(WORDS[:-1] + WORDS[:4] * 3).encode()
                        if self.draw.random() < 0.03:
                            text = b"no"
                        name = path.rpartition("/")[2]
                        edit = Put(path, Entry(name, Kind.FILE, session.put(text), len(text)))
                    root = pfs.trees.edit(root, [edit], session.put)
                whole = pfs.trees.entry(root) if root != EMPTY else None
                size, count = (whole.size, whole.count) if whole else (0, 0)
                commits.finish_commit(ch, commits.set_tree(ch, commit, root, size, count))

            pfs.change(change)

    def create(self, *, update: bool = True) -> None:
        def leaf(repo: str, **more: Any) -> dict[str, Any]:
            glob = self.draw.choice(("/*", "/*", "/**", "/", "/x/*"))
            branch = "read" if self.draw.random() < 0.2 else "master"
            return {"pfs": {"name": repo, "repo": repo, "branch": branch, "glob": glob, **more}}

        def keyed(by: str, repo: str) -> dict[str, Any]:
            more = {"outer_join": self.draw.random() < 0.5} if by == "join_on" else {}
            one = leaf(repo, **more, **{by: "$1"})
            one["pfs"]["glob"] = self.draw.choice(("/k(*)", "/x/k(*)", "/**k(*)"))
            return one

        shape = self.draw.choice(("pfs", "union", "cross", "join", "group", "deep"))
        given: dict[str, Any] = {
            "pfs": lambda: leaf("a"),
            "union": lambda: {"union": [leaf("a"), leaf("b")]},
            "cross": lambda: {"cross": [leaf("a"), leaf("b")]},
            "join": lambda: {"join": [keyed("join_on", "a"), keyed("join_on", "b")]},
            "group": lambda: {"group": [keyed("group_by", "a"), keyed("group_by", "b")]},
            "deep": lambda: {
                "cross": [leaf("a"), {"group": [keyed("group_by", "b")]}],
            },
        }[shape]()
        old = self.box.meta.get(PIPELINES, P)
        if old is not None and self.draw.random() < 0.5:
            given = old.spec["input"]
        spec = {
            "pipeline": {"name": "p"},
            "input": given,
            "transform": {"cmd": [self.draw.choice("xy")], "err_cmd": ["x"]},
            "datum_tries": 1,
            "output_merge": self.draw.choice(("error", "error", "concatenate")),
            "output_branch": self.draw.choice(("master", "master", "staging")),
            "reprocess_spec": self.draw.choice(("until_success", "until_success", "every_job")),
            "reprocess_on_code_change": self.draw.random() < 0.3,
            "parallelism_spec": {"constant": 2},
        }
        self.box.pps.create(
            json.dumps(spec),
            "test",
            project="default",
            update=update,
            reprocess=self.draw.random() < 0.2,
        )

    def older(self, repo: Repo) -> CommitRecord:
        return self.draw.choice(list(self.box.pfs.list_commits(repo)))

    def move(self) -> None:
        repo = self.draw.choice(REPOS)
        name = self.draw.choice(("master", "read", "read"))
        self.box.pfs.create_branch(Branch(repo, name), self.older(repo).commit.id)

    def headless(self) -> None:
        branch = Branch(self.draw.choice(REPOS), "read")
        self.box.pfs.delete_branch(branch, force=True)
        self.box.pfs.create_branch(branch)

    def run_older(self) -> None:
        repo = self.draw.choice(REPOS)
        self.box.pps.run(P, [Chosen(self.older(repo))])

    def rerun(self) -> None:
        self.box.pps.rerun(P, reprocess=self.draw.random() < 0.4)

    def stop_and_start(self) -> None:
        self.box.pps.stop(P)
        if self.draw.random() < 0.5:
            self.write()
        self.box.pps.start(P)

    def some_job(self) -> Job:
        return self.draw.choice(list(self.box.pps.list_jobs(P))).job

    def stop_job(self) -> None:
        self.box.pps.stop_job(self.some_job())

    def delete_job(self) -> None:
        self.box.pps.delete_job(self.some_job())

    def squash(self) -> None:
        repo = self.draw.choice(REPOS)
        self.box.pfs.squash([c.commit for c in self.box.pfs.commit_set(self.older(repo).commit.id)])

    def delete_commit(self) -> None:
        repo = self.draw.choice(REPOS)
        self.box.pfs.delete_commit(repo, self.older(repo).commit.id)

    def restart(self) -> None:
        self.box.close()
        self.box = self._open()

    def collect(self) -> None:
        self.box.collect_garbage()

    def step(self) -> None:
        steps = {
            self.write: 12, self.create: 2, self.move: 2, self.headless: 1, self.run_older: 2,
            self.rerun: 1, self.stop_and_start: 1, self.stop_job: 1, self.delete_job: 1,
            self.squash: 1, self.delete_commit: 1, self.restart: 1, self.collect: 1,
        }  # fmt: skip
        (do,) = self.draw.choices(list(steps), list(steps.values()))
        try:
            do()
            self.seen[do.__name__] += 1
        except (PachyboxError, IndexError):
            pass  # not possible now

    # ---- what must be true

    def check(self) -> None:
        pps = self.box.pps

        def quiet() -> bool:
            over = all(job.state.terminal for job in pps.list_jobs(P))
            return over and not pps.scheduler.running()

        eventually(quiet, "every job is over", 20.0)
        for record in reversed(list(pps.list_jobs(P))):
            if record.job not in self.checked:
                self.checked.add(record.job)
                self._check(record)

    def _check(self, record: JobRecord) -> None:
        self.seen[record.state.value] += 1
        if record.state not in (JobState.SUCCESS, JobState.FAILURE):
            return
        commit = self.box.meta.get(COMMITS, Commit(P.repo, record.job.id))
        version = self.box.meta.get(PIPELINE_VERSIONS, (P, record.pipeline_version))
        pipeline = self.box.meta.get(PIPELINES, P)
        assert commit is not None
        assert version is not None
        assert pipeline is not None
        then = self.box.pps.at_version(pipeline, version)
        try:
            with ExitStack() as held:
                plan = Planner(self.box.pfs).plan(then, record, commit, held, whole=True)
                datums = {datum.id: datum for datum in plan.datums()}
                saw = {
                    id_: {
                        f"{one.name}{path}": content
                        for one in datum.inputs
                        for path, content in self.files(one.path, one.hash, one.is_dir)
                    }
                    for id_, datum in datums.items()
                }
        except PachyboxError:
            return  # an input was deleted since
        counts = (record.processed, record.skipped, record.failed, record.recovered)
        assert record.total == len(datums) == sum(counts), (record, counts)
        assert sorted(d.id for d in self.box.pps.list_datums(record.job)) == sorted(datums)
        made = {id_: output(id_, files) for id_, files in saw.items()}
        assert record.recovered + record.failed == sum(one is None for one in made.values())
        wanted = merged(made, then.spec.get("output_merge") or "error")
        if record.failed or wanted is None:
            assert record.state is JobState.FAILURE, record
            return
        assert record.state is JobState.SUCCESS, record
        assert dict(self.files("/", commit.root, True)) == wanted

    def files(self, path: str, at: Hash, is_dir: bool) -> Iterator[tuple[str, bytes]]:
        """The files at a path, with their content, by whole path."""
        if not is_dir:
            yield path, self.box.blobs.get(at)
            return
        if at == EMPTY:
            return
        for below, entry in self.box.pfs.trees.walk(at):
            if not entry.is_dir:
                base = "" if path == "/" else path
                yield base + below, self.box.pfs.content.read_all(entry)


def merged(made: dict[str, dict[str, bytes] | None], policy: str) -> dict[str, bytes] | None:
    """The output of a job by the outputs of its datums; None: they do not go together."""
    whole: dict[str, bytes] = {}
    for id_ in sorted(made):
        for path, content in (made[id_] or {}).items():
            if path in whole and policy == "error":
                return None
            whole[path] = whole.get(path, b"") + content
    return None if mixed(whole) else whole


@contextmanager
def history(home: Path, seed: int) -> Iterator[History]:
    made = History(home, seed)
    try:
        yield made
    finally:
        made.box.close()


@pytest.mark.parametrize("seed", range(6))
def test_a_job_is_what_its_inputs_are_whatever_came_before(tmp_path: Path, seed: int) -> None:
    with history(tmp_path, seed) as made:
        for number in range(STEPS):
            made.step()
            if number % 3 == 0 or number == STEPS - 1:
                made.check()
        assert made.seen["JOB_SUCCESS"] > 5
        assert made.box.meta.all(PIPELINES)
        assert [f for f in made.box.fsck() if f.level == "error"] == []
