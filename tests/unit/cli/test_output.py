"""What commands print: golden tables, records, errors; and what they ask the box."""
# ruff: noqa: E501  # the tables are as wide as they are

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pachybox.cli.output import Output, Painted, span
from pachybox.errors import NotFound

ID = "0123456789ab4cdef0123456789abcde"
OLD = "00000000000040000000000000000000"
TIME = "2026-01-02T03:04:05Z"


def repo(name: str) -> dict[str, Any]:
    return {"name": name, "type": "user", "project": {"name": "default"}}


def commit(name: str, id: str = ID, branch: str = "master") -> dict[str, Any]:
    return {"repo": repo(name), "id": id, "branch": {"repo": repo(name), "name": branch}}


REPOS = [
    {
        "repo": repo("images"),
        "created": TIME,
        "details": {"sizeBytes": "1536"},
        "description": "from the microscope",
    },
    {"repo": repo("a"), "created": TIME, "sizeBytesUpperBound": "0"},
]
COMMITS = [
    {
        "commit": commit("images"),
        "origin": {"kind": "USER"},
        "started": TIME,
        "finished": TIME,
        "details": {"sizeBytes": "2048"},
        "directSubvenance": [commit("edges")],
        "description": "run 12",
    },
    {"commit": commit("images", OLD), "started": TIME, "error": "boom"},
]
SET = [
    *COMMITS[:1],
    {"commit": commit("edges"), "finished": TIME, "directProvenance": [commit("images")]},
    {"commit": commit("montage"), "directProvenance": [commit("edges")]},
]
FILES = [
    {"file": {"commit": commit("images"), "path": "/d/"}, "fileType": "DIR", "sizeBytes": "3072"},
    {
        "file": {"commit": commit("images"), "path": "/a b.png"},
        "fileType": "FILE",
        "sizeBytes": "7",
    },
]
PIPELINES = [
    {
        "pipeline": {"name": "edges", "project": {"name": "default"}},
        "version": "3",
        "state": "PIPELINE_RUNNING",
        "lastJobState": "JOB_SUCCESS",
        "runner": "kubernetes",
        "details": {
            "createdAt": TIME,
            "description": "finds edges",
            "input": {
                "cross": [
                    {"pfs": {"repo": "images", "glob": "/*"}},
                    {"union": [{"cron": {"name": "tick", "spec": "@daily"}}]},
                ]
            },
        },
    },
    {"pipeline": {"name": "s"}, "version": "1", "state": "PIPELINE_CRASHING", "reason": "no cmd"},
]
JOBS = [
    {
        "job": {"pipeline": {"name": "edges"}, "id": ID},
        "created": TIME,
        "started": TIME,
        "finished": "2026-01-02T03:04:08.5Z",
        "state": "JOB_SUCCESS",
        "dataTotal": "5",
        "dataProcessed": "3",
        "dataSkipped": "1",
        "dataRecovered": "1",
        "stats": {"downloadBytes": "1024", "uploadBytes": "2048"},
        "outputCommit": commit("edges"),
    },
    {
        "job": {"pipeline": {"name": "s"}, "id": ID},
        "state": "JOB_FAILURE",
        "reason": "datum x\nfailed",
        "restart": "2",
    },
]
DATUMS = [
    {
        "datum": {"id": "d1", "job": JOBS[0]["job"]},
        "state": "SUCCESS",
        "stats": {"processTime": "1.5s", "downloadTime": "0.25s"},
        "data": [FILES[1]],
    },
    {"datum": {"id": "d2", "job": JOBS[0]["job"]}, "state": "FAILED"},
]
BRANCHES = [{"branch": {"repo": repo("images"), "name": "master"}, "head": commit("images")}]
TRIGGERED = [
    {"branch": {"name": "x"}, "trigger": {"branch": "master", "size": "1MB", "commits": "3"}}
]
ANSWERS = {
    "ListRepo": REPOS,
    "InspectRepo": REPOS[0],
    "ListCommit": COMMITS,
    "InspectCommitSet": lambda body: SET if body["commit_set"]["id"] == ID else COMMITS[1:],
    "InspectCommit": COMMITS[0],
    "ListCommitSet": [{"commitSet": {"id": ID}, "commits": SET}],
    "ListBranch": BRANCHES,
    "ListFile": FILES,
    "InspectFile": FILES[1],
    "ListHistory": FILES[1:],
    "ListPipeline": PIPELINES,
    "InspectPipeline": PIPELINES[0],
    "ListJob": JOBS,
    "InspectJob": JOBS[0],
    "InspectJobSet": JOBS,
    "ListDatum": DATUMS,
    "InspectDatum": DATUMS[0],
    "ListProject": [{"project": {"name": "default"}, "createdAt": TIME}],
    "DiffFile": [{"newFile": FILES[1]}, {"oldFile": FILES[0], "newFile": FILES[0]}],
    "ListTransaction": {"transactionInfo": [{"transaction": {"id": "t"}, "started": TIME}]},
}
GOLDEN = {
    "list repo": """
NAME   CREATED              SIZE (MASTER) DESCRIPTION
images 2026-01-02T03:04:05Z 1.5KiB        from the microscope
a      2026-01-02T03:04:05Z 0B
""",
    "list repo -A": """
PROJECT NAME   CREATED              SIZE (MASTER) DESCRIPTION
default images 2026-01-02T03:04:05Z 1.5KiB        from the microscope
default a      2026-01-02T03:04:05Z 0B
""",
    "list commit images@master": f"""
REPO   BRANCH COMMIT                           FINISHED             SIZE PROGRESS DESCRIPTION
images master {ID} 2026-01-02T03:04:05Z 2KiB 1/2      run 12
images master {OLD} -                    -    failed
""",
    "list commit": f"""
ID                               SUBCOMMITS PROGRESS CREATED
{ID} 3          2/3      2026-01-02T03:04:05Z
""",
    "list branch images": f"""
BRANCH HEAD
master {ID}
""",
    "list file images@master": """
NAME     TYPE SIZE
/d/      dir  3KiB
/a b.png file 7B
""",
    "list file images@master:/a --history all": f"""
COMMIT                           NAME     TYPE COMMITTED SIZE
{ID} /a b.png file -         7B
""",
    "diff file images@master:/ --name-only": """
OP NAME     TYPE SIZE
+  /a b.png file 7B
-  /d/      dir  3KiB
+  /d/      dir  3KiB
""",
    "list pipeline": """
NAME  VERSION INPUT                      CREATED              STATE / LAST JOB  RUNNER     DESCRIPTION
edges 3       (images:/* ⨯ (tick:@daily)) 2026-01-02T03:04:05Z running / success kubernetes finds edges
s     1       none                       -                    crashing / -
""",
    "check status": """
PROJECT PIPELINE ALERTS
default s        pipeline is crashing: no cmd
""",
    "list job": f"""
ID                               PIPELINE STARTED              DURATION RESTART PROGRESS      DL   UL   STATE
{ID} edges    2026-01-02T03:04:05Z 3.50s    0       3 + 1 + 1 / 5 1KiB 2KiB success
{ID} s        -                    -        2       0 + 0 / 0     0B   0B   failure: datum x failed
""",
    "list datum edges@" + ID: """
ID STATUS  TIME
d1 success 1.75s
d2 failed  0.00s
""",
    "list project": """
NAME    CREATED              DESCRIPTION
default 2026-01-02T03:04:05Z -
""",
    "list transaction": """
TRANSACTION STARTED              OPS
t           2026-01-02T03:04:05Z 0
""",
    "inspect repo images": """
Name: images
Description: from the microscope
Created: 2026-01-02T03:04:05Z
Size of HEAD on master: 1.5KiB
""",
    "inspect job edges@" + ID: f"""
ID: {ID}
Pipeline: edges
Version: 0
State: success
Created: 2026-01-02T03:04:05Z
Started: 2026-01-02T03:04:05Z
Duration: 3.50s
Restarts: 0
Processed: 3
Skipped: 1
Failed: 0
Recovered: 1
Total: 5
Data Downloaded: 1KiB
Data Uploaded: 2KiB
Output Commit: edges@{ID}
""",
}  # fmt: skip


@pytest.fixture(autouse=True)
def answers(box: Any) -> None:
    box.answers.update(ANSWERS)


@pytest.mark.parametrize("command", GOLDEN)
def test_tables_are_as_documented(run: Any, command: str) -> None:
    words = command.split()
    if words[0] not in ("diff", "check"):
        words.append("--full-timestamps")
    done = run(*words)
    assert done.err == ""
    assert done.status == 0
    expected = GOLDEN[command].strip("\n").splitlines()
    got = done.out.splitlines()
    if "⨯" in done.out:  # the sign is one column wide; compare cells instead of padding
        assert [line.split() for line in got] == [line.split() for line in expected]
    else:
        assert got == expected


@pytest.mark.parametrize(
    ("command", "records"),
    [
        ("list repo", REPOS),
        ("list commit images", COMMITS),
        ("list file images@master", FILES),
        ("list pipeline", PIPELINES),
        ("list job", JOBS),
        (f"list datum edges@{ID}", DATUMS),
        ("inspect repo images", REPOS[:1]),
        ("inspect commit images@master", COMMITS[:1]),
    ],
)
def test_raw_and_json_print_each_record_as_the_api_gives_it_and_yaml_documents(
    run: Any, command: str, records: list[Any]
) -> None:
    import yaml

    for flag in ("--raw", "-ojson"):
        done = run(*command.split(), flag)
        assert [json.loads(line) for line in done.out.splitlines()] == records
    done = run(*command.split(), "-o", "yaml")
    assert list(yaml.safe_load_all(done.out)) == records


def test_ages_are_words(run: Any, box: Any) -> None:
    then = (datetime.now(UTC) - timedelta(minutes=2, seconds=5)).isoformat()
    box.answers["ListRepo"] = [{"repo": repo("a"), "created": then}]
    assert "2 minutes ago" in run("list", "repo").out


def test_triggers_have_a_column_when_there_are_any(run: Any, box: Any) -> None:
    box.answers["ListBranch"] = TRIGGERED
    lines = run("list", "branch", "images").out.splitlines()
    assert lines[0].split() == ["BRANCH", "HEAD", "TRIGGER"]
    assert lines[1].endswith("master on Size(1MB) or Commits(3)")


def test_an_error_is_one_line_with_its_remedy_and_exit_1(run: Any, box: Any) -> None:
    box.answers["InspectRepo"] = NotFound("repo x\nnot found", "see: pachybox list repo")
    done = run("inspect", "repo", "x")
    assert done == (1, "", "pachybox: repo x not found; see: pachybox list repo\n")


def test_no_box_says_how_to_start_one(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACHYBOX_ADDRESS", "/nowhere/box.sock")
    done = run("list", "repo")
    assert done.status == 1
    assert done.err == (
        "pachybox: no box answers at /nowhere/box.sock; start one with: pachybox up\n"
    )


def test_waiting_for_what_failed_exits_1_and_says_why(run: Any, box: Any) -> None:
    box.answers["InspectCommit"] = {
        "commit": commit("edges"),
        "error": "job failed",
        "finished": TIME,
    }
    done = run("wait", "commit", "edges@master")
    assert done.status == 1
    assert f"commit edges@{ID} finished with an error: job failed" in done.err
    done = run("wait", "job", ID)
    assert done.status == 1
    assert f"job s@{ID} ended as failure: datum x failed" in done.err
    box.answers["InspectCommit"] = COMMITS[0]
    assert run("wait", "commit", "edges@master").status == 0
    assert box.last("InspectCommit").body["wait"] == "FINISHED"


def test_filters_choose_among_jobs(run: Any) -> None:
    assert run("list", "job", "--state", "failure").out.count("\n") == 2
    assert run("list", "job", "-o", "edges@master").out.count("\n") == 2
    assert run("list", "job", "-o", "other@master").out.count("\n") == 1


def test_a_bare_job_id_that_names_several_jobs_lists_the_choice(run: Any) -> None:
    done = run("stop", "job", ID)
    assert done.status == 1
    assert f"choose one of edges@{ID}, s@{ID}" in done.err
    assert run("inspect", "job", ID).out.count("\n") == 3


def test_paging_datums(run: Any, box: Any) -> None:
    box.answers["ListDatum"] = [{"datum": {"id": f"d{i}"}} for i in range(10)]
    done = run("list", "datum", f"edges@{ID}", "--page", "1", "--pageSize", "3")
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == ["d3", "d4", "d5"]


def test_the_datums_of_a_spec_are_asked_for_with_its_input(
    run: Any, box: Any, tmp_path: Any
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("input:\n  pfs:\n    repo: images\n    glob: /*\n")
    done = run("list", "datum", "-f", str(spec))
    assert done.out.splitlines()[1] == "d1 images:/a b.png"
    assert box.last("ListDatum").body["input"] == {"pfs": {"repo": "images", "glob": "/*"}}


def test_logs_print_user_lines_worker_lines_or_all_raw(run: Any, box: Any) -> None:
    lines = [{"message": "mine\n", "user": True}, {"message": "theirs"}]
    box.answers["GetLogs"] = lines
    assert run("logs", "-p", "edges").out == "mine\n"
    assert run("logs", "-p", "edges", "--worker").out == "theirs\n"
    assert run("logs", "-p", "edges", "--raw").out.count("\n") == 2
    run("logs", "--job", f"edges@{ID}", "--datum", "d", "--since", "24h", "-t", "5")
    body = box.last("GetLogs").body
    assert body["since"] == "86400s"
    assert body["tail"] == "5"
    assert body["datum"]["job"]["id"] == ID
    assert run("logs", "--datum", "d").status == 1
    run("logs", "--job", ID)
    assert box.last("GetLogs").body["job"] == {"id": ID}


def test_colours_are_outside_the_padding() -> None:
    import io

    out = io.StringIO()
    Output(out, colour=True).table([(Painted.of("ok", "green"), "x")], ("STATE", "N"))
    assert out.getvalue() == "STATE N\n\033[32mok   \033[0m x\n"


def test_long_tables_are_written_as_they_come() -> None:
    import io

    out = io.StringIO()

    def rows() -> Any:
        for i in range(2000):
            if i == 1500:
                assert out.getvalue().count("\n") > 1000
            yield (str(i),)

    Output(out, colour=False).table(rows(), ("N",))
    assert out.getvalue().count("\n") == 2001


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.004, "0.00s"), (3.5, "3.50s"), (42, "42s"), (150, "2 minutes")]
)
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text
