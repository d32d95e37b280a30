"""From the door's error objects to the exceptions of pachybox.errors, by their reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pachybox.client.address import Address
from pachybox.errors import BY_CODE, Internal, PachyboxError, Unreachable

_BY_GRPC = {
    cls.grpc_code: cls for cls in BY_CODE.values() if cls is not Internal
}  # for doors which give only a number


_HERE = ("127.", "::1", "localhost")


def from_json(error: Mapping[str, Any], status: int = 500) -> PachyboxError:
    """The exception an error object stands for: by its reason, else its number, else the status."""
    message = str(error.get("message") or f"the box answered with HTTP status {status}")
    for detail in error.get("details") or ():
        if isinstance(detail, dict) and detail.get("reason") in BY_CODE:
            hint = (detail.get("metadata") or {}).get("hint")
            return BY_CODE[detail["reason"]](message, str(hint or ""))
    by_status = {cls.http_status: cls for cls in reversed(BY_CODE.values())}
    kind = _BY_GRPC.get(error.get("code") or 0) or by_status.get(status, Internal)
    return kind(message)


def unreachable(address: Address, error: OSError) -> Unreachable:
    """No box answers at ``address``."""
    tail, hint = f" ({error.strerror or error})", "start one with: pachybox up"
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        tail = ""
    elif isinstance(error, PermissionError) and address.path:
        hint = "only its owner may use this socket; others: pachybox connect http://HOST:PORT"
    if address.host and not address.host.startswith(_HERE):
        hint = "see there: pachybox status; it listens beyond its machine where http_host says so"
    return Unreachable(f"no box answers at {address}{tail}", hint)


def lost(address: object, during: str) -> Unreachable:
    """The connection ended in the middle of a request to target ``during``."""
    method = during.partition("?")[0].rpartition("/")[2]
    return Unreachable(
        f"the connection to the box at {address} ended during {method}",
        "see the state of the box with: pachybox status",
    )


def late(address: object, seconds: float | None) -> Unreachable:
    """The box took longer than the client was told to wait."""
    return Unreachable(
        f"the box at {address} did not answer in {seconds} s",
        "see the state of the box with: pachybox status",
    )
