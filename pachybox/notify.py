"""What the box tells its service manager, by systemd's protocol: it serves, it stops, it lives.

Without ``$NOTIFY_SOCKET`` nobody is told and nothing runs. The variables are taken out of the
environment, so that no child speaks for the box; a box that begins anew finds them again by
``environment``.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pachybox.client.address import connectable

log = logging.getLogger("pachybox.notify")

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
_ANSWER = 1 << 16
_BEATS = 4  # looks within the time after which the manager kills
_RESTART_US = 3_600_000_000  # recovery is never cut short: what it repeats would be cut again


class Manager:
    """The service manager. Nothing raises: a box serves whether or not it is heard."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        """``environment``: what the manager gave the process ``pid``."""
        self.environment = {key: environment[key] for key in _VARIABLES if key in environment}
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._period_us = _whole(environment.get("WATCHDOG_USEC", ""))
        if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
            self._period_us = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def taken(cls) -> Manager:
        """The manager this process was started by; its variables leave the environment."""
        made = cls(os.environ, os.getpid())
        for key in _VARIABLES:
            os.environ.pop(key, None)
        return made

    @property
    def listens(self) -> bool:
        """Whether there is one."""
        return bool(self._address)

    def ready(self, status: str, alive: Callable[[], Sequence[str]]) -> None:
        """The box serves, ``status`` says where. From now on ``alive`` is asked four times in the
        watchdog's period; it returns why the box is not well, and may block or raise: the manager
        hears of life only when there is no reason."""
        beat = [f"WATCHDOG_USEC={self._period_us}"] if self._period_us else []
        self._tell("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}", *beat)
        if self._address and self._period_us and self._thread is None:
            self._thread = threading.Thread(
                target=self._watch, args=(alive, status), name="watchdog", daemon=True
            )
            self._thread.start()

    def stopping(self) -> None:
        """The box ends; how long that may take is the manager's to bound."""
        self._stop.set()
        self._tell("STOPPING=1", "STATUS=stopping: running datums are handed back")

    def restarting(self, why: str) -> None:
        """The same process is about to begin anew."""
        self._stop.set()
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        beat = [f"WATCHDOG_USEC={_RESTART_US}"] if self._period_us else []
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", f"STATUS=beginning anew: {why}", *beat)

    def _watch(self, alive: Callable[[], Sequence[str]], status: str) -> None:
        ill = False
        while not self._stop.wait(self._period_us / 1e6 / _BEATS):
            reasons = _reasons(alive)
            if self._stop.is_set():
                return
            if reasons:
                ill = True
                log.warning("not well reasons=%s", "; ".join(reasons))
                self._tell(f"STATUS=not well: {'; '.join(reasons)}")
                continue
            self._tell("WATCHDOG=1", *([f"STATUS={status}"] if ill else []))
            ill = False

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        name = self._address
        name = "\0" + name[1:] if name.startswith("@") else name
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                to.sendto(text.encode(), name)
        except OSError as e:
            log.warning("the service manager is not reached at %s: %s", self._address, e)


def answers(path: Path, timeout_s: float = 10.0) -> Sequence[str]:
    """Whether the door at the socket ``path`` says that it is well: no reasons. Blocks for
    ``timeout_s`` at most; what cannot be asked is a reason."""
    link = connectable(str(path))
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.settimeout(timeout_s)
            door.connect(link[0])
            door.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            with door.makefile("rb") as answer:
                head, _, body = answer.read(_ANSWER).partition(b"\r\n\r\n")
    except OSError as e:
        return [f"the door {path} does not answer: {e}"]
    finally:
        if link[1] is not None:
            os.close(link[1])
    status = head.split(b"\r\n", 1)[0].split(b" ")[1:2]
    if status == [b"200"]:
        return []
    return body.decode(errors="replace").splitlines() or [f"/healthz says {status}"]


def _reasons(alive: Callable[[], Sequence[str]]) -> Sequence[str]:
    try:
        return alive()
    except Exception as e:  # whatever fails to answer does not answer: the thread must go on
        return [f"{type(e).__name__}: {e}"]


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0
