"""What Pods say of themselves, in words for people."""

from __future__ import annotations

from typing import Any

import pytest

from pachybox.pps.runners.pods import states


def pod(phase: str = "Pending", **status: Any) -> dict[str, Any]:
    made = {
        "metadata": {"name": "one"},
        "spec": {"nodeName": "n1", "containers": [{"name": "user", "image": "img:1"}]},
        "status": {"phase": phase, **status},
    }
    for key in ("metadata", "spec"):
        made[key] = {**made[key], **status.pop(key, {})}
    made["status"] = {"phase": phase, **status}
    return made


def state(**one: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "user", "state": one}]}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return state(waiting={"reason": reason, "message": message})


def ended(code: int, reason: str, message: str = "") -> dict[str, Any]:
    return state(terminated={"exitCode": code, "reason": reason, "message": message})


def conditions(*rows: tuple[str, str, str, str]) -> dict[str, Any]:
    names = ("type", "status", "reason", "message")
    return {"conditions": [dict(zip(names, row, strict=True)) for row in rows]}


FULL = (
    "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No "
    "preemption victims found for incoming pod."
)


@pytest.mark.parametrize(
    ("given", "kind", "words", "remedy"),
    [
        (None, "ended", "was deleted", "run again"),
        (pod("Running", **state(running={})), "running", "", ""),
        (pod("Running"), "running", "", ""),
        (pod(spec={"nodeName": ""}), "coming", "waits for a place", ""),
        (pod(), "coming", "is being started", ""),
        (pod(**waiting("ContainerCreating")), "coming", "is being started", ""),
        (pod(**waiting("PodInitializing")), "coming", "is being started", ""),
        (pod(**waiting("ErrImagePull", "not found")), "trouble", "pull the image img:1: not found",
         "pachybox k3s import img:1"),
        (pod(**waiting("ImagePullBackOff")), "trouble", "cannot pull the image img:1", "import"),
        (pod(**waiting("ErrImageNeverPull")), "trouble", "may not pull", "k3s import img:1"),
        (pod(**waiting("InvalidImageName")), "trouble", "no valid image", "transform.image"),
        (pod(**waiting("CreateContainerConfigError", 'secret "x" not found')), "trouble",
         'cannot be configured: secret "x" not found', "pod_patch"),
        (pod(**waiting("CreateContainerError", "no")), "trouble", "make its container: no", "one"),
        (pod(**waiting("SomethingNew", "oh")), "trouble", "waits: SomethingNew: oh", "describe"),
        (pod(initContainerStatuses=[{"name": "shim", "state": {"waiting": {"reason":
         "ImagePullBackOff"}}}], **waiting("PodInitializing")), "trouble", "cannot pull", ""),
        (pod(**conditions(("PodScheduled", "False", "Unschedulable", FULL))), "trouble",
         "finds no place: 0/1 nodes are available: 1 Insufficient cpu.", "ask for less"),
        (pod("Failed", reason="Evicted", message="low on memory. "), "ended",
         "was evicted: low on memory.", ""),
        (pod("Failed", reason="Preempting"), "ended", "made place", ""),
        (pod("Failed", reason="DeadlineExceeded"), "ended", "activeDeadlineSeconds", ""),
        (pod("Failed", reason="OutOfcpu", message="no room"), "ended",
         "was not taken by the node (OutOfcpu): no room", ""),
        (pod("Failed", reason="Terminated"), "ended", "ended with its node", ""),
        (pod("Failed", **ended(137, "OOMKilled")), "ended", "OOMKilled", ""),
        (pod("Failed", **ended(137, "Error")), "ended", "(exit status 137, killed)", ""),
        (pod("Failed", **ended(128, "StartError", "no such file")), "ended",
         "(StartError, exit status 128): no such file", ""),
        (pod("Succeeded", **ended(0, "Completed")), "ended", "(exit status 0)", ""),
        (pod("Failed", **ended(137, "Error"), **conditions(
            ("DisruptionTarget", "True", "PreemptionByScheduler", ""))), "ended",
         "was made to go by the cluster", ""),
        (pod("Unknown", reason="NodeLost"), "trouble", "not heard of (n1)", "describe node n1"),
        (pod("Running", **state(running={}), **conditions(("Ready", "False", "NodeLost", ""))),
         "trouble", "not heard of", ""),
        (pod("Running", metadata={"deletionTimestamp": "now"}), "ended", "being deleted", ""),
    ],
)  # fmt: skip
def test_a_state(given: dict[str, Any] | None, kind: str, words: str, remedy: str) -> None:
    found = states.of(given)
    assert found.kind == kind
    assert words in found.why
    assert remedy in found.remedy
    assert "preemption:" not in found.why
    assert "{" not in found.remedy
