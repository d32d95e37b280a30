"""A box for a test module, and one for a single test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boxes import RealBox
from tests.flow.shell import Run, runner
from tests.s3 import S3

_NUMBER = itertools.count()


@pytest.fixture
def is_root() -> bool:
    return os.geteuid() == 0


@pytest.fixture(scope="module")
def s3(shared_box: RealBox) -> Iterator[S3]:
    """A raw S3 client of the module's box."""
    client = S3.of(shared_box.client.status().address)
    yield client
    client.close()


@pytest.fixture
def bucket(s3: S3) -> str:
    """A new bucket."""
    name = f"bucket{next(_NUMBER)}"
    assert s3("PUT", f"/{name}").status == 200
    return name


@pytest.fixture(scope="module")
def filled(shared_box: RealBox) -> RealBox:
    """The box that ``run`` talks to; a module says what is in it by a fixture of this name."""
    return shared_box


@pytest.fixture
def run(
    filled: RealBox,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """The command line in an empty folder, to the box ``filled``; see ``runner``."""
    monkeypatch.chdir(tmp_path)
    return runner(filled, tmp_path / "config", capfdbinary, monkeypatch)
