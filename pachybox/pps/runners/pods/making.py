"""The objects of a pipeline in the cluster are made: its anchor, what that owns, and Pods."""

from __future__ import annotations

import threading

from pachybox.errors import NotReady
from pachybox.pps.runners.pods import manifest
from pachybox.pps.runners.pods.api import Kube, Object
from pachybox.pps.runners.pods.claims import Asked, Claims
from pachybox.pps.runners.pods.manifest import BOX, NONCE, Place
from pachybox.pps.runners.pods.troubles import Exists

_TAKEN = 20  # names that are tried
_Name = tuple[str, str]  # a kind and a name


class Maker:
    """Makes objects by one API. Any thread may use it."""

    def __init__(self, kube: Kube, claims: Claims) -> None:
        self._kube = kube
        self._claims = claims
        self._lock = threading.Lock()  # of the three below
        self._anchors: dict[str, str] = {}  # by name, the uid
        self._doomed: set[str] = set()  # uids of anchors that are to go
        self._owned: dict[str, tuple[int, set[_Name]]] = {}  # by anchor: by which version, and what

    def found(self, anchor: Object) -> None:
        """Take note of an anchor that is there."""
        with self._lock:
            self._anchors[anchor["metadata"]["name"]] = anchor["metadata"]["uid"]

    def forget(self, anchor: str) -> str:
        """The uid of an anchor of that name that this life of the box made or found, which is used
        for no Pod any more; "" when there is none."""
        with self._lock:
            uid = self._anchors.pop(anchor, "")
            if uid:
                self._doomed.add(uid)
            return uid

    def make(self, place: Place, one: Asked) -> Object:
        """The Pod, as the cluster has it.

        Raises what Kube.create does, NotReady when all names are taken.
        """
        spec = one.spec
        anchor = self._anchor(manifest.anchor(place, spec))
        own: set[_Name] = set()
        for secret in manifest.pull_secrets(place, spec):
            self._ensured("secret", manifest.owned(secret, anchor), "data")
            own.add(("secret", secret["metadata"]["name"]))
        if (service := manifest.service(place, spec)) is not None:
            self._ensured("service", manifest.owned(service, anchor), "spec")
            own.add(("service", service["metadata"]["name"]))
        self._only(own, anchor, int(spec.pod.get("version") or 0))
        for _ in range(_TAKEN):
            try:
                made = self._kube.create("pod", manifest.owned(one.body, anchor))
                break
            except Exists:
                self._taken(place, one)
        else:
            raise NotReady(f"all names for Pods of {spec.pipeline} are taken")
        one.uid = made["metadata"]["uid"]
        return made

    def _anchor(self, body: Object) -> Object:
        """That of a pipeline, and a new one in the place of one that is to go: what that owns goes
        with it."""
        found = self._kube.get("config_map", body["metadata"]["name"])
        if found is not None and found["metadata"]["uid"] in self._doomed:
            self._kube.delete("config_map", body["metadata"]["name"], found["metadata"]["uid"])
            found = None
        anchor = found or self._kube.create("config_map", body)
        self.found(anchor)
        return anchor

    def _only(self, own: set[_Name], anchor: Object, version: int) -> None:
        """Delete what an older version had beside ``own``, which is what this one has."""
        uid = anchor["metadata"]["uid"]
        with self._lock:
            newest, had = self._owned.get(uid, (version, set()))
        if version < newest:
            return
        for kind, name in had - own:
            self._kube.delete(kind, name)
        with self._lock:
            self._owned[uid] = (version, own)

    def _taken(self, place: Place, one: Asked) -> None:
        """There is another Pod of that name: one of ours that nobody has any use for, or somebody
        else's."""
        found = self._kube.get("pod", one.name)
        meta = (found or {}).get("metadata") or {}
        if (meta.get("labels") or {}).get(BOX) == place.mark:
            self._kube.delete("pod", one.name, meta["uid"])  # or of an anchor that is gone
        elif found is not None:
            self._claims.rename(place, one)

    def _ensured(self, kind: str, body: Object, part: str = "") -> Object:
        """An object as it is in the cluster, made where there is none; ``part`` of it is changed
        where it differs."""
        name = body["metadata"]["name"]
        found = self._kube.get(kind, name)
        if found is not None and _owners(found) != _owners(body):
            self._kube.delete(kind, name, found["metadata"]["uid"])  # its owner is gone
            found = None
        if found is None:
            return self._kube.create(kind, body)
        meta = body["metadata"]
        if not part or not _differs(found, {part: body[part], "metadata": meta}):
            return found
        return self._kube.patch(kind, name, {part: body[part], "metadata": meta})


def _owners(thing: Object) -> list[str]:
    return [one["uid"] for one in thing["metadata"].get("ownerReferences") or ()]


def nonce_of(pod: Object) -> str:
    """What the first process of a Pod of ours is found by."""
    return str((pod["metadata"].get("annotations") or {}).get(NONCE) or "")


def _differs(found: object, wanted: object) -> bool:
    """Whether what is wanted is not there, or otherwise; what is there beside it does not count."""
    if isinstance(wanted, dict):
        there = found if isinstance(found, dict) else {}
        return any(_differs(there.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        there_too = found if isinstance(found, list) else []
        return len(there_too) != len(wanted) or any(map(_differs, there_too, wanted))
    return found != wanted
