"""PostObject: the upload that a browser's form sends."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from urllib.parse import quote, urlsplit

from pachybox.api.access.principal import NOBODY
from pachybox.api.http import Request
from pachybox.api.s3 import sigv4
from pachybox.api.s3.absent import refuse_headers
from pachybox.api.s3.auth import Gate, Identity, credential
from pachybox.api.s3.checksums import SIZES, base64_of, digest_of
from pachybox.api.s3.context import Ask, Header
from pachybox.api.s3.errors import S3Error
from pachybox.api.s3.form_reader import FormReader, boundary_of
from pachybox.api.s3.objects import check_values, wire_text
from pachybox.api.s3.policy import check_policy
from pachybox.api.s3.puts import attributes_of, finished, receive_from, version
from pachybox.api.s3.route import check_key
from pachybox.api.s3.xml import tag
from pachybox.pfs.object_types import ObjectInfo

_LIKE_HEADERS = ("cache-control", "content-disposition", "content-encoding", "content-language",
                 "content-type", "expires")  # fmt: skip


def is_form(request: Request) -> bool:
    """Whether the request is a form."""
    return bool(boundary_of(request.headers.get("content-type", "")))


def post_object(ask: Ask, gate: Gate, admit: Callable[[Identity], None]) -> None:
    """PostObject. ``admit`` judges who sent it. Raises what a PUT raises, and what the policy
    forbids."""
    boundary = boundary_of(ask.headers.get("content-type", ""))
    if not boundary:
        raise S3Error("MethodNotAllowed", "A POST to a bucket is a form, multipart/form-data.")
    reader = FormReader(ask.request.body.readinto, boundary)
    fields = reader.fields()
    admit(_sender(ask, gate, fields))
    bucket = ask.bucket()
    if "key" in fields:
        fields["key"] = fields["key"].replace("${filename}", reader.filename)
    least, most = 0, 1 << 62
    if "policy" in fields:
        least, most = check_policy(fields["policy"], {**fields, "bucket": ask.bucket_name})
    if not fields.get("key"):
        raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'key'.")
    ask.key = fields["key"]
    check_key(ask.key)
    headers = _as_headers(fields)
    # From here on the fields say what a PUT's headers say.
    ask.headers = headers
    refuse_headers(ask)
    described = attributes_of(headers)
    sums = {n: headers[f"x-amz-checksum-{n}"] for n in SIZES if f"x-amz-checksum-{n}" in headers}
    expected = {name: digest_of(name, value) for name, value in sums.items()}
    with ask.objects.intake(expected.keys()) as intake:
        stored = receive_from(reader.readinto, intake, most)
        if stored.size < least:
            raise S3Error("EntityTooSmall")
        for name, digest in expected.items():
            if not hmac.compare_digest(stored.digests[name], digest):
                raise S3Error("BadDigest", f"The {name} of the form is not that of its file.")
        checksums = {name: base64_of(digest) for name, digest in expected.items()}
        info = ask.objects.put(
            bucket, ask.key, stored, finished(described, stored.digests, checksums)
        )
    _answer(ask, fields, info)


def _sender(ask: Ask, gate: Gate, fields: dict[str, str]) -> Identity:
    """Who signed the policy. Raises AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch."""
    policy = fields.get("policy")
    if policy is None or "authorization" in ask.headers:
        return gate.check(ask.request, ask.query, "")
    made, closed = "", gate.closed
    principal = NOBODY if closed else gate.unsigned(ask.request)  # when closed: the signer's
    if "x-amz-signature" in fields:
        signature = fields["x-amz-signature"]
        if fields.get("x-amz-algorithm") != sigv4.ALGORITHM:
            raise S3Error("InvalidArgument", f"x-amz-algorithm must be {sigv4.ALGORITHM}.")
        try:
            access, scope = credential(fields.get("x-amz-credential", ""))
        except ValueError:
            raise S3Error("InvalidArgument", "x-amz-credential is malformed.") from None
        if closed:
            principal, secret = gate.signer(access)
            made = sigv4.sign(sigv4.signing_key(secret, scope), policy.encode())
    elif "signature" in fields and "awsaccesskeyid" in fields:
        signature = fields["signature"]
        if closed:
            principal, secret = gate.signer(fields["awsaccesskeyid"])
            made = base64.b64encode(hmac.digest(secret.encode(), policy.encode(), "sha1")).decode()
    else:
        raise S3Error("InvalidArgument", "Bucket POST must contain a field named 'signature'.")
    if closed and not hmac.compare_digest(made.encode(), signature.encode()):
        raise S3Error("SignatureDoesNotMatch")
    return Identity(principal=principal)


def _as_headers(fields: dict[str, str]) -> dict[str, str]:
    """The fields that a PUT would send as headers, in their form."""
    headers = {
        name: wire_text(value)
        for name, value in fields.items()
        if name in _LIKE_HEADERS or name.startswith("x-amz-")
    }
    if "acl" in fields:
        headers["x-amz-acl"] = fields["acl"]
    if "tagging" in fields:
        headers["x-amz-tagging"] = fields["tagging"]
    check_values(headers)
    return headers


def _answer(ask: Ask, fields: dict[str, str], info: ObjectInfo) -> None:
    etag = f'"{info.etag}"'
    host = ask.request.headers.get("host", "localhost")
    where = f"http://{host}/{quote(ask.bucket_name)}/{quote(ask.key)}"
    headers: list[Header] = [("ETag", etag), ("Location", where), *version(info)]
    target = fields.get("success_action_redirect") or fields.get("redirect", "")
    if urlsplit(target).scheme in ("http", "https") and target.isascii() and target.isprintable():
        mark = "&" if "?" in target else "?"
        query = f"bucket={quote(ask.bucket_name)}&key={quote(ask.key, safe='')}&etag={quote(etag)}"
        headers[1] = ("Location", f"{target}{mark}{query}")
        ask.send(303, headers)
        return
    status = fields.get("success_action_status", "")
    if status == "201":
        inner = tag("Location", where) + tag("Bucket", ask.bucket_name) + tag("Key", ask.key)
        inner = tag("ETag", etag) + inner
        # As Amazon's: the one answer without a namespace.
        ask.send(201, headers, f"<PostResponse>{inner}</PostResponse>".encode())
        return
    ask.send(200 if status == "200" else 204, headers)
