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


class Maker:
    """Makes objects by one API. Any thread may use it."""

    def __init__(self, kube: Kube, claims: Claims) -> None:
        self._kube = kube
        self._claims = claims
        self._lock = threading.Lock()
        self._anchors: dict[str, str] = {}

    def forget(self, pipeline: str) -> str:
        """The name of a pipeline's anchor, if this life of the box made it or found it; "" when it
        did not."""
        with self._lock:
            return self._anchors.pop(pipeline, "")

    def make(self, place: Place, one: Asked) -> Object:
        """The Pod, as the cluster has it; its anchor's name is kept for ``forget``.

        Raises what Kube.create does, NotReady when all names are taken.
        """
        spec = one.spec
        anchor = self._ensured("config_map", manifest.anchor(place, spec))
        with self._lock:
            self._anchors[spec.pipeline] = anchor["metadata"]["name"]
        for secret in manifest.pull_secrets(place, spec):
            self._ensured("secret", manifest.owned(secret, anchor), "data")
        if (service := manifest.service(place, spec)) is not None:
            self._ensured("service", manifest.owned(service, anchor), "spec")
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
