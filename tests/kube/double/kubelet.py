"""The kubelets: the Pods of each node."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.kube.double import nodes
from tests.kube.double.answers import Object
from tests.kube.double.api import Api
from tests.kube.double.kinds import at
from tests.kube.double.podman import Podman
from tests.kube.double.pods import PodRunner
from tests.kube.double.store import Change


class Kubelets:
    """The Pods of all nodes."""

    def __init__(self, api: Api, podman: Podman, folder: Path, most_pids: int | None) -> None:
        self._api, self._podman, self._folder = api, podman, folder
        self._most_pids = most_pids
        self._lock = threading.Lock()
        self._pods: dict[str, PodRunner] = {}
        self._lost: set[str] = set()
        self._closed = False
        api.store.listen(self._changed)

    def close(self) -> None:
        """End all Pods and take away what is theirs."""
        with self._lock:
            self._closed = True
            left = list(self._pods.values())
        for one in left:
            if one.lost.is_set():
                one.freeze(False)
                one.lost.clear()
            one.seen(one.pod, gone=True)
        for one in left:
            one.join()

    def get(self, uid: str) -> PodRunner | None:
        with self._lock:
            return self._pods.get(uid)

    def on(self, node: str) -> Iterator[PodRunner]:
        with self._lock:
            found = list(self._pods.values())
        return (one for one in found if one.pod["spec"]["nodeName"] == node)

    def lose(self, node: str, lost: bool) -> None:
        """A node cannot be reached from now on, or can be again."""
        (self._lost.add if lost else self._lost.discard)(node)
        for one in self.on(node):
            (one.lost.set if lost else one.lost.clear)()
            one.wake()

    def _changed(self, change: Change) -> None:
        resource = change.key[0]
        node = at(change.new, "spec.nodeName")
        if resource != "pods" or not node:
            return
        uid = change.new["metadata"]["uid"]
        with self._lock:
            one = self._pods.get(uid)
            there = self._api.store.find("nodes", "", node) and not self._closed
            if change.kind != "DELETED" and one is None and there:
                folder = self._folder / uid
                done = functools.partial(self._forget, uid)
                one = self._pods[uid] = PodRunner(
                    self._api, self._podman, change.new, folder, self._most_pids, done
                )
                if node in self._lost:
                    one.lost.set()
                if change.kind == "ADDED" and (why := self._unfit(change.new, node)):
                    one.end(*why)
                one.start()
        if one is not None:
            one.seen(change.new, change.kind == "DELETED")

    def _forget(self, uid: str) -> None:
        with self._lock:
            self._pods.pop(uid, None)

    def _unfit(self, pod: Object, name: str) -> tuple[str, str] | None:
        """Reason and message of a node that does not take a Pod which no scheduler has given it."""
        node, uid = self._api.store.get("nodes", "", name), pod["metadata"]["uid"]
        there = [one for one in self._api.store.all("pods") if at(one, "spec.nodeName") == name]
        there = [one for one in there if one["metadata"]["uid"] != uid]
        for why in nodes.unfit(pod, node, there):
            if why.startswith("Insufficient "):
                what = why.removeprefix("Insufficient ")
                return f"OutOf{what}", f"Node didn't have enough resource: {what}"
            if "affinity" in why:
                return "NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match"
        return None
