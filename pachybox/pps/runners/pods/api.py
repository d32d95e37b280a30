"""What the box asks of a cluster: a few kinds of objects, by the official client.

Every call has a bound in time, and is tried again where that may help: an API server is restarted,
overloaded, or reached over a network that drops. Objects are plain dictionaries, as their JSON.
Nothing is imported and no connection opened before the first call.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pachybox.errors import PachyboxError
from pachybox.pps.runners.pods import access, troubles
from pachybox.pps.runners.pods.access import Access
from pachybox.pps.runners.pods.troubles import Exists, Forbidden, Missing, Unanswered

if TYPE_CHECKING:
    from urllib3.response import HTTPResponse

log = logging.getLogger(__name__)

Object = dict[str, Any]

PATIENCE_S = 3.0
_TRY_S = (3.0, 5.0)  # to connect, and for each piece of the answer
_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.1, 2.0
_AGAIN = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Listed:
    """Objects, and the version of the store that they were read at."""

    items: list[Object]
    version: str


class Kube:
    """The API of one cluster in the box's namespace. Any thread may use it.

    ``patience_s`` bounds how long a call is tried for. Calls raise what ``troubles`` makes of
    answers: Missing, Exists, InvalidArgument for an object that cannot be, Refused for what the
    caller may not, Unanswered for all that may pass.
    """

    def __init__(self, settings: access.Settings, patience_s: float = PATIENCE_S) -> None:
        self._settings = settings
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._access: Access | None = None
        self._ending = threading.Event()
        self._stream: HTTPResponse | None = None  # of the watch

    def close(self) -> None:
        """Nothing is tried again from now on, and the watch ends."""
        self._ending.set()
        if (stream := self._stream) is not None:
            with contextlib.suppress(Exception):  # it has ended by itself meanwhile
                stream.shutdown()

    @property
    def access(self) -> Access:
        """Where the API is and who we are there; read once. Raises Refused naming what is wrong
        with the kubeconfig."""
        with self._lock:
            if self._access is None:
                self._access = access.find(self._settings)
            return self._access

    @property
    def namespace(self) -> str:
        """That of the box's Pods. Raises Refused as ``access`` does."""
        return self.access.namespace

    # ---- verbs; a kind is the client's word for it: pod, config_map, service, secret

    def create(self, kind: str, body: Object) -> Object:
        """The object as it was stored. The answer to an earlier try may have been lost: what is
        there by that name is it when it has the same labels, annotations and owner; else Exists is
        raised."""
        try:
            return self._object(
                f"create {kind}",
                lambda api: getattr(api, f"create_namespaced_{kind}")(
                    self.namespace, body, **_raw()
                ),
            )
        except Exists:
            found = self.get(kind, body["metadata"]["name"])
            if found is None or not _same(found["metadata"], body["metadata"]):
                raise
            return found

    def tries(self, kind: str, body: Object, patience_s: float) -> None:
        """Have the cluster say what it would to ``create``, and that fields are what they seem;
        nothing is made."""
        self._object(
            f"create {kind}",
            lambda api: getattr(api, f"create_namespaced_{kind}")(
                self.namespace, body, dry_run="All", field_validation="Strict", **_raw()
            ),
            patience_s,
        )

    def get(self, kind: str, name: str, patience_s: float | None = None) -> Object | None:
        """An object; None when there is none of that name."""
        try:
            return self._object(
                f"get {kind}",
                lambda api: getattr(api, f"read_namespaced_{kind}")(name, self.namespace, **_raw()),
                patience_s,
            )
        except Missing:
            return None

    def list(self, kind: str, selector: str, patience_s: float | None = None) -> Listed:
        """All objects with these labels (``name=value``)."""
        found = self._object(
            f"list {kind}",
            lambda api: getattr(api, f"list_namespaced_{kind}")(
                self.namespace, label_selector=selector, **_raw()
            ),
            patience_s,
        )
        return Listed(found.get("items") or [], found["metadata"].get("resourceVersion", ""))

    def patch(self, kind: str, name: str, body: Object) -> Object:
        """Merge ``body`` into an object."""
        return self._object(
            f"patch {kind}",
            lambda api: getattr(api, f"patch_namespaced_{kind}")(
                name, self.namespace, body, _content_type="application/merge-patch+json", **_raw()
            ),
        )

    def delete(self, kind: str, name: str, uid: str = "", patience_s: float | None = None) -> None:
        """Delete an object at once, and what it owns after it; with ``uid`` that one alone. One
        that is gone, or is another by now, is no trouble."""
        body: Object = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            self._object(
                f"delete {kind}",
                lambda api: getattr(api, f"delete_namespaced_{kind}")(
                    name, self.namespace, body=body, **_raw()
                ),
                patience_s,
            )
        except (Missing, Exists):
            return

    def nodes(self) -> Sequence[Object]:
        """The nodes of the cluster."""
        found: Sequence[Object] = self._object("list node", lambda a: a.list_node(**_raw()))[
            "items"
        ]
        return found

    def make_namespace(self) -> None:
        """Create the box's namespace; one that is there is no trouble."""
        body = {"metadata": {"name": self.namespace}}
        try:
            self._object("create namespace", lambda api: api.create_namespace(body, **_raw()))
        except Exists:
            return

    def version(self, patience_s: float | None = None) -> str:
        """The version of the API server, such as ``v1.33.1``."""
        from kubernetes.client import VersionApi

        found = self._object(
            "get version", lambda a: VersionApi(a.api_client).get_code(**_raw()), patience_s
        )
        return str(found["gitVersion"])

    def may(self, verb: str, resource: str, *, everywhere: bool = False) -> bool:
        """Whether the cluster allows us that, by its own word."""
        from kubernetes.client import AuthorizationV1Api

        asked = {"verb": verb, "resource": resource}
        asked |= {} if everywhere else {"namespace": self.namespace}
        body: Any = {"spec": {"resourceAttributes": asked}}
        found = self._object(
            "create selfsubjectaccessreview",
            lambda a: AuthorizationV1Api(a.api_client).create_self_subject_access_review(
                body, **_raw()
            ),
        )
        return bool(found["status"].get("allowed"))

    def watch(
        self, selector: str, version: str, for_s: float, silent_s: float
    ) -> Generator[Object, None, None]:
        """Changes of Pods after ``version``, for that long; ends when the server ends it. Raises
        Unanswered when the connection is lost, or nothing came for ``silent_s``; other errors as
        every call."""
        reached = self.access
        with troubles.told("watch pod", reached):
            answer = reached.core().list_namespaced_pod(
                self.namespace,
                label_selector=selector,
                watch=True,
                resource_version=version,
                allow_watch_bookmarks=True,
                timeout_seconds=int(for_s),
                _preload_content=False,
                _request_timeout=(_TRY_S[0], silent_s),
            )
            self._stream = answer
            try:
                if self._ending.is_set():  # race: it was closed before there was one to end
                    return
                rest = b""
                for piece in answer.stream(amt=None):
                    *lines, rest = (rest + piece).split(b"\n")
                    yield from (json.loads(line) for line in lines if line.strip())
            finally:
                self._stream = None
                answer.close()

    # ---- again and again

    def _object(
        self, what: str, call: Callable[[Any], Any], patience_s: float | None = None
    ) -> Object:
        until = time.monotonic() + (self._patience_s if patience_s is None else patience_s)
        pause = _FIRST_PAUSE_S
        renewed = False  # what was read of the cluster: it may have been written anew meanwhile
        while True:
            reached = self.access
            try:
                with troubles.told(what, reached):
                    found: Object = json.loads(call(reached.core()).data)
                    return found
            except PachyboxError as e:
                silent = isinstance(e, Unanswered) and not e.status
                if silent or (isinstance(e, Forbidden) and e.status == 401):
                    self._forget(reached)
                    if not silent and not renewed:
                        renewed = True
                        continue
                if not isinstance(e, Unanswered) or (e.status and e.status not in _AGAIN):
                    raise
                wait = e.retry_after_s or pause * random.uniform(0.5, 1.5)
                if time.monotonic() + wait > until or self._ending.wait(wait):
                    raise
                log.info("asked again what=%s error=%s", what, e.message)
                pause = min(2 * pause, _MOST_PAUSE_S)

    def _forget(self, reached: Access) -> None:
        """Read anew where the cluster is, before it is asked again."""
        with self._lock:
            if self._access is reached:
                self._access = None


def _raw() -> dict[str, Any]:
    return {"_preload_content": False, "_request_timeout": _TRY_S}


def _same(found: Object, wanted: Object) -> bool:
    """Whether an object that is there is the one that was to be made."""
    owners, wanted_owners = (
        [one["uid"] for one in meta.get("ownerReferences") or ()] for meta in (found, wanted)
    )
    return owners == wanted_owners and all(
        (found.get(part) or {}).get(key) == value
        for part in ("labels", "annotations")
        for key, value in (wanted.get(part) or {}).items()
    )
