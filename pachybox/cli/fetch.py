"""Small texts from the web: specs and lists the command line is pointed at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pachybox.errors import InvalidArgument

if TYPE_CHECKING:
    import urllib.error
    from urllib.request import OpenerDirector

_MOST = 16 << 20
_LONGEST_S = 30.0


def fetch(url: str, called: str = "") -> str:
    """The text at an http(s) URL, also behind redirects to another such. Raises InvalidArgument
    naming it as ``called``; also when it is a web page, which is no spec and no list."""
    import http.client
    import urllib.error

    called = called or url
    if not url.startswith(("http://", "https://")):
        raise InvalidArgument(f"cannot fetch {called}", "use http:// or https://")
    try:
        with _opener().open(url, timeout=_LONGEST_S) as answer:
            kind = answer.headers.get_content_type()
            data: bytes = answer.read(_MOST + 1)
    except urllib.error.HTTPError as e:
        raise _refused(called, e) from e
    except urllib.error.URLError as e:
        raise InvalidArgument(f"cannot fetch {called}: {e.reason}") from e
    except (http.client.HTTPException, OSError, ValueError) as e:
        raise InvalidArgument(f"cannot fetch {called}: {e}") from e
    if len(data) > _MOST:
        raise InvalidArgument(f"{called} is larger than 16 MiB")
    if kind == "text/html":
        raise InvalidArgument(
            f"{called} is a web page, not a plain text",
            "give the address of the raw file, or git+https://HOST/REPO#PATH",
        )
    return data.decode("utf-8", "replace")


def _opener() -> OpenerDirector:
    """Opens http and https alone: a redirect leads to no file and no FTP server."""
    import urllib.request as lib

    opener = lib.OpenerDirector()
    for handler in (
        lib.ProxyHandler, lib.UnknownHandler, lib.HTTPHandler, lib.HTTPSHandler,
        lib.HTTPDefaultErrorHandler, lib.HTTPRedirectHandler, lib.HTTPErrorProcessor,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _refused(called: str, e: urllib.error.HTTPError) -> InvalidArgument:
    hint = ""
    if e.code in (401, 403, 404):
        hint = "check the address; what is private is read with git+https:// or git+ssh://"
    return InvalidArgument(f"cannot fetch {called}: {e.code} {e.reason}", hint)
