"""What a spec asks of this machine that it may not have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pachybox.errors import Refused

_CARD = re.compile(r"nvidia[0-9]+")


def check_machine(name: object, spec: Mapping[str, Any], devices: Path = Path("/dev")) -> None:
    """Raise Refused when the machine lacks what the canonical spec of pipeline ``name`` needs."""
    gpu = (spec.get("resource_limits") or {}).get("gpu") or {}
    wanted = int(gpu.get("number") or 0)
    if not wanted:
        return
    there = sum(_CARD.fullmatch(device.name) is not None for device in devices.iterdir())
    if there < wanted:
        raise Refused(
            f"pipeline {name} wants {wanted} graphics card{'s' * (wanted > 1)} "
            f"(resource_limits.gpu), and this machine has {there or 'none'}: {devices} shows "
            f"{there} nvidia devices",
            "remove resource_limits.gpu, or use a machine that has them",
        ).about("resource_limits.gpu.number")
