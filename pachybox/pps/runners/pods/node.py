"""Which node of the cluster is this machine."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pachybox.errors import Refused
from pachybox.pps.runners.pods.api import Kube
from pachybox.pps.runners.pods.troubles import Forbidden

LABEL = "kubernetes.io/hostname"
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def hostname(kube: Kube, wanted: str) -> str:
    """The label by which Pods are kept on this machine; "" when that is not needed, or nodes may
    not be looked at. Raises Refused when no node is this machine, or none is named ``wanted``."""
    try:
        nodes = kube.nodes()
    except Forbidden:
        return wanted
    if not wanted and len(nodes) == 1:
        return ""
    return _label(find(nodes, wanted))


def _label(node: Mapping[str, Any]) -> str:
    meta = node["metadata"]
    return str((meta.get("labels") or {}).get(LABEL) or meta["name"])


def find(nodes: Sequence[dict[str, Any]], wanted: str = "") -> dict[str, Any]:
    """The node named ``wanted``, or the one that is this machine. Raises Refused."""
    names = ", ".join(sorted(one["metadata"]["name"] for one in nodes)) or "none"
    if wanted:
        for one in nodes:
            if wanted == one["metadata"]["name"] or wanted in _addresses(one):
                return one
        raise Refused(
            f"the cluster has no node {wanted} (it has {names})", "mend the setting kubernetes_node"
        )
    boot = _boot()
    here = [one for one in nodes if boot and _info(one).get("bootID") == boot]
    host = socket.gethostname()
    named = [one for one in here or nodes if host in (one["metadata"]["name"], _label(one))]
    for one in (*named, *here):
        return one
    raise Refused(
        f"no node of the cluster is this machine (it has {names})",
        "run the box on a node, or set kubernetes_node to the one that is this machine",
    )


def _info(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return (node.get("status") or {}).get("nodeInfo") or {}


def _addresses(node: Mapping[str, Any]) -> list[str]:
    return [one["address"] for one in (node.get("status") or {}).get("addresses") or ()]


def _boot() -> str:
    try:
        return _BOOT.read_text().strip()
    except OSError:
        return ""
