"""The table of fields: complete, true, and the same in the documents."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pachybox.api.definitions import pps as messages
from pachybox.errors import InvalidArgument
from pachybox.pps.spec import Spec, load
from pachybox.pps.spec.fields import FIELDS, INPUT_TYPES, Field, Kind, Status, camel, children
from pachybox.pps.spec.page import PAGE, renewed

EDGES: dict[str, Any] = {
    "pipeline": {"name": "edges"},
    "input": {"pfs": {"repo": "images", "glob": "/"}},
    "transform": {"cmd": ["sh"]},
}
SAMPLE: dict[Kind, Any] = {
    Kind.STRING: "word",
    Kind.STRINGS: ["word"],
    Kind.INT: 3,
    Kind.INTS: [3],
    Kind.NUMBER: 1.5,
    Kind.BOOL: True,
    Kind.DURATION: "5m",
    Kind.QUANTITY: "64M",
    Kind.JSON: "{}",
    Kind.MAP: {"a": "b"},
    Kind.INPUTS: [
        {
            "pfs": {
                "name": "a",
                "project": "default",
                "repo": "a",
                "repo_type": "user",
                "branch": "master",
                "glob": "/",
                "empty_files": False,
                "join_on": "$0",
                "group_by": "$0",
            }
        }
    ],
}
NOTHING: dict[Kind, Any] = {
    Kind.STRING: "",
    Kind.STRINGS: [],
    Kind.INT: 0,
    Kind.INTS: [],
    Kind.NUMBER: 0,
    Kind.BOOL: False,
    Kind.DURATION: None,
    Kind.QUANTITY: "",
    Kind.JSON: "",
    Kind.MAP: {},
    Kind.OBJECT: {},
    Kind.OBJECTS: [],
    Kind.INPUTS: [],
}
SPECIAL = {
    "reprocess_spec": "every_job",
    "pod_patch": "[]",
    "parallelism_spec.coefficient": 2.0,
    "tolerations[].operator": "EQUAL",
    "tolerations[].effect": "NO_EXECUTE",
    "egress.url": "s3://bucket/there",
    "egress.object_storage.url": "file:///srv/out",
    "egress.sql_database.url": "sqlite:///srv/out.db",
    "egress.sql_database.file_format.type": "CSV",
    "service.type": "ClusterIP",
    "spout.service.type": "ClusterIP",
    "output_merge": "concatenate",
    "transform.secrets[].mount_path": "/run/secrets/db",
    "input.pfs.trigger.size": "1MB",
    "input.pfs.trigger.cron_spec": "@hourly",
    "input.pfs.trigger.rate_limit_spec": "0 * * * *",
    "input.cron.spec": "@every 5m",
    "input.cron.timezone": "Europe/Berlin",
    "input.cron.start": "2026-01-31T18:30:00Z",
}
"""Values of fields that do not take any of their kind."""

BESIDE: dict[str, Any] = {
    "egress.sql_database.": {
        "url": "postgresql://me@db/there",
        "file_format": {"type": "JSON"},
        "secret": {"name": "db", "key": "password"},
    },
    "service.": {"internal_port": 80},
    "spout.service.": {"internal_port": 80},
    "transform.secrets[].": {
        "name": "db", "key": "password", "env_var": "PASSWORD", "mount_path": "/run/db",
    },
    "tolerations[].": {"key": "gpu", "effect": "NO_EXECUTE"},
    "input.pfs.trigger.": {"commits": 3, "branch": "master"},
    "input.cron.": {"name": "tick", "spec": "@hourly"},
}  # fmt: skip
"""What must stand beside the fields of an object for the spec to be right."""

NEWER_NAME = {
    "standby": "autoscaling",
    "chunk_spec.number": "datum_set_spec.number",
    "chunk_spec.size_bytes": "datum_set_spec.size_bytes",
}
"""Where a 1.x field is in the canonical form."""

IN_A_LIST = ("input.pfs.join_on", "input.pfs.outer_join", "input.pfs.group_by")
REQUIRED = {
    "pipeline.name", "transform.cmd", "input.pfs.repo", "input.pfs.glob", "input.cron.name",
    "input.cron.spec", "input.pfs.trigger.commits",
}  # fmt: skip


def by_path(field: Field) -> str:
    return field.path


def put(spec: dict[str, Any], path: list[str], value: Any) -> None:
    """Set a value deep in a spec; a step ending in [] is a list of one object."""
    step = path[0]
    name = step.removesuffix("[]")
    if len(path) == 1:
        spec[name] = value
        return
    inner = spec.setdefault(name, [{}] if step != name else {})
    put(inner[0] if step != name else inner, path[1:], value)


def with_field(field: Field, value: Any, spell: Any = str, *, beside: bool = False) -> str:
    """The text of a small spec in which a field has a value, ``beside`` what it needs."""
    spec = json.loads(json.dumps(EDGES))
    if field.path.startswith("input.") and field.path.split(".")[1] != "pfs":
        spec["input"] = {}
    for above, others in BESIDE.items():
        if beside and field.path.startswith(above):
            for name, other in others.items():
                put(spec, [*above.rstrip(".").split("."), name], json.loads(json.dumps(other)))
    if field.path.startswith("spout"):
        del spec["input"]  # it has none
    if beside and field.path == "transform.build.path":
        put(spec, ["transform", "build", "language"], "python")
    put(spec, field.path.split("."), value)
    return json.dumps(spelt(spec, spell))


def spelt(value: Any, spell: Any) -> Any:
    """A spec with its fields in another spelling."""
    if isinstance(value, list):
        return [spelt(item, spell) for item in value]
    if isinstance(value, dict):
        free = set(value) & {"labels", "annotations", "env", "node_selector"}
        return {
            spell(name): inner if name in free else spelt(inner, spell)
            for name, inner in value.items()
        }
    return value


def read(text: str) -> Spec:
    (spec,) = load(text, "x", default_project="default")
    return spec


def sample(field: Field) -> Any:
    """A value that asks for something."""
    if field.path in SPECIAL:
        return SPECIAL[field.path]
    if field.kind in (Kind.OBJECT, Kind.OBJECTS):
        inner = {
            child.name: sample(child)
            for child in children(
                field.path + ("[]" if field.kind is Kind.OBJECTS else "")
            ).values()
        }
        return [inner] if field.kind is Kind.OBJECTS else inner
    return SAMPLE[field.kind]


def outermost(field: Field) -> Field:
    """The field at which a refusal or a warning about this one stands."""
    path = ""
    for step in field.path.split("."):
        path = f"{path}.{step}" if path else step
        found = next(f for f in FIELDS if f.path == path.removesuffix("[]"))
        if found.status is field.status:
            return found
    raise AssertionError(field.path)


@pytest.mark.parametrize("spell", [str, camel], ids=["snake", "camel"])
@pytest.mark.parametrize("field", FIELDS, ids=by_path)
def test_a_field_is_accepted_or_refused_as_its_status_says(field: Field, spell: Any) -> None:
    if field.kind in (Kind.OBJECT, Kind.OBJECTS) and field.status is Status.BUILT:
        return  # its children are tried one by one
    text = with_field(field, sample(field), spell, beside=True)
    if field.status is Status.LATER:
        with pytest.raises(InvalidArgument, match=rf"x:1:\d+: {outermost(field).path}: ") as caught:
            read(text)
        assert (outermost(field).refusal or "not built in this version") in caught.value.message
        assert caught.value.hint
        return
    spec = read(text)
    kept: Any = spec.canonical
    if field.path in ("update", "reprocess", "dry_run"):
        assert getattr(spec, field.path) is True
        return
    for step in NEWER_NAME.get(field.path, field.path).split("."):
        kept = kept[step.removesuffix("[]")]
        kept = kept[0] if step.endswith("[]") else kept
    assert kept == sample(field)
    idle = field.status in (Status.NO_MEANING, Status.CLUSTER)
    where = outermost(field).path if idle else field.path
    warnings = spec.placed("process").warnings
    warned = [w for w in warnings if re.match(rf"x:1:\d+: {re.escape(where)}: ", w)]
    expected = idle or field.path in IN_A_LIST
    assert len(warned) == expected
    assert len(warnings) == expected or field.kind is Kind.INPUTS  # its own have keys
    if field.status is Status.CLUSTER:
        assert spec.placed("kubernetes", cluster=True).warnings == ()


@pytest.mark.parametrize("field", [f for f in FIELDS if f.path not in REQUIRED], ids=by_path)
def test_a_value_that_asks_for_nothing_is_accepted_quietly(field: Field) -> None:
    if field.path.startswith(("service", "spout", "transform.build")):
        return  # there, an empty object asks for it
    if "[]" in field.path:
        return  # so does an item of a list
    if field.kind is Kind.OBJECT and field.status is Status.BUILT:
        return
    if field.path.startswith("input.git") or field.kind is Kind.INPUTS:
        return  # that is no input
    value = {"hashtree_spec.constant": 1}.get(field.path, NOTHING[field.kind])
    beside = field.path.startswith("input.")
    spec = read(with_field(field, value, beside=beside))
    assert field.path == "hashtree_spec.constant" or spec.placed("process").warnings == ()


@pytest.mark.parametrize("field", FIELDS, ids=by_path)
def test_a_field_of_the_wrong_type_is_refused(field: Field) -> None:
    wrong: Any = 3 if field.kind in (Kind.STRING, Kind.STRINGS, Kind.BOOL) else [[True]]
    told = "expected"
    if field.status is Status.LATER:
        told = outermost(field).refusal or "not built"
    with pytest.raises(InvalidArgument, match=told):
        read(with_field(field, wrong))


NASTY: list[Any] = [
    None, -1, 2**63, 10**300, 1e308, "", "\0", "a\nb", "x" * 5000, "1" * 5000,
    "1" * 5000 + "s", "1" * 5000 + "Gi", "1e999", "[" * 5000, "１", [], [[]], [None], [{}],
    {}, {"": ""}, {"a": None}, {"pfs": {}}, {"x" * 3000: 1},
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS, ids=by_path)
def test_no_value_of_a_field_brings_anything_but_a_short_error(field: Field) -> None:
    for value in NASTY:
        try:
            read(with_field(field, value))
        except InvalidArgument as e:
            told = str(e)
        else:
            continue
        assert "\n" not in told
        assert len(told) < 600


def test_every_field_of_the_messages_is_in_the_table() -> None:
    """Pachyderm 2.12's own description of a spec."""
    missing = []

    def walk(message: Any, path: str) -> None:
        for field in message.fields:
            here = f"{path}.{field.name}" if path else field.name
            if field.name.lower() not in {n.lower() for n in children(path)}:
                missing.append(here)
                continue
            known = children(path)[field.name if field.name in children(path) else field.json_name]
            assert field.json_name in known.spellings, here
            if known.kind is Kind.OBJECT:
                walk(field.message_type, known.path)
            elif known.kind is Kind.OBJECTS:
                walk(field.message_type, f"{known.path}[]")

    walk(messages.CreatePipelineRequest.DESCRIPTOR, "")
    assert missing == []


def test_every_parent_is_a_field_before_its_children() -> None:
    seen: set[str] = set()
    for field in FIELDS:
        assert field.path not in seen, field.path
        assert not field.parent or field.parent.removesuffix("[]") in seen, field.path
        assert field.doc
        seen.add(field.path)
    assert {f"input.{kind}" for kind in INPUT_TYPES} <= seen


def test_words_are_those_of_the_messages() -> None:
    """A stored word that no message has would break every listing of the pipeline."""
    enums = {
        f"tolerations[].{field.name}": {value.name for value in field.enum_type.values}
        for field in messages.Toleration.DESCRIPTOR.fields
        if field.enum_type
    }
    assert enums == {f.path: set(f.words) for f in FIELDS if f.path in enums}


def test_the_page_shows_the_table_as_it_is() -> None:
    assert renewed(PAGE.read_text()) == PAGE.read_text()
