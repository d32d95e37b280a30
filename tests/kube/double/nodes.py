"""Nodes, and which of them a Pod may run on, as a cluster's scheduler decides and says it."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterable, Mapping

from tests.kube.double.answers import Object
from tests.kube.double.kinds import at, quantity

UNREACHABLE = "node.kubernetes.io/unreachable"
ADDRESS = "127.0.0.1"  # of every node: they are all this machine
_ENDED = ("Succeeded", "Failed")


def node(
    name: str,
    version: str,
    allocatable: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    taints: Iterable[Object] = (),
) -> Object:
    """A node that is ready. ``allocatable`` beside this machine's cpu, memory and 110 pods."""
    host = socket.gethostname()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 1024
    has = {"cpu": str(os.cpu_count() or 1), "memory": f"{memory}Ki", "pods": "110"}
    has |= dict(allocatable or {})
    own = {"kubernetes.io/hostname": host, "kubernetes.io/os": "linux"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**own, **(labels or {})}},
        "spec": {"taints": list(taints)} if taints else {},
        "status": {
            "capacity": has,
            "allocatable": has,
            "addresses": [
                {"type": "InternalIP", "address": ADDRESS},
                {"type": "Hostname", "address": host},
            ],
            "conditions": [condition("Ready", True, "KubeletReady")],
            "nodeInfo": {
                "kubeletVersion": f"v{version}.0", "kubeProxyVersion": "", "osImage": "Linux",
                "containerRuntimeVersion": "containerd://2.0.0", "operatingSystem": "linux",
                "architecture": "amd64", "kernelVersion": os.uname().release,
                "machineID": _machine("/etc/machine-id"), "systemUUID": "",
                "bootID": _machine("/proc/sys/kernel/random/boot_id"),
            },
        },
    }  # fmt: skip


def _machine(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def condition(kind: str, is_so: bool | None, reason: str = "", message: str = "") -> Object:
    """A condition of a node or a Pod; None is unknown."""
    status = "Unknown" if is_so is None else str(is_so)
    made = {"type": kind, "status": status}
    return made | {k: v for k, v in (("reason", reason), ("message", message)) if v}


def place(pod: Object, nodes: list[Object], pods: list[Object]) -> tuple[str, str]:
    """The name of the node for ``pod`` beside those that are there, or "" and why there is none."""
    if not nodes:
        return "", "no nodes available to schedule pods"
    whys: Counter[str] = Counter()
    for one in nodes:
        name = one["metadata"]["name"]
        there = [other for other in pods if at(other, "spec.nodeName") == name]
        if not (reasons := unfit(pod, one, there)):
            return name, ""
        whys.update(reasons)
    told = ", ".join(sorted(f"{n} {why}" for why, n in whys.items()))
    tail = f"preemption: 0/{len(nodes)} nodes are available: "
    helps = all(why.startswith(("Insufficient", "Too many")) for why in whys)
    tail += f"{len(nodes)} " + (
        "No preemption victims found for incoming pod."
        if helps
        else "Preemption is not helpful for scheduling."
    )
    return "", f"0/{len(nodes)} nodes are available: {told}. {tail}"


def unfit(pod: Object, node: Object, there: list[Object]) -> list[str]:
    """Why a Pod cannot run on a node beside the Pods ``there``; nothing when it can."""
    if node["spec"].get("unschedulable"):
        return ["node(s) were unschedulable"]
    for taint in node["spec"].get("taints") or ():
        if taint["effect"] != "PreferNoSchedule" and not tolerates(pod, taint):
            return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"]
    if not _matches(pod, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    has = node["status"]["allocatable"]
    there = [one for one in there if at(one, "status.phase") not in _ENDED]
    lacks = []
    if len(there) + 1 > quantity(has["pods"]):
        lacks.append("Too many pods")
    used: Counter[str] = Counter()
    for one in there:
        used.update(requests(one))
    for name, amount in requests(pod).items():
        if amount and used[name] + amount > quantity(has.get(name, 0)):
            lacks.append(f"Insufficient {name}")
    return lacks


def requests(pod: Object) -> Counter[str]:
    """What a Pod asks for: the sum of its containers, or what an init container asks for alone."""
    total: Counter[str] = Counter()
    for one in pod["spec"]["containers"]:
        for name, value in (at(one, "resources.requests") or {}).items():
            total[name] += quantity(value)  # type: ignore[assignment]
    for one in pod["spec"].get("initContainers") or ():
        for name, value in (at(one, "resources.requests") or {}).items():
            total[name] = max(total[name], quantity(value))  # type: ignore[assignment]
    return total


def tolerates(pod: Object, taint: Object) -> bool:
    for one in pod["spec"].get("tolerations") or ():
        exists = one.get("operator", "Equal") == "Exists"
        if one.get("effect") not in (None, "", taint["effect"]):
            continue
        if one.get("key") not in (None, "", taint["key"]):
            continue
        if exists or (one.get("key") and one.get("value", "") == taint.get("value", "")):
            return True
    return False


def _matches(pod: Object, node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    wanted = pod["spec"].get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    path = "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
    terms = (at(pod["spec"], path) or {}).get("nodeSelectorTerms")
    if not terms:
        return True
    return any(
        all(_term(labels, one) for one in term.get("matchExpressions") or ())
        and all(
            (node["metadata"]["name"] in one["values"]) == (one["operator"] == "In")
            for one in term.get("matchFields") or ()
        )
        for term in terms
    )


def _term(labels: Mapping[str, str], one: Object) -> bool:
    value, how = labels.get(one["key"]), one["operator"]
    if how in ("Exists", "DoesNotExist"):
        return bool((value is not None) == (how == "Exists"))
    if how in ("In", "NotIn"):
        return bool((value in one["values"]) == (how == "In"))
    number = int(value) if value and value.isdigit() else None
    bound = int(one["values"][0])
    return number is not None and (number > bound if how == "Gt" else number < bound)
