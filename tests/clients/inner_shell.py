"""A command line of the suites of clients that are programs."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Shell:
    """Runs one program; ``common`` comes before every call's arguments."""

    def __init__(self, home: Path, *common: str) -> None:
        self.home = home
        self.common = common

    def run(self, *args: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """The ended process, whatever its status."""
        return subprocess.run(
            [*self.common, *args],
            input=stdin if stdin is not None else b"",
            capture_output=True,
            cwd=self.home,
            timeout=60,
            check=False,
        )

    def __call__(self, *args: str, stdin: bytes | None = None) -> str:
        """What it printed; fails with what it said when its status is not 0."""
        return self.bytes(*args, stdin=stdin).decode()

    def bytes(self, *args: str, stdin: bytes | None = None) -> bytes:
        """The same, as bytes."""
        done = self.run(*args, stdin=stdin)
        said = (done.stdout[-2000:] + done.stderr[-4000:]).decode(errors="replace")
        assert done.returncode == 0, f"{' '.join([*self.common, *args])}: {said}"
        return done.stdout


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder by their relative paths."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
