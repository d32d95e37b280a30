"""A view of a box that follows it: what runs is shown as it runs, and events tell what changed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from pachybox.client import Client, DatumPage
from pachybox.meta.writer import Meta
from pachybox.model.events import Event
from tests.boxes import RealBox, eventually


def create(client: Client, name: str, script: str, repo: str) -> None:
    spec = {
        "pipeline": {"name": name},
        "input": {"pfs": {"name": "in", "repo": repo, "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": [script]},
    }
    client.create_pipelines(json.dumps(spec))


def put(client: Client, repo: str, count: int) -> None:
    client.create_repo(repo)
    with client.put(f"{repo}@master") as to:
        for number in range(count):
            to.data(f"/{number:02d}", b"x")


def events(client: Client, kind: str, after: int = 0) -> list[Event]:
    return client.events(after=after, kinds=[kind]).all()


def test_a_job_is_shown_as_it_runs(shared_box: RealBox, tmp_path: Path) -> None:
    client, gate = shared_box.client, tmp_path / "gate"
    put(client, "live", 6)
    script = f"case $(ls /pfs/in) in 0[01]) ;; *) while [ ! -e {gate} ]; do sleep 0.05; done;; esac"
    create(client, "liver", script, "live")

    def seen() -> DatumPage | None:
        rows = client.page_job(pipeline="liver").rows
        if not rows or rows[0].state != "JOB_RUNNING":
            return None
        page = client.page_datum(str(rows[0]))
        # one worker; what it does next may be laid out already
        wanted = page.counts.get("SUCCESS") == 2 and page.counts.get("RUNNING")
        return page if wanted else None

    page = eventually(seen, "two are done, and one runs")
    assert page is not None
    assert sum(page.counts.values()) == 6
    states = [row.state for row in page.rows]
    assert states == sorted(states, key=["RUNNING", "WAITING", "SUCCESS"].index)
    running = page.rows[0]
    assert (running.input, running.tries, running.worker) == ("/02", 1, "liver-0")
    assert running.started is not None
    (job,) = client.page_job(pipeline="liver").rows
    assert client.summary().jobs[0].id == job.id
    assert (job.done_share, job.total) == (2 / 6, 6)
    assert job.left_s is not None
    assert job.left_s > 0
    (worker,) = client.timing(str(job)).workers
    assert "RUNNING" in {span.state for span in worker.spans}
    gate.touch()
    client.wait_job(str(job))
    after = client.page_datum(str(job))
    assert after.counts == {"SUCCESS": 6}
    (job,) = client.page_job(pipeline="liver").rows
    assert (job.done_share, job.left_s) == (1.0, None)


def test_progress_is_told_twice_a_second_at_most(shared_box: RealBox) -> None:
    client = shared_box.client
    before = client.summary().event_seq
    put(client, "steady", 30)
    create(client, "stepper", "sleep 0.05", "steady")
    job = client.wait_job(
        str(eventually(lambda: client.page_job(pipeline="stepper").rows, "one")[0])
    )
    told = [e for e in events(client, "job.progress", before) if e.data["id"] == job.id]
    assert told
    counts = [int(e.data["processed"]) for e in told]
    assert counts == sorted(counts)
    assert counts[-1] == 30
    for one, following in itertools.pairwise(told[:-1]):  # the last comes with the end
        assert (following.time - one.time).total_seconds() >= 0.4
    states = [e.data["state"] for e in events(client, "job.state", before)]
    assert states[-1] == "JOB_SUCCESS"


def test_progress_is_told_though_the_next_datum_takes_long(
    shared_box: RealBox, tmp_path: Path
) -> None:
    client, gate = shared_box.client, tmp_path / "gate"
    put(client, "halting", 8)
    script = (
        f"case $(ls /pfs/in) in 07) while [ ! -e {gate} ]; do sleep 0.05; done;; esac; sleep 0.1"
    )
    create(client, "halter", script, "halting")

    def told() -> bool:
        found = [e.data for e in events(client, "job.progress") if e.data["pipeline"] == "halter"]
        return bool(found) and found[-1]["processed"] == 7

    eventually(told, "seven are told while the eighth waits")
    gate.touch()
    client.wait_commit("halter@master")


def test_events_of_what_a_view_shows(shared_box: RealBox) -> None:
    client = shared_box.client
    start = client.summary().event_seq
    client.create_repo("told")
    client.create_repo("told", description="new", update=True)
    client.create_branch("told@side")
    client.put_file("told@master:/f", b"")
    create(client, "teller", "true", "told")
    client.wait_commit("teller@master")
    client.delete_job(str(client.page_job(pipeline="teller").rows[0]))
    client.stop_pipeline("teller")
    client.delete_pipeline("teller")
    client.create_ingest({"name": "post", "to": "told@posted", "push": {}})
    eventually(lambda: client.inspect_ingest("post").state == "running", "it runs")
    client.pause_ingest("post")
    client.delete_branch("told@side")
    eventually(lambda: _states(client, start)[-1:] == ["paused"], "the state of the source is told")
    kinds = {e.kind for e in client.events(after=start)}
    assert kinds >= {
        *("repo.created", "repo.updated", "branch.created", "branch.moved", "branch.deleted"),
        *("commit.started", "commit.finished", "pipeline.created", "pipeline.state"),
        *(
            "pipeline.deleted",
            "job.created",
            "job.state",
            "job.deleted",
            "ingest.created",
            "ingest.state",
        ),
    }
    assert "running" in _states(client, start)
    client.delete_ingest("post")


def _states(client: Client, after: int) -> list[str]:
    found = events(client, "ingest.state", after)
    return [str(e.data["state"]) for e in found if e.data["ingest"] == "post"]


def test_a_view_that_missed_events_is_told_so(box: RealBox) -> None:
    client = box.client
    for number in range(6):
        client.create_repo(f"r{number}")
    newest = client.summary().event_seq
    assert client.events(after=newest).all() == []
    (ahead,) = client.events(after=newest + 100, kinds=["repo."])  # of another box, or its past
    assert (ahead.kind, ahead.seq) == ("reset", newest)
    box.stop()
    meta = Meta(box.home / "meta.duckdb")
    meta.prune_events(3)
    first = meta.first_event()
    meta.close()
    box.start()
    reset, *rest = box.client.events(after=1).all()
    assert (reset.kind, reset.data["first"]) == ("reset", first)
    assert [e.seq for e in rest] == list(range(first, rest[-1].seq + 1))
    follow = box.client.events(after=newest + 100, follow=True)
    assert next(follow).kind == "reset"
    box.client.create_repo("later")
    assert next(follow).kind == "repo.created"
    follow.close()
