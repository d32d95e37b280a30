"""A world with one backup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.backup.target import Folder
from tests.unit.backup.world import NEW, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "a")
    made.fill(NEW, 1)
    made.back_up(Folder(made.place))
    yield made
    made.close()
