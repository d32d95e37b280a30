"""Times as S3 writes and reads them: seconds in headers, milliseconds in XML."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

_NEVER = datetime.fromtimestamp(0, UTC)


def iso(when: datetime | None) -> str:
    """``2026-01-01T12:00:00.000Z``."""
    text = (when or _NEVER).astimezone(UTC).isoformat("T", "milliseconds")
    return f"{text[:-6]}Z"


@lru_cache(1024)
def http(when: datetime) -> str:
    """``Thu, 01 Jan 2026 12:00:00 GMT``."""
    return format_datetime(when.astimezone(UTC), usegmt=True)


def parse_http(text: str) -> datetime | None:
    """The time of a header; None when it is none."""
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
