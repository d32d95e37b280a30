"""The time zone in which schedules are read unless they say another: this machine's."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, tzinfo
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

log = logging.getLogger("pachybox.zone")

_LOCALTIME = "/etc/localtime"


@cache
def local_zone() -> tzinfo:
    """This machine's time zone: ``TZ``, else what /etc/localtime is, else UTC. What can be told of
    neither by name nor as a file keeps the present offset, which is logged."""
    place = os.environ.get("TZ", "").lstrip(":")
    if not place:
        if not Path(_LOCALTIME).exists():
            return UTC
        place = os.path.realpath(_LOCALTIME)
    name = place.partition("/zoneinfo/")[2] or place
    try:
        if name.startswith("/"):  # a copy of a zone's file, as images of containers have it
            with open(name, "rb") as file:
                return ZoneInfo.from_file(file, key=name)
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # a rule as POSIX writes it, or nonsense
        offset = datetime.now().astimezone().tzinfo or UTC
        log.warning("time zone %s is not known: schedules are read at %s", place, offset)
        return offset
