"""Ingest specs: from what a user wrote to what the box keeps. Pure.

The frame is read here: the name, where to, and which of the kinds; each kind reads its own part
(``check``). Whether the target exists is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.ingest import record_specs, watch_spec
from pachybox.ingest.values import Values
from pachybox.model.ids import DEFAULT_PROJECT, USER, Branch, check_name, is_commit_id
from pachybox.model.ingest import DEAD_LETTERS, Ingest, IngestKind
from pachybox.model.refs import parse_branch_ref
from pachybox.pps.spec.documents import Document, Node, Problem, Unreadable, plain, read

Check = Callable[[Mapping[str, Any]], tuple[dict[str, Any], list[str]]]
"""The canonical values of a kind's part, and warnings. Raises InvalidArgument whose message
begins with the field."""

KINDS: dict[IngestKind, Check] = {
    IngestKind.WATCH: watch_spec.check,
    IngestKind.PUSH: record_specs.check_push,
    IngestKind.COMMAND: record_specs.check_command,
}

_PATH = re.compile(r'[\w.\[\]"-]+')
_LONGEST_NAME = 200  # there are files of that name and more


@dataclass(frozen=True, slots=True)
class Spec:
    """A checked spec. ``canonical`` has every default filled in, is itself a spec and gives
    itself again; the part of the kind is in it by the kind's name."""

    ingest: Ingest
    kind: IngestKind
    to: Branch
    canonical: dict[str, Any]
    warnings: tuple[str, ...]


def load(text: str, source: str = "", *, default_project: str = DEFAULT_PROJECT) -> list[Spec]:
    """The specs of a JSON or YAML text, in order; at least one, no two of one name.

    ``source`` is how errors call the text. Raises InvalidArgument with source, line, field and
    remedy.
    """
    try:
        documents = read(text)
    except Unreadable as e:
        where = f"{_where(source, e.problem.line)}:{e.problem.column}: "
        raise InvalidArgument(where.lstrip(":") + e.problem.message, e.problem.hint) from e
    if not documents:
        raise InvalidArgument(
            f"{_prefix(source, 0)}there is no spec in it", "docs/ingest.md shows small ones"
        )
    found: dict[Ingest, tuple[Spec, int]] = {}
    for document in documents:
        try:
            spec = _one(document.node, default_project)
            if spec.ingest in found:
                first = found[spec.ingest][1]
                raise InvalidArgument(
                    f"ingest {spec.ingest} is here twice, first on line {first}",
                    "rename one of them",
                )
        except InvalidArgument as e:
            raise InvalidArgument(
                _prefix(source, _line(document, e.message)) + e.message, e.hint
            ) from e
        found[spec.ingest] = (spec, document.node.line)
    return [spec for spec, _ in found.values()]


def examine(
    text: str, *, default_project: str = DEFAULT_PROJECT
) -> tuple[list[Spec], list[Problem]]:
    """The specs of a text that are right, and what is wrong with the others: of each the first
    thing, where it stands."""
    try:
        documents = read(text)
    except Unreadable as e:
        return [], [e.problem]
    if not documents:
        hint = "docs/ingest.md shows small ones"
        return [], [Problem(1, 1, "", "there is no spec in it", hint)]
    found: dict[Ingest, Spec] = {}
    wrong: list[Problem] = []
    for number, document in enumerate(documents, 1):
        try:
            spec = _one(document.node, default_project)
            if spec.ingest in found:
                raise InvalidArgument(f"name: {spec.ingest} is here twice", "rename one of them")
        except InvalidArgument as e:
            path, colon, message = e.message.partition(": ")
            if not colon or not _PATH.fullmatch(path):
                path, message = "", e.message
            at = place(document.node, path)
            wrong.append(Problem(*at, path, message, e.hint, document=number))
            continue
        found[spec.ingest] = spec
        for text in spec.warnings:
            path, _, message = text.partition(": ")[2].partition(" ")
            field = f"{spec.kind.value}.{path}"
            at = place(document.node, field)
            wrong.append(Problem(*at, field, message, level="warn", document=number))
    return list(found.values()), wrong


def place(node: Node, path: str) -> tuple[int, int]:
    """The line and column of a field: of its value when that is a plain one beside its name, else
    of its name; of what it would be in when it is not there."""
    at = node.line, node.column
    for name in re.findall(r"[^.\[\]]+", path):
        if isinstance(node.value, tuple) and name.isdigit() and int(name) < len(node.value):
            node = node.value[int(name)]
            at = node.line, node.column
            continue
        member = node.value.get(name) if isinstance(node.value, dict) else None
        if member is None:
            break
        node, at = member.node, (member.line, member.column)
        if node.line == at[0] and not isinstance(node.value, (dict, tuple, type(None))):
            at = node.line, node.column
    return at


def _one(document: Node, default_project: str) -> Spec:
    given = Values(plain(document))
    named = given.inside("ingest")
    short, name = given.text("name"), named.text("name")
    if short and name and short != name:
        given.wrong("name", f"{short!r} and ingest.name {name!r} are two names", "keep one")
    project = named.text("project") or default_project
    named.done()
    if not (short or name):
        given.wrong("name", "missing", 'give the source a name: "name": "drops"')
    ingest = Ingest(check_name("project", project), check_name("ingest", name or short))
    if len(ingest.name) > _LONGEST_NAME:
        given.wrong("name", f"{len(ingest.name)} characters are too many",
                    f"use at most {_LONGEST_NAME}")  # fmt: skip
    description = given.text("description")
    to = _target(given, ingest)
    kind = _kind(given)
    values, warnings = _part(given, kind)
    given.done()
    canonical = {
        "ingest": {"name": ingest.name, "project": ingest.project},
        "description": description,
        "to": f"{to.repo.name if to.repo.project == ingest.project else to.repo.full}@{to.name}",
        kind.value: values,
    }
    return Spec(ingest, kind, to, canonical, tuple(f"{ingest}: {text}" for text in warnings))


def _target(given: Values, ingest: Ingest) -> Branch:
    """The branch to write to; a repo without a project is one of the source's."""
    hint = 'name the branch that data goes to: "to": "raw@master"'
    text = given.required("to", hint)
    try:
        to = parse_branch_ref(text, ingest.project)
    except InvalidArgument as e:
        given.wrong("to", e.message, e.hint or hint)
    if to.repo.type != USER:
        given.wrong("to", f"{to.repo} is a system repo", "name a repo of yours")
    if is_commit_id(to.name):
        given.wrong("to", f"{to.name} is a commit, not a branch", hint)
    if to.name == DEAD_LETTERS:
        given.wrong("to", f"{to} is for what cannot be taken", "name another branch")
    return to


def _kind(given: Values) -> IngestKind:
    found = [kind for kind in KINDS if kind.value in given]
    names = ", ".join(kind.value for kind in KINDS)
    if not found:
        _unknown(given)
        given.wrong("", f"none of {names} is there", "say where data comes from by one of them")
    if len(found) > 1:
        given.wrong(found[1].value, f"{found[0].value} is there too", "make a source of each")
    return found[0]


def _unknown(given: Values) -> None:
    """A misspelt kind is an unknown field rather than a missing kind."""
    for kind in KINDS:
        given.take(kind.value)
    given.done()


def _part(given: Values, kind: IngestKind) -> tuple[dict[str, Any], list[str]]:
    part = given.take(kind.value)
    if not isinstance(part, Mapping):
        given.inside(kind.value)  # says what is wrong
    try:
        return KINDS[kind](part)
    except InvalidArgument as e:
        raise InvalidArgument(f"{kind.value}.{e.message}", e.hint) from e


def _line(document: Document, message: str) -> int:
    """The line of the field that a message begins with, or of what it would be in."""
    node = document.node
    line = node.line
    for part in message.partition(":")[0].split("."):
        member = node.value.get(part) if isinstance(node.value, dict) else None
        if member is None:
            break
        node, line = member.node, member.line or line
    return line


def _where(source: str, line: int) -> str:
    return f"{source}:{line}" if line else source


def _prefix(source: str, line: int) -> str:
    where = _where(source, line)
    return f"{where.lstrip(':')}: " if where else ""
