"""The cluster that tests run against: a double of this machine, or a real one.

``KUBECONFIG`` names a real one; tests then run in a namespace of their own there, and those of
faults, which nobody can ask a real cluster for, skip. Its node must be this machine. The images of
tests get there by ``k3s ctr images import -``, or by the command that
``PACHYBOX_TEST_IMAGE_IMPORT`` names, which reads an archive of ``podman save`` from its input.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from kubernetes import client, config

from pachybox.containers.engine import Engine
from tests import images
from tests.kube.double import Cluster, Faults, Object, rights

MANIFESTS = images.ROOT / "k3s" / "manifests"  # whose Roles the double holds the box to
_OF_BOXES = "app.kubernetes.io/managed-by=pachybox"
_OF = "pachybox.org/pipeline"
_IMPORT = "PACHYBOX_TEST_IMAGE_IMPORT"
_tags: dict[str, str] = {}  # of images that the cluster has


@dataclass(frozen=True)
class TestCluster:
    """Where Pods are run. ``kubeconfig`` has the rights that a box has, ``double`` is None on a
    real cluster."""

    __test__ = False  # it is no test, whatever its name begins with

    kubeconfig: Path
    namespace: str
    double: Cluster | None

    @property
    def faults(self) -> Faults | None:
        """What can be made to go wrong with the API; None on a real cluster."""
        return self.double.faults if self.double else None

    def doubled(self) -> Cluster:
        """The double, for what only happens on request; skips the test on a real cluster."""
        if self.double is None:
            pytest.skip("nobody can ask a real cluster (KUBECONFIG) for this fault")
        return self.double

    def image(self, name: str) -> str:
        """The tag of an image of tests.images that Pods can have; skips where there can be none."""
        if name not in _tags:
            tag = images.image(name)
            if self.double is None:
                _import(tag)
            _tags[name] = tag
        return _tags[name]

    def pods(self, pipeline: str) -> list[client.V1Pod]:
        """Those of a pipeline, by what a box says of them."""
        found = self.core().list_namespaced_pod(self.namespace).items
        return [one for one in found if (one.metadata.annotations or {}).get(_OF) == pipeline]

    def core(self) -> client.CoreV1Api:
        """The API with the rights of the kubeconfig; on the double with all rights. One for all
        who ask: they ask again and again, and to read a kubeconfig and connect takes longer."""
        return self._core

    @cached_property
    def _core(self) -> client.CoreV1Api:
        if self.double is None:
            return client.CoreV1Api(config.new_client_from_config(str(self.kubeconfig)))
        folder = self.kubeconfig.parent
        path = self.double.kubeconfig(folder / "admin", self.namespace, self.double.admin_token)
        return client.CoreV1Api(config.new_client_from_config(str(path)))


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[TestCluster]:
    """A cluster with an empty namespace; skips where containers cannot be run."""
    if real := os.environ.get("KUBECONFIG"):
        with _namespace(Path(real)) as name:
            yield TestCluster(Path(real), name, None)
        return
    images.needed()
    name = f"pachybox-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
    with (
        closing(Engine(folder / "run")) as engine,
        Cluster(engine, folder / "double", [name], roles()) as double,
    ):
        yield TestCluster(double.kubeconfig(folder / "kubeconfig"), name, double)


@pytest.fixture(scope="session")
def session_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCluster]:
    """One cluster for all tests of a process."""
    with cluster(tmp_path_factory.mktemp("kube")) as made:
        yield made


@pytest.fixture(name="cluster")
def cluster_fixture(session_cluster: TestCluster) -> Iterator[TestCluster]:
    """The cluster, with nothing in its namespace and nothing wrong with it."""
    yield session_cluster
    if session_cluster.double is not None:
        session_cluster.double.reset()
        return
    core, home = session_cluster.core(), session_cluster.namespace
    core.delete_collection_namespaced_pod(home, grace_period_seconds=0)
    core.delete_collection_namespaced_config_map(home, label_selector=_OF_BOXES)
    core.delete_collection_namespaced_secret(home, label_selector=_OF_BOXES)
    core.delete_collection_namespaced_service(home, label_selector=_OF_BOXES)


def roles() -> list[Object] | None:
    """The Roles that a box is installed with, for whatever namespace; None where there are none."""
    if not MANIFESTS.is_dir():
        return None
    found = rights.read(MANIFESTS)
    for one in found:
        one.get("metadata", {}).pop("namespace", None)
    return found


@contextlib.contextmanager
def _namespace(kubeconfig: Path) -> Iterator[str]:
    """A namespace of a real cluster that goes with everything in it."""
    core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    name = f"pachybox-test-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    try:
        yield name
    finally:
        core.delete_namespace(name)


def _import(tag: str) -> None:
    """Give a real cluster's node an image of podman's."""
    command = os.environ.get(_IMPORT, "k3s ctr images import -")
    program = command.split()[0]
    if not shutil.which(program):
        pytest.skip(f"the cluster has no image {tag}: {program} is missing, set {_IMPORT}")
    with subprocess.Popen(["podman", "save", tag], stdout=subprocess.PIPE) as saved:
        subprocess.run(command.split(), stdin=saved.stdout, check=True, capture_output=True)
