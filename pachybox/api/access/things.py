"""What a message is about: the repos, pipelines and sources it names, however deep.

Messages are walked, so that a new field or a new method is seen like the old ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pachybox.model.ids import DEFAULT_PROJECT, USER

UNKNOWN = "?"
"""What a job is called that is named without its pipeline."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing by its name. ``kind``: repo, pipeline, ingest, project, and for the audit
    log token, secret; ``type`` is a repo's."""

    kind: str
    project: str
    name: str
    type: str = USER

    def __str__(self) -> str:
        alone = self.kind == "project" or self.project == DEFAULT_PROJECT
        where = "" if alone else f"{self.project}/"
        end = "" if self.type == USER else f".{self.type}"
        return f"{self.kind}:{where}{self.name}{end}"


def _repo(m: Any) -> Iterator[Thing]:
    if m.name:
        yield Thing("repo", m.project.name or DEFAULT_PROJECT, m.name, m.type or USER)


def _pipeline(m: Any) -> Iterator[Thing]:
    if m.name:
        yield Thing("pipeline", m.project.name or DEFAULT_PROJECT, m.name)


def _job(m: Any) -> Iterator[Thing]:
    if m.pipeline.name:
        yield from _pipeline(m.pipeline)
    elif m.id:
        yield Thing("pipeline", UNKNOWN, UNKNOWN)


def _pfs_input(m: Any) -> Iterator[Thing]:
    yield Thing("repo", m.project or DEFAULT_PROJECT, m.repo or UNKNOWN, m.repo_type or USER)


def _cron_input(m: Any) -> Iterator[Thing]:
    if m.repo:
        yield Thing("repo", m.project or DEFAULT_PROJECT, m.repo)


def _ingest(m: Any) -> Iterator[Thing]:
    yield Thing("ingest", m.project or DEFAULT_PROJECT, m.name)


def _project(m: Any) -> Iterator[Thing]:
    name = m.name or DEFAULT_PROJECT
    yield Thing("project", name, name)


NAMES: dict[str, Callable[[Any], Iterator[Thing]]] = {
    "pfs_v2.Project": _project,
    "pfs_v2.Repo": _repo,
    "pfs_v2.RepoPickerRepoName": _repo,
    "pps_v2.Pipeline": _pipeline,
    "pps_v2.PipelinePickerPipelineName": _pipeline,
    "pps_v2.Job": _job,
    "pps_v2.PfsInput": _pfs_input,
    "pps_v2.CronInput": _cron_input,
    "pachybox.v1.Ingest": _ingest,
}
"""Messages that are names of things, and how to read them."""


def named(message: Any) -> Iterator[Thing]:
    """Everything that ``message`` names."""
    if (read := NAMES.get(message.DESCRIPTOR.full_name)) is not None:
        yield from read(message)
        return
    for below in inner(message):
        yield from named(below)


def inner(message: Any) -> Iterator[Any]:
    """The messages directly in ``message``, those of lists and maps too."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                yield from value.values()
        elif field.is_repeated:
            yield from value
        else:
            yield value
