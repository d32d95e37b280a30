"""What must have come out of every job of the pipelines of ``oracle``, given what went in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pachybox.client import Client
from pachybox.client.pipeline_values import DatumInfo, JobInfo
from pachybox.client.values import CommitInfo
from tests.flow.invariants import Facts, counts_add_up, input_of
from tests.flow.oracle import Datum, Files, Inputs, Plan


@dataclass
class Line:
    """One pipeline since it was made: its versions, and its epochs, begun by each reprocess.

    Results are reused within an epoch only."""

    plans: list[Plan] = field(default_factory=list)  # version 1 is the first
    epochs: list[int] = field(default_factory=list)  # of each version
    epoch: int = 0
    tags: dict[int, list[str]] = field(default_factory=dict)  # by epoch
    known: set[tuple[int, str, tuple[str, ...]]] = field(default_factory=set)

    def version(self, plan: Plan, reprocess: bool) -> None:
        """A new version was made."""
        self.plans.append(plan)
        self.epochs.append(self.epoch)
        if reprocess:
            self.reprocess()
        else:
            self.tags.setdefault(self.epoch, []).append(plan.tag)

    def reprocess(self) -> None:
        """No result of before may be reused."""
        self.epoch += 1
        self.epochs[-1] = self.epoch
        self.tags[self.epoch] = [self.plans[-1].tag]

    def plan(self, tag: str) -> Plan:
        """The version whose tag this is."""
        return next(p for p in self.plans if p.tag == tag)


class Judge:
    """Looks once at each job that is over; ``lines`` says what its pipeline was."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs
        self.lines: dict[str, Line] = {}
        self._seen: set[tuple[int, str]] = set()
        self._files: dict[str, dict[str, str]] = {}
        self.counted: dict[str, int] = {}  # how many jobs ended in each state, datums too

    def files(self, client: Client, commit: str) -> dict[str, str]:
        """The files at the top of a finished commit."""
        if commit not in self._files:
            listed = [f for f in client.walk_file(f"{commit}:/") if not f.is_dir]
            self._files[commit] = {
                f.path[1:]: client.get_file(f"{commit}:{f.path}").decode() for f in listed
            }
        return self._files[commit]

    def ran(self, datum: str, tag: str, job: str) -> bool:
        """Whether the program ran on a datum, for a job; any job when none is named."""
        path = self.runs / datum
        lines = path.read_text().splitlines() if path.exists() else []
        return any(line == f"{tag} {job}" if job else line.startswith(f"{tag} ") for line in lines)

    def all(self, client: Client, facts: Facts) -> None:
        """Look at every job that is over and was not looked at."""
        for name, job in sorted(facts.jobs.items(), key=lambda pair: str(pair[1].created)):
            line = self.lines[job.pipeline]
            if not job.done or (id(line), job.id) in self._seen:
                continue
            self._seen.add((id(line), job.id))
            commit = facts.commits.get(name)
            if commit is not None:
                self._one(client, facts, job, commit, line)

    def _one(
        self, client: Client, facts: Facts, job: JobInfo, commit: CommitInfo, line: Line
    ) -> None:
        self._count(job.state)
        datums = list(client.list_datum(str(job)))
        counts_add_up(job, datums)
        plan = line.plans[job.version - 1]
        epoch = line.epochs[job.version - 1]
        self._ran_where_it_says(job, datums, plan, line, epoch)
        inputs: dict[str, Files | None] = {}
        for leaf in plan.leaves:
            up = input_of(commit, leaf.repo, leaf.branch)
            if up and up not in facts.commits:
                return  # deleted since: what it held cannot be asked for
            if up and facts.commits[up].finished is None:
                return
            inputs[leaf.repo] = self.files(client, up) if up else None
        if job.state in ("JOB_SUCCESS", "JOB_FAILURE"):
            self._result(client, job, datums, plan, inputs, line.tags[epoch], line)

    def _count(self, what: str) -> None:
        self.counted[what] = self.counted.get(what, 0) + 1

    def _ran_where_it_says(
        self, job: JobInfo, datums: list[DatumInfo], plan: Plan, line: Line, epoch: int
    ) -> None:
        """What a job calls done was run by it; what it calls skipped was run before, in this
        epoch; and what was done before is not run again."""
        for datum in datums:
            self._count(datum.state)
            key = (epoch, datum.id, tuple(sorted(f.hash for f in datum.inputs)))
            if datum.state == "SKIPPED":
                tags = line.tags[epoch]
                assert any(self.ran(datum.id, tag, "") for tag in tags), f"{job}: skipped {datum}"
            elif datum.state in ("SUCCESS", "FAILED", "RECOVERED"):
                assert self.ran(datum.id, plan.tag, job.id), f"{job} never ran {datum}"
                assert key not in line.known, f"{job} ran again what is known: {datum}"
            if datum.state == "SUCCESS":
                line.known.add(key)

    def _result(
        self,
        client: Client,
        job: JobInfo,
        datums: list[DatumInfo],
        plan: Plan,
        inputs: Inputs,
        tags: list[str],
        line: Line,
    ) -> None:
        wanted = sorted(plan.datums(inputs))
        states = {_key(d): d.state for d in datums}
        assert sorted(states) == wanted, f"{job}: datums {sorted(states)}, not {wanted}"
        for datum, state in states.items():
            failed = plan.fails(plan.result(datum, inputs)[1])
            bad = "RECOVERED" if plan.recover else "FAILED"
            assert state == "SKIPPED" or state == (bad if failed else "SUCCESS"), (job, datum)
        if job.state == "JOB_FAILURE":
            if "FAILED" not in states.values():
                assert "duplicate path output by different datums" in job.reason, job.reason
                assert any(line.plan(tag).same for tag in tags), job.reason
            return
        assert "FAILED" not in states.values(), f"{job} succeeded with a failed datum"
        left = dict(self.files(client, str(job)))
        for datum, state in states.items():
            if state == "RECOVERED":
                continue
            able = [plan.tag] if state == "SUCCESS" else tags
            results = [line.plan(tag).result(datum, inputs) for tag in able]
            fitting = [name for name, text in results if left.get(name) == text]
            assert fitting, f"{job}: of {datum} came {left}, not one of {results}"
            del left[fitting[0]]
        assert not left, f"{job} has files of no datum: {sorted(left)}"


def _key(datum: DatumInfo) -> Datum:
    return tuple(sorted((f.raw["file"]["commit"]["repo"]["name"], f.path) for f in datum.inputs))
