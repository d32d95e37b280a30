"""Sources are started, listened to and ended; whatever they do, the daemon is not harmed.

The processes are real; what they run is a script of the test's, in place of ``python -m spouts``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pachybox.ingest import log as logs
from pachybox.ingest import source as sources
from pachybox.ingest import supervisor as supervisors
from pachybox.ingest.log import Reader
from pachybox.ingest.supervisor import Supervisor
from pachybox.meta.tables import INGESTS
from pachybox.meta.writer import Meta
from pachybox.model.ids import Branch, Repo
from pachybox.model.ingest import Ingest, IngestKind, IngestRecord, IngestState, IngestStatus
from tests.boxes import eventually

NAME = Ingest("default", "drops")
TO = Branch(Repo("default", "raw"), "master")

# what a good source does: waits for orders, notes them, ends when asked
GOOD = """
import json, os, signal, sys
task = json.loads(sys.stdin.readline())
state = task["state"]
with open(state + "/starts", "a") as f:
    f.write(json.dumps({**task, "pid": os.getpid()}) + "\\n")
def say(**given):
    report = {"lag_s": 0, "pending": 0, "reason": "", "error": "", "errors": 0}
    os.write(1, (json.dumps({**report, **given}) + "\\n").encode())  # also amid another
def end(*_):
    say(pending=7)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
"""
RUNS = GOOD + "say(lag_s=2.5, pending=3, error='odd file', errors=2)\n"
WAITS = "for line in sys.stdin:\n    open(state + '/orders', 'a').write(line)\n"


class Bench:
    """A supervisor on metadata of its own, and the scripts of its sources."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.meta = Meta(folder / "meta.duckdb", barrier=lambda: None)
        self.script = folder / "source.py"
        self.held = ""
        self.supervisor = self.make()

    def make(self) -> Supervisor:
        command = [sys.executable, "-I", "-S", str(self.script)]
        socket = self.home / "box.sock"
        return Supervisor(self.meta, self.home, socket, lambda: self.held, command)

    def put(self, name: Ingest = NAME, kind: IngestKind = IngestKind.WATCH) -> None:
        now = datetime.now(UTC)
        record = IngestRecord(
            name, kind, {"path": "/in"}, TO, 1, now, now, batch=4, offset='{"a":1}'
        )
        self.meta.write(lambda tx: tx.put(INGESTS, record))
        self.supervisor.changed(name)

    def change(self, edit: Callable[[IngestRecord], IngestRecord], name: Ingest = NAME) -> None:
        found = self.meta.get(INGESTS, name)
        assert found is not None
        self.meta.write(lambda tx: tx.put(INGESTS, edit(found)))
        self.supervisor.changed(name)

    def delete(self, name: Ingest = NAME) -> None:
        self.meta.write(lambda tx: tx.remove(INGESTS, name))
        self.supervisor.remove(name)

    def status(self, name: Ingest = NAME) -> IngestStatus:
        return self.supervisor.status(name)

    def comes_to(self, state: IngestState, name: Ingest = NAME) -> IngestStatus:
        eventually(lambda: self.status(name).state == state, f"{name} is {state}", 20)
        return self.status(name)

    def runs(self, starts: int) -> int:
        """Wait until it has been started so often and has reported; its process."""
        eventually(
            lambda: len(self.starts()) == starts and self.status().pending == 3,
            f"it runs for the {starts}th time",
            20,
        )
        return self.comes_to(IngestState.RUNNING).pid

    def starts(self, name: Ingest = NAME) -> list[dict[str, object]]:
        path = self.supervisor.state(name) / "starts"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def said(self, name: Ingest = NAME) -> list[tuple[bool, str]]:
        reader = Reader(self.home / "logs", name)
        try:
            return [(line.user, line.message) for line in reader.new()]
        finally:
            reader.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.supervisor.start()
    yield made
    made.supervisor.stop()
    made.meta.close()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_source_is_told_its_task_reports_and_takes_orders(bench: Bench) -> None:
    bench.script.write_text(RUNS + WAITS)
    bench.put()
    status = bench.comes_to(IngestState.RUNNING)
    eventually(lambda: bench.status().pending == 3, "its report came")
    status = bench.status()
    assert (status.error, status.errors, status.restarts) == ("odd file", 2, 0)
    assert status.lag_s >= 2.5
    eventually(lambda: bench.status().lag_s > status.lag_s, "what waits grows older")
    [task] = bench.starts()
    assert task["pid"] == status.pid
    assert (task["batch"], task["offset"], task["to"]) == (4, {"a": 1}, "default/raw@master")
    assert task["address"] == str(bench.home / "box.sock")
    assert bench.supervisor.state(NAME).stat().st_mode & 0o777 == 0o700
    bench.supervisor.run(NAME)
    orders = bench.supervisor.state(NAME) / "orders"
    eventually(orders.exists, "its order came")


def test_pausing_holding_updating_and_deleting_end_the_process(bench: Bench) -> None:
    bench.script.write_text(RUNS + WAITS)
    bench.put()
    first = bench.runs(1)
    bench.change(lambda r: replace(r, paused=True))
    assert bench.status().state == IngestState.PAUSED  # said at once
    assert bench.supervisor.quiet(NAME, 10)
    assert not alive(first)
    assert (bench.status().pid, bench.status().pending) == (0, 7)  # its last report counts

    bench.change(lambda r: replace(r, paused=False))
    second = bench.runs(2)
    bench.held = "disk 93 % full"
    assert (bench.status().state, bench.status().reason) == (IngestState.HELD, "disk 93 % full")
    assert bench.supervisor.quiet(NAME, 10)
    bench.held = ""
    third = bench.runs(3)

    bench.change(lambda r: replace(r, version=2, batch=9))
    bench.runs(4)
    assert [s["version"] for s in bench.starts()] == [1, 1, 1, 2]
    assert bench.starts()[-1]["batch"] == 9
    assert bench.status().restarts == 0
    fourth = bench.status().pid
    assert not any(map(alive, (first, second, third)))

    state = bench.supervisor.state(NAME)
    log = logs.path_of(bench.home / "logs", NAME)
    assert log.parent.parent.name == "@ingest"
    bench.delete()
    assert not state.exists()
    eventually(lambda: not alive(fourth), "its process ends")
    bench.put()  # one of the same name
    bench.runs(1)


def test_one_that_ends_is_started_again_ever_later_and_says_why(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BACKOFF_S", (0.05, 30.0))
    bench.script.write_text(GOOD + "print('\x1fno such folder: /in', file=sys.stderr)\nsys.exit(1)")
    bench.put(kind=IngestKind.COMMAND)
    eventually(lambda: bench.status().restarts >= 3, "it is tried again and again")
    status = bench.status()
    assert (status.state, status.reason) == (IngestState.CRASHING, "no such folder: /in")
    assert status.errors >= 3
    assert status.error_time is not None
    said = bench.said()
    assert said[:2] == [
        (False, "no such folder: /in"),
        (False, "no such folder: /in; starts again in 0.05 s"),
    ]
    assert "0.2 s" in said[5][1]

    bench.script.write_text(RUNS + WAITS)
    monkeypatch.setattr(sources, "BACKOFF_S", (600.0, 600.0))

    def runs() -> bool:
        bench.supervisor.run(NAME)  # needs not wait
        return bench.status().state == IngestState.RUNNING

    eventually(runs, "it is started at once")
    pid = bench.status().pid
    os.kill(pid, signal.SIGKILL)
    status = bench.comes_to(IngestState.CRASHING)
    assert status.reason == "killed by signal 9 (SIGKILL)"
    bench.supervisor.run(NAME)
    assert bench.comes_to(IngestState.RUNNING).reason == ""


def test_a_machine_without_processes_is_a_state_and_no_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", none_left)
        bench.script.write_text(RUNS + WAITS)
        bench.put()
        status = bench.comes_to(IngestState.CRASHING)
        assert status.reason == "cannot be started: Resource temporarily unavailable"
    bench.comes_to(IngestState.RUNNING)
    assert "default/raw@master" in str(bench.starts())


def test_floods_of_words_are_cut_and_nobody_else_waits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 100_000)
    bench.script.write_text(
        GOOD + "say()\nsys.stderr.write('x' * 100_000 + '\\n')\n"
        "while True: sys.stderr.write('word ' * 10 + '\\n'); print('no report' * 10)"
    )
    other = Ingest("default", "calm")
    bench.put(kind=IngestKind.COMMAND)
    eventually(lambda: "lines left out" in str(bench.said()), "lines are left out")
    bench.put(other)
    bench.comes_to(IngestState.RUNNING, other)
    file = logs.path_of(bench.home / "logs", NAME)
    eventually(file.with_name(f"{file.name}.1").exists, "the log is put away")
    assert sum(f.stat().st_size for f in file.parent.glob(f"{file.name}*")) < 210_000
    assert max(len(message) for _, message in bench.said()) <= 1 << 13
    assert bench.comes_to(IngestState.RUNNING).restarts == 0


def test_many_sources_start_a_few_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "READY_S", 600.0)
    monkeypatch.setattr(supervisors, "_YOUNG_MOST", 2)
    gate = bench.home / "gate"
    bench.script.write_text(
        GOOD
        + f"import time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\nsay()\n"
        + WAITS
    )
    names = [Ingest("default", f"s{i}") for i in range(5)]
    for name in names:
        bench.put(name)
    eventually(lambda: sum(len(bench.starts(name)) for name in names) == 2, "two start")
    assert sum(bench.status(name).pid > 0 for name in names) == 2
    gate.touch()
    for name in names:
        bench.comes_to(IngestState.RUNNING, name)


def test_one_that_ends_because_it_was_updated_has_not_crashed(bench: Bench) -> None:
    """It may hear of that before it is told: its batch is refused, and it ends."""
    bench.script.write_text(RUNS + "while not os.path.exists(state + '/gone'): pass\n")
    bench.put()
    bench.runs(1)
    found = bench.meta.get(INGESTS, NAME)
    assert found is not None
    bench.meta.write(lambda tx: tx.put(INGESTS, replace(found, version=2)))
    bench.script.write_text(RUNS + WAITS)
    (bench.supervisor.state(NAME) / "gone").touch()
    eventually(lambda: len(bench.starts()) == 2, "the new version runs")
    assert bench.comes_to(IngestState.RUNNING).restarts == 0
    assert bench.said() == []


def test_none_outlives_the_supervisor_whatever_it_does(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deaf to SIGTERM, with children, with a full log: all are gone when ``stop`` returns."""
    monkeypatch.setattr(supervisors, "_STOP_S", 0.3)
    monkeypatch.setattr(supervisors, "_HANG_UP_S", 0.3)
    bench.script.write_text(
        GOOD + "import subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "open(state + '/child', 'w').write(str(child.pid))\nsay()\n"
        "while True: time.sleep(1000)"
    )
    bench.put()
    pid = bench.comes_to(IngestState.RUNNING).pid
    said = bench.supervisor.state(NAME) / "child"
    child = int(eventually(lambda: said.exists() and said.read_text(), "it has a child"))
    assert alive(pid)
    assert alive(child)
    bench.supervisor.stop()
    assert not alive(pid)
    eventually(lambda: not alive(child), "its child ends")


def test_what_a_crash_left_of_sources_that_are_gone_is_removed(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.script.write_text(RUNS + WAITS)
    bench.put()
    gone = Ingest("default", "gone")
    for name in (NAME, gone):
        bench.supervisor.state(name).mkdir(parents=True)
        file = logs.path_of(tmp_path / "logs", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    bench.supervisor.start()
    try:
        assert bench.supervisor.state(NAME).exists()
        assert not bench.supervisor.state(gone).exists()
        assert logs.path_of(tmp_path / "logs", NAME).exists()
        assert not logs.path_of(tmp_path / "logs", gone).exists()
        bench.comes_to(IngestState.RUNNING)
        bench.supervisor.advanced(NAME, 0, files=5)
        bench.supervisor.advanced(NAME, 0, files=2)
        rates = bench.status().rates
        assert (len(rates), sum(rates)) == (60, 7.0)
    finally:
        bench.supervisor.stop()
        bench.meta.close()
