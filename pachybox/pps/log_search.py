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
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|(.))")
_SHORT = {b"t": b"\t", b"r": b"\r", b"b": b"\b", b"f": b"\f", b"n": b"\v"}
_FEW = 100  # bytes for each escape: from there on all of a kind are replaced at once

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
    """Something to look for. For many threads."""

    def __init__(self, text: str, *, regex: bool) -> None:
        """Raises InvalidArgument for a regular expression that is none."""
        if not text:
            raise InvalidArgument("there is no pattern to look for", "give one")
        if len(text) > _LONGEST:
            raise InvalidArgument(f"a pattern of {len(text)} characters", f"at most {_LONGEST}")
        self._text = text
        self._regex = regex and _SPECIAL.search(text) is not None
        if self._regex:
            self._matches(text, "")
        self._raw = encode_basestring(text)[1:-1].encode("utf-8", "replace")
        self._anchored = bool(_ANCHORS.search(text))

    def lines(self, data: bytes, *, last: bool = False) -> int:
        """The number of the first line of a block (with ``last`` the last one) whose message has
        the pattern; -1 if none has."""
        if not self._regex:
            return self._literally(data, last)
        wanted = f"(?m){self._text}"
        if not self._anchored and not self._matches(wanted, _text(_plain(data))):
            return -1  # what is in front of messages may have it, but then so may they
        messages = _messages(data)
        if not self._matches(wanted, messages):
            return -1
        which = "max" if last else "min"
        found = (
            _engine()
            .execute(
                f"SELECT {which}(i) FROM (SELECT unnest(s) m, unnest(range(len(s))) i "
                "FROM (SELECT string_split(?, chr(10)) s)) WHERE regexp_matches(m, ?)",
                [messages, self._text],
            )
            .fetchone()
        )
        return -1 if found is None or found[0] is None else int(found[0])

    def _matches(self, pattern: str, text: str) -> bool:
        try:
            found = _engine().execute("SELECT regexp_matches(?, ?)", [text, pattern]).fetchone()
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
    if data.count(b"\\") * _FEW < len(data):
        return _by_line(data)
    data = data.replace(b"\\\\", b"\0").replace(b'\\"', b'"')
    if b"\\" in data:
        data = _ESCAPE.sub(_meant, data.replace(b"\\t", b"\t").replace(b"\\u001b", b"\x1b"))
    return data.replace(b"\0", b"\\")


def _by_line(data: bytes) -> bytes:
    """The same, of lines of which few have escapes."""
    pieces: list[bytes] = []
    done = 0
    while (at := data.find(b"\\", done)) >= 0:
        end = data.find(b"\n", at) + 1 or len(data)
        pieces += (data[done:at], _ESCAPE.sub(_meant, data[at:end]))
        done = end
    return b"".join([*pieces, data[done:]])


def _meant(found: re.Match[bytes]) -> bytes:
    """What an escape stands for."""
    if found[1]:
        return chr(int(found[1], 16)).encode("utf-8", "replace")
    return _SHORT.get(found[2], found[2])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _messages(data: bytes) -> str:
    """The messages of lines, a line each."""
    skip = len(_MESSAGE)
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return _text(_plain(b"\n".join([one[one.find(_MESSAGE) + skip : -2] for one in lines])))
