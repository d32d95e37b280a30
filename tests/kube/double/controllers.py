"""What a cluster does by itself: schedule Pods, empty namespaces, collect garbage."""

from __future__ import annotations

import contextlib
import queue
import threading

from tests.kube.double import nodes
from tests.kube.double.answers import ApiError, Object
from tests.kube.double.api import FOREGROUND, Api
from tests.kube.double.kinds import KINDS, at
from tests.kube.double.store import Change

_ENDED = ("Succeeded", "Failed")


class Controllers:
    """One thread that follows every change."""

    def __init__(self, api: Api) -> None:
        self._api, self._store = api, api.store
        self._changes: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="controllers", daemon=True)
        self._store.listen(self._changes.put)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._changes.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (change := self._changes.get()) is not None:
            with contextlib.suppress(ApiError):  # it is gone already
                self._react(change)

    def _react(self, change: Change) -> None:
        resource, namespace, name = change.key
        thing = change.new
        if resource == "events":
            return
        if resource == "pods":
            if change.kind != "DELETED" and not at(thing, "spec.nodeName"):
                self._schedule(namespace, name)
            elif change.kind == "DELETED" or at(thing, "status.phase") in _ENDED:
                self._schedule_all()
        elif resource == "nodes":
            self._schedule_all()
        if change.kind == "DELETED":
            self._collect(thing)
        elif at(thing, "metadata.ownerReferences"):
            self._require_owner(change)
        if change.kind != "DELETED" and at(thing, "metadata.deletionTimestamp"):
            if resource == "namespaces":
                self._empty(name)
            elif FOREGROUND in (at(thing, "metadata.finalizers") or ()):
                self._finish(change.key, thing)
        if change.kind == "DELETED" and namespace:
            home = self._store.find("namespaces", "", namespace)
            if home is not None and at(home, "metadata.deletionTimestamp"):
                self._empty(namespace)

    # ---- scheduling

    def _schedule_all(self) -> None:
        for pod in self._store.all("pods"):
            if not at(pod, "spec.nodeName"):
                with contextlib.suppress(ApiError):
                    self._schedule(pod["metadata"]["namespace"], pod["metadata"]["name"])

    def _schedule(self, namespace: str, name: str) -> None:
        with self._store.lock:
            pod = self._store.get("pods", namespace, name)
            if at(pod, "spec.nodeName") or at(pod, "metadata.deletionTimestamp"):
                return
            chosen, why = nodes.place(pod, self._store.all("nodes"), self._store.all("pods"))

            def bound(one: Object) -> None:
                one["spec"]["nodeName"] = chosen
                one["status"]["conditions"] = [nodes.condition("PodScheduled", True)]

            def refused(one: Object) -> None:
                refusal = nodes.condition("PodScheduled", False, "Unschedulable", why)
                one["status"]["conditions"] = [refusal]

            fresh = self._store.update("pods", namespace, name, bound if chosen else refused)
        if not chosen and fresh != pod:
            self._api.event(fresh, "Warning", "FailedScheduling", why)

    # ---- garbage

    def _collect(self, owner: Object) -> None:
        """Delete what an object that is gone has owned alone."""
        uid = owner["metadata"]["uid"]
        for (resource, namespace, name), thing in self._store.everything():
            owners = at(thing, "metadata.ownerReferences") or ()
            if any(one["uid"] == uid for one in owners) and not self._has_owner(thing):
                self._delete(resource, namespace, name)
        for one in at(owner, "metadata.ownerReferences") or ():
            for key, thing in self._store.everything():
                waits = FOREGROUND in (at(thing, "metadata.finalizers") or ())
                if waits and thing["metadata"]["uid"] == one["uid"]:
                    self._finish(key, thing)

    def _require_owner(self, change: Change) -> None:
        if change.kind == "ADDED" and not self._has_owner(change.new):
            self._delete(*change.key)

    def _has_owner(self, thing: Object) -> bool:
        """Whether any of its owners is there, of the kind and the name that it says."""
        home = thing["metadata"].get("namespace", "")
        for one in thing["metadata"]["ownerReferences"]:
            kind = next((kind for kind in KINDS.values() if kind.name == one["kind"]), None)
            if kind is None:
                return True  # what this API does not know cannot be looked for
            found = self._store.find(kind.resource, home if kind.namespaced else "", one["name"])
            if found is not None and found["metadata"]["uid"] == one["uid"]:
                return True
        return False

    def _finish(self, key: tuple[str, str, str], owner: Object) -> None:
        """Delete what an object owns that goes after it; and the object when nothing is left."""
        left = False
        for (resource, namespace, name), thing in self._store.everything():
            owners = at(thing, "metadata.ownerReferences") or ()
            if any(one["uid"] == owner["metadata"]["uid"] for one in owners):
                left = True
                if not at(thing, "metadata.deletionTimestamp"):
                    self._delete(resource, namespace, name)
        if not left:
            self._store.remove(*key, uid=owner["metadata"]["uid"])

    def _delete(self, resource: str, namespace: str, name: str) -> None:
        with contextlib.suppress(ApiError):
            self._api.delete(resource, namespace, name, {})

    # ---- namespaces

    def _empty(self, namespace: str) -> None:
        left = False
        for (resource, home, name), thing in self._store.everything():
            if home == namespace:
                left = True
                if not at(thing, "metadata.deletionTimestamp"):
                    self._delete(resource, home, name)
        if not left:
            self._store.remove("namespaces", "", namespace)
