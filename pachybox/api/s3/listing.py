"""Lists of objects and of their versions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from urllib.parse import quote

from pachybox.api.s3.absent import owner_xml
from pachybox.api.s3.checksums import NAMES
from pachybox.api.s3.context import Ask
from pachybox.api.s3.errors import S3Error
from pachybox.api.s3.objects import number_of
from pachybox.api.s3.times import iso
from pachybox.api.s3.xml import document, escape, holds, tag
from pachybox.pfs.object_types import ObjectInfo, Page

_MOST = 1000


def encoder(ask: Ask) -> Callable[[str], str]:
    """How keys are written: plain, or percent-encoded for ``encoding-type=url``."""
    kind = ask.query.get("encoding-type")
    if kind is None or kind == "":
        return escape
    if kind != "url":
        raise S3Error("InvalidArgument", "encoding-type must be url.")
    return lambda key: quote(key, safe="/")


def max_of(ask: Ask, name: str = "max-keys") -> int:
    """How many entries are asked for: as many as Amazon gives when it is not said."""
    text = ask.query.get(name, "")
    return number_of(text, name) if text else _MOST


def _common(ask: Ask, show: Callable[[str], str], most: int, names: Iterable[str]) -> str:
    """The elements that say the question back."""
    inner = tag("Name", ask.bucket_name)
    for name in names:
        value = ask.query.get(name, "")
        if name == "prefix" and ask.operation == "ListObjects" and holds(value):
            # Clients undo the coding of all but this, whatever Amazon's pages say.
            inner += tag("Prefix", value)
        elif value or name in ("prefix", "marker", "key-marker"):
            element = "".join(part.capitalize() for part in name.split("-"))
            inner += f"<{element}>{show(value)}</{element}>"
    inner += tag("MaxKeys", most)
    if ask.query.get("encoding-type"):
        inner += tag("EncodingType", "url")
    return inner


def _entries(page: Page, show: Callable[[str], str], *, owner: bool) -> str:
    parts = [_object_xml(info, show, owner) for info in page.objects]
    parts += [f"<CommonPrefixes><Prefix>{show(p)}</Prefix></CommonPrefixes>" for p in page.prefixes]
    return "".join(parts)


def _object_xml(info: ObjectInfo, show: Callable[[str], str], owner: bool) -> str:
    checksums = info.attributes.checksums
    summed = "".join(f"<ChecksumAlgorithm>{NAMES[name]}</ChecksumAlgorithm>" for name in checksums)
    if summed and info.attributes.checksum_type:
        summed += f"<ChecksumType>{info.attributes.checksum_type}</ChecksumType>"
    return (
        f"<Contents><Key>{show(info.key)}</Key><LastModified>{iso(info.modified)}</LastModified>"
        f"<ETag>&quot;{info.etag}&quot;</ETag>{summed}<Size>{info.size}</Size>"
        f"{owner_xml() if owner else ''}<StorageClass>STANDARD</StorageClass></Contents>"
    )


def list_objects(ask: Ask) -> None:
    """ListObjects, the first version of it."""
    bucket, query = ask.bucket(), ask.query
    most, show = max_of(ask), encoder(ask)
    page = ask.objects.list(
        bucket, query.get("prefix", ""), query.get("delimiter", ""), query.get("marker", ""),
        min(most, _MOST),
    ) if most else _NOTHING  # fmt: skip
    inner = _common(ask, show, min(most, _MOST), ("prefix", "marker", "delimiter"))
    inner += tag("IsTruncated", str(page.truncated).lower())
    if page.truncated:
        inner += f"<NextMarker>{show(page.next)}</NextMarker>"
    ask.send_xml(document("ListBucketResult", inner + _entries(page, show, owner=True)))


_NOTHING = Page([], [], False, "")


def list_objects_v2(ask: Ask) -> None:
    """ListObjectsV2."""
    if ask.query["list-type"] != "2":
        raise S3Error("InvalidArgument", "list-type must be 2.")
    bucket, query = ask.bucket(), ask.query
    most, show = max_of(ask), encoder(ask)
    after, token = query.get("start-after", ""), query.get("continuation-token")
    if token is not None:
        after = _read_token(token)
    page = ask.objects.list(
        bucket, query.get("prefix", ""), query.get("delimiter", ""), after, min(most, _MOST)
    ) if most else _NOTHING  # fmt: skip
    inner = _common(ask, show, min(most, _MOST), ("prefix", "start-after", "delimiter"))
    if token is not None:
        inner += tag("ContinuationToken", token)
    inner += tag("KeyCount", len(page.objects) + len(page.prefixes))
    inner += tag("IsTruncated", str(page.truncated).lower())
    if page.truncated:
        inner += tag("NextContinuationToken", _token(page.next))
    owner = query.get("fetch-owner", "").lower() == "true"
    ask.send_xml(document("ListBucketResult", inner + _entries(page, show, owner=owner)))


def _token(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode()).decode()


def _read_token(token: str) -> str:
    try:
        return base64.b64decode(token.encode(), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        pass
    raise S3Error("InvalidArgument", "The continuation token provided is incorrect.")


def list_versions(ask: Ask) -> None:
    """ListObjectVersions: each commit that changed an object is a version of it."""
    bucket, query = ask.bucket(), ask.query
    most, show = max_of(ask), encoder(ask)
    if query.get("version-id-marker") and not query.get("key-marker"):
        raise S3Error(
            "InvalidArgument", "A version-id marker cannot be specified without a key marker."
        )
    names = ("prefix", "key-marker", "version-id-marker", "delimiter")
    inner = _common(ask, show, min(most, _MOST), names)
    if not most:
        ask.send_xml(document("ListVersionsResult", inner + tag("IsTruncated", "false")))
        return
    page = ask.objects.versions(
        bucket, query.get("prefix", ""), query.get("delimiter", ""), query.get("key-marker", ""),
        query.get("version-id-marker", ""), min(most, _MOST),
    )  # fmt: skip
    inner += tag("IsTruncated", str(page.truncated).lower())
    if page.truncated:
        inner += f"<NextKeyMarker>{show(page.next_key)}</NextKeyMarker>"
        if page.next_version:
            inner += tag("NextVersionIdMarker", page.next_version)
    inner += "".join(_version_xml(info, show) for info in page.versions)
    inner += "".join(
        f"<CommonPrefixes><Prefix>{show(p)}</Prefix></CommonPrefixes>" for p in page.prefixes
    )
    ask.send_xml(document("ListVersionsResult", inner))


def _version_xml(info: ObjectInfo, show: Callable[[str], str]) -> str:
    inner = f"<Key>{show(info.key)}</Key>" + tag("VersionId", info.version)
    inner += tag("IsLatest", str(info.latest).lower()) + tag("LastModified", iso(info.modified))
    if info.deleted:
        return f"<DeleteMarker>{inner}{owner_xml()}</DeleteMarker>"
    inner += f"<ETag>&quot;{info.etag}&quot;</ETag>" + tag("Size", info.size)
    return f"<Version>{inner}{owner_xml()}{tag('StorageClass', 'STANDARD')}</Version>"


OPERATIONS = {
    "ListObjectVersions": list_versions,
    "ListObjects": list_objects,
    "ListObjectsV2": list_objects_v2,
}
