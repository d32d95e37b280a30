"""``transform.build`` on the command line: source directories become build pipelines."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pachybox.cli.app import App
from pachybox.cli.command import Args
from pachybox.cli.documents import documents
from pachybox.cli.output import note
from pachybox.cli.spec_source import SpecText
from pachybox.client.values import Json
from pachybox.errors import InvalidArgument

if TYPE_CHECKING:
    from pachybox.client.build_plan import Plan

_WORD = re.compile(r"\bbuild\b")


def expanded(app: App, args: Args, given: list[SpecText], *, update: bool) -> list[SpecText]:
    """The specs with those that have ``transform.build`` rewritten, their source uploaded and
    the pipelines that build it made. What needs nothing beyond its new source is left out. With
    --dry-run the specs as they are, when all could be done.

    Raises what the box has against any of the specs before anything is made.
    """
    read, asked = _read(given)
    if not any(asked):
        return given
    from pachybox.client.build_pipelines import Builds, prepare, unchanged

    runner, reprocess = args.runner or "", getattr(args, "reprocess", False)
    box = app.box(Builds)
    first, *more = given
    box.create_pipelines(
        first.text, source=first.source, update=update, dry_run=True, runner=runner,
        more=[(one.text, one.source) for one in more],
    )  # fmt: skip
    plans = [
        {n: _plan(one, spec, runner) for n, spec in specs.items()}
        for one, specs in zip(given, asked, strict=True)
    ]
    if getattr(args, "dry_run", False):
        return given
    left: list[SpecText] = []
    for one, specs, planned in zip(given, read, plans, strict=True):
        if not planned:
            left.append(one)
            continue
        for number, plan in planned.items():
            commit = prepare(box, plan, update=update, reprocess=reprocess, runner=runner)
            if commit:
                note(f"{plan.pipeline}: source uploaded as {plan.repo}@{commit}")
            specs[number] = plan.document
            if commit and update and not reprocess and not runner and unchanged(box, plan):
                specs[number] = {}
        if kept := [document for document in specs if document]:
            left.append(replace(one, text=json.dumps(kept)))
    return left


def problems(given: list[SpecText], runner: str = "") -> list[str]:
    """What is wrong with the source of specs that are right in themselves."""
    found = []
    for one, specs in zip(given, _read(given)[1], strict=True):
        for spec in specs.values():
            try:
                _plan(one, spec, runner)
            except InvalidArgument as e:
                found.append(str(e))
    return found


def _plan(one: SpecText, spec: Json, runner: str) -> Plan:
    """Raises InvalidArgument naming the text."""
    from pachybox.client.build_plan import Plan

    try:
        return Plan.of(spec, one.folder, runner=runner)
    except InvalidArgument as e:
        raise InvalidArgument(f"{one.source}: {e.message}", e.hint) from e


def _read(given: list[SpecText]) -> tuple[list[list[Any]], list[dict[int, Json]]]:
    """The specs of every text, and by their place those that have ``transform.build``."""
    if not any(_WORD.search(one.text) for one in given):
        return [], [{} for _ in given]
    from pachybox.client.build_plan import asks

    read = [documents(one.text) or [] for one in given]
    return read, [
        {n: spec for n, spec in enumerate(specs) if isinstance(spec, dict) and asks(spec)}
        for specs in read
    ]
