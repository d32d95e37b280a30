"""DeleteObject and DeleteObjects. What is deleted stays in the commits before."""

from __future__ import annotations

from pachybox.api.s3.buckets import read_xml
from pachybox.api.s3.conditions import delete_condition, of_delete
from pachybox.api.s3.context import Ask, Header
from pachybox.api.s3.errors import S3Error, as_s3_error
from pachybox.api.s3.xml import Node, document, tag
from pachybox.errors import PachyboxError
from pachybox.pfs.object_types import (
    Bucket,
    Condition,
    Deleted,
    InvalidKey,
    NoSuchKey,
    NoSuchVersion,
    ObjectInfo,
    path_of,
)

_MOST_KEYS = 1000


def delete_object(ask: Ask) -> None:
    """DeleteObject: no error when it is not there."""
    bucket = ask.bucket()
    version = ask.query.get("versionId", "")
    if version:
        _check_version(ask, bucket, ask.key, version)
    condition = of_delete(ask.headers)
    headers: list[Header] = []
    if _possible(ask.key):
        (done,) = ask.objects.delete(bucket, [ask.key], condition)
        if done.error is not None:
            raise done.error
        if done.version:
            headers = [("x-amz-delete-marker", "true"), ("x-amz-version-id", done.version)]
    ask.send(204, headers)


def _possible(key: str) -> bool:
    """Whether an object can have the key: else it is deleted already."""
    try:
        path_of(key)
    except InvalidKey:
        return False
    return True


def _check_version(ask: Ask, bucket: Bucket, key: str, version: str) -> None:
    """Let the newest version be deleted by its name, which leaves it in history like any.

    Raises NotImplemented for an older one: commits do not change.
    """
    try:
        newest = ask.objects.get(bucket, key)
        if newest.version == version:
            return
    except (NoSuchKey, InvalidKey):
        pass
    try:
        ask.objects.get(bucket, key, version)
    except (NoSuchVersion, InvalidKey) as e:
        if isinstance(e, InvalidKey):
            return
        raise
    except NoSuchKey:
        pass  # a delete marker, or nothing
    raise S3Error(
        "NotImplemented", "Older versions cannot be deleted one by one: commits do not change."
    )


def delete_objects(ask: Ask) -> None:
    """DeleteObjects: up to 1,000 keys in one commit."""
    bucket = ask.bucket()
    headers = ask.headers
    said = any(n.startswith(("x-amz-checksum-", "x-amz-trailer")) for n in headers)
    if not said and "content-md5" not in headers and "x-amz-content-sha256" not in headers:
        raise S3Error("InvalidRequest", "Missing required header for this request: Content-MD5.")
    root = read_xml(ask, "Delete")
    nodes = list(root.all("Object"))
    if not 1 <= len(nodes) <= _MOST_KEYS:
        raise S3Error("MalformedXML", "A Delete has 1 to 1000 objects.")
    quiet = root.word("Quiet").lower() == "true"
    results = _delete_all(ask, bucket, nodes)
    inner = "".join(_result_xml(done, quiet) for done in results)
    ask.send_xml(document("DeleteResult", inner))


def _delete_all(ask: Ask, bucket: Bucket, nodes: list[Node]) -> list[Deleted]:
    conditions: dict[str, Condition] = {}
    results: list[Deleted] = []
    keys: dict[str, None] = {}
    for node in nodes:
        key = node.get("Key")
        if not key:
            raise S3Error("MalformedXML", "An Object has a Key.")
        match, modified = node.get("ETag"), node.get("LastModifiedTime")
        size, version = node.get("Size"), node.word("VersionId")
        if match is not None or modified is not None or size is not None:
            conditions[key] = delete_condition(match, modified, size)
        try:
            if version and version != "null":
                _check_version(ask, bucket, key, version)
        except (S3Error, PachyboxError) as e:
            results.append(Deleted(key, error=e))
            continue
        if _possible(key):
            keys[key] = None
        else:
            results.append(Deleted(key))

    def judge(present: ObjectInfo | None) -> None:
        if present is not None and present.key in conditions:
            conditions[present.key](present)

    if keys:
        results += ask.objects.delete(bucket, list(keys), judge if conditions else None)
    return results


def _result_xml(done: Deleted, quiet: bool) -> str:
    key = tag("Key", done.key)
    if done.error is not None:
        error = as_s3_error(done.error, "DeleteObjects")
        return f"<Error>{key}{tag('Code', error.code)}{tag('Message', error.message)}</Error>"
    if quiet:
        return ""
    if done.version:
        key += tag("DeleteMarker", "true") + tag("DeleteMarkerVersionId", done.version)
    return f"<Deleted>{key}</Deleted>"


OPERATIONS = {"DeleteObject": delete_object, "DeleteObjects": delete_objects}
