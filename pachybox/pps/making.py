"""Creating and updating a pipeline within a change: what every way to do so has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pachybox.errors import InvalidArgument, NotFound, Refused
from pachybox.meta.tables import PIPELINES
from pachybox.model.ids import Pipeline
from pachybox.pfs import commits
from pachybox.pfs.change import Change
from pachybox.pps import pipelines, ports, sources
from pachybox.pps.egress import target
from pachybox.pps.machine import check_machine
from pachybox.pps.placement import KUBERNETES, PODMAN
from pachybox.pps.secrets import check as check_secrets
from pachybox.pps.spec import Spec


@dataclass(frozen=True, slots=True)
class Made:
    """What a create or update did to one pipeline."""

    pipeline: Pipeline
    version: int
    created: bool
    spec: dict[str, Any]


def make(
    ch: Change, spec: Spec, *, update: bool = False, reprocess: bool = False, dry: bool = False
) -> Made:
    """Create or update one pipeline from a checked spec.

    Refused when the machine lacks what it needs, a secret it names does not exist, its egress
    goes nowhere, another service has its port, or (unless ``dry``: all is then undone) its
    source was not built.
    """
    if not dry:
        _no_source(spec)
    old = ch.tx.get(PIPELINES, spec.pipeline)
    if spec.runner != KUBERNETES:  # there, the cluster says what it has
        check_machine(spec.pipeline, spec.canonical)
    try:
        check_secrets(ch.tx, spec.canonical, pulls=spec.runner == PODMAN)
    except NotFound as e:  # many may be made or moved at once
        raise NotFound(f"pipeline {spec.pipeline}: {e.message}", e.hint).about(e.field) from None
    target.of_spec(spec.canonical)
    ports.check(spec.pipeline, spec.canonical, spec.runner, ch.tx.all(PIPELINES))
    record = pipelines.put_pipeline(
        ch,
        spec.pipeline,
        spec.canonical,
        spec.user_text,
        update=update or spec.update,
        reprocess=reprocess or spec.reprocess,
        runner=spec.runner,
        image_pin=spec.image_pin,
    )
    if spec.heads:
        own = {cron.branch for cron in sources.crons(record.spec)}
        inputs = sources.of(ch, spec.pipeline, record.spec).inputs
        commits.give_heads(ch, [b for b in inputs if b not in own])
    return Made(spec.pipeline, record.version, old is None, dict(record.spec))


def require_version(ch: Change, pipeline: Pipeline, version: int) -> None:
    """Raise Refused unless a pipeline is at a version: what is to change it was written then."""
    old = ch.tx.get(PIPELINES, pipeline)
    if old is None:
        raise Refused(
            f"pipeline {pipeline} is not there, and the change is one of its version {version}",
            "it was deleted: create it anew",
        )
    if old.version != version:
        raise Refused(
            f"pipeline {pipeline} is at version {old.version}, and the change is one of its "
            f"version {version}: somebody else changed it meanwhile",
            "take the newest spec and make the change again",
        )


def _no_source(spec: Spec) -> None:
    """Refuse a spec whose source lies where the client is."""
    if "build" in spec.canonical["transform"]:
        raise InvalidArgument(
            f"pipeline {spec.pipeline} has its source in a directory of the client's "
            "(transform.build), and came here without it",
            'send it by "pachybox create pipeline -f SPEC" or "update pipeline", or from Python '
            "by Client.build_pipeline",
        )


def no_dry_run(spec: Spec) -> None:
    """Refuse a spec that asks to be checked only, where it would be made."""
    if spec.dry_run:
        raise InvalidArgument(
            f"the spec of {spec.pipeline} asks for a dry run, which cannot be part of a "
            "transaction",
            "remove dry_run",
        )
