"""What specs say to Pods, what is refused at once, and pipelines from runner to runner."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pachybox.client.pipeline_values import JobInfo
from pachybox.client.trial_values import TrialLine
from tests.boxes import RealBox, eventually, free_port
from tests.kube.cluster import TestCluster

CLUSTER = "works with the runner kubernetes alone; it is kept and has no effect"


@pytest.fixture(scope="module")
def box(
    session_cluster: TestCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealBox]:
    """A box whose setting says nothing of Pods, with a cluster that it could use."""
    settings = (
        f'kubeconfig = "{session_cluster.kubeconfig}"\n'
        f'kubernetes_namespace = "{session_cluster.namespace}"\n'
    )
    made = RealBox(tmp_path_factory.mktemp("specs"), settings=settings).start()
    made.client.create_repo("in")
    with made.client.commit("in@master") as commit:
        commit.put_file("/a", b"1")
        commit.put_file("/b", b"2")
    yield made
    assert made.stop() == 0


@pytest.fixture(name="image")
def image_fixture(session_cluster: TestCluster) -> str:
    return session_cluster.image("busybox")


def spec(name: str, image: str, script: str, **fields: Any) -> str:
    return json.dumps(
        {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "in", "glob": "/*"}},
            "transform": {"image": image, "cmd": ["sh"], "stdin": script.splitlines()},
            "datum_tries": 1,
            **fields,
        }
    )


def over(box: RealBox, name: str, version: int = 1) -> JobInfo:
    """The newest job of a pipeline at a version, once it is over."""

    def look() -> JobInfo | None:
        for job in box.client.list_job(name):
            if int(job.raw.get("pipelineVersion") or 0) == version:
                return job if job.finished else None
        return None

    return eventually(look, f"a job of {name} at version {version} is over")


def skipped(box: RealBox, name: str, version: int) -> tuple[int, int]:
    """Datums processed and skipped by the job of a version."""
    raw = over(box, name, version).raw
    return int(raw.get("dataProcessed") or 0), int(raw.get("dataSkipped") or 0)


def test_a_pod_is_as_its_spec_says(box: RealBox, cluster: TestCluster, image: str) -> None:
    """Resources, tolerations and patches are those of the Pod; there is nothing to warn of. With
    another runner the same spec runs, and what has no effect there is named."""
    patch = [
        {"op": "add", "path": "/containers/0/env", "value": [{"name": "SEEN", "value": "yes"}]},
        {"op": "add", "path": "/volumes/-", "value": {"name": "more", "emptyDir": {}}},
        {
            "op": "add",
            "path": "/containers/0/volumeMounts/-",
            "value": {"name": "more", "mountPath": "/more"},
        },
    ]
    fields = {
        "resource_limits": {"cpu": 0.5, "memory": "64M"},
        "resource_requests": {"cpu": 0.01},
        "tolerations": [{"key": "x", "operator": "EXISTS", "effect": "NO_SCHEDULE"}],
        "pod_spec": '{"hostname": "worker"}',
        "pod_patch": json.dumps(patch),
    }
    script = "ls -d /more > /pfs/out/$(ls /pfs/in); echo $SEEN >> /pfs/out/$(ls /pfs/in)"
    text = spec("pods", image, script, **fields)
    done = box.run("create", "pipeline", "--runner", "kubernetes", stdin=text.encode())
    assert (done.returncode, done.stderr) == (0, "")
    assert over(box, "pods").state == "JOB_SUCCESS"
    assert box.client.get_file("pods@master:/a") == b"/more\nyes\n"
    pod = cluster.pods("pods")[0]
    assert pod.spec.hostname == "worker"
    assert pod.spec.containers[0].name == "user"
    assert pod.spec.containers[0].resources.limits == {"cpu": "500m", "memory": "64M"}
    assert pod.spec.containers[0].resources.requests == {"cpu": "10m", "memory": "64M"}
    assert [(one.key, one.effect) for one in pod.spec.tolerations][:1] == [("x", "NoSchedule")]
    done = box.run("update", "pipeline", "--runner", "podman", "--dry-run", stdin=text.encode())
    told = done.stderr
    for name in ("resource_requests", "tolerations", "pod_spec", "pod_patch"):
        assert f": {name}: {CLUSTER}" in told
    diff = box.run("diff", "pipeline", "--runner", "podman", stdin=text.encode())
    assert f": pod_patch: {CLUSTER}" in diff.stdout + diff.stderr
    right = box.run("validate", "pipeline", "--runner", "kubernetes", stdin=text.encode())
    assert CLUSTER not in right.stderr
    box.client.delete_pipeline("pods")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"pod_patch": '[{"op": "remove", "path": "/containers/3"}]'},
            "pod_patch: operation 0 'remove /containers/3'",
        ),
        (
            {"pod_patch": '[{"op": "replace", "path": "/containers/0/command", "value": ["sh"]}]'},
            "changes command of the container 'user'",
        ),
        ({"pod_spec": '{"volumes": []}'}, "pod_spec: it changes the volume shim"),
        ({"pod_spec": '{"hostnam": "x"}'}, "no cluster takes it: spec.hostnam: "),
        (
            {"resource_limits": {"gpu": {"type": "k80", "number": 1}}},
            "resource_limits.gpu.type: 'k80' is no kind of card to a cluster",
        ),
        (
            {
                "service": {"internal_port": 80, "type": "NodePort"},
                "input": {"pfs": {"repo": "in", "glob": "/"}},
            },
            "service.external_port: 80 is no port of a node",
        ),
    ],
)
def test_what_no_pod_can_be_is_refused_when_it_is_made(
    box: RealBox, image: str, fields: dict[str, Any], told: str
) -> None:
    """By name, and at its line and column to who asks for all that is wrong."""
    text = spec("never", image, "true", **fields).replace(', "', ',\n"').encode()
    done = box.run("create", "pipeline", "--runner", "kubernetes", stdin=text)
    assert done.returncode == 1
    assert told in done.stderr
    found = box.run("validate", "pipeline", "--runner", "kubernetes", stdin=text)
    (line,) = [one for one in found.stderr.splitlines() if told in one]
    field = next(iter(fields))
    row = next(n for n, one in enumerate(text.decode().splitlines(), 1) if f'"{field}"' in one)
    assert line.startswith(f"pachybox: stdin:{row}:"), line
    assert "never" not in [one.name for one in box.client.list_pipeline()]


def test_a_service_in_a_pod_is_reached_on_loopback(box: RealBox, image: str) -> None:
    """At its own number too: the port is the Pod's, and the box listens at it here."""
    port = free_port()
    fields = {
        "service": {"internal_port": port},
        "input": {"pfs": {"repo": "in", "glob": "/"}},
    }
    script = f"echo served > /tmp/x; while true; do nc -l -p {port} < /tmp/x; done"
    text = spec("serve", image, script, **fields)
    box.cli("create", "pipeline", "--runner", "kubernetes", stdin=text.encode())

    def served() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as to:
                to.settimeout(10)
                return to.recv(100) == b"served\n"
        except OSError:
            return False

    eventually(served, "the service answers")
    assert f"127.0.0.1:{port}" in box.cli("inspect", "pipeline", "serve")
    box.client.delete_pipeline("serve")


def test_pipelines_follow_the_setting_without_running_anything_again(
    box: RealBox, cluster: TestCluster, image: str
) -> None:
    """One folder of specs, each runner in turn: what one has computed the others skip. Nothing of
    a pipeline that left stays in the cluster."""
    text = spec("moves", image, "cat /pfs/in/* > /pfs/out/x$(ls /pfs/in)").encode()
    box.cli("create", "pipeline", "--runner", "process", stdin=text)
    assert skipped(box, "moves", 1) == (2, 0)
    box.stop()
    toml = box.home / "box.toml"
    before = toml.read_text()
    toml.write_text(f'{before}runner = "kubernetes"\n')
    box.forget_client()
    box.start()
    doctor = box.run("doctor").stdout
    assert "1 not by the setting's runner, kubernetes: moves" in doctor
    assert "pachybox move pipeline --all" in doctor
    assert "process" in box.cli("move", "pipeline", "--all", "--dry-run")
    assert box.cli("move", "pipeline", "--all").split()[-4:] == [
        "moves", "2", "process", "kubernetes"
    ]  # fmt: skip
    assert box.cli("move", "pipeline", "--all").splitlines()[1:] == []
    assert skipped(box, "moves", 2) == (0, 2)
    assert box.client.inspect_pipeline("moves").runner == "kubernetes"
    was = [one.runner for one in box.client.list_pipeline("moves", history=1)]
    assert was == ["kubernetes", "process"]
    with box.client.commit("in@master") as commit:
        commit.put_file("/c", b"3")
    assert eventually(lambda: _again(box), "a Pod has run what is new") == (1, 2)
    assert box.client.get_file("moves@master:/xc") == b"3"
    for version, runner in ((3, "podman"), (4, "process")):
        box.cli("move", "pipeline", "moves", "--runner", runner)
        assert skipped(box, "moves", version) == (0, 3)
    eventually(lambda: not _anchors(cluster), "nothing is left in the cluster")
    box.stop()
    toml.write_text(before)
    box.forget_client()
    box.start()
    assert "by the setting" not in box.run("doctor").stdout


def _again(box: RealBox) -> tuple[int, int] | None:
    """Datums processed and skipped by the second job of version 2, once it is over."""
    jobs = [j for j in box.client.list_job("moves") if j.raw.get("pipelineVersion") == "2"]
    if len(jobs) < 2 or not jobs[0].finished:
        return None
    return int(jobs[0].raw["dataProcessed"]), int(jobs[0].raw["dataSkipped"])


def _anchors(cluster: TestCluster) -> list[Any]:
    found = cluster.core().list_namespaced_config_map(
        cluster.namespace, label_selector="app.kubernetes.io/managed-by=pachybox"
    )
    return list(found.items)


def test_a_trial_says_what_it_waits_for_and_leaves_nothing(
    box: RealBox, cluster: TestCluster, image: str
) -> None:
    """It would stand still without a word: there is no job that has the reason. Once it is over,
    no pipeline is there whose end would take its things away."""
    cluster.doubled()
    text = spec("tried", image, "true", scheduling_spec={"node_selector": {"no": "such"}})
    events = box.client.open_trial()
    trial = next(events).trial
    box.client.run_trial(trial, text, sample=1, runner="kubernetes")
    lines = (event.what.message for event in events if isinstance(event.what, TrialLine))
    assert next(one for one in lines if "waits: the Pod of tried finds no place" in one)
    events.close()
    eventually(lambda: not _anchors(cluster), "nothing of it is left in the cluster")
