"""What a bucket or an object can have in S3 and has not here.

Asked for, it answers as the empty configuration does, since that is the truth; taken away, it is
gone already; set, it is refused by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pachybox.api.s3.errors import S3Error
from pachybox.api.s3.xml import document, tag

if TYPE_CHECKING:
    from pachybox.api.s3.context import Ask

OWNER = "0" * 32
OWNER_NAME = "pachyderm"

_MISSING = {
    "GetBucketCors": "NoSuchCORSConfiguration",
    "GetBucketEncryption": "ServerSideEncryptionConfigurationNotFoundError",
    "GetBucketLifecycleConfiguration": "NoSuchLifecycleConfiguration",
    "GetBucketOwnershipControls": "OwnershipControlsNotFoundError",
    "GetBucketPolicy": "NoSuchBucketPolicy",
    "GetBucketPolicyStatus": "NoSuchBucketPolicy",
    "GetBucketReplication": "ReplicationConfigurationNotFoundError",
    "GetBucketTagging": "NoSuchTagSet",
    "GetBucketWebsite": "NoSuchWebsiteConfiguration",
    "GetObjectLegalHold": "NoSuchObjectLockConfiguration",
    "GetObjectLockConfiguration": "ObjectLockConfigurationNotFoundError",
    "GetObjectRetention": "NoSuchObjectLockConfiguration",
    "GetPublicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
}
_EMPTY = {
    "GetBucketAccelerateConfiguration": ("AccelerateConfiguration", ""),
    "GetBucketLogging": ("BucketLoggingStatus", ""),
    "GetBucketNotificationConfiguration": ("NotificationConfiguration", ""),
    "GetBucketRequestPayment": ("RequestPaymentConfiguration", tag("Payer", "BucketOwner")),
    "GetObjectTagging": ("Tagging", "<TagSet></TagSet>"),
}
_LISTS = {
    "GetBucketAnalyticsConfiguration": "ListBucketAnalyticsConfigurationResult",
    "GetBucketIntelligentTieringConfiguration": "ListBucketIntelligentTieringConfigurationsOutput",
    "GetBucketInventoryConfiguration": "ListInventoryConfigurationsResult",
    "GetBucketMetricsConfiguration": "ListMetricsConfigurationsResult",
}
_GONE = frozenset(
    ("DeleteBucketCors", "DeleteBucketEncryption", "DeleteBucketLifecycle", "DeleteBucketPolicy",
     "DeleteBucketOwnershipControls", "DeleteBucketReplication", "DeleteBucketTagging",
     "DeleteBucketWebsite", "DeletePublicAccessBlock", "DeleteObjectTagging")
)  # fmt: skip
_CONFIGURATIONS = {
    "analytics": "BucketAnalyticsConfiguration",
    "intelligent-tiering": "BucketIntelligentTieringConfiguration",
    "inventory": "BucketInventoryConfiguration",
    "metrics": "BucketMetricsConfiguration",
}
_BUCKET_PARTS = {
    "accelerate": "BucketAccelerateConfiguration",
    "acl": "BucketAcl",
    "cors": "BucketCors",
    "encryption": "BucketEncryption",
    "lifecycle": "BucketLifecycleConfiguration",
    "logging": "BucketLogging",
    "notification": "BucketNotificationConfiguration",
    "object-lock": "ObjectLockConfiguration",
    "ownershipControls": "BucketOwnershipControls",
    "policy": "BucketPolicy",
    "policyStatus": "BucketPolicyStatus",
    "publicAccessBlock": "PublicAccessBlock",
    "replication": "BucketReplication",
    "requestPayment": "BucketRequestPayment",
    "tagging": "BucketTagging",
    "website": "BucketWebsite",
    **_CONFIGURATIONS,
}
_OBJECT_PARTS = {
    "acl": "ObjectAcl",
    "legal-hold": "ObjectLegalHold",
    "retention": "ObjectRetention",
    "tagging": "ObjectTagging",
}
_TAKEN_AWAY = (
    "cors", "encryption", "lifecycle", "ownershipControls", "policy", "publicAccessBlock",
    "replication", "tagging", "website", *_CONFIGURATIONS,
)  # fmt: skip

BUCKET: dict[str, dict[str, str]] = {
    "GET": {
        **{part: f"Get{name}" for part, name in _BUCKET_PARTS.items()},
        "metadataConfiguration": "GetBucketMetadataConfiguration",
        "metadataTable": "GetBucketMetadataTableConfiguration",
        "session": "CreateSession",
    },
    "HEAD": {},
    "PUT": {part: f"Put{name}" for part, name in _BUCKET_PARTS.items() if part != "policyStatus"},
    "DELETE": {
        part: f"Delete{_BUCKET_PARTS[part].replace('LifecycleConfiguration', 'Lifecycle')}"
        for part in _TAKEN_AWAY
    },
    "POST": {
        "metadataConfiguration": "CreateBucketMetadataConfiguration",
        "metadataTable": "CreateBucketMetadataTableConfiguration",
    },
}
"""Operations on buckets by method and part of the query."""

OBJECT: dict[str, dict[str, str]] = {
    "GET": {
        **{part: f"Get{name}" for part, name in _OBJECT_PARTS.items()},
        "torrent": "GetObjectTorrent",
    },
    "HEAD": {},
    "PUT": {
        **{part: f"Put{name}" for part, name in _OBJECT_PARTS.items()},
        "encryption": "UpdateObjectEncryption",
        "renameObject": "RenameObject",
    },
    "DELETE": {"tagging": "DeleteObjectTagging"},
    "POST": {"restore": "RestoreObject", "select": "SelectObjectContent"},
}
"""Operations on objects by method and part of the query."""

NAMES = frozenset(
    name for table in (BUCKET, OBJECT) for names in table.values() for name in names.values()
)


def answer(ask: Ask) -> None:
    """Answer an operation of NAMES."""
    name = ask.operation
    bucket = ask.bucket()
    if ask.key and name.startswith("Get"):
        ask.objects.get(bucket, ask.key, ask.query.get("versionId", ""))
    if code := _MISSING.get(name):
        raise S3Error(code)
    if name in _EMPTY:
        ask.send_xml(document(*_EMPTY[name]))
    elif name in ("GetBucketAcl", "GetObjectAcl"):
        ask.send_xml(_acl())
    elif name in _LISTS:
        if "id" in ask.query:
            raise S3Error("NoSuchConfiguration")
        ask.send_xml(document(_LISTS[name], tag("IsTruncated", "false")))
    elif name in _GONE:
        ask.send(204)
    elif name in ("PutBucketAcl", "PutObjectAcl") and "x-amz-acl" in ask.headers:
        refuse_headers(ask)
        ask.send(200)
    else:
        raise S3Error("NotImplemented", f"{name} is not built in this version of pachybox.")


def owner_xml(element: str = "Owner") -> str:
    """The one owner there is."""
    return f"<{element}>{tag('ID', OWNER)}{tag('DisplayName', OWNER_NAME)}</{element}>"


def _acl() -> bytes:
    grantee = (
        '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:type="CanonicalUser">{tag("ID", OWNER)}{tag("DisplayName", OWNER_NAME)}</Grantee>'
    )
    grant = f"<Grant>{grantee}{tag('Permission', 'FULL_CONTROL')}</Grant>"
    return document(
        "AccessControlPolicy", f"{owner_xml()}<AccessControlList>{grant}</AccessControlList>"
    )


_PRIVATE = ("private", "bucket-owner-full-control", "bucket-owner-read")
_PUBLIC = ("public-read", "public-read-write", "authenticated-read", "aws-exec-read",
           "log-delivery-write")  # fmt: skip
_REFUSED_HEADERS = {
    "x-amz-server-side-encryption": "server-side encryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "server-side encryption",
    "x-amz-server-side-encryption-context": "server-side encryption",
    "x-amz-server-side-encryption-customer-algorithm": "encryption with a customer's key",
    "x-amz-server-side-encryption-customer-key": "encryption with a customer's key",
    "x-amz-copy-source-server-side-encryption-customer-algorithm":
        "encryption with a customer's key",
    "x-amz-tagging": "tags of objects",
    "x-amz-object-lock-mode": "object lock",
    "x-amz-object-lock-retain-until-date": "object lock",
    "x-amz-object-lock-legal-hold": "object lock",
    "x-amz-bucket-object-lock-enabled": "object lock",
    "x-amz-website-redirect-location": "redirects of websites",
    "x-amz-write-offset-bytes": "appending to objects",
    "x-amz-grant-full-control": "grants",
    "x-amz-grant-read": "grants",
    "x-amz-grant-read-acp": "grants",
    "x-amz-grant-write": "grants",
    "x-amz-grant-write-acp": "grants",
}  # fmt: skip
_HARMLESS = {"x-amz-tagging": "", "x-amz-object-lock-legal-hold": "OFF",
             "x-amz-bucket-object-lock-enabled": "false"}  # fmt: skip


def refuse_headers(ask: Ask) -> None:
    """Refuse a write that asks for what would not be done. Raises NotImplemented by name.

    A public ACL is accepted where it is true: where no token is set, everybody on this machine
    reads everything.
    """
    headers = ask.headers
    for name in headers:
        if name.startswith("x-amz-") and (what := _REFUSED_HEADERS.get(name)):
            if headers[name].upper() == _HARMLESS.get(name, "-").upper():
                continue
            raise S3Error(
                "NotImplemented", f"The header {name} asks for {what}, which is not kept here."
            )
    acl = headers.get("x-amz-acl")
    if acl is not None and acl not in _PRIVATE:
        if acl not in _PUBLIC:
            raise S3Error("InvalidArgument", f"{acl[:40]!r} is no canned ACL.")
        if ask.closed:
            raise S3Error("NotImplemented", "Objects cannot be public in a box with a token.")
    kind = headers.get("x-amz-storage-class", "STANDARD")
    if kind != "STANDARD":
        raise S3Error("InvalidStorageClass")
