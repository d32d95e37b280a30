"""Copying: by the terminal's own way where it is short enough, else to a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

LIMIT = 74_000
"""Bytes that terminals take by OSC 52; tmux and others cut or drop what is longer."""


def fits(text: str) -> bool:
    """Whether terminals take it."""
    return len(text.encode(errors="replace")) <= LIMIT


def to_file(text: str) -> Path:
    """Write it to a new file, for its owner only."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="pachybox-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
    ) as file:
        file.write(text)
    return Path(file.name)
