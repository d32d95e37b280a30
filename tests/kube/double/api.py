"""The verbs: what a request does to the objects, with admission before and garbage behind."""

from __future__ import annotations

import base64
import functools
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.kube.double import answers, checks, services
from tests.kube.double.answers import ApiError, Object
from tests.kube.double.kinds import KINDS, at, copied, json_patched, merged, quantity, selector
from tests.kube.double.store import Store, now

_MUTABLE = ("tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds")
_PATCHES = {
    "application/json-patch+json": json_patched,
    "application/merge-patch+json": merged,
    "application/strategic-merge-patch+json": merged,
}
FOREGROUND = "foregroundDeletion"


class Api:
    """Requests that were read and allowed. Every method raises ApiError. Any thread may use it."""

    def __init__(self, store: Store, version: str) -> None:
        self.store = store
        self.version = version
        self.addresses = services.Addresses()

    # ---- reading

    def page(self, resource: str, namespace: str, query: Mapping[str, str]) -> Object:
        """A List object; ``limit`` and ``continue`` page through it."""
        kind = KINDS[resource]
        wanted = selector(query.get("labelSelector", ""), query.get("fieldSelector", ""))
        with self.store.lock:
            version, found = self.store.version, self.store.all(resource, namespace)
            after: list[str] = []
            if token := query.get("continue"):
                version, after = self._continued(token)
        found = [one for one in found if wanted(one) and _place(one) > after]
        meta: Object = {"resourceVersion": str(version)}
        limit = int(query.get("limit") or 0)
        if 0 < limit < len(found):
            meta["remainingItemCount"] = len(found) - limit
            found = found[:limit]
            token = json.dumps([version, *_place(found[-1])])
            meta["continue"] = base64.urlsafe_b64encode(token.encode()).decode()
        items = [
            {name: value for name, value in one.items() if name not in ("kind", "apiVersion")}
            for one in found
        ]  # as of a real API: the list says what they are
        made: Object = {"kind": f"{kind.name}List", "apiVersion": kind.api_version}
        return made | {"metadata": meta, "items": items}

    def _continued(self, token: str) -> tuple[int, list[str]]:
        try:
            version, *after = json.loads(base64.urlsafe_b64decode(token))
        except ValueError as error:
            raise ApiError(400, f"continue key is not valid: {error}") from error
        if version < self.store.compacted:
            said = "The provided continue parameter is too old to display a consistent list result."
            raise ApiError(410, f"{said} You can start a new list without the continue parameter.")
        return version, after

    # ---- writing

    def create(self, resource: str, namespace: str, body: Object, dry: bool = False) -> Object:
        """Store a new object, when it may be; answers it as it is stored."""
        kind = KINDS[resource]
        if not isinstance(body.get("metadata", {}), dict):
            raise ApiError(400, f"{kind.name} cannot be handled: metadata is no object")
        thing = copied(body)
        meta = thing.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            letters = "bcdfghjklmnpqrstvwxz2456789"
            end = "".join(secrets.choice(letters) for _ in range(5))
            meta["name"] = f"{meta['generateName'][:58]}{end}"
        if namespace and meta.get("namespace") not in (None, "", namespace):
            said = "the namespace of the provided object does not match the namespace sent on the"
            raise ApiError(400, f"{said} request")
        for name in ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"):
            meta.pop(name, None)
        checks.check(kind, thing, self.version)
        if resource == "secrets":
            for name, text in (thing.pop("stringData", None) or {}).items():
                thing.setdefault("data", {})[name] = base64.b64encode(text.encode()).decode()
        with self.store.lock:
            self._admit(resource, namespace, thing)
            checks.completed(resource, thing)
            if resource == "services":
                self.addresses.give(thing, self.store.all("services"))
            if dry:
                return thing
            return self.store.create(resource, namespace if kind.namespaced else "", thing)

    def _admit(self, resource: str, namespace: str, thing: Object) -> None:
        name = thing["metadata"]["name"]
        full = KINDS[resource].full
        if KINDS[resource].namespaced:
            home = self.store.get("namespaces", "", namespace)
            if at(home, "metadata.deletionTimestamp"):
                why = f"unable to create new content in namespace {namespace} because it is being"
                raise answers.forbidden(full, name, f"{why} terminated", "NamespaceTerminating")
        if resource != "pods" or self.store.find("pods", namespace, name):
            return
        spec = thing["spec"]
        if chosen := spec.get("priorityClassName"):
            found = self.store.find("priorityclasses", "", chosen)
            if found is None:
                why = f"no PriorityClass with name {chosen} was found"
                raise answers.forbidden(full, name, why)
            spec["priority"] = found.get("value", 0)
        runtime = spec.get("runtimeClassName")
        if runtime and not self.store.find("runtimeclasses", "", runtime):
            why = f'pod rejected: RuntimeClass "{runtime}" not found'
            raise answers.forbidden(full, name, why)
        self._admit_quota(namespace, name, thing)

    def _admit_quota(self, namespace: str, name: str, pod: Object) -> None:
        quotas = self.store.all("resourcequotas", namespace)
        if not quotas:
            return
        others = [
            one
            for one in self.store.all("pods", namespace)
            if at(one, "status.phase") not in ("Succeeded", "Failed")
        ]
        for quota in quotas:
            for what, most in (at(quota, "spec.hard") or {}).items():
                asked, used = _uses(pod, what), sum(_uses(one, what) for one in others)
                if asked and used + asked > quantity(most):
                    said = f"requested: {what}={asked:g}, used: {what}={used:g}, limited: {what}="
                    why = f"exceeded quota: {quota['metadata']['name']}, {said}{most}"
                    raise answers.forbidden("pods", name, why)

    def patch(self, resource: str, where: tuple[str, str, str], how: str, body: Any) -> Object:
        """``where``: namespace, name, subresource; ``how``: the type of content."""
        patched: Callable[[Any, Any], Any] | None = _PATCHES.get(how.partition(";")[0].strip())
        if patched is None:
            known = ", ".join(_PATCHES)
            said = "the body of the request was in an unknown format - accepted media types include"
            raise ApiError(415, f"{said}: {known}")
        return self._change(resource, where, lambda old: patched(old, body))

    def replace(self, resource: str, where: tuple[str, str, str], body: Object) -> Object:
        """``where``: namespace, name, subresource."""
        return self._change(resource, where, lambda old: copied(body))

    def _change(
        self, resource: str, where: tuple[str, str, str], change: Callable[[Object], Object]
    ) -> Object:
        namespace, name, sub = where
        kind = KINDS[resource]

        def changed(old: Object) -> Object:
            made = change(copied(old))
            meta, before = made.setdefault("metadata", {}), old["metadata"]
            if meta.get("resourceVersion") not in (None, "", before["resourceVersion"]):
                raise answers.conflict(kind.full, name)
            if meta.get("uid") not in (None, before["uid"]):
                raise answers.conflict(kind.full, name, "Precondition failed: UID in precondition")
            if meta.get("name", name) != name:
                raise ApiError(400, "the name of the object does not match the name on the URL")
            kept = ("uid", "resourceVersion", "creationTimestamp", "namespace", "deletionTimestamp")
            for field in (*kept, "deletionGracePeriodSeconds"):
                meta.pop(field, None)
                if field in before:
                    meta[field] = before[field]
            if sub == "status":
                return {**old, "status": made.get("status", {})}
            made["kind"], made["apiVersion"] = kind.name, kind.api_version
            if "status" in old:
                made["status"] = old["status"]
            checks.check(kind, made, self.version)
            _require_mutable(resource, old, made)
            if resource == "services":
                others = [one for one in self.store.all("services") if one is not old]
                self.addresses.give(made, others)
            return made

        with self.store.lock:
            made = self.store.update(resource, namespace, name, changed)
            over = at(made, "metadata.deletionTimestamp") and not at(made, "metadata.finalizers")
            if over and resource not in ("pods", "namespaces"):
                return self.store.remove(resource, namespace, name)
            return made

    def delete(
        self, resource: str, namespace: str, name: str, options: Mapping[str, Any]
    ) -> Object:
        """Take it away, at once or, of a Pod that runs, when its containers have ended.
        ``options``: gracePeriodSeconds, propagationPolicy, preconditions, dryRun."""
        with self.store.lock:
            old = self.store.get(resource, namespace, name)
            wanted = options.get("preconditions") or {}
            for field, said in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
                has = old["metadata"][field]
                if wanted.get(field) not in (None, has):
                    why = f"Precondition failed: {said} in precondition: {wanted[field]}, {said} in"
                    raise answers.conflict(KINDS[resource].full, name, f"{why} object meta: {has}")
            if options.get("dryRun"):
                return old
            return self._delete(resource, namespace, old, options)

    def _delete(
        self, resource: str, namespace: str, old: Object, options: Mapping[str, Any]
    ) -> Object:
        name = old["metadata"]["name"]
        policy = options.get("propagationPolicy") or "Background"
        if policy == "Orphan":
            self._orphan(old["metadata"]["uid"])
        if resource == "pods":
            grace = _grace(old, options)
            if grace == 0 and not at(old, "metadata.finalizers"):
                return self.store.remove(resource, namespace, name)
            return self._mark(resource, namespace, name, grace)
        if resource == "namespaces":
            made = self._mark(resource, "", name, 0)
            return self.store.update(
                resource, "", name, lambda one: {**made, "status": {"phase": "Terminating"}}
            )
        if policy == "Foreground" or at(old, "metadata.finalizers"):
            added = [FOREGROUND] if policy == "Foreground" else []
            return self._mark(resource, namespace, name, 0, added)
        gone = self.store.remove(resource, namespace, name)
        details = {"name": name, "kind": KINDS[resource].full, "uid": gone["metadata"]["uid"]}
        return {**answers.SUCCESS, "details": details}

    def _mark(
        self, resource: str, namespace: str, name: str, grace: int, finalizers: Iterable[str] = ()
    ) -> Object:
        def marked(thing: Object) -> None:
            meta = thing["metadata"]
            if meta.get("deletionGracePeriodSeconds", grace + 1) > grace:
                end = datetime.now(UTC) + timedelta(seconds=grace)
                meta["deletionTimestamp"] = end.strftime("%Y-%m-%dT%H:%M:%SZ")
                meta["deletionGracePeriodSeconds"] = grace
            if finalizers:
                meta["finalizers"] = sorted({*(meta.get("finalizers") or ()), *finalizers})

        return self.store.update(resource, namespace, name, marked)

    def _orphan(self, uid: str) -> None:
        for (resource, namespace, name), thing in self.store.everything():
            owners = at(thing, "metadata.ownerReferences") or []
            if any(one["uid"] == uid for one in owners):
                left = [one for one in owners if one["uid"] != uid]
                change = {"metadata": {"ownerReferences": left}}
                self.store.update(resource, namespace, name, functools.partial(_merge, change))

    def delete_all(
        self, resource: str, namespace: str, query: Mapping[str, str], options: Mapping[str, Any]
    ) -> Object:
        """Those that a list of this query has; answers that list."""
        found = self.page(resource, namespace, query)
        for one in found["items"]:
            try:
                self.delete(resource, namespace, one["metadata"]["name"], options)
            except ApiError as error:
                if error.code != 404:
                    raise
        return found

    # ---- what the cluster says by itself

    def event(self, about: Object, kind: str, reason: str, message: str) -> None:
        """Write an Event (``Normal``, ``Warning``) about an object; the same again counts up."""
        meta = about["metadata"]
        namespace = meta.get("namespace", "default")
        name = f"{meta['name']}.{abs(hash((meta['uid'], reason, message))) % 16**15:015x}"

        def again(one: Object) -> None:
            one["count"], one["lastTimestamp"] = one["count"] + 1, now()

        with self.store.lock:
            if self.store.find("events", namespace, name):
                self.store.update("events", namespace, name, again)
                return
            home = self.store.find("namespaces", "", namespace)
            if home is None or at(home, "metadata.deletionTimestamp"):
                return
            self.store.create("events", namespace, {
                "kind": "Event", "apiVersion": "v1", "metadata": {"name": name},
                "involvedObject": {
                    "kind": about["kind"], "apiVersion": "v1", "name": meta["name"],
                    "namespace": namespace, "uid": meta["uid"],
                },
                "type": kind, "reason": reason, "message": message, "count": 1,
                "firstTimestamp": now(), "lastTimestamp": now(), "source": {"component": "double"},
            })  # fmt: skip


def _merge(change: Object, old: Object) -> Object:
    made: Object = merged(old, change)
    return made


def _place(thing: Object) -> list[str]:
    return [thing["metadata"].get("namespace", ""), thing["metadata"]["name"]]


def _grace(pod: Object, options: Mapping[str, Any]) -> int:
    """Seconds until the object of a Pod goes at the latest; none for what runs nowhere."""
    if not at(pod, "spec.nodeName") or at(pod, "status.phase") in ("Succeeded", "Failed"):
        return 0
    asked = options.get("gracePeriodSeconds")
    return int(pod["spec"]["terminationGracePeriodSeconds"] if asked is None else asked)


def _require_mutable(resource: str, old: Object, new: Object) -> None:
    """Raises ApiError for what cannot be changed once it is there."""
    name = old["metadata"]["name"]
    data = any(old.get(field) != new.get(field) for field in ("data", "binaryData"))
    if resource in ("configmaps", "secrets") and old.get("immutable") and data:
        said = "data: Forbidden: field is immutable when `immutable` is set"
        raise answers.invalid(KINDS[resource].name, name, [said])
    if resource == "services" and at(new, "spec.clusterIP") != at(old, "spec.clusterIP"):
        said = "spec.clusterIP: Invalid value: field is immutable"
        raise answers.invalid("Service", name, [said])
    if resource != "pods":
        return

    def rest(pod: Object) -> Object:
        spec = {key: value for key, value in pod["spec"].items() if key not in _MUTABLE}
        spec["containers"] = [{**one, "image": ""} for one in spec["containers"]]
        return spec

    if rest(old) != rest(new):
        said = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds`"  # noqa: E501
        raise answers.invalid("Pod", name, [said])


def _uses(pod: Object, what: str) -> float:
    """How much of a quota's resource a Pod takes: ``pods``, ``requests.cpu``, ``limits.memory``."""
    if what in ("pods", "count/pods"):
        return 1.0
    which, _, name = what.partition(".") if "." in what else ("requests", "", what)
    fields = [at(one, f"resources.{which}") or {} for one in pod["spec"]["containers"]]
    return sum(quantity(one.get(name, 0)) for one in fields)
