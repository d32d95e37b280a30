"""What a Pod's object says of it, in words for people. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pachybox.pps.runners.pods.manifest import CONTAINER

Kind = Literal["running", "coming", "trouble", "ended"]


@dataclass(frozen=True, slots=True)
class State:
    """``coming`` takes only time, ``trouble`` does not pass by itself, ``ended`` is for good.
    ``why`` follows on "its Pod"."""

    kind: Kind
    why: str = ""
    remedy: str = ""


RUNNING = State("running")
_IMAGE = "see that the node can pull it, or give it to the node: pachybox k3s import {image}"
_WAITING = {
    "ErrImagePull": ("cannot pull the image {image}", _IMAGE),
    "ImagePullBackOff": ("cannot pull the image {image}", _IMAGE),
    "RegistryUnavailable": ("cannot pull the image {image}", _IMAGE),
    "ErrImageNeverPull": (
        "may not pull the image {image}, and the node does not have it",
        "pachybox k3s import {image}",
    ),
    "ImageInspectError": ("has an image that the node cannot read: {image}", _IMAGE),
    "InvalidImageName": ("has no valid image: {image}", "mend transform.image"),
    "CreateContainerConfigError": (
        "cannot be configured",
        "see what it names in transform, pod_spec and pod_patch",
    ),
    "CreateContainerError": ("cannot make its container", "kubectl describe pod {pod}"),
    "RunContainerError": ("cannot start its container", "kubectl describe pod {pod}"),
    "CrashLoopBackOff": ("starts again and again", "kubectl describe pod {pod}"),
}
_PASSING = ("ContainerCreating", "PodInitializing", "")
_LOST = ("NodeLost", "NodeStatusUnknown")
_SIGNALS = {137: "killed", 143: "ended by SIGTERM"}
_SCHEDULED = re.compile(r"\s*preemption:.*", re.DOTALL)


def of(pod: Mapping[str, Any] | None) -> State:
    """The state of a Pod; None is one that was deleted."""
    if pod is None:
        return State("ended", "was deleted", "the datum will be run again")
    meta, status = pod["metadata"], pod.get("status") or {}
    phase = status.get("phase") or "Pending"
    if phase in ("Succeeded", "Failed"):
        return State("ended", _ended(pod, status))
    if phase == "Unknown" or status.get("reason") in _LOST or _node_lost(status):
        node = pod["spec"].get("nodeName") or "its node"
        words = f"is on a node that is not heard of ({node})"
        return State("trouble", words, f"see: kubectl describe node {node}")
    if meta.get("deletionTimestamp"):
        return State("ended", "is being deleted")
    if phase == "Running" and _runs(status):
        return RUNNING
    return _pending(pod, status)


def preempted(pod: Mapping[str, Any]) -> bool:
    """Whether the cluster took the place of a Pod for another one."""
    return any(
        one["type"] == "DisruptionTarget" and one.get("status") == "True"
        for one in (pod.get("status") or {}).get("conditions") or ()
    )


def _node_lost(status: Mapping[str, Any]) -> bool:
    return any(
        one["type"] == "Ready" and one["status"] != "True" and one.get("reason") in _LOST
        for one in status.get("conditions") or ()
    )


def _runs(status: Mapping[str, Any]) -> bool:
    worker = next(_states(status), None)
    return worker is None or "running" in worker


def _states(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The states of the worker's container, then of those before it."""
    for one in status.get("containerStatuses") or ():
        if one["name"] == CONTAINER:
            yield one.get("state") or {}
    for one in status.get("initContainerStatuses") or ():
        yield one.get("state") or {}


def _pending(pod: Mapping[str, Any], status: Mapping[str, Any]) -> State:
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") == "False":
        said = _SCHEDULED.sub("", scheduled.get("message") or scheduled.get("reason") or "")
        return State(
            "trouble",
            f"finds no place: {said.strip()}",
            "free or add what it asks for, or ask for less (resource_requests, scheduling_spec)",
        )
    for state in _states(status):
        waiting = state.get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        if reason in _PASSING:
            continue
        what, remedy = _WAITING.get(reason, (f"waits: {reason}", "kubectl describe pod {pod}"))
        names = {"image": _image(pod), "pod": pod["metadata"]["name"]}
        said = f": {waiting['message']}" if waiting.get("message") else ""
        return State("trouble", what.format(**names) + said, remedy.format(**names))
    if (worker := next(_states(status), {})).get("terminated"):
        return State("ended", _terminated(worker["terminated"]))
    if pod["spec"].get("nodeName"):
        return State("coming", "is being started")
    return State("coming", "waits for a place")


def _image(pod: Mapping[str, Any]) -> str:
    containers = pod["spec"].get("containers") or ()
    return next((str(one["image"]) for one in containers if one["name"] == CONTAINER), "")


def _ended(pod: Mapping[str, Any], status: Mapping[str, Any]) -> str:
    reason, message = str(status.get("reason") or ""), str(status.get("message") or "").strip()
    said = f": {message}" if message else ""
    known = {
        "Evicted": "was evicted",
        "Preempting": "made place for a more important one",
        "Preempted": "made place for a more important one",
        "DeadlineExceeded": "ran for longer than it may (activeDeadlineSeconds)",
        "NodeLost": "was on a node that is lost",
        "Terminated": "was ended with its node",
        "Shutdown": "was ended with its node",
        "NodeShutdown": "was ended with its node",
    }
    if reason in known:
        return known[reason] + said
    if reason:
        return f"was not taken by the node ({reason}){said}"
    for state in _states(status):
        if state.get("terminated"):
            if preempted(pod):
                return f"was made to go by the cluster; it {_terminated(state['terminated'])}"
            return _terminated(state["terminated"])
    return f"ended{said}"


def _terminated(one: Mapping[str, Any]) -> str:
    reason, code = one.get("reason") or "", int(one.get("exitCode") or 0)
    if reason == "OOMKilled":
        return "was killed for its memory limit (OOMKilled)"
    how = f", {_SIGNALS[code]}" if code in _SIGNALS else ""
    said = f": {one['message'].strip()}" if one.get("message") else ""
    reason = f"{reason}, " if reason not in ("", "Error", "Completed") else ""
    return f"ended from outside ({reason}exit status {code}{how}){said}"
