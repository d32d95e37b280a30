"""The user's own programs, with the terminal given to them."""

from __future__ import annotations

import asyncio
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.app import SuspendNotSupported

from pachybox.errors import InvalidArgument

if TYPE_CHECKING:
    from textual.app import App


def program(*names: str, default: str) -> list[str]:
    """The words of the first of these variables that says something. Raises InvalidArgument."""
    found = next((name for name in names if os.environ.get(name, "").strip()), "")
    try:
        return shlex.split(os.environ.get(found, "")) or [default]
    except ValueError as e:
        raise InvalidArgument(f"{found} cannot be read as a command: {e}", f"set {found}") from e


async def edited(app: App[Any], text: str, suffix: str) -> str:
    """``text`` after the user changed it. Raises InvalidArgument when the editor cannot be run, or
    did not end well."""
    words = program("VISUAL", "EDITOR", default="vi")
    with tempfile.TemporaryDirectory(prefix="pachybox-") as folder:
        path = Path(folder) / f"edit{suffix}"
        path.write_text(text, encoding="utf-8")
        await _run(app, words, path)
        return path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n")


async def _run(app: App[Any], words: list[str], path: Path) -> None:
    def run() -> int:
        try:
            return subprocess.run([*words, str(path)], check=False).returncode
        except (OSError, ValueError) as e:
            raise InvalidArgument(f"cannot start {words[0]!r}: {e}", "set EDITOR") from e

    try:
        with app.suspend():
            # This holds all else. Nothing may be painted meanwhile: what writes to the terminal
            # is stopped, and a full queue before it would never be taken from again.
            status = run()
    except SuspendNotSupported:  # a browser, or a test: the program may still need no terminal
        status = await asyncio.to_thread(run)
    app.refresh()
    if status:
        raise InvalidArgument(f"{words[0]!r} ended with status {status}", "nothing was changed")
