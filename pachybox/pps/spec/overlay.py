"""Spec defaults: laid under a spec before it is read. Pure.

A merge as RFC 7396 has it: objects are merged name by name, anything else is replaced, and
``null`` takes a default away. A field is one whatever its spelling.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from pachybox.errors import InvalidArgument
from pachybox.pps.spec.documents import (
    Document,
    Member,
    Node,
    Unreadable,
    of_plain,
    plain,
    read,
)
from pachybox.pps.spec.fields import Kind, children
from pachybox.pps.spec.shape import Shape

DefaultsOf: TypeAlias = Callable[[str], Node | None]
"""The defaults of a project by its name; None when there are none."""

_WRAPPERS = ("create_pipeline_request", "createPipelineRequest")


def no_defaults(_project: str) -> None:
    """The DefaultsOf of specs that stand alone."""


def read_defaults(text: str, source: str) -> Node:
    """The defaults in a text, JSON of ``{"create_pipeline_request": {...}}``: an object of a
    spec's fields, any of them. Raises InvalidArgument with what is wrong and where."""
    try:
        documents = read(text)
    except Unreadable as e:
        where = f"{source}:{e.problem.line}:{e.problem.column}"
        raise InvalidArgument(f"{where}: {e.problem.message}", e.problem.hint) from e
    hint = 'write {"create_pipeline_request": {"datum_tries": 1}}'
    # kept as it is and given out as JSON, so not YAML
    one = len(documents) == 1 and text.lstrip()[:1] == "{"
    if not one or not isinstance(documents[0].node.value, dict):
        raise InvalidArgument(f"{source}: expected one JSON object", hint)
    members = documents[0].node.value
    for name in members:
        if name not in _WRAPPERS:
            raise InvalidArgument(f"{source}: {name[:60]}: unknown field", hint)
    if len(members) > 1:
        raise InvalidArgument(f"{source}: {_WRAPPERS[0]} is given twice", "keep one")
    found = next((member.node for member in members.values()), Node({}))
    if found.value is None:
        found = Node({}, found.line, found.column)
    shape = Shape(found)
    shape.read()
    if shape.problems:
        wrong = shape.problems[0]
        where = f"{source}:{wrong.line}: {wrong.path}" if wrong.path else source
        raise InvalidArgument(f"{where}: {wrong.message}", wrong.hint)
    return found


def laid_under(document: Document, default_project: str, defaults: DefaultsOf) -> Document:
    """The document with its project's defaults where it says nothing; its text stays."""
    if defaults is no_defaults or not isinstance(document.node.value, dict):
        return document
    found = defaults(_project_of(document.node) or default_project)
    under = of_plain(plain(found)) if found else Node({})  # where it stands in another text
    return replace(document, node=merged(under, document.node))


def merged(under: Node, over: Node, table: str = "") -> Node:
    """``over`` laid on ``under``, both objects of the part of the field table named."""
    assert isinstance(under.value, dict)
    assert isinstance(over.value, dict)
    known = children(table)

    def own(name: str) -> str:
        return known[name].name if name in known else name

    members = {own(name): member for name, member in under.value.items()}
    given: set[str] = set()
    for name, member in over.value.items():
        key = own(name)
        if key in given:  # given twice: it is for the reader to say so
            members[name] = member
            continue
        given.add(key)
        field = known.get(name)
        nested = field is None or field.kind in (Kind.OBJECT, Kind.MAP)
        if nested and isinstance(member.node.value, dict):
            below = members.get(key)
            under = below.node if below and isinstance(below.node.value, dict) else Node({})
            node = merged(under, member.node, field.path if field else "?")
            member = Member(node, member.line, member.column)
        members[key] = member
    if not known:  # names of the user's own, such as variables: null is no value of theirs
        members = {
            name: member for name, member in members.items() if member.node.value is not None
        }
    return Node(members, over.line, over.column)


def _project_of(node: Node) -> str:
    """The project that a spec names; empty when it names none."""
    for name in ("pipeline", "project", "name"):
        if not isinstance(node.value, dict) or name not in node.value:
            return ""
        node = node.value[name].node
    return node.value if isinstance(node.value, str) else ""
