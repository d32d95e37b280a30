"""Datum batching on a real box: user code is started once for many datums."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import pachybox
from tests.boxes import RealBox

ROOT = str(Path(pachybox.__file__).parents[1])
NEXT = "import sys; sys.path.append(sys.argv[1]); from pachybox.worker.next import next_datum\n"
LOOP = """
import os
print("started", flush=True)
error, n = "", 0
while (env := next_datum(error)) is not None:
    error, n = "", n + 1
    path = env["in"]
    name, text = os.path.basename(path), open(path).read()
    {body}
print("no more after", n, flush=True)
"""
COPY = 'open("/pfs/out/" + name, "w").write(text)'

pytestmark = [
    pytest.mark.box("shared"),
    pytest.mark.skipif(os.environ.get("PACHYBOX_SHIM") == "off", reason="batching needs the shim"),
]


def code(body: str = COPY) -> dict[str, Any]:
    """A transform that does ``body`` for each datum: text, name, env, error."""
    indented = body.strip().replace("\n", "\n    ")
    cmd = [sys.executable, "-c", NEXT + LOOP.replace("{body}", indented), ROOT]
    return {"cmd": cmd, "datum_batching": True}


def create(box: RealBox, transform: dict[str, Any], workers: int = 1, **more: Any) -> None:
    spec = {
        "pipeline": {"name": "p"},
        "input": {"pfs": {"repo": "in", "glob": "/*"}},
        "parallelism_spec": {"constant": workers},
        "transform": transform,
        **more,
    }
    box.client.create_pipelines(json.dumps(spec), update=True)


def put(box: RealBox, files: dict[str, str]) -> None:
    if not any(r.name == "in" for r in box.client.list_repo()):
        box.client.create_repo("in")
    with box.client.put("in@master") as to:
        for name, text in files.items():
            to.data(f"/{name}", text.encode())


def numbered(count: int) -> dict[str, str]:
    return {f"f{n:03}": f"text {n}" for n in range(count)}


def done(box: RealBox) -> Any:
    return box.client.wait_job(f"p@{next(iter(box.client.list_job('p'))).id}")


def said(box: RealBox, job: Any) -> Counter[str]:
    return Counter(m.message for m in box.client.logs(job=f"p@{job.id}"))


def output(box: RealBox) -> dict[str, str]:
    c = box.client
    return {
        f.path.lstrip("/"): c.get_file(f"p@master:{f.path}").decode()
        for f in c.list_file("p@master:/")
    }


ALL: dict[str, Any] = {"datum_set_spec": {"number": 1_000_000}}


def test_one_start_serves_all_datums_and_the_next_job_has_its_own(box: RealBox) -> None:
    put(box, numbered(50))
    create(box, code(), **ALL)
    job = done(box)
    assert (job.state, job.processed) == ("JOB_SUCCESS", 50)
    assert output(box) == numbered(50)
    assert said(box, job)["started"] == 1
    put(box, {"f007": "other", "more": "new"})
    job = done(box)
    assert (job.state, job.processed, job.skipped) == ("JOB_SUCCESS", 2, 49)
    assert output(box) == {**numbered(50), "f007": "other", "more": "new"}
    assert said(box, job)["started"] == 1


def test_shell_code_asks_by_the_command_line(box: RealBox) -> None:
    lines = [
        "echo started",
        'while pachybox next datum --error "$wrong"; do . /pfs/.env; wrong=',
        '  cp "$in" /pfs/out/; case $in in *f001) wrong="no f001";; esac',
        "done",
    ]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    put(box, numbered(3))
    transform = {"cmd": ["sh"], "stdin": lines, "datum_batching": True, "env": {"PATH": path}}
    create(box, transform, datum_tries=1, **ALL)
    job = done(box)
    assert (job.state, job.processed, job.failed) == ("JOB_FAILURE", 2, 1)
    assert "no f001" in job.reason
    assert said(box, job)["started"] == 1


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        ({"datum_set_spec": {"number": 5}}, 4),
        ({"chunk_spec": {"size_bytes": 7 * 4}}, 5),
        ({"datum_set_spec": {"per_worker": 2}}, 2),
        ({}, 4),
    ],
)
def test_a_set_has_a_start_of_its_own(box: RealBox, given: dict[str, Any], starts: int) -> None:
    put(box, {name: "7 bytes" for name in numbered(20)})
    create(box, code(), **given)
    job = done(box)
    assert (job.state, job.processed) == ("JOB_SUCCESS", 20)
    assert said(box, job)["started"] == starts


def test_workers_share_the_sets(box: RealBox) -> None:
    put(box, numbered(40))
    create(box, code("import time; time.sleep(0.02)\n" + COPY), workers=2)
    job = done(box)
    assert (job.state, job.processed) == ("JOB_SUCCESS", 40)
    assert output(box) == numbered(40)
    assert 8 <= said(box, job)["started"] <= 9


def test_an_error_is_tried_again_and_is_no_other_datums(box: RealBox) -> None:
    """The code goes on; only the datum that failed is run again, and fails the job."""
    put(box, numbered(6))
    body = COPY + '\nprint("saw", name, flush=True)\nerror = "no threes" if "3" in name else ""'
    create(box, code(body), datum_tries=3, **ALL)
    job = done(box)
    assert (job.state, job.processed, job.failed) == ("JOB_FAILURE", 5, 1)
    assert "no threes" in job.reason
    lines = said(box, job)
    assert lines["started"] == 1
    assert {n: lines[f"saw {n}"] for n in numbered(6)} == {
        n: 3 if n == "f003" else 1 for n in numbered(6)
    }


def test_code_that_ends_early_is_started_again(box: RealBox) -> None:
    """Its datum fails with the reason; the others do not."""
    put(box, numbered(6))
    create(box, code(f"if '3' in name: os._exit(4)\n{COPY}"), datum_tries=2, **ALL)
    job = done(box)
    assert (job.state, job.processed, job.failed) == ("JOB_FAILURE", 5, 1)
    assert "exit status 4) before it asked for the next datum" in job.reason
    assert said(box, job)["started"] >= 2


def test_the_err_cmd_recovers_a_datum(box: RealBox) -> None:
    put(box, numbered(4))
    transform = code('error = "bad" if "2" in name else ""\n' + COPY)
    create(box, {**transform, "err_cmd": ["sh", "-c", "echo rescued $in"]}, datum_tries=1, **ALL)
    job = done(box)
    assert (job.state, job.processed, job.recovered) == ("JOB_SUCCESS", 3, 1)
    assert said(box, job)["rescued /pfs/in/f002"] == 1
    assert sorted(output(box)) == ["f000", "f001", "f003"]


def test_a_datum_over_its_time_takes_nothing_else_along(box: RealBox) -> None:
    put(box, numbered(4))
    body = f"import time; time.sleep(1000 if '1' in name else 0)\n{COPY}"
    create(box, code(body), datum_timeout="1s", datum_tries=1, **ALL)
    job = done(box)
    assert (job.state, job.processed, job.failed) == ("JOB_FAILURE", 3, 1)
    assert "timed out after 1s" in job.reason


def test_a_stopped_job_ends_the_code(box: RealBox) -> None:
    put(box, numbered(2))
    create(box, code("import time; time.sleep(1000)"), **ALL)
    job = next(iter(box.client.list_job("p")))
    next(iter(box.client.logs(job=f"p@{job.id}", follow=True)))
    box.client.stop_job(f"p@{job.id}")
    assert done(box).state == "JOB_KILLED"
    create(box, code(), **ALL)
    assert done(box).state == "JOB_SUCCESS"


def test_it_saves_the_start_of_each_datum(box: RealBox) -> None:
    """Python is started once for 60 datums and not 60 times."""
    files = numbered(60)
    put(box, files)
    alone = "import os, sys, json, socket; p = os.environ['in']; sys.path.append(sys.argv[1])\n"
    alone += "open('/pfs/out/' + os.path.basename(p), 'w').write(open(p).read())"
    took = []
    for transform in ({"cmd": [sys.executable, "-c", alone, ROOT]}, code()):
        began = time.monotonic()
        create(box, transform, reprocess_spec="every_job")
        assert done(box).processed == len(files)
        took.append(time.monotonic() - began)
        assert output(box) == files
    print("seconds:", took)
    assert took[1] < took[0] / 2, took


SDK = """
import os, sys
from pachyderm_sdk import Client, batch_all_datums
worker = Client().worker
print("started", flush=True)

@batch_all_datums
def each():
    path = os.environ["in"]
    name, text = os.path.basename(path), open(path).read()
    {body}

each()
"""


def sdk(body: str = COPY) -> dict[str, Any]:
    """A transform that does ``body`` for each datum by pachyderm_sdk's own loop."""
    indented = body.strip().replace("\n", "\n    ")
    cmd = [sys.executable, "-c", SDK.replace("{body}", indented)]
    return {"cmd": cmd, "datum_batching": True}


def test_pachyderm_s_sdk_asks_by_the_worker_api(box: RealBox) -> None:
    put(box, numbered(5))
    status = """
seen = worker.status()
assert seen.job_id == os.environ["PACH_JOB_ID"], seen
assert [one.path for one in seen.datum_status.data] == ["/" + name], seen
assert not worker.cancel(job_id=seen.job_id, data_filters=["/other"]).success
if name == "f001": raise ValueError("not f001")
"""
    create(box, sdk(status + COPY), datum_tries=1, **ALL)
    job = done(box)
    assert (job.state, job.processed, job.failed) == ("JOB_FAILURE", 4, 1)
    assert "not f001" in job.reason
    create(box, sdk(), datum_set_spec={"number": 3}, reprocess=True)
    job = done(box)
    assert (job.state, job.total, job.failed) == ("JOB_SUCCESS", 5, 0)
    assert output(box) == numbered(5)
    assert said(box, job)["started"] == 2
    assert not [text for text in said(box, job) if "Traceback" in text]
    # code that does not batch has no such port
    show = {"cmd": ["sh"], "stdin": ['echo "port:$PPS_WORKER_GRPC_PORT"']}
    create(box, show, reprocess=True)
    job = done(box)
    assert said(box, job)["port:"] == 5
