"""Datum batching: user code that is started once and asks for each datum."""

from __future__ import annotations

import json
import socket
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pachybox.worker.next
from pachybox.errors import Refused
from pachybox.pps.runners.base import DatumTask, Transform, Worker

if TYPE_CHECKING:
    from tests.contract.conftest import Lab

_LIBRARY = Path(pachybox.worker.next.__file__).read_text()
_LOOP = """
print("started", flush=True)
error = ""
while (env := next_datum(error)) is not None:
    error = ""
    {body}
print("no more", flush=True)
"""


@pytest.fixture
def batch(sealed: Lab) -> Lab:
    if not sealed.runner.shim:
        with pytest.raises(Refused, match="datum_batching needs the shim"):
            sealed.start(Transform(("true",)), datum_batching=True)
        pytest.skip("refused, as it should be")
    return sealed


def start(lab: Lab, body: str, **transform: Any) -> Worker:
    code = _LIBRARY + _LOOP.format(body=textwrap.indent(body, "    ").strip())
    python = sys.executable if not lab.rootless else "/usr/bin/python3"
    cmd = ("python3" if lab.image else python, "-c", code)
    return lab.start(Transform(cmd, **transform), datum_batching=True)


def messages(task: DatumTask) -> list[str]:
    return [json.loads(line)["message"] for line in task.log.read_text().splitlines()]


def test_one_process_sees_each_datum_in_its_turn(batch: Lab) -> None:
    body = """
import os, pathlib
text = pathlib.Path(env["data"]).read_text()
lines = pathlib.Path("/pfs/.env").read_text().splitlines()
assert "N=" + env["N"] in lines, lines
pathlib.Path("/pfs/out/seen").write_text(f"{text} {os.getpid()}")
print("datum", env["N"], sorted(os.listdir("/pfs")), flush=True)
"""
    worker = start(batch, body)
    seen = []
    for n in range(5):
        name = f"in{n}"
        task = batch.task({f"{name}/x": b"%d" % n}, env={"data": f"/pfs/{name}/x", "N": str(n)})
        result = worker.run(task)
        assert result.ok, (result, messages(task))
        assert result.exit_code == 0
        assert result.peak_rss_bytes > 1 << 20
        seen.append((task.out / "seen").read_text().split())
        assert messages(task)[-1] == f"datum {n} ['.env', 'data', '{name}', 'out']"
        assert messages(task).count("started") == (n == 0)
    assert [text for text, _ in seen] == [str(n) for n in range(5)]
    assert len({pid for _, pid in seen}) == 1


def test_an_error_text_fails_the_datum_and_the_code_goes_on(batch: Lab) -> None:
    worker = start(batch, 'error = "bad: " + env["N"] if env["N"] == "1" else ""')
    tasks = [batch.task(env={"N": str(n)}) for n in range(3)]
    worker.start(tasks[0])
    worker.start(tasks[1])
    assert worker.finish().ok
    worker.start(tasks[2])
    result = worker.finish()
    assert not result.ok
    assert result.reason == "bad: 1"
    assert worker.finish().ok
    assert "started" not in messages(tasks[2])


def test_code_that_ends_early_fails_its_datum_and_is_started_again(batch: Lab) -> None:
    worker = start(batch, 'import os; os._exit(4) if env["N"] == "1" else print("fine")')
    for n, ok in enumerate((True, False, True)):
        task = batch.task(env={"N": str(n)})
        result = worker.run(task)
        assert result.ok is ok
        if not ok:
            assert "exit status 4) before it asked for the next datum" in result.reason
    assert "started" in messages(task)


def test_code_that_never_asks_is_explained(batch: Lab) -> None:
    worker = batch.start(Transform(("true",)), datum_batching=True)
    result = worker.run(batch.task())
    assert "exit status 0) before it asked for the next datum" in result.reason
    assert "pachybox next datum" in result.reason


def test_a_datum_over_its_time_kills_the_code_which_is_started_again(batch: Lab) -> None:
    worker = start(batch, 'import time; time.sleep(1000 if env["N"] == "1" else 0)')
    assert worker.run(batch.task(env={"N": "0"})).ok
    result = worker.run(batch.task(env={"N": "1"}, timeout_s=0.3))
    assert result.timed_out
    assert result.reason == "timed out after 0.3s"
    assert batch.alive() == []
    task = batch.task(env={"N": "2"})
    assert worker.run(task).ok
    assert "started" in messages(task)


def test_a_cancel_kills_the_code_and_the_worker_goes_on(batch: Lab) -> None:
    body = 'open("/pfs/out/begun", "w").close()\nimport time; time.sleep(int(env["S"]))'
    worker = start(batch, body)
    join = batch.begin(worker, batch.task(env={"S": "1000"}))
    worker.cancel()
    assert join().cancelled
    assert worker.run(batch.task(env={"S": "0"})).ok


def test_the_code_is_told_that_there_are_no_more(batch: Lab) -> None:
    after = """
import atexit, socket
atexit.register(socket.create_connection, ("127.0.0.1", int(env["END"])))
"""
    worker = start(batch, after)
    with socket.create_server(("127.0.0.1", 0)) as end:
        end.setblocking(False)
        assert worker.run(batch.task(env={"END": str(end.getsockname()[1])})).ok
        with pytest.raises(BlockingIOError):
            end.accept()
        worker.close()
        end.accept()[0].close()


def test_the_err_cmd_runs_by_itself(batch: Lab) -> None:
    worker = start(batch, 'error = "no"', err_cmd=("sh", "-c", "ls /pfs; echo rescued"))
    assert not worker.run(batch.task()).ok
    from dataclasses import replace

    task = replace(batch.task(), err_cmd=True)
    assert worker.run(task).ok
    assert messages(task) == ["data", "out", "rescued"]


def test_a_program_outside_of_a_pipeline_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PACHYBOX_NEXT", raising=False)
    with pytest.raises(pachybox.worker.next.NoWorker, match="datum_batching"):
        pachybox.worker.next.next_datum()
    monkeypatch.setenv("PACHYBOX_NEXT", "/no/such/socket")
    with pytest.raises(pachybox.worker.next.NoWorker, match="/no/such/socket"):
        pachybox.worker.next.next_datum()
