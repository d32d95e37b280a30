"""What is asked of systemd, through systemctl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pachybox.errors import Refused


def quoted(value: Path | str) -> str:
    """One word of a setting in a unit."""
    text = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if any(c in text for c in " \t'\"\\;") else text


@dataclass(frozen=True, slots=True)
class Systemd:
    """The manager of the machine, or of the caller's session (``user``)."""

    user: bool = False

    @property
    def words(self) -> str:
        """How a person calls it."""
        return "systemctl --user" if self.user else "systemctl"

    def why_not(self) -> str:
        """Why it cannot be asked, "" when it can."""
        if shutil.which("systemctl") is None:
            return "there is no systemctl"
        if self.user:
            if self._run("show-environment").returncode:
                return "no systemd runs for this user"
        elif not Path("/run/systemd/system").is_dir():
            return "systemd does not run this machine"
        return ""

    def needed(self, instead: str) -> None:
        """Raise Refused, naming what can be done ``instead``, when it cannot be asked."""
        if reason := self.why_not():
            raise Refused(f"{reason}: there is nothing to install a service into", instead)

    def reload(self) -> None:
        """Have it read its units again."""
        self._do("daemon-reload")

    def start(self, name: str, *, anew: bool) -> None:
        """Start the service, also if it runs when ``anew``; returns once it is ready. Raises
        Refused with its last words."""
        anew = anew or self.shown(name, "SubState") == "auto-restart"  # start does not wait for it
        if self._run("restart" if anew else "start", f"{name}.service").returncode:
            raise Refused(
                f"{name}.service did not start: {self.last_words(name, 'pachybox: ')}",
                f"all it said: {self.journal(name)}; systemd goes on trying",
            )

    def start_soon(self, name: str) -> None:
        """Have the service start, or start anew, and return before it has. Raises Refused."""
        self._run("reset-failed", f"{name}.service")
        self._do("restart", "--no-block", f"{name}.service")

    def shown(self, name: str, what: str) -> str:
        """A property of the service, as ActiveState; "" where there is no such service."""
        return self._run("show", f"--property={what}", "--value", f"{name}.service").stdout.strip()

    def stop(self, name: str) -> None:
        """Stop the service, if it runs; returns when it has ended."""
        self._do("stop", f"{name}.service")

    def forget(self, name: str) -> None:
        """Have it read its units again, without that of ``name``."""
        self.reload()
        self._run("reset-failed", f"{name}.service")

    def journal(self, name: str) -> str:
        """How a person reads what the service said."""
        return f"journalctl {'--user ' if self.user else ''}-u {name}"

    def last_words(self, name: str, begin: str) -> str:
        """The last line of its log that begins with ``begin``, without that; else how it ended."""
        if shutil.which("journalctl"):
            command = [*self.journal(name).split(), "-n", "20", "-o", "cat", "--no-pager"]
            command += ["_TRANSPORT=stdout"]  # not what systemd says of it
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            mine = [line for line in said.splitlines() if line.startswith(begin)]
            if mine:
                return mine[-1].removeprefix(begin)
        return self.shown(name, "Result") or "it does not say why"

    def _do(self, *words: str) -> None:
        done = self._run(*words)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise Refused(f"{self.words} {' '.join(words)}: {said[-1]}", "see: systemctl status")

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self.words.split(), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)
