"""What commands print: aligned tables and fields for people, the API's records for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO, TypeVar

_COLOURS = {"green": "32", "red": "31", "yellow": "33", "blue": "34", "dim": "2"}
_STATES = {
    "success": "green",
    "running": "blue",
    "failure": "red",
    "failed": "red",
    "killed": "red",
    "unrunnable": "red",
    "crashing": "red",
    "paused": "yellow",
    "held": "yellow",
    "stopped": "yellow",
    "starting": "yellow",
    "skipped": "dim",
    "recovered": "yellow",
}
_ROOM = {"STARTED": 22, "FINISHED": 22, "PROGRESS": 9, "SIZE": 8, "DL": 8, "UL": 8}
_SAMPLE = 500  # rows that settle the widths of a long table


class Painted(str):
    """A cell with a colour, which counts nothing in its width."""

    colour = ""

    @classmethod
    def of(cls, text: str, colour: str) -> Painted:
        """``text`` in ``colour``."""
        cell = cls(text)
        cell.colour = colour
        return cell


class Record(Protocol):
    """A value of the client."""

    @property
    def raw(self) -> dict[str, Any]:
        """The record as the API sent it."""


R = TypeVar("R", bound=Record)


class Output:
    """Where and how to print. ``full`` prints times instead of ages."""

    def __init__(self, out: TextIO, *, colour: bool, full: bool = False, form: str = "") -> None:
        self.out = out
        self.full = full
        self.form = form  # "" for people, "json" or "yaml"
        self.colour = colour

    def line(self, text: str = "") -> None:
        """One line for people."""
        self.out.write(text + "\n")

    def paint(self, cell: str, padded: str) -> str:
        """``padded`` in the colour of ``cell``."""
        return colour(cell, padded) if self.colour else padded

    def time(self, time: datetime | None) -> str:
        """An age, or with --full-timestamps a time; "-" when there is none."""
        from pachybox.model.units import format_age, format_time

        if time is None:
            return "-"
        return format_time(time) if self.full else format_age(time, datetime.now(UTC))

    @staticmethod
    def stamp(time: datetime | None) -> str:
        """A time whatever the flags say, for lines of a log."""
        from pachybox.model.units import format_time

        return format_time(time) if time else "-"

    def raw(self, record: object) -> None:
        """One record for programs."""
        if self.form == "yaml":
            import yaml

            self.out.write("---\n" + yaml.safe_dump(record, sort_keys=False, allow_unicode=True))
        else:
            self.out.write(json.dumps(record, ensure_ascii=False) + "\n")

    def records(
        self,
        records: Iterable[R],
        header: Sequence[str],
        row: Callable[[R], Sequence[str]],
        *,
        live: bool = False,
    ) -> None:
        """A table for people, or every record for programs; ``live`` prints each as it comes."""
        if self.form:
            for record in records:
                self.raw(record.raw)
                if live:
                    self.out.flush()
            return
        self.table((row(record) for record in records), header, live=live)

    def table(
        self, rows: Iterable[Sequence[str]], header: Sequence[str], *, live: bool = False
    ) -> None:
        """Rows under ``header``, aligned by the first of them."""
        sample: list[Sequence[str]] = []
        wanted = 1 if live else _SAMPLE
        source = iter(rows)
        for cells in source:
            sample.append(cells)
            if len(sample) >= wanted:
                break
        sample = [list(map(visible, cells)) for cells in sample]
        widths = [max(map(columns, column)) for column in zip(header, *sample, strict=True)]
        if live:  # the rows to come are not known: room for the longest usual cell
            widths = [max(w, _ROOM.get(h, 0)) for w, h in zip(widths, header, strict=True)]
        self._row(header, widths)
        for cells in sample:
            self._row(cells, widths)
        if live:
            self.out.flush()
        for cells in source:
            self._row(cells, widths)
            if live:
                self.out.flush()

    def _row(self, cells: Sequence[str], widths: Sequence[int]) -> None:
        last = len(cells) - 1
        cells = list(map(visible, cells))
        self.out.write(
            " ".join(
                self.paint(cell, cell if i == last else cell + " " * (width - columns(cell)))
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
            + "\n"
        )

    def fields(
        self, record: Record, pairs: Iterable[tuple[str, str]], *, aligned: bool = False
    ) -> None:
        """One record: labelled lines for people (empty values left out; values of several lines
        are indented), or as it is."""
        if self.form:
            self.raw(record.raw)
            return
        shown = [(label, value) for label, value in pairs if value and value != "-"]
        width = max((len(label) for label, _ in shown), default=0) + 2 if aligned else 0
        for label, value in shown:
            text = f"\n{' ' * (width or 2)}".join(map(visible, value.split("\n")))
            self.out.write(f"{f'{label}: '.ljust(width)}{self.paint(value, text)}\n")


def state(name: str) -> str:
    """A state of the API (``JOB_RUNNING``) as people read it, in its colour."""
    text = name.lower()
    for prefix in ("pipeline_", "job_"):
        text = text.removeprefix(prefix)
    return Painted.of(text, _STATES.get(text, ""))


def colour(cell: str, padded: str) -> str:
    """``padded`` in the colour of ``cell``, for a terminal."""
    if isinstance(cell, Painted) and cell.colour in _COLOURS:
        return f"\033[{_COLOURS[cell.colour]}m{padded}\033[0m"
    return padded


def columns(text: str) -> int:
    """How many columns of a terminal ``text`` takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 1 + (east_asian_width(c) in ("W", "F")) for c in text)


def visible(text: str) -> str:
    """``text`` with its control characters written out: a name must not steer the terminal."""
    if text.isprintable():
        return text
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return Painted.of(shown, text.colour) if isinstance(text, Painted) else shown


def size(n: int) -> str:
    """Bytes in binary units."""
    from pachybox.model.units import format_size

    return format_size(n)


def span(seconds: float) -> str:
    """A length of time: exact below a minute, in words above."""
    if seconds < 60:
        return f"{seconds:.2f}s" if seconds < 10 else f"{seconds:.0f}s"
    from pachybox.model.units import format_span

    return format_span(seconds)


def wants_colour(stream: TextIO) -> bool:
    """Whether colours belong on ``stream``: a terminal, and NO_COLOR not set."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def note(text: str) -> None:
    """A line of talk, on stderr."""
    sys.stderr.write(f"pachybox: {visible(text)}\n")
