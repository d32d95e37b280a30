"""``transform.build`` on the command line: source directories become build pipelines."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from pachybox.cli.app import App
from pachybox.cli.command import Args
from pachybox.cli.documents import documents
from pachybox.cli.output import note
from pachybox.cli.spec_source import SpecText

_WORD = re.compile(r"\bbuild\b")


def expanded(app: App, args: Args, given: list[SpecText], *, update: bool) -> list[SpecText]:
    """The specs with those that have ``transform.build`` rewritten, their source uploaded and
    the pipelines that build it made. What needs nothing beyond its new source is left out.

    Raises what the box has against any of the specs before anything is made.
    """
    if not any(_WORD.search(one.text) for one in given):
        return given
    from pachybox.client.build_pipelines import Builds, prepare, unchanged
    from pachybox.client.build_plan import Plan, asks

    read = [documents(one.text) or [] for one in given]
    asked = [
        {n: spec for n, spec in enumerate(specs) if isinstance(spec, dict) and asks(spec)}
        for specs in read
    ]
    if not any(asked):
        return given
    runner, reprocess = args.runner or "", getattr(args, "reprocess", False)
    box = app.box(Builds)
    first, *more = given
    box.create_pipelines(
        first.text, source=first.source, update=update, dry_run=True, runner=runner,
        more=[(one.text, one.source) for one in more],
    )  # fmt: skip
    plans = [
        {n: Plan.of(spec, one.folder, runner=runner) for n, spec in specs.items()}
        for one, specs in zip(given, asked, strict=True)
    ]
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
