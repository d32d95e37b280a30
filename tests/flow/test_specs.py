"""Specs as they are written: what the box says of a text, of its fields and of its input."""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pachybox.client import Problem, SpecCheck
from pachybox.errors import InvalidArgument, Refused
from tests.boxes import RealBox

NUMBER = itertools.count()


@pytest.fixture
def repo(shared_box: RealBox) -> str:
    """A repo with two files at the top and two in a directory."""
    name = f"images{next(NUMBER)}"
    shared_box.client.create_repo(name)
    for path, data in (("/a.png", b"1"), ("/b.png", b"22"), ("/d/c.png", b"333"), ("/d/e", b"")):
        shared_box.client.put_file(f"{name}@master:{path}", data)
    return name


def at(text: str, mark: str) -> tuple[int, int]:
    """Where ``mark`` stands in a text."""
    before = text[: text.index(mark)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def places(found: SpecCheck, level: str = "error") -> dict[str, tuple[int, int]]:
    return {one.field: (one.line, one.column) for one in found.problems if one.level == level}


def only(found: SpecCheck, level: str = "error") -> Problem:
    (problem,) = [one for one in found.problems if one.level == level]
    return problem


def test_every_problem_stands_where_it_is(shared_box: RealBox, repo: str) -> None:
    text = f"""# é comes first
pipeline:
  name: edges
transform:
  cmdd: [sh]
  env: {{A: 1}}
input:
  cross:
    - pfs: {{repo: {repo}, glob: "/[a"}}    # é
    - pfs:
        repo: {repo[:-1]}x
        glob: /*
datum_tries: -3
autoscaling: maybe
"""
    found = shared_box.client.check_spec(text)
    assert places(found) == {
        "transform.cmdd": at(text, "cmdd"),
        "transform.env.A": at(text, "1}"),
        "input.cross[0].pfs.glob": at(text, '"/[a'),
        "input.cross[1].pfs.repo": at(text, f"{repo[:-1]}x"),
        "datum_tries": at(text, "-3"),
        "autoscaling": at(text, "maybe"),
    }
    assert found.pipelines == ()
    hints = {one.field: one.hint for one in found.problems}
    assert hints["transform.cmdd"] == 'did you mean "cmd"'
    assert f'did you mean "{repo}"' in hints["input.cross[1].pfs.repo"]


def test_what_a_box_lacks_is_told_of_each_spec(shared_box: RealBox, repo: str) -> None:
    head = '{"pipeline": {"name": "%s"}, "transform": {"cmd": ["sh"]%s},\n'
    read = ' "input": {"pfs": {"repo": "%s", "glob": "/"}}}\n'
    secrets = ', "secrets": [{"name": "gone", "mount_path": "/x"}]'
    loop = head % ("one", "") + read % "two" + head % ("two", "") + read % "one"
    found = shared_box.client.check_spec(loop)
    assert [(one.document, one.field, one.line) for one in found.problems] == [
        (1, "input.pfs.repo", 2),
        (2, "input.pfs.repo", 4),
    ]
    assert "one@master <- two@master" in found.problems[1].message
    text = head % ("fine", secrets) + read % repo
    secret = only(shared_box.client.check_spec(text))
    assert (secret.field, secret.line, secret.column) == (
        "transform.secrets[0].name",
        *at(text, '"gone"'),
    )
    text = head % (repo, "") + read % f"{repo}-other"
    shared_box.client.create_repo(f"{repo}-other")
    clash = shared_box.client.check_spec(text)
    assert only(clash).field == "pipeline.name"
    assert only(clash, "info").field == "input.pfs.branch"
    twice = 2 * (head % ("same", "") + read % repo)
    assert only(shared_box.client.check_spec(twice)).line == 3


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: [1\nb: c: d", 2, 2),
        ("pipeline: {name: é, name: b}", 1, 21),
        ('{"pipeline":\n {"name" 3}}', 2, 10),
        ("x: \x01", 1, 4),
        ("", 1, 1),
        ("- 3", 1, 3),
        ("\t", 1, 1),
        ("[" * 1000, 1, 102),
        ("pipeline: *gone", 1, 11),
    ],
)
def test_a_text_that_cannot_be_read_has_its_place(
    shared_box: RealBox, text: str, line: int, column: int
) -> None:
    found = only(shared_box.client.check_spec(text))
    assert (found.line, found.column) == (line, column)


def test_a_template_has_the_places_of_its_evaluation(shared_box: RealBox, repo: str) -> None:
    check = shared_box.client.check_spec
    found = only(check("local x = 1;\n{a: y}", source="x.jsonnet"))
    assert (found.line, found.column) == (2, 5)
    text = f"""function(name='p') {{pipeline: {{name: name}}, transform: {{cmd: ['sh']}},
      input: {{pfs: {{repo: '{repo}', glob: '/'}}}}}}"""
    assert check(text, source="x.jsonnet") == SpecCheck(("p",), ())
    needs = check("function(name) {a: name}", source="x.jsonnet")
    assert only(needs, "info").message.startswith("a template that needs the argument name")


def test_an_ingest_spec_is_checked_too(shared_box: RealBox) -> None:
    check = shared_box.client.check_spec
    text = "name: drops\nto: raw@master\nwatch:\n  path: data\n---\nname: a\nto: b\nqush: {}\n"
    found = check(text, kind="ingest")
    assert places(found) == {"watch.path": at(text, "data"), "to": at(text, "b\n")}
    assert check("name: d\nto: r@m\npush: {}\n", kind="ingest").pipelines == ("d",)
    assert only(check("{", kind="ingest")).message.startswith("not valid JSON")
    with pytest.raises(InvalidArgument, match="kind"):
        check("", kind="other")


def test_a_long_spec_is_checked_while_it_is_typed(shared_box: RealBox, repo: str) -> None:
    one = {
        "pipeline": {"name": "p"},
        "input": {"pfs": {"repo": repo, "glob": "/*"}},
        "transform": {"cmd": ["sh"], "env": {f"V{n}": "x" for n in range(15)}},
    }
    specs = [{**one, "pipeline": {"name": f"p{n}"}} for n in range(16)]
    text = "\n".join(json.dumps(spec, indent=1) for spec in specs)
    assert text.count("\n") > 500
    began = time.monotonic()
    assert len(shared_box.client.check_spec(text).pipelines) == 16
    assert time.monotonic() - began < 30


def test_the_command_line_tells_the_same_places(shared_box: RealBox, tmp_path: Path) -> None:
    spec = tmp_path / "x.yaml"
    spec.write_text(
        "pipeline: {name: p}\ntransform: {cmd: [sh]}\ninput: {pfs: {repo: no, glob: 3}}"
    )
    for verb in ("validate", "create"):
        done = shared_box.run(verb, "pipeline", "-f", str(spec))
        assert done.returncode == 1
        assert f"{spec}:3:31: input.pfs.glob: expected a string" in done.stderr
    done = shared_box.run("validate", "pipeline", "-f", str(spec))
    assert f"{spec}:3:21: input.pfs.repo: repo default/no not found" in done.stderr


# ---- fields


def test_the_fields_of_both_kinds_are_described(shared_box: RealBox) -> None:
    fields = {one.path: one for one in shared_box.client.describe_spec()}
    glob = fields["input.pfs.glob"]
    assert (glob.type, glob.default, glob.status) == ("string", "required", "works")
    assert glob.help.startswith("Which paths make a datum each")
    assert fields["output_merge"].choices == ("error", "concatenate")
    assert fields["tf_job"].status == "refused"
    ingest = {one.path for one in shared_box.client.describe_spec("ingest")}
    assert {"watch.path", "push.format", "command.cmd"} <= ingest
    with pytest.raises(InvalidArgument, match="kind"):
        shared_box.client.describe_spec("other")


# ---- previews


def pfs(repo: str, glob: str, **more: Any) -> dict[str, Any]:
    return {"pfs": {"repo": repo, "glob": glob, **more}}


def test_a_preview_is_what_a_job_would_have(shared_box: RealBox, repo: str) -> None:
    client = shared_box.client
    keyed = pfs(repo, "/(*).png", join_on="$1", group_by="$1", name="x")
    inputs = [
        pfs(repo, "/"), pfs(repo, "/*"), pfs(repo, "/**.png"),
        {"cross": [pfs(repo, "/*"), pfs(repo, "/*.png", name="x")]},
        {"union": [pfs(repo, "/*"), pfs(repo, "/*.png", name="x")]},
        {"join": [keyed, pfs(repo, "/(*).png", join_on="$1")]},
        {"group": [keyed]},
    ]  # fmt: skip
    for source in inputs:
        found = client.preview_input(source)
        datums = client.list_datum(input=source).all()
        assert (found.total, found.at_least, found.sampled) == (len(datums), False, False)
        assert [row.id for row in found.rows] == [datum.id for datum in datums]
    one = client.preview_input(pfs(repo, "/*.png"))
    assert (one.bytes, one.largest, one.median) == (3, 2, 2)
    assert [row.inputs for row in one.rows] == [("/a.png",), ("/b.png",)]
    assert [row.input for row in one.rows] == ["/a.png", "/b.png"]
    head = client.inspect_branch(f"{repo}@master").head
    assert one.commits == (f"{repo}@{head.partition('@')[2] or head}",)
    assert client.preview_input(pfs(repo, "/**"), limit=2).rows[1:] != ()


def test_a_preview_of_many_shows_the_first(shared_box: RealBox) -> None:
    client = shared_box.client
    name = f"many{next(NUMBER)}"
    client.create_repo(name)
    with client.put(f"{name}@master") as put:
        for number in range(700):
            put.data(f"/{number:03d}", b"x" * number)
    found = client.preview_input(pfs(name, "/*"), limit=200)
    assert [row.input for row in found.rows] == [f"/{number:03d}" for number in range(200)]
    if not found.at_least:  # a machine that is very busy may not come to the end
        assert (found.total, found.bytes, found.largest) == (700, 699 * 350, 699)


def test_globs_that_suit_are_counted(shared_box: RealBox, repo: str) -> None:
    client = shared_box.client
    found = client.preview_input(pfs(repo, "/"))
    assert dict(found.globs) == {"/": 1, "/*": 3, "/*/*": 2, "/**": 5, "/**.png": 3}
    assert found.globs_at_least == frozenset()
    for glob, count in found.globs:
        assert len(client.list_datum(input=pfs(repo, glob)).all()) == count


def test_a_draft_need_not_be_right(shared_box: RealBox, repo: str) -> None:
    preview = shared_box.client.preview_input
    draft = (
        'transform: {cmdd: 3}\nresource_limits: {memory: "1"}\n'
        f"input: {{pfs: {{repo: {repo}, glob: /d}}}}"
    )
    found = preview(draft)
    assert (found.total, found.problem) == (1, "")
    assert "more than the 1B of resource_limits.memory" in found.warnings[0]
    assert "repo default/none not found" in preview(pfs("none", "/")).problem
    assert "input.pfs.glob" in preview(pfs(repo, "/[")).problem
    assert "not valid YAML" in preview("x: [").problem
    assert preview(pfs(repo, "/none*")).warnings == ("nothing matches: there are no datums",)
    assert "no finished commit" in preview(pfs(repo, "/", branch="dev")).warnings[0]
    cron = preview({"cron": {"name": "t", "spec": "@hourly"}})
    assert (cron.total, cron.problem) == (0, "")
    assert "has not ticked yet" in cron.warnings[0]


# ---- versions


def test_a_stale_change_is_refused(shared_box: RealBox, repo: str, tmp_path: Path) -> None:
    client = shared_box.client
    name = f"p{next(NUMBER)}"
    client.create_pipeline(name, input=pfs(repo, "/"), cmd=["true"])
    text = client.extract_pipeline(name)
    assert client.create_pipelines(text, update=True, if_version=1)[0][0].version == 2
    with pytest.raises(Refused, match="is at version 2, and the change is one of its version 1"):
        client.create_pipelines(text, update=True, if_version=1)
    with pytest.raises(Refused, match="is not there"):
        client.create_pipelines(text.replace(name, "nobody"), update=True, if_version=1)
    other = text.replace(name, "other")
    with pytest.raises(InvalidArgument, match="2 specs"):
        client.create_pipelines(text, more=[(other, "x")], update=True, if_version=1)
    assert client.inspect_pipeline(name).version == 2
    spec = tmp_path / "spec.json"
    spec.write_text(text)
    update = ("update", "pipeline", "-f", str(spec), "--if-version")
    assert "is at version 2" in shared_box.run(*update, "1").stderr
    assert shared_box.run(*update, "2").returncode == 0
    meanwhile = f'"{sys.executable}" -m pachybox.cli update pipeline -f {spec}'
    editor = f"sh -c 'sed -i s/true/false/ $0; {meanwhile}'"
    done = shared_box.run("edit", "pipeline", name, "--editor", editor)
    assert "is at version 4, and the change is one of its version 3" in done.stderr
    assert client.inspect_pipeline(name).version == 4
