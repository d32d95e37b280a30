"""Rules of a spout: a program that brings data in has no jobs, so nothing about jobs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pachybox.errors import PachyboxError
from pachybox.model.paths import clean
from pachybox.pps.spec.shape import Shape

_OF_JOBS = (
    ("input", "a spout has no input: it brings data in", "remove it, or spout"),
    ("service", "a spout's service is spout.service", "move it there"),
    ("s3_out", "a spout writes to /pfs/out or by the API", "remove it"),
    ("egress", "a spout has no jobs to egress after", "give it to a pipeline that reads the spout"),
    ("autoscaling", "a spout always runs", "remove it"),
    ("standby", "a spout always runs", "remove it"),
    ("enable_stats", "a spout has no datums, and so no statistics", "remove it"),
)
_IDLE = ("datum_timeout", "job_timeout", "datum_tries", "chunk_spec", "datum_set_spec")
_OF_DATUMS = ("build", "datum_batching", "err_cmd", "err_stdin")


def check_spout(shape: Shape, values: Mapping[str, Any], spout: Mapping[str, Any]) -> None:
    """Note what a spout cannot have, and what is wrong with its marker."""
    for path, message, hint in _OF_JOBS:
        if values.get(path):
            shape.problem(path, message, hint)
    for name in _IDLE:
        if values.get(name):
            shape.warn(name, "has no effect: a spout has neither jobs nor datums")
    transform = values.get("transform") or {}
    for name in _OF_DATUMS:
        if transform.get(name):
            shape.problem(f"transform.{name}", "has no meaning for a spout", "remove it")
    if marker := spout.get("marker"):
        _check_marker(shape, marker)


def _check_marker(shape: Shape, marker: str) -> None:
    path, hint = "spout.marker", "give a name like state"
    try:
        clean(f"/{marker}")
    except PachyboxError as e:
        shape.problem(path, e.message, e.hint)
        return
    if marker == "out":
        shape.problem(path, "the name out is that of the pipe /pfs/out", hint)
    elif "/" in marker or marker in (".", ".."):
        shape.problem(path, f"{marker!r} is not the name of a file", hint)
