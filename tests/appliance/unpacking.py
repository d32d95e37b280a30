"""The one file, unpacked once for all tests that only need it to run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def unpacked(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache as root leaves it."""
    cache = tmp_path_factory.mktemp("unpacked")
    cache.chmod(0o755)
    env = {**os.environ, "PACHYBOX_CACHE": str(cache)}
    subprocess.run([binary, "version", "--client-only"], env=env, check=True, capture_output=True)
    return cache
