"""Errors of S3: a code, a status, and the XML that says so."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pachybox.api.failures import as_error
from pachybox.api.http import Rejected
from pachybox.api.s3.xml import escape
from pachybox.api.transport import TimedOut
from pachybox.errors import (
    AlreadyExists,
    Denied,
    Exhausted,
    InvalidArgument,
    NotFound,
    NotReady,
    PachyboxError,
    Refused,
    Unauthenticated,
    Unimplemented,
)
from pachybox.pfs import object_types as types

CODES: dict[str, tuple[int, str]] = {
    "AccessDenied": (403, "Access denied."),
    "AccessForbidden": (403, "CORS is not enabled for this bucket."),
    "AuthorizationHeaderMalformed": (400, "The authorization header is malformed."),
    "AuthorizationQueryParametersError": (400, "The query's signature is malformed."),
    "BadDigest": (400, "The content does not have the digest that was given with it."),
    "BadRequest": (400, "The request cannot be understood."),
    "BucketAlreadyOwnedByYou": (409, "The bucket exists, and it is yours."),
    "BucketNotEmpty": (409, "The bucket is not empty."),
    "EntityTooLarge": (400, "The object is larger than allowed."),
    "EntityTooSmall": (400, "The object, or a part that is not the last, is too small."),
    "ExpiredToken": (400, "The token has expired."),
    "IllegalVersioningConfigurationException": (400, "The versioning configuration is not valid."),
    "IncompleteBody": (400, "The body is shorter than it was said to be."),
    "InsufficientStorage": (507, "There is no room for the content."),
    "InternalError": (500, "The box failed."),
    "InvalidAccessKeyId": (403, "The access key is not known here."),
    "InvalidArgument": (400, "An argument is not valid."),
    "InvalidBucketName": (400, "The bucket's name is not valid."),
    "InvalidBucketState": (409, "The bucket's state does not allow it."),
    "InvalidDigest": (400, "The digest given is not one."),
    "InvalidFilePath": (400, "The key cannot be a file's path."),
    "InvalidPart": (400, "A part is missing, or has another ETag."),
    "InvalidPartOrder": (400, "The parts must be named in rising order."),
    "InvalidPolicyDocument": (400, "The form's policy is not valid."),
    "InvalidRange": (416, "The object has none of the bytes asked for."),
    "InvalidRequest": (400, "The request is not valid."),
    "InvalidStorageClass": (400, "Only the storage class STANDARD is kept here."),
    "InvalidURI": (400, "The address cannot be read."),
    "KeyTooLongError": (400, "A key may have 1024 bytes."),
    "MalformedPOSTRequest": (400, "The form cannot be read."),
    "MalformedXML": (400, "The XML cannot be read, or is not what belongs here."),
    "MaxMessageLengthExceeded": (400, "The message is too long."),
    "MetadataTooLarge": (400, "The metadata has more than 8 KiB."),
    "MethodNotAllowed": (405, "The method is not for this address."),
    "MissingContentLength": (411, "The header Content-Length is missing."),
    "NoSuchBucket": (404, "There is no such bucket."),
    "NoSuchBucketPolicy": (404, "The bucket has no policy."),
    "NoSuchCORSConfiguration": (404, "The bucket has no CORS configuration."),
    "NoSuchConfiguration": (404, "There is no such configuration."),
    "NoSuchKey": (404, "There is no such key."),
    "NoSuchLifecycleConfiguration": (404, "The bucket has no lifecycle configuration."),
    "NoSuchObjectLockConfiguration": (404, "The object has no lock."),
    "NoSuchPublicAccessBlockConfiguration": (404, "Public access is not configured."),
    "NoSuchTagSet": (404, "There are no tags."),
    "NoSuchUpload": (404, "There is no such upload."),
    "NoSuchVersion": (404, "There is no such version."),
    "NoSuchWebsiteConfiguration": (404, "The bucket has no website configuration."),
    "NotImplemented": (501, "This is not built in this version of pachybox."),
    "ObjectLockConfigurationNotFoundError": (404, "The bucket has no object lock."),
    "OwnershipControlsNotFoundError": (404, "The bucket has no ownership controls."),
    "PreconditionFailed": (412, "A precondition does not hold."),
    "ReplicationConfigurationNotFoundError": (404, "The bucket has no replication."),
    "RequestExpired": (400, "The request has expired."),
    "RequestTimeTooSkewed": (403, "The request's time is too far from the box's."),
    "RequestTimeout": (400, "The body came too slowly."),
    "ServerSideEncryptionConfigurationNotFoundError": (404, "The bucket has no encryption."),
    "ServiceUnavailable": (503, "Not now; try again."),
    "SignatureDoesNotMatch": (403, "The signature is not that of this request."),
    "WriteToOutputBranch": (400, "Only jobs write to this branch."),
    "XAmzContentSHA256Mismatch": (400, "The content does not have the x-amz-content-sha256 given."),
}
"""Every code this door answers with: its status and what it says when there is no more to say."""


class S3Error(Exception):
    """An answer that is an error. ``fields`` are further elements of its XML."""

    def __init__(
        self,
        code: str,
        message: str = "",
        *,
        status: int = 0,
        fields: Mapping[str, str] | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        known, text = CODES[code]
        self.code = code
        self.status = status or known
        self.message = message or text
        self.fields = fields or {}
        self.headers = headers
        super().__init__(f"{code}: {self.message}")


class NotModified(Exception):
    """The answer 304: what the client has is what there is."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        super().__init__()
        self.headers = headers


_KINDS: tuple[tuple[type[PachyboxError], str], ...] = (
    (types.NoSuchBucket, "NoSuchBucket"),
    (types.NoSuchKey, "NoSuchKey"),
    (types.NoSuchVersion, "NoSuchVersion"),
    (types.NoSuchUpload, "NoSuchUpload"),
    (types.BucketExists, "BucketAlreadyOwnedByYou"),
    (types.BucketNotEmpty, "BucketNotEmpty"),
    (types.OutputBranch, "WriteToOutputBranch"),
    (types.ReadOnly, "MethodNotAllowed"),
    (types.InvalidBucketName, "InvalidBucketName"),
    (types.InvalidKey, "InvalidFilePath"),
    (types.InvalidPart, "InvalidPart"),
    (types.InvalidPartOrder, "InvalidPartOrder"),
    (types.EntityTooSmall, "EntityTooSmall"),
    (Unauthenticated, "AccessDenied"),
    (Denied, "AccessDenied"),
    (Unimplemented, "NotImplemented"),
    (Exhausted, "InsufficientStorage"),
    (NotReady, "ServiceUnavailable"),
    (NotFound, "NoSuchBucket"),
    (AlreadyExists, "InvalidBucketState"),
    (Refused, "InvalidBucketState"),
    (InvalidArgument, "InvalidArgument"),
)

_ILLEGAL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_REJECTED = {403: "AccessDenied", 405: "MethodNotAllowed", 501: "NotImplemented"}


def as_s3_error(error: BaseException, operation: str) -> S3Error:
    """The error to answer with; an unexpected one is logged under an id the client is told."""
    if isinstance(error, S3Error):
        return error.with_traceback(None)  # see as_error
    if isinstance(error, TimedOut):
        return S3Error("RequestTimeout")
    if isinstance(error, Rejected):
        code = _REJECTED.get(error.status, "BadRequest")
        return S3Error(code, str(error.error), status=error.status, headers=error.headers)
    known = as_error(error, f"S3 {operation}")
    for kind, code in _KINDS:
        if isinstance(known, kind):
            return S3Error(code, str(known))
    return S3Error("InternalError", str(known))


def error_xml(error: S3Error, resource: str, request_id: str, host_id: str) -> bytes:
    """The answer's body."""
    fields = {
        "Code": error.code,
        "Message": error.message,
        **error.fields,
        "Resource": resource,
        "RequestId": request_id,
        "HostId": host_id,
    }
    inner = ""
    for name, text in fields.items():
        inner += f"<{name}>{escape(_ILLEGAL.sub('?', text))}</{name}>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()
