"""Conditional requests: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from pachybox.api.s3.errors import NotModified, S3Error
from pachybox.api.s3.times import http, parse_http
from pachybox.pfs.object_types import Condition, ObjectInfo

_READS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def matches(header: str, etag: str) -> bool:
    """Whether one of the entity tags in ``header`` is ``etag``, or it is ``*``. Quotes may lack."""
    for part in header.split(","):
        said = part.strip().removeprefix("W/").strip('"')
        if said in (etag, "*"):
            return True
    return False


def _whole_second(when: datetime) -> datetime:
    return when.replace(microsecond=0)


def _failed(name: str) -> S3Error:
    return S3Error("PreconditionFailed", fields={"Condition": name})


def check_read(headers: Mapping[str, str], info: ObjectInfo) -> None:
    """Judge a GET or HEAD of ``info``. Raises PreconditionFailed, NotModified."""
    if not any(name in headers for name in _READS):
        return
    try:
        _check(headers, info, "")
    except S3Error as e:
        if e.fields["Condition"] in ("If-None-Match", "If-Modified-Since"):
            raise NotModified(
                [("ETag", f'"{info.etag}"'), ("Last-Modified", http(info.modified))]
            ) from None
        raise


def check_source(headers: Mapping[str, str], info: ObjectInfo) -> None:
    """Judge the source of a copy by ``x-amz-copy-source-if-*``. Raises PreconditionFailed."""
    _check(headers, info, "x-amz-copy-source-")


def _check(headers: Mapping[str, str], info: ObjectInfo, prefix: str) -> None:
    """The order is RFC 9110's: a tag that was compared makes the time of its kind moot."""
    modified = _whole_second(info.modified)
    if (tags := headers.get(f"{prefix}if-match")) is not None:
        if not matches(tags, info.etag):
            raise _failed("If-Match")
    elif (text := headers.get(f"{prefix}if-unmodified-since")) is not None:
        since = parse_http(text)
        if since is not None and modified > since:
            raise _failed("If-Unmodified-Since")
    if (tags := headers.get(f"{prefix}if-none-match")) is not None:
        if matches(tags, info.etag):
            raise _failed("If-None-Match")
    elif (text := headers.get(f"{prefix}if-modified-since")) is not None:
        since = parse_http(text)
        if since is not None and modified <= since:
            raise _failed("If-Modified-Since")


def of_write(headers: Mapping[str, str]) -> Condition | None:
    """What a PUT, a copy or a completion demands of the object that is there; None = nothing."""
    match, none = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none is None:
        return None

    def judge(present: ObjectInfo | None) -> None:
        if match is not None:
            if present is None:
                raise S3Error("NoSuchKey")
            if not matches(match, present.etag):
                raise _failed("If-Match")
        if none is not None and present is not None and matches(none, present.etag):
            raise _failed("If-None-Match")

    return judge


def of_delete(headers: Mapping[str, str]) -> Condition | None:
    """What a DELETE demands of the object that is there; None = nothing."""
    match = headers.get("if-match")
    modified = headers.get("x-amz-if-match-last-modified-time")
    size = headers.get("x-amz-if-match-size")
    if match is None and modified is None and size is None:
        return None
    return delete_condition(match, modified, size)


def delete_condition(match: str | None, modified: str | None, size: str | None) -> Condition:
    """A condition on what is to be deleted; what is not there is deleted already."""
    when = None
    if modified is not None:
        when = parse_http(modified)
        if when is None:
            raise S3Error("InvalidArgument", "The time of the condition is not valid.")

    def judge(present: ObjectInfo | None) -> None:
        if present is None:
            return
        if match is not None and not matches(match, present.etag):
            raise _failed("If-Match")
        if when is not None and abs(present.modified - when) >= timedelta(seconds=1):
            raise _failed("x-amz-if-match-last-modified-time")
        if size is not None and size.strip() != str(present.size):
            raise _failed("x-amz-if-match-size")

    return judge
