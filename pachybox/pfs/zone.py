"""The time zone in which schedules are read: this machine's."""

from __future__ import annotations

import os
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo


@cache
def local_zone() -> tzinfo:
    """This machine's time zone: ``TZ``, else what /etc/localtime is, else the present offset."""
    place = os.environ.get("TZ", "").lstrip(":")
    if not place:
        link = Path("/etc/localtime")
        place = os.path.realpath(link).partition("/zoneinfo/")[2] if link.exists() else "UTC"
    try:
        return ZoneInfo(place)
    except (ValueError, OSError, KeyError):  # it names no zone of the database
        return datetime.now().astimezone().tzinfo or UTC
