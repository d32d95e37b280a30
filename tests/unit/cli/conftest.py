"""The command line in this process, against the client tests' stand-in box."""

from __future__ import annotations

import importlib.util
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from pachybox.cli import main


class Ran(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


def standin() -> ModuleType:
    """The stand-in box of the client's tests: tests are not a package."""
    name = "pachybox_test_standin"
    if name not in sys.modules:
        where = Path(__file__).parent.parent / "client" / "standin.py"
        spec = importlib.util.spec_from_file_location(name, where)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with no settings and no box."""
    for name in ("PACHYBOX_ADDRESS", "PACHYBOX_TOKEN", "PACHYBOX_CONTEXT", "NO_COLOR", "VISUAL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PACHYBOX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    folder = tmp_path / "standin"
    folder.mkdir()
    box = standin().Box(folder)
    monkeypatch.setenv("PACHYBOX_ADDRESS", box.path)
    yield box
    box.stop()


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("list", "repo", stdin=b"")``: the status and what was printed."""

    def call(*argv: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfdbinary.readouterr()
        status = main(argv)
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return Ran(status, out.decode(), err.decode())

    return call
