"""What of a spec says how its Pods are made: resources, places in the cluster, patches. Pure.

The canonical spec of a pipeline in, parts of a Pod in Kubernetes' own form out. What of a spec no
cluster takes is refused before: pachybox.pps.spec.cluster, and ``check`` here.

The container that a patch finds at ``/containers/0`` is the one in which user code runs, by the
name that Pachyderm gives it: ``user``.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from posixpath import normpath
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.model.units import parse_quantity
from pachybox.pps.spec.cluster import is_qualified, named
from pachybox.worker.sandbox import BATCH_DIR

CONTAINER = "user"
"""The name of the container in which user code runs, the first of its Pod."""

CARD = "nvidia.com/gpu"
"""The kind of graphics card that is meant where a spec names none."""

_OPERATORS = {"EXISTS": "Exists", "EQUAL": "Equal"}
_EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
    "NO_EXECUTE": "NoExecute",
}
_NODE = "kubernetes.io/hostname"
_NODE_PORTS = range(30000, 32768)

Spec = Mapping[str, Any]


# ---- resources


def resources(spec: Spec) -> dict[str, Any]:
    """``requests`` and ``limits`` of the container. Memory is asked for as it is limited, unless
    the spec asks for less; what else is limited and not asked for is asked for by the cluster."""
    limits = _amounts(spec.get("resource_limits") or {})
    requests = _amounts(spec.get("resource_requests") or {})
    if "memory" in limits:
        requests.setdefault("memory", limits["memory"])
    if (card := _card(spec)).get("number"):
        limits[card.get("type") or CARD] = str(card["number"])
    found = {"requests": requests, "limits": limits}
    return {name: amounts for name, amounts in found.items() if amounts}


def _card(spec: Spec) -> Mapping[str, Any]:
    """Cards are limits to Kubernetes; where they are only asked for, that is what is meant."""
    limited, asked = (
        (spec.get(name) or {}).get("gpu") or {} for name in ("resource_limits", "resource_requests")
    )
    return limited if limited.get("number") else asked


def _amounts(given: Mapping[str, Any]) -> dict[str, str]:
    made = {}
    if given.get("cpu"):
        made["cpu"] = f"{math.ceil(round(given['cpu'] * 1000, 6))}m"
    for name, theirs in (("memory", "memory"), ("disk", "ephemeral-storage")):
        if parse_quantity(given.get(name) or "0"):
            made[theirs] = _quantity(given[name])
    return made


def _quantity(text: str) -> str:
    """A quantity as Kubernetes reads it: its kilo is a small one."""
    text = text.strip()
    return f"{text[:-1]}k" if text.endswith("K") else text


# ---- the place in the cluster


def scheduling(spec: Spec) -> dict[str, Any]:
    """The members of a Pod's ``spec`` that say where it may run; those that were asked for."""
    wanted = spec.get("scheduling_spec") or {}
    found = {
        "nodeSelector": dict(wanted.get("node_selector") or {}),
        "priorityClassName": wanted.get("priority_class_name") or "",
        "tolerations": [_toleration(one) for one in spec.get("tolerations") or ()],
    }
    return {name: value for name, value in found.items() if value}


def _toleration(given: Mapping[str, Any]) -> dict[str, Any]:
    made = {
        "key": given.get("key"),
        "operator": _OPERATORS.get(given.get("operator") or ""),
        "value": given.get("value"),
        "effect": _EFFECTS.get(given.get("effect") or ""),
    }
    found: dict[str, Any] = {name: value for name, value in made.items() if value}
    if given.get("toleration_seconds") is not None:
        found["tolerationSeconds"] = given["toleration_seconds"]
    return found


# ---- patches


def patched(pod_spec: Mapping[str, Any], spec: Spec) -> dict[str, Any]:
    """The ``spec`` of a Pod after ``pod_spec``, an RFC 7396 merge patch of it, and ``pod_patch``,
    an RFC 6902 patch. What was given stays as it was.

    Raises InvalidArgument, about the field, naming the operation and what is wrong with it: it
    cannot be applied, or changes what the box holds a Pod by.
    """
    made: Any = copy.deepcopy(dict(pod_spec))
    if spec.get("pod_spec"):
        made = _merged(made, json.loads(spec["pod_spec"]))
        _require_kept(pod_spec, made, "pod_spec", "it ")
    operations = json.loads(spec.get("pod_patch") or "[]") or []
    for number, operation in enumerate(operations):
        what = named(number, operation)
        made = _applied(made, operation, what)
        _require_kept(pod_spec, made, "pod_patch", f"{what} ")
    found: dict[str, Any] = made
    return found


def _merged(under: Any, patch: Any) -> Any:
    """RFC 7396: members are merged, null removes one, all else replaces."""
    if not isinstance(patch, dict):
        return patch
    made = dict(under) if isinstance(under, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name), value)
    return made


def _applied(document: Any, operation: Any, what: str) -> Any:
    from jsonpatch import JsonPatch, JsonPatchException, JsonPatchTestFailed
    from jsonpointer import JsonPointerException

    try:
        return JsonPatch([operation]).apply(document)
    except JsonPatchTestFailed:
        wrong = "another value stands there"
    except (JsonPatchException, JsonPointerException, TypeError):
        wrong = "it cannot be applied: what it is about, or what that is in, is not there"
    raise InvalidArgument(
        f"pod_patch: {what}: {wrong}",
        'paths begin at the spec of the Pod, like "/containers/0/env"; "-" is the end of a list',
    ).about("pod_patch")


def _require_kept(before: Mapping[str, Any], after: Any, field: str, what: str) -> None:
    """Raise InvalidArgument where a patch took what the box needs to find and enter a Pod."""
    if wrong := _taken(before, after):
        hint = "a patch may add to a Pod and change all else"
        if field == "pod_spec":
            hint += "; it replaces whole lists, so write what goes into one as pod_patch"
        raise InvalidArgument(f"{field}: {what}{wrong}", hint).about(field)


_HOLDS = {
    "restartPolicy": None,
    "hostPID": False,
    "shareProcessNamespace": False,
    "hostUsers": True,
}
"""By these members of a Pod's spec the box ends and enters it; and what they are where unset."""


def _taken(before: Mapping[str, Any], after: Any) -> str:
    """What of a Pod that must stay is not as it was."""
    if not isinstance(after, dict):
        return "leaves no spec of a Pod, which is an object"
    for name, unset in _HOLDS.items():
        if after.get(name, unset) != before.get(name, unset):
            return f"changes {name}, by which the box ends and enters the Pod"
    here, there = (_selected(one) for one in (before, after))
    if here != there:
        return f"changes the node, which is to be {here} and this machine"
    if not (containers := _dicts(after.get("containers"))):
        return "leaves no container"
    mine, theirs = before["containers"][0], containers[0]
    for name in ("name", "image", "command", "args"):
        if theirs.get(name) != mine.get(name):
            return f"changes {name} of the container {mine['name']!r}, the first one, which is held"
    if wrong := _misplaced(mine.get("volumeMounts"), theirs.get("volumeMounts")):
        return f"changes the mount at {wrong}, by which the box holds the container"
    volumes = {one["name"]: one for one in before.get("volumes") or ()}
    kept = _dicts(after.get("volumes"))
    for mount in _own(mine.get("volumeMounts")):
        if volumes[mount["name"]] not in kept:
            return f"changes the volume {mount['name']}, by which the box holds the container"
    for one in before.get("initContainers") or ():
        if one not in _dicts(after.get("initContainers")):
            return f"changes the init container {one['name']}, which brings the program that holds"
    return ""


def _selected(pod_spec: Mapping[str, Any]) -> str:
    """The node that a Pod is bound to by its name; "" when it is to none."""
    selector = pod_spec.get("nodeSelector")
    return str(selector.get(_NODE) or "") if isinstance(selector, dict) else ""


def _dicts(given: Any) -> list[dict[str, Any]]:
    """The objects of a list; none of what is no list."""
    return [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []


def _own(mounts: Any) -> list[dict[str, Any]]:
    """Those of the box among the mounts of a container, and those that lie over them."""
    found = []
    for mount in _dicts(mounts):
        path = normpath("/" + str(mount.get("mountPath")).lstrip("/"))
        if path == BATCH_DIR or path.startswith(f"{BATCH_DIR}/"):
            found.append(mount)
    return found


def _misplaced(before: Any, after: Any) -> str:
    mine, theirs = _own(before), _own(after)
    wrong = [one for one in (*mine, *theirs) if (one in mine) != (one in theirs)]
    return str(wrong[0].get("mountPath")) if wrong else ""


# ---- services, and what depends on the cluster


def service_type(service: Mapping[str, Any]) -> str:
    """The type of the Service of a pipeline. Where the spec names none, ports that are no nodes'
    stay within the cluster: the box publishes them on loopback all the same."""
    given: str = service.get("type") or ""
    return given or ("NodePort" if _outer(service) in _NODE_PORTS else "ClusterIP")


def _outer(service: Mapping[str, Any]) -> int:
    return int(service.get("external_port") or service["internal_port"])


def check(spec: Spec) -> None:
    """Raise InvalidArgument, about the field, for what is right elsewhere and not in a cluster."""
    card = _card(spec)
    kind = card.get("type") or CARD
    if card.get("number") and not ("/" in kind and is_qualified(kind)):
        raise InvalidArgument(
            f"resource_limits.gpu.type: {kind!r} is no kind of card to a cluster",
            f'name the resource that its nodes have, like "{CARD}"',
        ).about("resource_limits.gpu.type")
    for path, service in (
        ("service", spec.get("service")),
        ("spout.service", (spec.get("spout") or {}).get("service")),
    ):
        if service and service_type(service) == "NodePort" and _outer(service) not in _NODE_PORTS:
            raise InvalidArgument(
                f"{path}.external_port: {_outer(service)} is no port of a node",
                f"use {_NODE_PORTS[0]} to {_NODE_PORTS[-1]}, or leave {path}.type out",
            ).about(f"{path}.external_port")
