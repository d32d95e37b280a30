"""What the API says when it says no: Status objects, in the words of Kubernetes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Object = dict[str, Any]

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiError(Exception):
    """A request is answered with this Status. ``retry_after`` is in seconds."""

    def __init__(
        self,
        code: int,
        message: str,
        reason: str = "",
        details: Object | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or REASONS.get(code, "")
        self.details = dict(details or {})
        self.retry_after = retry_after
        if retry_after is not None:
            self.details["retryAfterSeconds"] = retry_after

    def status(self) -> Object:
        """The object of kind Status that says so."""
        made: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        made |= {"message": self.message, "reason": self.reason, "code": self.code}
        return made | ({"details": self.details} if self.details else {})


def not_found(resource: str, name: str) -> ApiError:
    return ApiError(404, f'{resource} "{name}" not found', details={"name": name, "kind": resource})


def exists(resource: str, name: str) -> ApiError:
    details = {"name": name, "kind": resource}
    return ApiError(409, f'{resource} "{name}" already exists', "AlreadyExists", details)


def conflict(resource: str, name: str, why: str = "") -> ApiError:
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try "
        "again"
    )
    said = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return ApiError(409, said, details={"name": name, "kind": resource})


def forbidden(resource: str, name: str, why: str, cause: str = "") -> ApiError:
    details: Object = {"name": name, "kind": resource}
    if cause:
        details["causes"] = [{"reason": cause, "message": why}]
    said = f'{resource} "{name}" is forbidden: {why}' if name else f"{resource} is forbidden: {why}"
    return ApiError(403, said, details=details)


def invalid(kind: str, name: str, wrong: Sequence[str]) -> ApiError:
    """``wrong``: one line for each field, such as ``spec.containers: Required value``."""
    said = wrong[0] if len(wrong) == 1 else "[" + ", ".join(wrong) + "]"
    causes = []
    for line in wrong:
        field, _, message = line.partition(": ")
        reason = "FieldValueRequired" if message.startswith("Required") else "FieldValueInvalid"
        causes.append({"reason": reason, "message": message, "field": field})
    details = {"name": name, "kind": kind, "causes": causes}
    return ApiError(422, f'{kind} "{name}" is invalid: {said}', details=details)


def expired(asked: str, oldest: int) -> ApiError:
    return ApiError(410, f"too old resource version: {asked} ({oldest})")


SUCCESS: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
