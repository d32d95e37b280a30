"""User metadata of what has no record of its own to keep it in: pipelines, and the box."""

from __future__ import annotations

import json

from pachybox.errors import NotFound
from pachybox.meta.tables import FACTS, PIPELINES
from pachybox.model.ids import Pipeline
from pachybox.pfs.change import Change, View
from pachybox.pfs.metadata import Edit

_BOX = "metadata"


def of_box(view: View) -> dict[str, str]:
    """The box's own."""
    return _read(view, _BOX)


def of_pipeline(view: View, pipeline: Pipeline) -> dict[str, str]:
    """A pipeline's; it lasts as long as the pipeline does."""
    return _read(view, key(pipeline))


def edit_box(ch: Change, change: Edit) -> None:
    """Replace the box's metadata by ``change`` of it."""
    _write(ch, _BOX, change(of_box(ch.tx)))


def edit_pipeline(ch: Change, pipeline: Pipeline, change: Edit) -> None:
    """Replace a pipeline's metadata by ``change`` of it. Raises NotFound."""
    if ch.tx.get(PIPELINES, pipeline) is None:
        raise NotFound(f'pipeline "{pipeline}" not found', "list pipeline shows what there is")
    _write(ch, key(pipeline), change(of_pipeline(ch.tx, pipeline)))


def key(pipeline: Pipeline) -> str:
    """The name of the fact."""
    return f"metadata of pipeline {pipeline.project}/{pipeline.name}"


def _read(view: View, name: str) -> dict[str, str]:
    found = view.get(FACTS, name)
    values: dict[str, str] = json.loads(found[1]) if found else {}
    return values


def _write(ch: Change, name: str, values: dict[str, str]) -> None:
    if values:
        ch.tx.put(FACTS, (name, json.dumps(values, sort_keys=True)))
    else:
        ch.tx.remove(FACTS, name)
