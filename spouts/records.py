"""Records, grouped for a commit: which files they go to, and which cannot be taken. Pure."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NoReturn

from pachybox.errors import InvalidArgument
from pachybox.model import record_path
from pachybox.model.units import parse_decimal_size, parse_duration, parse_time
from spouts.desk import DeadLetter

_FILES_MOST = 500  # that one commit writes; more make the next
_REASON_MOST = 300
_LAST = 100  # records among which a marker is looked for
LINE_MOST = (8 << 20) + 1
"""Bytes of a command's line: a longer one has lost its end. One more than any record may have."""
_RECORD_COST = 64  # bytes that a record takes in memory beside its own


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


@dataclass(frozen=True)
class Settings:
    """How a source groups its records."""

    source: str
    form: str  # "jsonl", "lines"
    template: record_path.Template
    time_field: str
    records: int
    size: int
    seconds: float
    longest: int

    @classmethod
    def of(cls, source: str, spec: Mapping[str, Any]) -> Settings:
        """As the part ``push`` or ``command`` of a canonical spec says."""
        group = spec["group"]
        return cls(
            source,
            spec["format"],
            record_path.parse(spec["path"]),
            spec["time_field"],
            group["records"],
            parse_decimal_size(str(group["size"])),
            parse_duration(group["time"]),
            parse_decimal_size(str(spec["max_record"])),
        )

    @cached_property
    def looks_inside(self) -> bool:
        """Whether a record's members say where it goes."""
        return bool(self.template.fields or self.time_field)


class _Bad(Exception):
    """A record that cannot be taken: what all of its kind are, and what is wrong with this."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail


@dataclass
class _BadOnes:
    detail: str
    records: list[bytes] = field(default_factory=list)


class Group:
    """The records of one commit, which will be the source's number ``batch``."""

    def __init__(self, settings: Settings, batch: int) -> None:
        self._settings = settings
        self._batch = batch
        self._common: dict[str, str] = {}
        self._paths: dict[tuple[int, tuple[str, ...]], str] = {}
        self._bad: dict[str, _BadOnes] = {}
        self.files: dict[str, list[bytes]] = {}
        """The records of each file, in the order in which they came."""
        self.count = 0
        """Records, bad ones among them."""
        self.taken = 0
        """Records that go to files."""
        self.bytes = 0
        """Bytes of those."""
        self.last: deque[bytes] = deque(maxlen=_LAST)
        """The last of those, in the order in which they came."""
        self._held = 0
        self.oldest = 0
        """When the first came, in microseconds since 1970."""

    def add(self, record: bytes, time: int) -> None:
        """Add a record that came at ``time`` (microseconds since 1970)."""
        if not self.count:
            self.oldest = time
            self._begin(time)
        self.count += 1
        self._held += len(record) + _RECORD_COST
        try:
            path = self._path(record, time)
        except _Bad as bad:
            self._bad.setdefault(bad.kind, _BadOnes(bad.detail)).records.append(record)
            return
        self.taken += 1
        self.last.append(record)
        self.bytes += len(record) + 1
        self.files.setdefault(path, []).append(record)

    def _begin(self, time: int) -> None:
        s = self._settings
        when = datetime.fromtimestamp(time // 1_000_000, UTC)
        self._common = {
            "source": s.source,
            "batch": f"{self._batch:09}",
            "time": when.strftime("%Y%m%dT%H%M%SZ"),
            "format": record_path.EXTENSIONS[s.form],
        }

    def _path(self, record: bytes, time: int) -> str:
        """Where a record goes. Raises _Bad."""
        s = self._settings
        if len(record) > s.longest:
            lost = ", of which the end is lost" if len(record) >= LINE_MOST else ""
            raise _Bad(f"longer than max_record ({s.longest} bytes)", f"{len(record)} bytes{lost}")
        value = decoded(record) if s.form == "jsonl" else None
        minute = time // 60_000_000
        names: tuple[str, ...] = ()
        members: Mapping[str, Any] = {}
        if s.looks_inside:
            members = value if isinstance(value, dict) else {}
            if s.time_field:
                minute = _minute(members.get(s.time_field), s.time_field)
            names = tuple(record_path.safe(members.get(name)) for name in s.template.fields)
        path = self._paths.get((minute, names))
        if path is None:
            when = datetime.fromtimestamp(minute * 60, UTC)
            try:
                path = s.template.fill(when, members, self._common)
            except InvalidArgument as e:
                raise _Bad("making no path", e.message) from None
            self._paths[minute, names] = path
        return path

    @property
    def full(self) -> bool:
        """Whether the next record is to go to another commit."""
        s = self._settings
        return self.count >= s.records or self._held >= s.size or len(self.files) >= _FILES_MOST

    def due_in(self, now: float) -> float:
        """Seconds from ``now`` (since 1970) until it is to be committed anyhow."""
        return self.oldest / 1e6 + self._settings.seconds - now

    def content(self, path: str) -> bytes:
        """What the file is to be added."""
        return _lines(self.files[path])

    def dead(self) -> list[DeadLetter]:
        """The records that cannot be taken: a letter for each reason."""
        extension = record_path.EXTENSIONS[self._settings.form]
        made = []
        for kind, bad in self._bad.items():
            many = len(bad.records)
            what = f"{many} records are" if many > 1 else "the record is"
            first = f"; the first: {bad.detail}" if many > 1 else f": {bad.detail}"
            reason = f"{what} {kind}{first if bad.detail else ''}"
            made.append(
                DeadLetter(f"/records.{extension}", reason[:_REASON_MOST], _lines(bad.records))
            )
        return made

    def dead_all(self, reason: str) -> list[DeadLetter]:
        """All its records, when the whole cannot be committed."""
        refused = [DeadLetter(path, reason, self.content(path)) for path in self.files]
        return [*refused, *self.dead()]


def _lines(records: Sequence[bytes]) -> bytes:
    return b"\n".join(records) + b"\n"


def decoded(record: bytes) -> Any:
    """The value of a record of JSON. Raises _Bad."""
    try:
        text = record.decode()
        value, end = _DECODER.raw_decode(text.lstrip(" \t\r\n"))
        rest = text.lstrip(" \t\r\n")[end:].strip(" \t\r\n")
    except RecursionError:
        raise _Bad("not JSON", "nested too deeply") from None
    except ValueError as e:  # of JSON, of UTF-8, of numbers with thousands of digits
        raise _Bad("not JSON", str(e)) from None
    if rest:
        raise _Bad("not JSON", f"more behind the value: {rest[:40]!r}")
    return value


def _minute(value: object, name: str) -> int:
    try:
        when = record_path.time_of(value, parse_time)
    except InvalidArgument as e:
        raise _Bad(f"without a time in {name}", e.message) from None
    return int(when.timestamp() // 60)


def marker_of(records: Sequence[bytes], marker: str, form: str) -> str:
    """The marker in the last record that has one: a member of JSON, or what the group of a
    pattern finds in a line; "" when none has."""
    for record in reversed(records):
        if form == "lines":
            found = re.search(marker, record.decode(errors="replace"))
            if found and found[1]:
                return found[1]
            continue
        try:
            value = decoded(record)
        except _Bad:
            continue
        if isinstance(value, dict) and (mark := value.get(marker)) is not None:
            return mark if isinstance(mark, str) else json.dumps(mark, separators=(",", ":"))
    return ""
