"""Any exception to the one error a client may see. Tracebacks go to the log only."""

from __future__ import annotations

import errno
import logging
import secrets

from pachybox.api.http import Rejected
from pachybox.api.transport import TimedOut
from pachybox.errors import Exhausted, Internal, InvalidArgument, PachyboxError

log = logging.getLogger("pachybox.api")


def as_error(error: BaseException, method: str) -> PachyboxError:
    """The error to answer with. Unexpected ones are logged under an id the client is told.

    It comes without its traceback: that holds the frames it went through, and a frame that names
    the error would hold it, so that a request's buffers lived on until the next look for cycles.
    """
    if isinstance(error, PachyboxError):
        return error.with_traceback(None)
    if isinstance(error, Rejected):
        return error.error
    if isinstance(error, TimedOut):
        return InvalidArgument("the request's body came too slowly", "send it again")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Exhausted("no space is left on the disk", "free some space or run collect garbage")
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return Exhausted("the box's disk is read-only", "pachybox doctor says more")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return Exhausted(
            "the box has as many files open as it may",
            "try again, with fewer clients at once; or raise the limit: LimitNOFILE= of the "
            "service, ulimit -n",
        )
    if isinstance(error, MemoryError):
        return Exhausted("the box ran out of memory", "ask for less at once")
    number = secrets.token_hex(4)
    log.error(
        "internal error id=%s method=%s error=%r", number, method, error, exc_info=error
    )  # fmt: skip
    return Internal(
        f"internal error in {method}", f"the box's log has the details under id={number}"
    )
