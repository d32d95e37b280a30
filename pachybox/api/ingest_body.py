"""From a request's body to records, cut from its text as they stand. Pure.

| content type | records |
|---|---|
| application/json | the elements of an array, or the one value |
| application/x-ndjson, jsonl, x-jsonlines | lines that are not blank |
| application/json-seq | what lies between record separators |
| text/plain, or none | lines |
| application/octet-stream | the whole body, for sources of lines |

Whether a line of JSON lines is JSON, and whether a record is too long, is found out later, and it
goes to the dead letters. A body that says it is JSON and cannot be cut is refused whole.
"""

from __future__ import annotations

import json
import re
import zlib
from typing import NoReturn

from pachybox.api.http import Rejected
from pachybox.errors import Exhausted, InvalidArgument

BODY_MOST = 8 << 20
RECORDS_MOST = 100_000
"""Of one request."""

_LINES = frozenset(
    f"application/{name}" for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonl", "x-jsonlines",
                                       "jsonlines")
)  # fmt: skip
TYPES = "application/json, application/x-ndjson, text/plain"
_BLANKS = re.compile(r"[ \t\r\n]*")
_CODING = "send it whole, or as it is without content-encoding"
_CHARSETS = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=len, parse_int=len)


def expand(body: bytes, coding: str) -> bytes:
    """The body as it was before its content coding. Raises Rejected: 415 for another coding than
    gzip, 413 past BODY_MOST, 400 for what is none."""
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip"):
        raise Rejected(
            415, InvalidArgument(f"content coding {coding[:40]!r} is not known", "send gzip")
        )
    made = bytearray()
    while body:
        member = zlib.decompressobj(wbits=31)
        try:
            made += member.decompress(body, BODY_MOST + 1 - len(made))
        except zlib.error as e:
            raise Rejected(400, InvalidArgument(f"the body is not gzip: {e}", _CODING)) from None
        if len(made) > BODY_MOST:
            raise too_large()
        if not member.eof:
            raise Rejected(400, InvalidArgument("the body is gzip that is cut short", _CODING))
        body = member.unused_data
    return bytes(made)


def too_large() -> Rejected:
    """A body beyond what is taken."""
    return Rejected(
        413,
        Exhausted(f"the body is larger than {BODY_MOST >> 20} MiB", "send it in several requests"),
    )


def cut(body: bytes, content_type: str, form: str) -> list[bytes]:
    """The records, none with a line break in it, for a source of ``form`` (jsonl, lines).

    Raises Rejected: 415 for a type that is not taken, 400 for a body that is not of its type, 413
    for too many records.
    """
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if parameters and _charset(parameters) not in _CHARSETS:
        raise Rejected(415, InvalidArgument("only UTF-8 is taken", "leave charset out"))
    if kind == "application/json":
        records = _json(body)
    elif kind in _LINES:
        records = _lines(body, blank=False)
    elif kind in ("text/plain", ""):  # small devices say nothing
        records = _lines(body, blank=form == "lines")
    elif kind == "application/json-seq":
        records = [_flat(one) for one in body.split(b"\x1e") if one.strip()]
    elif kind == "application/octet-stream" and form == "lines":
        records = _whole(body)
    else:
        raise Rejected(
            415,
            InvalidArgument(f"content type {kind[:60]!r} is not taken here", f"send {TYPES}"),
        )
    if len(records) > RECORDS_MOST:
        raise _too_many()
    return records


def _charset(parameters: str) -> str:
    for one in parameters.split(";"):
        name, _, value = one.strip().partition("=")
        if name.lower() == "charset":
            return value.strip('"').lower()
    return ""


def _too_many() -> Rejected:
    return Rejected(
        413, Exhausted(f"there are more than {RECORDS_MOST} records", "send several requests")
    )


def _lines(body: bytes, *, blank: bool) -> list[bytes]:
    if body.count(b"\n") > RECORDS_MOST:
        raise _too_many()
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if b"\r" in body:
        lines = [line.removesuffix(b"\r") for line in lines]
    return lines if blank else [line for line in lines if line.strip()]


def _whole(body: bytes) -> list[bytes]:
    if b"\n" in body or b"\r" in body:
        raise Rejected(
            400,
            InvalidArgument("a record of lines cannot have a line break", "send text/plain"),
        )
    return [body] if body else []


def _flat(text: bytes) -> bytes:
    """JSON in one line: no line break can stand in a string, so that each is a blank."""
    text = text.strip(b" \t\r\n")
    if b"\n" in text or b"\r" in text:
        return text.replace(b"\n", b" ").replace(b"\r", b" ")
    return text


def _json(body: bytes) -> list[bytes]:
    try:
        text = body.decode()
        at = _skip(text, 0)
        if at == len(text):
            return []
        if text[at] == "[":
            return _elements(text, at + 1)
        _, end = _DECODER.raw_decode(text, at)
        if _skip(text, end) != len(text):
            raise ValueError(f"there is more behind the value (char {end})")
    except RecursionError:
        raise _not_json("it is nested too deeply") from None
    except ValueError as e:  # of JSON, of UTF-8
        raise _not_json(str(e)) from None
    return [_flat(body)]


def _elements(text: str, at: int) -> list[bytes]:
    """The elements of an array whose bracket is before ``at``."""
    records: list[bytes] = []
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        end = at + 1
    else:
        while True:
            _, end = _DECODER.raw_decode(text, at)
            records.append(_flat(text[at:end].encode()))
            if len(records) > RECORDS_MOST:
                raise _too_many()
            end = _skip(text, end)
            mark = text[end : end + 1]
            end += 1
            if mark == "]":
                break
            if mark != ",":
                raise ValueError(f"expecting a comma or the array's end (char {end - 1})")
            at = _skip(text, end)
    if _skip(text, end) != len(text):
        raise ValueError(f"there is more behind the array (char {end})")
    return records


def _skip(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _not_json(why: str) -> Rejected:
    return Rejected(
        400, InvalidArgument(f"the body is not JSON: {why}", "send JSON, or lines of it as ndjson")
    )
