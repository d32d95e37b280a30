"""Pods that do not come, or not here: what is told, how long it keeps anybody, what is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.config import Config
from pachybox.pps.runners.base import Transform, WorkerSpec, WorkerWaits
from pachybox.pps.runners.pods import runner as pods
from pachybox.pps.runners.pods.inside import PodWorker, Processes
from pachybox.pps.runners.pods.remover import Remover
from pachybox.pps.runners.pods.runner import PodsRunner
from pachybox.pps.runners.process import ProcessRunner
from tests.boxes import eventually
from tests.kube.cluster import TestCluster
from tests.kube.double import Cluster

KEPT_S = 8.0  # what one who is to stop may be kept for


class Pods:
    """The runner of a box without the box."""

    def __init__(self, there: TestCluster, home: Path) -> None:
        (home / "run").mkdir(exist_ok=True)
        self.pipelines = ["p"]
        config = Config(
            home, kubeconfig=str(there.kubeconfig), kubernetes_namespace=there.namespace
        )
        self.runner = PodsRunner(ProcessRunner(), home, config, pipelines=lambda: self.pipelines)
        self._there, self._home = there, home

    def spec(self, image: str, **pod: Any) -> WorkerSpec:
        return WorkerSpec("p", Transform(("true",)), self._home, image=image, pod=pod)

    def waits(self, spec: WorkerSpec) -> WorkerWaits:
        """What whoever asks is told, within moments."""
        began = time.monotonic()
        with pytest.raises(WorkerWaits) as raised:
            self.runner.start(spec)
        assert time.monotonic() - began < KEPT_S
        return raised.value

    def comes(self, spec: WorkerSpec) -> PodWorker:
        """A worker, as a lane asks for it."""
        until = time.monotonic() + 60
        while True:
            try:
                return self.runner.start(spec)
            except WorkerWaits:
                assert time.monotonic() < until
                time.sleep(0.1)  # as a lane does between two questions

    def names(self, kind: str = "pod") -> list[str]:
        """Those of all objects of a kind there."""
        found = getattr(self._there.core(), f"list_namespaced_{kind}")(self._there.namespace)
        return [one.metadata.name for one in found.items if one.metadata.name != "kube-root-ca.crt"]


def idle(remover: Remover) -> bool:
    """Whether all that was to be removed is."""
    with remover._wake:
        return not remover._things and remover._under_way is None


@pytest.fixture
def double(cluster: TestCluster) -> Cluster:
    return cluster.doubled()


@pytest.fixture
def made(double: Cluster, cluster: TestCluster, tmp_path: Path) -> Iterator[Pods]:
    made = Pods(cluster, tmp_path)
    assert made.runner.why_not() is None  # and what is done once is done
    yield made
    double.reachable()
    double.faults.clear()
    made.runner.close()


def test_nobody_is_kept_for_long(double: Cluster, cluster: TestCluster, made: Pods) -> None:
    spec = made.spec(cluster.image("python"))
    double.faults.fail(9, "hang", "create", "pods")
    assert "does not answer" in made.waits(spec).message
    double.faults.clear()
    double.faults.fail(99, 500, "get", "pods")
    made.comes(spec).close()


def test_a_pod_whose_process_is_not_here_is_made_anew(
    cluster: TestCluster, made: Pods, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pods, "_HERE_S", 0.1)
    here, made.runner._processes = made.runner._processes, Processes(tmp_path)
    spec = made.spec(cluster.image("python"))

    def told() -> bool:
        why = made.waits(spec)
        return why.trouble and "its process is not on this machine" in why.message

    eventually(told, "why is told")
    made.runner._processes = here
    made.comes(spec).close()
    eventually(lambda: not made.names(), "no Pod is left")


def test_what_an_earlier_life_left_goes_once_the_cluster_answers(
    double: Cluster, cluster: TestCluster, made: Pods, tmp_path: Path
) -> None:
    earlier = Pods(cluster, tmp_path)
    worker = earlier.comes(earlier.spec(cluster.image("python")))
    double.unreachable()
    made.pipelines = []
    made.runner.sweep()
    double.reachable()
    eventually(lambda: not made.names() + made.names("config_map"), "all of it is gone")
    worker.close()
    earlier.runner.close()


def test_no_pod_is_left_when_many_end_at_once(
    double: Cluster, cluster: TestCluster, made: Pods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods, "_CLOSE_S", 0.1)
    spec = made.spec(cluster.image("python"))
    workers = [made.comes(spec) for _ in range(2)]
    double.faults.fail(2, 500, "delete", "pods")
    for one in workers:
        one.close()
    made.runner.close()
    assert made.names() == []


def test_what_a_pipeline_has_no_use_for_any_more_goes(
    double: Cluster, cluster: TestCluster, made: Pods
) -> None:
    logins = {"login": b'{"auths": {}}', "old": b'{"auths": {}}'}
    image = cluster.image("python")
    service = {"internal_port": 80, "external_port": 80, "type": "ClusterIP"}
    made.comes(made.spec(image, version=1, logins=logins, spec={"service": service})).close()
    assert len(made.names("secret")) == 2
    del logins["old"]
    made.comes(made.spec(image, version=2, logins=logins)).close()
    assert len(made.names("secret")) == 1
    assert made.names("service") == []


def test_a_pipeline_that_stopped_while_the_cluster_was_away_keeps_its_next_pods(
    double: Cluster, cluster: TestCluster, made: Pods
) -> None:
    spec = made.spec(cluster.image("python"))
    first = made.comes(spec)
    double.unreachable()
    first.close()
    made.runner.forget("p")
    double.reachable()
    double.faults.fail(1, 500, "delete", "configmaps")
    again = made.comes(spec)
    (anchor,) = made.names("config_map")
    eventually(lambda: idle(made.runner._remover), "what was to go is gone")
    assert made.names("config_map") == [anchor]
    assert again.alive
    assert len(made.names()) == 1
    again.close()


def test_what_a_pipeline_of_an_earlier_life_had_goes_with_it(
    cluster: TestCluster, made: Pods, tmp_path: Path
) -> None:
    made.comes(made.spec(cluster.image("python"), logins={"login": b"{}"})).close()
    made.runner.close()
    assert (len(made.names("config_map")), len(made.names("secret"))) == (1, 1)
    later = Pods(cluster, tmp_path)
    later.runner.sweep()
    eventually(lambda: later.runner._swept, "it knows of what is there")
    later.pipelines = []
    later.runner.forget("p")
    eventually(lambda: not made.names("config_map") + made.names("secret"), "all of it is gone")
    later.runner.close()
