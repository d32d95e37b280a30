"""What a trial is asked, and what it tells. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pachybox.model.ids import Pipeline
from pachybox.model.pps import Datum, DatumState, Stats
from pachybox.pps.spec import Spec

SUCCESS, FAILURE, CANCELLED, ERROR = "SUCCESS", "FAILURE", "CANCELLED", "ERROR"
"""How a run ends: all datums did well; one did not, or two wrote one path; another run was asked
for, or the session ended; it could not begin or go on."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One run: the datums of ``spec``.

    ``sample`` of them, spread evenly over all (0: all), or those that one of ``chosen`` names: by
    id, by 8 or more digits of it, by the path or the hash of an input. ``commits`` are read in
    place of heads (``repo@ref``, ``repo@branch=ref``).

    With ``build``, the spec of the pipeline that builds, the session's source is what that reads,
    and what it makes is read by ``spec``. Without, the source is shown at ``place``; empty: at the
    working directory of the spec, else /source.
    """

    spec: Spec
    build: Spec | None = None
    sample: int = 3
    chosen: tuple[str, ...] = ()
    commits: tuple[str, ...] = ()
    place: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """Datums begin: ``datums`` of ``total``, of the pipeline that is tried, or of the one that
    builds it. ``exists``: there is a pipeline of this name; ``place`` is where the source is
    shown, "" where it is not; ``empty`` are input branches without a commit."""

    run: int
    pipeline: Pipeline
    exists: bool
    total: int
    datums: tuple[Datum, ...]
    place: str
    empty: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A line that user code printed, or why it cannot begin yet."""

    run: int
    datum: str
    time: datetime
    message: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs: its sizes in bytes (None: it is not there), and for small texts a
    unified difference."""

    path: str
    old: int | None
    new: int | None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """What differs, by path, and how many more files do than are told."""

    changes: tuple[FileChange, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Tried:
    """A datum has ended. Its output has ``files`` and ``size`` bytes; ``last`` is how it differs
    from the datum's last good output in this session, ``present`` from the pipeline's (None:
    there is none, or the datum did not succeed)."""

    run: int
    datum: Datum
    state: DatumState
    reason: str
    stats: Stats
    files: int
    size: int
    last: Difference | None
    present: Difference | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A run is over. ``message`` and ``hint`` say why it went wrong, where no datum does."""

    run: int
    state: str
    seconds: float
    message: str = ""
    hint: str = ""


Event = Planned | Line | Tried | Ended
