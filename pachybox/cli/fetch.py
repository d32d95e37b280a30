"""Small texts from the web: specs and lists the command line is pointed at."""

from __future__ import annotations

from pachybox.errors import InvalidArgument

_MOST = 16 << 20


def fetch(url: str) -> str:
    """The text at an http(s) URL. Raises InvalidArgument naming it."""
    import http.client
    import urllib.error
    import urllib.request

    if not url.startswith(("http://", "https://")):
        raise InvalidArgument(f"cannot fetch {url}", "use http:// or https://")
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            data: bytes = answer.read(_MOST + 1)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as e:
        raise InvalidArgument(f"cannot fetch {url}: {e}") from e
    if len(data) > _MOST:
        raise InvalidArgument(f"{url} is larger than 16 MiB")
    return data.decode("utf-8", "replace")
