"""Which Pods were asked for, and for which of them nobody has asked again yet."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from pachybox.pps.runners.base import WorkerSpec, WorkerWaits
from pachybox.pps.runners.pods import manifest
from pachybox.pps.runners.pods.manifest import Object, Place

_FIRST_S, _MOST_S = 1.0, 60.0


@dataclass(eq=False)
class Asked:
    """A Pod that was asked for. ``uid`` is "" until the cluster has it for sure; ``told`` whether
    somebody was told to wait for it, ``since`` when that was. ``seen`` is when it was first seen
    in each kind of state."""

    spec: WorkerSpec
    key: str
    name: str
    body: Object
    nonce: str
    uid: str = ""
    told: bool = False
    since: float = field(default_factory=time.monotonic)
    seen: dict[str, float] = field(default_factory=dict)

    def lasts(self, kind: str) -> float:
        """How many seconds ago it was first seen in a state of this kind, by whoever claims it: a
        trouble comes and goes with each new try of the node."""
        now = time.monotonic()
        return now - self.seen.setdefault(kind, now)


@dataclass
class _Failing:
    """Pods of a kind ended before they served: when the next may be made, and why not now."""

    until: float
    pause_s: float
    why: WorkerWaits


class Claims:
    """Pods asked for by this life of the box. Any thread may use it."""

    def __init__(self, others: Callable[[], Collection[str]]) -> None:
        """``others`` are the names of Pods that the cluster is known to have."""
        self._others = others
        self._lock = threading.Lock()
        self._asked: dict[str, Asked] = {}
        self._free: list[Asked] = []
        self._foreign: set[str] = set()
        self._failing: dict[str, _Failing] = {}

    def claim(self, place: Place, spec: WorkerSpec) -> Asked:
        """A Pod as ``spec`` wants it: one that is asked for and nobody's, or a new one.

        Raises InvalidArgument when there can be none, WorkerWaits when those before it ended at
        once, and it is too early for the next.
        """
        nonce = secrets.token_hex(16)
        key = manifest.fingerprint(manifest.pod(place, spec, "name", nonce))
        with self._lock:
            for one in self._free:
                if one.key == key:
                    self._free.remove(one)
                    one.spec = spec
                    return one
            failing = self._failing.get(key)
            if failing is not None and time.monotonic() < failing.until:
                why = failing.why
                raise WorkerWaits(why.message, why.hint, trouble=why.trouble)
            name = self._name(place, spec)
            made = Asked(spec, key, name, manifest.pod(place, spec, name, nonce), nonce)
            self._asked[name] = made
            return made

    def _name(self, place: Place, spec: WorkerSpec) -> str:
        """The first that is nobody's."""
        number = 0
        others = self._others()
        while True:
            name = manifest.pod_name(place, spec, number)
            if name not in self._asked and name not in others and name not in self._foreign:
                return name
            number += 1

    def rename(self, place: Place, one: Asked) -> None:
        """Its name is taken by what is not ours: give it another."""
        with self._lock:
            self._foreign.add(one.name)
            self._asked.pop(one.name, None)
            one.name = self._name(place, one.spec)
            one.body = manifest.pod(place, one.spec, one.name, one.nonce)
            self._asked[one.name] = one

    def release(self, one: Asked) -> None:
        """Who claimed it was told to wait: whoever asks next may have it."""
        with self._lock:
            one.told, one.since = True, time.monotonic()
            self._free.append(one)

    def ended(self, one: Asked, why: WorkerWaits) -> None:
        """It ended before it served. The next is made after a pause, which grows."""
        with self._lock:
            before = self._failing.get(one.key)
            pause = min(2 * before.pause_s, _MOST_S) if before else _FIRST_S
            self._failing[one.key] = _Failing(time.monotonic() + pause, pause, why)

    def serves(self, one: Asked) -> None:
        """It came to serve."""
        with self._lock:
            self._failing.pop(one.key, None)

    def drop(self, one: Asked) -> None:
        """It is gone: its name may be used again."""
        with self._lock:
            if self._asked.get(one.name) is one:
                del self._asked[one.name]

    def unclaimed(self, older_than_s: float, pipeline: str = "") -> list[Asked]:
        """Take out those that nobody asked for again in that time, of all pipelines or of one."""
        edge = time.monotonic() - older_than_s
        with self._lock:
            old = [
                one
                for one in self._free
                if one.since <= edge and pipeline in ("", one.spec.pipeline)
            ]
            self._free = [one for one in self._free if one not in old]
        return old

    def names(self) -> set[str]:
        """Those of all that are asked for."""
        with self._lock:
            return set(self._asked)
