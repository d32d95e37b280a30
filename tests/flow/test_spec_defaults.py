"""Spec defaults and templates through the API of a real box."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.errors import InvalidArgument, NotFound
from tests.boxes import RealBox

PPS = "pps_v2.API"


@pytest.fixture
def defaults(shared_box: RealBox) -> Iterator[RealBox]:
    """The shared box; its defaults are none before and after."""
    yield shared_box
    shared_box.client.call(PPS, "SetClusterDefaults", cluster_defaults_json="{}")
    shared_box.client.call(PPS, "SetProjectDefaults", project_defaults_json="{}")


def create(box: RealBox, name: str, **fields: Any) -> dict[str, Any]:
    """Make a pipeline by CreatePipelineV2; returns the effective spec."""
    if not any(r.name == "in" for r in box.client.list_repo()):
        box.client.create_repo("in")
    spec = {
        "pipeline": {"name": name},
        "input": {"pfs": {"repo": "in", "glob": "/*"}},
        "transform": {"cmd": ["true"]},
        **fields,
    }
    answer = box.client.call(PPS, "CreatePipelineV2", create_pipeline_request_json=json.dumps(spec))
    found: dict[str, Any] = json.loads(answer["effectiveCreatePipelineRequestJson"])
    return found


def set_cluster(box: RealBox, fields: dict[str, Any], **more: Any) -> list[str]:
    text = json.dumps({"create_pipeline_request": fields})
    answer = box.client.call(PPS, "SetClusterDefaults", cluster_defaults_json=text, **more)
    return [p["name"] for p in answer.get("affectedPipelines", [])]


def effective(box: RealBox, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box.client.inspect_pipeline(name).raw["effectiveSpecJson"])
    return found


def test_specs_are_laid_on_the_project_s_defaults_and_those_on_the_box_s(defaults: RealBox) -> None:
    env = {"A": "box", "B": "box"}
    fields = {"datum_tries": 17, "autoscaling": True, "transform": {"env": env}}
    text = "  " + json.dumps({"create_pipeline_request": fields}, indent=1)
    box, call = defaults, defaults.client.call
    call(PPS, "SetClusterDefaults", cluster_defaults_json=text)
    assert call(PPS, "GetClusterDefaults") == {"clusterDefaultsJson": text}
    project = {"createPipelineRequest": {"datumTries": 5, "transform": {"env": {"B": "project"}}}}
    call(PPS, "SetProjectDefaults", project_defaults_json=json.dumps(project))
    shown = call(PPS, "GetProjectDefaults", project={"name": "default"})
    assert json.loads(shown["projectDefaultsJson"]) == project
    v2 = call("pfs_v2.API", "InspectProjectV2", project={"name": "default"})
    assert json.loads(v2["defaultsJson"]) == project

    spec = create(box, "laid", autoscaling=False, transform={"cmd": ["x"], "env": {"C": "own"}})
    assert (spec["datumTries"], spec["autoscaling"]) == (5, False)
    assert spec["transform"]["env"] == {"A": "box", "B": "project", "C": "own"}
    # null takes a default away
    spec = create(
        box,
        "less",
        autoscaling=None,
        datum_tries=None,
        transform={"cmd": ["x"], "env": {"A": None}},
    )
    assert spec["datumTries"] == 3
    assert "autoscaling" not in spec
    assert spec["transform"]["env"] == {"B": "project"}
    # the message form, and another project
    message = {
        "pipeline": {"name": "message"},
        "input": {"pfs": {"repo": "in", "glob": "/"}},
        "transform": {"cmd": ["x"]},
    }
    call(PPS, "CreatePipeline", **message)
    assert effective(box, "message")["datumTries"] == 5
    assert (
        json.loads(box.client.inspect_pipeline("message").raw["userSpecJson"]).keys()
        == message.keys()
    )


def test_defaults_change_pipelines_that_are_there_when_regenerated(defaults: RealBox) -> None:
    box = defaults
    create(box, "r-plain")
    create(box, "r-own", datum_tries=9)
    assert set_cluster(box, {"datum_tries": 4}) == []
    assert effective(box, "r-plain")["datumTries"] == 3
    changed = set_cluster(box, {"datum_tries": 4}, regenerate=True, dry_run=True)
    assert "r-plain" in changed
    assert "r-own" not in changed
    assert effective(box, "r-plain")["datumTries"] == 3
    assert set_cluster(box, {"datum_tries": 4}, regenerate=True) == changed
    assert effective(box, "r-plain")["datumTries"] == 4
    assert box.client.inspect_pipeline("r-plain").version == 2
    assert box.client.inspect_pipeline("r-own").version == 1
    salt = effective(box, "r-plain")["salt"]
    set_cluster(box, {"datum_tries": 5}, regenerate=True, reprocess=True)
    assert effective(box, "r-plain")["salt"] != salt
    # dry runs of the defaults themselves leave nothing
    set_cluster(box, {"datum_tries": 6}, dry_run=True)
    assert "6" not in box.client.call(PPS, "GetClusterDefaults")["clusterDefaultsJson"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected one JSON object"),
        ("{", "not valid JSON"),
        ("[]", "expected one JSON object"),
        ("create_pipeline_request:\n  datum_tries: 4\n", "expected one JSON object"),
        ("{} {}", "expected one JSON object"),
        ('{"pipeline": {}}', "pipeline: unknown field"),
        ('{"create_pipeline_request": {"datum_trys": 4}}', "datum_trys: unknown field"),
        ('{"create_pipeline_request": {"datum_tries": "many"}}', "datum_tries: expected a whole"),
        ('{"create_pipeline_request": [1]}', "expected a spec"),
    ],
)
def test_wrong_defaults_are_refused(shared_box: RealBox, text: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        shared_box.client.call(PPS, "SetClusterDefaults", cluster_defaults_json=text)
    assert shared_box.client.call(PPS, "GetClusterDefaults") == {"clusterDefaultsJson": "{}"}


def test_defaults_go_with_their_project(shared_box: RealBox) -> None:
    client = shared_box.client
    with pytest.raises(NotFound, match="nowhere"):
        client.call(PPS, "GetProjectDefaults", project={"name": "nowhere"})
    client.create_project("short")
    text = '{"create_pipeline_request": {"datum_tries": 1}}'
    client.call(PPS, "SetProjectDefaults", project={"name": "short"}, project_defaults_json=text)
    client.delete_project("short")
    client.create_project("short")
    found = client.call(PPS, "GetProjectDefaults", project={"name": "short"})
    assert found == {"projectDefaultsJson": "{}"}
    with pytest.raises(InvalidArgument, match="regenerate"):
        set_cluster(shared_box, {}, reprocess=True)


def test_defaults_on_the_command_line_and_after_a_restore(box: RealBox, tmp_path: Path) -> None:
    text = '{"create_pipeline_request": {"datum_tries": 8}}'
    box.cli("create", "defaults", "--cluster", stdin=text.encode())
    assert json.loads(box.cli("inspect", "defaults", "--cluster")) == json.loads(text)
    create(box, "p")
    said = box.run(
        "update",
        "defaults",
        "--cluster",
        "--regenerate",
        stdin=b"createPipelineRequest:\n  datumTries: 2\n",
    )
    assert said.stdout == "default/p\n"
    assert effective(box, "p")["datumTries"] == 2
    box.cli("extract", str(tmp_path / "all.tar"))
    other = RealBox(tmp_path / "other").start()
    try:
        other.cli("restore", str(tmp_path / "all.tar"))
        shown = json.loads(other.cli("inspect", "defaults", "--cluster"))
        assert shown == {"createPipelineRequest": {"datumTries": 2}}
        assert create(other, "q")["datumTries"] == 2
        other.cli("delete", "defaults", "--project", "default")
        other.cli("delete", "defaults", "--cluster")
        assert create(other, "r")["datumTries"] == 3
    finally:
        other.stop()


TEMPLATE = """
function(suffix, tries="2") [{
  pipeline: {name: "t-" + suffix + i},
  input: {pfs: {repo: "in", glob: "/*"}},
  transform: {cmd: ["true"]},
  datum_tries: std.parseInt(tries),
  datumTimeout: "1m30s",
} for i in ["a", "b"]]
"""


def test_templates_are_rendered_with_arguments(shared_box: RealBox, tmp_path: Path) -> None:
    call = shared_box.client.call
    got = call(PPS, "RenderTemplate", template=TEMPLATE, args={"suffix": "x"})
    assert [s["pipeline"]["name"] for s in got["specs"]] == ["t-xa", "t-xb"]
    assert got["specs"][0]["datumTimeout"] == "90s"
    assert json.loads(got["json"])[1]["datum_tries"] == 2
    file = tmp_path / "t.jsonnet"
    file.write_text(TEMPLATE)
    create(shared_box, "other")
    shared_box.cli(
        "create", "pipeline", "--jsonnet", str(file), "--arg", "suffix=y", "--arg", "tries=7"
    )
    assert effective(shared_box, "t-yb")["datumTries"] == 7


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{", "syntax error"),
        ("import '/etc/hostname'", "cannot import"),
        ("importstr '/etc/hostname'", "cannot import"),
        ("function(a) {}", "argument is not passed"),
        ("{nonsense: 1}", "nonsense: unknown field"),
        ("std.repeat('abcdefgh', 1000000000)", "too much memory"),
        ("local f(x) = f(x + 1) + 1; f(1)", "stack overflow"),
    ],
)
def test_templates_that_are_wrong_are_told_so(
    shared_box: RealBox, template: str, said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        shared_box.client.call(PPS, "RenderTemplate", template=template)
