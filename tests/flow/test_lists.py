"""Lists of pipelines, jobs and datums through the API: filters, pages, datums planned on demand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from pachybox.errors import InvalidArgument, NotFound, Refused, Unimplemented
from tests.boxes import RealBox

PPS = "pps_v2.API"
PFS = {"project": "default", "repo": "lists", "branch": "master", "glob": "/*", "name": "in"}


@pytest.fixture(scope="module")
def lists(shared_box: RealBox) -> RealBox:
    """A box with two pipelines over a repo; three jobs each."""
    client = shared_box.client
    client.create_repo("lists")
    for name in ("even", "odd"):
        spec = {
            "pipeline": {"name": name},
            "description": f"an {name} one",
            "input": {"pfs": {"repo": "lists", "glob": "/*"}},
            "transform": {"cmd": ["true"]},
        }
        client.create_pipelines(json.dumps(spec))
    for n in range(3):
        with client.put("lists@master") as to:
            to.data(f"/{n}", b"x")
        for name in ("even", "odd"):
            client.wait_job(f"{name}@{next(iter(client.list_job(name))).id}")
    return shared_box


def listed(box: RealBox, method: str, **fields: Any) -> list[dict[str, Any]]:
    return list(box.client.stream(PPS, method, **fields))


def names(found: Iterable[dict[str, Any]]) -> list[str]:
    return [one["pipeline"]["name"] for one in found]


def test_jq_filters(lists: RealBox) -> None:
    assert names(listed(lists, "ListPipeline")) == ["odd", "even"]
    for program, kept in [
        ('.pipeline.name == "even"', ["even"]),
        ('.details.description | test("odd")', ["odd"]),
        ('.last_job_state == "JOB_SUCCESS"', ["odd", "even"]),
        ("empty", []),
        (".details.nothing", []),
        ("1, false", ["odd", "even"]),
    ]:
        assert names(listed(lists, "ListPipeline", details=True, jqFilter=program)) == kept
    jobs = listed(lists, "ListJob", jq_filter='.job.pipeline.name == "odd"', number="2")
    assert [j["job"]["pipeline"]["name"] for j in jobs] == ["odd", "odd"]
    assert len(listed(lists, "ListJobSet", jqFilter=".jobs | length == 2")) == 3


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (".a |", "syntax error"),
        ("nonsense(.)", "not defined"),
        ('import "hosts" as $d {search: "/etc"}; $d', "Could not open|too many|not found"),
        ('"a" * 2000000000 | length', "too much memory"),
        ('error("as I please")', "as I please"),
    ],
)
def test_wrong_filters_are_refused(lists: RealBox, program: str, said: str) -> None:
    for method in ("ListPipeline", "ListJob", "ListJobSet"):
        with pytest.raises(InvalidArgument, match=said):
            listed(lists, method, jqFilter=program)


def test_jobs_by_pages(lists: RealBox) -> None:
    whole = listed(lists, "ListJob", pipeline={"name": "even"})
    assert len(whole) == 3
    pages: list[dict[str, Any]] = []
    marker = None
    while page := listed(
        lists, "ListJob", pipeline={"name": "even"}, number="1", pagination_marker=marker
    ):
        pages += page
        marker = page[0]["created"]
    assert pages == whole
    after = listed(
        lists, "ListJob", pipeline={"name": "even"}, reverse=True,
        pagination_marker=whole[1]["created"],
    )  # fmt: skip
    assert after == whole[:1]
    sets = listed(lists, "ListJobSet")
    older = listed(lists, "ListJobSet", pagination_marker=sets[0]["jobs"][0]["created"])
    assert [s["jobSet"] for s in older] == [s["jobSet"] for s in sets[1:]]


def test_pipelines_by_pages_versions_and_runs(lists: RealBox) -> None:
    pages = [
        listed(lists, "ListPipeline", page={"page_size": "1", "page_index": n}) for n in range(3)
    ]
    assert [names(p) for p in pages] == [["odd"], ["even"], []]
    run = listed(lists, "ListJob", pipeline={"name": "even"})[0]["job"]["id"]
    spec = json.loads(lists.client.extract_pipeline("even"))
    spec["description"] = "new"
    lists.client.create_pipelines(json.dumps(spec), update=True)
    then = listed(lists, "ListPipeline", commit_set={"id": run}, details=True)
    assert {p["pipeline"]["name"]: p["version"] for p in then} == {"even": "1", "odd": "1"}
    shown = listed(lists, "ListPipeline", pipeline={"name": "even"}, history="-1")
    assert [p["version"] for p in shown] == ["2", "1"]
    assert listed(lists, "ListPipeline", commit_set={"id": "0" * 32}) == []


def create_datum(box: RealBox, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    body = "".join(json.dumps(r) + "\n" for r in requests).encode()
    headers = {"Content-Type": "application/json"}
    with box.client.transport.request("POST", f"/api/{PPS}/CreateDatum", body, headers) as answer:
        lines = [json.loads(line) for line in answer.checked().lines()]
    return [
        line["result"]["data"][0]["file"]["path"] if "result" in line else line for line in lines
    ]


def test_datums_of_an_input_as_they_are_asked_for(lists: RealBox) -> None:
    start = {"start": {"input": {"pfs": PFS}, "number": 2}}
    assert create_datum(lists, start) == ["/0", "/1"]
    assert create_datum(lists, start, {"continue": {"number": 5}}) == ["/0", "/1", "/2"]
    assert create_datum(lists, {"start": {"input": {"pfs": PFS}}}) == ["/0", "/1", "/2"]
    assert create_datum(lists, {"start": {"input": {"pfs": {"repo": "lists"}}}}) == ["/"]
    found = listed(lists, "ListDatum", input={"pfs": PFS})
    assert [d["data"][0]["file"]["path"] for d in found] == ["/0", "/1", "/2"]
    ids = [d["datum"]["id"] for d in found]
    behind = listed(lists, "ListDatum", input={"pfs": PFS}, pagination_marker=ids[0], number="1")
    assert [d["datum"]["id"] for d in behind] == ids[1:2]
    for wrong in ([{"continue": {}}], [{}]):
        with pytest.raises(InvalidArgument, match="must be start"):
            create_datum(lists, *wrong)
    assert "must be start" in str(create_datum(lists, start, start)[-1])
    with pytest.raises(NotFound, match="nowhere"):
        create_datum(lists, {"start": {"input": {"pfs": {**PFS, "repo": "nowhere"}}}})


def test_what_a_cluster_alone_has(lists: RealBox) -> None:
    assert listed(lists, "GetKubeEvents") == []
    assert listed(lists, "ListTask") == []
    with pytest.raises(Refused, match="loki not configured"):
        listed(lists, "QueryLoki", query="{}")
    for method in ("UpdateJobState", "RunLoadTest", "RunLoadTestDefault"):
        with pytest.raises(Unimplemented, match=method):
            lists.client.call(PPS, method)


def test_a_pipeline_that_is_not_there_is_an_error_when_it_must_exist(lists: RealBox) -> None:
    for method in ("DeletePipeline", "StopPipeline"):
        assert lists.client.call(PPS, method, pipeline={"name": "no"}) == {}
        with pytest.raises(NotFound, match=r'pipeline "(default/)?no" not found'):
            lists.client.call(PPS, method, pipeline={"name": "no"}, must_exist=True)


def test_a_pipeline_is_run_on_chosen_commits(lists: RealBox) -> None:
    first = [c.id for c in lists.client.list_commit("lists@master")][-1]
    commit = {"repo": {"name": "lists", "type": "user"}, "id": first}
    lists.client.call(PPS, "RunPipeline", pipeline={"name": "odd"}, provenance=[commit])
    job = lists.client.wait_job(f"odd@{next(iter(lists.client.list_job('odd'))).id}")
    assert (job.state, job.total) == ("JOB_SUCCESS", 1)
