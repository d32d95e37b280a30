"""What a spec says of its Pods, in Kubernetes' own form; and patches, by their RFCs."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.pps.runners.pods.placing import (
    check,
    patched,
    resources,
    scheduling,
    service_type,
)

POD: dict[str, Any] = {
    "restartPolicy": "Never",
    "hostNetwork": True,
    "nodeSelector": {"kubernetes.io/hostname": "here"},
    "containers": [
        {
            "name": "user",
            "image": "docker.io/library/debian:12",
            "command": ["/.pachybox/shim", "hold", "0123"],
            "env": [],
            "volumeMounts": [{"name": "shim", "mountPath": "/.pachybox/shim", "readOnly": True}],
        }
    ],
    "volumes": [{"name": "shim", "hostPath": {"path": "/data/run/shim", "type": "File"}}],
}


def patch(*operations: Any) -> dict[str, Any]:
    """POD with a pod_patch."""
    return patched(POD, {"pod_patch": json.dumps(operations)})


def refused(spec: dict[str, Any], pod: dict[str, Any] = POD) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        patched(pod, spec)
    return caught.value


# ---- resources


def test_resources_are_in_kubernetes_form() -> None:
    """Cores as thousandths, a kilo by its small letter, memory asked for as it is limited."""
    spec = {
        "resource_limits": {"cpu": 1.5, "memory": "64K", "disk": "10Gi", "pids": 9, "shm": "1M"},
        "resource_requests": {"cpu": 0.25, "disk": " 1G "},
    }
    assert resources(spec) == {
        "limits": {"cpu": "1500m", "memory": "64k", "ephemeral-storage": "10Gi"},
        "requests": {"cpu": "250m", "memory": "64k", "ephemeral-storage": "1G"},
    }


def test_memory_may_be_asked_for_by_less() -> None:
    spec = {"resource_limits": {"memory": "1Gi"}, "resource_requests": {"memory": "64Ki"}}
    assert resources(spec)["requests"] == {"memory": "64Ki"}


@pytest.mark.parametrize(
    ("card", "limits"),
    [
        ({"number": 2}, {"nvidia.com/gpu": "2"}),
        ({"number": 1, "type": "amd.com/gpu"}, {"amd.com/gpu": "1"}),
    ],
)
def test_cards_are_limits(card: dict[str, Any], limits: dict[str, str]) -> None:
    """Also where they are only asked for, which Kubernetes does not have."""
    assert resources({"resource_limits": {"gpu": card}}) == {"limits": limits}
    assert resources({"resource_requests": {"gpu": card}}) == {"limits": limits}


@pytest.mark.parametrize(
    "spec", [{}, {"resource_limits": {"cpu": 0, "memory": "0", "gpu": {"number": 0}}}]
)
def test_nothing_asked_is_nothing_said(spec: dict[str, Any]) -> None:
    assert resources(spec) == {}
    assert scheduling(spec) == {}


def test_a_thousandth_of_a_core_is_the_least() -> None:
    """Binary fractions are no reason to ask for more; less than a thousandth cannot be said."""
    assert resources({"resource_requests": {"cpu": 0.0001}}) == {"requests": {"cpu": "1m"}}
    assert resources({"resource_requests": {"cpu": 0.29}}) == {"requests": {"cpu": "290m"}}


# ---- scheduling


def test_scheduling_is_spelt_as_kubernetes_does() -> None:
    spec = {
        "scheduling_spec": {"node_selector": {"disk": "ssd"}, "priority_class_name": "high"},
        "tolerations": [
            {"key": "a", "operator": "EQUAL", "value": "b", "effect": "PREFER_NO_SCHEDULE"},
            {"operator": "EXISTS", "effect": "ALL_EFFECTS"},
            {"key": "c", "operator": "EMPTY", "effect": "NO_SCHEDULE"},
            {"key": "d", "effect": "NO_EXECUTE", "toleration_seconds": 0},
        ],
    }
    assert scheduling(spec) == {
        "nodeSelector": {"disk": "ssd"},
        "priorityClassName": "high",
        "tolerations": [
            {"key": "a", "operator": "Equal", "value": "b", "effect": "PreferNoSchedule"},
            {"operator": "Exists"},
            {"key": "c", "effect": "NoSchedule"},
            {"key": "d", "effect": "NoExecute", "tolerationSeconds": 0},
        ],
    }


# ---- patches


def test_patches_are_applied_in_their_order() -> None:
    """The merge patch first, then operation by operation; the Pod given is not touched."""
    before = copy.deepcopy(POD)
    made = patched(
        POD,
        {
            "pod_spec": '{"hostNetwork": null, "securityContext": {"fsGroup": 7}}',
            "pod_patch": json.dumps(
                [
                    {"op": "test", "path": "/securityContext/fsGroup", "value": 7},
                    {"op": "replace", "path": "/securityContext/fsGroup", "value": 8},
                    {"op": "add", "path": "/volumes/-", "value": {"name": "x", "emptyDir": {}}},
                    {
                        "op": "add",
                        "path": "/containers/0/volumeMounts/-",
                        "value": {"name": "x", "mountPath": "/x"},
                    },
                    {"op": "add", "path": "/containers/-", "value": {"name": "beside"}},
                ]
            ),
        },
    )
    assert before == POD
    assert "hostNetwork" not in made
    assert made["securityContext"] == {"fsGroup": 8}
    assert [one["name"] for one in made["volumes"]] == ["shim", "x"]
    assert [one["name"] for one in made["containers"]] == ["user", "beside"]
    assert made["containers"][0]["volumeMounts"][1] == {"name": "x", "mountPath": "/x"}


@pytest.mark.parametrize("nothing", ["", "null", "[]"])
def test_no_patch_changes_nothing(nothing: str) -> None:
    assert patched(POD, {"pod_patch": nothing}) == POD


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab/~", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(_json, _json)
def test_a_patch_made_of_a_difference_makes_it(one: Any, other: Any) -> None:
    """Whatever JSON turns into whatever other, beside what the box holds the Pod by."""
    before, after = {**POD, "affinity": one}, {**POD, "affinity": other}
    text = jsonpatch.make_patch(before, after).to_string()
    assert patched(before, {"pod_patch": text}) == after


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_null(v) for k, v in value.items() if v is not None}
    return value


def _difference(one: Any, other: Any) -> Any:
    """The merge patch that makes ``other`` of ``one``, as the RFC lets one be made."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    gone = {name: None for name in one if name not in other}
    return gone | {n: _difference(one.get(n), v) for n, v in other.items() if one.get(n) != v}


@given(_json, _json)
def test_a_merge_patch_made_of_a_difference_makes_it(one: Any, other: Any) -> None:
    before = {**POD, "affinity": {"x": _without_null(one)}}
    after = {**POD, "affinity": {"x": _without_null(other)}}
    if after["affinity"]["x"] is None:
        after["affinity"] = {}
    text = json.dumps(_difference(_without_null(before), after))
    assert _without_null(patched(before, {"pod_spec": text})) == _without_null(after)


@pytest.mark.parametrize(
    ("operation", "wrong"),
    [
        ({"op": "add", "path": "/tolerations/-", "value": {}}, "is not there"),
        ({"op": "remove", "path": "/containers/1"}, "is not there"),
        ({"op": "replace", "path": "/hostname", "value": "x"}, "is not there"),
        ({"op": "add", "path": "/containers/9", "value": {}}, "is not there"),
        ({"op": "add", "path": "/containers/x", "value": {}}, "is not there"),
        ({"op": "move", "from": "/volumes", "path": "/volumes/0"}, "cannot be applied"),
        ({"op": "test", "path": "/hostNetwork", "value": False}, "another value"),
        ({"op": "add", "path": "/restartPolicy/x", "value": 1}, "cannot be applied"),
        ({"op": "add", "path": "/a~2", "value": 1}, "cannot be applied"),
    ],
)
def test_what_cannot_be_applied_is_named(operation: dict[str, Any], wrong: str) -> None:
    """Field, number and path of the operation; nothing of the Pod itself is shown."""
    error = refused(
        {"pod_patch": json.dumps([{"op": "test", "path": "", "value": POD}, operation])}
    )
    assert error.field == "pod_patch"
    name = f"{operation['op']} {operation['path']}"
    assert error.message.startswith(f"pod_patch: operation 1 '{name}': ")
    assert wrong in error.message
    assert "hostPath" not in error.message
    assert error.hint


@pytest.mark.parametrize(
    ("path", "value", "wrong"),
    [
        ("/restartPolicy", "Always", "changes restartPolicy"),
        ("/hostPID", True, "changes hostPID"),
        ("/shareProcessNamespace", True, "changes shareProcessNamespace"),
        ("/hostUsers", False, "changes hostUsers"),
        ("/containers", [], "leaves no container"),
        ("/containers/0", {"name": "mine"}, "changes name of the container 'user'"),
        ("/containers/0/command", ["sh"], "changes command of the container 'user'"),
        ("/containers/0/command/2", "4567", "changes command of the container 'user'"),
        ("/containers/0/args", ["x"], "changes args of the container 'user'"),
        ("/containers/0/image", "x", "changes image of the container 'user'"),
        ("/containers/0/volumeMounts", [], "changes the mount at /.pachybox/shim"),
        ("/containers/0/volumeMounts/0/readOnly", False, "changes the mount at /.pachybox/shim"),
        (
            "/containers/0/volumeMounts/-",
            {"name": "shim", "mountPath": "//.pachybox/./x/"},
            "changes the mount at",
        ),
        ("/volumes", [], "changes the volume shim"),
        ("/volumes/0/hostPath/path", "/tmp/x", "changes the volume shim"),
        ("/nodeSelector", {}, "changes the node"),
        ("", 7, "leaves no spec of a Pod"),
    ],
)
def test_what_holds_a_pod_stays(path: str, value: Any, wrong: str) -> None:
    error = refused({"pod_patch": json.dumps([{"op": "add", "path": path, "value": value}])})
    assert error.message.startswith(f"pod_patch: operation 0 'add {path}' {wrong}")
    assert error.field == "pod_patch"


def test_what_holds_a_pod_may_be_said_again() -> None:
    assert patch({"op": "add", "path": "/hostPID", "value": False})["hostPID"] is False


def test_a_merge_patch_of_a_list_is_told_the_way() -> None:
    """It replaces lists, the box's part of them too."""
    error = refused({"pod_spec": '{"volumes": [{"name": "x", "emptyDir": {}}]}'})
    assert error.field == "pod_spec"
    assert error.message.startswith("pod_spec: it changes the volume shim")
    assert "pod_patch" in error.hint


def test_the_container_that_brings_the_program_stays() -> None:
    """Where the program that holds comes out of an image; others may be added."""
    pod = {**POD, "initContainers": [{"name": "shim", "image": "pachybox"}]}
    more = {"op": "add", "path": "/initContainers/0", "value": {"name": "first"}}
    made = patched(pod, {"pod_patch": json.dumps([more])})
    assert [one["name"] for one in made["initContainers"]] == ["first", "shim"]
    error = refused({"pod_spec": '{"initContainers": null}'}, pod)
    assert "changes the init container shim" in error.message


# ---- what only a cluster refuses


def test_a_service_without_a_type_has_the_one_its_port_allows() -> None:
    """Specs written for a machine, whose ports are any, go to a cluster as they are."""
    assert service_type({"internal_port": 8080, "external_port": 8080}) == "ClusterIP"
    assert service_type({"internal_port": 80, "external_port": 30080}) == "NodePort"
    assert service_type({"internal_port": 80, "type": "LoadBalancer"}) == "LoadBalancer"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (
            {"service": {"internal_port": 80, "external_port": 80, "type": "NodePort"}},
            "service.external_port",
        ),
        (
            {"spout": {"service": {"internal_port": 32768, "type": "NodePort"}}},
            "spout.service.external_port",
        ),
        ({"resource_limits": {"gpu": {"number": 1, "type": "k80"}}}, "resource_limits.gpu.type"),
        ({"resource_limits": {"gpu": {"number": 1, "type": "a b/c"}}}, "resource_limits.gpu.type"),
    ],
)
def test_what_only_a_cluster_refuses(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(spec)
    assert caught.value.field == field
    assert caught.value.hint


def test_what_a_cluster_takes() -> None:
    check({"service": {"internal_port": 80, "external_port": 30000, "type": "NodePort"}})
    check({"service": {"internal_port": 80, "external_port": 80, "type": "ClusterIP"}})
    check({"resource_limits": {"gpu": {"number": 1}}})
    check({"resource_limits": {"gpu": {"number": 0, "type": "any"}}})
