"""Where records go: a template of paths, filled in for each. Pure.

    /{date}/{hour}/{source}-{batch}.{format}      /{field:country}/{date}.{format}

``{date}`` (2026-01-31) ``{year}`` ``{month}`` ``{day}`` ``{hour}`` ``{minute}`` are of the
record's time, UTC; ``{field:NAME}`` is a member of the record. The rest is one for all records that
are committed together: ``{source}``, ``{batch}`` (its number), ``{time}`` (of the first, to the
second) and ``{format}`` (``jsonl`` or ``txt``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pachybox.errors import InvalidArgument
from pachybox.model import paths

DEFAULT = "/{date}/{hour}/{source}-{batch}.{format}"
TIMES = {
    "date": "%Y-%m-%d", "year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M",
}  # fmt: skip
COMMON = ("source", "batch", "time", "format")
EXTENSIONS = {"jsonl": "jsonl", "lines": "txt"}
_PART = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[^\w.=@:+ -]")
_LONGEST = 60  # characters of a member's value in a path
_FIELD = "field:"


@dataclass(frozen=True, slots=True)
class Template:
    """``names`` in the order in which they stand in ``form``, which has a ``%s`` for each."""

    form: str
    names: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The members of the record that it asks for."""
        return tuple(n.removeprefix(_FIELD) for n in self.names if n.startswith(_FIELD))

    def fill(
        self, when: datetime, record: Mapping[str, Any] | None, common: Mapping[str, str]
    ) -> str:
        """The path of a record of that time. Raises InvalidArgument when what it holds makes
        none."""
        return paths.clean(self.form % tuple(_value(n, when, record, common) for n in self.names))


def parse(text: str) -> Template:
    """Raises InvalidArgument for a template that is none."""
    names: list[str] = []

    def name_of(found: re.Match[str]) -> str:
        name = found[1]
        if name not in TIMES and name not in COMMON and not name.removeprefix(_FIELD):
            raise InvalidArgument("{field:} names no member", "write {field:NAME}")
        if name not in TIMES and name not in COMMON and not name.startswith(_FIELD):
            known = ", ".join(f"{{{n}}}" for n in (*TIMES, *COMMON, "field:NAME"))
            raise InvalidArgument(f"{found[0][:60]!r} is not known", f"use {known}")
        names.append(name)
        return "%s"

    form = _PART.sub(name_of, text.replace("%", "%%"))
    if "{" in form or "}" in form:
        raise InvalidArgument(
            f"{text[:100]!r} has a brace without its other", "write places as {date}"
        )
    made = Template(form, tuple(names))
    example = dict.fromkeys(COMMON, "x")
    if made.fill(datetime(2026, 1, 1, tzinfo=UTC), None, example) == "/" or text.endswith("/"):
        raise InvalidArgument(f"{text[:100]!r} names no file", f"write it like {DEFAULT}")
    return made


def _value(
    name: str, when: datetime, record: Mapping[str, Any] | None, common: Mapping[str, str]
) -> str:
    if (form := TIMES.get(name)) is not None:
        return when.strftime(form)
    if name.startswith(_FIELD):
        return safe((record or {}).get(name.removeprefix(_FIELD)))
    return common[name]


def safe(value: object) -> str:
    """A value as an element of a path, or a part of one; ``none`` for what is no plain value."""
    if value is None or isinstance(value, (dict, list)) or value == "":
        return "none"
    text = value if isinstance(value, str) else json.dumps(value)
    text = _UNSAFE.sub("_", text[:_LONGEST])
    return text if text.strip(".") else "_" * len(text)


def time_of(value: object, parse_time: Callable[[str], datetime]) -> datetime:
    """The time that a member of a record tells: RFC 3339, or a number of seconds, milliseconds,
    microseconds or nanoseconds since 1970. Raises InvalidArgument."""
    if isinstance(value, str) and not re.fullmatch(r"-?\d{1,19}(\.\d{1,9})?", value, re.ASCII):
        return parse_time(value)
    if isinstance(value, str):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidArgument("there is no time in it")
    for unit in (1, 1e3, 1e6, 1e9):
        if abs(value) < 1e11 * unit:
            try:
                return datetime.fromtimestamp(value / unit, UTC)
            except (ValueError, OverflowError, OSError):
                break
    raise InvalidArgument(f"{str(value)[:40]} is not a time")
