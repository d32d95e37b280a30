"""Services: their addresses, the Pods behind them, and the way there, over loopback.

A cluster IP is an address of 127.0.0.0/8 and a node port one of 127.0.0.1, so that what runs on
this machine reaches a service as on a node of a real cluster. A Pod cannot, from a network of its
own: use hostNetwork there.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from typing import Any

from tests.kube.double import answers
from tests.kube.double.answers import Object
from tests.kube.double.kinds import at, selector
from tests.kube.double.store import Change, Store

_PORTS = range(30000, 32768)
_PIECE = 1 << 16


class Addresses:
    """Cluster IPs and node ports that nobody has."""

    def __init__(self) -> None:
        self._chance = random.Random()
        self._net = f"127.{self._chance.randrange(64, 250)}.{self._chance.randrange(250)}"

    def give(self, service: Object, others: list[Object]) -> None:
        """Complete a new service. Raises ApiError for an address that cannot be had."""
        spec = service["spec"]
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        taken = {at(one, "spec.clusterIP") for one in others}
        if "clusterIP" not in spec:
            spec["clusterIP"] = next(
                one for n in range(1, 255) if (one := f"{self._net}.{n}") not in taken
            )
        if spec["clusterIP"] != "None":
            spec["clusterIPs"] = [spec["clusterIP"]]
        used = {port.get("nodePort") for one in others for port in one["spec"].get("ports") or ()}
        for n, port in enumerate(spec.get("ports") or ()):
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port["port"])
            if spec["type"] not in ("NodePort", "LoadBalancer"):
                continue
            if port.get("nodePort") in used - {None}:
                said = f"spec.ports[{n}].nodePort: Invalid value: {port['nodePort']}: provided port"
                name = service["metadata"]["name"]
                raise answers.invalid("Service", name, [f"{said} is already allocated"])
            port.setdefault("nodePort", self._free(used))
            used.add(port["nodePort"])
        service["status"] = {"loadBalancer": {}}

    def _free(self, used: set[Any]) -> int:
        while True:
            port = self._chance.choice(_PORTS)
            with socket.socket() as trial, contextlib.suppress(OSError):
                trial.bind(("127.0.0.1", port))
                if port not in used:
                    return port


def endpoints(store: Store, namespace: str, name: str) -> list[str]:
    """``address:port`` of each Pod that is ready behind a service, for each of its ports."""
    service = store.find("services", namespace, name)
    if service is None or not at(service, "spec.selector"):
        return []
    wanted = ",".join(f"{key}={value}" for key, value in service["spec"]["selector"].items())
    test = selector(wanted, "")
    pods = [pod for pod in store.all("pods", namespace) if test(pod) and _ready(pod)]
    ports = service["spec"].get("ports") or ()
    return [f"{pod['status']['podIP']}:{_target(pod, port)}" for port in ports for pod in pods]


def _ready(pod: Object) -> bool:
    if at(pod, "metadata.deletionTimestamp"):
        return False
    conditions = at(pod, "status.conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _target(pod: Object, port: Object) -> int:
    target = port["targetPort"]
    for container in pod["spec"]["containers"]:
        for one in container.get("ports") or ():
            if one.get("name") == target:
                return int(one["containerPort"])
    return int(target) if str(target).isdigit() else 0


class Proxy:
    """Listens where services are said to be, and passes bytes on to their Pods."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], list[socket.socket]] = {}
        store.listen(self._changed)

    def close(self) -> None:
        with self._lock:
            left, self._open = list(self._open.values()), {}
        for sockets in left:
            _close(*sockets)

    def _changed(self, change: Change) -> None:
        resource, namespace, name = change.key
        if resource != "services":
            return
        with self._lock:
            _close(*self._open.pop((namespace, name), ()))
            if change.kind != "DELETED":
                self._open[namespace, name] = self._listening(change.new)

    def _listening(self, service: Object) -> list[socket.socket]:
        spec, made = service["spec"], []
        where = (service["metadata"]["namespace"], service["metadata"]["name"])
        for n, port in enumerate(spec.get("ports") or ()):
            places = [(spec.get("clusterIP"), port["port"]), ("127.0.0.1", port.get("nodePort"))]
            for address, number in places:
                if not number or not str(address).startswith("127."):
                    continue
                listener = socket.socket()
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    listener.bind((address, number))
                    listener.listen()
                except OSError:  # somebody else's: this way stays shut
                    listener.close()
                    continue
                made.append(listener)
                threading.Thread(
                    target=self._accept, args=(listener, where, n), daemon=True
                ).start()
        return made

    def _accept(self, listener: socket.socket, where: tuple[str, str], port: int) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client, where, port), daemon=True).start()

    def _carry(self, client: socket.socket, where: tuple[str, str], port: int) -> None:
        behind = endpoints(self._store, *where)
        with self._store.lock:
            service = self._store.find("services", *where)
        ports = len(at(service, "spec.ports") or ()) or 1
        mine = behind[port * len(behind) // ports : (port + 1) * len(behind) // ports]
        try:
            address, _, number = random.choice(mine).rpartition(":")
            server = socket.create_connection((address, int(number)), 5.0)
        except (OSError, IndexError):  # nobody is ready
            client.close()
            return
        server.settimeout(None)
        back = threading.Thread(target=_pass, args=(server, client), daemon=True)
        back.start()
        _pass(client, server)
        back.join()
        _close(client, server)


def _pass(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _close(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
