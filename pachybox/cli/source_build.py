"""``transform.build`` on the command line: source directories become build pipelines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pachybox.cli.app import App
from pachybox.cli.command import Args
from pachybox.cli.output import note
from pachybox.cli.spec_source import SpecText
from pachybox.client.values import Json

_WORD = re.compile(r"\bbuild\b")
_PLAIN = (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
)


def expanded(app: App, args: Args, given: list[SpecText], *, update: bool) -> list[SpecText]:
    """The specs with those that have ``transform.build`` rewritten, their source uploaded and
    the pipelines that build it made. What needs nothing beyond its new source is left out.

    Raises what the box has against any of the specs before anything is made.
    """
    if not any(_WORD.search(one.text) for one in given):
        return given
    from pachybox.client.build_pipelines import Builds, prepare, unchanged
    from pachybox.client.build_plan import Plan, asks

    runner, reprocess = args.runner or "", getattr(args, "reprocess", False)
    plans: list[dict[int, Plan]] = []
    read = [_documents(one.text) for one in given]
    for one, documents in zip(given, read, strict=True):
        plans.append(
            {
                number: Plan.of(document, one.folder, runner=runner)
                for number, document in enumerate(documents)
                if asks(document)
            }
        )
    if not any(plans):
        return given
    box = app.box(Builds)
    first, *more = given
    box.create_pipelines(
        first.text, source=first.source, update=update, dry_run=True, runner=runner,
        more=[(one.text, one.source) for one in more],
    )  # fmt: skip
    left: list[SpecText] = []
    for one, documents, planned in zip(given, read, plans, strict=True):
        if not planned:
            left.append(one)
            continue
        for number, plan in planned.items():
            commit = prepare(box, plan, update=update, reprocess=reprocess, runner=runner)
            if commit:
                note(f"{plan.pipeline}: source uploaded as {plan.repo}@{commit}")
            documents[number] = plan.document
            if commit and update and not reprocess and not runner and unchanged(box, plan):
                documents[number] = {}
        if kept := [document for document in documents if document]:
            left.append(replace(one, text=json.dumps(kept)))
    return left


def _documents(text: str) -> list[Json]:
    """The specs of a text as far as they can be read here; the box has the last word."""
    try:
        found = list(_json(text))
    except ValueError:
        found = _yaml(text)
    flat = [one for item in found for one in (item if isinstance(item, list) else [item])]
    return [one for one in flat if isinstance(one, dict)]


def _json(text: str) -> Iterator[Any]:
    """JSON values one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value


def _yaml(text: str) -> list[Any]:
    """YAML documents as the box reads them: plain scalars of YAML 1.2, so that no date, no "yes"
    and no "010" becomes something else. None when it is no YAML."""
    import yaml

    class Plain(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # filled below

    for kind, pattern, first in _PLAIN:
        tag = f"tag:yaml.org,2002:{kind}"
        Plain.add_implicit_resolver(tag, re.compile(rf"(?:{pattern})\Z", re.ASCII), list(first))
    Plain.add_constructor("tag:yaml.org,2002:int", lambda _loader, node: int(node.value))
    try:
        return list(yaml.load_all(text, Plain))  # a SafeLoader
    except yaml.YAMLError:
        return []
