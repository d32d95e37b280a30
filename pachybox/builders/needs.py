"""What a build depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Needs:
    """``files`` of the source, be they there or not: only a change of these builds again. With
    ``whole`` it is all of the source. ``made`` are files that the builder made out of the source;
    they are put beside the scripts."""

    files: tuple[str, ...] = ()
    whole: bool = False
    made: Mapping[str, bytes] = field(default_factory=dict)
