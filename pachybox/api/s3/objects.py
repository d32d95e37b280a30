"""Reading objects: GetObject, HeadObject, GetObjectAttributes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pachybox.api.response import Response
from pachybox.api.s3.checksums import NAMES
from pachybox.api.s3.conditions import check_read, matches
from pachybox.api.s3.context import XML, Ask, Header
from pachybox.api.s3.errors import S3Error
from pachybox.api.s3.times import http, parse_http
from pachybox.api.s3.xml import document, tag
from pachybox.errors import InvalidArgument
from pachybox.pfs.object_types import FileSlice, InvalidKey, ObjectInfo

DEFAULT_TYPE = "binary/octet-stream"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_OVERRIDES = {
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
    "response-content-language": "Content-Language",
    "response-content-type": "Content-Type",
    "response-expires": "Expires",
}
_KEPT = {
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "expires": "Expires",
}
_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# What users stored must not run as a page of this server, nor be guessed at.
_FENCE = (
    ("Content-Security-Policy", "sandbox; default-src 'none'; style-src 'unsafe-inline'"),
    ("X-Content-Type-Options", "nosniff"),
)


def found(ask: Ask) -> ObjectInfo:
    """The object asked for. A key that can be none is not there: NoSuchKey."""
    try:
        return ask.object()
    except InvalidKey:
        raise S3Error("NoSuchKey", fields={"Key": ask.key}) from None


def wire_text(text: str) -> str:
    """``text`` for a header, as the bytes of UTF-8. (What is kept of a PUT's headers is kept as it
    came, byte for byte in Latin-1, and goes out so.)"""
    return text if text.isascii() else text.encode().decode("latin-1")


def check_values(headers: Mapping[str, str]) -> None:
    """Refuse what came by another way than a header and cannot be one. Raises InvalidArgument."""
    for name, value in headers.items():
        if _UNSAFE.search(value):
            raise S3Error("InvalidArgument", f"{name[:80]!a} has a control character.")


def describe(ask: Ask, info: ObjectInfo, *, part: bool = False) -> tuple[str, list[Header]]:
    """Content type and headers of an answer about ``info``; of a range (``part``)
    without its checksums, but of a part of an upload with those of the part."""
    attributes = info.attributes
    kind = attributes.content_type or DEFAULT_TYPE
    headers: list[Header] = [
        *ask.ids,
        ("ETag", f'"{info.etag}"'),
        ("Last-Modified", http(info.modified)),
        ("Accept-Ranges", "bytes"),
        ("x-amz-version-id", info.version),
        *_FENCE,
    ]
    kept = {_KEPT[name]: value for name, value in attributes.headers.items() if name in _KEPT}
    overrides = {name: ask.query[name] for name in _OVERRIDES if name in ask.query}
    check_values(overrides)
    kept |= {_OVERRIDES[name]: wire_text(value) for name, value in overrides.items()}
    kind = kept.pop("Content-Type", kind)
    headers += kept.items()
    headers += [(f"x-amz-meta-{name}", text) for name, text in attributes.metadata.items()]
    if attributes.parts and "partNumber" in ask.query:
        headers.append(("x-amz-mp-parts-count", str(len(attributes.parts))))
    if ask.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        if "partNumber" in ask.query:
            headers += _part_checksums(info, int(ask.query["partNumber"]))
        elif not part:
            headers += checksum_headers(info)
    return kind, headers


def _part_checksums(info: ObjectInfo, number: int) -> list[Header]:
    if not info.attributes.parts:
        return checksum_headers(info)
    part = next(part for part in info.attributes.parts if part.number == number)
    lines = [(f"x-amz-checksum-{name}", value) for name, value in part.checksums.items()]
    if lines and info.attributes.checksum_type:
        lines.append(("x-amz-checksum-type", info.attributes.checksum_type))
    return lines


def checksum_headers(info: ObjectInfo) -> list[Header]:
    """The checksums that are known of an object."""
    lines = [(f"x-amz-checksum-{name}", value) for name, value in info.attributes.checksums.items()]
    if lines and info.attributes.checksum_type:
        lines.append(("x-amz-checksum-type", info.attributes.checksum_type))
    return lines


def wanted(ask: Ask, info: ObjectInfo) -> tuple[int, int] | None:
    """Start and end of what is asked for by Range or partNumber; None = the whole.

    Raises InvalidRange, InvalidPart.
    """
    text = ask.headers.get("range", "")
    number = ask.query.get("partNumber")
    if number is not None:
        if text:
            raise S3Error("InvalidRequest", "Cannot specify both Range header and partNumber.")
        return _part(number, info)
    if not text:
        return None
    condition = ask.headers.get("if-range")
    if condition is not None and not _still(condition, info):
        return None
    return byte_range(text, info.size)


def _still(condition: str, info: ObjectInfo) -> bool:
    """Whether an If-Range, a tag or a time, is that of the object."""
    if when := parse_http(condition):
        return info.modified.replace(microsecond=0) <= when
    return matches(condition, info.etag)


def _part(text: str, info: ObjectInfo) -> tuple[int, int]:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 10_000:
        raise S3Error("InvalidArgument", "partNumber must be 1 to 10000.")
    at, parts = 0, info.attributes.parts
    if not parts and int(text) == 1:
        return 0, info.size
    for part in parts:
        if part.number == int(text):
            return at, at + part.size
        at += part.size
    raise S3Error("InvalidPart", "The object has no such part.")


def byte_range(text: str, size: int) -> tuple[int, int] | None:
    """Start and end of a single range; None for what is to be answered with the whole: several,
    another unit, nonsense. Raises InvalidRange when none of it exists."""
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if match is None or match[1] == match[2] == "":
        return None
    if not match[1]:
        count = min(int(match[2]), size)
        start, end = size - count, size
    else:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or start >= end:
        raise S3Error(
            "InvalidRange",
            fields={"RangeRequested": text, "ActualObjectSize": str(size)},
            headers=(("Content-Range", f"bytes */{size}"),),
        )
    return start, end


def get_object(ask: Ask) -> None:
    """GetObject and HeadObject."""
    info = found(ask)
    check_read(ask.headers, info)
    span = wanted(ask, info)
    kind, headers = describe(ask, info, part=span is not None)
    start, end = span or (0, info.size)
    status = 200
    if span is not None and (info.size or "range" in ask.headers):
        status = 206
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{info.size}"))
    response = ask.response
    if ask.request.method == "HEAD" or start == end:
        response.begin(status, kind, end - start, headers)
        response.end()
        return
    pieces = ask.objects.read(info, start, end - start)
    try:
        # The first is taken before anything is said: damage found then is an error, not a cut.
        first = next(pieces)
        response.begin(status, kind, end - start, headers)
        _send(first, response)
        for piece in pieces:
            _send(piece, response)
    finally:
        if close := getattr(pieces, "close", None):
            close()
    response.end()


def _send(piece: bytes | FileSlice, response: Response) -> None:
    if not isinstance(piece, FileSlice):
        response.write(piece)
        return
    try:
        response.write_file(piece.fd, piece.offset, piece.length)
    finally:
        piece.close()


_ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")


def get_attributes(ask: Ask) -> None:
    """GetObjectAttributes."""
    info = found(ask)
    names = [n.strip() for n in ask.headers.get("x-amz-object-attributes", "").split(",")]
    if not all(name in _ATTRIBUTES for name in names):
        raise S3Error("InvalidArgument", f"x-amz-object-attributes are {', '.join(_ATTRIBUTES)}.")
    check_read(ask.headers, info)
    inner = ""
    attributes = info.attributes
    if "ETag" in names:
        inner += tag("ETag", info.etag)
    if "Checksum" in names and attributes.checksums:
        inner += f"<Checksum>{checksums_xml(attributes.checksums, attributes.checksum_type)}"
        inner += "</Checksum>"
    if "ObjectParts" in names and attributes.parts:
        inner += _parts_xml(ask, info)
    if "StorageClass" in names:
        inner += tag("StorageClass", "STANDARD")
    if "ObjectSize" in names:
        inner += tag("ObjectSize", info.size)
    headers = [("Last-Modified", http(info.modified)), ("x-amz-version-id", info.version)]
    ask.send(200, headers, document("GetObjectAttributesResponse", inner), XML)


def checksums_xml(checksums: Mapping[str, str], kind: str = "") -> str:
    """The elements of checksums by algorithm."""
    inner = "".join(tag(f"Checksum{NAMES[name]}", value) for name, value in checksums.items())
    return inner + (tag("ChecksumType", kind) if inner and kind else "")


def _parts_xml(ask: Ask, info: ObjectInfo) -> str:
    after = number_of(ask.headers.get("x-amz-part-number-marker", "0"), "part-number-marker")
    most = number_of(ask.headers.get("x-amz-max-parts", "1000"), "max-parts")
    parts = [part for part in info.attributes.parts if part.number > after]
    page = parts[: min(most, 1000)]
    inner = tag("PartsCount", len(info.attributes.parts)) + tag("PartNumberMarker", after)
    inner += tag("NextPartNumberMarker", page[-1].number if page else 0)
    inner += tag("MaxParts", most) + tag("IsTruncated", str(len(page) < len(parts)).lower())
    inner += "".join(
        f"<Part>{checksums_xml(p.checksums)}{tag('PartNumber', p.number)}"
        f"{tag('Size', p.size)}</Part>"
        for p in page
    )
    return f"<ObjectParts>{inner}</ObjectParts>"


def number_of(text: str, name: str) -> int:
    """A count of a query or header, 0 or more. Raises InvalidArgument."""
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > 0x7FFFFFFF:
        raise S3Error(
            "InvalidArgument",
            f"{name} must be a number from 0 to 2147483647.",
            fields={"ArgumentName": name, "ArgumentValue": text[:80]},
        )
    return int(text)


def pieces_of(ask: Ask, info: ObjectInfo) -> Iterator[bytes]:
    """The object's bytes, read by this process."""
    import os

    for piece in ask.objects.read(info):
        if not isinstance(piece, FileSlice):
            yield piece
            continue
        try:
            at, end = piece.offset, piece.offset + piece.length
            while at < end:
                data = os.pread(piece.fd, min(1 << 20, end - at), at)
                if not data:
                    raise InvalidArgument("a stored file is shorter than it was")
                at += len(data)
                yield data
        finally:
            piece.close()


OPERATIONS = {
    "GetObject": get_object,
    "GetObjectAttributes": get_attributes,
    "HeadObject": get_object,
}
