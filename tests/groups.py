"""The control groups of containers, as this machine shows them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def of(ids: Iterable[str]) -> list[Path]:
    """Those that are named by one of these ids of containers. Groups of other containers come and
    go meanwhile, which is nothing to a walk by ``os`` and an error to one by a ``Path``."""
    wanted = list(ids)
    return [
        Path(folder, name)
        for folder, names, _ in os.walk(ROOT)
        for name in names
        if any(one in name for one in wanted)
    ]
