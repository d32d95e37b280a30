"""The limits of user code, from a spec to a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pachybox.model.units import parse_quantity
from pachybox.worker.wire import PIDS, Limits


def limits(given: Mapping[str, Any]) -> Limits:
    """The ``resource_limits`` of a spec as a worker keeps them."""
    cpu, memory, shm = given.get("cpu"), given.get("memory"), given.get("shm")
    return Limits(
        float(cpu) if cpu else None,
        int(parse_quantity(memory)) if memory else None,
        given.get("pids") or PIDS,
        int(parse_quantity(shm)) if shm else None,
    )
