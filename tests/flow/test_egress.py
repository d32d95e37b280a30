"""Egress from a real box: to a bucket that fails, across kill -9, into PostgreSQL by a secret."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.client.pipeline_values import JobInfo
from pachybox.errors import InvalidArgument, NotFound
from tests.boxes import RealBox, eventually
from tests.unit.pfs.s3_server import Faults, s3
from tests.unit.pps.postgres_server import PASSWORD, postgres, programs


class Target:
    """A bucket, and a box that may write to it."""

    def __init__(self, home: Path, config: dict[str, str], bucket: str) -> None:
        self.url = f"s3://{bucket}/out"
        self.content: dict[str, bytes] = {}
        self.faults = Faults()
        self.box = RealBox(
            home,
            {
                "AWS_ENDPOINT_URL": config["endpoint"],
                "AWS_ACCESS_KEY_ID": config["access_key_id"],
                "AWS_SECRET_ACCESS_KEY": config["secret_access_key"],
                "AWS_REGION": config["region"],
            },
        )


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    bucket, content, faults = f"b-{uuid.uuid4().hex[:12]}", {}, Faults()
    with s3({bucket: content}, faults) as config:
        made = Target(tmp_path / "home", config, bucket)
        made.content, made.faults = content, faults
        made.box.start()
        yield made
        made.box.stop()


def create(box: RealBox, egress: dict[str, Any], *script: str) -> None:
    box.client.create_repo("in")
    spec = {
        "pipeline": {"name": "p"},
        "transform": {"cmd": ["sh"], "stdin": list(script)},
        "input": {"pfs": {"repo": "in", "glob": "/"}},
        "egress": egress,
    }
    box.client.create_pipelines(json.dumps(spec))


def put(box: RealBox, data: bytes = b"x") -> str:
    box.client.put_file("in@master:/a", data)
    return f"p@{box.client.inspect_commit('in@master').id}"


def ended(box: RealBox, job: str) -> JobInfo:
    return box.client.wait_job(job)


def test_kill_9_in_the_middle_pushes_little_again(target: Target) -> None:
    many = "for n in $(seq 100 249); do echo $n > /pfs/out/$n; done"
    create(target.box, {"url": target.url}, many)
    reached, go = threading.Event(), threading.Event()

    def fault(method: str, key: str, attempt: int) -> str:
        if key == "out/150" and attempt == 1:
            threading.Event().wait(1.2)  # a slow server: longer than what is saved lags behind
        if key == "out/200" and attempt == 1:
            reached.set()
            go.wait(60)
        return ""

    target.faults.fault = fault
    job = put(target.box)
    assert reached.wait(60)
    saved = next(iter(target.box.client.events(follow=True, kinds=["job.egress"])))
    assert saved.data["state"] == "JOB_EGRESSING"
    assert int(saved.data["files"]) >= 51
    now = target.box.client.inspect_job(job)
    assert now.state == "JOB_EGRESSING"
    assert now.reason.endswith("are at the target")
    target.box.kill()
    go.set()
    before = len(target.faults.puts())
    target.box.start()
    assert ended(target.box, job).state == "JOB_SUCCESS"
    assert target.content == {f"out/{n}": b"%d\n" % n for n in range(100, 250)}
    puts = target.faults.puts()
    assert all(puts.count(f"out/{n}") == 1 for n in range(100, 151))
    assert len(puts) - before <= 150 - 51


def test_a_bucket_that_fails_for_a_while_is_tried_again(target: Target) -> None:
    target.faults.fault = lambda method, key, attempt: "403" if attempt == 1 else ""
    create(target.box, {"object_storage": {"url": target.url}}, "cp /pfs/in/a /pfs/out/a")
    job = put(target.box, b"data")

    def retrying() -> bool:
        return "egress failed 1 of 4 times" in target.box.client.inspect_job(job).reason

    eventually(retrying, "the job says why it is not over")
    assert ended(target.box, job).state == "JOB_SUCCESS"
    assert target.content == {"out/a": b"data"}


def test_a_commit_is_pushed_by_hand_and_by_its_own_name(target: Target) -> None:
    box = target.box
    box.client.create_repo("hand")
    box.client.put_file("hand@master:/dir/a", b"12345")
    commit = {"repo": {"name": "hand"}, "branch": {"repo": {"name": "hand"}, "name": "master"}}
    done = box.client.call(
        "pfs_v2.API", "Egress", commit=commit, object_storage={"url": target.url}
    )
    assert done == {"objectStorage": {"bytesWritten": "5"}}
    assert target.content == {"out/dir/a": b"12345"}
    with pytest.raises(InvalidArgument, match="names no target"):
        box.client.call("pfs_v2.API", "Egress", commit=commit)


@pytest.mark.skipif(programs() is None, reason="PostgreSQL's initdb is not on this machine")
def test_rows_reach_postgresql_and_the_password_nothing_else(box: RealBox) -> None:
    at = programs()
    assert at is not None
    c = box.client
    with postgres(at) as server:
        server.run("CREATE TABLE people (id INTEGER, name TEXT)")
        egress = {
            "sql_database": {
                "url": server.url,
                "file_format": {"type": "CSV", "columns": ["id", "name"]},
                "secret": {"name": "pg", "key": "PACHYDERM_SQL_PASSWORD"},
            }
        }
        script = "mkdir /pfs/out/people; cp /pfs/in/a /pfs/out/people/rows.csv"
        with pytest.raises(NotFound, match="secret pg not found"):
            create(box, egress, script)
        c.delete_repo("in")
        c.create_secret(
            {
                "kind": "Secret",
                "metadata": {"name": "pg"},
                "stringData": {"PACHYDERM_SQL_PASSWORD": PASSWORD},
            }
        )
        create(box, egress, script)
        assert c.inspect_pipeline("p").raw["details"]["egress"]["sqlDatabase"]["url"] == server.url
        for rows in (b"id,name\n1,Ann\n2,Bob\n", b"name,id\nCy,3\n"):
            job = ended(box, put(box, rows))
            assert job.state == "JOB_SUCCESS", job.reason
        assert server.run("SELECT id, name FROM people") == [[3, "Cy"]]
        job = ended(box, put(box, b"id,name\nno number,x\n"))
        assert job.state == "JOB_FAILURE"
        assert job.reason.startswith("egress error: a row does not fit postgresql://127.0.0.1:")
        assert server.run("SELECT id, name FROM people") == [[3, "Cy"]]
        assert c.get_file("p@master:/people/rows.csv") == b"id,name\nno number,x\n"
    said = json.dumps([e.data for e in c.events()])
    assert PASSWORD not in said
    box.stop()
    for file in box.home.rglob("*"):
        if file.is_file():
            assert PASSWORD.encode() not in file.read_bytes(), file
    box.start()
