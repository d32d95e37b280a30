"""What the runner of Pods is told of a pipeline, beside what every runner is (WorkerSpec.pod)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pachybox.model.pps import PipelineRecord
from pachybox.pps import ports
from pachybox.pps.limits import limits
from pachybox.pps.runners.base import Transform, WorkerSpec
from pachybox.pps.runners.pods.placing import service_type
from pachybox.pps.secrets import Secrets, pull_secrets
from pachybox.pps.spec import Spec

FIELDS = (
    "resource_requests",
    "resource_limits",
    "scheduling_spec",
    "tolerations",
    "pod_spec",
    "pod_patch",
)
"""The fields of a spec that say how its Pods are made; see runners.pods.placing."""


def told(pipeline: PipelineRecord, secrets: Secrets) -> dict[str, Any]:
    """Whose Pods they are, ``spec``: the fields that make them, and ``logins``: by the name of
    each pull secret that is one of the box's, what it holds (a ``.dockerconfigjson``).

    Raises what Secrets.pulls raises.
    """
    return {
        "project": pipeline.pipeline.project,
        "pipeline": pipeline.pipeline.name,
        "version": pipeline.version,
        "spec_commit": pipeline.spec_commit,
        "spec": of_spec(pipeline.spec),
        "logins": secrets.pulls(pipeline.spec),
    }


def draft(spec: Spec) -> WorkerSpec:
    """A worker of a pipeline that is not made yet, as far as it tells what its Pods are."""
    transform = spec.canonical["transform"]
    return WorkerSpec(
        pipeline=str(spec.pipeline),
        transform=Transform(tuple(transform.get("cmd") or ()), user=transform.get("user") or ""),
        work_dir=Path("/"),
        limits=limits(spec.canonical.get("resource_limits") or {}),
        image=spec.image,
        pod={
            "project": spec.pipeline.project,
            "pipeline": spec.pipeline.name,
            "spec": of_spec(spec.canonical),
        },
    )


def said_by(spec: Mapping[str, Any]) -> str:
    """The field that most likely says what a cluster does not take; "" when none is there."""
    likely = ("pod_patch", "pod_spec", "scheduling_spec", "tolerations", "resource_requests")
    return next((name for name in likely if spec.get(name)), "")


def of_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The FIELDS that a canonical spec has, ``service``, its own or its spout's with its type,
    and ``image_pull_secrets``: those that are no secrets of the box are Secrets of the cluster."""
    made = {name: spec[name] for name in FIELDS if spec.get(name)}
    if service := ports.published(spec):
        made["service"] = {**service, "type": service_type(service)}
    if pulls := pull_secrets(spec):
        made["image_pull_secrets"] = pulls
    return made
