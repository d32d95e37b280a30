"""A source's process: its orders, its end, its last words. What it does is a module of the test's,
which stands in for one of ``spouts``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boxes import eventually

BOOT = (
    "import sys, spouts; spouts.__path__.insert(0, sys.argv[1]);"
    " from spouts.__main__ import main; sys.exit(main())"
)
HEAD = "import os, subprocess, sys, time\nfrom pathlib import Path\nfrom spouts.desk import *\n"

Start = Callable[[str], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ``def run(desk)`` with this body as a source."""
    started = []

    def make(body: str) -> subprocess.Popen[bytes]:
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        (tmp_path / "odd.py").write_text(f"{HEAD}def run(desk):\n{lines}")
        process = subprocess.Popen(
            [sys.executable, "-c", BOOT, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        started.append(process)
        task = {
            "project": "default", "name": "x", "kind": "odd", "version": 1, "spec": {},
            "to": "default/raw@master", "state": str(tmp_path), "address": str(tmp_path / "none"),
        }  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(task).encode() + b"\n")
        return process

    yield make
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def rest(process: subprocess.Popen[bytes]) -> tuple[int, list[dict[str, object]], list[str]]:
    """Its status, its reports, its log. Its input stays open."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.read().decode(), process.stderr.read().decode()
    return process.wait(20), [json.loads(line) for line in out.splitlines()], err.splitlines()


def test_sigterm_ends_it_in_order_and_the_last_figures_are_told(start: Start) -> None:
    process = start(
        "desk.report(pending=1)\nfor n in range(2, 6): desk.report(pending=n)\n"
        "while True: desk.pause(100)"
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["pending"] == 1
    process.send_signal(signal.SIGTERM)
    status, reports, log = rest(process)
    assert (status, reports[-1]["pending"], log) == (0, 5, [])


def test_run_is_an_order_and_odd_lines_are_none(start: Start) -> None:
    process = start("while not desk.pause(100): pass\ndesk.log('told\\nto run')")
    assert process.stdin is not None
    process.stdin.write(b'what\n[1]\n{"order": "other"}\n{"order": "run"}\n')
    assert rest(process) == (0, [], ["\x1ftold to run"])


@pytest.mark.parametrize("at", ["time.sleep(1000)", "os.read(os.pipe()[0], 1)"])
def test_it_ends_with_the_box_whatever_it_is_at_and_its_children_too(
    start: Start, tmp_path: Path, at: str
) -> None:
    """The end of its input is the box's end: here it is deaf to SIGTERM and in a system call."""
    process = start(
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "(desk.task.state / 'new').write_text(str(child.pid))\n"
        f"(desk.task.state / 'new').rename(desk.task.state / 'child')\n{at}"
    )
    eventually((tmp_path / "child").exists, "it has a child")
    child = int((tmp_path / "child").read_text())
    process.send_signal(signal.SIGTERM)
    assert alive(child)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(20)
    eventually(lambda: not alive(child), "its child is gone")


def test_it_leaves_the_machine_to_others(start: Start) -> None:
    process = start(
        "desk.log(f\"{os.nice(0)} {Path('/proc/self/oom_score_adj').read_text().strip()}\")"
    )
    assert rest(process)[2] == [f"\x1f{min(os.nice(0) + 5, 19)} 500"]


@pytest.mark.parametrize(
    ("body", "status", "last"),
    [
        ("raise PachyboxError('no such folder', 'make it')", 1, "\x1fno such folder; make it"),
        ("open('/no/file')", 1, "\x1fNo such file or directory: /no/file"),
        ("{}['x']", 1, "KeyError: 'x'"),
        ("raise Stopping", 0, ""),
    ],
)
def test_its_last_line_says_why_it_ended(start: Start, body: str, status: int, last: str) -> None:
    code, _, log = rest(start(body))
    assert (code, log[-1] if log else "") == (status, last)


def test_a_box_that_hears_nothing_is_no_error(start: Start) -> None:
    process = start(
        "desk.pause(100)\ndesk.report(pending=3)\ndesk.failed('odd')\ndesk.log('lost')\n"
        "(desk.task.state / 'after').write_text('')\ndesk.pause(100)"
    )
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    assert process.stdin is not None
    process.stdin.write(b'{"order": "run"}\n')
    eventually((Path(process.args[-1]) / "after").exists, "it goes on")  # type: ignore[index]
    process.stdin.write(b'{"order": "run"}\n')
    assert process.wait(20) == 0
