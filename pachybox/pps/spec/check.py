"""Rules and defaults: from plain values to a spec the box can run. Pure.

The last step of reading a spec. Every problem of a text is found; ``load`` raises the
first, ``problems`` gives all. What depends on the state of the box (whether a repo exists)
is not checked here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.model.glob import Glob
from pachybox.model.ids import (
    DEFAULT_PROJECT,
    Pipeline,
    check_name,
    check_pipeline_name,
    is_commit_id,
)
from pachybox.pps.spec.documents import Document, Problem, Unreadable, of_plain, read
from pachybox.pps.spec.fields import FIELDS, INPUT_TYPES
from pachybox.pps.spec.shape import Shape

_FLAGS = ("update", "reprocess", "dry_run")  # about one request, not part of the spec


@dataclass(frozen=True, slots=True)
class Spec:
    """A checked spec.

    ``canonical`` is the effective spec: snake_case, plain JSON values, defaults filled in,
    without the flags of the request. ``user_text`` is what the user gave for this pipeline,
    as JSON. ``image`` is empty when none was asked for.
    """

    pipeline: Pipeline
    canonical: dict[str, Any]
    user_text: str
    warnings: tuple[str, ...]
    image: str
    update: bool
    reprocess: bool
    dry_run: bool


def load(text: str, source: str, *, default_project: str) -> list[Spec]:
    """The specs of a JSON or YAML text, in order; at least one.

    ``source`` is how errors call the text; ``default_project`` is where pipelines live that
    name no project. Raises InvalidArgument with the first problem: source, line, field,
    remedy.
    """
    specs, found = _read(text, source, default_project)
    if found:
        raise _error(found[0], source)
    return specs


def problems(text: str, source: str) -> list[Problem]:
    """Everything wrong with a text, document by document; empty when ``load`` accepts it."""
    return _read(text, source, DEFAULT_PROJECT)[1]


def from_message_dict(d: dict[str, Any]) -> Spec:
    """The spec of a CreatePipelineRequest given as protobuf JSON (64-bit numbers as text).

    Raises InvalidArgument as ``load`` does, without source and line.
    """
    spec, shape = _one(Document(of_plain(d), json.dumps(d)), "", DEFAULT_PROJECT)
    if shape.problems:
        raise _error(shape.problems[0], "")
    return spec


def _read(text: str, source: str, default_project: str) -> tuple[list[Spec], list[Problem]]:
    try:
        documents = read(text)
    except Unreadable as e:
        return [], [e.problem]
    if not documents:
        return [], [Problem(1, 1, "", "there is no spec in it", "docs/spec.md shows a small one")]
    specs: list[Spec] = []
    found: list[Problem] = []
    lines: dict[Pipeline, int] = {}
    for document in documents:
        spec, shape = _one(document, source, default_project)
        if not shape.problems:
            if first := lines.get(spec.pipeline):
                message = f"{spec.pipeline} is here twice, first on line {first}"
                shape.problem("pipeline.name", message, "rename one of them")
            lines[spec.pipeline] = first or shape.line("pipeline.name")
        found += shape.problems
        specs.append(spec)
    return specs, found


def _error(problem: Problem, source: str) -> InvalidArgument:
    where = source
    if problem.line:
        where += f":{problem.line}" if problem.path else f":{problem.line}:{problem.column}"
    parts = [part for part in (where, problem.path, problem.message) if part]
    return InvalidArgument(": ".join(parts), problem.hint)


def _one(document: Document, source: str, default_project: str) -> tuple[Spec, Shape]:
    shape = Shape(document.node)
    values = shape.read()
    if isinstance(document.node.value, dict):
        for rule in _RULES:
            rule(shape, values)
    named = values.get("pipeline") or {}
    pipeline = Pipeline(
        (named.get("project") or {}).get("name") or default_project, named.get("name") or ""
    )
    if not shape.problems:
        _check_own(shape, values, pipeline)
    canonical = {} if shape.problems else _canonical(values, pipeline)
    prefix = f"{source}:" if source else ""
    spec = Spec(
        pipeline=pipeline,
        canonical=canonical,
        user_text=document.text,
        warnings=tuple(
            f"{prefix}{line}: {path}: {text}" if line else f"{path}: {text}"
            for line, path, text in shape.warnings
        ),
        image=canonical.get("transform", {}).get("image", ""),
        update=bool(values.get("update")),
        reprocess=bool(values.get("reprocess")),
        dry_run=bool(values.get("dry_run")),
    )
    return spec, shape


# ---- rules: each looks at what was read and notes what is wrong


def _try(shape: Shape, path: str, check: Callable[[], object]) -> None:
    """Note at ``path`` what ``check`` raises."""
    try:
        check()
    except InvalidArgument as e:
        shape.problem(path, e.message, e.hint)


def _pipeline(shape: Shape, values: Mapping[str, Any]) -> None:
    named = values.get("pipeline") or {}
    if name := named.get("name"):
        _try(shape, "pipeline.name", lambda: check_pipeline_name(name))
    else:
        shape.missing("pipeline.name", "missing", "give the pipeline a name")
    if project := (named.get("project") or {}).get("name"):
        _try(shape, "pipeline.project.name", lambda: check_name("project", project))


def _transform(shape: Shape, values: Mapping[str, Any]) -> None:
    transform = values.get("transform")
    if transform is None:
        shape.missing(
            "transform", "pipeline must specify a transform", 'give it one with a cmd, like ["sh"]'
        )
        return
    cmd = transform.get("cmd")
    if cmd is None:
        shape.missing("transform.cmd", "missing", 'say what to run, like ["python3", "edges.py"]')
    elif not cmd:
        shape.problem("transform.cmd", "empty", 'say what to run, like ["python3", "edges.py"]')
    for name in ("cmd", "err_cmd"):
        if transform.get(name) and not transform[name][0]:
            shape.problem(f"transform.{name}", "its first string is empty", "name the program")
    for name in transform.get("env") or {}:
        if not name or "=" in name:
            shape.problem(
                "transform.env",
                f"{name!r} cannot be the name of a variable",
                "use letters, digits and underscores",
            )


def _numbers(shape: Shape, values: Mapping[str, Any]) -> None:
    parallelism = values.get("parallelism_spec") or {}
    for name in ("constant", "coefficient"):
        if parallelism.get(name, 0) < 0:
            shape.problem(f"parallelism_spec.{name}", "may not be negative", "use 1 or more")
    if parallelism.get("constant") and parallelism.get("coefficient"):
        shape.problem("parallelism_spec", "constant and coefficient are both set", "remove one")
    if values.get("datum_tries", 0) < 0:
        shape.problem("datum_tries", "may not be negative", "use 1 or more")
    if (values.get("hashtree_spec") or {}).get("constant", 1) < 1:
        shape.problem("hashtree_spec.constant", "must be 1 or more", "remove hashtree_spec")


def _output(shape: Shape, values: Mapping[str, Any]) -> None:
    if branch := values.get("output_branch"):
        _check_branch(shape, "output_branch", branch)


def _check_branch(shape: Shape, path: str, name: str) -> None:
    _try(shape, path, lambda: check_name("branch", name))
    if is_commit_id(name):
        shape.problem(path, f"{name} is a commit id", "name a branch")


def _input(shape: Shape, values: Mapping[str, Any]) -> None:
    source = values.get("input") or {}
    given = [
        kind
        for kind in INPUT_TYPES
        if (kind == "pfs" and kind in source) or shape.given(f"input.{kind}")
    ]
    if len(given) > 1:
        shape.problem("input", f"multiple input types set: {', '.join(given)}", "keep one of them")
    if "pfs" not in source:
        shape.missing("input", "no input set", 'give it one, like {"pfs": {"repo": R, "glob": G}}')
        return
    pfs = source["pfs"]
    repo = pfs.get("repo") or ""
    if repo:
        _try(shape, "input.pfs.repo", lambda: check_name("repo", repo))
    else:
        shape.missing("input.pfs.repo", "missing", "name the repo to read")
    if project := pfs.get("project"):
        _try(shape, "input.pfs.project", lambda: check_name("project", project))
    if branch := pfs.get("branch"):
        _check_branch(shape, "input.pfs.branch", branch)
    if glob := pfs.get("glob"):
        _try(shape, "input.pfs.glob", lambda: Glob(glob))
    else:
        shape.missing("input.pfs.glob", "missing", 'use "/" for one datum, "/*" for one per file')
    _input_name(shape, pfs.get("name") or "", repo)


def _input_name(shape: Shape, name: str, repo: str) -> None:
    """It becomes a directory under /pfs and the name of a variable."""
    if (name or repo) == "out":
        hint = "give another name" if name else "set input.pfs.name"
        shape.problem("input.pfs.name", "an input may not be called out: output goes there", hint)
    elif name.startswith(".") or "/" in name or "=" in name or len(name.encode()) > 200:
        shape.problem(
            "input.pfs.name",
            f"{name!r} cannot be a directory under /pfs",
            "use letters, digits, underscores and dashes",
        )


def _check_own(shape: Shape, values: Mapping[str, Any], pipeline: Pipeline) -> None:
    pfs = values["input"]["pfs"]
    if (pfs.get("project") or pipeline.project, pfs["repo"]) == (pipeline.project, pipeline.name):
        shape.problem(
            "input.pfs.repo", "a pipeline cannot read its own output", "name another repo"
        )


_ORDER = [field.name for field in FIELDS if not field.parent]
_RULES = (_pipeline, _transform, _input, _numbers, _output)


# ---- defaults


def _canonical(values: Mapping[str, Any], pipeline: Pipeline) -> dict[str, Any]:
    parallelism = {k: v for k, v in (values.get("parallelism_spec") or {}).items() if v}
    pfs = values["input"]["pfs"]
    effective = {
        **{name: value for name, value in values.items() if name not in _FLAGS},
        "pipeline": {"name": pipeline.name, "project": {"name": pipeline.project}},
        "input": {
            "pfs": {
                **pfs,
                "name": pfs.get("name") or pfs["repo"],
                "project": pfs.get("project") or pipeline.project,
                "repo_type": "user",
                "branch": pfs.get("branch") or "master",
                "empty_files": bool(pfs.get("empty_files")),
            }
        },
        "output_branch": values.get("output_branch") or "master",
        "datum_tries": values.get("datum_tries") or 3,
        "reprocess_spec": values.get("reprocess_spec") or "until_success",
        "parallelism_spec": parallelism or {"constant": 1},
    }
    return {name: effective[name] for name in _ORDER if name in effective}
