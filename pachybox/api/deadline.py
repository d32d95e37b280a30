"""``grpc-timeout``: how long a client gives a call, by header, as grpc-gateway reads it."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

from pachybox.api.table import Call
from pachybox.errors import InvalidArgument, Overdue

_FORM = re.compile(r"(\d{1,8})([HMSmun])")
_SECONDS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


class Deadline:
    """Around a call: cancels it when its time is over. ``check`` then raises Overdue."""

    def __init__(self, headers: Mapping[str, str], call: Call) -> None:
        """Raises InvalidArgument when the header is malformed."""
        self.passed = False
        self._call = call
        self._timer: threading.Timer | None = None
        text = headers.get("grpc-timeout")
        if text is not None:
            match = _FORM.fullmatch(text)
            if match is None:
                raise InvalidArgument(f"invalid grpc-timeout: {text[:20]}", "10S are ten seconds")
            seconds = min(int(match[1]) * _SECONDS[match[2]], threading.TIMEOUT_MAX)
            self._timer = threading.Timer(seconds, self._pass)
            self._timer.daemon = True

    def _pass(self) -> None:
        self.passed = True
        self._call.cancel.set()

    def __enter__(self) -> Deadline:
        if self._timer is not None:
            self._timer.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def check(self) -> None:
        """Raise Overdue when the time is over."""
        if self.passed:
            raise Overdue("context deadline exceeded", "give the call more time")
