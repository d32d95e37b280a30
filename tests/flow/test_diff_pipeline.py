"""What ``diff pipeline`` says an update would change and run, held against the update."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.boxes import RealBox
from tests.flow.shell import Run, refused, succeeded


def spec(name: str, **more: Any) -> dict[str, Any]:
    """Fails on the file ``bad`` as long as FAIL is set."""
    code = 'for f in /pfs/texts/*; do [ -z "$FAIL$(cat $f)" ] || cp $f /pfs/out/; done'
    return {
        "pipeline": {"name": name},
        "input": {"pfs": {"repo": "texts", "name": "texts", "glob": "/*"}},
        "transform": {"cmd": ["sh"], "stdin": [code]},
        **more,
    }


@pytest.fixture(scope="module")
def filled(shared_box: RealBox) -> RealBox:
    c = shared_box.client
    c.create_repo("texts")
    with c.commit("texts@master") as commit:
        for n in range(5):
            commit.put_file(f"/{n}", b"x")
        commit.put_file("/d/0", b"x")
    return shared_box


NAMED = {"pfs": {"repo": "texts", "name": "other", "glob": "/*"}}
FEWER = {"pfs": {"repo": "texts", "name": "texts", "glob": "/[0-2]"}}
CODE = {"cmd": ["true"]}
BOTH = {"union": [FEWER, {"pfs": {"repo": "texts", "name": "texts", "glob": "/4"}}]}


@pytest.mark.parametrize(
    ("more", "reprocess", "run_", "fresh", "gone"),
    [
        ({}, False, 0, 0, 0),
        ({}, True, 6, 0, 0),
        ({"transform": CODE}, False, 0, 0, 0),
        ({"transform": CODE, "reprocess_on_code_change": True}, False, 6, 0, 0),
        ({"salt": "pepper"}, False, 6, 0, 0),
        ({"reprocess_spec": "every_job"}, False, 6, 0, 0),
        ({"input": NAMED}, False, 6, 6, 6),
        ({"input": FEWER}, False, 0, 0, 3),
        ({"input": BOTH}, False, 0, 0, 2),
        ({"datum_tries": 1, "output_branch": "out"}, False, 0, 0, 0),
    ],
)
def test_what_it_plans_is_what_the_update_runs(
    filled: RealBox, more: dict[str, Any], reprocess: bool, run_: int, fresh: int, gone: int
) -> None:
    c = filled.client
    name = f"p{abs(hash((json.dumps(more), reprocess)))}"
    c.create_pipelines(spec(name))
    c.wait_commit(f"{name}@master")
    (found,) = c.diff_pipelines(spec(name, **more), reprocess=reprocess)
    if more.get("output_branch"):  # no job was there: all are new to that branch
        fresh = found.datums_new
    counts = (found.datums_run, found.datums_new, found.datums_gone)
    assert counts == (run_, fresh, gone)
    assert found.version == c.inspect_pipeline(name).version == 1
    c.create_pipelines(spec(name, **more), update=True, reprocess=reprocess)
    branch = more.get("output_branch", "master")
    job = c.inspect_job(f"{name}@{c.wait_commit(f'{name}@{branch}').id}")
    assert (job.version, job.processed, job.total) == (2, run_, found.datums_total)


def test_data_that_came_since_and_data_that_failed_are_planned(filled: RealBox) -> None:
    c = filled.client
    c.create_repo("more")
    c.put_file("more@master:/a", b"x")
    fails = {**spec("late"), "input": {"pfs": {"repo": "more", "name": "texts", "glob": "/*"}}}
    fails["transform"] = {"cmd": ["sh", "-c", "test ! -e /pfs/texts/b"]}
    c.create_pipelines({**fails, "datum_tries": 1})
    c.wait_commit("late@master")
    c.stop_pipeline("late")
    c.put_file("more@master:/b", b"x")
    c.delete_file("more@master:/a")
    (found,) = c.diff_pipelines({**fails, "datum_tries": 1})
    assert (found.datums_run, found.datums_new, found.datums_gone) == (1, 1, 1)
    assert found.remarks == ("it is stopped: the job comes once it is started",)
    c.start_pipeline("late")
    c.wait_commit("late@master")
    (found,) = c.diff_pipelines({**fails, "datum_tries": 1})
    assert (found.datums_total, found.datums_run) == (1, 1)


def test_fields_are_shown_by_their_path(run: Run, filled: RealBox) -> None:
    """Old and new, aligned, with what was a default; and what to do about the code."""
    filled.client.create_pipelines(spec("fields", datum_tries=5, description="old"))
    filled.client.wait_commit("fields@master")
    new = spec("fields")
    new["transform"] = {"cmd": ["sh"], "stdin": ["set -e", *new["transform"]["stdin"]]}
    new["transform"]["env"] = {"A.B": "1"}
    Path("new.json").write_text(json.dumps(new))
    out = succeeded(run("diff pipeline -f new.json")).splitlines()
    assert out == [
        "fields: version 1 -> 2",
        '  + transform.stdin[0]   "set -e"',
        '  + transform.env."A.B"  "1"',
        "  - datum_tries          5",
        "  + datum_tries          3  (default)",
        '  - description          "old"',
        "  datums: none run, 6 kept",
        "  note: transform changes, and results that are there stay: add --reprocess, or "
        "reprocess_on_code_change: true to the spec",
    ]
    assert run("diff pipeline -f new.json --exit-code").status == 3
    raw = json.loads(succeeded(run("diff pipeline -f new.json --raw fields")))
    assert raw["changes"][0] == {"path": "transform.stdin[0]", "newJson": '"set -e"'}
    assert filled.client.inspect_pipeline("fields").version == 1


def test_no_difference_and_no_such_pipeline(run: Run, filled: RealBox) -> None:
    """A default that is written out is no difference, but of the text."""
    filled.client.create_pipelines(spec("still"))
    filled.client.wait_commit("still@master")
    Path("s.json").write_text(json.dumps(spec("still", datum_tries=3)))
    out = succeeded(run("diff pipeline -f s.json --exit-code"))
    assert out.startswith("still: version 1, no difference but in what is written out")
    assert "+ datum_tries  3" in succeeded(run("diff pipeline -f s.json --user-spec"))
    said = refused(run("diff pipeline -f s.json nothing"))
    assert said.startswith("no spec of pipeline default/nothing was given")
    Path("s.json").write_text(json.dumps(spec("x", transform={})))
    assert "transform" in refused(run("diff pipeline -f s.json"))


def test_a_new_dag(run: Run, filled: RealBox) -> None:
    """What reads an output that is not there yet has no job yet; nothing is made."""
    second = spec("second", input={"pfs": {"repo": "first", "glob": "/"}})
    out = succeeded(run("diff", "pipeline", stdin=json.dumps([second, spec("first")]).encode()))
    first, second_ = out.split("second: new\n")
    assert first.startswith("first: new\n")
    assert first.endswith("datums: 6 run (6 new), 0 kept\n")
    assert second_.endswith("datums: no job yet\n  note: first@master has no data yet\n")
    assert not {"first", "second"} & {p.name for p in filled.client.list_pipeline()}


def test_source_code_of_a_directory_is_compared(run: Run, filled: RealBox) -> None:
    """A spec with ``transform.build`` is compared as the update would rewrite it."""
    Path("code").mkdir()
    Path("code/run.sh").write_text("echo one > /pfs/out/$PACH_DATUM_ID\n")
    build = {"transform": {"build": {"language": "shell", "path": "code"}}}
    Path("s.json").write_text(json.dumps(spec("built") | build))
    assert "note: its source would be uploaded and built" in succeeded(
        run("diff pipeline -f s.json")
    )
    succeeded(run("create pipeline -f s.json"))
    filled.client.wait_commit("built@master")
    assert succeeded(run("diff pipeline -f s.json --exit-code")) == (
        "built: version 1, no difference\n  datums: none run, 6 kept\n"
    )
    Path("code/run.sh").write_text("echo two > /pfs/out/$PACH_DATUM_ID\n")
    changed = run("diff pipeline -f s.json --exit-code")
    assert "note: its source changes: every datum runs" in changed.out
    assert changed.status == 3
