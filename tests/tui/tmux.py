"""A real terminal: a shell under tmux, typed into and read as it looks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.boxes import eventually

PROMPT = "ready>"


class Tmux:
    """A server of its own with one window, in which a shell runs."""

    def __init__(self, env: Mapping[str, str], size: tuple[int, int] = (120, 40)) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pb-tmux-"))
        path = os.environ["PATH"]
        self._env = {"PATH": path, "HOME": str(self._folder), "TMUX_TMPDIR": str(self._folder)}
        self._env |= {"LANG": "C.UTF-8", "TERM": "xterm-256color"}
        width, height = size
        inside = {"PS1": f"{PROMPT} ", "LANG": "C.UTF-8", "TERM": "tmux-256color", **env}
        said = [f"{name}={value}" for name, value in inside.items()]
        self._run("new-session", "-d", "-x", str(width), "-y", str(height),
                  "env", *said, "bash", "--norc", "--noprofile", "-i")  # fmt: skip
        self.sees(PROMPT)

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-u", "-f", "/dev/null", *words],
            env=self._env, capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        return done.stdout

    def type(self, text: str) -> None:
        """Characters as they are."""
        self._run("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Keys by tmux's names: Enter, Escape, C-z."""
        for key in keys:
            self._run("send-keys", key)

    def run(self, line: str) -> None:
        """A line in the shell."""
        self.type(line)
        self.press("Enter")

    def screen(self, *flags: str) -> str:
        """What is seen; with ``-e`` with its colours."""
        return self._run("capture-pane", "-p", *flags)

    def sees(self, *words: str, timeout_s: float = 60.0) -> None:
        """Wait until all ``words`` are on the screen."""
        last = [""]

        def look() -> bool:
            last[0] = self.screen()
            return all(word in last[0] for word in words)

        try:
            eventually(look, "", timeout_s)
        except AssertionError as e:
            raise AssertionError(f"not within {timeout_s} s: {words}\n{last[0]}") from e

    def take_copies(self) -> None:
        """Have the terminal do what programs in it say of the clipboard (OSC 52)."""
        self._run("set-option", "-s", "set-clipboard", "on")

    def clipboard(self) -> str:
        """What a program in it copied last; empty before."""
        return self._run("show-buffer") if self._run("list-buffers") else ""

    def resize(self, width: int, height: int) -> None:
        """Another size of the window."""
        self._run("resize-window", "-x", str(width), "-y", str(height))

    @property
    def alternate(self) -> bool:
        """Whether a program has the whole screen."""
        return self._run("display-message", "-p", "#{alternate_on}").strip() == "1"

    @property
    def shell(self) -> int:
        """The shell's process."""
        return int(self._run("display-message", "-p", "#{pane_pid}"))

    def programs(self) -> list[int]:
        """What the shell runs."""
        children = Path(f"/proc/{self.shell}/task/{self.shell}/children")
        return [int(pid) for pid in children.read_text().split()]

    def hang_up(self) -> None:
        """Close the window, as one closes a terminal."""
        self._run("kill-server")

    def close(self) -> None:
        """End the server; safe to repeat."""
        subprocess.run(["tmux", "kill-server"], env=self._env, capture_output=True, check=False)
        # its socket goes when it has ended, which is a moment later
        eventually(lambda: shutil.rmtree(self._folder, True) or not self._folder.exists(), "gone")
