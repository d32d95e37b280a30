"""Cutting a stream into records: lines, JSON values, CSV records.

Each function takes the chunks as they come and yields parts: bytes, and whether they
end a record. Lines are passed on in parts of about PART bytes; a JSON or CSV
record is one part of at most about MAX_RECORD. What is malformed raises
InvalidArgument naming the record (from 1) and the offset of its first byte (from 0).
:mod:`pachybox.pfs.split` makes files of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import NoReturn

from pachybox.errors import InvalidArgument

MAX_RECORD = 64 << 20
"""Longest record of json and csv, in bytes."""

PART = 1 << 20

Part = tuple[bytes, bool]
"""Bytes, and whether they end a record."""


# line


def lines(chunks: Iterable[bytes]) -> Iterator[Part]:
    """Lines; only one of PART bytes or more comes in several parts."""
    held: list[bytes] = []
    holding, within = 0, False
    for chunk in chunks:
        start = 0
        while end := chunk.find(b"\n", start) + 1:
            line = chunk[start:end]
            if held:
                line = b"".join([*held, line])
                held, holding = [], 0
            yield line, True
            start, within = end, False
        if start < len(chunk):
            held.append(chunk[start:])
            holding += len(chunk) - start
            if holding >= PART:
                yield b"".join(held), False
                held, holding, within = [], 0, True
    if held or within:
        yield b"".join(held), True


# json and csv: records that must be seen whole


class _Buffer:
    """The stream from the current record on, as text in which a character is a byte.

    (Latin-1: what json and csv are made of is ASCII, the rest passes unread.)
    """

    def __init__(self, kind: str, chunks: Iterable[bytes]) -> None:
        self.kind = kind
        self.text = ""
        self.at = 0  # where the record begins
        self.ended = False
        self._chunks = iter(chunks)
        self._gone = 0  # bytes dropped ahead of the text
        self._record = 1

    def take(self, end: int) -> None:
        """The record was whole, and ends here."""
        self.at = end
        self._record += 1

    def more(self) -> bool:
        """Read on; False at the end of the stream. Moves the record to the beginning.

        What is there doubles, so that trying a record again each time costs little.
        """
        have = len(self.text) - self.at
        if have > MAX_RECORD:
            self.bad(f"longer than {MAX_RECORD} bytes", "split it by line, or put it whole")
        parts, got = [self.text[self.at :]], 0
        for chunk in self._chunks:
            parts.append(chunk.decode("latin-1"))
            got += len(chunk)
            if got > have:
                break
        else:
            self.ended = True
        self._gone += self.at
        self.at = 0
        self.text = "".join(parts)
        return got > 0

    def bad(self, what: str, hint: str) -> NoReturn:
        """Refuse the current record."""
        offset = self._gone + self.at
        raise InvalidArgument(f"{self.kind} record {self._record} at offset {offset}: {what}", hint)


_SPACE = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r'[^ \t\n\r{}\[\]",:]+')
_SLACK = 16  # text cut inside a token (not a string) stops the decoder this near its end
_MEND = "mend the data, or split by line"


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# numbers are not looked into: Python bounds the digits of an int
_DECODER = json.JSONDecoder(parse_constant=_not_json, parse_int=str, parse_float=str)


def json_values(chunks: Iterable[bytes]) -> Iterator[Part]:
    """The values as they are written; the decoder finds their ends at C speed."""
    buffer = _Buffer("json", chunks)
    while True:
        space = _SPACE.match(buffer.text, buffer.at)
        buffer.at = space.end() if space else buffer.at
        if buffer.at == len(buffer.text):
            if not buffer.more():
                return
            continue
        end = _json_end(buffer)
        value = buffer.text[buffer.at : end].encode("latin-1")
        if not value.isascii():
            try:
                value.decode()
            except UnicodeDecodeError:
                buffer.bad("not UTF-8", _MEND)
        yield value, True
        buffer.take(end)


def _json_end(buffer: _Buffer) -> int:
    """Where the value ends, having read as much as it takes."""
    while buffer.text[buffer.at] in '{["':
        try:
            return _DECODER.raw_decode(buffer.text, buffer.at)[1]
        except json.JSONDecodeError as error:
            column = error.pos - buffer.at
            near = error.pos >= len(buffer.text) - _SLACK
            if (near or error.msg.startswith("Unterminated")) and buffer.more():
                continue
            buffer.bad(f"{error.msg} ({column} bytes on)", _MEND)
        except RecursionError:
            buffer.bad("nested too deep", _MEND)
        except ValueError as error:
            buffer.bad(str(error), _MEND)
    while True:
        found = _SCALAR.match(buffer.text, buffer.at)
        if (found and found.end() < len(buffer.text)) or not buffer.more():
            break
    token = found[0] if found else buffer.text[buffer.at]
    try:
        _DECODER.decode(token)
    except ValueError:
        buffer.bad(f"{token[:40]!r} is no value", _MEND)
    return buffer.at + len(token)


_QUOTED_TEXT = r'"[^"]*+(?:""[^"]*+)*+"'
_QUOTED = re.compile(_QUOTED_TEXT)
_FIELD = rf'(?:{_QUOTED_TEXT}|[^",\r\n]*+)'
_WHOLE = re.compile(rf"{_FIELD}(?:,{_FIELD})*+(\r?\n)")  # a record like nearly all
_BARE = re.compile(r'[^",\n]*')
_NEEDS_QUOTES = re.compile(r'[",\r\n]')


def csv_records(chunks: Iterable[bytes]) -> Iterator[Part]:
    """The records, written anew: quotes only where they are needed, ``\\n`` at the end."""
    buffer = _Buffer("csv", chunks)
    while True:
        end = buffer.text.find("\n", buffer.at) + 1
        if not end:
            if buffer.more():
                continue
            if buffer.at == len(buffer.text):
                return
            end = len(buffer.text)
        line = buffer.text[buffer.at : end].rstrip("\n").removesuffix("\r")
        if not line:
            buffer.at = end  # an empty line is no record
            continue
        if '"' in line or "\r" in line:
            line, end = _csv_quoted(buffer)
        yield f"{line}\n".encode("latin-1"), True
        buffer.take(end)


def _csv_quoted(buffer: _Buffer) -> tuple[str, int]:
    """A record with quotes, written anew without its newline, and where it ends."""
    whole = _WHOLE.match(buffer.text, buffer.at)
    if whole is None:  # malformed, or at an end: look closely
        fields, end = _csv_fields(buffer)
        return ",".join(map(_csv_field, fields)) if fields != [""] else '""', end
    line = buffer.text[buffer.at : whole.start(1)]
    if line != '""':  # an empty line would be no record
        line = _QUOTED.sub(_csv_unquote, line)
    return line, whole.end()


def _csv_unquote(found: re.Match[str]) -> str:
    return found[0] if _NEEDS_QUOTES.search(inner := found[0][1:-1]) else inner


def _csv_fields(buffer: _Buffer) -> tuple[list[str], int]:
    """The fields of a record with quotes, and where it ends."""
    fields: list[str] = []
    at = buffer.at
    while True:
        text = buffer.text
        quoted = text.startswith('"', at)
        found = (_QUOTED if quoted else _BARE).match(text, at)
        # what stands behind the field decides whether it is one: two characters of it
        if (found is None or found.end() + 2 > len(text)) and not buffer.ended:
            buffer.more()
            fields, at = [], buffer.at
            continue
        if found is None:
            buffer.bad("a quote is never closed", 'close it with "')
        field, end = found[0], found.end()
        if quoted:
            field = field[1:-1].replace('""', '"')
            end += text[end : end + 2] == "\r\n" or text[end:] == "\r"
        elif text[end : end + 1] in ("\n", ""):
            field = field.removesuffix("\r")
        fields.append(field)
        follows = text[end : end + 1]
        if follows in ("\n", ""):
            return fields, end + len(follows)
        if follows != ",":
            what = "text behind a closing quote" if quoted else "a quote inside an unquoted field"
            buffer.bad(f"{what} ({end - buffer.at} bytes on)", 'quote the field and double its "')
        at = end + 1


def _csv_field(field: str) -> str:
    if not _NEEDS_QUOTES.search(field):
        return field
    return '"' + field.replace('"', '""') + '"'
