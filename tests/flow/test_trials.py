"""Trials: runs of a spec that are like a job's and commit nothing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.client import OutputChange, Stream, TrialDatum, TrialEnd, TrialEvent, TrialPlan
from pachybox.client.trial_values import TrialLine
from pachybox.errors import InvalidArgument, NotFound, Refused
from tests import images
from tests.boxes import RealBox, eventually, processes

NUMBER = itertools.count()
COPY = 'cp "$in" /pfs/out/'


def spec(name: str, repo: str, script: str = COPY, **more: Any) -> dict[str, Any]:
    """A pipeline that runs ``script`` on each file of a repo."""
    transform = {"cmd": ["sh", "-e"], "stdin": [script], **more.pop("transform", {})}
    read = {"pfs": {"repo": repo, "glob": "/*", "name": "in"}}
    return {"pipeline": {"name": name}, "input": read, "transform": transform, **more}


class Session:
    """A trial and what it has told so far."""

    def __init__(self, box: RealBox) -> None:
        self.box = box
        self.client = box.client
        self.stream: Stream[TrialEvent] = self.client.open_trial()
        self.trial = next(self.stream).trial
        self.place = box.home / "work" / f"trial-{self.trial}"

    def start(self, spec: Any, files: dict[str, bytes] | None = None, **more: Any) -> int:
        """Ask for a run; ``files`` are put into the source, ``gone`` taken away."""
        gone = more.pop("gone", ())
        fileset = self.client.create_fileset(files or {}, gone) if files or gone else ""
        return self.client.run_trial(self.trial, spec, fileset=fileset, **more)

    def run(self, spec: Any, files: dict[str, bytes] | None = None, **more: Any) -> Ran:
        """Run to its end."""
        number = self.start(spec, files, **more)
        return Ran(self.until(number))

    def until(self, run: int) -> list[Any]:
        """What is told up to the end of a run, of that run."""
        found = []
        for event in self.stream:
            if event.run == run:
                found.append(event.what)
                if isinstance(event.what, TrialEnd):
                    return found
        raise AssertionError("the stream ended")


class Ran:
    """A run that is over."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events
        self.end: TrialEnd = events[-1]
        self.datums: list[TrialDatum] = [e for e in events if isinstance(e, TrialDatum)]
        self.lines = [e.message for e in events if isinstance(e, TrialLine)]
        self.plans = [e for e in events if isinstance(e, TrialPlan)]

    @property
    def plan(self) -> TrialPlan:
        return self.plans[-1]

    @property
    def paths(self) -> list[str]:
        return [one.path for datum in self.plan.datums for one in datum.inputs]

    @property
    def changes(self) -> list[OutputChange]:
        """What differs from the last run."""
        return [c for d in self.datums if d.last is not None for c in d.last.changes]


@pytest.fixture(scope="module")
def repo(shared_box: RealBox) -> str:
    """A repo with ten files."""
    shared_box.client.create_repo("ten")
    with shared_box.client.put("ten@master") as put:
        for i in range(10):
            put.data(f"/f{i}", f"{i}\n".encode())
    return "ten"


@pytest.fixture
def session(shared_box: RealBox) -> Iterator[Session]:
    made = Session(shared_box)
    yield made
    made.stream.close()
    eventually(lambda: not made.place.exists(), "nothing is left of the session")


def test_a_trial_commits_nothing_and_its_output_can_be_saved(
    shared_box: RealBox, repo: str, session: Session
) -> None:
    c = shared_box.client
    before = c.status().commits, len(c.list_pipeline().all()), len(c.list_repo().all())
    ran = session.run(spec("copies", repo))
    assert ran.end.state == "SUCCESS"
    assert [d.files for d in ran.datums] == [1, 1, 1]
    assert not ran.plan.exists
    where = f"__filesets__@{c.save_trial(session.trial)}"
    assert [f.path for f in c.list_file(f"{where}:/")] == ["/f0", "/f3", "/f6"]
    assert c.get_file(f"{where}:/f3") == b"3\n"
    assert before == (c.status().commits, len(c.list_pipeline().all()), len(c.list_repo().all()))


def test_a_sample_is_spread_evenly_and_the_same_every_time(repo: str, session: Session) -> None:
    first = session.run(spec("copies", repo), sample=4)
    assert first.plan.total == 10
    assert first.paths == ["/f0", "/f2", "/f5", "/f7"]
    assert session.run(spec("copies", repo), sample=4).paths == first.paths
    assert len(session.run(spec("copies", repo), sample=0).datums) == 10


def test_datums_are_named_by_path_and_id(repo: str, session: Session) -> None:
    by_path = session.run(spec("copies", repo), datums=["/f7"])
    assert by_path.paths == ["/f7"]
    by_id = session.run(spec("copies", repo), datums=[by_path.plan.datums[0].id[:12], "/f1"])
    assert by_id.paths == ["/f1", "/f7"]
    assert "/nothing" in session.run(spec("copies", repo), datums=["/nothing"]).end.message


def test_code_sees_what_a_job_shows_it(shared_box: RealBox, repo: str, session: Session) -> None:
    """The view of /pfs, the environment, the user, limits, secrets and the working directory: what
    a program writes of them is the same in a trial and in the pipeline's own job."""
    c = shared_box.client
    c.create_secret("word", {"key": b"swordfish"})
    script = (
        "{ id; pwd; ulimit -a; find /pfs -ls | sed 's/^ *[0-9]* *//;s/[A-Z][a-z][a-z] .*[0-9] //';"
        " env | sed -E 's/_COMMIT=.*|_ID=.*|_ADDRESS=.*|_PORT=.*|PPS_SPEC.*//';"
        ' cat "$in" /word/key; } > /pfs/out/$(basename $in)'
    )
    secrets = [
        {"name": "word", "key": "key", "env_var": "WORD"},
        {"name": "word", "mount_path": "/word"},
    ]
    whole = spec(
        "seen", repo, script, transform={"secrets": secrets, "working_dir": "/usr"},
        resource_limits={"memory": "256M"},
    )  # fmt: skip
    c.create_pipelines(whole)
    assert c.wait_commit("seen@master").error == ""
    ran = session.run(whole)
    assert ran.end.state == "SUCCESS", ran.events
    assert ran.plan.exists
    assert [d.present.changes for d in ran.datums if d.present] == [(), (), ()]
    other = session.run({**whole, "transform": {**whole["transform"], "env": {"MORE": "1"}}})
    assert [d.present.changes[0].op for d in other.datums if d.present] == ["changed"] * 3
    assert "+MORE=1" in other.changes[0].text


def test_the_next_run_cancels_the_one_before_and_has_its_worker(
    repo: str, session: Session
) -> None:
    session.run(spec("slow", repo))
    number = session.start(spec("slow", repo, "echo begun; sleep 60"))
    for event in session.stream:
        if isinstance(event.what, TrialLine):
            break
    began = time.monotonic()
    following = session.start(spec("slow", repo, "echo quick > /pfs/out/$(basename $in)"))
    assert session.until(number)[-1].state == "CANCELLED"
    assert session.until(following)[-1].state == "SUCCESS"
    assert time.monotonic() - began < 30
    assert [p.name for p in (session.place / "workers").iterdir()] == ["worker-1"]


def test_a_run_that_counts_its_datums_is_cancelled(repo: str, session: Session) -> None:
    sides = [{"pfs": {"repo": repo, "name": f"in{i}", "glob": "/*"}} for i in range(8)]
    number = session.start(spec("many", repo) | {"input": {"cross": sides}})
    began = time.monotonic()
    following = session.start(spec("many", repo))
    assert session.until(number)[-1].state == "CANCELLED"
    assert session.until(following)[-1].state == "SUCCESS"
    assert time.monotonic() - began < 30


def test_of_many_runs_asked_for_at_once_each_is_told_the_end(repo: str, session: Session) -> None:
    numbers = [session.start(spec("quick", repo, f"echo {n} > /pfs/out/n")) for n in range(8)]
    ends: dict[int, str] = {}
    while len(ends) < len(numbers):
        event = next(session.stream)
        if isinstance(event.what, TrialEnd):
            ends[event.run] = event.what.state
    assert [ends[number] for number in numbers[:-1]] == ["CANCELLED"] * 7


def test_differences_from_the_last_good_run(repo: str, session: Session) -> None:
    session.run(spec("texts", repo, "echo one > /pfs/out/$(basename $in); echo > /pfs/out/x"),
                datums=["/f0"])  # fmt: skip
    failed = session.run(spec("texts", repo, "exit 3"), datums=["/f0"])
    assert (failed.end.state, failed.datums[0].reason) == ("FAILURE", "exit status 3")
    assert failed.datums[0].last is None
    ran = session.run(
        spec("texts", repo, "echo two > /pfs/out/f0; echo new > /pfs/out/n"), datums=["/f0"]
    )
    told = {c.path: (c.op, c.old_bytes, c.new_bytes, c.text) for c in ran.changes}
    assert told["/f0"] == ("changed", 4, 4, "@@ -1 +1 @@\n-one\n+two")
    assert told["/n"][:3] == ("added", 0, 4)


def test_what_a_job_would_refuse_is_refused(
    shared_box: RealBox, repo: str, session: Session
) -> None:
    with pytest.raises(InvalidArgument, match="glob"):
        session.start({"pipeline": {"name": "a"}, "input": {"pfs": {"repo": repo}},
                       "transform": {"cmd": ["true"]}})  # fmt: skip
    with pytest.raises(NotFound, match="absent"):
        session.start(spec("a", "absent"))
    with pytest.raises(Refused, match="service"):
        session.start(spec("a", repo, service={"internal_port": 9, "external_port": 9}))
    with pytest.raises(NotFound, match="nobody"):
        shared_box.client.run_trial("nobody", spec("a", repo))
    one_path = session.run(spec("a", repo, "echo $in > /pfs/out/same"))
    assert one_path.end.state == "FAILURE"
    assert "duplicate path" in one_path.end.message
    late = session.run(spec("a", repo, "sleep 60", datum_timeout="100ms"), sample=1)
    assert late.datums[0].reason == "timed out after 0.1s"


def test_other_commits_and_inputs_that_have_none(shared_box: RealBox, session: Session) -> None:
    c = shared_box.client
    c.create_repo("branched")
    c.put_file("branched@dev:/a", b"dev\n")
    ran = session.run(spec("b", "branched", 'cat "$in"'))
    assert (ran.plan.total, ran.plan.empty, ran.end.state) == (0, ("branched@master",), "SUCCESS")
    assert session.run(spec("b", "branched", 'cat "$in"'), inputs=["branched@dev"]).lines == ["dev"]
    by_hand = session.run(spec("b", "branched", 'cat "$in"'), inputs=["branched@master=dev"])
    assert by_hand.lines == ["dev"]
    tick = {"cron": {"name": "tick", "spec": "@yearly"}}
    cron = session.run({"pipeline": {"name": "c"}, "input": tick,
                        "transform": {"cmd": ["sh"], "stdin": ["ls /pfs/tick"]}})  # fmt: skip
    assert len(cron.lines) == 1


def test_source_is_shown_where_asked_and_cannot_be_written(
    repo: str, session: Session, tmp_path: Path
) -> None:
    script = "pwd; cat main.txt; ls -R; touch x 2>&1 || :"
    ran = session.run(spec("s", repo, script), {"/main.txt": b"1\n", "/d/x": b""}, sample=1)
    assert ran.plan.place == "/source"
    assert ran.lines[:2] == ["/source", "1"]
    assert "Read-only" in ran.lines[-1]
    more = session.run(
        spec("s", repo, "pwd; find . -type f | sort; ./d"),
        {"/d": b"#!/bin/sh\necho I run\n"}, gone=["/d/x", "/main.txt"],
        programs=["/d"], place="/elsewhere/here", sample=1,
    )  # fmt: skip
    assert more.lines == ["/elsewhere/here", "./d", "I run"]
    own = spec("s", repo, "pwd; ls", transform={"working_dir": str(tmp_path)})
    assert session.run(own, {"/y": b""}, sample=1).lines == [str(tmp_path), "d", "y"]
    assert not list(tmp_path.iterdir())
    wrong = session.run(spec("s", repo, "ls"), place="/usr/absent/dir", sample=1)
    assert "/usr/absent/dir" in wrong.end.message


def test_sessions_are_bounded_and_end_with_their_stream(shared_box: RealBox) -> None:
    opened = [shared_box.client.open_trial() for _ in range(8)]
    for one in opened:
        next(one)
    with pytest.raises(Refused, match="8 trials are open"):
        next(shared_box.client.open_trial())
    for one in opened:
        one.close()

    def again() -> bool:
        try:
            with shared_box.client.open_trial() as stream:
                return bool(next(stream).trial)
        except Refused:
            return False

    eventually(again, "a place is free again")
    eventually(lambda: not list((shared_box.home / "work").glob("trial-*")), "all are gone")


def test_output_nobody_reads_waits_and_a_client_that_goes_frees_all(
    shared_box: RealBox, repo: str
) -> None:
    session = Session(shared_box)
    session.start(spec("much", repo, "yes | head -200000; sleep 6117"), sample=1)
    logs = session.place / "logs"
    eventually(lambda: any(f.stat().st_size > 1 << 20 for f in logs.glob("*/*")), "it prints")
    session.stream.close()
    eventually(lambda: not session.place.exists(), "nothing is left")
    assert not processes("sleep 6117")


@pytest.mark.parametrize("image", ["", "busybox"], ids=["process", "container"])
def test_lines_of_a_draft_come_while_its_program_runs(
    repo: str, session: Session, image: str
) -> None:
    transform = {"image": images.image(image)} if image else {}
    draft = spec("live", repo, "echo early $(cat /pfs/in/*); sleep 1000", transform=transform)
    run = session.start(draft, sample=1)
    line = next(
        event.what
        for event in session.stream
        if event.run == run and isinstance(event.what, TrialLine)
    )
    assert line.message == "early 0"
    done = session.run(spec("live", repo, "cat /pfs/in/*", transform=transform), sample=1)
    assert (done.end.state, done.lines) == ("SUCCESS", ["0"])
    assert "live" not in [pipeline.name for pipeline in session.client.list_pipeline()]
