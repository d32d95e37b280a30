"""What is installed: locked with hashes, and under licences that bind nobody."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.arch.repo import ROOT, canonical, files, locked, name, requirements

PERMISSIVE = re.compile(
    r"MIT|BSD|Apache|CC0|Zlib|ISC|PSF|Python Software Foundation|MPL|Mozilla|HPND|Unlicense"
)
COPYLEFT = re.compile(r"\b[AL]?GPL")


def licence(package: str) -> str:
    """What the installed package says of its licence, shortest form first."""
    said = importlib.metadata.metadata(package)
    classified = [
        c.rpartition("::")[2].strip()
        for c in said.get_all("Classifier", [])
        if c.startswith("License ::")
    ]
    short = (said.get("License-Expression") or said.get("License") or "").strip()
    return " / ".join(filter(None, [*classified, short.partition("\n")[0]]))


def runtime() -> set[str]:
    """The packages that an installed pachybox brings, the ones they bring included."""
    found: set[str] = set()
    todo = list(requirements("").values())
    while todo:
        wanted = todo.pop()
        if (wanted.marker and not wanted.marker.evaluate({"extra": ""})) or wanted.name in found:
            continue
        found.add(wanted.name)
        todo += map(Requirement, importlib.metadata.requires(wanted.name) or [])
    return found


def test_the_lock_holds_all_that_is_asked_for() -> None:
    pins = locked()
    for package, wanted in requirements().items():
        assert package in pins, f"{package} is not locked: run make lock"
        for version in pins[package]:
            assert wanted.specifier.contains(version), f"{wanted} is locked as {version}: make lock"


@pytest.mark.parametrize("lock", list(files(".lock")), ids=name)
def test_every_pin_has_a_hash_and_no_address(lock: Path) -> None:
    text = lock.read_text()
    for entry in re.split(r"\n(?=\S+==)", text)[1:]:
        assert "--hash=sha256:" in entry, entry.partition(" ")[0]
    assert "://" not in text


def test_the_build_backend_is_locked_too() -> None:
    system = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    assert {canonical(Requirement(r).name) for r in system["requires"]} <= set(locked())


def test_what_an_installed_pachybox_brings_is_permissive() -> None:
    for package in runtime():
        assert PERMISSIVE.search(licence(package)), f"{package}: {licence(package)!r}"


@pytest.mark.parametrize("package", sorted(locked()))
def test_nothing_locked_is_copyleft(package: str) -> None:
    try:
        said = licence(package)
    except importlib.metadata.PackageNotFoundError:
        return  # for another platform or Python
    assert not COPYLEFT.search(said), said
    assert PERMISSIVE.search(said), said


def test_every_dependency_has_its_line_in_a_decision() -> None:
    pages = "\n".join(path.read_text() for path in files(".md", under="docs/decisions"))
    lines = "\n".join(line for line in pages.splitlines() if line.startswith("| "))
    missing = [p for p in requirements() if not re.search(rf"\| .*\b{p}\b.* \|", lines)]
    assert missing == []
