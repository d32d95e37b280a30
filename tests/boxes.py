"""Real boxes for tests: a daemon process on a temporary directory, and a client to it."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pachybox.client import Client
from pachybox.errors import Unreachable
from tests.warm import Daemon

T = TypeVar("T")

READY_S = 30.0


def eventually(look: Callable[[], T], what: str, timeout_s: float = 60.0) -> T:
    """Ask until the answer is true-ish and return it; fails naming ``what`` otherwise."""
    until = time.monotonic() + timeout_s
    pause = 0.005
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(pause)  # between two looks at a condition
        pause = min(pause * 1.5, 0.05)


def processes(words: str) -> list[bytes]:
    """The command lines of this machine's processes that have ``words`` as arguments."""
    wanted, found = b"\0".join(word.encode() for word in words.split()), []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:  # it has ended
            continue
        if wanted in line:
            found.append(line)
    return found


def free_port() -> int:
    """A port of loopback where nobody listens, and which the kernel gives to nobody by itself:
    a test beside this one that asks for any port does not get it."""
    while True:
        port = random.randrange(10_000, 30_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


class RealBox:
    """One box: ``start``, ``kill``, ``stop``, and ``client`` while it runs."""

    def __init__(
        self, home: Path, env: Mapping[str, str] | None = None, settings: str = ""
    ) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        (home / "box.toml").write_text(f"http_port = 0\ngrpc_port = 0\n{settings}")
        (home / "box.toml").chmod(0o600)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PACHYBOX")}
        self.env |= {"PACHYBOX_HOME": str(home), **(env or {})}
        self.process: Daemon | None = None
        self._client: Client | None = None

    @property
    def socket(self) -> Path:
        return self.home / "run" / "box.sock"

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = Client(str(self.socket))
        return self._client

    def spawn(self) -> Daemon:
        """Start the daemon without waiting."""
        self.process = Daemon(self.env)
        return self.process

    def start(self) -> RealBox:
        """Start the daemon and wait until it answers."""
        process = self.spawn()
        try:
            return self._ready(process)
        except BaseException:
            self.kill()
            raise

    def _ready(self, process: Daemon) -> RealBox:

        def answers() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"the box ended: {process.stdout.read().decode()}")
            try:
                return self.client.healthy()
            except Unreachable:
                return False

        eventually(answers, "the box answers", READY_S)
        return self

    def forget_client(self) -> None:
        """The next use of ``client`` connects anew."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Stop it as a service manager would; returns the exit status."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        self.forget_client()
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        code = process.wait(30)
        process.stdout.close()
        return code

    def cli(self, *args: str, stdin: bytes | None = None, check: bool = True) -> str:
        """Run one ``pachybox`` command; returns what it printed. Fails on a non-zero exit
        unless ``check`` is False."""
        done = self.run(*args, stdin=stdin)
        if check and done.returncode != 0:
            raise AssertionError(f"pachybox {' '.join(args)}: {done.stderr}")
        return done.stdout

    def run(self, *args: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        """Run one ``pachybox`` command and return all there is to know of it."""
        done = subprocess.run(
            [sys.executable, "-m", "pachybox.cli", *args],
            env=self.env,
            input=stdin if stdin is not None else b"",
            capture_output=True,
            timeout=120,
            check=False,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
