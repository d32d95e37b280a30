"""What the client returns about specs: what is wrong with one, its fields, what it would read."""

from __future__ import annotations

from dataclasses import dataclass

from pachybox.client.shown import Shown
from pachybox.client.values import Json


@dataclass(frozen=True, slots=True)
class Problem(Shown):
    """One thing about the text of a spec.

    ``level`` is ``error``, ``warn`` or ``info``. ``line`` and ``column`` count from 1, in
    characters of the text as it was given. ``field`` is the path of the field, empty when the text
    itself cannot be read; ``document`` counts the specs of the text from 1.
    """

    level: str
    line: int
    column: int
    message: str
    hint: str
    field: str
    document: int

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.line}:{self.column}: {self.message}{hint}"

    @classmethod
    def from_json(cls, raw: Json) -> Problem:
        """From pachybox.v1.SpecProblem."""
        return cls(
            raw.get("level", ""),
            int(raw.get("line") or 0),
            int(raw.get("column") or 0),
            raw.get("message", ""),
            raw.get("hint", ""),
            raw.get("field", ""),
            int(raw.get("document") or 0),
        )


@dataclass(frozen=True, slots=True)
class SpecCheck(Shown):
    """What the box would say of a spec: the ``pipelines`` (or sources) in it that are right, and
    every problem, in the order of the text."""

    pipelines: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems for which the box would refuse it."""
        return tuple(one for one in self.problems if one.level == "error")

    @classmethod
    def from_json(cls, raw: Json) -> SpecCheck:
        """From pachybox.v1.CheckSpecResponse."""
        return cls(
            tuple(raw.get("pipelines") or ()),
            tuple(map(Problem.from_json, raw.get("problems") or ())),
        )


@dataclass(frozen=True, slots=True)
class SpecField(Shown):
    """A field that a spec may have. ``path`` is as in ``transform.cmd``; the fields of an input in
    a list are those of ``input``. ``status`` is works, stored (kept without an effect) or refused.
    """

    path: str
    type: str
    default: str
    help: str
    example: str
    choices: tuple[str, ...]
    status: str

    def __str__(self) -> str:
        return self.path

    @classmethod
    def from_json(cls, raw: Json) -> SpecField:
        """From pachybox.v1.SpecField."""
        return cls(
            raw.get("path", ""),
            raw.get("type", ""),
            raw.get("default", ""),
            raw.get("help", ""),
            raw.get("example", ""),
            tuple(raw.get("choices") or ()),
            raw.get("status", ""),
        )


@dataclass(frozen=True, slots=True)
class PreviewDatum(Shown):
    """A datum that an input would make now; ``inputs`` are the paths it reads."""

    id: str
    inputs: tuple[str, ...]
    download_bytes: int

    @property
    def input(self) -> str:
        """The first path, and how many there are beside it."""
        more = len(self.inputs) - 1
        first = self.inputs[0] if self.inputs else ""
        return f"{first} +{more}" if more > 0 else first

    @classmethod
    def from_json(cls, raw: Json) -> PreviewDatum:
        """From pachybox.v1.PreviewDatum."""
        return cls(raw.get("id", ""), tuple(raw.get("inputs") or ()), int(raw.get("bytes") or 0))


@dataclass(frozen=True, slots=True)
class InputPreview(Shown):
    """What an input would be now.

    ``total`` datums (``at_least``: counting was cut short) read ``bytes`` in all, the ``largest``
    and the ``median`` in one; ``sampled``: these three are of the datums looked at, not of all.
    ``rows`` are the first ones. ``globs`` are patterns that suit the first input, with how many
    paths each matches; of those in ``globs_at_least`` there are more. ``commits`` are those that
    were read. ``problem`` says why there is nothing, ``warnings`` what to think about.
    """

    total: int
    at_least: bool
    sampled: bool
    bytes: int
    largest: int
    median: int
    took_s: float
    rows: tuple[PreviewDatum, ...]
    problem: str
    globs: tuple[tuple[str, int], ...]
    globs_at_least: frozenset[str]
    commits: tuple[str, ...]
    warnings: tuple[str, ...]

    @classmethod
    def from_json(cls, raw: Json) -> InputPreview:
        """From pachybox.v1.PreviewInputResponse."""
        globs = raw.get("globs") or ()
        return cls(
            int(raw.get("total") or 0),
            bool(raw.get("atLeast")),
            bool(raw.get("sampled")),
            int(raw.get("bytes") or 0),
            int(raw.get("largest") or 0),
            int(raw.get("median") or 0),
            int(raw.get("tookUs") or 0) / 1e6,
            tuple(map(PreviewDatum.from_json, raw.get("rows") or ())),
            raw.get("problem", ""),
            tuple((one.get("glob", ""), int(one.get("datums") or 0)) for one in globs),
            frozenset(one.get("glob", "") for one in globs if one.get("atLeast")),
            tuple(raw.get("commits") or ()),
            tuple(raw.get("warnings") or ()),
        )
