"""CopyObject, and the source of UploadPartCopy. No bytes move."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote_to_bytes

from pachybox.api.access.principal import Role
from pachybox.api.s3.absent import refuse_headers
from pachybox.api.s3.checksums import FULL, Digests, algorithm, base64_of
from pachybox.api.s3.conditions import check_source, of_write
from pachybox.api.s3.context import Ask
from pachybox.api.s3.errors import S3Error
from pachybox.api.s3.objects import checksums_xml, pieces_of
from pachybox.api.s3.puts import attributes_of, version
from pachybox.api.s3.times import iso
from pachybox.api.s3.xml import document, tag
from pachybox.pfs.object_types import Attributes, Bucket, InvalidKey, ObjectInfo


def source_of(ask: Ask) -> tuple[Bucket, ObjectInfo]:
    """What ``x-amz-copy-source`` names, judged by its conditions.

    Raises InvalidArgument, NoSuchBucket, NoSuchKey, NoSuchVersion, PreconditionFailed.
    """
    text, _, query = ask.headers["x-amz-copy-source"].partition("?versionId=")
    try:
        # As in a query a plus is a space: some clients write it so, and a true one is %2B in all.
        path = unquote_to_bytes(text.replace("+", " ").encode("latin-1")).decode()
        version_id = unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        raise S3Error("InvalidArgument", "x-amz-copy-source is not UTF-8.") from None
    name, _, key = path.removeprefix("/").partition("/")
    if not name or not key:
        raise S3Error("InvalidArgument", "x-amz-copy-source must be /bucket/key.")
    bucket = ask.bucket_named(name, Role.READER)
    try:
        info = ask.objects.get(bucket, key, version_id)
    except InvalidKey:
        raise S3Error("NoSuchKey", fields={"Key": key}) from None
    check_source(ask.headers, info)
    return bucket, info


def copy_object(ask: Ask) -> None:
    """CopyObject, with the source's attributes or (directive REPLACE) the request's."""
    refuse_headers(ask)
    bucket = ask.bucket()
    origin, info = source_of(ask)
    directive = ask.headers.get("x-amz-metadata-directive", "COPY").upper()
    if directive not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", "x-amz-metadata-directive must be COPY or REPLACE.")
    same = (origin.at, info.key) == (bucket.at, ask.key)
    if same and directive == "COPY" and "?versionId=" not in ask.headers["x-amz-copy-source"]:
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself "
            "without changing the object's metadata.",
        )
    attributes: Attributes | None = None
    if directive == "REPLACE":
        given = attributes_of(ask.headers)
        attributes = replace(
            info.attributes,
            content_type=given.content_type,
            headers=given.headers,
            metadata=given.metadata,
        )
    if wanted := ask.headers.get("x-amz-checksum-algorithm"):
        attributes = _summed(ask, info, algorithm(wanted), attributes or info.attributes)
    made = ask.objects.copy(info, bucket, ask.key, attributes, of_write(ask.headers))
    inner = tag("LastModified", iso(made.modified)) + tag("ETag", f'"{made.etag}"')
    inner += checksums_xml(made.attributes.checksums, made.attributes.checksum_type)
    headers = version(made)
    if info.version:
        headers.append(("x-amz-copy-source-version-id", info.version))
    ask.send_xml(document("CopyObjectResult", inner), headers)


def _summed(ask: Ask, info: ObjectInfo, name: str, attributes: Attributes) -> Attributes:
    """The attributes with the checksum asked for, made by reading where it is not known."""
    if name in attributes.checksums and attributes.checksum_type == FULL:
        return attributes
    digests = Digests([name])
    for piece in pieces_of(ask, info):
        digests.update(piece)
    checksums = {name: base64_of(digests.finish()[name])}
    return replace(attributes, checksums=checksums, checksum_type=FULL)


OPERATIONS = {"CopyObject": copy_object}
