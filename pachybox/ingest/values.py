"""Values of a spec by name: right types, bounds, and nothing left that is not known. Pure.

For the part of an ingest spec that belongs to one kind. Plain values come in (as json.loads gives
them), and every error is an InvalidArgument whose message begins with the field.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from pachybox.errors import InvalidArgument
from pachybox.model.units import format_duration, format_size, parse_decimal_size, parse_duration

_LONGEST = 100  # characters of a value in a message


class Values:
    """An object of a spec. Each method takes the field's value (null is as if it were left out),
    and what it is without one; ``done`` refuses what none has asked for."""

    def __init__(self, given: object, path: str = "") -> None:
        self._path = path
        self._known: list[str] = []
        self._object: Mapping[str, Any] = {}
        if not isinstance(given, Mapping):
            self.wrong("", f"expected an object, got {called(given)}")
        self._object = given

    def wrong(self, name: str, message: str, hint: str = "") -> NoReturn:
        """Raise InvalidArgument about a field of this object ("": the object itself)."""
        where = ".".join(part for part in (self._path, name) if part)
        raise InvalidArgument(f"{where}: {message}" if where else message, hint)

    def __contains__(self, name: str) -> bool:
        return self._object.get(name) is not None

    def take(self, name: str) -> Any:
        """The plain value, None without one."""
        self._known.append(name)
        return self._object.get(name)

    def text(self, name: str, default: str = "", *, words: Sequence[str] = ()) -> str:
        """A string; with ``words`` one of them."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, str):
            hint = "put it in quotes" if isinstance(value, (bool, int, float)) else ""
            self.wrong(name, f"expected a string, got {called(value)}", hint)
        if words and value not in words:
            self.wrong(name, f"{_shown(value)} is not known", f"use {_either(words)}")
        return value

    def required(self, name: str, hint: str) -> str:
        """A string that is not empty."""
        value = self.text(name)
        if not value:
            self.wrong(name, "missing", hint)
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(name, f"expected true or false, got {called(value)}")
        return value

    def count(self, name: str, default: int, *, least: int = 0, most: int = 2**63 - 1) -> int:
        """A whole number within bounds."""
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            self.wrong(name, f"expected a whole number, got {called(value)}")
        if not least <= value <= most:
            self.wrong(name, f"{value if abs(value) < 2**64 else 'it'} is out of range",
                       f"use {least} to {most}")  # fmt: skip
        return value

    def seconds(self, name: str, default: str, *, least: float = 0.0, most: float = 1e8) -> float:
        """A duration like ``"2s"``, in seconds, within bounds."""
        text = self.text(name, default)
        value: float = self._parsed(name, text, parse_duration)
        if not least <= value <= most:
            self.wrong(
                name,
                f"{text} is out of range",
                f"use {format_duration(least)} to {format_duration(most)}",
            )
        return value

    def size(self, name: str, default: str, *, least: int = 0, most: int = 2**63 - 1) -> int:
        """A size like ``"8MB"`` (or a number of bytes), in bytes, within bounds."""
        if isinstance(self._object.get(name), int):
            return self.count(name, 0, least=least, most=most)
        text = self.text(name, default)
        value: int = self._parsed(name, text, parse_decimal_size)
        if not least <= value <= most:
            self.wrong(
                name, f"{text} is out of range", f"use {format_size(least)} to {format_size(most)}"
            )
        return value

    def strings(self, name: str) -> list[str]:
        """A list of strings."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(name, f"expected a list of strings, got {called(value)}", "put it in [ ]")
        for number, item in enumerate(value):
            if not isinstance(item, str):
                self.wrong(f"{name}[{number}]", f"expected a string, got {called(item)}")
        return list(value)

    def mapping(self, name: str) -> dict[str, str]:
        """An object of strings."""
        value = self.take(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.wrong(name, f"expected an object of strings, got {called(value)}")
        for key, item in value.items():
            if not isinstance(item, str):
                self.wrong(
                    f"{name}.{_name(key)}", f"expected a string, got {called(item)}",
                    "put it in quotes",
                )  # fmt: skip
        return dict(value)

    def inside(self, name: str) -> Values:
        """An object in this one, empty without one."""
        value = self.take(name)
        where = f"{self._path}.{name}" if self._path else name
        return Values({} if value is None else value, where)

    def done(self) -> None:
        """Refuse a field that was not asked for, with the nearest that was."""
        for name in self._object:
            if name in self._known:
                continue
            near = difflib.get_close_matches(name[:_LONGEST], self._known, 1, 0.6)
            known = ", ".join(sorted(self._known))
            hint = f'did you mean "{near[0]}"' if near else f"known here: {known}"
            self.wrong(_name(name), "unknown field", hint)

    def _parsed(self, name: str, text: str, parse: Callable[[str], Any]) -> Any:
        try:
            return parse(text)
        except InvalidArgument as e:
            self.wrong(name, e.message, e.hint)


def called(value: object) -> str:
    """How messages call a plain value."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list() | tuple():
            return "a list"
    return "an object"


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def _shown(value: str) -> str:
    return json.dumps(value if len(value) <= _LONGEST else value[:_LONGEST] + "...")


def _name(name: str) -> str:
    """A name from outside, fit for one line of an error."""
    return name if re.fullmatch(r"[\w-]{1,60}", name) else _shown(name)
