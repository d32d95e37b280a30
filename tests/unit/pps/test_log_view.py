"""Logs read by place: whatever is asked, in whatever order, the lines are those of the files."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.model.ids import CommitId, Job, Pipeline
from pachybox.model.units import parse_time
from pachybox.pps import log_order, log_view
from pachybox.pps.log_chain import Chain, linked
from pachybox.pps.log_lines import LONGEST, Line, level_of
from pachybox.pps.log_search import Pattern
from pachybox.pps.log_store import LogStore, forget_places
from pachybox.pps.log_view import Log
from pachybox.pps.logs import heading
from pachybox.worker.log import stamp

NUMBER = itertools.count()
JOB = Job(Pipeline("default", "p"), CommitId("a" * 32))
never = bool  # what says no


def raw(second: float, message: str) -> bytes:
    text = json.dumps(message, ensure_ascii=False)
    return f'{{"ts": "{stamp(second)}", "user": true, "message": {text}}}\n'.encode()


class Logs:
    """The files of a job's workers, and its log."""

    def __init__(self, top: Path, job: Job = JOB) -> None:
        self.top = top
        self.job = job
        self.folder = top / job.pipeline.project / job.pipeline.name / job.id
        self.folder.mkdir(parents=True)
        self.store = LogStore(top)
        self.said: dict[str, list[str]] = {}

    def add(self, worker: int, second: float, *messages: str) -> None:
        with open(self.folder / f"{worker}.jsonl", "ab") as file:
            for message in messages:
                file.write(raw(second, message))
                self.said.setdefault(str(worker), []).append(message)

    def begin(self, worker: int, second: float, datum: str, attempt: int = 1) -> None:
        with open(self.folder / f"{worker}.jsonl", "ab") as file:
            file.write(heading(datum, "datum started", parse_time(stamp(second)), attempt))
        self.said.setdefault(str(worker), []).append("datum started")

    def log(self, datum: str = "") -> Log:
        return self.store.job(self.job, datum)


def everything(log: Log, lines: int = 7) -> list[Line]:
    found: list[Line] = []
    at = 0
    while (window := log.after(at, lines)).lines:
        assert window.start >= at
        found += window.lines
        at = window.end
    return found


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.integers(0, 6),
        st.text(st.sampled_from('ab"\\é\t '), max_size=9),
        st.booleans(),
    ),
    max_size=60,
)
PATTERNS = ["a", "é", '"', "\\", "ab", "^a", "b$", "a.*b", "\\t", "ts"]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that logs of some lines are halved as large ones are."""
    monkeypatch.setattr(log_view, "_BLOCK", 900)
    monkeypatch.setattr(log_order.View.node_at, "__defaults__", (200,))
    monkeypatch.setattr(log_order.View.node_of, "__defaults__", (200,))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(events=EVENTS, seed=st.integers(0, 1000))
def test_windows_in_any_order_give_the_log_and_its_places_stay(
    tmp_path: Path, events: list[tuple[int, int, str, bool]], seed: int
) -> None:
    made = Logs(tmp_path / str(next(NUMBER)))
    dice = random.Random(seed)
    before: list[tuple[int, str]] = []
    for worker, second, message, read in events:
        made.add(worker, second, message)
        if read:
            if dice.random() < 0.3:
                made.store = LogStore(made.top)  # the box starts again
            now = [(line.at, line.text) for line in everything(made.log())]
            assert now[: len(before)] == before
            before = now
    whole = everything(made.log())
    for worker_name, said in made.said.items():
        assert [line.text for line in whole if line.worker == worker_name] == said
    assert len(whole) == len(events)
    places = [line.at for line in whole]
    assert places == sorted(places)
    size = made.log().tail(1).size
    for _ in range(8):
        at, lines = dice.randint(0, size + 3), dice.randint(1, 9)
        window = made.log().after(at, lines)
        assert window.lines == [line for line in whole if line.at >= at][:lines]
        assert window.size == size
        window = made.log().before(at, lines)
        assert window.lines == [line for line in whole if line.at < at][-lines:]
    back: list[Line] = []
    edge: int | None = None
    while (window := made.log().before(edge, 4)).lines:
        back[:0] = window.lines
        edge = window.start
    assert back == whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    events=EVENTS,
    pattern=st.sampled_from(["a", "é", '"', "\\", "ab", "^a", "b$", "a.*b", "\\t", "ts"]),
)
def test_a_search_finds_what_reading_all_finds(
    tmp_path: Path, events: list[tuple[int, int, str, bool]], pattern: str
) -> None:
    made = Logs(tmp_path / str(next(NUMBER)))
    for worker, second, message, _ in events:
        made.add(worker, second, message)
    whole = everything(made.log())
    regex = pattern not in ('"', "\\")
    wanted = Pattern(pattern, regex=regex)
    hits = [x for x in whole if (re.search(pattern, x.text) if regex else pattern in x.text)]
    size = made.log().tail(1).size
    for at in {
        0,
        size // 3,
        size // 2,
        size,
        *[x.at for x in hits[:5]],
        *[x.at + 1 for x in hits[:5]],
    }:
        forward = made.log().find(wanted, at, back=False, cancelled=never)
        assert forward == next((x for x in hits if x.at >= at), None)
        back = made.log().find(wanted, at, back=True, cancelled=never)
        assert back == next((x for x in reversed(hits) if x.at < at), None)


def test_lines_of_workers_stand_by_time(tmp_path: Path) -> None:
    made = Logs(tmp_path)
    for second in range(300):
        made.add(second % 3, second, f"line {second}")
    assert [x.text for x in everything(made.log())] == [f"line {n}" for n in range(300)]


def test_a_late_line_stands_behind_what_was_read(tmp_path: Path) -> None:
    made = Logs(tmp_path)
    made.add(0, 5, "first")
    made.add(1, 6, "second")
    assert [x.text for x in made.log().tail(9).lines] == ["first", "second"]
    made.add(0, 4, "late")
    assert [x.text for x in made.log().tail(9).lines] == ["first", "second", "late"]


def test_the_lines_of_a_datum_alone(tmp_path: Path) -> None:
    made = Logs(tmp_path)
    for number in range(40):
        made.begin(number % 2, number, f"{number % 4:064x}", attempt=number // 4 + 1)
        made.add(number % 2, number + 0.5, f"of {number % 4}", f"again {number % 4}")
    mine = [x for x in everything(made.log()) if x.datum == f"{3:064x}"]
    assert {x.text for x in mine} == {"datum started", "of 3", "again 3"}
    assert [x.attempt for x in mine if x.text == "of 3"] == list(range(1, 11))
    log = made.log(f"{3:064x}")
    assert everything(log) == mine
    assert log.tail(4).lines == mine[-4:]
    assert log.before(mine[5].at, 3).lines == mine[2:5]
    found = log.find(Pattern("of", regex=False), mine[4].at, back=True, cancelled=never)
    assert found == [x for x in mine[:4] if x.text == "of 3"][-1]
    assert log.find(Pattern("of 2", regex=False), 0, back=False, cancelled=never) is None
    assert made.log("f" * 64).tail(5).lines == []


def test_one_worker_places_are_offsets_of_its_file(tmp_path: Path) -> None:
    made = Logs(tmp_path)
    made.begin(0, 1, "d" * 64)
    made.add(0, 1, "a", "b")
    data = (made.folder / "0.jsonl").read_bytes()
    assert [data[line.at :].splitlines()[0] for line in everything(made.log())] == data.splitlines()


def test_torn_odd_and_long_lines(tmp_path: Path) -> None:
    made = Logs(tmp_path)
    made.add(0, 1, "good")
    with open(made.folder / "0.jsonl", "ab") as file:
        file.write(b'{"ts": "2026-01-01T00:00:00Z", "user": true, "mess\n\xff\xfe\n[]\n')
        file.write(b'{"ts": "odd", "user": true, "message": "bad \xff byte"}\n')
    made.add(0, 2, "x" * (LONGEST + 5000), "end")
    with open(made.folder / "0.jsonl", "ab") as file:
        file.write(b'{"ts": "2026-01-01T00:00:00Z", "user": true, "message": "half')
    texts = [line.text for line in everything(made.log())]
    assert texts[:2] == ["good", "bad � byte"]
    assert texts[2] == "x" * LONGEST + " ... 5000 bytes more"
    assert texts[3:] == ["end"]


def test_jobs_of_a_pipeline_follow_each_other_and_keep_their_places(tmp_path: Path) -> None:
    jobs = []
    for number in range(3):
        made = Logs(tmp_path / "logs", Job(JOB.pipeline, CommitId(f"{number:032x}")))
        made.add(0, number * 10, f"a{number}", f"b{number}")
        jobs.append(made)
        texts = [x.text for x in everything(LogStore(tmp_path / "logs").pipeline(JOB.pipeline))]
        assert texts == [f"{c}{n}" for n in range(number + 1) for c in "ab"]
    store = LogStore(tmp_path / "logs")
    whole = everything(store.pipeline(JOB.pipeline))
    assert {x.job for x in whole} == {made.job.id for made in jobs}
    for path in jobs[0].folder.iterdir():
        path.unlink()
    jobs[0].folder.rmdir()
    forget_places(tmp_path / "logs")
    jobs[2].add(0, 99, "new")
    for again in (store, LogStore(tmp_path / "logs")):
        left = everything(again.pipeline(JOB.pipeline))
        assert left[:-1] == whole[2:]
        assert left[-1].text == "new"
        assert again.pipeline(JOB.pipeline).after(0, 1).lines == whole[2:3]
        assert again.pipeline(JOB.pipeline).before(whole[2].at, 9).lines == []


def test_what_is_rotated_keeps_its_places(tmp_path: Path) -> None:
    old, new = tmp_path / "log.1", tmp_path / "log"
    store = LogStore(tmp_path)
    log = store.rotated("@x/source", lambda: [old, new])
    seen: dict[int, str] = {}
    at = 0
    said = []
    for number in range(30):
        if number % 5 == 4:
            new.replace(old)
        with open(new, "ab") as file:
            file.write(raw(number, f"n{number}"))
        said.append(f"n{number}")
        window = log.after(at, 100)
        for line in window.lines:
            assert line.at not in seen
            seen[line.at] = line.text
        at = window.end
        if number % 7 == 0:
            log = LogStore(tmp_path).rotated("@x/source", lambda: [old, new])
    assert list(seen.values()) == said
    assert [x.text for x in log.tail(3).lines] == said[-3:]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(0, 5))
def test_links_never_move(sizes: Sequence[int], kept: int) -> None:
    known: list[Any] = []
    bases: dict[str, int] = {}
    for number in range(len(sizes)):
        first = max(0, number - kept)
        known = linked(known, [(str(n), sizes[n]) for n in range(first, number + 1)])
        for link in known:
            assert bases.setdefault(link.id, link.base) == link.base
    assert [link.base for link in known] == sorted(link.base for link in known)


def test_a_chain_that_cannot_be_read_begins_anew(tmp_path: Path) -> None:
    saved = tmp_path / "jobs"
    saved.write_text("{")
    assert [link.base for link in Chain(saved).place([("a", 5), ("b", 6)])] == [0, 5]
    assert [link.base for link in Chain(saved).place([("b", 6)])] == [5]


@pytest.mark.parametrize("pattern", ["(", "a{5000}{5000}", "(?=x)", "\\1"])
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidArgument, match="regular expression"):
        Pattern(pattern, regex=True)


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("ERROR cannot open", "error"),
        ('{"level":"warn","msg":"x"}', "warn"),
        ('{"ts": 1, "severity": "CRITICAL"}', "error"),
        ("time=1 level=debug msg=x", "debug"),
        ("[warn] low disk", "warn"),
        ("2026-01-01 10:00:00,123 - root - INFO - done", "info"),
        ("2026-01-01T10:00:00Z WARNING x", "warn"),
        ("error: no such file", "error"),
        ("gcc: warning: unused", "warn"),
        ("Traceback (most recent call last):", "error"),
        ("ValueError: bad", "error"),
        ("requests.exceptions.ConnectionError: x", "error"),
        ("no errors were found", ""),
        ("information about cats", ""),
        ("terror is not an error", ""),
        ("INFO:root:error count 0", "info"),
        ("", ""),
    ],
)
def test_levels_are_read_from_the_usual_forms(text: str, level: str) -> None:
    assert level_of(text) == level


def test_a_log_that_was_removed_is_empty(tmp_path: Path) -> None:
    made = Logs(tmp_path)
    made.add(0, 1, "a")
    made.add(1, 2, "b")
    assert len(made.log().tail(5).lines) == 2
    for path in made.folder.iterdir():
        path.unlink()
    assert made.log().tail(5) == ([], 0, 0, 0)
    assert made.log().after(3, 5).lines == []


def test_a_search_that_is_given_up_ends(tmp_path: Path) -> None:
    made = Logs(tmp_path)
    made.add(0, 1, *(f"line {n}" for n in range(300)))
    asked = itertools.count()
    found = made.log().find(
        Pattern("line 299", regex=False), 0, back=False, cancelled=lambda: next(asked) > 3
    )
    assert found is None
    assert next(asked) < 10


def test_a_job_that_comes_behind_one_that_was_removed_has_places_of_its_own() -> None:
    known = linked([], [("a", 10)])
    (new,) = [link for link in linked(known, [("b", 5)]) if link.id == "b"]
    assert new.base > known[0].end + 1000  # whoever read on in "a" misses nothing of "b"


def test_following_goes_from_job_to_job(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "logs")
    said: list[str] = []
    jobs = iter(range(5))

    def begin() -> bool:
        """What happens between two looks; whether it was the last."""
        number = next(jobs, None)
        if number is None:
            return True
        made = Logs(tmp_path / "logs", Job(JOB.pipeline, CommitId(f"{number:032x}")))
        made.add(0, number, f"n{number}")
        return False

    for line in store.pipeline(JOB.pipeline).follow(0, begin, lambda: None):
        said += [line.text] if line is not None else []
    assert said == [f"n{n}" for n in range(5)]


def test_a_search_that_takes_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_view, "_SLOW_S", -1000.0)
    made = Logs(tmp_path)
    made.add(0, 1, "a")
    with pytest.raises(InvalidArgument, match="too long"):
        made.log().find(Pattern("b", regex=False), 0, back=False, cancelled=never)
