"""A command's output as records: cut, spooled, committed with a marker; ended with its source."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

from pachybox.client import Client
from tests.boxes import RealBox, eventually
from tests.flow.posting import committed, files, records, source

COUNTER = """
n=${PACHYBOX_MARKER:-0}; echo "$n" >> starts
while :; do n=$((n + 1)); echo "{\\"n\\": $n}"; [ $((n % 20)) = 0 ] && sleep 0.01; done
"""


def numbers(client: Client, branch: str) -> list[int]:
    return [json.loads(one)["n"] for one in records(client, branch)]


def alive(word: str) -> list[int]:
    """Processes with ``word`` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if word.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_output_is_cut_into_records_and_committed_at_the_end(shared_box: RealBox) -> None:
    """Blank lines go, a last line without its end counts, an error is said, what is no JSON or too
    long is a dead letter; the command runs once."""
    c = shared_box.client
    script = 'echo \'{"a": 1}\'; echo; echo nonsense; echo "[\\"$X\\"]"; echo oops >&2; printf 2'
    branch = source(
        c, "once", "command", cmd=["sh", "-c", script], env={"X": "from env"}, restart="never",
        group={"time": "24h"}, max_record="1KiB",
    )  # fmt: skip
    committed(c, "once", 3)
    assert records(c, branch) == [b'{"a": 1}', b'["from env"]', b"2"]
    info = c.inspect_ingest("once")
    assert info.dead_letters == 1
    assert b"nonsense\n" in files(c, "once@dead-letters").values()
    eventually(lambda: "has ended" in c.inspect_ingest("once").reason, "its end is told")
    c.run_ingest("once")
    committed(c, "once", 6)


def test_a_failing_command_is_started_again_on_failure_only(shared_box: RealBox) -> None:
    c = shared_box.client
    script = '[ -e mark ] && exit 0; touch mark; yes x | head -c 4000 | tr -d "\\n"; echo; exit 3'
    folder = shared_box.home / "work-of-failing"
    folder.mkdir()
    branch = source(
        c, "failing", "command", cmd=script, dir=str(folder), restart="on-failure",
        format="lines", path="/{source}", max_record="1KiB",
    )  # fmt: skip
    eventually(lambda: "has ended" in c.inspect_ingest("failing").reason, "it ended well")
    info = c.inspect_ingest("failing")
    assert (info.errors, info.error) == (1, "the command ended: exit status 3")
    assert files(c, branch) == {}
    dead = files(c, "failing@dead-letters")
    assert b"x" * 2000 + b"\n" in dead.values()
    reason = next(json.loads(v)["reason"] for k, v in dead.items() if k.endswith(".reason.json"))
    assert reason == "the record is longer than max_record (1024 bytes): 2000 bytes"


def test_a_command_runs_every_so_often(shared_box: RealBox) -> None:
    c = shared_box.client
    branch = source(c, "often", "command", cmd="echo 1; sleep 1000 &", every="1s")
    committed(c, "often", 2)
    assert set(records(c, branch)) == {b"1"}
    c.delete_ingest("often")
    assert not alive("PACHYBOX_INGEST=default/often")


def test_a_resumable_command_loses_and_doubles_nothing(box: RealBox, tmp_path: Path) -> None:
    """Killed: the source, the command, the box; stopped in order; paused."""
    c = box.client
    branch = source(
        c, "count", "command", cmd=["sh", "-c", COUNTER], dir=str(tmp_path), marker="n",
        group={"time": "200ms", "records": 500},
    )  # fmt: skip

    def more(client: Client) -> None:
        committed(client, "count", client.inspect_ingest("count").records + 300)

    more(c)
    os.kill(c.inspect_ingest("count").pid, signal.SIGKILL)
    more(c)
    for pid in alive("PACHYBOX_INGEST=default/count"):
        with suppress(ProcessLookupError):  # it sleeps in short processes
            os.kill(pid, signal.SIGKILL)
    more(c)
    c.pause_ingest("count")
    eventually(lambda: not alive("PACHYBOX_INGEST=default/count"), "nothing of it runs")
    c.resume_ingest("count")
    more(c)
    box.kill()
    eventually(lambda: not alive("PACHYBOX_INGEST=default/count"), "nothing of it runs")
    c = box.start().client
    more(c)
    assert box.stop() == 0
    assert not alive("PACHYBOX_INGEST=default/count")
    c = box.start().client
    more(c)
    info = c.inspect_ingest("count")
    assert int(info.offset["marker"]) >= info.records
    c.pause_ingest("count")
    found = numbers(c, branch)
    assert found == list(range(1, len(found) + 1))
    starts = (tmp_path / "starts").read_text().split()
    assert len(starts) >= 6
    assert starts == sorted(starts, key=int)


def test_a_marker_is_an_argument_when_there_is_one(box: RealBox) -> None:
    c = box.client
    branch = source(
        c, "args", "command", cmd=["printf", "%s\\n", "id=first one", "id={marker}!"],
        format="lines", marker="^id=(.*)$", every="1s", path="/all",
    )  # fmt: skip
    committed(c, "args", 5)
    found = records(c, branch)[:5]
    assert found == [
        b"id=first one", b"id=first one", b"id=first one!", b"id=first one", b"id=first one!!",
    ]  # fmt: skip
    c.create_ingest(
        {**c.inspect_ingest("args").spec, "description": "anew"}, update=True, reset=True
    )
    eventually(lambda: b"id=first one" in records(c, branch)[-1:], "it begins anew")


def test_a_full_spool_holds_the_command_back(box: RealBox) -> None:
    """Nothing is read while the branch cannot take it; then all of it comes, and once: not again
    when the box is started anew."""
    c = box.client
    c.create_repo("flood")
    c.start_commit("flood@master")
    line = "x" * 1000
    c.create_ingest(
        {"name": "flood", "to": "flood@master", "command": {
            "cmd": f"for i in $(seq 30000); do echo $i {line}; done; echo done",
            "format": "lines", "restart": "never", "spool": "16MiB", "path": "/{batch}",
        }}
    )  # fmt: skip
    spool = box.home / "ingest" / "default" / "flood" / "spool"

    def kept() -> int:
        return sum(one.stat().st_size for one in spool.glob("*.log"))

    eventually(lambda: kept() >= 16 << 20, "the spool is full")
    eventually(lambda: "open commit" in c.inspect_ingest("flood").reason, "it tells why")
    assert kept() < 18 << 20
    c.finish_commit("flood@master")
    committed(c, "flood", 30001)
    found = records(c, "flood@master")
    assert [one.split()[0] for one in found] == [b"%d" % n for n in range(1, 30001)] + [b"done"]
    assert kept() < 5 << 20
    box.stop()
    c = box.start().client
    eventually(lambda: "has ended" in c.inspect_ingest("flood").reason, "it does not run again")
    assert c.inspect_ingest("flood").records == 30001
