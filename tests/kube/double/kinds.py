"""The kinds of objects there are, and what is common to all: selectors, patches, quantities."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.kube.double.answers import ApiError, Object


@dataclass(frozen=True)
class Kind:
    """One resource of the API; ``group`` is "" for the core."""

    resource: str
    name: str
    namespaced: bool = True
    group: str = ""
    short: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/v1" if self.group else "v1"

    @property
    def prefix(self) -> str:
        return f"/apis/{self.group}/v1" if self.group else "/api/v1"

    @property
    def full(self) -> str:
        """As messages name it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


RBAC = "rbac.authorization.k8s.io"
KINDS = {
    kind.resource: kind
    for kind in (
        Kind("namespaces", "Namespace", False, short=("ns",)),
        Kind("nodes", "Node", False, short=("no",)),
        Kind("pods", "Pod", short=("po",)),
        Kind("configmaps", "ConfigMap", short=("cm",)),
        Kind("services", "Service", short=("svc",)),
        Kind("secrets", "Secret"),
        Kind("events", "Event", short=("ev",)),
        Kind("serviceaccounts", "ServiceAccount", short=("sa",)),
        Kind("resourcequotas", "ResourceQuota", short=("quota",)),
        Kind("persistentvolumeclaims", "PersistentVolumeClaim", short=("pvc",)),
        Kind("roles", "Role", group=RBAC),
        Kind("rolebindings", "RoleBinding", group=RBAC),
        Kind("clusterroles", "ClusterRole", False, RBAC),
        Kind("clusterrolebindings", "ClusterRoleBinding", False, RBAC),
        Kind("priorityclasses", "PriorityClass", False, "scheduling.k8s.io"),
        Kind("runtimeclasses", "RuntimeClass", False, "node.k8s.io"),
    )
}
ABOUT_ME = "selfsubjectaccessreviews"
GROUP_ABOUT_ME = "authorization.k8s.io"


def copied(thing: Object) -> Object:
    """A deep copy."""
    made: Object = json.loads(json.dumps(thing))
    return made


def at(thing: Any, path: str, default: Any = None) -> Any:
    """The value at a dotted path, as ``metadata.name``."""
    for name in path.split("."):
        if not isinstance(thing, dict) or name not in thing:
            return default
        thing = thing[name]
    return thing


# ---- selectors

_SET = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^)]*)\)$")
_FIELDS = {
    "metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy", "status.phase",
    "status.podIP", "type", "reason", "involvedObject.name", "involvedObject.uid",
    "involvedObject.kind", "involvedObject.namespace",
}  # fmt: skip

Test = Callable[[Object], bool]


def selector(labels: str, fields: str) -> Test:
    """Whether an object is meant. Raises ApiError on a selector that means nothing."""
    tests = [_label(one) for one in re.split(r",(?![^(]*\))", labels) if one.strip()]
    tests += [_field(one) for one in fields.split(",") if one.strip()]
    return lambda thing: all(test(thing) for test in tests)


def _label(text: str) -> Test:
    text = text.strip()

    def of(thing: Object, name: str) -> str | None:
        return (at(thing, "metadata.labels") or {}).get(name)

    if found := _SET.match(text):
        name, how, inside = found.groups()
        values = {one.strip() for one in inside.split(",")}
        return lambda thing: (of(thing, name) in values) == (how == "in")
    for sign, same in (("!=", False), ("==", True), ("=", True)):
        name, found_sign, value = (part.strip() for part in text.partition(sign))
        if found_sign:
            return lambda thing: (of(thing, name) == value) == same
    if not re.fullmatch(r"!?[\w./-]+", text):
        raise ApiError(400, f"unable to parse requirement: found '{text}', expected: identifier")
    if text.startswith("!"):
        return lambda thing: of(thing, text[1:]) is None
    return lambda thing: of(thing, text) is not None


def _field(text: str) -> Test:
    same = "!=" not in text
    name, _, value = text.replace("==", "=").replace("!=", "=").partition("=")
    name, value = name.strip(), value.strip()
    if name not in _FIELDS:
        raise ApiError(400, f"field label not supported: {name}")
    return lambda thing: (str(at(thing, name) or "") == value) == same


# ---- patches


def merged(thing: Any, patch: Any) -> Any:
    """RFC 7396. A strategic patch is taken for one: its lists replace."""
    if not isinstance(patch, dict):
        return patch
    made = dict(thing) if isinstance(thing, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        elif not name.startswith("$"):
            made[name] = merged(made.get(name), value)
    return made


def json_patched(thing: Object, patch: list[Mapping[str, Any]]) -> Object:
    """RFC 6902. Raises ApiError in the API's words when a path is not there or a test fails."""
    made: Any = copied(thing)
    for step in patch:
        try:
            made = _step(made, step)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            said = f"the server rejected our request due to an error in our request: {step}"
            raise ApiError(422, said, "Invalid") from error
    return dict(made)


def _step(thing: Any, step: Mapping[str, Any]) -> Any:
    how = step["op"]
    if how in ("move", "copy"):
        value = json.loads(json.dumps(_reach(thing, step["from"])))
        thing = _step(thing, {"op": "remove", "path": step["from"]}) if how == "move" else thing
        return _step(thing, {"op": "add", "path": step["path"], "value": value})
    if how == "test":
        if _reach(thing, step["path"]) != step["value"]:
            raise ValueError(step["path"])
        return thing
    if step["path"] == "":
        return step["value"]
    parent, _, last = step["path"].rpartition("/")
    holder, name = _reach(thing, parent), _unescaped(last)
    if isinstance(holder, list):
        where = len(holder) if name == "-" else int(name)
        if how in ("remove", "replace"):
            del holder[where]
        if how in ("add", "replace"):
            holder.insert(where, step["value"])
        return thing
    if how in ("remove", "replace"):
        del holder[name]
    if how in ("add", "replace"):
        holder[name] = step["value"]
    return thing


def _reach(thing: Any, path: str) -> Any:
    for part in path.split("/")[1:]:
        thing = thing[int(part)] if isinstance(thing, list) else thing[_unescaped(part)]
    return thing


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


# ---- quantities

_UNITS = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_UNITS |= {unit: 1000.0**n for n, unit in enumerate("kMGTPE", 1)}
_UNITS |= {f"{unit}i": 1024.0**n for n, unit in enumerate("KMGTPE", 1)}
_QUANTITY = re.compile(r"^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([a-zA-Z]{0,2})$")


def quantity(text: str | int | float) -> float:
    """What ``500m`` or ``1Gi`` is as a number; ValueError for what is none."""
    found = _QUANTITY.match(str(text))
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"quantities must match the regular expression: {text}")
    return float(found[1]) * _UNITS[found[2]]
