"""The objects that the box makes in a cluster, from what a worker is to be. Pure.

A pipeline has one ConfigMap, the anchor, which owns all that is made for it: what deletes the
anchor deletes it all. Names are of letters, digits and "-" and at most 63 characters long; true
names are in annotations.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pachybox.pps.runners.base import WorkerSpec
from pachybox.pps.runners.held import CAPABILITIES, HOLD
from pachybox.pps.runners.pods import placing

Object = dict[str, Any]

BOX = "pachybox.org/box"
PIPELINE = "pachybox.org/pipeline"
PROJECT = "pachybox.org/project"
NONCE = "pachybox.org/nonce"

_OURS = {"app.kubernetes.io/name": "pachybox", "app.kubernetes.io/managed-by": "pachybox"}
_MOST = 30  # characters of a pipeline's name in those of its objects
_NODE_PORTS = range(30000, 32768)
_COPIED = "/pachybox-shim"
_COPY = (
    "import os, shutil; from pachybox.worker import handover; "
    f"shutil.copyfile(f'/proc/self/fd/{{handover.handle()}}', '{_COPIED}/shim'); "
    f"os.chmod('{_COPIED}/shim', 0o755)"
)


def mark(home: str, box: str) -> str:
    """The label that all objects of a box have, from its data directory and its id."""
    return _hash(home, box)


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a box's Pods are and how they get their program: ``mark`` is its own, ``shim`` a path
    on the node or else ``shim_image`` an image of the box, ``hostname`` the node's label ("": any
    node is the one)."""

    mark: str
    namespace: str
    shim: str
    shim_image: str = ""
    hostname: str = ""

    @property
    def selector(self) -> str:
        """What all objects of this box are found by."""
        return f"{BOX}={self.mark}"


def base_name(mark: str, pipeline: str) -> str:
    """What the names of a pipeline's objects begin with; also that of its anchor and Service."""
    readable = re.sub(r"[^a-z0-9]+", "-", pipeline.lower())[:_MOST].strip("-") or "pipeline"
    return f"pachybox-{readable}-{_hash(mark, pipeline)[:8]}"


def pod_name(place: Place, spec: WorkerSpec, number: int) -> str:
    """That of the ``number``th Pod of a pipeline's version."""
    return f"{base_name(place.mark, spec.pipeline)}-v{spec.pod.get('version', 0)}-{number}"


def _meta(place: Place, pipeline: str, pod: Mapping[str, Any], name: str) -> Object:
    project, _, plain = pipeline.rpartition("/")
    return {
        "name": name,
        "labels": {**_OURS, BOX: place.mark, PIPELINE: _hash(place.mark, pipeline)},
        "annotations": {
            PIPELINE: str(pod.get("pipeline") or plain),
            PROJECT: str(pod.get("project") or project or "default"),
        },
    }


def anchor(place: Place, spec: WorkerSpec) -> Object:
    """The ConfigMap that owns what a pipeline has in the cluster."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _meta(place, spec.pipeline, spec.pod, base_name(place.mark, spec.pipeline)),
    }


def owned(body: Object, anchor: Object) -> Object:
    """``body``, to be deleted with the anchor (as the cluster has it)."""
    meta = anchor["metadata"]
    reference = {
        "apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"],
    }  # fmt: skip
    return {**body, "metadata": {**body["metadata"], "ownerReferences": [reference]}}


def service_of(spec: WorkerSpec) -> Mapping[str, Any] | None:
    """The port that a pipeline's program is reached at; None when it has none."""
    given = spec.pod.get("spec") or {}
    found: Mapping[str, Any] | None = given.get("service") or (given.get("spout") or {}).get(
        "service"
    )
    return found


def pod(place: Place, spec: WorkerSpec, name: str, nonce: str) -> Object:
    """A Pod that holds, for one worker. Raises InvalidArgument when the pipeline's own changes to
    it cannot be made."""
    meta = _meta(place, spec.pipeline, spec.pod, name)
    meta["annotations"][NONCE] = nonce
    given = spec.pod.get("spec") or {}
    for part in ("labels", "annotations"):
        meta[part] = {**((given.get("metadata") or {}).get(part) or {}), **meta[part]}
    made = {**_pod_spec(place, spec, nonce), **placing.scheduling(given)}
    if place.hostname:
        selected = {**(made.get("nodeSelector") or {}), "kubernetes.io/hostname": place.hostname}
        made["nodeSelector"] = selected
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": placing.patched(made, given),
    }


def _pod_spec(place: Place, spec: WorkerSpec, nonce: str) -> Object:
    resources = placing.resources(spec.pod.get("spec") or {}) or _resources(spec)
    worker: Object = {
        "name": placing.CONTAINER,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [HOLD, "hold", nonce],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES.values())},
            **_user(spec.transform.user),
        },
        **({"resources": resources} if resources else {}),
        "volumeMounts": [{"name": "shim", "mountPath": HOLD, "readOnly": True}],
    }
    volumes: list[Object] = [
        {"name": "shim", "hostPath": {"path": place.shim, "type": "File"}},
    ]
    made: Object = {}
    if place.shim_image:
        volumes = [{"name": "shim", "emptyDir": {}}]
        worker["volumeMounts"][0]["subPath"] = "shim"
        made["initContainers"] = [_copier(place.shim_image, resources)]
    if spec.limits.shm is not None:
        size = {"medium": "Memory", "sizeLimit": str(spec.limits.shm)}
        volumes.append({"name": "shm", "emptyDir": size})
        worker["volumeMounts"].append({"name": "shm", "mountPath": "/dev/shm"})
    pulled = [{"name": one["metadata"]["name"]} for one in pull_secrets(place, spec)]
    pulled += [{"name": one} for one in _foreign_secrets(spec)]
    return made | {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        **({} if service_of(spec) else {"hostNetwork": True}),
        "containers": [worker],
        "volumes": volumes,
        **({"imagePullSecrets": pulled} if pulled else {}),
    }


def _copier(image: str, resources: Object) -> Object:
    return {
        "name": "shim",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/opt/pachybox/bin/pachybox", "-c", _COPY],
        "securityContext": {
            "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
        },
        **({"resources": resources} if resources else {}),
        "volumeMounts": [{"name": "shim", "mountPath": _COPIED}],
    }  # fmt: skip


def _resources(spec: WorkerSpec) -> Object:
    """Of a worker that comes without its pipeline's spec."""
    limits: Object = {}
    if spec.limits.cpu is not None:
        limits["cpu"] = f"{max(1, round(spec.limits.cpu * 1000))}m"
    if spec.limits.memory is not None:
        limits["memory"] = str(spec.limits.memory)
    return {"limits": limits, "requests": dict(limits)} if limits else {}


def _user(user: str) -> Object:
    """Who the container is, as far as that is said by numbers; names are the image's, and are
    looked up in it."""
    uid, _, gid = user.partition(":")
    if not uid.isdigit():
        return {}
    return {"runAsUser": int(uid), **({"runAsGroup": int(gid)} if gid.isdigit() else {})}


def _foreign_secrets(spec: WorkerSpec) -> list[str]:
    """The pull secrets that are the cluster's own."""
    names = (spec.pod.get("spec") or {}).get("image_pull_secrets") or ()
    return [name for name in names if name not in (spec.pod.get("logins") or {})]


def pull_secrets(place: Place, spec: WorkerSpec) -> list[Object]:
    """Secrets for pulling the image, made of the box's own."""
    logins: Mapping[str, bytes] = spec.pod.get("logins") or {}
    made = []
    for name, content in sorted(logins.items()):
        called = f"{base_name(place.mark, spec.pipeline)}-{_hash(name)[:8]}"
        meta = _meta(place, spec.pipeline, spec.pod, called)
        data = {".dockerconfigjson": base64.b64encode(content).decode()}
        made.append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/dockerconfigjson",
                "metadata": meta,
                "data": data,
            }
        )
    return made


def service(place: Place, spec: WorkerSpec) -> Object | None:
    """The Service of a service pipeline; None for others."""
    given = service_of(spec)
    if given is None:
        return None
    meta = _meta(place, spec.pipeline, spec.pod, base_name(place.mark, spec.pipeline))
    meta["annotations"] = {**(given.get("annotations") or {}), **meta["annotations"]}
    kind, inner = placing.service_type(given), int(given["internal_port"])
    outer = int(given.get("external_port") or inner)
    port: Object = {"name": "port", "port": outer, "targetPort": inner, "protocol": "TCP"}
    if kind == "NodePort" and outer in _NODE_PORTS:
        port["nodePort"] = outer
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {
            "type": kind,
            "selector": {key: meta["labels"][key] for key in (BOX, PIPELINE)},
            "ports": [port],
        },
    }


def fingerprint(body: Object) -> str:
    """What two Pods have in common that are alike but for their name and nonce."""
    whole = json.dumps(body, sort_keys=True)
    for own in (body["metadata"]["name"], body["metadata"]["annotations"][NONCE]):
        whole = whole.replace(json.dumps(own), '""')
    return hashlib.sha256(whole.encode()).hexdigest()
