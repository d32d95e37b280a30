"""The shim is built for both processors, and its absence is no error."""

from __future__ import annotations

import importlib.util
import platform
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pachybox.worker import handover

ROOT = Path(__file__).resolve().parents[3]
_MACHINES = {"x86_64": 62, "aarch64": 183}


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_builds_and_needs_no_library(hook: ModuleType) -> None:
    architecture = platform.machine()
    assert hook.build(ROOT, architecture) == ""
    program = (handover.FOLDER / f"shim-{architecture}").read_bytes()
    assert program[:4] == b"\x7fELF"
    kind, machine = struct.unpack_from("<HH", program, 16)
    assert (kind, machine) == (2, _MACHINES[architecture])
    start, size, count = (
        *struct.unpack_from("<Q", program, 32),
        *struct.unpack_from("<HH", program, 54),
    )
    headers = {struct.unpack_from("<I", program, start + n * size)[0] for n in range(count)}
    assert not headers & {2, 3}  # neither a dynamic section nor an interpreter


@pytest.mark.parametrize("architecture", list(_MACHINES))
def test_it_compiles_without_a_warning(hook: ModuleType, architecture: str, tmp_path: Path) -> None:
    """For the other processor without linking: that compiler would first make a library of C."""
    for source in hook.sources(ROOT):
        command = [*hook.compiler(architecture), "-c", source, "-o", "made.o"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / "made.o").stat().st_size > 0


def test_a_compiler_that_cannot_run_is_told_and_no_more(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / hook.SOURCE
    folder.mkdir(parents=True)
    (folder / "main.c").write_text("this is no C")
    assert "main.c" in hook.build(tmp_path, "x86_64")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert "/no/such/python" in hook.build(tmp_path, "x86_64")
    assert list((folder / "bin").iterdir()) == []


def test_an_installation_without_a_shim_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handover.handle.cache_clear()
    monkeypatch.setattr(handover, "FOLDER", tmp_path)
    assert handover.why_not({}) == "it is not in this installation"
    assert handover.why_not({"PACHYBOX_SHIM": "off"}) == "PACHYBOX_SHIM=off"
