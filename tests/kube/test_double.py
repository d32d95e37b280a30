"""The double of the Kubernetes API, as the official client sees it."""

from __future__ import annotations

import base64
import copy
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from kubernetes import client, config, watch

from pachybox.containers.engine import Engine
from tests import images
from tests.kube.cluster import TestCluster
from tests.kube.double import Cluster, Object, checks
from tests.kube.double.kinds import KINDS

SLOW_S = 20.0  # for what is waited for on a busy machine
ROLE = {
    "kind": "Role",
    "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "get", "list"]}],
}


@pytest.fixture
def engine(double: Cluster) -> Engine:
    return double.engine


@pytest.fixture
def double(cluster: TestCluster) -> Cluster:
    return cluster.doubled()


class Api:
    """The client in one namespace, with what these tests do time and again."""

    def __init__(self, core: client.CoreV1Api, home: str, image: str) -> None:
        self.core, self.home, self.image = core, home, image

    def config_map(self, name: str, **metadata: Any) -> client.V1ConfigMap:
        return self.core.create_namespaced_config_map(
            self.home, {"metadata": {"name": name, **metadata}}
        )

    def run(self, name: str, command: str = "sleep 100", **spec: Any) -> client.V1Pod:
        container = {"name": "main", "image": self.image, "command": ["sh", "-c", command]}
        return self.pod(name, [container | spec.pop("container", {})], **spec)

    def pod(self, name: str, containers: list[Object], **spec: Any) -> client.V1Pod:
        metadata = {"name": name, "labels": spec.pop("labels", {})}
        defaults = {"restartPolicy": "Never", "hostNetwork": True, "containers": containers}
        body = {"metadata": metadata, "spec": defaults | spec}
        return self.core.create_namespaced_pod(self.home, body)

    def read(self, name: str) -> client.V1Pod:
        return self.core.read_namespaced_pod(name, self.home)

    def until(self, name: str, test: Callable[[client.V1Pod], Any]) -> client.V1Pod:
        """The Pod when ``test`` is true of it."""
        end = time.monotonic() + SLOW_S
        while not test(pod := self.read(name)):
            assert time.monotonic() < end, pod.status
            time.sleep(0.01)
        return pod

    def phase(self, name: str, phase: str) -> client.V1Pod:
        return self.until(name, lambda pod: pod.status.phase == phase)

    def waiting(self, name: str, reason: str) -> str:
        """The message of the state, when the container waits for that reason."""

        def waits(pod: client.V1Pod) -> Any:
            return why(pod) and why(pod).reason == reason

        def why(pod: client.V1Pod) -> Any:
            states = pod.status.container_statuses
            return states and states[0].state.waiting

        return str(why(self.until(name, waits)).message)

    def gone(self, name: str) -> None:
        end = time.monotonic() + SLOW_S
        while any(pod.metadata.name == name for pod in self.pods()):
            assert time.monotonic() < end, name
            time.sleep(0.01)

    def pods(self, **query: Any) -> list[client.V1Pod]:
        return list(self.core.list_namespaced_pod(self.home, **query).items)

    def changes(self, since: str = "", **query: Any) -> Iterator[Object]:
        """What a watch of Pods tells, until two seconds are over."""
        query = {"timeout_seconds": 2, **query}
        yield from watch.Watch().stream(
            self.core.list_namespaced_pod, self.home, resource_version=since, **query
        )


@pytest.fixture
def api(cluster: TestCluster, double: Cluster) -> Api:
    return Api(cluster.core(), cluster.namespace, cluster.image("busybox"))


def refused(call: Callable[..., Any], *args: Any, **query: Any) -> tuple[int, str, str]:
    """Status, reason and message of a call that is refused."""
    with pytest.raises(client.ApiException) as told:
        call(*args, **query)
    said = json.loads(told.value.body)
    return told.value.status, said["reason"], said["message"]


def ended(pod: client.V1Pod) -> client.V1ContainerStateTerminated:
    """How its first container has ended."""
    return pod.status.container_statuses[0].state.terminated


def first_pid(pod: client.V1Pod) -> int:
    id_ = pod.status.container_statuses[0].container_id.removeprefix("containerd://")
    assert len(id_) == 64
    return int(images.run("inspect", "--format={{.State.Pid}}", id_).stdout)


def asked(double: Cluster, method: str, path: str, **more: Any) -> tuple[int, bytes]:
    """Status and answer of a request that the client itself would not make."""
    headers = {"Authorization": f"Bearer {double.admin_token}"}
    with urllib3.PoolManager(ca_cert_data=double.ca.decode()) as pool:
        answer = pool.request(method, double.url + path, headers=headers, **more)
        return answer.status, answer.data


# ---- objects


def test_objects_are_made_changed_and_deleted(api: Api) -> None:
    made = api.config_map("one", labels={"a": "b"})
    assert made.metadata.uid
    assert made.metadata.creation_timestamp
    assert refused(api.config_map, "one")[:2] == (409, "AlreadyExists")
    named = api.core.create_namespaced_config_map(api.home, {"metadata": {"generateName": "gen-"}})
    assert named.metadata.name.startswith("gen-")
    assert len(named.metadata.name) == 9
    changed = api.core.patch_namespaced_config_map("one", api.home, {"data": {"x": "1", "y": "2"}})
    assert int(changed.metadata.resource_version) > int(made.metadata.resource_version)
    merged = api.core.patch_namespaced_config_map("one", api.home, {"data": {"x": None}})
    assert merged.data == {"y": "2"}
    steps = [{"op": "test", "path": "/data/y", "value": "2"}]
    steps += [{"op": "add", "path": "/data/a~1b", "value": "3"}]
    assert api.core.patch_namespaced_config_map("one", api.home, steps).data["a/b"] == "3"
    status, reason, said = refused(api.core.replace_namespaced_config_map, "one", api.home, made)
    assert (status, reason) == (409, "Conflict")
    assert "the object has been modified" in said
    api.core.delete_namespaced_config_map("one", api.home)
    status, reason, said = refused(api.core.read_namespaced_config_map, "one", api.home)
    assert (status, reason, said) == (404, "NotFound", 'configmaps "one" not found')


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [
        ({"spec": {"nosuch": 1}}, 400, 'unknown field "spec.nosuch"'),
        ({"spec": {"activeDeadlineSeconds": "x"}}, 400, "cannot be handled"),
        ({"metadata": {"name": "Wrong_name"}}, 422, "a lowercase RFC 1123 subdomain"),
        ({"metadata": {"labels": {"a": "x" * 64}}}, 422, "must be no more than 63 characters"),
        ({"spec": {"containers": None}}, 400, "spec.containers"),
        ({"spec": {"containers": []}}, 422, "spec.containers: Required value"),
        ({"spec": {"restartPolicy": "Sometimes"}}, 422, "Unsupported value"),
        (
            {"spec": {"containers": [{"name": "c", "image": "i", "volumeMounts": [
                {"name": "none", "mountPath": "/x"}]}]}},
            422, 'spec.containers[0].volumeMounts[0].name: Not found: "none"',
        ),
        (
            {"spec": {"containers": [{"name": "c", "image": "i", "resources": {
                "limits": {"cpu": "1"}, "requests": {"cpu": "2"}}}]}},
            422, "must be less than or equal to cpu limit",
        ),
        (
            {"spec": {"containers": [{"name": "c", "image": "i", "resources": {
                "limits": {"memory": "lots"}}}]}},
            422, "quantities must match the regular expression",
        ),
    ],
)  # fmt: skip
def test_what_may_not_be_is_refused_in_words(
    api: Api, double: Cluster, wrong: Object, status: int, words: str
) -> None:
    body = {
        "metadata": {"name": "p", **wrong.get("metadata", {})},
        "spec": {"containers": [{"name": "c", "image": "i"}], **wrong.get("spec", {})},
    }
    path = f"/api/v1/namespaces/{api.home}/pods"
    found, answer = asked(double, "POST", path, json=body)
    assert (found, words in json.loads(answer)["message"]) == (status, True), answer
    assert api.pods() == []


def test_every_kind_has_a_schema_of_the_version() -> None:
    for kind in KINDS.values():
        assert checks._validator(kind.name, kind.group, checks.VERSION)


def test_lists_are_chosen_from_and_paged(api: Api, double: Cluster) -> None:
    for n in range(5):
        api.config_map(f"c{n}", labels={"n": str(n), **({"odd": "yes"} if n % 2 else {})})

    def names(**query: Any) -> list[str]:
        found = api.core.list_namespaced_config_map(api.home, **query)
        return [one.metadata.name for one in found.items]

    assert names(label_selector="odd=yes") == ["c1", "c3"]
    assert names(label_selector="!odd") == ["c0", "c2", "c4"]
    assert names(label_selector="n in (1, 2),odd") == ["c1"]
    assert names(label_selector="n notin (1,2),n!=4") == ["c0", "c3"]
    assert names(field_selector="metadata.name=c2") == ["c2"]
    assert refused(names, field_selector="spec.color=red")[0] == 400
    page = api.core.list_namespaced_config_map(api.home, limit=2)
    assert [one.metadata.name for one in page.items] == ["c0", "c1"]
    assert page.metadata.remaining_item_count == 3
    assert names(limit=2, _continue=page.metadata._continue) == ["c2", "c3"]
    double.expire()
    assert refused(names, _continue=page.metadata._continue)[:2] == (410, "Expired")


def test_rights_are_those_of_the_roles(engine: Engine, tmp_path: Path) -> None:
    with Cluster(engine, tmp_path / "double", ["home"], [ROLE]) as held:
        core = _core(held.kubeconfig(tmp_path / "kubeconfig"))
        assert core.list_namespaced_pod("home").items == []
        status, reason, said = refused(core.delete_namespaced_pod, "x", "home")
        assert (status, reason) == (403, "Forbidden")
        user = "system:serviceaccount:pachybox:pachybox"
        where = 'in API group "" in the namespace "home"'
        assert said == (
            f'pods "x" is forbidden: User "{user}" cannot delete resource "pods" {where}'
        )
        assert "at the cluster scope" in refused(core.list_node)[2]
        asked = {"spec": {"resourceAttributes": {"verb": "list", "resource": "nodes"}}}
        auth = client.AuthorizationV1Api(core.api_client)
        assert not auth.create_self_subject_access_review(asked).status.allowed
        assert ("delete", "pods", "x", 403) in held.requests
        path = held.kubeconfig(tmp_path / "other", token="nobody's")
        assert refused(_core(path).list_namespaced_pod, "home")[0] == 401


def _core(kubeconfig: Path) -> client.CoreV1Api:
    return client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))


# ---- watches


def test_a_watch_tells_what_a_selector_sees(api: Api, double: Cluster) -> None:
    double.add_node("full", taints=[{"key": "full", "effect": "NoSchedule"}])
    nowhere = {"nodeSelector": {"no": "where"}}  # so that it stays as it is
    since = api.core.list_namespaced_pod(api.home).metadata.resource_version
    api.run("seen", labels={"a": "1"}, **nowhere)
    api.run("unseen", labels={"a": "2"}, **nowhere)
    api.core.patch_namespaced_pod("seen", api.home, {"metadata": {"labels": {"a": "2"}}})
    api.core.patch_namespaced_pod("unseen", api.home, {"metadata": {"labels": {"a": "1"}}})
    api.core.delete_namespaced_pod("unseen", api.home)
    found = list(api.changes(since, label_selector="a=1", timeout_seconds=1))
    told = [(one["type"], one["object"].metadata.name) for one in found]
    for place, (what, name) in enumerate(told):
        if what == "MODIFIED":  # by the scheduler, early or late, and only while it is seen
            assert ("ADDED", name) in told[:place]
            assert ("DELETED", name) not in told[:place]
    assert [one for one in told if one[0] != "MODIFIED"] == [
        ("ADDED", "seen"),
        ("DELETED", "seen"),
        ("ADDED", "unseen"),
        ("DELETED", "unseen"),
    ]


def test_a_watch_begins_with_what_there_is_and_ends_that_with_a_bookmark(api: Api) -> None:
    api.run("here", nodeSelector={"no": "where"})
    api.until("here", lambda pod: pod.status.conditions)  # then nothing of it changes any more
    events = api.changes(
        "", send_initial_events=True, allow_watch_bookmarks=True,
        resource_version_match="NotOlderThan", timeout_seconds=1,
    )  # fmt: skip
    first, second = next(events), next(events)
    assert (first["type"], second["type"]) == ("ADDED", "BOOKMARK")
    meta = second["raw_object"]["metadata"]
    assert meta["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert [one["type"] for one in events] == []


@pytest.mark.parametrize("as_status", [False, True])
def test_a_version_that_is_too_old_is_gone(api: Api, double: Cluster, as_status: bool) -> None:
    since = api.config_map("one").metadata.resource_version
    double.expire(as_status)
    query = {"watch": "true", "resourceVersion": since, "timeoutSeconds": "1"}
    status, answer = asked(double, "GET", f"/api/v1/namespaces/{api.home}/pods", fields=query)
    assert status == (410 if as_status else 200)
    assert json.loads(answer).get("type") == (None if as_status else "ERROR")
    with pytest.raises(client.ApiException) as told:
        list(api.changes(since))
    assert told.value.status == 410
    fresh = api.core.list_namespaced_config_map(api.home).metadata.resource_version
    assert list(api.changes(fresh, timeout_seconds=1)) == []


def test_history_has_an_end(engine: Engine, tmp_path: Path) -> None:
    with Cluster(engine, tmp_path / "double", ["home"], history=5) as short:
        core = _core(short.kubeconfig(tmp_path / "kubeconfig"))
        first = core.create_namespaced_config_map("home", {"metadata": {"name": "c0"}})
        for n in range(1, 7):
            core.create_namespaced_config_map("home", {"metadata": {"name": f"c{n}"}})
        old = watch.Watch().stream(
            core.list_namespaced_config_map, "home",
            resource_version=first.metadata.resource_version,
        )  # fmt: skip
        with pytest.raises(client.ApiException) as told:
            next(old)
        assert told.value.status == 410


# ---- what a cluster does by itself


def test_what_an_anchor_owns_goes_with_it(api: Api) -> None:
    anchor = api.config_map("anchor")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "anchor", "uid": anchor.metadata.uid}
    api.config_map("owned", ownerReferences=[owner])
    api.config_map("free")
    body = {"metadata": {"name": "pod", "ownerReferences": [owner]}}
    spec = {"nodeSelector": {"no": "where"}, "containers": [{"name": "c", "image": "i"}]}
    api.core.create_namespaced_pod(api.home, body | {"spec": spec})
    api.core.delete_namespaced_config_map("anchor", api.home)
    api.gone("pod")
    left = api.core.list_namespaced_config_map(api.home).items
    assert [one.metadata.name for one in left] == ["free"]
    api.config_map("orphan", ownerReferences=[owner])  # of one that is no more
    end = time.monotonic() + SLOW_S
    while len(api.core.list_namespaced_config_map(api.home).items) > 1:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_namespace_ends_with_all_that_is_in_it(api: Api, double: Cluster) -> None:
    double.create_namespace("brief")
    there = Api(api.core, "brief", api.image)
    there.config_map("one", finalizers=["pachybox.org/wait"])
    double.delete_namespace("brief")
    assert api.core.read_namespace("brief").status.phase == "Terminating"
    status, reason, said = refused(there.config_map, "two")
    assert (status, reason) == (403, "Forbidden")
    assert "unable to create new content in namespace brief because it is being terminated" in said
    there.core.patch_namespaced_config_map("one", "brief", {"metadata": {"finalizers": None}})
    end = time.monotonic() + SLOW_S
    while any(one.metadata.name == "brief" for one in api.core.list_namespace().items):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert refused(there.config_map, "two")[::2] == (404, 'namespaces "brief" not found')


def test_a_quota_is_kept(api: Api) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}}
    api.core.create_namespaced_resource_quota(api.home, quota)
    api.run("one", nodeSelector={"no": "where"})
    status, reason, said = refused(api.run, "two")
    assert (status, reason) == (403, "Forbidden")
    assert "exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1" in said


def test_a_pod_waits_for_a_node_that_has_room(api: Api, double: Cluster) -> None:
    api.run("big", "true", container={"resources": {"requests": {"cpu": "1000"}}})
    pod = api.until("big", lambda pod: pod.status.conditions)
    (refusal,) = pod.status.conditions
    assert (refusal.type, refusal.status, refusal.reason) == (
        "PodScheduled",
        "False",
        "Unschedulable",
    )
    assert refusal.message.startswith("0/1 nodes are available: 1 Insufficient cpu.")
    double.add_node("large", {"cpu": "2000"})
    assert api.phase("big", "Succeeded").spec.node_name == "large"
    api.run("gpu", nodeSelector={"gpu": "yes"})
    pod = api.until("gpu", lambda pod: pod.status.conditions)
    assert "2 node(s) didn't match Pod's node affinity/selector" in pod.status.conditions[0].message


# ---- Pods that run


def test_a_pod_runs_with_volumes_variables_and_init_containers(api: Api, tmp_path: Path) -> None:
    secret = {"metadata": {"name": "s"}, "stringData": {"key": "hidden"}}
    api.core.create_namespaced_secret(api.home, secret)
    mounts = [{"name": "shared", "mountPath": "/shared"}, {"name": "s", "mountPath": "/s"}]
    mounts += [{"name": "shm", "mountPath": "/dev/shm"}, {"name": "host", "mountPath": "/host"}]
    command = "cat /shared/x /s/key; echo; echo $A $B; df -k /dev/shm | tail -1; id -u; touch /y"
    container = {
        "volumeMounts": mounts,
        "env": [
            {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
            {"name": "B", "value": "is $(A)"},
        ],
        "securityContext": {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}},
    }
    first = {"name": "first", "image": api.image, "command": ["sh", "-c", "echo one > /shared/x"]}
    (tmp_path / "file").write_text("x")
    api.run(
        "full", command, container=container,
        initContainers=[first | {"volumeMounts": mounts[:1]}],
        volumes=[
            {"name": "shared", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "s"}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "3Mi"}},
            {"name": "host", "hostPath": {"path": str(tmp_path), "type": "Directory"}},
        ],
    )  # fmt: skip
    pod = api.phase("full", "Failed")  # by touch, which may not
    lines = api.core.read_namespaced_pod_log("full", api.home).splitlines()
    assert lines[:3] == ["one", "hidden", "hidden is hidden"]
    assert lines[3].split()[1] == "3072"
    assert lines[4] == "1000"
    assert "/y" in api.core.read_namespaced_pod_log("full", api.home, tail_lines=1)
    assert (ended(pod).exit_code, ended(pod).reason) == (1, "Error")
    assert pod.status.init_container_statuses[0].state.terminated.reason == "Completed"
    assert (pod.status.pod_ip, pod.status.host_ip) == ("127.0.0.1", "127.0.0.1")


def test_a_pod_waits_for_what_it_mounts_and_refers_to(api: Api, tmp_path: Path) -> None:
    volume = {"name": "v", "hostPath": {"path": str(tmp_path / "later"), "type": "File"}}
    reference = {"secretKeyRef": {"name": "later", "key": "k"}}
    container = {"env": [{"name": "K", "valueFrom": reference}]}
    container |= {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}  # type: ignore[dict-item]
    api.run("waits", "cat /v; echo $K", container=container, volumes=[volume])
    assert api.waiting("waits", "ContainerCreating") == "None"
    (tmp_path / "later").write_text("file\n")
    assert api.waiting("waits", "CreateContainerConfigError") == 'secret "later" not found'
    value = base64.b64encode(b"key").decode()
    api.core.create_namespaced_secret(
        api.home, {"metadata": {"name": "later"}, "data": {"k": value}}
    )
    api.phase("waits", "Succeeded")
    assert api.core.read_namespaced_pod_log("waits", api.home) == "file\nkey\n"
    reasons = {one.reason for one in api.core.list_namespaced_event(api.home).items}
    assert {"FailedMount", "Failed"} <= reasons


def test_a_log_is_followed_to_its_end(api: Api) -> None:
    api.run("talks", "for n in 1 2 3; do echo $n; sleep 0.1; done")
    api.until("talks", lambda pod: pod.status.phase != "Pending")
    raw = api.core.read_namespaced_pod_log("talks", api.home, follow=True, _preload_content=False)
    assert b"".join(raw.stream()) == b"1\n2\n3\n"


def test_an_image_is_waited_for(api: Api) -> None:
    late = f"localhost/pachybox-test/late-{os.getpid()}:1"
    api.run("never", container={"image": late, "imagePullPolicy": "Never"})
    api.run("late", "true", container={"image": late})
    words = f'Container image "{late}" is not present with pull policy of Never'
    assert api.waiting("never", "ErrImageNeverPull") == words
    assert api.waiting("late", "ImagePullBackOff") == f'Back-off pulling image "{late}"'
    try:
        assert images.run("tag", api.image, late).returncode == 0
        api.phase("late", "Succeeded")
        api.phase("never", "Running")
    finally:
        images.run("untag", late, late)  # that name alone
    api.run("wrong", container={"image": "NO:such:name"})
    assert "couldn't parse image name" in api.waiting("wrong", "InvalidImageName")


def test_the_end_of_a_container_is_noticed(api: Api) -> None:
    api.run("killed")
    pid = first_pid(api.phase("killed", "Running"))
    os.kill(pid, signal.SIGKILL)
    pod = api.phase("killed", "Failed")
    assert (ended(pod).exit_code, ended(pod).reason) == (137, "Error")


def test_a_memory_limit_kills(api: Api, double: Cluster) -> None:
    limits = {"resources": {"limits": {"memory": "20Mi"}}}
    api.run("greedy", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo no", container=limits)
    assert ended(api.phase("greedy", "Failed")).reason == "OOMKilled"
    api.run("scripted")
    api.phase("scripted", "Running")
    double.oom("scripted")
    end = ended(api.phase("scripted", "Failed"))
    assert (end.reason, end.exit_code) == ("OOMKilled", 137)


def test_a_pod_is_told_to_end_and_then_made_to(api: Api, double: Cluster) -> None:
    api.run("polite", "trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done")
    pid = first_pid(api.phase("polite", "Running"))
    answer = api.core.delete_namespaced_pod("polite", api.home, grace_period_seconds=10)
    assert answer.metadata.deletion_grace_period_seconds == 10
    begun = time.monotonic()
    api.gone("polite")
    assert time.monotonic() - begun < 8
    assert not Path(f"/proc/{pid}").exists()
    api.run("stubborn", "trap '' TERM; while :; do sleep 0.01; done")
    pid = first_pid(api.phase("stubborn", "Running"))
    api.core.delete_namespaced_pod("stubborn", api.home, grace_period_seconds=0)
    assert api.pods() == []


def test_a_pod_that_always_runs_is_started_again(api: Api) -> None:
    api.run("again", "exit 4", restartPolicy="Always", terminationGracePeriodSeconds=1)
    pod = api.until(
        "again", lambda pod: (pod.status.container_statuses or [_NONE])[0].restart_count
    )
    assert pod.status.container_statuses[0].last_state.terminated.exit_code == 4
    assert pod.status.phase == "Running"


_NONE = client.V1ContainerStatus(image="", image_id="", name="", ready=False, restart_count=0)


def test_a_deadline_ends_a_pod(api: Api) -> None:
    api.run("slow", activeDeadlineSeconds=1)
    assert api.phase("slow", "Failed").status.reason == "DeadlineExceeded"


def test_a_pod_is_evicted(api: Api, double: Cluster) -> None:
    api.run("evicted")
    api.phase("evicted", "Running")
    double.evict("evicted", "The node was low on resource: ephemeral-storage.")
    status = api.phase("evicted", "Failed").status
    assert (status.reason, "ephemeral-storage" in status.message) == ("Evicted", True)
    assert ended(api.read("evicted")).exit_code == 137


def test_a_node_is_lost_and_found(api: Api, double: Cluster) -> None:
    api.run("kept", terminationGracePeriodSeconds=1)
    pid = first_pid(api.phase("kept", "Running"))
    double.lose_node(evict=False)
    assert api.phase("kept", "Unknown").status.reason == "NodeLost"
    assert _state(pid) == "D"  # frozen
    (node,) = api.core.list_node().items
    assert [one.status for one in node.status.conditions if one.type == "Ready"] == ["Unknown"]
    double.find_node()
    api.phase("kept", "Running")
    double.lose_node()
    assert api.read("kept").metadata.deletion_timestamp
    double.find_node()
    api.gone("kept")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_service_leads_to_its_pods(api: Api, double: Cluster) -> None:
    command = "echo served > /tmp/x; exec httpd -f -h /tmp -p 8080"
    port = {"name": "http", "containerPort": 8080}
    api.run("web", command, hostNetwork=False, labels={"app": "web"}, container={"ports": [port]})
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
    made = api.core.create_namespaced_service(
        api.home, {"metadata": {"name": "web"}, "spec": spec | {"type": "NodePort"}}
    )
    pod = api.phase("web", "Running")
    assert double.endpoints("web") == [f"{pod.status.pod_ip}:8080"]
    urls = [
        f"http://127.0.0.1:{made.spec.ports[0].node_port}/x",
        f"http://{made.spec.cluster_ip}/x",
    ]
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for url in urls:
        end = time.monotonic() + SLOW_S
        while True:
            try:
                assert direct.open(url, timeout=5).read() == b"served\n"
                break
            except OSError:  # it does not listen yet
                assert time.monotonic() < end
                time.sleep(0.02)


# ---- what goes wrong with the API


def test_requests_fail_as_often_as_they_are_told_to(api: Api, double: Cluster) -> None:
    faults = double.faults
    faults.fail(1, 429, verb="create", resource="configmaps", retry_after=1)
    with pytest.raises(client.ApiException) as told:
        api.config_map("one")
    assert (told.value.status, told.value.headers["Retry-After"]) == (429, "1")
    api.config_map("one")
    faults.fail(2, 500, verb="list")
    assert api.core.read_namespaced_config_map("one", api.home)  # other verbs are not touched
    assert [refused(api.pods)[0] for _ in range(2)] == [500, 500]
    assert api.pods() == []
    faults.fail(1, "reset")
    with pytest.raises(urllib3.exceptions.HTTPError):
        _once(api).list_namespaced_pod(api.home)
    faults.fail(1, "hang")
    with pytest.raises(urllib3.exceptions.HTTPError):
        _once(api).list_namespaced_pod(api.home, _request_timeout=0.2)
    assert api.pods() == []


def _once(api: Api) -> client.CoreV1Api:
    """A client that asks once only."""
    copied = copy.copy(api.core.api_client.configuration)
    copied.retries = False
    return client.CoreV1Api(client.ApiClient(copied))


def test_an_answer_is_lost(api: Api, double: Cluster) -> None:
    double.faults.answer_then_fail(resource="configmaps")
    with pytest.raises(urllib3.exceptions.HTTPError):
        _once(api).create_namespaced_config_map(api.home, {"metadata": {"name": "made"}})
    assert refused(api.config_map, "made")[:2] == (409, "AlreadyExists")
    double.faults.answer_then_fail(status=503, resource="configmaps")
    assert refused(api.config_map, "also")[0] == 503
    assert api.core.read_namespaced_config_map("also", api.home)


def test_watches_are_dropped_slow_and_silent(api: Api, double: Cluster) -> None:
    nowhere = {"nodeSelector": {"no": "where"}}

    def begun(**query: Any) -> Iterator[Object]:
        events = api.changes("", **query)
        next(events)
        return events

    api.run("first", **nowhere)
    events = begun(timeout_seconds=20)
    double.drop_watches()
    with pytest.raises(urllib3.exceptions.HTTPError):
        list(events)
    double.faults.slow_watch(0.3)
    events = begun(timeout_seconds=20)
    start = time.monotonic()
    api.run("second", **nowhere)
    while next(events)["object"].metadata.name != "second":
        pass
    assert time.monotonic() - start >= 0.3
    double.faults.clear()
    events = begun(timeout_seconds=20, _request_timeout=(5, 0.5))
    double.faults.silence_watches()
    api.run("third", **nowhere)
    with pytest.raises(urllib3.exceptions.HTTPError):
        list(events)
    assert len(api.pods()) == 3


def test_the_api_goes_and_comes_again(api: Api, double: Cluster) -> None:
    version = api.config_map("one").metadata.resource_version
    double.unreachable()
    with pytest.raises(urllib3.exceptions.HTTPError):
        _once(api).list_namespaced_config_map(api.home)
    double.reachable()
    double.restart()
    found = api.core.read_namespaced_config_map("one", api.home)
    assert found.metadata.resource_version == version


def test_nothing_is_left_of_a_cluster(api: Api, engine: Engine, tmp_path: Path) -> None:
    with Cluster(engine, tmp_path / "double", ["home"]) as brief:
        there = Api(_core(brief.kubeconfig(tmp_path / "kubeconfig")), "home", api.image)
        memory = {"name": "m", "emptyDir": {"medium": "Memory"}}
        name = f"left-{os.getpid()}"
        there.run(name, volumes=[memory])
        pid = first_pid(there.phase(name, "Running"))
        there.run(f"{name}-starting")
    assert not Path(f"/proc/{pid}").exists()
    assert str(tmp_path) not in Path("/proc/mounts").read_text()
    mine = f"--filter=label=io.kubernetes.pod.name={name}"
    starting = f"{mine}-starting"
    for one in (mine, starting):
        assert images.run("ps", "--all", "--quiet", one).stdout == ""
