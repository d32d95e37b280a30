"""Services: a program that serves the data of one commit, and of the next when it comes."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pachybox.errors import InvalidArgument, Refused
from tests.boxes import RealBox, eventually, free_port
from tests.flow.shell import Run, runner, succeeded

# Those that kill the box or what it started have one of their own.
pytestmark = pytest.mark.box("shared")

PROGRAM = """
import os, signal, socket, sys, time
port = int(sys.argv[1])
read = lambda name: open("/pfs/data/" + name).read()
if os.path.exists("/pfs/data/die"):
    print("told to die", flush=True)
    sys.exit(3)
if os.path.exists("/pfs/data/deaf"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: (print("asked to end", flush=True), sys.exit(0)))
listener = socket.create_server(("127.0.0.1", port))
print("serving", read("x"), flush=True)
while True:
    user, _ = listener.accept()
    with user:
        names = ("PACH_JOB_ID", "PACH_OUTPUT_COMMIT_ID", "PACHYBOX_ADDRESS")
        user.sendall(" ".join([read("x"), *(os.environ.get(n, "-") for n in names)]).encode())
"""


def spec(name: str, inner: int, outer: int = 0, **more: Any) -> str:
    python = "/usr/bin/python3" if os.geteuid() else sys.executable
    return json.dumps(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"name": "data", "repo": "in", "glob": "/"}},
            "transform": {"cmd": [python, "-c", PROGRAM, str(inner)]},
            "service": {"internal_port": inner, **({"external_port": outer} if outer else {})},
            **more,
        }
    )


def ask(port: int) -> list[str]:
    """What the service says: the data, its job, its output commit, where the box is."""
    try:
        to = socket.create_connection(("127.0.0.1", port), 20)
        with to, to.makefile("rb") as file:
            return file.read().decode().split()
    except OSError:
        return []


def serves(port: int, text: str) -> list[str]:
    def look() -> list[str]:
        said = ask(port)
        return said if said[:1] == [text] else []

    return eventually(look, f"port {port} serves {text}", 30)


def processes(port: int) -> list[int]:
    """Of the program that listens on ``port``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue  # it ended meanwhile
        if words[3:4] == [str(port).encode()] and words[1] == b"-c":
            found.append(int(entry.name))
    return found


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def state(box: RealBox, name: str = "web") -> tuple[str, str]:
    info = box.client.inspect_pipeline(name)
    return info.state.removeprefix("PIPELINE_"), info.reason


def crashing(box: RealBox, why: str) -> str:
    def look() -> str:
        now, reason = state(box)
        return reason if now == "CRASHING" and why in reason else ""

    return eventually(look, f"crashing with {why!r}: {state(box)}", 30)


def feed(box: RealBox, text: str, *more: str) -> str:
    """Commit ``text`` as /x, and nothing else but ``more``; the commit's id."""
    with box.client.put("in@master") as put:
        put.data("/x", text.encode())
        for name in more:
            put.data(f"/{name}", b"")
    return box.client.inspect_commit("in@master").id


@pytest.fixture
def web(box: RealBox) -> tuple[int, int]:
    """A service over the file x, "one"; where its users connect and where it listens."""
    outer, inner = free_port(), free_port()
    box.client.create_repo("in")
    feed(box, "one")
    box.client.create_pipelines(spec("web", inner, outer))
    serves(outer, "one")
    return outer, inner


@pytest.fixture
def run(
    box: RealBox,
    tmp_path: Path,
    capsysbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    return runner(box, tmp_path / "config", capsysbinary, monkeypatch)


def test_it_is_seen_while_it_runs(box: RealBox, web: tuple[int, int], run: Run) -> None:
    c, (outer, inner) = box.client, web
    job = next(iter(c.list_job("web")))
    assert (job.state, job.total) == ("JOB_RUNNING", 1)
    assert ask(outer) == ["one", job.id, "-", c.status().address]
    assert ask(inner)[0] == "one"
    datum = next(iter(c.list_datum(f"web@{job.id}")))
    assert datum.state == "STARTING"
    assert c.inspect_datum(f"web@{job.id}", datum.id).state == "STARTING"
    assert [m.message for m in c.logs(job=f"web@{job.id}")] == ["serving one"]
    shown = succeeded(run("inspect pipeline web"))
    assert f"Service: 127.0.0.1:{outer} (the program listens on {inner})\n" in shown
    assert c.inspect_pipeline("web").raw["type"] == "PIPELINE_TYPE_SERVICE"
    assert "RUNNING" in state(box)


def test_new_data_takes_the_place_of_old(box: RealBox, web: tuple[int, int]) -> None:
    c, (outer, inner) = box.client, web
    old = next(iter(c.list_job("web"))).id
    began = time.monotonic()
    new = feed(box, "two")
    assert serves(outer, "two")[1] == new
    assert time.monotonic() - began < 10
    assert len(processes(inner)) == 1
    job = c.wait_job(f"web@{old}")
    assert (job.state, job.processed) == ("JOB_SUCCESS", 1)
    assert not list(c.list_file(f"web@{old}:/"))
    assert c.inspect_commit(f"web@{old}").finished
    assert not c.inspect_commit(f"web@{new}").finished
    assert [m.message for m in c.logs(job=f"web@{old}")] == ["serving one", "asked to end"]


def test_of_several_commits_the_last_is_served(box: RealBox, web: tuple[int, int]) -> None:
    ids = [feed(box, f"n{n}") for n in range(5)]
    serves(web[0], "n4")
    assert serves(web[0], "n4")[1] == ids[-1]
    states = {j.id: j.state for j in box.client.list_job("web")}
    assert [states[i] for i in ids] == ["JOB_SUCCESS"] * 4 + ["JOB_RUNNING"]


def test_a_program_deaf_to_sigterm_is_killed(box: RealBox, web: tuple[int, int]) -> None:
    """After its grace; nobody waits longer."""
    feed(box, "two", "deaf")
    serves(web[0], "two")
    box.client.delete_file("in@master:/deaf")
    feed(box, "three")
    serves(web[0], "three")
    assert len(processes(web[1])) == 1


def test_a_program_that_ends_is_started_again(box: RealBox, web: tuple[int, int]) -> None:
    """With pauses, and the reason shown; data that heals it is served."""
    feed(box, "bad", "die")
    why = crashing(box, "exit status 3")
    assert why == "the program ended (exit status 3) and is started again"
    job = next(iter(box.client.list_job("web")))

    def lives() -> bool:
        return [m.message for m in box.client.logs(job=f"web@{job.id}")].count("told to die") > 2

    eventually(lives, "started again and again")
    assert box.client.inspect_job(f"web@{job.id}").state == "JOB_RUNNING"
    box.client.delete_file("in@master:/die")
    serves(web[0], "bad")
    eventually(lambda: state(box) == ("RUNNING", ""), "running again")


@pytest.mark.box("own")
@pytest.mark.parametrize("victim", ["program", "worker"])
def test_a_killed_program_or_worker_is_replaced(
    box: RealBox, web: tuple[int, int], victim: str
) -> None:
    outer, inner = web
    (pid,) = processes(inner)
    assert box.process is not None
    worker = pid
    while parent(worker) != box.process.pid:
        worker = parent(worker)
    os.kill(pid if victim == "program" else worker, signal.SIGKILL)
    crashing(box, "SIGKILL")
    serves(outer, "one")
    eventually(lambda: state(box) == ("RUNNING", ""), "running again")
    now = processes(inner)
    assert len(now) == 1
    assert now != [pid]


@pytest.mark.box("own")
def test_it_is_back_after_the_box_was(box: RealBox, web: tuple[int, int]) -> None:
    outer, inner = web
    job = next(iter(box.client.list_job("web"))).id
    box.stop()
    assert processes(inner) == []
    box.start()
    assert serves(outer, "one")[1] == job
    box.kill()
    box.start()
    assert serves(outer, "one")[1] == job
    assert len(processes(inner)) == 1
    eventually(lambda: state(box) == ("RUNNING", ""), "running")
    assert box.client.inspect_job(f"web@{job}").state == "JOB_RUNNING"


def gone(web: tuple[int, int]) -> bool:
    return not processes(web[1]) and not ask(web[0])


def test_stop_start_update_delete(box: RealBox, web: tuple[int, int]) -> None:
    c, (outer, inner) = box.client, web
    first = next(iter(c.list_job("web"))).id
    c.stop_pipeline("web")
    eventually(lambda: gone(web), "nothing serves")
    assert state(box) == ("PAUSED", "")
    assert c.inspect_job(f"web@{first}").state == "JOB_KILLED"
    c.start_pipeline("web")
    serves(outer, "one")
    moved = free_port()
    c.create_pipelines(spec("web", inner, moved), update=True)
    serves(moved, "one")
    assert not ask(outer)
    c.delete_pipeline("web")
    eventually(lambda: gone((moved, inner)), "nothing serves")


def test_a_stopped_job_serves_no_more_until_new_data(box: RealBox, web: tuple[int, int]) -> None:
    c = box.client
    feed(box, "bad", "die")
    crashing(box, "exit status 3")
    job = next(iter(c.list_job("web"))).id
    c.stop_job(f"web@{job}")
    eventually(lambda: state(box) == ("RUNNING", ""), "nothing crashes any more")
    assert gone(web)
    c.delete_file("in@master:/die")
    serves(web[0], "bad")


def test_restart_datum_starts_it_again_at_once(box: RealBox, web: tuple[int, int]) -> None:
    (pid,) = processes(web[1])
    job = next(iter(box.client.list_job("web"))).id
    box.client.restart_datum(f"web@{job}", ["/"])
    eventually(lambda: processes(web[1]) not in ([pid], []), "another process")
    serves(web[0], "one")
    assert state(box) == ("RUNNING", "")


def test_a_taken_port_is_named_and_had_once_it_is_free(box: RealBox) -> None:
    box.client.create_repo("in")
    feed(box, "one")
    outer, inner = free_port(), free_port()
    with socket.create_server(("127.0.0.1", outer)):
        box.client.create_pipelines(spec("web", inner, outer))
        assert "choose another service.external_port" in crashing(box, f"port {outer}")
    serves(outer, "one")
    with socket.create_server(("127.0.0.1", free_port())) as other:
        inner = other.getsockname()[1]
        box.client.create_pipelines(spec("web", inner, outer), update=True)
        crashing(box, f"port {inner}")
        assert processes(inner) == []
    serves(outer, "one")


def test_two_services_cannot_have_one_port(box: RealBox, web: tuple[int, int]) -> None:
    c, (outer, inner) = box.client, web
    for mine in ((inner, 0), (free_port(), outer), (outer, free_port())):
        with pytest.raises(Refused, match="is that of service web"):
            c.create_pipelines(spec("other", *mine))
    c.stop_pipeline("web")
    c.create_pipelines(spec("other", inner, outer))
    serves(outer, "one")


def test_the_program_itself_may_be_what_users_reach(box: RealBox, run: Run) -> None:
    box.client.create_repo("in")
    feed(box, "one")
    port = free_port()
    box.client.create_pipelines(spec("web", port))
    serves(port, "one")
    assert f"Service: 127.0.0.1:{port}\n" in succeeded(run("inspect pipeline web"))


def test_it_has_exactly_one_datum(box: RealBox) -> None:
    box.client.create_repo("in")
    feed(box, "one", "y")
    many: dict[str, Any] = {"input": {"pfs": {"name": "data", "repo": "in", "glob": "/*"}}}
    box.client.create_pipelines(spec("web", free_port(), **many))
    job = box.client.wait_job(f"web@{next(iter(box.client.list_job('web'))).id}")
    assert job.state == "JOB_FAILURE"
    assert "services must have a single datum, and 2 match" in job.reason
    transform: dict[str, Any] = {"transform": {"cmd": ["true"], "datum_batching": True}}
    with pytest.raises(InvalidArgument, match="a service has a single datum"):
        box.client.create_pipelines(spec("other", free_port(), **transform))


def test_failed_upstream_data_leaves_the_old_served(box: RealBox) -> None:
    c = box.client
    c.create_repo("in")
    feed(box, "one")
    copy = {
        "pipeline": {"name": "copy"},
        "input": {"pfs": {"repo": "in", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": ["! grep -q bad /pfs/in/* && cp /pfs/in/* /pfs/out"]},
        "datum_tries": 1,
    }
    c.create_pipelines(json.dumps(copy))
    port = free_port()
    source: dict[str, Any] = {"input": {"pfs": {"name": "data", "repo": "copy", "glob": "/"}}}
    c.create_pipelines(spec("web", port, **source))
    serves(port, "one")
    bad = feed(box, "bad")
    job = c.wait_job(f"web@{bad}")
    assert job.state == "JOB_UNRUNNABLE"
    assert serves(port, "one")
    new = feed(box, "three")
    assert serves(port, "three")[1] == new
