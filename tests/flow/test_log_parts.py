"""Logs read in parts through the client: windows, searches, following, over restarts too."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.client import AsyncClient, Client, LogEntry
from pachybox.errors import InvalidArgument, NotFound
from tests.boxes import RealBox, eventually

NUMBER = itertools.count()


def pipeline(box: RealBox, script: str, files: int = 1, **more: Any) -> str:
    """A job of a new pipeline over some files, once it has begun."""
    name = f"log{next(NUMBER)}"
    client = box.client
    client.create_repo(f"{name}-in")
    with client.commit(f"{name}-in@master") as commit:
        for number in range(files):
            commit.put_file(f"/{number}", str(number).encode())
    client.create_pipelines(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": f"{name}-in", "glob": "/*", "name": "in"}},
            "transform": {"cmd": ["sh"], "stdin": [script]},
            **more,
        }
    )
    return str(eventually(lambda: next(iter(client.list_job(name)), None), "a job"))


def over(client: Client, job: str) -> None:
    eventually(lambda: client.inspect_job(job).state in ("JOB_SUCCESS", "JOB_FAILURE"), "its end")


def texts(entries: Iterator[LogEntry] | tuple[LogEntry, ...] | list[LogEntry]) -> list[str]:
    return [entry.text for entry in entries if entry.user]


def test_a_window_anywhere_in_a_log(shared_box: RealBox) -> None:
    client = shared_box.client
    job = pipeline(shared_box, "seq 1 3000")
    over(client, job)
    whole = client.read_log(job=job, after=0, lines=20_000)
    assert texts(whole.lines) == [str(n) for n in range(1, 3001)]
    assert (whole.start, whole.end) == (0, whole.size)
    tail = client.read_log(job=job, lines=10)
    assert texts(tail.lines) == [str(n) for n in range(2991, 3001)]
    before = client.read_log(job=job, before=tail.start, lines=10)
    assert texts(before.lines) == [str(n) for n in range(2981, 2991)]
    assert before.end == tail.start
    assert client.read_log(job=job, after=tail.end).lines == ()
    middle = whole.lines[1500]
    assert client.read_log(job=job, after=middle.at, lines=1).lines == (middle,)


def test_lines_say_what_they_are_of(shared_box: RealBox) -> None:
    client = shared_box.client
    script = 'echo "ERROR no $(cat /pfs/in/*)"; echo \'{"level":"warn"}\'; exit 1'
    job = pipeline(shared_box, script, files=3, datum_tries=2, parallelism_spec={"constant": 2})
    over(client, job)
    lines = client.read_log(job=job).lines
    assert [line.time for line in lines] == sorted(line.time for line in lines if line.time)
    assert {line.job for line in lines} == {job.partition("@")[2]}
    datums = {line.datum for line in lines}
    assert len(datums) == 3
    for datum in datums:
        mine = client.read_log(job=job, datum=datum[:12]).lines
        assert [(line.text, line.attempt) for line in mine if not line.user] == [
            ("datum started", 1),
            ("datum started", 2),
        ]
        assert [(x.level, x.attempt) for x in mine if x.user] == [
            ("error", 1), ("warn", 1), ("error", 2), ("warn", 2),
        ]  # fmt: skip
        assert {line.datum for line in mine} == {datum}
        found = client.find_log(job=job, datum=datum, pattern="ERROR", after=0)
        assert found == mine[1]


def test_a_search_goes_on_and_back(shared_box: RealBox) -> None:
    client = shared_box.client
    job = pipeline(shared_box, 'for i in 1 2 3; do echo "line $i [x]"; echo other; done')
    over(client, job)
    at, found = 0, []
    while (entry := client.find_log(job=job, pattern=r"^line \d", after=at)) is not None:
        found.append(entry.text)
        at = entry.at + 1
    assert found == ["line 1 [x]", "line 2 [x]", "line 3 [x]"]
    last = client.find_log(job=job, pattern="[x]", regex=False, after=1 << 40, back=True)
    assert last is not None
    assert last.text == "line 3 [x]"
    before = client.find_log(job=job, pattern="[x]", regex=False, after=last.at, back=True)
    assert before is not None
    assert before.text == "line 2 [x]"
    assert client.find_log(job=job, pattern="nowhere") is None
    with pytest.raises(InvalidArgument, match="regular expression"):
        client.find_log(job=job, pattern="(")


def test_a_pattern_made_to_take_for_ever_does_not(shared_box: RealBox) -> None:
    client = shared_box.client
    job = pipeline(shared_box, "head -c 60000 /dev/zero | tr '\\0' a; echo")
    over(client, job)
    assert client.find_log(job=job, pattern="(a+)+$") is not None
    assert client.find_log(job=job, pattern="(a|aa)+b") is None


def test_binary_output_and_a_line_without_end(shared_box: RealBox) -> None:
    client = shared_box.client
    script = "printf 'a\\377b\\001\\n'; head -c 1000000 /dev/zero | tr '\\0' x; echo; echo end"
    job = pipeline(shared_box, script)
    over(client, job)
    first, long, end, dropped = [x.text for x in client.read_log(job=job).lines if x.user]
    assert (first, end) == ("a\ufffdb\x01", "end")
    assert long == "x" * 65536 + " ... 934464 bytes more"
    assert dropped.startswith("934464 bytes of output were dropped")


def test_following_misses_and_repeats_nothing_over_restarts(box: RealBox, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = (
        f'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo "$(cat /pfs/in/*) $i"; sleep 0.005; done;'
        f" while [ ! -e {gate} ]; do sleep 0.05; done"
    )
    job = pipeline(box, script, files=2, parallelism_spec={"constant": 2})
    seen: list[LogEntry] = []
    for entry in box.client.follow_log(job=job, after=0):
        seen.append(entry)
        if len(seen) == 150:
            box.kill()
            box.start()
        if len(seen) == 500:
            gate.touch()
    places = [entry.at for entry in seen]
    assert places == sorted(set(places))
    again = box.client.read_log(job=job, after=0, lines=20_000).lines
    assert [(e.at, e.text) for e in again] == [(e.at, e.text) for e in seen]


def test_a_new_line_comes_at_once_and_the_end_ends_it(shared_box: RealBox, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo before; while [ ! -e {gate} ]; do sleep 0.05; done; echo behind"
    job = pipeline(shared_box, script)
    follow = shared_box.client.follow_log(job=job, after=0)
    assert next(entry.text for entry in follow if entry.user) == "before"
    gate.touch()
    assert texts(list(follow)) == ["behind"]


async def test_an_async_follower_is_given_up(shared_box: RealBox, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = pipeline(shared_box, f"echo one; while [ ! -e {gate} ]; do sleep 0.05; done")
    async with AsyncClient(str(shared_box.socket)) as client:
        follow = client.follow_log(job=job, after=0)
        async for entry in follow:
            if entry.text == "one":
                break
        await follow.aclose()
        part = await client.read_log(job=job)
        assert texts(part.lines) == ["one"]
    gate.touch()
    over(shared_box.client, job)


def test_the_log_of_a_pipeline_is_that_of_all_its_jobs(shared_box: RealBox) -> None:
    client = shared_box.client
    job = pipeline(shared_box, "cat /pfs/in/*; echo")
    over(client, job)
    name = job.partition("@")[0]
    follow = client.follow_log(pipeline=name, after=0)
    assert next(entry.text for entry in follow if entry.user) == "0"
    first = client.read_log(pipeline=name)
    client.put_file(f"{name}-in@master:/more", b"second")
    assert next(entry.text for entry in follow if entry.user) == "second"
    follow.close()
    both = client.read_log(pipeline=name, after=0)
    assert texts(both.lines) == ["0", "second"]
    assert both.lines[: len(first.lines)] == first.lines
    assert len({line.job for line in both.lines}) == 2


def test_the_log_of_a_source(shared_box: RealBox) -> None:
    client = shared_box.client
    client.create_repo("drops")
    cmd = ["sh", "-c", "for i in 1 2 3; do echo warning: $i >&2; done; sleep 1000"]
    client.create_ingest({"name": "drops", "to": "drops@master", "command": {"cmd": cmd}})
    follow = client.follow_log(ingest="drops", after=0)
    said = [next(entry for entry in follow if entry.user) for _ in range(3)]
    assert [(entry.text, entry.level) for entry in said] == [
        (f"warning: {n}", "warn") for n in (1, 2, 3)
    ]
    part = client.read_log(ingest="drops", after=0)
    assert [line for line in part.lines if line.user] == said
    assert client.read_log(ingest="drops", after=said[1].at, lines=1).lines == (said[1],)
    assert client.find_log(ingest="drops", pattern="warning: [3-9]") == said[2]
    client.delete_ingest("drops")
    assert texts(list(follow)) == []
    with pytest.raises(NotFound):
        client.read_log(ingest="drops")


def test_what_is_asked_must_be_clear(shared_box: RealBox) -> None:
    client = shared_box.client
    with pytest.raises(InvalidArgument, match="which log"):
        client.read_log()
    with pytest.raises(InvalidArgument, match="which log"):
        client.read_log(pipeline="a", job="a@b")
    with pytest.raises(InvalidArgument, match="no datums"):
        client.read_log(ingest="a", datum="b")
    with pytest.raises(InvalidArgument, match="two windows"):
        client.read_log(pipeline="a", after=1, before=2)
    with pytest.raises(NotFound):
        client.read_log(pipeline="nowhere")
    job = pipeline(shared_box, "true")
    with pytest.raises(InvalidArgument, match="lines"):
        client.read_log(job=job, lines=-1)
    over(client, job)


def test_a_client_without_the_library_gets_json(shared_box: RealBox) -> None:
    job = pipeline(shared_box, "echo hi")
    over(shared_box.client, job)
    answer = shared_box.client.call(
        "pachybox.v1.API",
        "ReadLog",
        log={"job": {"pipeline": {"name": job.partition("@")[0]}, "id": job.partition("@")[2]}},
    )
    assert "hi" in json.dumps(answer)
