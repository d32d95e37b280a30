"""Data goes one way through the folders, and the command line starts light."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.arch.repo import CODE, ROOT, files, name

HEAVY = ("duckdb", "google.protobuf", "grpc", "http.server", "numpy", "obstore", "pyarrow")
HEAVY += ("asyncio", "croniter", "fsspec", "http.client", "textual", "urllib.request", "yaml")


def test_no_arrow_goes_against_the_flow() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_part_of_the_package_stands_in_the_layers() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    named = {
        part.strip()
        for contract in contracts
        for line in [*contract.get("layers", ()), *contract.get("source_modules", ())]
        for part in line.split("|")
    }
    parts = {
        f"pachybox.{path.stem}"
        for path in (ROOT / "pachybox").iterdir()
        if path.stem not in ("__init__", "__main__", "__pycache__")
        and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert parts <= named


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports, deferred imports counted."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def test_nobody_imports_the_outer_programs_or_the_tests() -> None:
    outer = {"tui", "spouts", "appliance", "k3s", "tests", "benchmarks", "examples"}
    opens = {("pachybox/cli/tui.py", "tui"), ("pachybox/cli/k3s.py", "k3s")}
    commands = "pachybox/cli/"  # open the appliance
    breaches = [
        f"{name(path)} imports {other}"
        for part in CODE
        for path in files(".py", under=part)
        for other in imported(path) & (outer - {part})
        if (name(path), other) not in opens
        and not (other == "appliance" and name(path).startswith(commands))
    ]
    assert breaches == []


@pytest.mark.parametrize("module", ["pachybox.cli", "pachybox.client"])
def test_what_users_start_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
