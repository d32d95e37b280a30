"""Whether an object may be stored: the schema of one Kubernetes version, and rules beyond it."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate.utils as published
import referencing

from tests.kube.double import answers
from tests.kube.double.answers import ApiError, Object
from tests.kube.double.kinds import KINDS, Kind, at, quantity

VERSION = "1.33"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_A_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_A_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_A_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


@functools.cache
def _validator(kind: str, group: str, version: str) -> Any:
    """Of the schema that knows every field of ``kind`` and takes no other."""
    full = [one for one in published.all_versions() if one.startswith(f"{version}.")][-1]
    folder = f"kubernetes-json-schema/v{full}-local-strict"
    name = f"{kind.lower()}-{group.split('.')[0] + '-' if group else ''}v1.json"
    schema = published.schema_contents(f"{folder}/{name}", full)
    resources = [referencing.Resource.from_contents(one) for one in (schema, _shared(folder, full))]
    return jsonschema.Draft202012Validator(schema, registry=resources @ referencing.Registry())


@functools.cache
def _shared(folder: str, full: str) -> Any:
    return published.schema_contents(f"{folder}/_definitions.json", full)


def check(kind: Kind, thing: Object, version: str = VERSION) -> None:
    """Raises ApiError: 400 for unknown fields and wrong types, 422 for values that may not be."""
    if thing.get("kind", kind.name) != kind.name:
        raise ApiError(400, f'the object provided is unrecognized: kind "{thing["kind"]}"')
    name = str(at(thing, "metadata.name") or "")
    missing = _schema(kind, thing, version)
    wrong = [*_metadata(kind, thing), *missing]
    if kind.resource == "pods" and not missing:
        wrong += _pod(thing["spec"])
    if wrong:
        raise answers.invalid(kind.name, name, wrong)


def _schema(kind: Kind, thing: Object, version: str) -> list[str]:
    whole = {"apiVersion": kind.api_version, "kind": kind.name, **thing}
    unknown, missing = [], []
    for error in _validator(kind.name, kind.group, version).iter_errors(whole):
        where = _path(error.absolute_path)
        if error.validator == "additionalProperties":
            known = error.schema.get("properties", {})
            unknown += [
                f'unknown field "{f"{where}.{name}" if where else name}"'
                for name in error.instance
                if name not in known
            ]
        elif error.validator == "required":
            names = [name for name in error.validator_value if name not in error.instance]
            missing += [f"{f'{where}.{name}' if where else name}: Required value" for name in names]
        elif error.validator == "enum":
            options = ", ".join(f'"{one}"' for one in error.validator_value if one)
            said = f'Unsupported value: "{error.instance}": supported values: {options}'
            missing.append(f"{where}: {said}")
        else:
            said = f"json: cannot unmarshal {error.instance!r} into field {where}: {error.message}"
            raise ApiError(400, f'{kind.name} in version "v1" cannot be handled: {said}')
    if unknown:
        raise ApiError(400, f"strict decoding error: {', '.join(sorted(set(unknown)))}")
    return missing


def _path(parts: Any) -> str:
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _metadata(kind: Kind, thing: Object) -> Iterator[str]:
    name = str(at(thing, "metadata.name") or "")
    short = kind.resource in ("services", "namespaces")
    if kind.group != "rbac.authorization.k8s.io":
        if not name:
            yield "metadata.name: Required value: name or generateName is required"
        elif len(name) > (63 if short else 253):
            yield f'metadata.name: Invalid value: "{name}": must be no more than ' + (
                "63 characters" if short else "253 characters"
            )
        elif not (_LABEL if short else _SUBDOMAIN).fullmatch(name):
            yield f'metadata.name: Invalid value: "{name}": {_A_LABEL if short else _A_SUBDOMAIN}'
    for key, value in (at(thing, "metadata.labels") or {}).items():
        if len(value) > 63:
            yield f'metadata.labels: Invalid value: "{value}": must be no more than 63 characters'
        elif not _VALUE.fullmatch(value):
            yield f'metadata.labels: Invalid value: "{value}": {_A_VALUE}'
        if len(key.rpartition("/")[2]) > 63 or not _VALUE.fullmatch(key.rpartition("/")[2]):
            yield f'metadata.labels: Invalid value: "{key}": name part {_A_VALUE}'
    for one in at(thing, "metadata.ownerReferences") or ():
        if not one.get("uid"):
            yield "metadata.ownerReferences[0].uid: Required value: must not be empty"


def _pod(spec: Object) -> Iterator[str]:
    volumes = [str(one["name"]) for one in spec.get("volumes") or ()]
    for n, name in enumerate(volumes):
        if not _LABEL.fullmatch(name) or len(name) > 63:
            yield f'spec.volumes[{n}].name: Invalid value: "{name}": {_A_LABEL}'
        if name in volumes[:n]:
            yield f'spec.volumes[{n}].name: Duplicate value: "{name}"'
    if not spec.get("containers"):
        yield "spec.containers: Required value"
    if spec.get("restartPolicy", "Always") not in ("Always", "OnFailure", "Never"):
        said = 'supported values: "Always", "OnFailure", "Never"'
        yield f'spec.restartPolicy: Unsupported value: "{spec["restartPolicy"]}": {said}'
    seen: set[str] = set()
    for where in ("initContainers", "containers"):
        for n, one in enumerate(spec.get(where) or ()):
            path = f"spec.{where}[{n}]"
            if one["name"] in seen:
                yield f'{path}.name: Duplicate value: "{one["name"]}"'
            seen.add(one["name"])
            yield from _container(path, one, volumes)


def _container(path: str, one: Object, volumes: list[str]) -> Iterator[str]:
    if not _LABEL.fullmatch(one["name"]) or len(one["name"]) > 63:
        yield f'{path}.name: Invalid value: "{one["name"]}": {_A_LABEL}'
    if not one.get("image"):
        yield f"{path}.image: Required value"
    if one.get("imagePullPolicy") not in (None, "Always", "IfNotPresent", "Never"):
        said = 'supported values: "Always", "IfNotPresent", "Never"'
        yield f'{path}.imagePullPolicy: Unsupported value: "{one["imagePullPolicy"]}": {said}'
    for n, mount in enumerate(one.get("volumeMounts") or ()):
        if mount["name"] not in volumes:
            yield f'{path}.volumeMounts[{n}].name: Not found: "{mount["name"]}"'
    limits = at(one, "resources.limits") or {}
    requests = at(one, "resources.requests") or {}
    for where, values in (("limits", limits), ("requests", requests)):
        for name, value in values.items():
            yield from _amount(f"{path}.resources.{where}[{name}]", name, value)
    for name in requests:
        path_of = f"{path}.resources.requests"
        try:
            if name in limits and quantity(requests[name]) > quantity(limits[name]):
                said = f"must be less than or equal to {name} limit of {limits[name]}"
                yield f'{path_of}: Invalid value: "{requests[name]}": {said}'
        except ValueError:
            continue
        if "/" in name and requests[name] != limits.get(name):
            yield f"{path}.resources.limits: Required value: Limit must be set for non overcommitable resources"  # noqa: E501
    root = at(one, "securityContext.allowPrivilegeEscalation") is False
    if root and at(one, "securityContext.privileged"):
        said = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        yield f"{path}.securityContext: Invalid value: {said}"


def _amount(path: str, name: str, value: str) -> Iterator[str]:
    try:
        if quantity(value) < 0:
            yield f'{path}: Invalid value: "{value}": must be greater than or equal to 0'
    except ValueError:
        yield f'{path}: Invalid value: "{value}": quantities must match the regular expression'
        return
    if "/" in name and quantity(value) % 1:
        yield f'{path}: Invalid value: "{value}": must be an integer'
    if (
        "/" not in name
        and name not in ("cpu", "memory", "ephemeral-storage")
        and (not name.startswith("hugepages-"))
    ):
        yield f'{path}: Invalid value: "{name}": must be a standard resource for containers'


# ---- what the API adds by itself


def completed(resource: str, thing: Object) -> None:
    """Fill in the fields that nobody gave, as the API does when an object is created."""
    kind = KINDS[resource]
    thing["apiVersion"], thing["kind"] = kind.api_version, kind.name
    if resource == "pods":
        _complete_pod(thing)
    elif resource == "secrets":
        thing.setdefault("type", "Opaque")
    elif resource == "namespaces":
        thing.setdefault("spec", {})["finalizers"] = ["kubernetes"]
        thing["status"] = {"phase": "Active"}
        labels = thing["metadata"].setdefault("labels", {})
        labels["kubernetes.io/metadata.name"] = thing["metadata"]["name"]


def _complete_pod(thing: Object) -> None:
    spec = thing["spec"]
    defaults = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "serviceAccountName": "default",
        "securityContext": {},
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
        "priority": 0,
    }
    for name, value in defaults.items():
        spec.setdefault(name, value)
    tolerations = spec.setdefault("tolerations", [])
    for name in ("not-ready", "unreachable"):
        key = f"node.kubernetes.io/{name}"
        if not any(one.get("key") in (key, None) for one in tolerations):
            added = {"key": key, "operator": "Exists", "effect": "NoExecute"}
            tolerations.append({**added, "tolerationSeconds": 300})
    for one in (*(spec.get("initContainers") or ()), *spec["containers"]):
        last = one["image"].rpartition("/")[2]
        newest = "@" not in last and last.partition(":")[2] in ("", "latest")
        one.setdefault("imagePullPolicy", "Always" if newest else "IfNotPresent")
        one.setdefault("terminationMessagePath", "/dev/termination-log")
        one.setdefault("terminationMessagePolicy", "File")
        resources = one.setdefault("resources", {})
        if limits := resources.get("limits"):
            resources["requests"] = {**limits, **(resources.get("requests") or {})}
    thing["status"] = {"phase": "Pending", "qosClass": _quality(spec["containers"])}


def _quality(containers: list[Object]) -> str:
    kinds = set()
    for one in containers:
        limits = at(one, "resources.limits") or {}
        requests = at(one, "resources.requests") or {}
        if not limits and not requests:
            kinds.add("BestEffort")
        elif {"cpu", "memory"} <= set(limits) and requests == limits:
            kinds.add("Guaranteed")
        else:
            kinds.add("Burstable")
    return kinds.pop() if len(kinds) == 1 else "Burstable"
