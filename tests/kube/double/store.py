"""The objects, with their versions and a bounded history: what etcd is to a cluster.

Objects are never changed in place: who has one may keep it.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.kube.double import answers
from tests.kube.double.answers import Object
from tests.kube.double.kinds import KINDS, copied

HISTORY = 2000  # changes that a watch can go back

Key = tuple[str, str, str]  # resource, namespace ("" of what has none), name


@dataclass(frozen=True)
class Change:
    """One step of the history. ``kind`` is ADDED, MODIFIED or DELETED; ``old`` the object before;
    ``at`` the monotonic time."""

    version: int
    kind: str
    key: Key
    new: Object
    old: Object | None
    at: float


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """All objects of one cluster. Any thread may use it."""

    def __init__(self, history: int = HISTORY) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.version = 1000
        self.compacted = 1000  # history before this is gone
        self._things: dict[Key, Object] = {}
        self._history: deque[Change] = deque()
        self._most = history
        self._listeners: list[Callable[[Change], None]] = []

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call ``listener`` with every change, in order, under the lock: it must not wait."""
        self._listeners.append(listener)

    # ---- reading

    def get(self, resource: str, namespace: str, name: str) -> Object:
        """Raises ApiError 404."""
        with self.lock:
            found = self._things.get((resource, namespace, name))
        if found is None:
            raise answers.not_found(KINDS[resource].full, name)
        return found

    def find(self, resource: str, namespace: str, name: str) -> Object | None:
        with self.lock:
            return self._things.get((resource, namespace, name))

    def all(self, resource: str, namespace: str = "") -> list[Object]:
        """In order of namespace and name; of every namespace when none is given."""
        with self.lock:
            found = [
                (key, thing)
                for key, thing in self._things.items()
                if key[0] == resource and namespace in ("", key[1])
            ]
        return [thing for _, thing in sorted(found, key=lambda pair: pair[0])]

    def everything(self) -> Iterator[tuple[Key, Object]]:
        """Every object of any kind, as of now."""
        with self.lock:
            return iter(list(self._things.items()))

    def since(self, version: int) -> list[Change]:
        """What changed after ``version``. Raises ApiError 410 when that is not known any more."""
        with self.lock:
            if version < self.compacted:
                raise answers.expired(str(version), self.compacted)
            if version >= self.version:
                return []
            fresh = []
            for one in reversed(self._history):
                if one.version <= version:
                    break
                fresh.append(one)
            return fresh[::-1]

    # ---- writing

    def create(self, resource: str, namespace: str, thing: Object) -> Object:
        """Raises ApiError 409 when there is one of that name."""
        made = copied(thing)
        meta = made["metadata"]
        with self.lock:
            key = (resource, namespace, str(meta["name"]))
            if key in self._things:
                raise answers.exists(KINDS[resource].full, meta["name"])
            meta["uid"], meta["creationTimestamp"] = str(uuid.uuid4()), now()
            if namespace:
                meta["namespace"] = namespace
            return self._put("ADDED", key, made, None)

    def update(
        self,
        resource: str,
        namespace: str,
        name: str,
        change: Callable[[Object], Object | None],
        uid: str = "",
    ) -> Object:
        """Let ``change`` alter a copy, or answer another one. One that changes nothing makes no
        version. Raises ApiError 404, also when the object has not that ``uid`` any more."""
        with self.lock:
            old = self.get(resource, namespace, name)
            if uid and old["metadata"]["uid"] != uid:
                raise answers.not_found(KINDS[resource].full, name)
            fresh = copied(old)
            fresh = change(fresh) or fresh
            if fresh == old:
                return old
            return self._put("MODIFIED", (resource, namespace, name), fresh, old)

    def remove(self, resource: str, namespace: str, name: str, uid: str = "") -> Object:
        """Take it out. Raises ApiError 404, also when the object has not that ``uid`` any more."""
        with self.lock:
            old = self.get(resource, namespace, name)
            if uid and old["metadata"]["uid"] != uid:
                raise answers.not_found(KINDS[resource].full, name)
            return self._put("DELETED", (resource, namespace, name), copied(old), old)

    def expire(self) -> None:
        """Forget the history: every version that anybody was told is too old."""
        with self.lock:
            self.version += 1
            self.compacted = self.version
            self._history.clear()
            self.changed.notify_all()

    def _put(self, kind: str, key: Key, thing: Object, old: Object | None) -> Object:
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        if kind == "DELETED":
            del self._things[key]
        else:
            self._things[key] = thing
        change = Change(self.version, kind, key, thing, old, time.monotonic())
        self._history.append(change)
        while len(self._history) > self._most:
            self.compacted = self._history.popleft().version
        for listener in self._listeners:
            listener(change)
        self.changed.notify_all()
        return thing
