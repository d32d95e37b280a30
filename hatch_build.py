"""Builds the shim (pachybox/worker/shim/*.c) for the wheel, with the C compiler of ziglang.

Static, so one program an architecture serves every Linux. Where the compiler cannot run, the
package is built without a shim and the box serves datums from Python: `pachybox doctor` says so.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("pachybox/worker/shim")
ARCHITECTURES = ("x86_64", "aarch64")
# A first build makes the C library too, which takes half a minute; the compiler then keeps it.
TIMEOUT_S = 600


def compiler(architecture: str) -> list[str]:
    """The compiler with all that a file of C is compiled with."""
    program = [sys.executable, "-m", "ziglang", "cc", "-target", f"{architecture}-linux-musl"]
    return [*program, "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror"]


def sources(root: Path) -> list[str]:
    """The files of C that the shim is made of."""
    return [str(path) for path in sorted((root / SOURCE).glob("*.c"))]


def command(root: Path, architecture: str, target: Path) -> list[str]:
    """What compiles the shim."""
    return [*compiler(architecture), "-o", str(target), *sources(root)]


def build(root: Path, architecture: str) -> str:
    """Compile the shim unless it is newer than its source; why it could not be, or empty."""
    target = root / SOURCE / "bin" / f"shim-{architecture}"
    newest = max(path.stat().st_mtime for path in (root / SOURCE).iterdir() if path.is_file())
    if target.exists() and target.stat().st_mtime > newest:
        return ""
    target.parent.mkdir(exist_ok=True)
    made = target.with_suffix(".new")
    try:
        done = subprocess.run(
            command(root, architecture, made),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as e:
        return str(e)
    if done.returncode:
        return done.stderr.strip() or f"the compiler ended with status {done.returncode}"
    made.chmod(0o755)
    made.replace(target)
    return ""


class ShimHook(BuildHookInterface):  # type: ignore[type-arg]
    """Makes the shim before the wheel's files are gathered.

    An editable install gets the program of this machine alone, a wheel those of both.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling; ``version`` is "editable" or "standard"."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        machine = platform.machine().lower()
        own = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
        for architecture in ARCHITECTURES:
            if version == "editable" and architecture != own:
                continue
            if why := build(root, architecture):
                self.app.display_warning(f"no shim for {architecture}: {why}")
