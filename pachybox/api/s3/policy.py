"""The policy of a form: what its signer lets others upload."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from pachybox.api.s3.checksums import plain_base64
from pachybox.api.s3.errors import S3Error

_FREE = frozenset(("file", "policy", "signature", "awsaccesskeyid", "x-amz-signature"))


def check_policy(text: str, fields: Mapping[str, str]) -> tuple[int, int]:
    """Judge ``fields`` (by lower-case name, the bucket among them) by the policy ``text``, in
    base64. Returns the least and the most bytes of the file.

    Raises InvalidPolicyDocument, AccessDenied.
    """
    document = _document(text)
    expires = document.get("expiration")
    if not isinstance(expires, str):
        raise S3Error("InvalidPolicyDocument", "The policy has no expiration.")
    try:
        when = datetime.fromisoformat(expires if "T" in expires else "")
    except ValueError:
        raise S3Error("InvalidPolicyDocument", "The policy's expiration is no time.") from None
    if (when if when.tzinfo else when.replace(tzinfo=UTC)) < datetime.now(UTC):
        raise S3Error("AccessDenied", "Invalid according to Policy: Policy expired.")
    conditions = document.get("conditions")
    if not isinstance(conditions, list):
        raise S3Error("InvalidPolicyDocument", "The policy has no list of conditions.")
    least, most = 0, 1 << 62
    covered: set[str] = set()
    for kind, name, value in _conditions(conditions):
        if kind == "content-length-range":
            least, most = max(least, int(name)), min(most, int(value))
            continue
        covered.add(name)
        given = fields.get(name, "")
        if not (given == value if kind == "eq" else given.startswith(value)):
            raise S3Error(
                "AccessDenied",
                f"Invalid according to Policy: Policy Condition failed: "
                f'["{kind}", "${name}", "{value}"]',
            )
    for name in fields:
        if name not in covered and name not in _FREE and not name.startswith("x-ignore-"):
            raise S3Error(
                "AccessDenied", f"Invalid according to Policy: Extra input fields: {name}"
            )
    return least, most


def _document(text: str) -> dict[str, Any]:
    data = plain_base64(re.sub(r"\s", "", text))
    try:
        found = json.loads(data or b"")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise S3Error("InvalidPolicyDocument", "The policy is no JSON object in base64.")
    return found


def _conditions(conditions: list[Any]) -> Iterator[tuple[str, str, str]]:
    """Each as kind, lower-case name (or the least), value (or the most)."""
    for condition in conditions:
        if isinstance(condition, dict) and condition:
            for name, value in condition.items():
                if not isinstance(value, str):
                    raise S3Error("InvalidPolicyDocument", "A condition's value is no text.")
                yield "eq", name.lower(), value
            continue
        if not isinstance(condition, list) or len(condition) != 3:
            raise S3Error("InvalidPolicyDocument", "A condition is malformed.")
        kind, name, value = condition
        if not isinstance(kind, str):
            raise S3Error("InvalidPolicyDocument", "A condition is malformed.")
        kind = kind.lower()
        if kind == "content-length-range":
            if not all(re.fullmatch(r"[0-9]{1,18}", str(n)) for n in (name, value)):
                raise S3Error("InvalidPolicyDocument", "A content-length-range is malformed.")
            yield kind, str(name), str(value)
        elif (
            kind in ("eq", "starts-with")
            and isinstance(name, str)
            and name.startswith("$")
            and isinstance(value, str)
        ):
            yield kind, name[1:].lower(), value
        else:
            raise S3Error("InvalidPolicyDocument", "A condition is malformed.")
