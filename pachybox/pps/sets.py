"""Datum sets: how many datums batched user code is started once for (``datum_set_spec``)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_A_WORKER = 4  # sets, unless the spec says otherwise


@dataclass(frozen=True, slots=True)
class SetSize:
    """When a set is full; 0 is no limit of that kind."""

    number: int
    bytes: int

    @classmethod
    def of(cls, spec: Mapping[str, Any], datums: int, workers: int) -> SetSize:
        """Of a job of so many ``datums`` that are to be run by so many ``workers``."""
        given = spec.get("datum_set_spec") or {}
        number, size = int(given.get("number") or 0), int(given.get("size_bytes") or 0)
        if number or size:
            return cls(number, size)
        sets = workers * int(given.get("per_worker") or _A_WORKER)
        return cls(max(1, math.ceil(datums / sets)), 0)

    def full(self, number: int, size: int) -> bool:
        """Whether so many datums of so many bytes of input are a set."""
        return bool(self.number and number >= self.number) or bool(
            self.bytes and number and size >= self.bytes
        )


ENDLESS = SetSize(0, 0)
"""A set that is never full."""
