"""Rules of what only a cluster makes use of: its own, told when a spec is read. Pure.

They hold whatever runs the pipeline: a spec is to go to a cluster as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pachybox.model.ids import Pipeline
from pachybox.model.units import parse_quantity
from pachybox.pps.spec.shape import Shape

Values = Mapping[str, Any]

_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS = re.compile(rf"(?=.{{1,253}}\Z){_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")

_OPERATIONS = {
    "add": ("value",),
    "remove": (),
    "replace": ("value",),
    "move": ("from",),
    "copy": ("from",),
    "test": ("value",),
}
"""Those of RFC 6902, and what each has beside its path."""


def is_qualified(name: str) -> bool:
    """Whether labels, taints and resources can have that name: ``disk``, ``example.com/disk``."""
    prefix, slash, word = name.rpartition("/")
    return bool(_WORD.fullmatch(word)) and (not slash or bool(_DNS.fullmatch(prefix)))


def check_cluster(shape: Shape, values: Values, pipeline: Pipeline) -> None:
    """Note what no cluster would take."""
    _requests(shape, values)
    _scheduling(shape, values.get("scheduling_spec") or {})
    for number, one in enumerate(values.get("tolerations") or ()):
        _toleration(shape, f"tolerations[{number}]", one)
    _patches(shape, values)


def _requests(shape: Shape, values: Values) -> None:
    limits = values.get("resource_limits") or {}
    requests = values.get("resource_requests") or {}
    for name in ("cpu", "memory", "disk"):
        path = f"resource_requests.{name}"
        asked, most = (parse_quantity(str(one.get(name) or 0)) for one in (requests, limits))
        if asked < 0:
            shape.problem(path, "may not be negative", "leave it out")
        if 0 < most < asked:
            shape.problem(
                path,
                f"{requests[name]} is more than resource_limits.{name} ({limits[name]})",
                "ask for as much as the limit, or for less",
            )
    if parse_quantity(limits.get("disk") or "0") < 0:
        shape.problem("resource_limits.disk", "may not be negative", 'write it like "10G"')
    if (requests.get("gpu") or {}).get("number", 0) < 0:
        shape.problem("resource_requests.gpu.number", "may not be negative", "leave it out")


def _scheduling(shape: Shape, wanted: Values) -> None:
    name = wanted.get("priority_class_name")
    if name and not _DNS.fullmatch(name):
        shape.problem(
            "scheduling_spec.priority_class_name",
            f"{name!r} cannot be the name of a priority class",
            "use small letters, digits, dashes and dots",
        )
    for key, value in (wanted.get("node_selector") or {}).items():
        _label(shape, "scheduling_spec.node_selector", key, value)


def _label(shape: Shape, path: str, key: str, value: str) -> None:
    if not is_qualified(key):
        shape.problem(
            path,
            f"{key!r} cannot be the name of a label or taint",
            'write it like "disk" or "example.com/disk", at most 63 characters after the slash',
        )
    if value and not _WORD.fullmatch(value):
        shape.problem(
            path,
            f"{value!r} cannot be the value of a label or taint",
            "use letters, digits, dashes, dots and underscores, 63 at most",
        )


def _toleration(shape: Shape, path: str, given: Values) -> None:
    exists = given.get("operator") == "EXISTS"
    if given.get("key"):
        _label(shape, f"{path}.key", given["key"], "")
    elif not exists:
        hint = 'name a taint, or set operator to "EXISTS" to tolerate all'
        shape.missing(f"{path}.key", "missing", hint)
    if exists and given.get("value"):
        shape.problem(
            f"{path}.value", "EXISTS looks at no value", 'remove it, or set operator to "EQUAL"'
        )
    elif given.get("value"):
        _label(shape, f"{path}.value", "value", given["value"])
    if given.get("toleration_seconds") is not None and given.get("effect") != "NO_EXECUTE":
        shape.problem(
            f"{path}.toleration_seconds",
            "only NO_EXECUTE ends a Pod after a while",
            'remove it, or set effect to "NO_EXECUTE"',
        )


# ---- patches


def named(number: int, operation: Any) -> str:
    """An operation of ``pod_patch`` as errors call it."""
    words = []
    if isinstance(operation, dict):
        words = [str(operation[name]) for name in ("op", "path") if name in operation]
    return f"operation {number}" + (f" {' '.join(words)[:100]!r}" if words else "")


def _patches(shape: Shape, values: Values) -> None:
    merge = json.loads(values.get("pod_spec") or "null")
    if not isinstance(merge, dict | None):
        hint = "write what the Pod is to have, as the JSON of " + '{"hostname": "worker"}'
        shape.problem("pod_spec", "a merge patch is an object", hint)
    patch = json.loads(values.get("pod_patch") or "null")
    example = '[{"op": "add", "path": "/hostname", "value": "worker"}]'
    hint = f"write the JSON of a list like {example}"
    if not isinstance(patch, list | None):
        shape.problem("pod_patch", "a patch is a list of operations", hint)
        return
    for number, operation in enumerate(patch or ()):
        for wrong in _malformed(operation):
            shape.problem("pod_patch", f"{named(number, operation)}: {wrong}", hint)


def _malformed(operation: Any) -> Iterator[str]:
    if not isinstance(operation, dict):
        yield "expected an object"
        return
    op = operation.get("op")
    if not isinstance(op, str) or op not in _OPERATIONS:
        yield f"op is to be one of {', '.join(_OPERATIONS)}"
        return
    for name in ("path", *_OPERATIONS[op]):
        text = operation.get(name)
        if name not in operation:
            yield f"{name} is missing"
        elif name != "value" and not (isinstance(text, str) and text[:1] in ("", "/")):
            yield f'{name} is to be a path that begins with "/"'
