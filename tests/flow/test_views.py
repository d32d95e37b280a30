"""What screens ask of a box: the whole at a glance, and pages of lists, at their ends too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pachybox.client import AsyncClient, Client, DatumPage, JobInfo
from pachybox.errors import InvalidArgument, NotFound
from tests.boxes import RealBox, eventually

NAMES = [f"{n:02d}" for n in range(12)]


def create(client: Client, name: str, script: str, repo: str, **more: Any) -> None:
    spec = {
        "pipeline": {"name": name},
        "input": {"pfs": {"name": "in", "repo": repo, "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": [script], **more.pop("transform", {})},
        "datum_tries": 1,
        **more,
    }
    client.create_pipelines(json.dumps(spec), update=True)


def put(client: Client, repo: str, names: list[str]) -> None:
    with client.put(f"{repo}@master") as to:
        for name in names:
            to.data(f"/{name}.txt", name.encode())


def last(client: Client, pipeline: str) -> JobInfo:
    newest = next(iter(client.list_job(pipeline)))
    return client.wait_job(str(newest))


@pytest.fixture(scope="module")
def client(shared_box: RealBox) -> Client:
    return shared_box.client


@pytest.fixture(scope="module")
def job(client: Client) -> JobInfo:
    """Two datums of twelve fail, and one is saved by ``err_cmd``; the tenth is slow."""
    client.create_repo("mixed")
    put(client, "mixed", NAMES)
    create(
        client,
        "mixer",
        "cp /pfs/in/* /pfs/out/; case $(ls /pfs/in) in 03*|07*|08*) exit 1;; 10*) sleep 0.4;; esac",
        "mixed",
        transform={"err_cmd": ["sh", "-c", "ls /pfs/in | grep -q 08"]},
    )
    return last(client, "mixer")


@pytest.fixture(scope="module")
def skipper(client: Client) -> JobInfo:
    """A job that skipped twelve datums and ran four."""
    client.create_repo("grown")
    put(client, "grown", NAMES)
    create(client, "grow", "cp /pfs/in/* /pfs/out/", "grown")
    last(client, "grow")
    put(client, "grown", ["20", "21", "22", "23"])
    return last(client, "grow")


def inputs(page: DatumPage) -> list[str]:
    return [row.input.removeprefix("/").removesuffix(".txt") for row in page.rows]


# ---- datums


def test_datums_in_the_order_of_trouble(client: Client, job: JobInfo) -> None:
    page = client.page_datum(str(job))
    assert page.total == 12
    assert page.counts == {"FAILED": 2, "RECOVERED": 1, "SUCCESS": 9}
    states = [row.state for row in page.rows]
    assert states == ["FAILED"] * 2 + ["RECOVERED"] + ["SUCCESS"] * 9
    assert inputs(page)[2:4] == ["08", "10"]  # the slowest of those that went well comes first
    took = [r.download_s + r.process_s + r.upload_s for r in page.rows[3:]]
    assert took == sorted(took, reverse=True)
    assert took[0] >= 0.4


def test_a_row_of_a_datum_says_all_of_it(client: Client, job: JobInfo) -> None:
    (row,) = client.page_datum(str(job), search="/05").rows
    assert (row.input, row.inputs, row.state) == ("/05.txt", ("/05.txt",), "SUCCESS")
    assert (row.tries, row.worker[:6], row.reason) == (1, "mixer-", "")
    assert (row.download_bytes, row.upload_bytes) == (2, 2)
    assert job.started is not None
    assert row.started is not None
    assert job.started - timedelta(seconds=1) <= row.started <= job.finished  # type: ignore[operator]
    failed = client.page_datum(str(job), states=["FAILED"])
    assert failed.total == 2
    assert {row.input for row in failed.rows} == {"/03.txt", "/07.txt"}
    assert all(row.reason for row in failed.rows)
    assert failed.counts["SUCCESS"] == 9  # of the whole job


@pytest.mark.parametrize("sort", ["trouble", "input", "time", "state"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("which", ["job", "skipper"])
def test_pages_of_datums_make_up_the_list(
    client: Client, request: pytest.FixtureRequest, sort: str, reverse: bool, which: str
) -> None:
    name = str(request.getfixturevalue(which))
    whole = client.page_datum(name, sort=sort, reverse=reverse)
    assert len({row.id for row in whole.rows}) == whole.total
    assert inputs(whole) == inputs(client.page_datum(name, sort=sort))[:: -1 if reverse else 1]
    found = []
    for offset in range(0, whole.total + 5, 5):
        page = client.page_datum(name, sort=sort, reverse=reverse, offset=offset, limit=5)
        assert page.total == whole.total
        found += inputs(page)
    assert found == inputs(whole)
    assert client.page_datum(name, offset=whole.total + 3, sort=sort).rows == ()
    if sort == "input":
        names = NAMES if which == "job" else [*NAMES, "20", "21", "22", "23"]
        assert inputs(whole) == names[:: -1 if reverse else 1]


def test_skipped_datums_come_last_and_are_found(client: Client, skipper: JobInfo) -> None:
    page = client.page_datum(str(skipper))
    assert page.counts == {"SUCCESS": 4, "SKIPPED": 12}
    assert [row.state for row in page.rows] == ["SUCCESS"] * 4 + ["SKIPPED"] * 12
    assert sorted(inputs(page)[4:]) == NAMES
    assert all(row.worker == "" and row.started is None for row in page.rows[4:])
    only = client.page_datum(str(skipper), states=["SKIPPED"], offset=10, limit=5)
    assert (only.total, inputs(only)) == (12, inputs(page)[14:])
    (one,) = client.page_datum(str(skipper), search="11.TXT").rows
    assert (one.state, one.input) == ("SKIPPED", "/11.txt")
    both = client.page_datum(str(skipper), search="/2")
    assert sorted(inputs(both)) == ["20", "21", "22", "23"]
    first = page.rows[-1].id
    assert [r.id for r in client.page_datum(str(skipper), search=first[:12]).rows] == [first]
    assert client.page_datum(str(skipper), search="nothing of that name").total == 0


def test_what_a_page_of_datums_cannot_be(client: Client, job: JobInfo) -> None:
    with pytest.raises(InvalidArgument, match="not sorted by"):
        client.page_datum(str(job), sort="colour")
    with pytest.raises(InvalidArgument, match="states are FAILED"):
        client.page_datum(str(job), states=["ILL"])
    with pytest.raises(InvalidArgument, match="no page"):
        client.page_datum(str(job), offset=-1)
    with pytest.raises(NotFound):
        client.page_datum(f"mixer@{'0' * 32}")


def test_a_datum_of_many_inputs_shows_the_first(client: Client) -> None:
    client.create_repo("wide")
    put(client, "wide", NAMES)
    client.create_pipelines(
        {
            "pipeline": {"name": "cross"},
            "input": {
                "cross": [
                    {"pfs": {"name": name, "repo": "wide", "glob": "/00*"}} for name in "abcd"
                ]
            },
            "transform": {"cmd": ["true"]},
        }
    )
    (row,) = client.page_datum(str(last(client, "cross"))).rows
    assert (row.input, row.inputs) == ("/00.txt +3", ("/00.txt",) * 4)


def test_where_the_time_of_a_job_went(client: Client, job: JobInfo) -> None:
    found = client.timing(str(job))
    spans = [span for worker in found.workers for span in worker.spans]
    assert len(spans) == 12
    assert all(worker.name.startswith("mixer-") for worker in found.workers)
    assert all(0 < worker.busy_share <= 1 for worker in found.workers)
    for worker in found.workers:
        starts = [span.start_s for span in worker.spans]
        assert starts == sorted(starts)
        assert starts[0] >= 0
    assert set(found.phases) == {"download", "process", "upload"}
    p50, p95, most = found.phases["process"]
    assert 0 < p50 <= p95 <= most
    assert most >= 0.4
    assert [row.input for row in found.slowest][:1] == ["/10.txt"]
    assert len(found.slowest) == 12


# ---- jobs


def test_pages_of_jobs(client: Client, job: JobInfo, skipper: JobInfo) -> None:
    everything = client.page_job()
    assert everything.total == len(everything.rows) >= 3
    assert everything.total == len(list(client.list_job(all_projects=True)))
    found = client.page_job(pipeline="grow")
    assert [row.id for row in found.rows] == [j.id for j in client.list_job("grow")]
    (second,) = client.page_job(pipeline="grow", offset=1, limit=1).rows
    assert second.id == found.rows[1].id
    old, new = client.page_job(pipeline="grow", reverse=True).rows
    assert (new.id, old.id) == (found.rows[0].id, found.rows[1].id)
    (failed,) = client.page_job(states=["JOB_FAILURE"]).rows
    assert (str(failed), failed.failed, failed.total) == (str(job), 2, 12)
    assert (failed.done_share, failed.left_s) == (1.0, None)
    (hit,) = client.page_job(search=skipper.id[:10].upper()).rows
    assert (hit.processed, hit.skipped, hit.output_commit) == (4, 12, f"grow@{skipper.id}")
    sorts = ("created", "pipeline", "state", "total", "time")
    assert {client.page_job(sort=sort).total for sort in sorts} == {everything.total}
    totals = [row.total for row in client.page_job(sort="total").rows]
    assert totals == sorted(totals, reverse=True)
    with pytest.raises(NotFound, match="nobody"):
        client.page_job(pipeline="nobody")
    with pytest.raises(InvalidArgument, match="not sorted by"):
        client.page_job(sort="colour")


# ---- files, commits, differences


@pytest.fixture(scope="module")
def folder(client: Client) -> str:
    client.create_repo("folder")
    with client.put("folder@master") as to:
        for n in range(3_000):
            to.data(f"/many/file-{n:04d}", b"x" * (n % 7))
        to.data("/many/sub/deep", b"12345678")
    return "folder@master:/many"


def listed(client: Client, folder: str) -> list[str]:
    return [file.path for file in client.list_file(folder)]


@pytest.mark.parametrize("offset", [0, 1, 1234, 2_900, 3_000, 3_001, 5_000])
def test_a_page_of_a_folder_begins_anywhere(client: Client, folder: str, offset: int) -> None:
    names = listed(client, folder)
    page = client.page_file(folder, offset=offset, limit=150)
    assert page.total == len(names) == 3_001
    assert [file.path for file in page.rows] == names[offset : offset + 150]
    back = client.page_file(folder, offset=offset, limit=150, reverse=True)
    assert [file.path for file in back.rows] == names[::-1][offset : offset + 150]


def test_a_folder_by_size_and_by_search(client: Client, folder: str) -> None:
    first = client.page_file(folder, sort="size", limit=3)
    assert first.rows[0].path == "/many/sub/"
    assert [file.size_bytes for file in first.rows] == [8, 6, 6]
    small = client.page_file(folder, sort="size", offset=2_990).rows
    assert {file.size_bytes for file in small} == {0}
    found = client.page_file(folder, search="FILE-12", offset=98, limit=5)
    assert (found.total, [f.path for f in found.rows]) == (
        100,
        ["/many/file-1298", "/many/file-1299"],
    )
    both = client.page_file(folder, search="-000", sort="size", reverse=True)
    assert [f.size_bytes for f in both.rows] == sorted(n % 7 for n in range(10))
    assert client.page_file(folder, search="nothing").total == 0
    (own,) = client.page_file(f"{folder}/sub/deep").rows
    assert (own.path, own.size_bytes) == ("/many/sub/deep", 8)
    with pytest.raises(InvalidArgument, match="not sorted by"):
        client.page_file(folder, sort="colour")
    with pytest.raises(NotFound):
        client.page_file("folder@master:/none")


def test_a_part_of_a_file(client: Client) -> None:
    client.create_repo("parts")
    content = bytes(range(256)) * 4_000
    client.put_file("parts@master:/f", content)
    for offset, limit in ((0, 10), (5, 0), (1_000_000, 100_000), (1_023_999, 10), (2_000_000, 5)):
        got = client.get_file("parts@master:/f", offset=offset, limit=limit)
        assert got == content[offset : offset + limit]
    assert client.get_file("parts@master:/f", offset=7) == content[7:]
    with pytest.raises(InvalidArgument):
        client.get_file("parts@master:/f", limit=-1)


def test_pages_of_commits(client: Client) -> None:
    client.create_repo("chain")
    ids = []
    for n in range(7):
        with client.put("chain@master", description=f"step {n}") as to:
            to.data("/f", str(n).encode())
        ids.insert(0, client.inspect_commit("chain@master").id)
    client.create_branch("chain@old", head=ids[3])
    client.put_file("chain@old:/g", b"")
    fork = client.inspect_commit("chain@old").id
    page = client.page_commit("chain", offset=0, limit=3)
    assert (page.total, [c.id for c in page.rows]) == (8, [fork, *ids[:2]])
    assert [c.id for c in client.page_commit("chain", offset=6).rows] == ids[5:]
    page = client.page_commit("chain@master", offset=5, limit=10)
    assert (page.total, [c.id for c in page.rows]) == (7, ids[5:])
    old = client.page_commit("chain@old")
    assert [c.id for c in old.rows] == [fork, *ids[3:]]  # also what it was made from
    found = client.page_commit("chain@master", search="STEP 4")
    assert (found.total, found.rows[0].description) == (1, "step 4")
    assert client.page_commit("chain", search=ids[2][:9]).total == 1
    client.squash_commit(f"chain@{ids[1]}")
    assert [c.id for c in client.page_commit("chain@master").rows] == [ids[0], *ids[2:]]
    with pytest.raises(NotFound):
        client.page_commit("chain@none")
    client.create_branch("chain@empty")
    assert client.page_commit("chain@empty").total == 0


def test_pages_of_differences(client: Client) -> None:
    client.create_repo("changes")
    with client.put("changes@master") as to:
        for name in ("a", "b", "c", "d/e"):
            to.data(f"/{name}", b"12")
    with client.put("changes@master") as to:
        to.delete("/a")
        to.data("/b", b"1234567")
        for n in range(5):
            to.data(f"/new/{n}", b"123")
    page = client.page_diff("changes@master:/", limit=3)
    assert (page.total, page.added, page.removed, page.changed) == (7, 5, 1, 1)
    assert page.bytes_delta == 5 * 3 - 2 + 5
    paths = [(c.new or c.old).path for c in page.rows if c.new or c.old]  # type: ignore[union-attr]
    assert paths == ["/a", "/b", "/new/0"]
    rest = client.page_diff("changes@master:/", "changes@master^:/", offset=3)
    assert [c.new.path for c in rest.rows if c.new] == [f"/new/{n}" for n in range(1, 5)]
    assert client.page_diff("changes@master:/d").total == 0
    assert client.page_diff("changes@master:/", offset=50).rows == ()


def test_who_reads_a_repo(client: Client, job: JobInfo) -> None:
    assert client.repo_users("mixed") == ("mixer",)
    assert client.repo_users("mixer") == ()
    with pytest.raises(NotFound):
        client.repo_users("nothing")


# ---- the box at a glance


def test_the_whole_at_a_glance(client: Client, job: JobInfo, skipper: JobInfo) -> None:
    found = client.summary()
    assert found.event_seq > 0
    assert found.version == client.status().version
    assert not found.read_only
    pipelines = {one.name: one for one in found.pipelines}
    assert list(pipelines) == sorted(pipelines)
    mixer = pipelines["mixer"]
    assert (mixer.kind, mixer.inputs, mixer.output) == (
        "transform",
        ("mixed@master",),
        "mixer@master",
    )
    assert mixer.job is not None
    assert str(mixer.job) == str(job)
    grow = pipelines["grow"]
    assert grow.job is not None
    assert (str(grow.job), grow.repo_bytes) == (str(skipper), 16 * 2)
    repos = {one.name: one for one in found.repos}
    assert (repos["grown"].size_bytes, repos["grown"].provenance) == (32, False)
    assert repos["grow"].provenance
    assert repos["grow"].head == skipper.id
    assert "master" in repos["grow"].branches
    assert found.jobs == client.page_job().rows[:50]
    assert found.machine.memory_total > found.machine.memory_used > 0
    assert found.machine.disk_total >= found.machine.disk_used > 0
    assert 0 <= found.machine.cpu <= 1
    assert found.disk.data > 0


def test_a_failed_job_wants_attention_until_one_succeeds(client: Client) -> None:
    client.create_repo("luck")
    client.put_file("luck@master:/f", b"")
    create(client, "unlucky", "exit 1", "luck")
    failed = last(client, "unlucky")

    def wrong() -> list[tuple[str, str, str]]:
        found = client.summary().attention
        return [(a.level, a.kind, a.ref) for a in found if "unlucky" in a.ref]

    assert wrong() == [("error", "job", str(failed))]
    (one,) = [a for a in client.summary().attention if a.ref == str(failed)]
    assert "1 of 1 datums" in one.text
    assert one.remedy
    assert one.since == failed.finished
    create(client, "unlucky", "sleep 30", "luck")
    eventually(lambda: client.page_job(pipeline="unlucky", states=["JOB_RUNNING"]).rows, "runs")
    assert wrong() == [("error", "job", str(failed))]  # the new one has not told yet
    client.stop_job(str(client.page_job(pipeline="unlucky").rows[0]))
    assert wrong() == [("error", "job", str(failed))]
    create(client, "unlucky", "true", "luck")
    assert last(client, "unlucky").state == "JOB_SUCCESS"
    assert wrong() == []


def test_a_source_that_crashes_wants_attention(client: Client) -> None:
    client.create_repo("sourced")
    client.create_ingest(
        {"name": "broken", "to": "sourced@master", "command": {"cmd": ["sh", "-c", "exit 3"]}}
    )

    def look() -> Iterator[str]:
        return (a.text for a in client.summary().attention if a.ref == "broken")

    text = eventually(lambda: next(look(), ""), "it is told")
    assert text.startswith("command broken ")
    assert any(i.name == "broken" for i in client.summary().ingests)
    client.pause_ingest("broken")
    eventually(lambda: not list(look()), "one that is paused is nobody's worry")
    client.delete_ingest("broken")


def test_a_cron_is_shown_as_one(client: Client) -> None:
    client.create_pipelines(
        {
            "pipeline": {"name": "clock"},
            "input": {"cron": {"name": "tick", "spec": "@yearly"}},
            "transform": {"cmd": ["true"]},
        }
    )
    (clock,) = [p for p in client.summary().pipelines if p.name == "clock"]
    assert (clock.kind, clock.inputs, clock.crons) == ("cron", (), ("clock_tick",))
    client.delete_pipeline("clock")
    assert "clock" not in {p.name for p in client.summary().pipelines}


def test_the_newest_jobs_after_deletions_and_a_restart(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home").start()
    try:
        client = box.client
        client.create_repo("in")
        client.put_file("in@master:/f", b"1")
        create(client, "p", "true", "in")
        first = last(client, "p")
        client.put_file("in@master:/f", b"2")
        second = last(client, "p")
        assert [str(j) for j in client.summary().jobs] == [str(second), str(first)]
        client.delete_job(str(second))
        found = client.summary()
        assert [str(j) for j in found.jobs] == [str(first)]
        assert str(found.pipelines[0].job) == str(first)
        box.stop()
        box.start()
        assert [str(j) for j in box.client.summary().jobs] == [str(first)]
    finally:
        box.stop()


async def test_the_asyncio_client_has_them_too(shared_box: RealBox, job: JobInfo) -> None:
    async with AsyncClient(str(shared_box.socket)) as box:
        assert (await box.summary()).pipelines
        assert (await box.page_datum(str(job), limit=1)).total == 12
