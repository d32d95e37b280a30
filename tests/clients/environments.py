"""The environments of real clients: ``.venvs/NAME`` from ``tests/clients/NAME/requirements.lock``.

Each client stands alone with pytest, as many of them cannot live together. ``make clients`` runs
this; what is there and up to date is left alone. Needs nothing but Python and the pip of the
environment that runs it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VENVS = ROOT / ".venvs"

AT_ONCE = 3  # downloads wait, installs do not: a little more than the cores


def names() -> list[str]:
    """Every client that has a lock."""
    return sorted(lock.parent.name for lock in HERE.glob("*/requirements.lock"))


def python(name: str) -> Path:
    """The interpreter of a client's environment."""
    return VENVS / name / "bin" / "python"


def trouble(name: str) -> str:
    """Why the environment cannot be used, in one line; "" when it can."""
    stamp = VENVS / name / ".set-up"
    if stamp.is_file() and stamp.read_text() == _wanted(name):
        return ""
    failed = VENVS / f"{name}.failed"
    if failed.is_file():
        return f"the environment of {name} was not made: {failed.read_text().strip()}"
    return f"no environment of {name}: run make clients"


def make(name: str) -> str:
    """Make the environment unless it is up to date; returns its ``trouble``."""
    if not trouble(name):
        return ""
    home, failed = VENVS / name, VENVS / f"{name}.failed"
    VENVS.mkdir(exist_ok=True)
    shutil.rmtree(home, ignore_errors=True)
    failed.unlink(missing_ok=True)
    # Without a pip of its own, which takes longer than most clients: ours installs into it.
    pip = [sys.executable, "-m", "pip", "--python", str(python(name)), "install"]
    # It compiles what it installs: where Python may not write, each start would do it.
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    locked = ["--no-deps", "--require-hashes", "-r", str(HERE / name / "requirements.lock")]
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", str(home)],
        [*pip, *quiet, *locked],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason was given"]
            errors = [line for line in lines if line.startswith("ERROR")]
            failed.write_text((errors or lines)[-1])
            return trouble(name)
    (home / ".set-up").write_text(_wanted(name))
    return ""


def main(wanted: list[str]) -> int:
    """Make all, or the ``wanted``; 1 when one failed where that must not be (CI)."""
    missing = [name for name in wanted or names() if trouble(name)]
    if not missing:
        return 0
    print(f"Setting up {len(missing)} clients under .venvs (once; half a minute) ...", flush=True)
    began = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        troubles = [said for said in pool.map(make, missing) if said]
    for said in troubles:
        print(said, file=sys.stderr)
    print(f"{len(missing) - len(troubles)} made in {time.monotonic() - began:.0f} s", flush=True)
    return 1 if troubles and os.environ.get("CI") else 0


def _wanted(name: str) -> str:
    """What the stamp of an environment that is up to date says."""
    lock = (HERE / name / "requirements.lock").read_bytes()
    return f"{hashlib.sha256(lock).hexdigest()} {sys.version.split()[0]}\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
