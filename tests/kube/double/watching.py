"""A watch: the changes of one resource as the API tells of them, and what may happen to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from tests.kube.double.answers import ApiError, Object
from tests.kube.double.faults import Faults
from tests.kube.double.kinds import KINDS, selector
from tests.kube.double.store import Change, Store

_LOOK_S = 0.25  # how often it is seen whether the client is still there
_BOOKMARK_S = 2.0  # a real API has a minute here
_MOST_S = 1800.0
_INITIAL = "k8s.io/initial-events-end"


class Watch:
    """One watch of ``resource``; ``query`` is that of the request."""

    def __init__(
        self, store: Store, faults: Faults, resource: str, namespace: str, query: Mapping[str, str]
    ) -> None:
        """Raises ApiError, also for a version that is too old when faults say so."""
        self._store, self._faults = store, faults
        self._resource, self._namespace = resource, namespace
        self._wanted = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        self._bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        self._initial = query.get("sendInitialEvents") in ("true", "1")
        self._opened = time.monotonic()
        asked = query.get("resourceVersion") or "0"
        if not asked.isdigit():
            raise ApiError(400, f'Invalid value: "{asked}": invalid resource version')
        self._version = int(asked)
        if faults.gone_as_status and self._version:
            store.since(self._version)
        self._end = self._opened + min(float(query.get("timeoutSeconds") or _MOST_S), _MOST_S)

    def events(self, gone: Callable[[], bool]) -> Iterator[Object]:
        """What is to be sent, until the time of the watch is over or its client is ``gone``."""
        try:
            yield from self._first()
            marked, bookmark_at = self._version, time.monotonic() + _BOOKMARK_S
            while not gone():
                for change in self._fresh():
                    yield from self._told(change, gone)
                silent = self._faults.is_silent(self._opened)
                over = time.monotonic() > self._end and not silent
                due = over or time.monotonic() > bookmark_at
                if self._bookmarks and not silent and due and self._version > marked:
                    yield self._bookmark(self._version)
                if due:
                    marked, bookmark_at = self._version, time.monotonic() + _BOOKMARK_S
                if over:
                    return
        except ApiError as error:
            yield {"type": "ERROR", "object": error.status()}

    def _first(self) -> Iterator[Object]:
        """What is there already, when the client has no version to begin with."""
        if self._version and not self._initial:
            return
        with self._store.lock:
            self._version = self._store.version
            found = self._store.all(self._resource, self._namespace)
        for thing in found:
            if self._wanted(thing):
                yield {"type": "ADDED", "object": thing}
        if self._initial:
            yield self._bookmark(self._version, {_INITIAL: "true"})

    def _fresh(self) -> list[Change]:
        """Changes since the last look, after a wait for some. Raises ApiError 410."""
        with self._store.changed:
            if not self._store.since(self._version):
                left = max(0.0, min(_LOOK_S, self._end - time.monotonic() + 0.01))
                self._store.changed.wait(left or _LOOK_S)
            found = self._store.since(self._version)
            if found:
                self._version = found[-1].version
        return [
            one
            for one in found
            if one.key[0] == self._resource and self._namespace in ("", one.key[1])
        ]

    def _told(self, change: Change, gone: Callable[[], bool]) -> Iterator[Object]:
        kind = self._kind(change)
        if not kind:
            return
        until = change.at + self._faults.slow_s
        while time.monotonic() < until and not gone():
            self._faults.over.wait(min(0.05, self._faults.slow_s))
        while self._faults.is_silent(self._opened):
            if gone():
                return
            self._faults.over.wait(_LOOK_S)
        yield {"type": kind, "object": change.new}

    def _kind(self, change: Change) -> str:
        """What a change is to one who sees only what the selectors let through; "" for nothing."""
        is_in = change.kind != "DELETED" and self._wanted(change.new)
        was_in = change.old is not None and self._wanted(change.old)
        if is_in:
            return "MODIFIED" if was_in else "ADDED"
        return "DELETED" if was_in else ""

    def _bookmark(self, version: int, notes: Mapping[str, str] | None = None) -> Object:
        kind = KINDS[self._resource]
        meta: Object = {"resourceVersion": str(version), "creationTimestamp": None}
        if notes:
            meta["annotations"] = dict(notes)
        thing: Object = {"kind": kind.name, "apiVersion": kind.api_version, "metadata": meta}
        return {"type": "BOOKMARK", "object": thing}
