"""Operations on buckets."""

from __future__ import annotations

import re

from pachybox.api.access.principal import Role
from pachybox.api.s3.absent import owner_xml, refuse_headers
from pachybox.api.s3.context import Ask
from pachybox.api.s3.errors import S3Error
from pachybox.api.s3.times import iso
from pachybox.api.s3.xml import MOST_BYTES, MalformedXML, Node, document, parse, tag

REGION = "PACHYDERM"


def read_xml(ask: Ask, root: str, *, summed: bool = True) -> Node:
    """The document of the request's body. Raises MalformedXML, also for another root.

    ``summed``: see Payload.
    """
    try:
        found = parse(ask.payload(summed=summed).read_all(MOST_BYTES))
    except MalformedXML as e:
        raise S3Error("MalformedXML", f"The XML cannot be read: {e}.") from None
    if found.name != root:
        raise S3Error("MalformedXML", f"The document must be {root}.")
    return found


def list_buckets(ask: Ask) -> None:
    """ListBuckets, with prefix, max-buckets and continuation-token."""
    found = sorted(filter(ask.sees, ask.objects.buckets()), key=lambda bucket: bucket.name)
    prefix = ask.query.get("prefix", "")
    after = ask.query.get("continuation-token", "")
    text = ask.query.get("max-buckets", "10000")
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 10_000:
        raise S3Error("InvalidArgument", "max-buckets must be 1 to 10000.")
    names = [b for b in found if b.name.startswith(prefix) and b.name > after]
    page = names[: int(text)]
    inner = "".join(
        f"<Bucket>{tag('Name', b.name)}{tag('CreationDate', iso(b.created))}"
        f"{tag('BucketRegion', REGION)}</Bucket>"
        for b in page
    )
    more = tag("ContinuationToken", page[-1].name) if len(page) < len(names) else ""
    if "prefix" in ask.query:
        more += tag("Prefix", prefix)
    ask.send_xml(
        document("ListAllMyBucketsResult", f"{owner_xml()}<Buckets>{inner}</Buckets>{more}")
    )


def head_bucket(ask: Ask) -> None:
    """HeadBucket."""
    ask.bucket()
    ask.send(200, [("x-amz-bucket-region", REGION)])


def create_bucket(ask: Ask) -> None:
    """CreateBucket: a branch, and its repo. The location asked for may be any: there is one."""
    refuse_headers(ask)
    data = ask.payload().read_all(MOST_BYTES)
    if data.strip():
        try:
            root = parse(data)
        except MalformedXML as e:
            raise S3Error("MalformedXML", f"The XML cannot be read: {e}.") from None
        if root.name != "CreateBucketConfiguration":
            raise S3Error("MalformedXML", "The document must be CreateBucketConfiguration.")
    ask.require(ask.bucket_name, Role.WRITER)
    ask.objects.create_bucket(ask.bucket_name)
    ask.send(200, [("Location", f"/{ask.bucket_name}")])


def delete_bucket(ask: Ask) -> None:
    """DeleteBucket: an empty one."""
    ask.objects.delete_bucket(ask.bucket())
    ask.send(204)


def get_location(ask: Ask) -> None:
    """GetBucketLocation."""
    ask.bucket()
    ask.send_xml(document("LocationConstraint", REGION))


def get_versioning(ask: Ask) -> None:
    """GetBucketVersioning: commits are versions, but in the output of a job."""
    status = tag("Status", "Enabled") if ask.objects.versioned(ask.bucket()) else ""
    ask.send_xml(document("VersioningConfiguration", status))


def put_versioning(ask: Ask) -> None:
    """PutBucketVersioning: only what is so already."""
    ask.bucket()
    root = read_xml(ask, "VersioningConfiguration")
    status = root.word("Status")
    if status not in ("Enabled", "Suspended") or root.word("MfaDelete") not in ("", "Disabled"):
        raise S3Error("IllegalVersioningConfigurationException")
    if status != "Enabled":
        raise S3Error("NotImplemented", "Versioning cannot be suspended: commits are versions.")
    ask.send(200)


OPERATIONS = {
    "CreateBucket": create_bucket,
    "DeleteBucket": delete_bucket,
    "GetBucketLocation": get_location,
    "GetBucketVersioning": get_versioning,
    "HeadBucket": head_bucket,
    "ListBuckets": list_buckets,
    "PutBucketVersioning": put_versioning,
}
