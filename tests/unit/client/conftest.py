"""A stand-in box and clients of it, over both kinds of socket."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pachybox.client import Client


def standin() -> ModuleType:
    """The module beside this one: tests are not a package."""
    name = "pachybox_test_standin"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("standin.py"))
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[object]:
    folder = tmp_path / "standin"
    folder.mkdir()
    box = standin().Box(folder)
    yield box
    box.stop()


@pytest.fixture(params=["unix", "tcp"])
def client(request: pytest.FixtureRequest, box: object) -> Iterator[Client]:
    """A client of the stand-in over a unix socket, then over TCP."""
    with Client(box.path if request.param == "unix" else box.url) as client:  # type: ignore[attr-defined]
        yield client
