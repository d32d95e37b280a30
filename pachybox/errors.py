"""Every error a user can meet, one tree.

    PachyboxError
      InvalidArgument     the request itself is wrong                 (exit 1, HTTP 400)
      NotFound            the thing named does not exist              (HTTP 404)
      AlreadyExists       the thing named exists                      (HTTP 409)
      Refused             right request, wrong state of the box       (HTTP 400)
      NotReady            not now, later perhaps                      (HTTP 503)
      Exhausted           disk, quota or memory would be overrun      (HTTP 429, RESOURCE_EXHAUSTED)
      Corrupt             stored content does not match its hash      (HTTP 500, DATA_LOSS)
      Unauthenticated     a token is needed or wrong                  (HTTP 401)
      Denied              the caller's role does not allow it         (HTTP 403)
      Overdue             the time the client gave is over            (HTTP 504)
      Unimplemented       known by name, not built                    (HTTP 501)
      Unreachable         no box answers at the address               (client side)
      Internal            a defect in the box                         (HTTP 500)

Each carries a one-line message naming the thing and, where there is one, a
hint: the remedy as one sentence without a final full stop. Messages that
Pachyderm's clients match by text (``repo X not found``) keep that text.
"""

from __future__ import annotations

from typing import ClassVar, Self

CHECK_FILE = "check its name and your right to read it"
"""The remedy for a local file that cannot be read."""


class PachyboxError(Exception):
    """Base of all errors meant for users.

    ``grpc_code`` is the number of google.rpc.Code, ``http_status`` what the
    JSON door answers with, ``code`` a stable word for scripts.
    """

    code: ClassVar[str] = "internal"
    grpc_code: ClassVar[int] = 13
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = ""

    def about(self, field: str) -> Self:
        """The same error, of a field of a spec (``transform.image``)."""
        self.field = field
        return self

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class InvalidArgument(PachyboxError):
    """The request cannot be right in any state of the box."""

    code = "invalid_argument"
    grpc_code = 3
    http_status = 400


class NotFound(PachyboxError):
    """The thing named does not exist."""

    code = "not_found"
    grpc_code = 5
    http_status = 404


class AlreadyExists(PachyboxError):
    """The thing to be made is there already."""

    code = "already_exists"
    grpc_code = 6
    http_status = 409


class Refused(PachyboxError):
    """A well-formed request that the present state of the box forbids."""

    code = "failed_precondition"
    grpc_code = 9
    http_status = 400


class NotReady(PachyboxError):
    """The answer does not exist yet (an unfinished commit, a box starting)."""

    code = "unavailable"
    grpc_code = 14
    http_status = 503


class Exhausted(PachyboxError):
    """Disk, quota or memory would be overrun; nothing was written."""

    code = "resource_exhausted"
    grpc_code = 8
    http_status = 429


class Corrupt(PachyboxError):
    """Stored bytes do not match their hash; they were not served."""

    code = "data_loss"
    grpc_code = 15
    http_status = 500


class Unauthenticated(PachyboxError):
    """A token is needed, or the one given is not known."""

    code = "unauthenticated"
    grpc_code = 16
    http_status = 401


class Denied(PachyboxError):
    """The caller is known, and may not do this."""

    code = "permission_denied"
    grpc_code = 7
    http_status = 403


class Overdue(PachyboxError):
    """The time the client gave the call is over; whether it was done is not known."""

    code = "deadline_exceeded"
    grpc_code = 4
    http_status = 504


class Unimplemented(PachyboxError):
    """Part of the API by name, not built in this version."""

    code = "unimplemented"
    grpc_code = 12
    http_status = 501


class Unreachable(PachyboxError):
    """Raised by the client: no box answers at the address."""

    code = "unreachable"
    grpc_code = 14
    http_status = 503


class Internal(PachyboxError):
    """A defect in the box; the log has the traceback."""


BY_CODE: dict[str, type[PachyboxError]] = {
    cls.code: cls
    for cls in (
        Internal,
        InvalidArgument,
        NotFound,
        AlreadyExists,
        Refused,
        NotReady,
        Exhausted,
        Corrupt,
        Unauthenticated,
        Denied,
        Overdue,
        Unimplemented,
    )
}
