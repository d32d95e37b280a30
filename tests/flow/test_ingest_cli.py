"""What a user of the command line sees of sources: tables, facts, states, logs, mistakes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.boxes import RealBox, eventually
from tests.flow.shell import Run, refused, succeeded

AGE = r"(Less than a second|\d+ seconds?) ago"
HEADER = [
    "NAME", "KIND", "TO", "STATE", "RATE", "LAG", "PENDING", "LAST", "NEXT", "ERRORS", "REASON",
]  # fmt: skip
PIPELINES = """
pipeline: {name: hourly}
input: {cron: {name: tick, spec: "0 * * * *"}}
transform: {cmd: [sh], stdin: ["ls /pfs/tick > /pfs/out/all"]}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drops")


@pytest.fixture(scope="module")
def filled(shared_box: RealBox, folder: Path) -> RealBox:
    """A box with a folder that is watched, a cron, and records that may be posted."""
    c = shared_box.client
    c.create_repo("raw")
    c.put_file("raw@master:/kept", b"1")
    c.create_pipelines(PIPELINES)
    c.create_ingest(
        {
            "name": "drops",
            "description": "what people bring",
            "to": "raw@master",
            "watch": {"path": str(folder), "settle": "20ms", "batch": "20ms"},
        }
    )
    c.create_ingest({"name": "events", "to": "raw@events", "push": {"group": {"time": "60ms"}}})
    eventually(lambda: {one.state for one in c.list_ingest()} == {"running"}, "all run")
    return shared_box


def table(text: str) -> dict[str, dict[str, str]]:
    """A table by its first column, cut where the words of its header begin: proves alignment."""
    head, *lines = text.splitlines()
    titles = head.split()
    starts = [found.start() for found in re.finditer(r"\S+", head)]
    ends = [*starts[1:], None]
    rows = [[line[a:b].strip() for a, b in zip(starts, ends, strict=True)] for line in lines]
    return {row[0]: dict(zip(titles, row, strict=True)) for row in rows}


def facts(text: str) -> dict[str, str]:
    """The labelled lines of ``inspect``, which must be aligned."""
    found = dict(re.findall(r"^([A-Z][\w ]*): +(\S.*)$", text, re.M))
    starts = {len(m[0]) for m in re.finditer(r"^[A-Z][\w ]*: +", text, re.M)}
    assert len(starts) == 1, text
    return found


def test_sources_of_every_kind_stand_in_one_table(run: Run, folder: Path) -> None:
    assert table(succeeded(run("list ingest")))["drops"]["STATE"] == "running"
    (folder / "a.txt").write_text("one")

    def brought() -> dict[str, str] | None:
        row = table(succeeded(run("list ingest")))["drops"]
        return row if row["LAST"] != "-" else None

    row = eventually(brought, "the file is committed")
    assert list(row) == HEADER
    assert row["KIND"] == "watch"
    assert row["TO"] == "raw@master"
    assert re.fullmatch(AGE, row["LAST"])
    assert row["ERRORS"] == "0"
    assert row["NEXT"] == "-"
    shown = table(succeeded(run("list ingest")))
    assert {name: row["KIND"] for name, row in shown.items()} == {
        "drops": "watch",
        "events": "push",
        "hourly_tick": "cron",
    }
    assert re.fullmatch(r"in (\d+ minutes|\d+ seconds?|about a minute|about an hour)",
                        shown["hourly_tick"]["NEXT"])  # fmt: skip
    by_project = succeeded(run("list ingest -A")).splitlines()
    assert by_project[0].split() == ["PROJECT", *HEADER]
    assert by_project[1].split()[:2] == ["default", "drops"]
    assert 'project "nope" not found' in refused(run("list ingest --project nope"))


def test_records_for_programs_are_those_of_the_api(run: Run) -> None:
    raw = [json.loads(line) for line in succeeded(run("list ingest --raw")).splitlines()]
    assert [one["ingest"]["name"] for one in raw] == ["drops", "events", "hourly_tick"]
    one = json.loads(succeeded(run("inspect ingest drops -o json")))
    assert json.loads(one["specJson"])["watch"]["settle"] == "20ms"
    assert succeeded(run("inspect ingest drops -o yaml")).startswith("---\n")


def test_one_source_is_shown_with_its_facts(run: Run, folder: Path) -> None:
    shown = succeeded(run("inspect ingest drops"))
    found = facts(shown)
    assert found["Name"] == "drops"
    assert found["State"] == "running"
    assert found["Process"].isdecimal()
    assert "description: what people bring" in shown
    assert f"path: {folder}" in shown
    cron = facts(succeeded(run("inspect ingest hourly_tick")))
    assert cron["Pipeline"] == "hourly"
    assert "To" in cron


def test_sources_are_paused_resumed_and_run_by_name(run: Run, folder: Path) -> None:
    succeeded(run("pause ingest drops events"))
    states = {n: r["STATE"] for n, r in table(succeeded(run("list ingest"))).items()}
    assert states["drops"] == states["events"] == "paused"
    said = succeeded(run("status"))
    assert re.search(
        r"^Ingest: 3 sources, 2 not running: drops paused.*, events paused", said, re.M
    )
    assert "is paused; resume it with: resume ingest drops" in refused(run("run ingest drops"))
    (folder / "b.txt").write_text("two")
    succeeded(run("resume ingest drops events"))
    eventually(
        lambda: table(succeeded(run("list ingest")))["drops"]["STATE"] == "running", "it runs"
    )
    succeeded(run("run ingest drops"))
    eventually(lambda: "/b.txt" in succeeded(run("list file raw@master")), "the file is committed")
    succeeded(run("run ingest hourly_tick"))
    eventually(
        lambda: table(succeeded(run("list ingest")))["hourly_tick"]["LAST"] != "-", "it ticked"
    )
    ran = run("pause ingest nope hourly_tick")
    assert ran.status == 1  # and the other was paused all the same
    assert "ingest nope not found" in ran.err
    assert table(succeeded(run("list ingest")))["hourly_tick"]["STATE"] == "paused"
    succeeded(run("resume ingest hourly_tick"))


def test_a_source_that_is_reset_brings_all_again(run: Run, folder: Path) -> None:
    def files() -> int:
        return int(json.loads(succeeded(run("inspect ingest drops --raw")))["files"])

    (folder / "c.txt").write_text("three")
    eventually(lambda: "/c.txt" in succeeded(run("list file raw@master")), "it is committed")
    before, there = files(), len(list(folder.iterdir()))
    spec = {
        "name": "drops",
        "description": "what people bring",
        "to": "raw@master",
        "watch": {"path": str(folder), "settle": "20ms", "batch": "20ms"},
    }
    Path("drops.json").write_text(json.dumps(spec))
    succeeded(run("update ingest -f drops.json"))  # the same spec changes nothing
    assert facts(succeeded(run("inspect ingest drops")))["Version"] == "1"
    succeeded(run("update ingest -f drops.json --reset"))
    eventually(lambda: files() == before + there, "all are committed again")


def test_a_spec_is_edited_like_that_of_a_pipeline(run: Run) -> None:
    edit = ["edit", "ingest", "events", "--editor"]
    assert run(*edit, "true").err == "pachybox: unchanged\n"
    assert "cannot start the editor '/nope'" in refused(run(*edit, "/nope"))
    said = refused(run(*edit, "sed -i s/60ms/soon/"))
    assert "soon" in said
    assert re.search(r"your text is kept; correct it, then: pachybox update ingest -f /\S+$", said)
    succeeded(run(*edit, "sed -i s/60ms/70ms/"))
    shown = facts(succeeded(run("inspect ingest events")))
    assert shown["Version"] == "2"
    assert "is part of pipeline hourly; change that: pachybox edit pipeline hourly" in refused(
        run("edit", "ingest", "hourly_tick", "--editor", "true")
    )


def test_what_a_source_says_is_in_its_log(run: Run) -> None:
    spec = """
        name: talker
        to: raw@talk
        command: {cmd: "echo one >&2; echo two >&2; exec sleep 1000", format: lines}
    """
    succeeded(run("create", "ingest", "-f", "-", stdin=spec.encode()))
    lines = eventually(
        lambda: [
            line for line in succeeded(run("logs --ingest talker")).splitlines() if "two" in line
        ],
        "it said two",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\S+Z two", lines[0])
    said = succeeded(run("logs --ingest talker")).splitlines()
    assert [line.split()[-1] for line in said if line.endswith(("one", "two"))] == ["one", "two"]
    assert succeeded(run("logs --ingest talker --tail 1")).splitlines() == said[-1:]
    assert succeeded(run("logs --ingest talker --since 1h")).splitlines() == said
    raw = [json.loads(line) for line in succeeded(run("logs --ingest talker --raw")).splitlines()]
    assert [one.get("user", False) for one in raw if one["message"] == "two"] == [True]
    assert "ingest nope not found" in refused(run("logs --ingest nope"))
    assert "--ingest stands for itself" in refused(run("logs --ingest talker -p hourly"))
    succeeded(run("delete ingest talker"))


def test_specs_are_made_changed_and_deleted_together_or_not_at_all(run: Run) -> None:
    two = b"name: one\nto: raw@one\npush: {}\n---\nname: two\nto: %s@two\npush: {}\n"
    create = ["create", "ingest", "-f", "-"]
    assert "repo default/nope not found" in refused(run(*create, stdin=two % b"nope"))
    assert set(table(succeeded(run("list ingest")))) == {"drops", "events", "hourly_tick"}
    succeeded(run(*create, stdin=two % b"raw"))
    said = refused(run(*create, stdin=two % b"raw"))
    assert "ingest one already exists; change it with: update ingest" in said
    Path("two.yaml").write_bytes(two % b"raw")
    succeeded(run("create ingest -f two.yaml --update"))
    succeeded(run("update ingest -f two.yaml --reset"))
    assert "two.yaml" in refused(run("update ingest -f nope/two.yaml"))
    assert "ingest one" in refused(run("inspect ingest ones"))
    assert "did you mean" in refused(run("inspect ingest ones"))
    succeeded(run("delete ingest one"))
    assert "name one, or add --all" in refused(run("delete ingest"))
    assert "give one of them" in refused(run("delete ingest two --all"))
    assert "belongs to pipeline hourly" in refused(run("delete ingest hourly_tick"))
    assert set(table(succeeded(run("list ingest")))) == {"drops", "events", "hourly_tick", "two"}
    assert run("delete ingest two --project default").status == 0


def test_completion_and_help_know_sources(run: Run) -> None:
    def words(*typed: str) -> list[str]:
        *before, current = typed
        return succeeded(run("__complete", *before, "--", current)).splitlines()

    assert words("pause", "in") == ["ingest"]
    assert words("inspect", "ingest", "d") == ["drops"]
    assert words("pause", "ingest", "drops", "e") == ["events"]
    assert words("logs", "--ingest", "h") == ["hourly_tick"]
    assert words("run", "cron", "h") == ["hourly"]
    alone = succeeded(run("ingest"))
    assert alone.startswith("An ingest source brings data in by itself")
    assert "create ingest" in alone


def test_deleting_all_asks_and_leaves_those_of_pipelines(run: Run) -> None:
    assert "not confirmed" in run("delete ingest --all", stdin=b"n\n").err
    succeeded(run("delete ingest --all -y"))
    assert set(table(succeeded(run("list ingest")))) == {"hourly_tick"}
    assert "/kept" in succeeded(run("list file raw@master"))
