"""The user's own programs: the editor and the pager, with the terminal given to them."""

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


async def edited(app: App[Any], text: str, suffix: str) -> str:
    """``text`` after the user changed it. Raises InvalidArgument when the editor cannot be run."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory(prefix="pachybox-") as folder:
        path = Path(folder) / f"edit{suffix}"
        path.write_text(text, encoding="utf-8")
        await _run(app, editor, path)
        return path.read_text(encoding="utf-8", errors="replace")


async def paged(app: App[Any], path: Path) -> None:
    """Show a file in $PAGER. Raises InvalidArgument when that cannot be run."""
    await _run(app, os.environ.get("PAGER") or "less", path)


async def _run(app: App[Any], program: str, path: Path) -> None:
    def run() -> int:
        try:
            return subprocess.run([*shlex.split(program), str(path)], check=False).returncode
        except (OSError, ValueError) as e:
            raise InvalidArgument(f"cannot start {program!r}: {e}", "set EDITOR or PAGER") from e

    try:
        with app.suspend():
            status = await asyncio.to_thread(run)
    except SuspendNotSupported:  # a browser, or a test: the program may still need no terminal
        status = await asyncio.to_thread(run)
    if status:
        raise InvalidArgument(f"{program!r} ended with status {status}", "nothing was changed")
