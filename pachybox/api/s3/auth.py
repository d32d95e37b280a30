"""Who asks: signatures found, their form checked, and where a token is set, compared.

With tokens the secret key is a token; the access key is the token too, or its name, which keeps it
out of presigned addresses (see Access.signer). Without any there is nothing to compare with: all
credentials do, and none; what is malformed or expired is still refused.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from time import time

from pachybox.api.access.callers import Access
from pachybox.api.access.principal import NOBODY, Principal
from pachybox.api.http import Request
from pachybox.api.s3 import sigv2, sigv4
from pachybox.api.s3.errors import S3Error

SKEW_S = 15 * 60
MOST_EXPIRES_S = 7 * 24 * 3600
_FIELD = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^,\s]+)\s*")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
# perf: as nearly all write it
_USUAL = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^,\s]+)/([0-9]{8}/[^/,\s]+/s3/aws4_request),"
    r" ?SignedHeaders=([^,\s]+), ?Signature=([0-9a-f]{64})"
)
_TIMESTAMP = re.compile(r"\d{8}T\d{6}Z")
_V2 = re.compile(r"AWS ([^:\s]+):([A-Za-z0-9+/]{27}=)")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: ``principal``. ``key`` is the signing key of version 4 where the signature was
    compared, for the chunks of a body; with it the ``timestamp``, ``scope`` and ``signature`` they
    follow."""

    key: bytes = b""
    timestamp: str = ""
    scope: str = ""
    signature: str = ""
    payload: str = ""
    principal: Principal = NOBODY


class Gate:
    """Tells who asks."""

    def __init__(self, access: Access) -> None:
        """``access`` judges requests without a signature of S3's, and knows the secret keys."""
        self._access = access

    def check(self, request: Request, query: Mapping[str, str], bucket: str) -> Identity:
        """Who sent ``request``; ``bucket`` is a virtual host's. Raises S3Error, Unauthenticated."""
        header = request.headers.get("authorization", "")
        if header.startswith("AWS4-"):
            return self._v4(request, *_parse_header(header), request.headers)
        if header.startswith("AWS "):
            return self._v2(request, header, bucket)
        if "X-Amz-Signature" in query or "X-Amz-Algorithm" in query:
            return self._presigned(request, query)
        if "AWSAccessKeyId" in query and "Signature" in query:
            return self._presigned_v2(request, query, bucket)
        return Identity(principal=self._access.of_headers(request.headers, request.local))

    def unsigned(self, request: Request) -> Principal:
        """Who asks where no signature is compared. Raises Unauthenticated when one is wanted."""
        return self._access.principal("", local=request.local)

    def signer(self, access_key: str) -> tuple[Principal, str]:
        """Whose ``access_key`` it is, and the secret key. Raises InvalidAccessKeyId."""
        found = self._access.signer(access_key)
        if found is None:
            raise S3Error("InvalidAccessKeyId")
        return found

    @property
    def closed(self) -> bool:
        """Whether callers that do not come by the socket must show who they are."""
        return self._access.closed

    def _v4(
        self, request: Request, access: str, scope: str, signed: str, signature: str,
        headers: Mapping[str, str],
    ) -> Identity:  # fmt: skip
        """A signature in the header. Its date is fresh when this returns."""
        timestamp = headers.get("x-amz-date") or _date_of(headers.get("date", ""))
        if not _TIMESTAMP.fullmatch(timestamp):
            raise S3Error("AccessDenied", "A request signed needs a valid x-amz-date or date.")
        if abs(_seconds(timestamp) - time()) > SKEW_S:
            raise S3Error("RequestTimeTooSkewed", fields={"RequestTime": timestamp})
        payload = headers.get("x-amz-content-sha256", "")
        if request.local or not self.closed:
            return Identity(payload=payload, principal=self.unsigned(request))
        if not payload:
            raise S3Error("InvalidRequest", "The header x-amz-content-sha256 is missing.")
        return self._compare(request, access, scope, signed, signature, timestamp, payload)

    def _presigned(self, request: Request, query: Mapping[str, str]) -> Identity:
        what = "AuthorizationQueryParametersError"
        if query.get("X-Amz-Algorithm") != sigv4.ALGORITHM:
            raise S3Error(what, f"X-Amz-Algorithm must be {sigv4.ALGORITHM}.")
        try:
            access, scope = credential(query["X-Amz-Credential"])
            timestamp, signed = query["X-Amz-Date"], query["X-Amz-SignedHeaders"]
            expires, signature = query["X-Amz-Expires"], query["X-Amz-Signature"]
        except (KeyError, ValueError):
            raise S3Error(
                what, "X-Amz-Credential, -Date, -SignedHeaders, -Expires, -Signature are needed."
            ) from None
        if not _TIMESTAMP.fullmatch(timestamp):
            raise S3Error(what, "X-Amz-Date must be like 20260101T000000Z.")
        if not re.fullmatch(r"[0-9]{1,9}", expires) or int(expires) > MOST_EXPIRES_S:
            raise S3Error(what, f"X-Amz-Expires must be 0 to {MOST_EXPIRES_S} seconds.", status=403)
        age = time() - _seconds(timestamp)
        if age < -SKEW_S:
            raise S3Error("AccessDenied", "The request is not valid yet.")
        if age > int(expires):
            raise S3Error("AccessDenied", "Request has expired.")
        payload = (
            request.headers.get("x-amz-content-sha256")
            or query.get("X-Amz-Content-Sha256")
            or sigv4.UNSIGNED
        )
        if request.local or not self.closed:
            return Identity(payload=payload, principal=self.unsigned(request))
        return self._compare(
            request, access, scope, signed, signature, timestamp, payload, "X-Amz-Signature"
        )

    def _compare(
        self, request: Request, access: str, scope: str, signed: str, signature: str,
        timestamp: str, payload: str, without: str | None = None,
    ) -> Identity:  # fmt: skip
        principal, secret = self.signer(access)
        if not f"{scope}{signed}{signature}{payload}".isascii():  # an address can say anything
            raise S3Error("SignatureDoesNotMatch")
        headers, names = request.headers, signed.split(";")
        if "host" not in names:
            raise S3Error("AuthorizationHeaderMalformed", "The header host must be signed.")
        for name in headers:
            if name.startswith("x-amz-") and name not in names:
                if without and name == "x-amz-content-sha256":
                    continue
                raise S3Error("AccessDenied", f"The header {name} is not signed.")
        if scope[:8] != timestamp[:8]:
            raise S3Error("SignatureDoesNotMatch", "The credential's date is not the request's.")
        text = sigv4.canonical_request(
            request.method, request.path, request.query, headers, names, payload, without
        )
        key = sigv4.signing_key(secret, scope)
        made = sigv4.sign(key, sigv4.string_to_sign(timestamp, scope, text))
        if not hmac.compare_digest(made, signature):
            raise S3Error("SignatureDoesNotMatch")
        return Identity(key, timestamp, scope, signature, payload, principal)

    def _v2(self, request: Request, header: str, bucket: str) -> Identity:
        match = _V2.fullmatch(header)
        if match is None:
            raise S3Error("InvalidArgument", "The authorization header is malformed.")
        headers = request.headers
        date = headers.get("x-amz-date") or headers.get("date", "")
        try:
            sent = parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError):
            raise S3Error("AccessDenied", "A request signed needs a valid date.") from None
        if sent < 0:
            raise S3Error("AccessDenied", "A request signed needs a date of our time.")
        if abs(sent - time()) > SKEW_S:
            raise S3Error("RequestTimeTooSkewed", fields={"RequestTime": date})
        said = "" if "x-amz-date" in headers else date
        return self._compare_v2(request, bucket, match[1], match[2], said)

    def _presigned_v2(self, request: Request, query: Mapping[str, str], bucket: str) -> Identity:
        expires = query.get("Expires", "")
        if not re.fullmatch(r"[0-9]{1,12}", expires):
            raise S3Error("AccessDenied", "The parameter Expires is missing.")
        if time() > int(expires):
            raise S3Error("AccessDenied", "Request has expired.")
        return self._compare_v2(
            request, bucket, query["AWSAccessKeyId"], query["Signature"], expires
        )

    def _compare_v2(
        self, request: Request, bucket: str, access: str, signature: str, date: str
    ) -> Identity:
        payload = request.headers.get("x-amz-content-sha256", "")
        if self.closed and not request.local:
            principal, secret = self.signer(access)
            given = signature.encode("utf-8", "replace")
            # Clients sign a bucket alone as /bucket/ and ask for /bucket: Amazon takes both.
            alone = not bucket and request.path.count("/") == 1 and len(request.path) > 1
            for path in (request.path, f"{request.path}/") if alone else (request.path,):
                text = sigv2.string_to_sign(
                    request.method, bucket, path, request.query, request.headers, date
                )
                if hmac.compare_digest(sigv2.sign(secret, text).encode(), given):
                    return Identity(payload=payload, principal=principal)
            raise S3Error("SignatureDoesNotMatch")
        return Identity(payload=payload, principal=self.unsigned(request))


def _parse_header(header: str) -> tuple[str, str, str, str]:
    """Access key, scope, signed headers and signature of an authorization header."""
    if usual := _USUAL.fullmatch(header):
        return usual[1], usual[2], usual[3], usual[4]
    start, _, rest = header.partition(" ")
    matches = [_FIELD.fullmatch(field) for field in rest.split(",")]
    fields = {match[1]: match[2] for match in matches if match is not None}
    try:
        if start == sigv4.ALGORITHM and len(fields) == len(matches) == 3:
            access, scope = credential(fields["Credential"])
            if _SIGNATURE.fullmatch(fields["Signature"]):
                return access, scope, fields["SignedHeaders"], fields["Signature"]
    except ValueError:
        pass
    raise S3Error(
        "AuthorizationHeaderMalformed",
        "It must be: AWS4-HMAC-SHA256 Credential=KEY/YYYYMMDD/REGION/s3/aws4_request, "
        "SignedHeaders=..., Signature=...",
    )


def credential(text: str) -> tuple[str, str]:
    """Access key and scope of ``KEY/YYYYMMDD/REGION/s3/aws4_request``. Raises ValueError."""
    access, date, region, service, end = text.rsplit("/", 4)
    if not access or not re.fullmatch(r"[0-9]{8}", date) or not re.fullmatch(r"[!-~]+", region):
        raise ValueError(text)
    if service != "s3" or end != "aws4_request":
        raise ValueError(text)
    return access, f"{date}/{region}/{service}/{end}"


def _date_of(header: str) -> str:
    """An HTTP date in the form of version 4; "" when it is none."""
    if _TIMESTAMP.fullmatch(header):
        return header
    try:
        return parsedate_to_datetime(header).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    except (ValueError, OverflowError):
        return ""


@lru_cache(64)
def _seconds(timestamp: str) -> float:
    """Of the epoch. Raises S3Error for a day that is none."""
    try:
        return datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise S3Error("AccessDenied", "The date of the request is none.") from None
