"""Minimal; the helper's version wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def resources(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The ``resources`` of a container."""
    limits = spec.get("resource_limits") or {}
    made = {k: str(limits[k]) for k in ("cpu", "memory") if limits.get(k)}
    return {"limits": made, "requests": dict(made)} if made else {}


def scheduling(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a spec says of nodes, as fields of a Pod's spec."""
    return {}


def patched(pod_spec: dict[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    """``pod_spec`` with the pipeline's own changes. Raises InvalidArgument."""
    return pod_spec
