"""Pages of other sites are kept away from a server on the user's own machine.

A page whose name was rebound to 127.0.0.1 gives itself away by Host, one that sends requests
across by Origin or Sec-Fetch-Site.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pachybox.api.http import Rejected, Request, rejected
from pachybox.errors import InvalidArgument

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d{1,5})?")
# What a form on a foreign page can send without asking first.
_SIMPLE_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "")


def guard(request: Request, hosts: frozenset[str] | None, domains: tuple[str, ...] = ()) -> None:
    """Refuse (403, 415) a request that a foreign page sent.

    ``hosts`` are the names (lower case) this server may be called by, None = any. Names below one
    of ``domains`` are its own too: nobody else can have a page there, as they are the user's, or
    ``localhost``'s, which no name server answers for.
    """
    headers = request.headers
    host = headers.get("host", "")
    if not _is_own(host, hosts, domains):
        raise Rejected(
            403,
            InvalidArgument(
                f"host {host[:80]!r} is not a name of this box",
                "use localhost or 127.0.0.1, or configure the name",
            ),
        )
    origin = headers.get("origin")
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        raise rejected(403, "requests from other sites' pages are refused")
    site = headers.get("sec-fetch-site")
    if site in ("cross-site", "same-site") and not (
        request.method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    ):
        raise rejected(403, "requests from other sites' pages are refused")
    browser = origin is not None or site is not None or "referer" in headers
    if browser and request.method == "POST":
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _SIMPLE_TYPES and not request.body.finished:
            raise rejected(
                415, "a page must say what it sends", "use content-type application/json"
            )


@lru_cache(64)
def _is_own(host: str, hosts: frozenset[str] | None, domains: tuple[str, ...]) -> bool:
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].lower()
    return (
        hosts is None
        or name in hosts
        or any(name == domain or name.endswith(f".{domain}") for domain in domains)
    )
