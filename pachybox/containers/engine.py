"""The engine: podman on this machine, found or started, spoken to over its socket.

    box --Engine--> socket of podman's service --> conmon, the runtime --> container

A service that listens already is used as it is. Otherwise the engine starts one of its own, which
ends with the process that started it, and finds out by a trial which runtime starts containers
here (crun refuses hybrid control groups that runc takes).
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pachybox import importing
from pachybox.containers import steps
from pachybox.errors import InvalidArgument, NotReady, PachyboxError, Refused
from pachybox.worker import handover

if TYPE_CHECKING:
    from podman import PodmanClient

_START_S = 20.0
_STOP_S = 0.5
_LISTEN_S = 5.0
_PING_S = 10.0  # of one that hangs
_POOL = 32  # connections that are kept
_PATH_MOST = 107  # bytes of a socket's name
_CALL_S = 600.0
_OLDEST = (4, 0)
_RUNTIMES = ("crun", "runc")
_MOST = {"nofile": (resource.RLIMIT_NOFILE, 1 << 20), "nproc": (resource.RLIMIT_NPROC, 1 << 22)}
SOCKET = "podman.sock"  # in the folder of the engine: a link to that of the service it started
# The service ends when our end of its standard input is closed, however that comes about; and
# this with the service.
_KEEPER = """exec 3<&0
"$@" </dev/null 3<&- & p=$!
{ read -r _ <&3; kill $p 2>/dev/null; } & r=$!
exec 3<&-
wait $p; s=$?
kill $r 2>/dev/null
exit $s"""
INSTALL = "install podman 4 or later (apt install podman, dnf install podman)"


class EngineMissing(Refused):
    """There is no podman on this machine, or one that is of no use."""


class EngineGone(NotReady):
    """podman is installed and does not answer: later it may."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What is known of an engine that answers.

    ``runtime`` starts its containers, ``why`` says how that one was chosen; ``storage`` is the
    folder of images and containers. ``ulimits`` (soft and hard are the same) are what to ask for:
    podman's own defaults may be above what this machine allows.
    """

    version: str
    rootless: bool
    cgroups: str
    controllers: tuple[str, ...]
    runtime: str
    why: str
    storage: Path
    ulimits: Mapping[str, int]
    started: bool
    socket: Path


class Engine:
    """podman, for one box or one command. Any thread may use it."""

    def __init__(self, run: Path, url: str = "") -> None:
        """``run`` is a folder for the socket of a service that we start, made when needed; ``url``
        that of a socket to use (unix:///...), default $CONTAINER_HOST, else the system's."""
        self._run = run
        self._url = url or os.environ.get("CONTAINER_HOST", "")
        self._lock = threading.RLock()
        self._client: PodmanClient | None = None
        self._socket: Path | None = None
        self._service: subprocess.Popen[bytes] | None = None
        self._runtime = ""  # of the service we start, "" for podman's default; found once
        self._why = ""  # of our own
        self._facts: EngineFacts | None = None

    def client(self) -> PodmanClient:
        """A client whose service answers; starts the service where there is only the program.

        Raises EngineMissing (no podman, too old an one) or EngineGone (it does not answer).
        """
        with self._lock:
            if self._client is not None:
                if _answers(self._client):
                    return self._client
                if self._socket == self._own:
                    self._stop()  # dead, or it hangs
            self._forget()
            try:
                client = self._connected()
            except OSError as e:  # a disk that takes nothing
                raise EngineGone(f"podman cannot be started: {e}", "run: pachybox doctor") from e
            try:
                _require_version(client)
            except BaseException:
                client.close()
                raise
            self._client = client
            return client

    def facts(self) -> EngineFacts:
        """What this engine is. Raises what client() raises."""
        with self._lock:
            client = self.client()
            if self._facts is None:
                self._facts = self._ask(client)
            return self._facts

    def trial(self) -> str:
        """Start a container that ends at once; why that is not possible, empty when it is.
        Raises what client() raises."""
        try:
            return _trial(self.client(), self._run)
        except OSError as e:
            return str(e)

    def close(self) -> None:
        """End a service that we started; idempotent. The engine may be used again."""
        with self._lock:
            self._forget()
            self._stop()

    # ---- connecting

    def _forget(self) -> None:
        if self._client is not None:
            with contextlib.suppress(Exception):
                self._client.close()
        self._client = self._facts = None

    def _connected(self) -> PodmanClient:
        for place in self._sockets():
            if not _listens(place):
                continue
            client = _open(place)
            if _answers(client):
                self._socket = place
                return client
            client.close()
        if self._url:
            raise EngineGone(
                f"podman does not answer at {self._url}",
                "start its service (systemctl start podman.socket), or unset CONTAINER_HOST",
            )
        program = shutil.which("podman")
        if program is None:
            raise EngineMissing("podman is not installed", INSTALL)
        return self._started(program)

    @property
    def _own(self) -> Path:
        # of this process alone: a podman that ends takes its socket away by name, also that of
        # the next one, when a box was killed and is started again at once
        return self._run / f"podman-{os.getpid()}.sock"

    def _sockets(self) -> Iterator[Path]:
        if self._url:
            scheme, _, path = self._url.partition("://")
            if scheme not in ("unix", "http+unix") or not path.startswith("/"):
                raise InvalidArgument(
                    f"podman at {self._url!r} cannot be used: it must be on this machine",
                    "give a socket such as unix:///run/podman/podman.sock",
                )
            yield Path(unquote(path))
            return
        if self._service is not None and self._service.poll() is None:
            yield self._own
        base = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
        system = Path(base, "podman", "podman.sock")
        if base and system.is_socket():
            yield system

    # ---- a service of our own

    def _started(self, program: str) -> PodmanClient:
        """Our own service, with the first runtime that starts a container (the first that is there
        when none does: images and builds without steps need none)."""
        if self._why:
            return self._serve(program, self._runtime)
        client = self._serve(program, "")
        self._why = "podman's default"
        default = _runtime(client)
        others = [one for one in _RUNTIMES if one != default and shutil.which(one)]
        why = _trial(client, self._run) if others else ""
        if not why:
            return client
        for other in others:
            client.close()
            client = self._serve(program, other)
            if not _trial(client, self._run):
                self._runtime = other
                self._why = f"podman's default, {default or 'unknown'}, starts none here: {why}"
                return client
        client.close()
        return self._serve(program, "")

    def _serve(self, program: str, runtime: str) -> PodmanClient:
        self._stop()
        self._run.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self._run.glob("trial-*"):
            shutil.rmtree(left, ignore_errors=True)
        for left in self._run.glob("podman-*.sock"):
            if left == self._own or not _listens(left):
                left.unlink(missing_ok=True)
        if len(os.fsencode(self._own)) > _PATH_MOST:
            raise InvalidArgument(
                f"{self._own} is too long a name for a socket", "choose a shorter PACHYBOX_HOME"
            )
        chosen = ["--runtime", runtime] if runtime else []
        how = ["--log-level=error", *chosen]
        command = [program, *how, "system", "service", "-t", "0", f"unix://{self._own}"]
        said = self._run / "podman.log"
        said.unlink(missing_ok=True)  # one that is ending writes into its own
        with open(said, "wb") as log:
            self._service = subprocess.Popen(
                ["/bin/sh", "-c", _KEEPER, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        self._socket = self._own
        client = _open(self._own)
        deadline = time.monotonic() + _START_S
        while not (_listens(self._own) and _answers(client)):
            words = said.read_text(errors="replace").strip()
            over = time.monotonic() > deadline or self._service.poll() is not None
            if over or (words and "rror" in words):
                client.close()
                self._stop()
                last = words.splitlines()[-1] if words else "it does not answer"
                raise EngineGone(f"podman's service does not start: {last}", "run: podman info")
            time.sleep(0.01)
        self._name_it()
        return client

    def _name_it(self) -> None:
        """The name by which commands find it beside their box (SOCKET)."""
        fresh = self._run / f"{SOCKET}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self._own.name)
        fresh.replace(self._run / SOCKET)

    def _stop(self) -> None:
        service, self._service = self._service, None
        if service is None:
            return
        assert service.stdin is not None
        steps.end(service.pid)
        service.stdin.close()
        try:
            service.wait(_STOP_S)
        except subprocess.TimeoutExpired:  # it waits for calls that nobody waits for
            os.killpg(service.pid, signal.SIGKILL)
            service.wait()
        self._own.unlink(missing_ok=True)
        named = self._run / SOCKET
        if named.is_symlink() and named.readlink() == Path(self._own.name):
            named.unlink(missing_ok=True)

    def _ask(self, client: PodmanClient) -> EngineFacts:
        try:
            info: dict[str, Any] = client.info()
        except Exception as e:
            raise EngineGone(f"podman does not say what it is: {e}", "run: podman info") from e
        host, store = info["host"], info["store"]
        assert self._socket is not None
        ours = self._socket == self._own
        return EngineFacts(
            version=str(info["version"]["Version"]),
            rootless=bool(host["security"]["rootless"]),
            cgroups=str(host["cgroupVersion"]),
            controllers=tuple(host.get("cgroupControllers") or ()),
            runtime=str((host.get("ociRuntime") or {}).get("name") or self._runtime),
            why=self._why if ours else f"the service at {self._socket} uses it",
            storage=Path(store["graphRoot"]),
            ulimits=ulimits(),
            started=ours,
            socket=self._socket,
        )


def ulimits() -> dict[str, int]:
    """Limits of a container's processes that this machine lets us set, by podman's names.

    podman bounds its own processes by the kernel's highest process number, and may not have the
    right to give more than it has itself.
    """
    pids = int(Path("/proc/sys/kernel/pid_max").read_text())
    found = {}
    for name, (number, most) in _MOST.items():
        hard = resource.getrlimit(number)[1]
        most = min(most, pids) if name == "nproc" else most
        found[name] = most if hard == resource.RLIM_INFINITY else min(hard, most)
    return found


def words(error: Exception) -> str:
    """What podman said, in one line."""
    said = getattr(error, "explanation", None) or str(error)
    return " ".join(str(said).split())


def _open(place: Path) -> PodmanClient:
    with importing.LOCK:
        from podman import PodmanClient

    return PodmanClient(base_url=f"http+unix://{place}", timeout=_CALL_S, max_pool_size=_POOL)


def _listens(place: Path) -> bool:
    """Whether anybody takes connections there. Asked first, since podman-py leaves a socket open
    where nobody does."""
    try:
        with socket.socket(socket.AF_UNIX) as trial:
            trial.settimeout(_LISTEN_S)
            trial.connect(str(place))
    except OSError:
        return False
    return True


def _answers(client: PodmanClient) -> bool:
    try:
        return bool(client.api.head("/_ping", timeout=_PING_S).ok)
    except Exception:  # whatever requests, urllib3 and podman-py raise: no answer
        return False


def _runtime(client: PodmanClient) -> str:
    """The name of the runtime that a service uses; "" when that is broken."""
    return str((client.info()["host"].get("ociRuntime") or {}).get("name") or "")


def _require_version(client: PodmanClient) -> None:
    # asked for its version podman runs each of its programs to ask for theirs: a second or two
    version = client.api.head("/_ping").headers.get("Libpod-API-Version", "")
    version = version or str(client.version()["Version"])
    numbers = tuple(int(n) for n in version.split("-")[0].split(".")[:2] if n.isdigit())
    if numbers < _OLDEST:
        raise EngineMissing(f"podman {version} is too old", INSTALL)


def _trial(client: PodmanClient, run: Path) -> str:
    """Run our own static program in a container of an empty root; "" when it ran."""
    try:
        program = handover.handle()
    except OSError as e:
        return f"there is no shim to try it with: {e}"
    run.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="trial-", dir=run) as folder:
        target = Path(folder, "shim")
        with open(f"/proc/self/fd/{program}", "rb") as source, open(target, "wb") as copy:
            shutil.copyfileobj(source, copy)
        target.chmod(0o755)
        try:
            return _try(client, folder)
        except Exception as e:  # whatever podman-py and requests raise: it did not run
            return words(e)


def _try(client: PodmanClient, root: str) -> str:
    limits = [{"type": name, "soft": n, "hard": n} for name, n in ulimits().items()]
    spec = {
        "rootfs": root,
        "command": ["/shim"],
        "netns": {"nsmode": "host"},
        "labels": {"org.pachybox.trial": "true"},
        "r_limits": limits,
        "remove": True,  # by itself: we may not live to do it
    }
    made = client.api.post(
        "/containers/create", data=json.dumps(spec), headers={"content-type": "application/json"}
    )
    made.raise_for_status()
    path = f"/containers/{made.json()['Id']}"
    try:
        client.api.post(f"{path}/start").raise_for_status()
        client.api.post(f"{path}/wait", params={"interval": "20ms"})
    finally:
        client.api.delete(path, params={"force": True, "v": True})
    return ""


def unusable(engine: Engine) -> PachyboxError | None:
    """Why no engine answers; None when one does."""
    try:
        engine.client()
    except PachyboxError as e:
        return e
    return None
