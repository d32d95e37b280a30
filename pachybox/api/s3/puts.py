"""PutObject, and what every way of making an object has in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pachybox.api.s3.absent import refuse_headers
from pachybox.api.s3.checksums import FULL
from pachybox.api.s3.conditions import of_write
from pachybox.api.s3.context import Ask, Header
from pachybox.api.s3.errors import S3Error
from pachybox.api.s3.objects import checksum_headers
from pachybox.api.s3.payload import Payload
from pachybox.pfs.object_types import (
    Attributes,
    Condition,
    InvalidKey,
    NoSuchKey,
    ObjectInfo,
    Stored,
)
from pachybox.pfs.objects import SHORT, Intake, short_put
from pachybox.store.intake import digests_of

MOST_BYTES = 5 << 40
"""Of an object. Amazon's bound is 5 GiB a PUT; here only the disk bounds it, and nonsense."""

_MOST_METADATA = 8 << 10
_KEPT = ("cache-control", "content-disposition", "content-language", "expires")
_META = "x-amz-meta-"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def put_object(ask: Ask) -> None:
    """PutObject: nothing is stored unless all that was said of the body holds. A short body is
    left to be written with others that came (``ask.write``), and answered by ``answer_put``."""
    bucket = ask.bucket()
    refuse_headers(ask)
    condition = of_write(ask.headers)
    payload = ask.payload()
    payload.need_length()
    described = attributes_of(ask.headers)
    if condition is not None:
        refuse_early(ask, condition)
    if payload.length is not None and payload.length <= SHORT:
        data = payload.read_known(payload.length)
        digests = digests_of(data, payload.wanted)
        checksums = payload.verify(digests, len(data))
        described = finished(described, digests, checksums)
        ask.write = bucket, short_put(ask.key, data, described, condition)
    else:
        with ask.objects.intake(payload.wanted) as intake:
            stored = receive(payload, intake)
            checksums = payload.verify(stored.digests, stored.size)
            described = finished(described, stored.digests, checksums)
            _answer(ask, ask.objects.put(bucket, ask.key, stored, described, condition))


def answer_put(ask: Ask) -> None:
    """Answer when ``ask.write`` was made. Raises what refused it."""
    assert ask.write is not None
    _, op = ask.write
    if op.error is not None:
        raise op.error
    assert op.info is not None
    _answer(ask, op.info)


def _answer(ask: Ask, info: ObjectInfo) -> None:
    ask.send(200, [("ETag", f'"{info.etag}"'), *version(info), *checksum_headers(info)])


def refuse_early(ask: Ask, condition: Condition) -> None:
    """Judge the object as it is now, so that a body is not sent in vain. What counts is the
    judgement at the commit."""
    try:
        present = ask.objects.get(ask.bucket(), ask.key)
    except (NoSuchKey, InvalidKey):
        condition(None)
    else:
        condition(present)


def receive(payload: Payload, intake: Intake, limit: int = MOST_BYTES) -> Stored:
    """Take the whole body in. Raises EntityTooLarge past ``limit``, IncompleteBody, Gone."""
    length = payload.length
    if length is not None and length > limit:
        raise S3Error("EntityTooLarge")
    stored = receive_from(payload.readinto, intake, limit)
    if length is not None and stored.size != length:
        raise S3Error("IncompleteBody")
    return stored


def receive_from(source: Callable[[memoryview], int], intake: Intake, limit: int) -> Stored:
    """Take in all that ``source`` gives. Raises EntityTooLarge past ``limit``."""
    while n := source(intake.room()):
        intake.came(n)
        if intake.size > limit:
            raise S3Error("EntityTooLarge")
    return intake.finish()


def finished(
    described: Attributes, digests: Mapping[str, bytes], checksums: Mapping[str, str]
) -> Attributes:
    """The attributes of what was received, its digests with them."""
    return Attributes(
        digests["md5"].hex(),
        described.content_type,
        described.headers,
        described.metadata,
        checksums,
        FULL if checksums else "",
    )


def version(info: ObjectInfo) -> list[Header]:
    """The header of the version made."""
    return [("x-amz-version-id", info.version)] if info.version else []


def attributes_of(headers: Mapping[str, str]) -> Attributes:
    """What headers say of the object they make. Raises MetadataTooLarge, and InvalidArgument for
    a name that is no header's (from a form or a presigned address)."""
    kept: dict[str, str] = {}
    metadata: dict[str, str] = {}
    for name, value in headers.items():
        if name.startswith(_META):
            if not _TOKEN.fullmatch(name):
                raise S3Error("InvalidArgument", "The name of a metadata header is malformed.")
            metadata[name[len(_META) :]] = value
        elif name in _KEPT:
            kept[name] = value
        elif name == "content-encoding":
            codings = [c.strip() for c in value.split(",")]
            if rest := [c for c in codings if c.lower() != "aws-chunked" and c]:
                kept[name] = ", ".join(rest)
    if metadata and sum(len(k) + len(v) for k, v in metadata.items()) > _MOST_METADATA:
        raise S3Error("MetadataTooLarge")
    return Attributes("", headers.get("content-type", ""), kept, metadata)


OPERATIONS = {"PutObject": put_object}
