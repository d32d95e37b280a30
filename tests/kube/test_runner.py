"""A box whose pipelines run in Pods, and all that may happen to a cluster meanwhile."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import threading
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pachybox.client.pipeline_values import JobInfo
from pachybox.config import Config
from pachybox.errors import Refused
from pachybox.pps.runners.base import Transform, WorkerSpec, WorkerWaits
from pachybox.pps.runners.pods import remover, runner
from pachybox.pps.runners.pods.access import Settings
from pachybox.pps.runners.pods.api import Kube
from pachybox.pps.runners.pods.manifest import BOX
from pachybox.pps.runners.pods.runner import PodsRunner
from pachybox.pps.runners.pods.watch import Watch
from pachybox.pps.runners.process import ProcessRunner
from tests.boxes import RealBox, eventually, free_port
from tests.kube.cluster import TestCluster
from tests.kube.double import Cluster

CODE = """
import os, socket
name, = os.listdir("/pfs/data")
with socket.create_connection(("127.0.0.1", int(os.environ["GATE"]))) as gate:
    gate.sendall(name.encode() + b"\\n")
    assert gate.recv(1) == b"!"
with open("/pfs/data/" + name) as data, open("/pfs/out/" + name, "w") as out:
    out.write(data.read())
"""
FILES = {"a": "one\n", "b": "two\n", "c": "three\n"}


class Gate:
    """Holds datums until it is opened; ``begun`` are those that came to it, in their order."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.begun: list[str] = []
        self._open = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def open(self) -> None:
        """Let all through, from now on."""
        self._open.set()

    def close(self) -> None:
        self._open.set()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._attend, args=(connection,), daemon=True).start()

    def _attend(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            self.begun.append(lines.readline().decode().strip())
            self._open.wait()
            try:
                connection.sendall(b"!")
            except OSError:
                return


class Shop:
    """A box that runs pipelines in Pods, and hands to make some; ``made`` are the names of all."""

    def __init__(self, box: RealBox, there: TestCluster, image: str) -> None:
        self.box = box
        self.there = there
        self.image = image
        self.made: list[str] = []

    def pipeline(
        self, gate: Gate | None = None, files: Mapping[str, str] = FILES, **spec: Any
    ) -> str:
        """Make a pipeline and its input; its name."""
        name = f"p{uuid.uuid4().hex[:6]}"
        client = self.box.client
        client.create_repo(f"in-{name}")
        with client.commit(f"in-{name}@master") as commit:
            for path, text in files.items():
                commit.put_file(f"/{path}", text.encode())
        transform = {"image": self.image, "cmd": ["python3", "-c", CODE]}
        transform["env"] = {"GATE": str(gate.port) if gate else ""}
        transform |= spec.pop("transform", {})
        whole = {
            "pipeline": {"name": name},
            "input": {
                "pfs": {"repo": f"in-{name}", "name": "data", "glob": spec.pop("glob", "/*")}
            },
            "transform": transform,
            **spec,
        }
        client.create_pipelines(json.dumps(whole))
        self.made.append(name)
        return name

    def state(self, name: str) -> tuple[str, str]:
        """State and reason of a pipeline."""
        found = self.box.client.inspect_pipeline(name)
        return found.state, found.reason

    def job(self, name: str) -> JobInfo:
        """The newest job of a pipeline."""
        return eventually(lambda: next(iter(self.box.client.list_job(name)), None), "a job")

    def crashes(self, name: str, words: str) -> None:
        """Wait until the pipeline says that it cannot go on, and why."""

        def told() -> bool:
            state, reason = self.state(name)
            return state == "PIPELINE_CRASHING" and words in reason

        try:
            eventually(told, f"{name} crashing for {words}")
        except AssertionError as e:
            raise AssertionError(f"{e}; it is {self.state(name)}") from e

    def output(self, name: str, files: Mapping[str, str] = FILES) -> None:
        """Wait for the job's success, and see that its output is whole."""

        def over() -> bool:
            return bool(self.job(name).finished)

        eventually(over, f"the job of {name} is over; it is {self.state(name)}")
        assert self.job(name).state == "JOB_SUCCESS", self.job(name).reason
        client = self.box.client
        found = {path: client.get_file(f"{name}@master:/{path}").decode() for path in files}
        assert found == files
        assert self.state(name)[0] == "PIPELINE_RUNNING"

    def pods(self, name: str) -> list[str]:
        """The names of a pipeline's Pods."""
        return [pod.metadata.name for pod in self.there.pods(name)]

    def pod(self, name: str) -> Any:
        """The Pod of a pipeline with one worker, once those that it had before are gone."""

        def alone() -> Any:
            found = self.there.pods(name)
            return found[0] if len(found) == 1 else None

        return eventually(alone, f"one Pod of {name}")

    def clear(self) -> None:
        """Delete its pipelines: one that still wants Pods, its test having failed, would make them
        in the next test's cluster."""
        for one in self.box.client.list_pipeline():
            if one.name in self.made:
                self.box.client.delete_pipeline(one.name)


@pytest.fixture(scope="module")
def box(
    session_cluster: TestCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealBox]:
    env = {
        "PACHYBOX_RUNNER": "kubernetes",
        "KUBECONFIG": str(session_cluster.kubeconfig),
        "PACHYBOX_KUBERNETES_NAMESPACE": session_cluster.namespace,
    }
    made = RealBox(tmp_path_factory.mktemp("pods") / "home", env)
    made.start()
    yield made
    assert made.stop() == 0
    if session_cluster.double:
        assert session_cluster.double.store.all("pods") == []


@pytest.fixture(scope="module")
def image(session_cluster: TestCluster) -> str:
    return session_cluster.image("python")


@pytest.fixture
def shop(box: RealBox, cluster: TestCluster, image: str) -> Iterator[Shop]:
    made = Shop(box, cluster, image)
    yield made
    made.clear()


@pytest.fixture
def double(cluster: TestCluster) -> Cluster:
    return cluster.doubled()


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


def begun(gate: Gate, number: int = 1) -> None:
    eventually(lambda: len(gate.begun) >= number, f"{number} datums begun")


def test_a_pipeline_runs_in_pods_that_go_with_it(shop: Shop, gate: Gate) -> None:
    name = shop.pipeline(gate)
    begun(gate)
    core, where = shop.there.core(), shop.there.namespace
    pod = shop.there.pods(name)[0]
    assert pod.spec.host_network
    anchor = pod.metadata.owner_references[0].name
    gate.open()
    shop.output(name)
    assert sorted(gate.begun) == sorted(FILES)
    shop.box.client.stop_pipeline(name)
    eventually(lambda: not shop.pods(name), "no pod of a pipeline that is stopped")
    shop.box.client.start_pipeline(name)
    shop.box.client.delete_pipeline(name)

    def anchors() -> list[str]:
        return [one.metadata.name for one in core.list_namespaced_config_map(where).items]

    eventually(lambda: anchor not in anchors(), "no anchor of a pipeline that is deleted")


def test_doctor_looks_at_the_cluster(shop: Shop, double: Cluster) -> None:
    said = shop.box.cli("doctor", check=False)
    assert re.search(r"ok +PB606 cluster: Kubernetes v1\.", said)
    assert re.search(r"ok +PB607 rights in the cluster: ", said)
    assert re.search(r"ok +PB608 node of Pods: node-1 is this machine", said)
    double.unreachable()
    said = shop.box.cli("doctor", check=False)
    double.reachable()
    assert re.search(r"warn +PB606 cluster: .*does not answer", said)


def test_requests_that_fail_are_made_again(shop: Shop, double: Cluster, gate: Gate) -> None:
    double.faults.fail(1, 429, "create", "pods", retry_after=1)
    double.faults.fail(1, 500, "create", "pods")
    double.faults.fail(1, 409, "create", "pods")
    double.faults.fail(1, "reset", "create", "pods")
    double.faults.answer_then_fail(1)
    double.faults.fail(1, 503, "get", "configmaps")
    gate.open()
    name = shop.pipeline(gate, parallelism_spec={"constant": 1})
    shop.output(name)
    made = [r for r in double.requests if (r.verb, r.resource) == ("create", "pods")]
    assert [r.status for r in made].count(201) <= 1
    shop.pod(name)


def test_watches_that_are_cut_late_or_silent_keep_nobody(
    shop: Shop, double: Cluster, gate: Gate
) -> None:
    gate.open()
    double.drop_watches()
    double.expire()
    shop.output(shop.pipeline(gate))
    double.expire(as_status=True)
    double.drop_watches()
    double.faults.silence_watches(new=True)
    shop.output(shop.pipeline(gate))
    double.faults.clear()
    double.faults.slow_watch(20)
    shop.output(shop.pipeline(gate))


def test_a_watch_that_falls_silent_is_given_up(cluster: TestCluster) -> None:
    double = cluster.doubled()
    kube = Kube(Settings(str(cluster.kubeconfig), namespace=cluster.namespace))
    watch = Watch(kube, "of=watch", for_s=1, silent_s=0.5)
    watch.start()
    core = cluster.core()

    def make(name: str) -> None:
        container = {"name": "c", "image": "none:1"}
        body = {"metadata": {"name": name, "labels": {"of": "watch"}}}
        core.create_namespaced_pod(cluster.namespace, body | {"spec": {"containers": [container]}})

    make("one")
    eventually(lambda: watch.names() == {"one"}, "the watch tells")
    double.faults.silence_watches()
    make("two")
    eventually(lambda: watch.names() == {"one", "two"}, "the next watch tells")
    core.delete_namespaced_pod("one", cluster.namespace, grace_period_seconds=0)
    eventually(lambda: watch.names() == {"two"}, "what is deleted is gone")
    watch.stop()
    kube.close()


def test_a_pod_that_nobody_asks_for_any_more_is_taken_away(
    cluster: TestCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.doubled()
    monkeypatch.setattr(remover, "_TIDY_S", 0.1)
    monkeypatch.setattr(runner, "_TROUBLE_S", 0.1)
    (tmp_path / "run").mkdir()
    config = Config(tmp_path, kubeconfig=str(cluster.kubeconfig))
    made = PodsRunner(ProcessRunner(), tmp_path, config)
    spec = WorkerSpec("waits", Transform(("true",)), tmp_path, image="localhost/none:1")
    core, where = cluster.core(), cluster.namespace

    def told() -> bool:
        with pytest.raises(WorkerWaits) as raised:
            made.start(spec)
        return raised.value.trouble and "cannot pull the image" in raised.value.message

    eventually(told, "why there is no Pod is told")
    (pod,) = core.list_namespaced_pod(where).items
    assert told()
    assert [one.metadata.uid for one in core.list_namespaced_pod(where).items] == [pod.metadata.uid]
    monkeypatch.setattr(runner, "_UNCLAIMED_S", 0.1)
    eventually(lambda: not core.list_namespaced_pod(where).items, "the pod is taken away")
    made.close()
    assert not core.list_namespaced_config_map(where, label_selector=f"{BOX}").items


def test_names_that_are_taken_and_logins(shop: Shop, double: Cluster, gate: Gate) -> None:
    login = {".dockerconfigjson": base64.b64encode(b'{"auths": {}}').decode()}
    kind = "kubernetes.io/dockerconfigjson"
    secret = {"kind": "Secret", "metadata": {"name": "login"}, "type": kind, "data": login}
    shop.box.client.create_secret(json.dumps(secret))
    pulls = {"image_pull_secrets": ["login", "of-the-cluster"]}
    name = shop.pipeline(gate, parallelism_spec={"constant": 1}, transform=pulls)
    begun(gate)
    mine = shop.pod(name).metadata.name
    pulled = double.pod(mine)["spec"]["imagePullSecrets"]
    assert pulled[1] == {"name": "of-the-cluster"}
    found = double.store.get("secrets", shop.there.namespace, pulled[0]["name"])
    assert found["data"] == login
    anchor = double.pod(mine)["metadata"]["ownerReferences"]
    assert found["metadata"]["ownerReferences"] == anchor
    body = {"metadata": {"name": mine.replace("-v1-0", "-v1-1")}}
    body["spec"] = {"containers": [{"name": "c", "image": "none:1"}]}  # type: ignore[dict-item]
    foreign = shop.there.core().create_namespaced_pod(shop.there.namespace, body)
    double.oom(mine)
    begun(gate, 2)
    gate.open()
    shop.output(name)
    shop.box.client.delete_pipeline(name)
    gone = pulled[0]["name"]
    eventually(lambda: not double.store.find("secrets", shop.there.namespace, gone), "no secret")
    eventually(lambda: not shop.pods(name), "no Pod of a pipeline that is deleted")
    assert double.pod(foreign.metadata.name)["metadata"]["uid"] == foreign.metadata.uid


def test_a_pod_that_is_taken_away_loses_no_datum(shop: Shop, double: Cluster, gate: Gate) -> None:
    name = shop.pipeline(gate, parallelism_spec={"constant": 1})
    for number, end in enumerate((double.evict, double.oom), 1):
        begun(gate, number)
        end(shop.pod(name).metadata.name)
    begun(gate, 3)
    gate.open()
    shop.output(name)
    assert gate.begun[:3] == [gate.begun[0]] * 3
    assert sorted(gate.begun[2:]) == sorted(FILES)


def test_a_datum_whose_pods_are_taken_away_again_and_again_says_why(
    shop: Shop, double: Cluster, gate: Gate
) -> None:
    name = shop.pipeline(gate, {"a": "one\n"}, datum_tries=1)
    for number in (1, 2):
        begun(gate, number)
        double.evict(shop.pod(name).metadata.name, "The node was low on resource: pids.")
    eventually(lambda: shop.job(name).finished, "the job is over")
    assert shop.job(name).state == "JOB_FAILURE"
    assert "was evicted: The node was low on resource: pids." in shop.job(name).reason


def test_a_node_that_is_lost_is_waited_for(shop: Shop, double: Cluster, gate: Gate) -> None:
    name = shop.pipeline(gate, parallelism_spec={"constant": 1})
    begun(gate)
    double.lose_node(containers="kill")
    shop.crashes(name, "finds no place")
    double.find_node()
    gate.open()
    shop.output(name)


def test_a_namespace_that_is_deleted_is_waited_for(shop: Shop, double: Cluster, gate: Gate) -> None:
    name = shop.pipeline(gate, parallelism_spec={"constant": 1})
    begun(gate)
    double.faults.fail(1000, 403, "create", "namespaces")
    double.delete_namespace(shop.there.namespace)
    shop.crashes(name, f"has no namespace {shop.there.namespace}")
    double.create_namespace(shop.there.namespace)
    gate.open()
    shop.output(name)


def test_room_is_waited_for(shop: Shop, double: Cluster, gate: Gate) -> None:
    gate.open()
    name = shop.pipeline(gate, resource_requests={"cpu": 1000})
    shop.crashes(name, "Insufficient cpu")
    assert "Insufficient cpu" in shop.job(name).reason
    double.add_node("large", {"cpu": "4000"})
    shop.output(name)


def test_an_image_is_waited_for(shop: Shop, gate: Gate) -> None:
    shop.there.doubled()
    gate.open()
    tag = f"localhost/pachybox-late-{uuid.uuid4().hex[:8]}:1"
    name = shop.pipeline(gate, transform={"image": tag})
    shop.crashes(name, f"cannot pull the image {tag}")
    assert f"pachybox k3s import {tag}" in shop.state(name)[1]
    subprocess.run(["podman", "tag", shop.image, tag], check=True)
    try:
        shop.output(name)
    finally:
        shop.box.client.delete_pipeline(name)
        subprocess.run(["podman", "untag", shop.image, tag], check=True)


def test_what_runs_runs_on_without_the_api(shop: Shop, double: Cluster, gate: Gate) -> None:
    name = shop.pipeline(gate, parallelism_spec={"constant": 1})
    begun(gate)
    double.unreachable()
    try:
        with pytest.raises(Refused, match="does not answer"):
            shop.pipeline(gate)
        gate.open()
        shop.output(name)
        shop.box.client.rerun_pipeline(name, reprocess=True)
        shop.box.client.stop_pipeline(name)
        shop.box.client.start_pipeline(name)
        shop.crashes(name, "does not answer")
    finally:
        double.reachable()
    shop.output(name)


def test_a_box_that_is_killed_takes_its_pods_up_anew(shop: Shop, gate: Gate) -> None:
    name = shop.pipeline(gate, parallelism_spec={"constant": 1})
    begun(gate)
    before = shop.pod(name)
    shop.box.kill()
    shop.box.start()
    gate.open()
    shop.output(name)
    assert shop.pod(name).metadata.uid != before.metadata.uid


def test_what_the_image_says_of_directory_and_user_holds(shop: Shop) -> None:
    script = "(pwd; id -u; id -G; echo $HOME) > /pfs/out/said"
    said = {}
    for kind, user in (("odd", ""), ("busybox", "app")):
        image = shop.there.image(kind)
        transform = {"image": image, "cmd": ["sh"], "stdin": [script], "user": user}
        name = shop.pipeline(files={"a": "one\n"}, transform=transform)
        eventually(lambda: shop.job(name).finished, f"the job of {name}")  # noqa: B023
        assert shop.job(name).state == "JOB_SUCCESS", shop.job(name).reason
        said[user] = shop.box.client.get_file(f"{name}@master:/said").decode().split("\n")
    assert said[""][0] == "/srv"
    assert said[""][1] == "1000"
    assert said["app"][1:4] == ["1000", "1000 50", "/home/app"]


def test_a_service_has_a_network_and_a_service_of_its_own(shop: Shop, double: Cluster) -> None:
    code = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8000)"
    port = free_port()
    name = shop.pipeline(
        glob="/",
        files={"a": "one\n"},
        transform={"cmd": ["python3", "-c", code], "working_dir": "/pfs/data"},
        service={"internal_port": 8000, "external_port": port},
    )

    def served() -> bytes:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/a", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return b""

    assert eventually(served, "the service answers on loopback") == b"one\n"
    service = shop.pod(name).metadata.owner_references[0].name
    assert eventually(lambda: double.endpoints(service), "the Service leads to the Pod")
    shop.box.client.stop_pipeline(name)
    eventually(lambda: not shop.pods(name), "the Pod is gone")
    eventually(lambda: not double.store.find("services", shop.there.namespace, service), "it too")
