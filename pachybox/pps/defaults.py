"""Spec defaults of the box and of projects: kept verbatim, laid under specs as they are made.

The effective spec is the built-in defaults, the box's, the project's and the user's spec, each
laid on the one before. Pipelines that are there change only when they are regenerated.
"""

from __future__ import annotations

from collections.abc import Callable

from pachybox.errors import InvalidArgument
from pachybox.meta.tables import DEFAULTS, PIPELINES, DefaultsRecord
from pachybox.model.pps import PipelineRecord
from pachybox.pfs.change import Change, View
from pachybox.pfs.repos import require_project
from pachybox.pps.making import Made, make
from pachybox.pps.moving import runner_of
from pachybox.pps.spec import DefaultsOf, Spec, load, merged, read_defaults
from pachybox.pps.spec.documents import Node

BOX = ""
"""The project name that stands for the whole box."""

NOTHING = "{}"


def of(view: View) -> DefaultsOf:
    """What is to be laid under the specs of a project, as ``view`` has it."""

    def find(project: str) -> Node | None:
        found: Node | None = None
        for name in (BOX, project):
            record = view.get(DEFAULTS, name)
            if record is not None:
                node = read_defaults(record.text, _called(name))
                found = node if found is None else merged(found, node)
        return found

    return find


def get(view: View, project: str) -> DefaultsRecord | None:
    """The defaults of a project, or of the box (``BOX``); None when none were set.

    Raises NotFound when there is no such project.
    """
    if project != BOX:
        require_project(view, project)
    return view.get(DEFAULTS, project)


def put(
    ch: Change,
    project: str,
    text: str,
    *,
    regenerate: bool,
    reprocess: bool,
    place: Callable[[Spec, str], Spec],
) -> list[Made]:
    """Set defaults. With ``regenerate`` every pipeline whose effective spec they change is
    updated (with ``reprocess``: and runs all its datums again); returns those.

    ``place`` gives a spec its runner, and may refuse it. Raises InvalidArgument when the text, or
    a spec that it makes, is wrong, NotFound when there is no such project.
    """
    if reprocess and not regenerate:
        raise InvalidArgument(
            "reprocess without regenerate: no pipeline would change", "set regenerate too"
        )
    if project != BOX:
        require_project(ch.tx, project)
    read_defaults(text, _called(project))
    ch.tx.put(DEFAULTS, DefaultsRecord(project, text, ch.now))
    ch.tx.event("defaults.set", project=project)
    if not regenerate:
        return []
    made = []
    for record in sorted(ch.tx.all(PIPELINES), key=lambda p: (p.created, p.pipeline)):
        if project not in (BOX, record.pipeline.project):
            continue
        spec = _renewed(ch, record)
        now = {k: v for k, v in record.spec.items() if k != "salt"}
        if {k: v for k, v in spec.canonical.items() if k != "salt"} != now:
            # it stays where it runs: one that was to run without its image still is
            stays = spec.image and record.spec["transform"].get("image")
            placed = place(spec, runner_of(record) if stays else "")
            made.append(make(ch, placed, update=True, reprocess=reprocess))
    return made


def clear(ch: Change) -> None:
    """Forget the defaults of the box and of all projects."""
    for record in ch.tx.all(DEFAULTS):
        ch.tx.remove(DEFAULTS, record.project)


def _renewed(ch: Change, record: PipelineRecord) -> Spec:
    """The spec of a pipeline as its user's text makes it now."""
    where = record.pipeline
    specs = load(
        record.user_spec, f"pipeline {where}", default_project=where.project, defaults=of(ch.tx)
    )
    return specs[0]


def _called(project: str) -> str:
    return f"the defaults of project {project}" if project != BOX else "the defaults of the box"
