"""What Pods the box has in the cluster: one watch for all of them, by their label.

What it knows may be late: a watch is dropped, held up, or falls silent. So whoever waits for a
Pod has it looked at directly now and then; both ways lead into the same table.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Mapping
from typing import Any

from pachybox.errors import PachyboxError
from pachybox.pps.runners.pods.api import Kube
from pachybox.pps.runners.pods.troubles import Gone, Missing, Unanswered

log = logging.getLogger(__name__)

FOR_S = 270.0
SILENT_S = 30.0
_PAUSE_S, _MOST_PAUSE_S = 0.2, 10.0
_STEADY_S = 5.0  # what lasted so long may begin again at once

Object = Mapping[str, Any]


class Watch:
    """Pods as they are seen. Any thread may ask; ``start`` begins to watch."""

    def __init__(
        self, kube: Kube, selector: str, for_s: float = FOR_S, silent_s: float = SILENT_S
    ) -> None:
        """``for_s`` is how long one watch lasts before the next is asked for; one that does not end
        and says nothing is given up ``silent_s`` later."""
        self._kube = kube
        self._selector = selector
        self._for_s = for_s
        self._most_s = for_s + silent_s
        self.changed = threading.Condition()
        """Notified of every change of what is known."""
        # by uid: a name is used again, and what is told of it late is of the one before
        self._pods: dict[str, Object] = {}
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch from now on; no trouble when it does."""
        with self.changed:
            if self._thread is not None or self._ending:
                return
            self._thread = threading.Thread(target=self._run, name="pods-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more. Returns at once: the thread ends when its connection does."""
        with self.changed:
            self._ending = True
            self.changed.notify_all()

    # ---- what is known

    def pod(self, uid: str) -> Object | None:
        """A Pod as it was seen last; None when it is gone."""
        with self.changed:
            return self._pods.get(uid)

    def names(self) -> set[str]:
        """Those of all Pods that are there."""
        with self.changed:
            return {_name(one) for one in self._pods.values()}

    def put(self, pod: Object) -> None:
        """Take note of a Pod that the API has told of."""
        with self.changed:
            known = self._pods.get(_uid(pod))
            if known is None or not _older(pod, known):
                self._pods[_uid(pod)] = pod
                self.changed.notify_all()

    def look(self, name: str, patience_s: float) -> None:
        """Ask for a Pod directly. Raises what Kube.get does."""
        found = self._kube.get("pod", name, patience_s)
        there = _uid(found) if found is not None else ""
        with self.changed:
            for uid in [uid for uid, one in self._pods.items() if _name(one) == name]:
                if uid != there:
                    del self._pods[uid]
            self.changed.notify_all()
        if found is not None:
            self.put(found)

    # ---- the thread

    def _run(self) -> None:
        version, pause = "", _PAUSE_S
        while not self._ending:
            began, least = time.monotonic(), 0.0
            try:
                if not version:
                    version = self._list()
                version = self._follow(version)
            except Gone:
                version = ""
            except Unanswered as e:  # what came meanwhile is still told from there on
                log.info("watch of pods: %s", e)
            except Exception as e:
                log.warning("watch of pods: %s", e, exc_info=not isinstance(e, PachyboxError))
                version, least = "", 0.0 if isinstance(e, Missing) else _MOST_PAUSE_S
            # however it ended: a server that ends every watch at once is not asked all the time
            if time.monotonic() > began + _STEADY_S:
                pause = _PAUSE_S
            with self.changed:
                self.changed.wait_for(
                    lambda: self._ending, max(pause, least) * random.uniform(0.5, 1.0)
                )
            pause = min(2 * pause, _MOST_PAUSE_S)

    def _list(self) -> str:
        """Begin anew with all there are; the version to go on from."""
        found = self._kube.list("pod", self._selector)
        there = {_uid(one): one for one in found.items}
        with self.changed:
            for uid, known in list(self._pods.items()):
                if uid not in there and not _made_after(known, found.version):
                    del self._pods[uid]
            self.changed.notify_all()
        for one in there.values():
            self.put(one)
        return found.version

    def _follow(self, version: str) -> str:
        """Take in what one watch tells; the version to go on from, "" when it told nothing: it may
        be of a cluster that is no more. Raises as Kube.watch, Gone when there is no going on."""
        until = time.monotonic() + self._most_s
        told = ""
        events = self._kube.watch(self._selector, version, self._for_s, self._most_s)
        try:
            for event in events:
                if self._ending or time.monotonic() > until:
                    break
                thing = event["object"]
                if event["type"] == "ERROR":
                    raise Gone(str(thing.get("message") or thing.get("code")))
                told = thing["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self._deleted(thing)
                elif event["type"] != "BOOKMARK":
                    self.put(thing)
        except Unanswered:
            if not self._ending:
                raise
        finally:
            events.close()
        return told

    def _deleted(self, pod: Object) -> None:
        with self.changed:
            self._pods.pop(_uid(pod), None)
            self.changed.notify_all()


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def _number(version: object) -> int:
    """A version as a number: it grows with every change of anything; 0 when it says nothing."""
    return int(str(version)) if str(version).isdigit() else 0


def _older(pod: Object, known: Object) -> bool:
    mine = _number(pod["metadata"].get("resourceVersion"))
    return 0 < mine < _number(known["metadata"].get("resourceVersion"))


def _made_after(pod: Object, version: str) -> bool:
    return _number(pod["metadata"].get("resourceVersion")) > _number(version) > 0
