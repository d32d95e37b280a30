"""What is asked of systemd, through systemctl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pachybox.errors import Refused

_NONE = "start the box with: pachybox up --detach (or have pachybox up started by what runs here)"


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

    def needed(self) -> None:
        """Raise Refused when it cannot be asked."""
        if reason := self.why_not():
            raise Refused(f"{reason}: there is nothing to install a service into", _NONE)

    def reload(self) -> None:
        """Have it read its units again."""
        self._do("daemon-reload")

    def start(self, name: str, *, anew: bool) -> None:
        """Start the service, also if it runs when ``anew``; returns once it is ready. Raises
        Refused with its last words."""
        state = self._run("show", "--property=SubState", "--value", f"{name}.service").stdout
        anew = anew or state.strip() == "auto-restart"  # for which start does not wait
        if self._run("restart" if anew else "start", f"{name}.service").returncode:
            raise Refused(
                f"{name}.service did not start: {self._last_words(name)}",
                f"all it said: {self._journal(name)}; systemd goes on trying",
            )

    def stop(self, name: str) -> None:
        """Stop the service, if it runs; returns when it has ended."""
        self._do("stop", f"{name}.service")

    def forget(self, name: str) -> None:
        """Have it read its units again, without that of ``name``."""
        self.reload()
        self._run("reset-failed", f"{name}.service")

    def _journal(self, name: str) -> str:
        return f"journalctl {'--user ' if self.user else ''}-u {name}"

    def _last_words(self, name: str) -> str:
        if shutil.which("journalctl"):
            command = [*self._journal(name).split(), "-n", "20", "-o", "cat", "--no-pager"]
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
            mine = [line for line in said.splitlines() if line.startswith("pachybox: ")]
            if mine:
                return mine[-1].removeprefix("pachybox: ")
        done = self._run("show", "--property=Result", "--value", f"{name}.service")
        return done.stdout.strip() or "it does not say why"

    def _do(self, *words: str) -> None:
        done = self._run(*words)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise Refused(f"{self.words} {' '.join(words)}: {said[-1]}", "see: systemctl status")

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [*self.words.split(), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)
