"""Rules and defaults: from plain values to a spec the box can run. Pure.

The last step of reading a spec. Every problem of a text is found; ``load`` raises the
first, ``problems`` gives all. What depends on the state of the box (whether a repo exists)
is not checked here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.model.ids import DEFAULT_PROJECT, Pipeline
from pachybox.pps.spec.documents import Document, Member, Node, Problem, Unreadable, of_plain, read
from pachybox.pps.spec.fields import FIELDS
from pachybox.pps.spec.inputs import canonical_input, check_input
from pachybox.pps.spec.overlay import DefaultsOf, laid_under, no_defaults
from pachybox.pps.spec.rules import RULES
from pachybox.pps.spec.shape import Shape

_OLD_NAMES = ("standby", "chunk_spec")
_FLAGS = ("update", "reprocess", "dry_run")  # about one request, not part of the spec


@dataclass(frozen=True, slots=True)
class Spec:
    """A checked spec.

    ``canonical`` is the effective spec: snake_case, plain JSON values, defaults filled in,
    without the flags of the request. ``user_text`` is what the user gave for this pipeline,
    as JSON. ``clusterless`` are warnings too, unless it runs in a cluster: ``placed`` knows.
    ``image`` is empty when none was asked for. ``heads``: the branches it reads get
    an empty commit where they have none, as in Pachyderm 2.x. ``runner`` and ``image_pin`` are
    found when it is to be made (pachybox.pps.placement): see PipelineRecord.
    """

    pipeline: Pipeline
    canonical: dict[str, Any]
    user_text: str
    warnings: tuple[str, ...]
    image: str
    update: bool
    reprocess: bool
    dry_run: bool
    heads: bool = False
    runner: str = ""
    image_pin: str = ""
    clusterless: tuple[str, ...] = ()

    def placed(self, runner: str, image_pin: str = "", *, cluster: bool = False) -> Spec:
        """It with a runner, and the warnings that it has with that."""
        more = () if cluster else self.clusterless
        return replace(
            self,
            runner=runner,
            image_pin=image_pin,
            warnings=self.warnings + more,
            clusterless=(),
        )


def load(
    text: str, source: str, *, default_project: str, defaults: DefaultsOf = no_defaults
) -> list[Spec]:
    """The specs of a JSON or YAML text, in order; at least one.

    ``source`` is how errors call the text; ``default_project`` is where pipelines live that
    name no project. Raises InvalidArgument with the first problem: source, line, field,
    remedy.
    """
    specs, found = _read(text, source, default_project, defaults)
    if found:
        raise _error(found[0], source)
    return specs


def problems(text: str, source: str) -> list[Problem]:
    """Everything wrong with a text, document by document; empty when ``load`` accepts it."""
    return _read(text, source, DEFAULT_PROJECT, no_defaults)[1]


@dataclass(frozen=True, slots=True)
class Examined:
    """One spec of a text, right or not, and what knows where its fields stand."""

    spec: Spec
    shape: Shape
    document: int

    @property
    def right(self) -> bool:
        """Whether nothing is wrong with it in itself."""
        return not self.shape.problems

    @property
    def clusterless(self) -> list[Problem]:
        """What is to be said of its fields if it runs in no cluster."""
        return [replace(one, document=self.document) for one in self.shape.clusterless]

    def located(self, path: str, message: str, hint: str = "", level: str = "error") -> Problem:
        """Something about one of its fields."""
        return replace(self.shape.located(path, message, hint, level), document=self.document)


def examine(
    text: str, source: str, *, default_project: str, defaults: DefaultsOf = no_defaults
) -> tuple[list[Examined], list[Problem]]:
    """Every spec of a text, and every problem there is with it, warnings too."""
    found, wrong = _examined(text, source, default_project, defaults)
    warned = [replace(w, document=one.document) for one in found for w in one.shape.warnings]
    return found, wrong + warned


def load_input(text: str, source: str, *, default_project: str) -> dict[str, Any]:
    """The canonical input of a text that holds an input alone, or a spec with one (its name and
    the rest are not needed). Raises InvalidArgument as ``load`` does."""
    shape, pipeline = _draft(text, source, default_project)
    if shape.problems:
        raise _error(shape.problems[0], source)
    return canonical_input(shape.values["input"], pipeline)


def load_draft(
    text: str, source: str, *, default_project: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """As ``load_input``, and the limits of the spec. What is wrong with the rest of it is no
    matter."""
    shape, pipeline = _draft(text, source, default_project)
    for problem in shape.problems:
        if problem.path.partition(".")[0] in ("", "input"):
            raise _error(problem, source)
    made = canonical_input(shape.values["input"], pipeline)
    bad = any(one.path.startswith("resource_limits") for one in shape.problems)
    return made, {} if bad else dict(shape.values.get("resource_limits") or {})


def _draft(text: str, source: str, default_project: str) -> tuple[Shape, Pipeline]:
    try:
        documents = read(text)
    except Unreadable as e:
        raise _error(e.problem, source) from e
    if len(documents) != 1:
        raise InvalidArgument(f"{source} holds {len(documents)} inputs", "give one")
    node = documents[0].node
    of_spec = ("input", "pipeline", "transform")
    if not (isinstance(node.value, dict) and any(name in node.value for name in of_spec)):
        node = Node({"input": Member(node, node.line, node.column)}, node.line, node.column)
    shape = Shape(node)
    values = shape.read()
    named = values.get("pipeline") or {}
    project = (named.get("project") or {}).get("name") or default_project
    pipeline = Pipeline(project, named.get("name") or "preview")
    check_input(shape, values.get("input") or {}, pipeline)
    return shape, pipeline


def read_values(text: str, source: str) -> list[dict[str, Any]]:
    """The values of each spec of a text in snake_case, complete or not. Raises InvalidArgument for
    a field that is not known or has the wrong type."""
    try:
        documents = read(text)
    except Unreadable as e:
        raise _error(e.problem, source) from e
    made = []
    for document in documents:
        shape = Shape(document.node)
        made.append(shape.read())
        if shape.problems:
            raise _error(shape.problems[0], source)
    return made


def from_message_dict(d: dict[str, Any], defaults: DefaultsOf = no_defaults) -> Spec:
    """The spec of a CreatePipelineRequest given as protobuf JSON (64-bit numbers as text).

    Raises InvalidArgument as ``load`` does, without source and line.
    """
    document = laid_under(Document(of_plain(d), json.dumps(d)), DEFAULT_PROJECT, defaults)
    spec, shape = _one(document, "", DEFAULT_PROJECT)
    if shape.problems:
        raise _error(shape.problems[0], "")
    return spec


def _read(
    text: str, source: str, default_project: str, defaults: DefaultsOf
) -> tuple[list[Spec], list[Problem]]:
    found, wrong = _examined(text, source, default_project, defaults)
    return [one.spec for one in found], wrong


def _examined(
    text: str, source: str, default_project: str, defaults: DefaultsOf
) -> tuple[list[Examined], list[Problem]]:
    try:
        documents = read(text)
    except Unreadable as e:
        return [], [e.problem]
    if not documents:
        return [], [Problem(1, 1, "", "there is no spec in it", "docs/spec.md shows a small one")]
    found: list[Examined] = []
    wrong: list[Problem] = []
    lines: dict[Pipeline, int] = {}
    for number, alone in enumerate(documents, 1):
        document = laid_under(alone, default_project, defaults)
        spec, shape = _one(document, source, default_project)
        if not shape.problems:
            if first := lines.get(spec.pipeline):
                message = f"{spec.pipeline} is here twice, first on line {first}"
                shape.problem("pipeline.name", message, "rename one of them")
            lines[spec.pipeline] = first or shape.line("pipeline.name")
        wrong += [replace(one, document=number) for one in shape.problems]
        found.append(Examined(spec, shape, number))
    return found, wrong


def told(problem: Problem, source: str) -> str:
    """A problem in one line: source, line, column, field, remedy."""
    return str(_error(problem, source))


def _error(problem: Problem, source: str) -> InvalidArgument:
    parts = [part for part in (_place(problem, source), problem.path, problem.message) if part]
    return InvalidArgument(": ".join(parts), problem.hint)


def _place(problem: Problem, source: str) -> str:
    return f"{source}:{problem.line}:{problem.column}" if problem.line else source


def _one(document: Document, source: str, default_project: str) -> tuple[Spec, Shape]:
    shape = Shape(document.node)
    values = shape.read()
    named = values.get("pipeline") or {}
    pipeline = Pipeline(
        (named.get("project") or {}).get("name") or default_project, named.get("name") or ""
    )
    if isinstance(document.node.value, dict):
        for rule in RULES:
            rule(shape, values, pipeline)
    canonical = {} if shape.problems else _canonical(values, pipeline)
    spec = Spec(
        pipeline=pipeline,
        canonical=canonical,
        user_text=document.text,
        warnings=_warned(shape.warnings, source),
        clusterless=_warned(shape.clusterless, source),
        image=canonical.get("transform", {}).get("image", ""),
        update=bool(values.get("update")),
        reprocess=bool(values.get("reprocess")),
        dry_run=bool(values.get("dry_run")),
    )
    return spec, shape


def _warned(found: list[Problem], source: str) -> tuple[str, ...]:
    return tuple(_error(one, source).message.lstrip(":") for one in found)


_ORDER = [field.name for field in FIELDS if not field.parent]


# ---- defaults


def _canonical(values: Mapping[str, Any], pipeline: Pipeline) -> dict[str, Any]:
    """The 2.x form: what 1.x calls otherwise goes by its newer name."""
    parallelism = {k: v for k, v in (values.get("parallelism_spec") or {}).items() if v}
    effective = {
        **{n: value for n, value in values.items() if n not in (*_FLAGS, *_OLD_NAMES, "input")},
        "pipeline": {"name": pipeline.name, "project": {"name": pipeline.project}},
        "output_branch": values.get("output_branch") or "master",
        "datum_tries": values.get("datum_tries") or 3,
        "reprocess_spec": values.get("reprocess_spec") or "until_success",
        "parallelism_spec": parallelism or {"constant": 1},
    }
    if "spout" not in values:
        effective["input"] = canonical_input(values["input"], pipeline)
    if values.get("standby"):
        effective["autoscaling"] = True
    if service := values.get("service"):
        port = service.get("external_port") or service["internal_port"]
        effective["service"] = {**service, "external_port": port}
    if service := (values.get("spout") or {}).get("service"):
        port = service.get("external_port") or service["internal_port"]
        effective["spout"] = {
            **values["spout"], "service": {**service, "external_port": port}
        }  # fmt: skip
    units = values.get("datum_set_spec") or values.get("chunk_spec")
    if units:
        effective["datum_set_spec"] = units
    return {name: effective[name] for name in _ORDER if name in effective}
