"""What doctor says about the cluster, each trouble with its remedy."""

from __future__ import annotations

from pachybox.config import Config
from pachybox.errors import PachyboxError
from pachybox.pps.runners.base import Finding
from pachybox.pps.runners.pods import node
from pachybox.pps.runners.pods.api import Kube
from pachybox.pps.runners.pods.troubles import RIGHTS, Forbidden
from pachybox.pps.runners.process import ProcessRunner

_CHECK = "cluster"
_QUICK_S = 2.0
_REFUSED = "pipelines are not run in Pods"
NEEDED = {
    "pods": ("create", "get", "list", "watch", "delete"),
    "configmaps": ("create", "get", "list", "delete"),
    "services": ("create", "get", "patch", "delete"),
    "secrets": ("create", "get", "patch", "delete"),
}
"""What the box asks of the API in its namespace, as the Role of k3s/manifests allows."""


def none(why: PachyboxError) -> Finding:
    """There can be no Pods, whatever the cluster is."""
    return Finding(_CHECK, "warn", f"{why.message}: {_REFUSED}", why.hint)


def of(kube: Kube, config: Config, host: ProcessRunner) -> list[Finding]:
    """Findings about the cluster and what the box may do there; asks it."""
    try:
        where = kube.access
        version = kube.version(_QUICK_S)
    except PachyboxError as e:
        return [none(e)]
    detail = f"Kubernetes {version} at {where.server}, namespace {where.namespace}"
    found = [Finding(_CHECK, "ok", f"{detail}, by {where.source}")]
    try:
        found.append(_rights(kube))
        found.append(_node(kube, config))
    except PachyboxError as e:
        found.append(none(e))
    return found


def _rights(kube: Kube) -> Finding:
    lacking = [
        f"{verb} {resource}"
        for resource, verbs in NEEDED.items()
        for verb in verbs
        if not kube.may(verb, resource)
    ]
    check = "rights in the cluster"
    if lacking:
        what = f"namespace {kube.namespace}: it may not {', '.join(lacking)}"
        return Finding(check, "warn", what, RIGHTS)
    return Finding(check, "ok", f"namespace {kube.namespace}: all that the box asks for")


def _node(kube: Kube, config: Config) -> Finding:
    check = "node of Pods"
    try:
        nodes = kube.nodes()
    except Forbidden as e:
        wanted = config.kubernetes_node
        if wanted:
            return Finding(check, "ok", f"{wanted}, by the setting kubernetes_node")
        return Finding(check, "warn", f"which is this machine is not known: {e.message}", e.hint)
    try:
        found = node.find(nodes, config.kubernetes_node)
    except PachyboxError as e:
        if len(nodes) != 1 or config.kubernetes_node:
            return Finding(check, "warn", e.message, e.hint)
        found = nodes[0]
        name = found["metadata"]["name"]
        return Finding(
            check,
            "warn",
            f"the only node, {name}, does not look like this machine",
            "run the box on that machine",
        )
    name = found["metadata"]["name"]
    conditions = {one["type"]: one["status"] for one in found["status"].get("conditions") or ()}
    if conditions.get("Ready") != "True":
        remedy = f"see: kubectl describe node {name}"
        return Finding(check, "warn", f"{name} is not ready: no Pod starts", remedy)
    return Finding(check, "ok", f"{name} is this machine")
