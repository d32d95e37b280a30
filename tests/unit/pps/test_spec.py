"""Specs are checked whole before anything is made; every error says where and what to do."""

# ruff: noqa: E501 (an error text is easier to find unbroken)
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from pachybox.api.definitions import pps as messages
from pachybox.errors import InvalidArgument, Refused
from pachybox.model.ids import Pipeline
from pachybox.pps.machine import check_machine
from pachybox.pps.planner import inputs_of, seconds, workers_wanted
from pachybox.pps.spec import Spec, from_message_dict, load, problems

EDGES: dict[str, Any] = {
    "pipeline": {"name": "edges"},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "transform": {"cmd": ["python3", "edges.py"]},
}


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``change`` laid over it, objects member by member."""
    out = dict(base)
    for name, value in change.items():
        old = out.get(name)
        out[name] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return out


def read(text: str) -> Spec:
    """The only spec of a text."""
    (spec,) = load(text, "edges.json", default_project="default")
    return spec


def edges(**change: Any) -> Spec:
    """The small spec with changes."""
    return read(json.dumps(merged(EDGES, change)))


def refused(text: str, source: str = "edges.json") -> str:
    """The whole error of a text."""
    with pytest.raises(InvalidArgument) as caught:
        load(text, source, default_project="default")
    return str(caught.value)


def complaint(**change: Any) -> str:
    """The error of the small spec with changes, without its source and place."""
    return re.sub(r"^edges.json:1:\d+: ", "", refused(json.dumps(merged(EDGES, change))))


def test_a_small_spec_gets_every_default() -> None:
    spec = edges()
    assert spec.canonical == {
        "pipeline": {"name": "edges", "project": {"name": "default"}},
        "transform": {"cmd": ["python3", "edges.py"]},
        "parallelism_spec": {"constant": 1},
        "input": {
            "pfs": {
                "name": "images",
                "project": "default",
                "repo": "images",
                "repo_type": "user",
                "branch": "master",
                "glob": "/*",
                "empty_files": False,
            }
        },
        "output_branch": "master",
        "datum_tries": 3,
        "reprocess_spec": "until_success",
    }
    assert spec.pipeline == Pipeline("default", "edges")
    assert (spec.image, spec.warnings) == ("", ())
    assert (spec.update, spec.reprocess, spec.dry_run) == (False, False, False)
    assert workers_wanted(spec.canonical) == 1
    assert [i.name for i in inputs_of(spec.canonical)] == ["images"]


def test_the_same_spec_reads_the_same_in_every_form() -> None:
    snake = edges(datum_timeout="5m", input={"pfs": {"empty_files": True}}, datum_tries=2)
    camel = edges(datumTimeout="5m", input={"pfs": {"emptyFiles": True}}, datumTries="2")
    yaml = read(
        "# edges of pictures\n"
        "pipeline:\n  name: edges\n"
        "input:\n  pfs:\n    repo: images\n    glob: /*\n    empty_files: true\n"
        "transform:\n  cmd: [python3, edges.py]\n"
        "datum_timeout: 5m\ndatum_tries: 2\n"
    )
    assert snake.canonical == camel.canonical == yaml.canonical
    assert json.loads(yaml.user_text)["datum_tries"] == 2
    assert seconds(snake.canonical["datum_timeout"]) == 300.0


def test_a_message_reads_like_a_text() -> None:
    spec = from_message_dict(
        {
            **EDGES,
            "pipeline": {"project": {"name": "vision"}, "name": "edges"},
            "parallelismSpec": {"constant": "4"},
            "jobTimeout": "3600s",
            "update": True,
        }
    )
    assert spec.pipeline == Pipeline("vision", "edges")
    assert spec.canonical["parallelism_spec"] == {"constant": 4}
    assert spec.canonical["input"]["pfs"]["project"] == "vision"
    assert spec.update
    assert "update" not in spec.canonical
    assert json.loads(spec.user_text)["jobTimeout"] == "3600s"
    with pytest.raises(InvalidArgument) as caught:
        from_message_dict({**EDGES, "podPatch": "[1]"})
    assert str(caught.value).startswith("pod_patch: operation 0: expected an object")


def test_the_project_of_the_command_is_where_a_pipeline_lives_that_names_none() -> None:
    (spec,) = load(json.dumps(EDGES), "-", default_project="vision")
    assert spec.pipeline == Pipeline("vision", "edges")
    assert spec.canonical["input"]["pfs"]["project"] == "vision"


def test_an_explicit_null_is_a_field_left_out() -> None:
    assert edges(output_branch=None, datum_timeout=None, egress=None).canonical == edges().canonical


def test_a_coefficient_takes_the_place_of_the_constant() -> None:
    assert edges(parallelism_spec={"coefficient": 2.5}).canonical["parallelism_spec"] == {
        "coefficient": 2.5
    }
    both = {"constant": 0, "coefficient": 0}
    assert edges(parallelism_spec=both).canonical["parallelism_spec"] == {"constant": 1}


def test_what_means_nothing_on_one_machine_is_kept_and_warned_of_once() -> None:
    spec = read(
        json.dumps(
            merged(EDGES, {"sidecar_resource_requests": {"memory": "64M", "cpu": 1}}), indent=1
        )
    )
    line = json.dumps(EDGES, indent=1).count("\n") + 1
    assert spec.warnings == (
        f"edges.json:{line}:2: sidecar_resource_requests: "
        "has no meaning on one machine; it is kept and has no effect",
    )
    assert spec.canonical["sidecar_resource_requests"] == {"memory": "64M", "cpu": 1}


def test_what_works_in_a_cluster_is_warned_of_elsewhere() -> None:
    """Which of both it is is known once the pipeline has its runner."""
    spec = edges(resource_requests={"memory": "64M", "cpu": 1}, pod_patch="[]")
    assert spec.warnings == ()
    assert spec.placed("kubernetes", cluster=True).warnings == ()
    requests, patch = spec.placed("podman").warnings
    text = "works with the runner kubernetes alone; it is kept and has no effect"
    assert requests.endswith(f": resource_requests: {text}")
    assert patch.endswith(f": pod_patch: {text}")
    assert spec.placed("podman").placed("podman").warnings == (requests, patch)


GOLDEN: list[tuple[dict[str, Any], str]] = [
    ({"datum_tires": 3}, 'datum_tires: unknown field; did you mean "datum_tries"'),
    ({"outputbranch": "x"}, 'outputbranch: unknown field; did you mean "output_branch"'),
    ({"cmd": ["sh"]}, "cmd: unknown field; write it as transform.cmd"),
    ({"transform": {"glob": "/"}}, "transform.glob: unknown field; write it as input.pfs.glob"),
    ({"cross": []}, "cross: unknown field; write it as input.cross"),
    ({"memory": "1G"}, "memory: unknown field; write it as resource_limits.memory"),
    ({"id": 1}, "id: unknown field; docs/spec.md lists every field"),
    ({"transform": {"zzz": 1}}, "transform.zzz: unknown field; docs/spec.md lists every field"),
    (
        {"parallelism_spec": {"zzz": 1}},
        "parallelism_spec.zzz: unknown field; known here: constant, coefficient",
    ),
    ({"a b\n": 1}, '"a b\\n": unknown field; docs/spec.md lists every field'),
    (
        {"outputBranch": "a", "output_branch": "b"},
        "output_branch: given twice, as outputBranch and output_branch; keep one",
    ),
    (
        {"transform": {"cmd": 3}},
        "transform.cmd: expected a list of strings, got a number; put it in [ ]",
    ),
    (
        {"transform": {"cmd": ["a", 3]}},
        "transform.cmd[1]: expected a string, got a number; put it in quotes",
    ),
    (
        {"transform": {"env": {"A": 1}}},
        "transform.env.A: expected a string, got a number; put it in quotes",
    ),
    (
        {"transform": {"env": {"A": None}}},
        'transform.env.A: expected a string, got null; write "" for the empty string',
    ),
    ({"transform": {"env": ["A"]}}, "transform.env: expected an object of strings, got a list"),
    (
        {"transform": {"env": {"A=B": "x"}}},
        "transform.env: 'A=B' cannot be the name of a variable; use letters, digits and underscores",
    ),
    ({"transform": {"debug": "yes"}}, "transform.debug: expected true or false, got a string"),
    ({"transform": []}, "transform: expected an object, got a list"),
    (
        {"transform": None},
        'transform: pipeline must specify a transform; give it one with a cmd, like ["sh"]',
    ),
    (
        {"transform": {"cmd": None}},
        'transform.cmd: missing; say what to run, like ["python3", "edges.py"]',
    ),
    (
        {"transform": {"cmd": []}},
        'transform.cmd: empty; say what to run, like ["python3", "edges.py"]',
    ),
    ({"transform": {"cmd": [""]}}, "transform.cmd: its first string is empty; name the program"),
    ({"pipeline": None}, "pipeline.name: missing; give the pipeline a name"),
    (
        {"pipeline": {"name": "-a"}},
        "pipeline.name: pipeline name '-a' is not allowed; begin with a letter or digit, "
        "then letters, digits, _ and -, at most 63 characters",
    ),
    (
        {"pipeline": {"project": {"name": "a b"}}},
        "pipeline.project.name: project name 'a b' is not allowed; "
        "use at most 255 letters, digits, underscores and dashes",
    ),
    ({"input": None}, 'input: no input set; give it one, like {"pfs": {"repo": R, "glob": G}}'),
    ({"input": {"pfs": {"repo": None}}}, "input.pfs.repo: missing; name the repo to read"),
    (
        {"input": {"pfs": {"repo": "a/b"}}},
        "input.pfs.repo: repo name 'a/b' is not allowed; "
        "use at most 255 letters, digits, underscores and dashes",
    ),
    (
        {"input": {"pfs": {"branch": "a.b"}}},
        "input.pfs.branch: branch name 'a.b' is not allowed; "
        "use at most 255 letters, digits, underscores and dashes",
    ),
    (
        {"input": {"pfs": {"branch": "0" * 12 + "4" + "0" * 19}}},
        "input.pfs.branch: 00000000000040000000000000000000 is a commit id; name a branch",
    ),
    (
        {"input": {"pfs": {"glob": ""}}},
        'input.pfs.glob: missing; use "/" for one datum, "/*" for one per file',
    ),
    (
        {"input": {"pfs": {"glob": "/[a"}}},
        "input.pfs.glob: bad glob '/[a': ...",
    ),
    (
        {"input": {"pfs": {"repo": "out"}}},
        "input.pfs.name: an input may not be called out: output goes there; set input.pfs.name",
    ),
    (
        {"input": {"pfs": {"name": "a/b"}}},
        "input.pfs.name: 'a/b' cannot be a directory under /pfs; "
        "use letters, digits, underscores and dashes",
    ),
    (
        {"input": {"pfs": {"repo": "edges"}}},
        "input.pfs.repo: a pipeline cannot read its own output; name another repo",
    ),
    (
        {"input": {"pfs": {"commit": "abc"}}},
        "input.pfs.commit: may not be set by users; remove it: each job reads the commit of the branch",
    ),
    (
        {"input": {"pfs": None, "cross": [{}]}},
        'input.cross[0]: no input set; give it one, like {"pfs": {"repo": R, "glob": G}}',
    ),
    (
        {"datum_timeout": "5 min"},
        "datum_timeout: '5 min' is not a duration; write it like 300s, 1h30m or 100ms",
    ),
    (
        {"datum_timeout": "-5s"},
        "datum_timeout: '-5s' is not positive; write it like \"300s\", or leave it out",
    ),
    ({"job_timeout": 300}, 'job_timeout: expected a duration like "300s", got a number'),
    ({"datum_tries": -1}, "datum_tries: may not be negative; use 1 or more"),
    ({"datum_tries": 1.5}, "datum_tries: expected a whole number, got a number"),
    ({"datum_tries": True}, "datum_tries: expected a whole number, got true"),
    (
        {"datum_tries": 2**63},
        "datum_tries: 9223372036854775808 is out of range; use a number of at most 63 bits",
    ),
    (
        {"parallelism_spec": {"constant": -1}},
        "parallelism_spec.constant: may not be negative; use 1 or more",
    ),
    (
        {"parallelism_spec": {"coefficient": -0.5}},
        "parallelism_spec.coefficient: may not be negative; use 1 or more",
    ),
    (
        {"parallelism_spec": {"constant": 1, "coefficient": 2}},
        "parallelism_spec: constant and coefficient are both set; remove one",
    ),
    (
        {"hashtree_spec": {"constant": 0}},
        "hashtree_spec.constant: must be 1 or more; remove hashtree_spec",
    ),
    (
        {"reprocess_spec": "never"},
        'reprocess_spec: "never" is not known; use until_success or every_job',
    ),
    (
        {"cache_size": "64 parsecs"},
        "cache_size: '64 parsecs' is not a quantity; write it like 500m, 2, 64M or 1.5Gi",
    ),
    (
        {"tf_job": {"tf_job": "{}"}},
        "tf_job: embedding TFJobs is not supported; run the program by transform.cmd",
    ),
    (
        {"service": {}},
        "service.internal_port: missing; name the port the program listens on",
    ),
    (
        {"max_queue_size": 1.5},
        "max_queue_size: expected a whole number, got a number",
    ),
    (
        {"datum_timeout": "1" * 5000 + "s"},
        'datum_timeout: expected a duration like "300s", got 5001 characters',
    ),
    (
        {"cache_size": "1" * 5000},
        'cache_size: expected a quantity like "64M", got 5000 characters',
    ),
    (
        {"reprocess_spec": "a\nb"},
        'reprocess_spec: "a\\nb" is not known; use until_success or every_job',
    ),
    (
        {"tolerations": [{"operator": "1" * 30}]},
        f'tolerations[0].operator: "{"1" * 30}" is not known; use EXISTS, EQUAL or EMPTY',
    ),
    ({"tolerations": [{}, 1]}, "tolerations[1]: expected an object, got a number"),
    ({"tolerations": [{"kee": "a"}]}, 'tolerations[0].kee: unknown field; did you mean "key"'),
    # limits and units of work
    ({"resource_limits": {"cpu": -1}}, "resource_limits.cpu: may not be negative; ..."),
    ({"resource_limits": {"memory": "-1G"}}, "resource_limits.memory: may not be negative; ..."),
    (
        {"resource_limits": {"gpu": {"number": -1}}},
        "resource_limits.gpu.number: may not be negative; say how many",
    ),
    (
        {"datum_set_spec": {"per_worker": 2, "number": 3}},
        "datum_set_spec.per_worker: cannot be set together with number or size_bytes; keep one of them",
    ),
    ({"chunk_spec": {"number": -1}}, "chunk_spec.number: may not be negative; use 1 or more"),
    (
        {"chunk_spec": {"number": 1}, "datum_set_spec": {"number": 1}},
        "chunk_spec: is datum_set_spec by its older name; keep one of them",
    ),
    # secrets
    ({"transform": {"secrets": [{}]}}, "transform.secrets[0].name: missing; name the secret"),
    (
        {"transform": {"secrets": [{"name": "db"}]}},
        "transform.secrets[0]: is shown nowhere; give it mount_path, or key and env_var",
    ),
    (
        {"transform": {"secrets": [{"name": "db", "env_var": "A"}]}},
        "transform.secrets[0].key: missing: env_var shows one key; name the key",
    ),
    (
        {"transform": {"secrets": [{"name": "db", "key": "k", "env_var": "A=B"}]}},
        "transform.secrets[0].env_var: 'A=B' cannot be the name of a variable; ...",
    ),
    *(
        (
            {"transform": {"secrets": [{"name": "db", "mount_path": path}]}},
            f"transform.secrets[0].mount_path: {path!r} cannot hold a secret; "
            "write a path from the root that is not below /pfs, like /run/secrets/db",
        )
        for path in ("etc", "/", "/pfs/in", "//pfs", "/a/../pfs", "/.")
    ),
    # egress
    (
        {"egress": {"url": "s3://a/b", "object_storage": {"url": "gs://a/b"}}},
        "egress: several targets: url, object_storage; keep one of them",
    ),
    (
        {"egress": {"url": "ftp://a/b"}},
        "egress.url: egress to ftp:// is not known; use s3://, gs://, file://",
    ),
    (
        {"egress": {"URL": "wasb://a/b"}},
        "egress.url: egress to Azure (wasb://) is not built in this version of pachybox; "
        "egress to s3://, gs://, file://, postgresql://, sqlite:// or duckdb://",
    ),
    (
        {"egress": {"object_storage": {"url": "bucket"}}},
        "egress.object_storage.url: the url of egress has no scheme; write s3://BUCKET/PREFIX",
    ),
    (
        {"egress": {"sql_database": {"file_format": {"type": "CSV"}}}},
        "egress.sql_database.url: missing; say where to",
    ),
    (
        {"egress": {"sql_database": {"url": "snowflake://a/b"}}},
        "egress.sql_database.url: egress to Snowflake (snowflake://) is not built in this version ...",
    ),
    (
        {"egress": {"sql_database": {"url": "postgresql://me:word@host/db"}}},
        "egress.sql_database.url: egress has a password in its url, where everybody can read it; ...",
    ),
    (
        {"egress": {"sql_database": {"url": "sqlite:///x", "file_format": {"type": "XML"}}}},
        'egress.sql_database.file_format.type: "XML" is not known; use CSV, JSON or PARQUET',
    ),
    (
        {
            "egress": {
                "sql_database": {"url": "sqlite:///x", "file_format": {"columns": ["a", "a"]}}
            }
        },
        "egress.sql_database.file_format.columns: names a column twice; keep one of them",
    ),
    (
        {"egress": {"sql_database": {"url": "sqlite:///x", "secret": {"key": "a"}}}},
        "egress.sql_database.secret.name: missing; name the secret that has the key",
    ),
    # services, spouts, and what a single machine of this version does not have
    (
        {"service": {"internal_port": 70000}},
        "service.internal_port: 70000 is not a port; use 1 to 65535",
    ),
    (
        {"service": {"internal_port": 80, "external_port": -1}},
        "service.external_port: -1 is not a port; use 1 to 65535",
    ),
    (
        {"service": {"internal_port": 80, "type": "Ingress"}},
        'service.type: "Ingress" is not known; use ClusterIP, LoadBalancer or NodePort',
    ),
    *(
        (
            {"service": {"internal_port": 80}, "parallelism_spec": parallelism},
            "parallelism_spec: services can only be run with a constant parallelism of 1; remove it",
        )
        for parallelism in ({"constant": 2}, {"coefficient": 1.0})
    ),
    ({"spout": {}}, "input: a spout has no input: it brings data in; remove it, or spout"),
    *(
        ({"spout": {}, "input": None, **more}, message)
        for more, message in (
            (
                {"service": {"internal_port": 80}},
                "service: a spout's service is spout.service; move it there",
            ),
            ({"s3_out": True}, "s3_out: a spout writes to /pfs/out or by the API; remove it"),
            ({"autoscaling": True}, "autoscaling: a spout always runs; remove it"),
            ({"standby": True}, "standby: a spout always runs; remove it"),
            (
                {"enable_stats": True},
                "enable_stats: a spout has no datums, and so no statistics; remove it",
            ),
            (
                {"egress": {"url": "file:///x"}},
                "egress: a spout has no jobs to egress after; give it to a pipeline that reads the spout",
            ),
            (
                {"parallelism_spec": {"constant": 2}},
                "parallelism_spec: spouts can only be run with a constant parallelism of 1; remove it",
            ),
        )
    ),
    *(
        (
            {"spout": {"marker": marker}, "input": None},
            f"spout.marker: {message}; give a name like state",
        )
        for marker, message in (
            ("out", "the name out is that of the pipe /pfs/out"),
            ("a/b", "'a/b' is not the name of a file"),
        )
    ),
    (
        {"spout": {"service": {"external_port": 80}}, "input": None},
        "spout.service.internal_port: missing; name the port the program listens on",
    ),
    (
        {"s3_out": True, "service": {"internal_port": 80}},
        "s3_out: a service has no output; remove it",
    ),
    (
        {"pod_patch": '[{"op": "add", "path": "/a"}]'},
        "pod_patch: operation 0 'add /a': value is missing; write the JSON of a list like "
        '[{"op": "add", "path": "/hostname", "value": "worker"}]',
    ),
    (
        {"pod_patch": '[{"op": "add", "path": "a", "value": 1}]'},
        "pod_patch: operation 0 'add a': path is to be a path that begins with \"/\"; write the "
        'JSON of a list like [{"op": "add", "path": "/hostname", "value": "worker"}]',
    ),
    (
        {"pod_patch": '[{"op": "append", "path": "/a"}]'},
        "pod_patch: operation 0 'append /a': op is to be one of add, remove, replace, move, copy, "
        'test; write the JSON of a list like [{"op": "add", "path": "/hostname", "value": "worker"}]',
    ),
    (
        {"pod_patch": "{}"},
        "pod_patch: a patch is a list of operations; write the JSON of a list like "
        '[{"op": "add", "path": "/hostname", "value": "worker"}]',
    ),
    (
        {"pod_spec": "[]"},
        "pod_spec: a merge patch is an object; write what the Pod is to have, as the JSON of "
        '{"hostname": "worker"}',
    ),
    (
        {"pod_spec": '{"a": NaN}'},
        "pod_spec: not valid JSON: NaN is no number of JSON; give the JSON of the patch",
    ),
    (
        {"pod_spec": "[" * 101 + "]" * 101},
        "pod_spec: not valid JSON: more than 100 values in each other; give the JSON of the patch",
    ),
    (
        {"tolerations": [{"value": "x"}]},
        'tolerations[0].key: missing; name a taint, or set operator to "EXISTS" to tolerate all',
    ),
    (
        {"tolerations": [{"key": "a", "operator": "EXISTS", "value": "x"}]},
        'tolerations[0].value: EXISTS looks at no value; remove it, or set operator to "EQUAL"',
    ),
    (
        {"tolerations": [{"key": "a", "effect": "NO_SCHEDULE", "toleration_seconds": 5}]},
        "tolerations[0].toleration_seconds: only NO_EXECUTE ends a Pod after a while; remove it, "
        'or set effect to "NO_EXECUTE"',
    ),
    (
        {"tolerations": [{"key": "a b"}]},
        "tolerations[0].key: 'a b' cannot be the name of a label or taint; write it like \"disk\" "
        'or "example.com/disk", at most 63 characters after the slash',
    ),
    (
        {"scheduling_spec": {"node_selector": {"disk": "s s d"}}},
        "scheduling_spec.node_selector: 's s d' cannot be the value of a label or taint; use "
        "letters, digits, dashes, dots and underscores, 63 at most",
    ),
    (
        {"scheduling_spec": {"priority_class_name": "High"}},
        "scheduling_spec.priority_class_name: 'High' cannot be the name of a priority class; use "
        "small letters, digits, dashes and dots",
    ),
    (
        {"resource_requests": {"memory": "2G"}, "resource_limits": {"memory": "1G"}},
        "resource_requests.memory: 2G is more than resource_limits.memory (1G); ask for as much "
        "as the limit, or for less",
    ),
    (
        {"resource_requests": {"cpu": -1}},
        "resource_requests.cpu: may not be negative; leave it out",
    ),
    (
        {"transform": {"build": {}}},
        "transform.build: neither language nor image is set; "
        'say how it is built, like "language": "python"',
    ),
    (
        {"transform": {"build": {"language": "python", "image": "x"}}},
        "transform.build: language and image are both set; keep one of them",
    ),
    (
        {
            "transform": {"build": {"language": "python"}},
            "input": {
                "pfs": None,
                "cross": [
                    {"pfs": {"repo": "a", "glob": "/"}},
                    {"pfs": {"repo": "b", "name": "source", "glob": "/"}},
                ],
            },
        },
        'input.cross[1].pfs.name: with transform.build the input "source" is the code\'s own; '
        "set input.cross[1].pfs.name to another name",
    ),
    (
        {"spec_commit": {"id": "a"}},
        "spec_commit: may not be set by users; remove it: the box makes that commit itself",
    ),
    ({"output_merge": "append"}, 'output_merge: "append" is not known; use error or concatenate'),
]


@pytest.mark.parametrize(("change", "text"), GOLDEN, ids=[text[:50] for _, text in GOLDEN])
def test_an_error_names_the_field_and_the_remedy(change: dict[str, Any], text: str) -> None:
    found = complaint(**change)
    assert found.startswith(text[:-3]) if text.endswith("...") else found == text


def test_an_error_names_the_line_of_the_field() -> None:
    text = (
        '{\n "pipeline": {"name": "edges"},\n "transform": {\n  "cmdd": ["sh"]\n },\n "input": {}}'
    )
    assert refused(text) == 'edges.json:4:3: transform.cmdd: unknown field; did you mean "cmd"'
    yaml = 'pipeline: {name: edges}\ntransform:\n  env:\n    A: "1"\n    B: 2\n  cmd: [sh]\n'
    assert refused(yaml, "edges.yaml") == (
        "edges.yaml:5:8: transform.env.B: expected a string, got a number; put it in quotes"
    )


def test_what_is_missing_is_placed_where_its_object_begins() -> None:
    yaml = "pipeline: {name: edges}\ninput:\n  pfs:\n    repo: images\n    glob: /\ntransform:\n  user: me\n"
    assert refused(yaml, "e.yaml") == (
        'e.yaml:6:1: transform.cmd: missing; say what to run, like ["python3", "edges.py"]'
    )


def test_every_problem_is_found_and_none_is_told_twice() -> None:
    text = json.dumps(
        {
            "pipeline": {"name": "a b"},
            "transform": {"cmdd": ["sh"], "user": 3},
            "input": {"pfs": {"repo": "images"}, "cross": [{}]},
            "datum_tries": -1,
        },
        indent=1,
    )
    assert [(p.line, p.path, p.message.split(":")[0]) for p in problems(text, "x")] == [
        (6, "transform.cmdd", "unknown field"),
        (9, "transform.user", "expected a string, got a number"),
        (3, "pipeline.name", "pipeline name 'a b' is not allowed"),
        (11, "input", "multiple input types set"),
        (12, "input.pfs.glob", "missing"),
        (16, "input.cross[0]", "no input set"),
        (19, "datum_tries", "may not be negative"),
    ]
    assert problems(json.dumps(EDGES), "x") == []


def test_a_spout_needs_no_input() -> None:
    spout = edges(spout={"service": {"internal_port": 80}}, input=None)
    assert "input" not in spout.canonical
    assert spout.canonical["spout"]["service"] == {"internal_port": 80, "external_port": 80}


def test_what_1_x_calls_otherwise_goes_by_its_newer_name() -> None:
    spec = edges(standby=True, chunk_spec={"number": 7})
    assert spec.canonical["autoscaling"] is True
    assert spec.canonical["datum_set_spec"] == {"number": 7}
    assert not {"standby", "chunk_spec"} & set(spec.canonical)
    newer = edges(standby=False, autoscaling=True, chunk_spec={}, datum_set_spec={"per_worker": 2})
    assert newer.canonical["datum_set_spec"] == {"per_worker": 2}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"resource_limits": {"disk": "1G", "memory": "1G"}},
            "resource_limits.disk: is not enforced without a cluster: a datum may use all the room "
            "there is; it is kept",
        ),
        (
            {"service": {"internal_port": 80}},
            "input.pfs.glob: a service must have a single datum: its job fails when this matches "
            'more than one path; "/" shows the whole repo',
        ),
        (
            {"transform": {"secrets": [{"name": "a", "mount_path": "/a", "key": "b"}]}},
            "transform.secrets[0].key: has no effect without env_var: mount_path shows every key",
        ),
    ],
)
def test_what_is_done_in_part_is_warned_of(change: dict[str, Any], told: str) -> None:
    (warning,) = edges(**change).placed("process").warnings
    assert re.fullmatch(rf"edges.json:1:\d+: {re.escape(told)}", warning)


def test_cards_are_counted_where_a_spec_wants_them(tmp_path: Path) -> None:
    wants = edges(resource_limits={"gpu": {"type": "nvidia.com/gpu", "number": 2}}).canonical
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidiactl").touch()
    with pytest.raises(
        Refused, match=r"pipeline edges wants 2 graphics cards .* machine has 1"
    ) as e:
        check_machine("edges", wants, tmp_path)
    assert e.value.hint == "remove resource_limits.gpu, or use a machine that has them"
    (tmp_path / "nvidia1").touch()
    check_machine("edges", wants, tmp_path)
    (tmp_path / "none").mkdir()
    check_machine("edges", edges().canonical, tmp_path / "none")
    with pytest.raises(Refused, match="this machine has none"):
        check_machine("edges", wants, tmp_path / "none")


def test_a_spec_that_is_no_object_is_refused_by_place() -> None:
    assert refused("- 3\n", "x.yaml") == ("x.yaml:1:3: expected a spec (an object), got a number")
    assert refused("") == "edges.json:1:1: there is no spec in it; docs/spec.md shows a small one"


def test_one_name_twice_in_a_text_is_refused() -> None:
    other = json.dumps(EDGES)
    assert refused(f"{other}\n{other}") == (
        "edges.json:2:23: pipeline.name: edges is here twice, first on line 1; rename one of them"
    )
    assert "here twice" in refused(other + other)
    in_vision = merged(EDGES, {"pipeline": {"project": {"name": "vision"}}})
    assert len(load(other + json.dumps(in_vision), "x", default_project="default")) == 2


def test_flags_belong_to_the_request_and_not_to_the_spec() -> None:
    spec = edges(update=True, reprocess=True, dryRun=True)
    assert (spec.update, spec.reprocess, spec.dry_run) == (True, True, True)
    assert spec.canonical == edges().canonical


# ---- properties

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
_durations = st.sampled_from(["300s", "5m", "1h30m", "0.5s"])
_words = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,20}", fullmatch=True)
_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)


def _reads_another(spec: dict[str, Any]) -> bool:
    return bool(spec["pipeline"]["name"] != spec["input"]["pfs"]["repo"])


_specs: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "pipeline": st.fixed_dictionaries(
            {"name": _words}, optional={"project": st.fixed_dictionaries({"name": _words})}
        ),
        "transform": st.fixed_dictionaries(
            {"cmd": st.lists(_texts.filter(bool), min_size=1, max_size=3)},
            optional={
                "stdin": st.lists(_texts, max_size=3),
                "env": st.dictionaries(_words, _texts, max_size=3),
                "accept_return_code": st.lists(st.integers(0, 255), max_size=3),
                "debug": st.booleans(),
                "image": _texts,
            },
        ),
        "input": st.fixed_dictionaries(
            {
                "pfs": st.fixed_dictionaries(
                    {
                        "repo": _words.filter(lambda w: w != "out"),
                        "glob": st.sampled_from(["/", "/*"]),
                    },
                    optional={"name": st.sampled_from(["in", ""]), "empty_files": st.booleans()},
                )
            }
        ),
    },
    optional={
        "description": _texts,
        "metadata": st.fixed_dictionaries({"labels": st.dictionaries(_texts, _texts, max_size=2)}),
        "datum_timeout": _durations,
        "maximum_expected_uptime": _durations,
        "datum_tries": st.integers(0, 2**63 - 1),
        "parallelism_spec": st.sampled_from([{}, {"constant": 3}, {"coefficient": 0.5}]),
        "resource_requests": st.fixed_dictionaries(
            {"cpu": st.floats(0, 1e30), "gpu": st.fixed_dictionaries({"number": st.integers(0, 9)})}
        ),
        "tolerations": st.lists(
            st.fixed_dictionaries(
                {
                    "operator": st.just("EXISTS"),
                    "effect": st.just("NO_EXECUTE"),
                    "toleration_seconds": st.integers(0, 99),
                }
            ),
            max_size=2,
        ),
        "standby": st.just(False),
        "salt": _texts,
    },
).filter(_reads_another)


@given(_specs)
def test_the_canonical_form_reads_as_itself(spec: dict[str, Any]) -> None:
    first = read(json.dumps(spec))
    again = read(json.dumps(first.canonical))
    assert again.canonical == first.canonical
    assert len(again.warnings) == len(first.warnings)


@given(_specs)
def test_every_accepted_spec_fits_the_message_that_shows_it(spec: dict[str, Any]) -> None:
    """Listing pipelines copies the canonical form into PipelineInfo."""
    canonical = read(json.dumps(spec)).canonical
    shown = {k: v for k, v in canonical.items() if k not in ("pipeline", "metadata")}
    for name in ("datum_timeout", "maximum_expected_uptime"):
        if name in shown:
            shown[name] = f"{seconds(shown[name]):.9f}s"
    details = messages.PipelineInfo().details
    json_format.ParseDict(shown, details, ignore_unknown_fields=True)
    assert details.datum_tries == canonical["datum_tries"]
    assert details.input.pfs.glob == canonical["input"]["pfs"]["glob"]


def _accepts_or_refuses(text: str) -> None:
    found = problems(text, "x")
    try:
        assert load(text, "x", default_project="default")
        assert found == []
    except InvalidArgument:
        assert found


@given(st.text() | st.text("{}[]\",:-*&!<>|#%@?'\n\t ab01.e\\u"))
def test_any_text_is_read_or_refused(text: str) -> None:
    _accepts_or_refuses(text)


@given(_json, st.sampled_from(["", "pipeline", "transform", "input", "input.pfs", "tolerations"]))
def test_any_json_is_read_or_refused_at_any_place(value: Any, place: str) -> None:
    spec: Any = value
    for name in reversed(place.split(".") if place else []):
        spec = {name: spec}
    spec = merged(EDGES, spec) if isinstance(spec, dict) else spec
    _accepts_or_refuses(json.dumps(spec))
    if isinstance(spec, dict):
        try:
            from_message_dict(spec)
        except InvalidArgument:
            pass
