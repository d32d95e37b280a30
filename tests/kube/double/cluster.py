"""A cluster of this machine: the API, its nodes and Pods, and all that may happen to them."""

from __future__ import annotations

import base64
import contextlib
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import yaml

from pachybox.containers.engine import Engine
from tests.kube.double import certificate, nodes, services
from tests.kube.double.answers import ApiError, Object
from tests.kube.double.api import Api
from tests.kube.double.checks import VERSION
from tests.kube.double.controllers import Controllers
from tests.kube.double.faults import Faults
from tests.kube.double.kinds import at
from tests.kube.double.kubelet import Kubelets
from tests.kube.double.logs import Logs
from tests.kube.double.podman import Podman
from tests.kube.double.pods import PodRunner
from tests.kube.double.rights import Rights
from tests.kube.double.server import Parts, Request, Server
from tests.kube.double.store import HISTORY, Store

NODE = "node-1"
_SYSTEM = ("default", "kube-system", "kube-public", "kube-node-lease")
Containers = Literal["freeze", "kill", "run"]


class Cluster:
    """A Kubernetes API on loopback, whose Pods podman runs. Any thread may use it.

    ``token`` is held to ``rbac`` (documents of Roles and ClusterRoles, or a path to their YAML;
    None allows everything), ``admin_token`` may do anything. ``requests`` are those that were
    answered.
    """

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        namespaces: Iterable[str] = ("pachybox",),
        rbac: Path | Iterable[Object] | None = None,
        version: str = VERSION,
        history: int = HISTORY,
        pod_pids: int | None = None,
    ) -> None:
        """``version`` is that of the schemas; ``history`` how many changes a watch can go back;
        ``pod_pids`` how many processes a container may have, as a kubelet's podPidsLimit."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._namespaces = list(namespaces)
        self._rights, self._admin = Rights(rbac), Rights(None, "kubernetes-admin")
        self.token, self.admin_token = secrets.token_hex(16), secrets.token_hex(16)
        self.engine = engine
        self.faults = Faults()
        self.requests: list[Request] = []
        self.store = Store(history)
        self.api = Api(self.store, version)
        self._podman = Podman(engine)
        self._controllers = Controllers(self.api)
        self._kubelets = Kubelets(self.api, self._podman, folder / "pods", pod_pids)
        self._proxy = services.Proxy(self.store)
        context, self.ca = certificate.context(folder)
        logs = Logs(self.store, self._kubelets)
        parts = Parts(self.api, self.faults, self._who, logs.read, self.requests)
        self._server = Server(parts, context)
        self._closed = False

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.port}"

    def start(self) -> Cluster:
        """Begin; removes first what a process that is no more has left of a cluster."""
        for id_ in self._podman.of_process(alive=False):
            self._podman.remove(id_)
        self._controllers.start()
        for name in dict.fromkeys((*_SYSTEM, *self._namespaces)):
            self.create_namespace(name)
        self.add_node(NODE)
        self._server.start()
        return self

    def close(self) -> None:
        """End, and remove all containers; idempotent."""
        if self._closed:
            return
        self._closed = True
        self.faults.clear()
        self._server.close()
        self._controllers.close()
        self._proxy.close()
        self._kubelets.close()

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def reset(self) -> None:
        """As it was at the start: nothing wrong, no node beside the first, nothing in its
        namespaces, which are there. What the API was asked is forgotten."""
        self.faults.clear()
        self._server.start()
        self.find_node(NODE)
        for node in self.store.all("nodes"):
            if node["metadata"]["name"] != NODE:
                self.find_node(node["metadata"]["name"])
                self.store.remove("nodes", "", node["metadata"]["name"])
        for (resource, namespace, name), thing in self.store.everything():
            extra = resource == "namespaces" and name not in (*_SYSTEM, *self._namespaces)
            if namespace or extra:
                with contextlib.suppress(ApiError):  # what owned it took it along
                    uid = thing["metadata"]["uid"]
                    self.store.remove(resource, namespace, name, uid)
        for name in self._namespaces:
            found = self.store.find("namespaces", "", name)
            if found and at(found, "metadata.deletionTimestamp"):
                self.store.remove("namespaces", "", name)
            if not self.store.find("namespaces", "", name):
                self.create_namespace(name)
        self.requests.clear()

    def kubeconfig(self, path: Path, namespace: str = "", token: str = "") -> Path:
        """Write a kubeconfig, for its owner alone; of the first namespace and ``token`` unless
        others are given."""
        ca = base64.b64encode(self.ca).decode()
        used = namespace or self._namespaces[0]
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "double",
            "clusters": [
                {
                    "name": "double",
                    "cluster": {"server": self.url, "certificate-authority-data": ca},
                }
            ],
            "users": [{"name": "double", "user": {"token": token or self.token}}],
            "contexts": [
                {
                    "name": "double",
                    "context": {"cluster": "double", "user": "double", "namespace": used},
                }
            ],
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    # ---- what there is

    def pod(self, name: str, namespace: str = "") -> Object:
        """The Pod's object. Raises ApiError 404."""
        return self.store.get("pods", namespace or self._namespaces[0], name)

    def endpoints(self, service: str, namespace: str = "") -> list[str]:
        """``address:port`` of the Pods that are ready behind a service."""
        return services.endpoints(self.store, namespace or self._namespaces[0], service)

    def add_node(
        self,
        name: str,
        allocatable: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        taints: Iterable[Object] = (),
    ) -> Object:
        """One more node, that is this machine too; ``allocatable`` such as
        ``{"cpu": "2", "nvidia.com/gpu": "1"}`` beside what the machine has."""
        made = nodes.node(name, self.api.version, allocatable, labels, list(taints))
        return self.store.create("nodes", "", made)

    def create_namespace(self, name: str) -> None:
        """Raises ApiError 409 when it is there."""
        self.api.create("namespaces", "", {"metadata": {"name": name}})

    def delete_namespace(self, name: str) -> None:
        """As by ``kubectl delete namespace``: it is terminating until nothing is left in it."""
        self.api.delete("namespaces", "", name, {})

    # ---- what happens to it

    def drop_watches(self) -> None:
        """Cut the connections of all watches."""
        self._server.cut(watches_only=True)

    def expire(self, as_status: bool = False) -> None:
        """Every resourceVersion that anybody knows is too old: a watch from there gets an ERROR
        event 410, or the status 410 when ``as_status``."""
        self.faults.gone_as_status = as_status
        self.store.expire()

    def unreachable(self) -> None:
        """Its port refuses connections, those that are open are cut. Pods run on."""
        self._server.stop()

    def reachable(self) -> None:
        self._server.start()

    def restart(self) -> None:
        """A new process of the API: connections are cut, what is stored is not touched."""
        self.unreachable()
        self.reachable()

    def evict(self, name: str, why: str = "", namespace: str = "") -> None:
        """As a kubelet whose node runs out of something: the Pod is Failed, and stays."""
        message = why or "The node was low on resource: memory. "
        self._runner(name, namespace).end("Evicted", message)

    def oom(self, name: str, namespace: str = "") -> None:
        """The memory limit kills the first processes of the Pod's containers."""
        self._runner(name, namespace).oom()

    def lose_node(
        self, node: str = NODE, containers: Containers = "freeze", evict: bool = True
    ) -> None:
        """A node is heard of no more: its Pods are Unknown (NodeLost), their containers frozen,
        killed or running on; ``evict``: deleted, as after the time that they tolerate it, which
        does not take effect before the node is there again."""
        self._kubelets.lose(node, True)
        for one in self._kubelets.on(node):
            if containers == "freeze":
                one.freeze(True)
            if containers == "kill":
                one.kill()
        self._tell_node(node, None, "NodeStatusUnknown", "Kubelet stopped posting node status.")
        for pod in self._pods_on(node):
            meta = pod["metadata"]
            words = f"Node {node} which was running pod {meta['name']} is unresponsive"

            def lost(one: Object, words: str = words) -> None:
                one["status"] |= {"phase": "Unknown", "reason": "NodeLost", "message": words}
                for condition in one["status"].get("conditions") or ():
                    if condition["type"] == "Ready":
                        condition.update(status="False")

            self.store.update("pods", meta["namespace"], meta["name"], lost)
            if evict:
                self.api.delete("pods", meta["namespace"], meta["name"], {})

    def find_node(self, node: str = NODE) -> None:
        """The node is there again: its Pods go on, or end when they were deleted."""
        self._tell_node(node, True, "KubeletReady", "")
        for one in self._kubelets.on(node):
            one.freeze(False)
        self._kubelets.lose(node, False)

    def _pods_on(self, node: str) -> list[Object]:
        found = [one for one in self.store.all("pods") if at(one, "spec.nodeName") == node]
        return [one for one in found if at(one, "status.phase") not in ("Succeeded", "Failed")]

    def _tell_node(self, name: str, ready: bool | None, reason: str, message: str) -> None:
        def told(one: Object) -> None:
            one["status"]["conditions"] = [nodes.condition("Ready", ready, reason, message)]
            taints = [t for t in one["spec"].get("taints") or () if t["key"] != nodes.UNREACHABLE]
            if not ready:
                taints += [
                    {"key": nodes.UNREACHABLE, "effect": effect}
                    for effect in ("NoSchedule", "NoExecute")
                ]
            one["spec"]["taints"] = taints

        self.store.update("nodes", "", name, told)

    def _runner(self, name: str, namespace: str) -> PodRunner:
        pod = self.pod(name, namespace)
        found = self._kubelets.get(pod["metadata"]["uid"])
        if found is None:
            raise ApiError(404, f"pod {name} is on no node")
        return found

    # ---- what the server asks

    def _who(self, token: str) -> Rights | None:
        known = {self.token: self._rights, self.admin_token: self._admin}
        return known.get(token)
