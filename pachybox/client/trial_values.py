"""What a trial tells: the values of its stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from pachybox.client.pipeline_values import DatumInfo
from pachybox.client.shown import Shown
from pachybox.client.values import Json, pipeline_name, time_of


@dataclass(frozen=True, slots=True)
class TrialPlan(Shown):
    """Datums begin: ``datums`` of ``total``, of the pipeline tried or of the one that builds it.

    ``exists``: the box has a pipeline of this name. ``place`` is where code sees the source, ""
    where it does not; ``empty`` are input branches that have no commit.
    """

    pipeline: str
    exists: bool
    total: int
    datums: tuple[DatumInfo, ...]
    place: str
    empty: tuple[str, ...]

    @classmethod
    def from_json(cls, raw: Json) -> TrialPlan:
        """From pachybox.v1.TrialPlan."""
        return cls(
            pipeline_name(raw.get("pipeline") or {}),
            bool(raw.get("exists")),
            int(raw.get("total") or 0),
            tuple(DatumInfo.from_json(d) for d in raw.get("datums") or ()),
            raw.get("place", ""),
            tuple(raw.get("empty") or ()),
        )


@dataclass(frozen=True, slots=True)
class TrialLine(Shown):
    """A line that the code printed for a datum."""

    datum: str
    time: datetime | None
    message: str

    @classmethod
    def from_json(cls, raw: Json) -> TrialLine:
        """From pachybox.v1.TrialLine."""
        return cls(raw.get("datum", ""), time_of(raw.get("time")), raw.get("message", ""))


@dataclass(frozen=True, slots=True)
class OutputChange(Shown):
    """A file of a datum's output that differs: ``op`` is added, removed or changed; ``text`` a
    unified difference of short texts."""

    path: str
    op: str
    old_bytes: int
    new_bytes: int
    text: str

    @classmethod
    def from_json(cls, raw: Json) -> OutputChange:
        """From pachybox.v1.TrialChange."""
        old, new = int(raw.get("oldBytes") or 0), int(raw.get("newBytes") or 0)
        return cls(raw.get("path", ""), raw.get("op", ""), old, new, raw.get("text", ""))


@dataclass(frozen=True, slots=True)
class OutputDifference(Shown):
    """How one output differs from another; ``more`` files do that are not told."""

    changes: tuple[OutputChange, ...]
    more: int

    @classmethod
    def from_json(cls, raw: Json | None) -> OutputDifference | None:
        """From pachybox.v1.TrialDifference; None where there is nothing to compare with."""
        if raw is None:
            return None
        changes = tuple(OutputChange.from_json(c) for c in raw.get("changes") or ())
        return cls(changes, int(raw.get("more") or 0))


@dataclass(frozen=True, slots=True)
class TrialDatum(Shown):
    """A datum has ended. Its output has ``files`` and ``size_bytes``; ``last`` is how that differs
    from the last good run of this trial, ``present`` from what the pipeline has."""

    info: DatumInfo
    reason: str
    files: int
    size_bytes: int
    last: OutputDifference | None
    present: OutputDifference | None

    @classmethod
    def from_json(cls, raw: Json) -> TrialDatum:
        """From pachybox.v1.TrialDatum."""
        return cls(
            DatumInfo.from_json(raw.get("info") or {}),
            raw.get("reason", ""),
            int(raw.get("files") or 0),
            int(raw.get("sizeBytes") or 0),
            OutputDifference.from_json(raw.get("last")),
            OutputDifference.from_json(raw.get("present")),
        )


@dataclass(frozen=True, slots=True)
class TrialEnd(Shown):
    """A run is over: SUCCESS, FAILURE, CANCELLED (by the next run), or ERROR (it could not go on).
    ``message`` and ``hint`` say why, where no datum does."""

    state: str
    message: str
    hint: str
    seconds: float

    @classmethod
    def from_json(cls, raw: Json) -> TrialEnd:
        """From pachybox.v1.TrialEnd."""
        took = int(raw.get("tookUs") or 0) / 1e6
        return cls(raw.get("state", ""), raw.get("message", ""), raw.get("hint", ""), took)


@dataclass(frozen=True, slots=True)
class TrialEvent(Shown):
    """One event. The first names the ``trial`` and has no ``what``; the others are of a ``run``."""

    trial: str
    run: int
    what: TrialPlan | TrialLine | TrialDatum | TrialEnd | None
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> TrialEvent:
        """From pachybox.v1.TrialEvent."""
        what: TrialPlan | TrialLine | TrialDatum | TrialEnd | None = None
        if "plan" in raw:
            what = TrialPlan.from_json(raw["plan"])
        elif "line" in raw:
            what = TrialLine.from_json(raw["line"])
        elif "datum" in raw:
            what = TrialDatum.from_json(raw["datum"])
        elif "end" in raw:
            what = TrialEnd.from_json(raw["end"])
        return cls(raw.get("trial", ""), int(raw.get("run") or 0), what, raw)
