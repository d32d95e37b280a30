"""Looking for a pattern in raw lines of a log: many megabytes a second, and never for long.

Regular expressions are those of RE2, whose time grows with the text alone, whatever the pattern;
the engine is DuckDB's, which lets other threads run meanwhile. A block of lines is looked at as
it is, but for what JSON escapes; only where it has the pattern somewhere its lines are taken apart.
"""

from __future__ import annotations

import re
import threading
from json.encoder import encode_basestring

import duckdb

from pachybox.errors import InvalidArgument
from pachybox.pps.log_file import parsed

_LONGEST = 10_000
_MESSAGE = b'"message": "'
_ANCHORS = re.compile(r"[\^$]|\\[AzZBQ]|\(\?[a-zA-Z]*[-imsU]")
_SPECIAL = re.compile(r"[\\^$.|?*+()\[\]{}]")
_UNICODE = re.compile(rb"\\u([0-9a-f]{4})", re.IGNORECASE)

_lock = threading.Lock()
_engines: list[duckdb.DuckDBPyConnection] = []


def _engine() -> duckdb.DuckDBPyConnection:
    """A connection of the caller's own to an empty database that reaches nothing."""
    with _lock:
        if not _engines:
            shut = duckdb.connect(":memory:", config={"enable_external_access": False})
            shut.execute("SET threads = 1")
            _engines.append(shut)
        return _engines[0].cursor()


class Pattern:
    """Something to look for. For one thread."""

    def __init__(self, text: str, *, regex: bool) -> None:
        """Raises InvalidArgument for a regular expression that is none."""
        if not text:
            raise InvalidArgument("there is no pattern to look for", "give one")
        if len(text) > _LONGEST:
            raise InvalidArgument(f"a pattern of {len(text)} characters", f"at most {_LONGEST}")
        self._text = text
        self._regex = regex and _SPECIAL.search(text) is not None
        self._db = _engine() if self._regex else None
        if self._regex:
            self._matches(text, "")
        self._raw = encode_basestring(text)[1:-1].encode("utf-8", "replace")
        self._anchored = bool(_ANCHORS.search(text))

    def lines(self, data: bytes, *, last: bool = False) -> int:
        """The number of the first line of a block (with ``last`` the last one) whose message has
        the pattern; -1 if none has."""
        if not self._regex:
            return self._literally(data, last)
        if not self._anchored and not self._matches(f"(?m){self._text}", _text(_plain(data))):
            return -1
        messages = _messages(data)
        if self._anchored and not self._matches(f"(?m){self._text}", messages):
            return -1
        assert self._db is not None
        which = "max" if last else "min"
        found = self._db.execute(
            f"SELECT {which}(i) FROM (SELECT unnest(s) m, unnest(range(len(s))) i "
            "FROM (SELECT string_split(?, chr(10)) s)) WHERE regexp_matches(m, ?)",
            [messages, self._text],
        ).fetchone()
        return -1 if found is None or found[0] is None else int(found[0])

    def _matches(self, pattern: str, text: str) -> bool:
        assert self._db is not None
        try:
            found = self._db.execute("SELECT regexp_matches(?, ?)", [text, pattern]).fetchone()
        except duckdb.Error as e:
            why = str(e).partition("\n")[0].partition(": ")[2] or str(e)
            raise InvalidArgument(
                f"the regular expression: {why}",
                "look for the text itself (regex=False), or write it in RE2's syntax",
            ) from e
        return bool(found and found[0])

    def _literally(self, data: bytes, last: bool) -> int:
        low, high = 0, len(data)
        find = data.rfind if last else data.find
        while (at := find(self._raw, low, high)) >= 0:
            start = data.rfind(b"\n", 0, at) + 1
            end = data.find(b"\n", at) + 1 or len(data)
            body = data.find(_MESSAGE, start, end)
            if not last and at < body:
                low = body + 1  # what is before the message is not looked at
                continue
            line = parsed(data[start:end]) if at > body else None
            if line is not None and self._text in line["message"]:
                return data.count(b"\n", 0, start)
            low, high = (low, start) if last else (end, high)
        return -1


def _plain(data: bytes) -> bytes:
    """``data`` without the escapes of JSON; line feeds are those between lines."""
    if b"\\" not in data:
        return data
    data = data.replace(b"\\\\", b"\0").replace(b'\\"', b'"').replace(b"\\t", b"\t")
    if b"\\" in data:
        data = data.replace(b"\\u001b", b"\x1b").replace(b"\\n", b"\v").replace(b"\\r", b"\r")
    if b"\\" in data:
        data = data.replace(b"\\b", b"\b").replace(b"\\f", b"\f")
        data = _UNICODE.sub(lambda m: chr(int(m[1], 16)).encode("utf-8", "replace"), data)
    return data.replace(b"\0", b"\\")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _messages(data: bytes) -> str:
    """The messages of lines, a line each."""
    skip = len(_MESSAGE)
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return _text(_plain(b"\n".join([one[one.find(_MESSAGE) + skip : -2] for one in lines])))
