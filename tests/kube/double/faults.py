"""What is to go wrong, as a script: apart from what works, so that it is cleared at once."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Literal

from tests.kube.double.answers import ApiError

How = int | Literal["reset", "hang"]

WORDS = {
    403: "is forbidden",
    409: "Operation cannot be fulfilled: the object has been modified",
    429: "the server has received too many requests and has asked us to try again later",
    500: "Internal error occurred: etcdserver: request timed out",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted",
}


@dataclass
class Fault:
    """One kind of failure; ``left`` times, of requests of this verb and resource ("" is any)."""

    how: How
    left: int
    verb: str = ""
    resource: str = ""
    retry_after: int | None = None
    seconds: float = 0.0
    afterwards: bool = False

    def error(self) -> ApiError:
        assert isinstance(self.how, int)
        said = WORDS.get(self.how, "an error on the server has prevented the request")
        return ApiError(self.how, said, retry_after=self.retry_after)


class Faults:
    """The faults of one cluster. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.over = threading.Event()  # ends what hangs
        self.slow_s = 0.0
        self.silent_since: float | None = None
        self.silent_new = False
        self.gone_as_status = False

    def fail(
        self,
        times: int,
        status: How,
        verb: str = "",
        resource: str = "",
        retry_after: int | None = None,
        seconds: float = 30.0,
    ) -> None:
        """Answer the next ``times`` requests of that verb (as ``create``, ``list``, ``watch``) and
        resource with this status and nothing done; ``reset`` cuts the connection, ``hang`` says
        nothing for ``seconds`` and cuts it then. ``retry_after`` is in seconds."""
        with self._lock:
            self._faults.append(Fault(status, times, verb, resource, retry_after, seconds))

    def answer_then_fail(
        self, times: int = 1, status: How = "reset", verb: str = "create", resource: str = "pods"
    ) -> None:
        """Do what is asked, and answer with a failure all the same: the answer is lost."""
        with self._lock:
            self._faults.append(Fault(status, times, verb, resource, None, 30.0, afterwards=True))

    def next(self, verb: str, resource: str) -> Fault | None:
        """The fault that this request meets, if any."""
        with self._lock:
            for fault in self._faults:
                meets = fault.verb in ("", verb) and fault.resource in ("", resource)
                if meets and fault.left > 0:
                    fault.left -= 1
                    return fault
        return None

    def slow_watch(self, seconds: float) -> None:
        """From now on, watches tell of each change this much later."""
        self.slow_s = seconds

    def silence_watches(self, new: bool = False) -> None:
        """Watches that are open say nothing any more, not even that they end; with ``new`` neither
        do those that are opened from now on."""
        self.silent_since, self.silent_new = time.monotonic(), new

    def is_silent(self, opened: float) -> bool:
        """Whether the watch opened at that monotonic time says nothing."""
        since = self.silent_since
        return since is not None and (self.silent_new or opened < since)

    def clear(self) -> None:
        """All is well again; what hangs goes on."""
        with self._lock:
            self._faults.clear()
        self.slow_s, self.silent_since, self.silent_new = 0.0, None, False
        self.gone_as_status = False
        over, self.over = self.over, threading.Event()
        over.set()
