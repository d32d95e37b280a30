"""The checkout as data: its files, its lock, its declared dependencies. For the tests beside it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
CODE = tuple(n for n in ("pachybox", "tui", "spouts", "appliance", "k3s") if (ROOT / n).is_dir())
_MADE = {"__pycache__", "build", "dist"}


def files(*suffixes: str, under: str = ".") -> Iterator[Path]:
    """The checkout's own files below ``under`` with one of the suffixes; all when none is given."""
    for path in sorted((ROOT / under).iterdir()):
        hidden = path.name.startswith(".") and path.name != ".ci"
        if hidden or path.name in _MADE or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from files(*suffixes, under=str(path.relative_to(ROOT)))
        elif not suffixes or path.suffix in suffixes:
            yield path


def name(path: Path) -> str:
    """The path as a reader of a message wants it."""
    return str(path.relative_to(ROOT))


def canonical(package: str) -> str:
    """A package's name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def requirements(*groups: str) -> dict[str, Requirement]:
    """What pyproject.toml asks for: ``""`` is the package itself, else an extra; all by default."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {"": project["dependencies"], **project["optional-dependencies"]}
    lines = [line for group in (groups or asked) for line in asked[group]]
    return {canonical((r := Requirement(line)).name): r for line in lines}


def locked() -> dict[str, list[str]]:
    """The versions of each package in requirements.lock (several where Pythons differ)."""
    versions: dict[str, list[str]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if found := re.match(r"([\w.-]+)==([^\s;\\]+)", line):
            versions.setdefault(canonical(found[1]), []).append(found[2])
    return versions
