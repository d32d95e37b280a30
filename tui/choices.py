"""What the user chose and the terminal remembers: ``~/.config/pachybox/tui.json``."""

from __future__ import annotations

import json
import os
from pathlib import Path


def folder() -> Path:
    """$XDG_CONFIG_HOME/pachybox, else ~/.config/pachybox."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "pachybox"


class Choices:
    """Small strings by key. A file that cannot be read or written costs the memory only."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or folder() / "tui.json"
        self._kept: dict[str, str] = {}
        try:
            read = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return
        if isinstance(read, dict):
            self._kept = {k: v for k, v in read.items() if isinstance(v, str)}

    def get(self, key: str, default: str = "") -> str:
        """What was kept under ``key``."""
        return self._kept.get(key, default)

    def put(self, key: str, value: str) -> None:
        """Keep it, at once and whole: the file is replaced."""
        if self._kept.get(key) == value:
            return
        self._kept[key] = value
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(self._kept, indent=1, sort_keys=True))
            new.replace(self._path)
        except OSError:
            pass
