"""States of pipelines, jobs and datums on a real box, as docs/design.md says when they occur."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pachybox.pps.runners import cgroups
from tests.boxes import RealBox, eventually
from tests.flow.shell import Run, runner, succeeded

# Those that kill the box, or look at which processes it has, have one of their own.
pytestmark = pytest.mark.box("shared")


@pytest.fixture
def run(
    box: RealBox,
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    return runner(box, tmp_path / "config", capsysbinary, monkeypatch)


def create(box: RealBox, name: str, script: str, repo: str = "in", **more: Any) -> None:
    transform = {"cmd": ["sh"], "stdin": script.splitlines(), **more.pop("transform", {})}
    spec = {
        "pipeline": {"name": name},
        "input": {"pfs": {"name": "in", "repo": repo, "glob": "/*"}},
        "transform": transform,
        **more,
    }
    box.client.create_pipelines(json.dumps(spec), update=True)


def put(box: RealBox, *names: str) -> str:
    if not any(r.name == "in" for r in box.client.list_repo()):
        box.client.create_repo("in")
    with box.client.put("in@master") as to:
        for name in names:
            to.data(f"/{name}", name.encode())
    return box.client.inspect_commit("in@master").id


def job(box: RealBox, name: str) -> Any:
    return next(iter(box.client.list_job(name)))


def done(box: RealBox, name: str) -> Any:
    return box.client.wait_job(f"{name}@{job(box, name).id}")


def pipeline_is(box: RealBox, name: str, state: str) -> str:
    """Wait for a state of the pipeline; its reason."""

    def look() -> tuple[str] | None:
        info = box.client.inspect_pipeline(name)
        return (info.reason,) if info.state == f"PIPELINE_{state}" else None

    found = eventually(look, f"{name} is {state}: {box.client.inspect_pipeline(name)!r}", 20)
    return found[0] if found else ""


def job_is(box: RealBox, name: str, state: str) -> None:
    eventually(lambda: job(box, name).state == f"JOB_{state}", f"a job of {name} is {state}", 20)


def workers(box: RealBox) -> list[int]:
    """Worker processes of the box: its children, and theirs."""
    parents = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                text = (entry / "stat").read_text()
                parents[int(entry.name)] = int(text.rpartition(")")[2].split()[1])
        except OSError:
            continue  # it ended meanwhile
    assert box.process is not None
    found = [box.process.pid]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


COPY = 'cp "$in" /pfs/out/'


def wait_for(path: Path) -> str:
    return f"until test -e {path}; do sleep 0.02; done"


# ---- standby


@pytest.mark.box("own")
@pytest.mark.parametrize("field", ["standby", "autoscaling"])
def test_no_worker_is_kept_in_standby(box: RealBox, run: Run, field: str) -> None:
    """Neither before the first job nor after the last; across a restart of the box too."""
    box.client.create_repo("in")
    asked: dict[str, Any] = {field: True}
    create(box, "p", COPY, **asked)
    assert box.client.inspect_pipeline("p").state == "PIPELINE_STANDBY"
    assert workers(box) == []
    put(box, "a")
    assert done(box, "p").state == "JOB_SUCCESS"
    pipeline_is(box, "p", "STANDBY")
    assert workers(box) == []
    assert "standby / success" in succeeded(run("list pipeline"))
    box.kill()
    box.start()
    assert box.client.inspect_pipeline("p").state == "PIPELINE_STANDBY"
    put(box, "b")
    assert done(box, "p").processed == 1
    pipeline_is(box, "p", "STANDBY")
    assert workers(box) == []


@pytest.mark.box("own")
def test_a_pipeline_in_standby_runs_while_there_is_work(box: RealBox, tmp_path: Path) -> None:
    go = tmp_path / "go"
    box.client.create_repo("in")
    create(box, "p", f"{wait_for(go)}\n{COPY}", autoscaling=True)
    put(box, "a")
    put(box, "b")
    pipeline_is(box, "p", "RUNNING")
    assert workers(box)
    box.client.stop_pipeline("p")
    assert pipeline_is(box, "p", "PAUSED") == ""
    eventually(lambda: not workers(box), "no worker")
    assert box.client.inspect_pipeline("p").state == "PIPELINE_PAUSED"
    box.client.start_pipeline("p")
    pipeline_is(box, "p", "RUNNING")
    go.touch()
    assert done(box, "p").state == "JOB_SUCCESS"
    pipeline_is(box, "p", "STANDBY")
    box.client.stop_pipeline("p")
    box.client.start_pipeline("p")
    pipeline_is(box, "p", "STANDBY")
    create(box, "p", COPY)
    pipeline_is(box, "p", "RUNNING")


@pytest.mark.box("own")
def test_a_kill_before_standby_is_noted_leaves_it_in_standby(box: RealBox, tmp_path: Path) -> None:
    """A box killed in the middle of the only job runs it again, and rests again."""
    go = tmp_path / "go"
    put(box, "a")
    create(box, "p", wait_for(go), autoscaling=True)
    pipeline_is(box, "p", "RUNNING")
    box.kill()
    go.touch()
    box.start()
    assert done(box, "p").state == "JOB_SUCCESS"
    assert job(box, "p").restarts == 1
    pipeline_is(box, "p", "STANDBY")


@pytest.mark.box("own")
@pytest.mark.parametrize("end", ["stop", "update", "delete"])
def test_workers_end_with_what_they_are_for(box: RealBox, end: str) -> None:
    """Those that show a pipeline's secrets are its own, and not kept once it is stopped, updated
    or deleted; others may serve any pipeline, and end when idle for a while."""
    secret = {"kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "hunter2"}}
    box.cli("create", "secret", "-f", "-", stdin=json.dumps(secret).encode())
    put(box, "a")
    shown = {"secrets": [{"name": "db", "mount_path": "/secrets/db"}]}
    create(box, "p", COPY, transform=shown)
    assert done(box, "p").state == "JOB_SUCCESS"
    assert workers(box)
    if end == "stop":
        box.client.stop_pipeline("p")
    elif end == "update":
        create(box, "p", COPY, description="another", transform=shown)
    else:
        box.client.delete_pipeline("p")
    eventually(lambda: not workers(box), f"no worker after {end}", 15)


# ---- jobs


def test_a_job_from_created_to_success(box: RealBox, tmp_path: Path) -> None:
    """STARTING: an input is open. CREATED: the job before runs. Then RUNNING, SUCCESS."""
    go = tmp_path / "go"
    put(box, "a")
    create(box, "up", f"{wait_for(go)}\n{COPY}")
    create(box, "down", COPY, repo="up")
    job_is(box, "up", "RUNNING")
    assert job(box, "down").state == "JOB_STARTING"
    assert job(box, "down").started is None
    put(box, "b")
    assert job(box, "up").state == "JOB_CREATED"
    go.touch()
    for name in ("up", "down"):
        assert done(box, name).state == "JOB_SUCCESS"
    for one in [*box.client.list_job("up"), *box.client.list_job("down")]:
        assert one.created <= one.started <= one.finished


def test_a_failed_job_makes_what_follows_unrunnable(box: RealBox) -> None:
    put(box, "a")
    create(box, "up", "exit 3", datum_tries=1)
    create(box, "down", COPY, repo="up")
    create(box, "last", COPY, repo="down")
    failed = done(box, "up")
    assert failed.state == "JOB_FAILURE"
    assert "exit status 3" in failed.reason
    assert done(box, "down").reason == f"inputs failed: up@{failed.id}"
    assert [done(box, n).state for n in ("down", "last")] == ["JOB_UNRUNNABLE"] * 2
    assert box.client.inspect_pipeline("up").state == "PIPELINE_RUNNING"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("stop job", "job was stopped"),
        ("stop pipeline", "pipeline was stopped"),
        ("update", "pipeline has been updated"),
        ("job_timeout", "job timed out"),
    ],
)
def test_ways_to_be_killed(box: RealBox, how: str, reason: str) -> None:
    put(box, "a")
    limit: dict[str, Any] = {"job_timeout": "1s"} if how == "job_timeout" else {}
    create(box, "p", "sleep 1000", **limit)
    job_is(box, "p", "RUNNING")
    ref = f"p@{job(box, 'p').id}"
    if how == "stop job":
        box.client.stop_job(ref)
    elif how == "stop pipeline":
        box.client.stop_pipeline("p")
    elif how == "update":
        create(box, "p", COPY)
    ended = box.client.wait_job(ref)
    assert (ended.state, ended.reason) == ("JOB_KILLED", reason)
    if how == "job_timeout":
        assert ended.finished is not None
        assert ended.started is not None
        assert 1 <= ended.finished.timestamp() - ended.started.timestamp() < 5


def test_a_job_egresses_after_its_commit_is_finished(box: RealBox, tmp_path: Path) -> None:
    put(box, "a")
    target = tmp_path / "out"
    create(box, "p", COPY, egress={"url": f"file://{target}"})
    ended = done(box, "p")
    assert ended.state == "JOB_SUCCESS"
    assert (target / "a").read_text() == "a"
    seen = {e["state"] for e in events(box) if e.get("id") == ended.id and "state" in e}
    assert seen >= {"JOB_CREATED", "JOB_RUNNING", "JOB_EGRESSING", "JOB_SUCCESS"}


def events(box: RealBox) -> list[dict[str, Any]]:
    return [e.data for e in box.client.events()]


# ---- datums


def test_every_datum_state(box: RealBox, tmp_path: Path) -> None:
    """STARTING while it runs, then SUCCESS, FAILED or RECOVERED; SKIPPED in the next job."""
    go = tmp_path / "go"
    put(box, "good", "bad", "lost", "slow")
    script = f"""case "$in" in
*/slow) {wait_for(go)};;
*/good) {COPY};;
*) exit 3;;
esac"""
    rescue = {"err_cmd": ["sh", "-c", 'case "$in" in */bad) exit 0;; esac; exit 4']}
    create(box, "p", script, transform=rescue, datum_tries=1, parallelism_spec={"constant": 2})

    def states() -> dict[str, str]:
        found = box.client.list_datum(f"p@{job(box, 'p').id}")
        return {d.inputs[0].path.strip("/"): d.state for d in found}

    want = {"good": "SUCCESS", "bad": "RECOVERED", "lost": "FAILED", "slow": "STARTING"}
    eventually(lambda: states() == want, f"all states: {states()}", 20)
    go.touch()
    ended = done(box, "p")
    assert (ended.state, ended.processed, ended.recovered, ended.failed) == (
        *("JOB_FAILURE", 2, 1, 1),
    )
    assert states() == {**want, "slow": "SUCCESS"}
    box.client.delete_file("in@master:/lost")
    ended = done(box, "p")
    assert (ended.state, ended.skipped, ended.recovered) == ("JOB_SUCCESS", 2, 1)
    assert states() == {"good": "SKIPPED", "bad": "RECOVERED", "slow": "SKIPPED"}


# ---- pipelines


def test_a_pipeline_whose_workers_cannot_start_fails(box: RealBox) -> None:
    """Until a job of it can be run again."""
    put(box, "a")
    create(box, "p", COPY, transform={"user": "nobody-of-this-name"})
    ended = done(box, "p")
    assert ended.state == "JOB_FAILURE"
    assert "nobody-of-this-name" in ended.reason
    assert "nobody-of-this-name" in pipeline_is(box, "p", "FAILURE")
    create(box, "p", COPY)
    pipeline_is(box, "p", "RUNNING")
    assert done(box, "p").state == "JOB_SUCCESS"


# ---- what user code is given


def test_the_environment_is_the_documented_one(box: RealBox) -> None:
    commit = put(box, "a")
    c = box.client
    create(box, "p", "env > /pfs/out/env", transform={"env": {"MINE": "a=b c"}})
    ended = done(box, "p")
    lines = c.get_file("p@master:/env").decode().splitlines()
    env = dict(line.split("=", 1) for line in lines)
    assert env["HOME"]
    info = c.inspect_pipeline("p")
    want = {
        "PACH_JOB_ID": ended.id,
        "PACH_OUTPUT_COMMIT_ID": ended.id,
        "PACH_DATUM_ID": next(iter(c.list_datum(f"p@{ended.id}"))).id,
        "PPS_PIPELINE_NAME": "p",
        "PPS_PROJECT_NAME": "default",
        "PPS_SPEC_COMMIT": info.raw["specCommit"]["id"],
        "PPS_POD_NAME": "p-0",
        "PPS_WORKER_IP": "127.0.0.1",
        "PACH_IN_WORKER": "true",
        "PACHYBOX_ADDRESS": c.status().address,
        "in": "/pfs/in/a",
        "in_COMMIT": commit,
        "MINE": "a=b c",
    }
    assert {name: env.get(name) for name in want} == want


def test_join_and_group_keys_are_in_the_environment(box: RealBox) -> None:
    put(box, "k1-a", "k1-b")
    leaf = {"repo": "in", "glob": "/(*)-(*)"}
    name = {"pipeline": {"name": "p"}}
    script = "env | grep -E 'JOIN_ON|GROUP_BY' | sort; echo $y"
    join = [{"pfs": {**leaf, "name": n, "join_on": "$1-$2"}} for n in ("x", "y")]
    group = [{"pfs": {**leaf, "name": "y", "group_by": "$1"}}]
    transform = {"cmd": ["sh", "-c", f"({script}) > /pfs/out/$PACH_DATUM_ID"]}
    want = {
        "join": {
            "PACH_DATUM_x_JOIN_ON=k1-a\nPACH_DATUM_y_JOIN_ON=k1-a\n/pfs/y/k1-a\n",
            "PACH_DATUM_x_JOIN_ON=k1-b\nPACH_DATUM_y_JOIN_ON=k1-b\n/pfs/y/k1-b\n",
        },
        "group": {"PACH_DATUM_y_GROUP_BY=k1\n/pfs/y/k1-b\n"},
    }
    c = box.client
    for kind, leaves in (("join", join), ("group", group)):
        spec = {**name, "input": {kind: leaves}, "transform": transform}
        c.create_pipelines(json.dumps(spec), update=True)
        assert done(box, "p").state == "JOB_SUCCESS"
        files = c.list_file("p@master:/")
        assert {c.get_file(f"p@master:{f.path}").decode() for f in files} == want[kind]


def test_a_program_in_a_pipeline_reaches_the_box(box: RealBox) -> None:
    """By the address it is given: the socket is hidden from it."""
    put(box, "a")
    script = "import pachybox.client as c; print(len(list(c.Client().list_repo())))"
    # what is under test must be found in the sandbox as it is here
    root = str(Path(__file__).parents[2])
    transform = {"cmd": [sys.executable, "-c", script], "env": {"PYTHONPATH": root}}
    create(box, "p", "", transform=transform)
    ended = done(box, "p")
    assert ended.state == "JOB_SUCCESS", ended.reason
    assert [m.message for m in box.client.logs(job=f"p@{ended.id}")] == ["2"]


def test_user_and_working_dir(box: RealBox, is_root: bool) -> None:
    if not is_root:
        pytest.skip("only root switches users")
    put(box, "a")
    script = "id -un; pwd; echo $HOME; cat $in; echo; touch /pfs/out/x"
    create(box, "p", script, transform={"user": "nobody", "working_dir": "/usr"})
    ended = done(box, "p")
    assert ended.state == "JOB_SUCCESS"
    said = [m.message for m in box.client.logs(job=f"p@{ended.id}")]
    assert said[:2] == ["nobody", "/usr"]
    assert said[3:] == ["a"]


def need(controller: str) -> None:
    groups = cgroups.find()
    if controller not in groups.parents:
        pytest.skip(f"no {controller} groups here: {groups.missing[controller]}")


def test_too_much_memory_is_the_reason(box: RealBox) -> None:
    need("memory")
    put(box, "a")
    script = "x = bytearray(1 << 28); x[::4096] = bytes(len(x[::4096]))"
    transform = {"cmd": [sys.executable, "-c", script]}
    create(box, "p", "", transform=transform, resource_limits={"memory": "64Mi"}, datum_tries=1)
    ended = done(box, "p")
    assert ended.state == "JOB_FAILURE"
    assert "out of memory: used more than 67108864 bytes (resource_limits.memory)" in ended.reason


def test_a_share_of_a_core_is_kept(box: RealBox) -> None:
    need("cpu")
    put(box, "a")
    script = "import time\nt = time.monotonic() + 1\nwhile time.monotonic() < t: pass\n"
    script += "print(time.process_time())"
    create(box, "p", "", transform={"cmd": [sys.executable, "-c", script]},
           resource_limits={"cpu": 0.2})  # fmt: skip
    ended = done(box, "p")
    assert ended.state == "JOB_SUCCESS"
    (said,) = [float(m.message) for m in box.client.logs(job=f"p@{ended.id}")]
    assert said < 0.5


@pytest.mark.parametrize(("given", "held"), [({"max_queue_size": 1}, 1), ({}, 2)])
def test_a_worker_lays_out_one_datum_ahead_unless_told_not_to(
    box: RealBox, tmp_path: Path, given: dict[str, Any], held: int
) -> None:
    """Once datums are seen to be quick, and while there are plenty: the last ones are for
    whoever is free."""
    go = tmp_path / "go"
    put(box, *[f"{i:02}" for i in range(30)])
    script = f'test "$(basename $in)" = 00 && exit 0; echo began; {wait_for(go)}'
    create(box, "p", script, **given)
    ref = f"p@{job(box, 'p').id}"
    next(iter(box.client.logs(job=ref, follow=True)))

    def starting() -> int:
        return [d.state for d in box.client.list_datum(ref)].count("STARTING")

    eventually(lambda: starting() == held, f"{held} datums are held, not {starting()}", 10)
    go.touch()
    assert done(box, "p").processed == 30
