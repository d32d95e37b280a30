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

Object = Mapping[str, Any]


class Watch:
    """Pods by name. Any thread may ask; ``start`` begins to watch."""

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

    def pod(self, name: str, uid: str) -> Object | None:
        """A Pod as it was seen last; None when that very one is gone."""
        with self.changed:
            found = self._pods.get(name)
        return found if found is not None and found["metadata"]["uid"] == uid else None

    def names(self) -> set[str]:
        """Those of all Pods that are there."""
        with self.changed:
            return set(self._pods)

    def put(self, pod: Object) -> None:
        """Take note of a Pod that the API has told of."""
        with self.changed:
            known = self._pods.get(pod["metadata"]["name"])
            if known is None or not _older(pod, known):
                self._pods[pod["metadata"]["name"]] = pod
                self.changed.notify_all()

    def look(self, name: str, patience_s: float) -> None:
        """Ask for a Pod directly. Raises what Kube.get does."""
        found = self._kube.get("pod", name, patience_s)
        if found is not None:
            self.put(found)
            return
        with self.changed:
            self._pods.pop(name, None)
            self.changed.notify_all()

    # ---- the thread

    def _run(self) -> None:
        version, pause = "", _PAUSE_S
        while not self._ending:
            try:
                if not version:
                    version = self._list()
                version = self._follow(version)
                pause = _PAUSE_S
                continue
            except Gone:
                version = ""
                continue_at = 0.0
            except Unanswered as e:  # what came meanwhile is still told from there on
                log.info("watch of pods: %s", e)
                continue_at = pause
            except PachyboxError as e:
                log.warning("watch of pods: %s", e)
                version = ""
                continue_at = _MOST_PAUSE_S if not isinstance(e, Missing) else pause
            except Exception:
                log.exception("watch of pods")
                version, continue_at = "", _MOST_PAUSE_S
            with self.changed:
                self.changed.wait_for(
                    lambda: self._ending, continue_at * random.uniform(0.5, 1.0) + 0.01
                )
            pause = min(2 * pause, _MOST_PAUSE_S)

    def _list(self) -> str:
        """Begin anew with all there are; the version to go on from."""
        found = self._kube.list("pod", self._selector)
        there = {one["metadata"]["name"]: one for one in found.items}
        with self.changed:
            for name, known in list(self._pods.items()):
                if name not in there and not _made_after(known, found.version):
                    del self._pods[name]
            self.changed.notify_all()
        for one in there.values():
            self.put(one)
        return found.version

    def _follow(self, version: str) -> str:
        """Take in what one watch tells; the version to go on from. Raises as Kube.watch, Gone when
        there is no going on from it."""
        until = time.monotonic() + self._most_s
        events = self._kube.watch(self._selector, version, self._for_s, self._most_s)
        try:
            for event in events:
                if self._ending or time.monotonic() > until:
                    break
                thing = event["object"]
                if event["type"] == "ERROR":
                    raise Gone(str(thing.get("message") or thing.get("code")))
                version = thing["metadata"]["resourceVersion"]
                if event["type"] == "DELETED":
                    self._deleted(thing)
                elif event["type"] != "BOOKMARK":
                    self.put(thing)
        except Unanswered:
            if not self._ending:
                raise
        finally:
            events.close()
        return version

    def _deleted(self, pod: Object) -> None:
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        with self.changed:
            known = self._pods.get(name)
            if known is not None and known["metadata"]["uid"] == uid:
                del self._pods[name]
            self.changed.notify_all()


def _number(version: object) -> int:
    """A version as a number: it grows with every change of anything; 0 when it says nothing."""
    return int(str(version)) if str(version).isdigit() else 0


def _older(pod: Object, known: Object) -> bool:
    mine = _number(pod["metadata"].get("resourceVersion"))
    return 0 < mine < _number(known["metadata"].get("resourceVersion"))


def _made_after(pod: Object, version: str) -> bool:
    return _number(pod["metadata"].get("resourceVersion")) > _number(version) > 0
