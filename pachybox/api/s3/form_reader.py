"""A multipart/form-data body: small fields, then the file as it comes."""

from __future__ import annotations

import re
from collections.abc import Callable

from pachybox.api.s3.errors import S3Error

_BOUNDARY = re.compile(
    r'multipart/form-data\s*;.*?\bboundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))', re.I
)
_NAME = re.compile(r'[;\s]name="((?:[^"\\]|\\.)*)"', re.I)
_FILENAME = re.compile(r'[;\s]filename="((?:[^"\\]|\\.)*)"', re.I)
_MOST_HEAD = 8 << 10
_MOST_FIELDS = 256 << 10
_STEP = 64 << 10


def boundary_of(content_type: str) -> str:
    """The boundary that a content type names; "" when it is no form's."""
    match = _BOUNDARY.match(content_type)
    return (match[1] or match[2]) if match else ""


class FormReader:
    """Reads one form from ``source``, which fills a view and says how much (0 at the end).

    First ``fields()``, then ``readinto`` until it gives 0. Raises MalformedPOSTRequest.
    """

    def __init__(self, source: Callable[[memoryview], int], boundary: str) -> None:
        self._source = source
        self._mark = b"\r\n--" + boundary.encode("latin-1")
        # The first boundary stands at the start, or behind text that is to be ignored.
        self._data = bytearray(b"\r\n")
        self._piece = memoryview(bytearray(_STEP))
        self._ended = False
        self.filename = ""

    def fields(self) -> dict[str, str]:
        """The fields before the file, by lower-case name. Its bytes come next."""
        found: dict[str, str] = {}
        total = 0
        self._until(self._mark, _MOST_HEAD)
        while True:
            line = self._until(b"\r\n", _MOST_HEAD)
            if line.strip():
                raise S3Error(
                    "InvalidArgument", "POST requires exactly one file upload per request."
                )
            name, filename = self._head()
            if name == "file":
                self.filename = filename
                return found
            value = self._until(self._mark, _MOST_FIELDS)
            total += len(name) + len(value)
            if total > _MOST_FIELDS:
                raise S3Error("MaxMessageLengthExceeded", "The form's fields are too long.")
            found[name] = _text(value)

    def _head(self) -> tuple[str, str]:
        """Name (lower case) and file name of the part that begins."""
        name = filename = ""
        while line := self._until(b"\r\n", _MOST_HEAD):
            title, _, value = _text(line).partition(":")
            if title.strip().lower() != "content-disposition":
                continue
            if match := _NAME.search(value):
                name = match[1].lower()
            if match := _FILENAME.search(value):
                filename = re.sub(r"\\(.)", r"\1", match[1])
        if not name:
            raise S3Error("MalformedPOSTRequest", "A field of the form has no name.")
        return name, filename

    def _more(self) -> None:
        n = self._source(self._piece)
        if not n:
            raise S3Error("MalformedPOSTRequest", "The form ends before its last boundary.")
        self._data += self._piece[:n]

    def _until(self, mark: bytes, limit: int) -> bytes:
        """The bytes before ``mark``, which is taken too."""
        searched = 0
        while (found := self._data.find(mark, searched)) < 0:
            searched = max(0, len(self._data) - len(mark) + 1)
            if len(self._data) > limit:
                raise S3Error("MaxMessageLengthExceeded", "A field of the form is too long.")
            self._more()
        taken = bytes(self._data[:found])
        del self._data[: found + len(mark)]
        return taken

    def readinto(self, target: memoryview) -> int:
        """Some bytes of the file into ``target`` (not empty); 0 at its end, with the rest of the
        form read."""
        if self._ended:
            return 0
        while True:
            found = self._data.find(self._mark)
            free = found if found >= 0 else len(self._data) - len(self._mark) + 1
            if free > 0:
                n = min(free, len(target))
                target[:n] = self._data[:n]
                del self._data[:n]
                return n
            if found == 0:
                self._ended = True
                while self._source(self._piece):
                    pass
                return 0
            self._more()


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise S3Error("MalformedPOSTRequest", "A field of the form is not UTF-8.") from None
