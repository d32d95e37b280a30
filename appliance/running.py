"""The box of a data directory as a process: whether it runs, what keeps it running, its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from pachybox.client.box import Box
from pachybox.config import Config
from pachybox.errors import InvalidArgument, PachyboxError, Refused
from pachybox.lock import is_free
from pachybox.systemd import Systemd

_ASK_S = 10.0
_LOOK_S = 0.1
_GONE_S = 10.0  # a service manager may start it again after some seconds
_UNIT = re.compile(r"/([^/]+\.service)(?=/|$)")


@dataclass(frozen=True, slots=True)
class Manager:
    """The systemd unit that keeps a box running; ``user``: of the user's own manager."""

    unit: str
    user: bool

    def start(self, wait_s: float) -> None:
        """Start it, and wait until it says that it is ready. Raises Refused with its last words,
        or when it says nothing for so long: systemd itself waits for ever."""
        asked = Systemd(self.user)
        try:
            started = self._run("start", wait_s)
        except subprocess.TimeoutExpired:
            why = f"it does not serve after {wait_s:.0f} s"
        else:
            if started.returncode == 0:
                return
            why = asked.last_words(self._name, "pachybox: ")
        raise Refused(f"{self.unit} did not start: {why}", f"see: {asked.journal(self._name)}")

    def stop(self) -> None:
        """Stop it, and wait for its end. Raises Refused."""
        done = self._run("stop")
        if done.returncode:
            said = done.stderr.strip().splitlines()
            raise Refused(
                f"systemctl stop {self.unit}: {said[0] if said else done.returncode}",
                f"see: {Systemd(self.user).journal(self._name)}",
            )

    @property
    def _name(self) -> str:
        return self.unit.removesuffix(".service")

    def _run(self, verb: str, wait_s: float | None = None) -> subprocess.CompletedProcess[str]:
        command = [*_systemctl(self.user), verb, self.unit]
        return subprocess.run(command, capture_output=True, text=True, timeout=wait_s, check=False)


@dataclass(frozen=True, slots=True)
class Running:
    """A box that serves: its process, its version, the one file it runs from ("": it does not),
    the flags of its `up`."""

    config: Config
    pid: int
    version: str
    file: str
    flags: tuple[str, ...]

    @classmethod
    def look(cls, config: Config) -> Running | None:
        """The box that serves the data directory now; None when none does."""
        box = Box(str(config.socket), timeout_s=_ASK_S)
        try:
            status = box.status()
        except PachyboxError:
            return None
        finally:
            box.close()
        environ = dict(pair.split("=", 1) for pair in _words(status.pid, "environ") if "=" in pair)
        return cls(
            config,
            status.pid,
            status.version,
            environ.get("PACHYBOX_FILE", ""),
            flags_of(_words(status.pid, "cmdline")),
        )

    @classmethod
    def await_ready(cls, config: Config, wait_s: float) -> Running:
        """The box once it would take writes. Raises Refused naming what it still says then, or
        that there is none any more."""
        now = held = time.monotonic()
        until, why = now + wait_s, "it does not answer"
        while now < until:
            box = Box(str(config.socket), timeout_s=_ASK_S)
            try:
                if not (reasons := box.ready()):
                    found = cls.look(config)
                    if found is not None:
                        return found
                why = "; ".join(reasons) or why
            except PachyboxError as e:
                why = e.message
            finally:
                box.close()
            time.sleep(_LOOK_S)
            now = time.monotonic()
            held = held if is_free(config.pid_file) else now
            if now - held > _GONE_S:
                raise Refused("the box has ended", f"see {config.log_file}")
        raise Refused(f"the box is not ready after {wait_s:.0f} s: {why}")

    def wrong(self) -> dict[str, str]:
        """What doctor calls failed and a quick fsck finds: by what it is about, the whole."""
        box = Box(str(self.config.socket))
        found = {}
        try:
            for one in box.doctor():
                if one.get("level") == "fail":
                    what = str(one.get("check", ""))
                    found[what] = f"{what}: {one.get('detail', '')}"
            for one in box.fsck(quick=True):
                if one.get("level") == "error":
                    what = str(one.get("thing", ""))
                    found[what] = f"{what}: {one.get('detail', '')}"
        except InvalidArgument:  # a box from before there were quick ones
            pass
        finally:
            box.close()
        return found

    def stop(self, manager: Manager | None, wait_s: float) -> None:
        """End it and wait until the data directory is free. Raises Refused when it does not."""
        if manager is not None:
            manager.stop()
        else:
            box = Box(str(self.config.socket), timeout_s=_ASK_S)
            try:
                box.shutdown()
            finally:
                box.close()
        self._await_free(self.config, wait_s)

    @classmethod
    def end(cls, config: Config, manager: Manager | None, wait_s: float) -> None:
        """End whatever has the data directory, also what does not answer. Raises Refused."""
        if manager is not None:
            manager.stop()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if is_free(config.pid_file):
                return
            pid = _holder(config)
            if pid > 1:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            try:
                cls._await_free(config, wait_s if number == signal.SIGTERM else _ASK_S)
            except Refused:
                if number == signal.SIGKILL:
                    raise

    @classmethod
    def _await_free(cls, config: Config, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        while not is_free(config.pid_file):
            if time.monotonic() > until:
                raise Refused(f"the box at {config.home} is still stopping", "wait, and try again")
            time.sleep(_LOOK_S)


def managed(running: Running) -> Manager | None:
    """The systemd unit whose main process the box is; None when it has none."""
    try:
        group = Path(f"/proc/{running.pid}/cgroup").read_text()
    except OSError:
        return None
    if os.geteuid() == 0 and not _is_of(running.pid, running.config.socket):
        return None
    for unit in reversed(_UNIT.findall(group)):
        for user in (False, True):
            command = [*_systemctl(user), "show", "-p", "MainPID", "--value", unit]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            except FileNotFoundError:
                return None
            if done.stdout.strip() == str(running.pid):
                return Manager(unit, user)
    return None


def flags_of(command: list[str]) -> tuple[str, ...]:
    """What stands behind `up` in a command line, but for what the next one is given anyway."""
    if "up" not in command:
        return ()
    flags, skip = [], False
    for word in command[command.index("up") + 1 :]:
        if skip or word in ("-d", "--detach"):
            skip = False
        elif word == "--home":
            skip = True
        elif not word.startswith("--home="):
            flags.append(word)
    return tuple(flags)


def _systemctl(user: bool) -> list[str]:
    return Systemd(user).words.split()


def _words(pid: int, name: str) -> list[str]:
    """The words of /proc/PID/NAME; none of a process that is another user's."""
    try:
        text = Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="surrogateescape")
    except OSError:
        return []
    return text.split("\0")[:-1]


def _holder(config: Config) -> int:
    try:
        text = config.pid_file.read_text().strip()
    except OSError:
        return 0
    pid = int(text) if text.isdecimal() else 0
    return pid if pid and _is_of(pid, config.pid_file) else 0


def _is_of(pid: int, file: Path) -> bool:
    """Whether a process is of the user whose ``file`` is: that user says which it is, and could
    have root end one of others."""
    try:
        return Path("/proc", str(pid)).stat().st_uid == file.lstat().st_uid
    except OSError:
        return False
