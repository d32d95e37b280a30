"""Two daemons, stops and kills: who runs, who refuses, and what is left of user code."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.boxes import RealBox, eventually

STOP_S = 8.0  # "a few seconds", on a machine that is busy


def test_a_second_daemon_on_one_directory_refuses_and_the_first_goes_on(box: RealBox) -> None:
    assert box.process is not None
    box.client.create_repo("r")
    second = RealBox(box.home)
    process = second.spawn()
    said = process.stdout.read().decode()
    assert process.wait(30) != 0
    process.stdout.close()
    assert len(said.splitlines()) == 1, said
    assert f"process {box.process.pid}" in said
    assert "pachybox down" in said
    assert box.client.status().pid == box.process.pid
    box.client.put_file("r@master:/f", b"still there")
    assert box.client.get_file("r@master:/f") == b"still there"
    assert (box.home / "run" / "box.pid").read_text().strip() == str(box.process.pid)


def test_a_stale_socket_and_pid_do_not_hinder_the_next_start(box: RealBox) -> None:
    box.client.create_repo("r")
    box.kill()
    assert box.socket.exists()
    assert (box.home / "run" / "box.pid").read_text().strip()
    box.start()
    assert [r.name for r in box.client.list_repo()] == ["r"]
    assert box.stop() == 0
    assert not box.socket.exists()
    box.start()
    assert [r.name for r in box.client.list_repo()] == ["r"]


def alive(mark: Path) -> list[int]:
    """The processes of user code that work on ``mark``."""
    wanted = str(mark).encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has ended meanwhile
            continue
        if wanted in words and state != "Z" and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


# A child, a child in a session of its own, and a daemon that has forked twice, all of which
# ignore what can be ignored.
FAMILY = """\
import os, signal, sys, time
mark = sys.argv[1]
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
def stay():
    open(f"{mark}.{os.urandom(4).hex()}", "w").close()
    while True:
        time.sleep(60)
if os.fork() == 0:
    stay()
if os.fork() == 0:
    os.setsid()
    stay()
child = os.fork()
if child == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.closerange(0, 3)
    stay()
os.waitpid(child, 0)
stay()
"""


@contextmanager
def family_at_work(box: RealBox, tmp_path: Path) -> Iterator[Path]:
    """A job whose user code is four processes; yields the mark in their command lines."""
    code, mark = tmp_path / "family.py", tmp_path / "mark"
    code.write_text(FAMILY)
    client = box.client
    client.create_repo("in")
    client.put_file("in@master:/f", b"x")
    spec = {
        "pipeline": {"name": "family"},
        "input": {"pfs": {"repo": "in", "glob": "/"}},
        "transform": {"cmd": ["/usr/bin/env", "python3", str(code), str(mark)]},
    }
    client.create_pipelines(json.dumps(spec))
    eventually(lambda: len(list(tmp_path.glob("mark.*"))) == 4, "all of user code runs")
    assert len(alive(mark)) >= 4
    try:
        yield mark
    finally:
        for pid in alive(mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("isolation", ["auto", "none"])
def test_a_kill_of_the_daemon_takes_all_user_processes_along(
    tmp_path: Path, isolation: str
) -> None:
    """Also those that forked twice, began sessions of their own and ignore signals; with the
    best fence this machine has, and with none."""
    box = RealBox(tmp_path / "home", {"PACHYBOX_ISOLATION": isolation}).start()
    with family_at_work(box, tmp_path) as mark:
        box.kill()
        eventually(lambda: not alive(mark), "user code is gone", 5)


def test_a_stop_takes_all_user_processes_along_within_seconds(box: RealBox, tmp_path: Path) -> None:
    with family_at_work(box, tmp_path) as mark:
        process = box.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
        assert alive(mark) == []


def test_a_stopped_job_goes_on_at_the_next_start_without_what_was_finished(
    box: RealBox, tmp_path: Path
) -> None:
    """Finished datums keep their results, also large ones, and are not run again; the one that
    ran is. The stop waits for nobody: not for user code, not for an idle or stalled client."""
    client = box.client
    client.create_repo("in")
    names = [f"f{i}" for i in range(6)]
    with client.put("in@master") as put:
        for name in names:
            put.data(f"/{name}", name.encode())
    script = f"""\
n=$(ls /pfs/in); touch {tmp_path}/run.$n.$(cat /proc/sys/kernel/random/uuid)
head -c 300000 /dev/zero | tr '\\0' "${{n#f}}" > /pfs/out/$n
while [ $n = f3 ] && [ ! -e {tmp_path}/gate ]; do sleep 0.02; done
"""
    spec = {
        "pipeline": {"name": "p"},
        "input": {"pfs": {"repo": "in", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": script.splitlines()},
        "parallelism_spec": {"constant": 2},
    }
    client.create_pipelines(json.dumps(spec))

    def finished() -> int:
        job = next(iter(client.list_job("p")), None)
        return len(list(client.list_datum(f"p@{job.id}", states=["SUCCESS"]))) if job else 0

    eventually(lambda: finished() == 5, "all datums but one are finished")
    with socket.socket(socket.AF_UNIX) as stalled:
        stalled.connect(str(box.socket))
        stalled.sendall(
            b"POST /files/put?repo=in&ref=master HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Length: 1000\r\n\r\n\x10\x00\x00\x00"
        )
        process = box.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0
    assert alive(tmp_path / "run") == []
    box.stop()
    (tmp_path / "gate").touch()
    box.start()
    job = box.client.wait_job(f"p@{next(iter(box.client.list_job('p'))).id}")
    assert (job.state, job.processed, job.total) == ("JOB_SUCCESS", 6, 6)
    for i, name in enumerate(names):
        assert box.client.get_file(f"p@master:/{name}") == str(i).encode() * 300_000
        runs = len(list(tmp_path.glob(f"run.{name}.*")))
        assert runs == (2 if name == "f3" else 1), name
    assert [f for f in box.client.fsck() if f.get("level") != "info"] == []
