"""Content from outside: what the URLs of a put file name, as bounded streams.

``http(s)`` goes over the standard library, so that every address, also that of a
redirect, is checked and then connected to, without a second look-up in between.
Buckets (``s3``, ``gs``, ``az`` and their other names) go over obstore (one GET an object);
their credentials and endpoint are those of the box: its environment, or ``config``.

A caller who is not ``trusted`` (not a user of this machine) may not make the box
fetch from the machine itself or its private network, read its files (``file``), or turn to
a server of theirs with its credentials (``minio``). ``reach`` (the setting url_fetch) says more
for such callers: "any" lets them name any http address, "none" no URL at all. Proxies are not used.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from pachybox.errors import InvalidArgument, NotFound, NotReady, PachyboxError, Refused
from pachybox.pfs import buckets, local_files
from pachybox.tls import machine_context

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = (
    *("http", "https", "s3", "gs", "gcs", "az", "azblob", "azure", "wasb", "wasbs"),
    *("minio", "file"),
)
MAX_REDIRECTS = 10
TIMEOUT_S = 60.0

_SAFE = "/%:@!$&'()*+,;=~-._"  # left alone in a URL's path; a % is taken for an escape
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is reached by others
# What Python takes for public, and is not: metadata services of clouds among them.
_INNER = [
    ipaddress.ip_network(network)
    for network in (
        *("192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4", "168.63.129.16/32"),
        *("2001:db8::/32", "2001::/23", "3fff::/20"),
    )
]


@dataclass(slots=True)
class Remote:
    """An open source. ``size`` is None when the server does not say."""

    url: str
    size: int | None
    readinto: Callable[[memoryview], int]
    """Fill (a part of) the buffer; 0 at the end. NotReady when the source ends too early."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An object under a prefix. ``suffix`` is its key after the prefix and its slash."""

    url: str
    suffix: str
    size: int


@contextlib.contextmanager
def open_url(
    url: str,
    *,
    trusted: bool,
    reach: str = "public",
    config: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[Remote]:
    """Open what ``url`` names for one reading.

    ``timeout_s`` bounds connecting and each wait for data, not the whole. ``config`` are
    obstore's settings for the bucket (``endpoint``, ``access_key_id``, ...).

    Raises InvalidArgument on a URL that is not one or of another scheme, NotFound when
    there is nothing (404, 410), Refused for other refusals and forbidden targets,
    NotReady when the server does not answer.
    """
    scheme = _scheme(url)
    _require_reach(url, trusted, reach)
    if scheme in ("http", "https"):
        with _open_http(url, trusted or reach == "any", timeout_s) as remote:
            yield remote
    elif scheme == "file":
        with local_files.opened(url, trusted=trusted) as file:
            yield Remote(url, os.fstat(file.fileno()).st_size, file.readinto)
    else:
        url, named = buckets.canonical(url, trusted=trusted)
        yield _open_object(url, {**(config or {}), **named}, timeout_s)


def list_prefix(
    url: str,
    *,
    warn: Callable[[str], None],
    trusted: bool = True,
    reach: str = "public",
    config: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[Listed]:
    """The objects below the directory-like prefix ``url`` (a bucket's or ``file``), in order.

    Keys that end in ``/``, which make folders in some tools, are left out and told to
    ``warn``. Raises as :func:`open_url`; NotFound when nothing is below.
    """
    _require_reach(url, trusted, reach)
    if _scheme(url) in ("http", "https"):
        raise InvalidArgument(
            f"{_public(url)} cannot be walked", "-r needs an s3:// or gs:// URL; name each file"
        )
    if _scheme(url) == "file":
        for path, suffix, size in local_files.below(url, trusted=trusted, warn=warn):
            yield Listed(path, suffix, size)
        return
    origin, top = url, url.partition("://")[0]
    url, named = buckets.canonical(url, trusted=trusted)
    scheme, bucket, key = buckets.split(url)
    store = buckets.store(scheme, bucket, {**(config or {}), **named}, timeout_s)
    prefix = key.rstrip("/")
    skip = len(prefix) + 1 if prefix else 0
    count = 0
    for path, size in _real_objects(store, url, prefix, warn):
        count += 1
        where = f"{scheme}://{bucket}/{path}"
        if named:  # its own settings go with it
            host = origin.partition("://")[2].partition("/")[0]
            where = (
                f"{top}://{host}/{path}"
                if top.startswith("w")
                else f"{top}://{host}/{bucket}/{path}"
            )
        yield Listed(where, path[skip:], size)
    if not count:
        raise NotFound(f"nothing is under {url}", "check bucket and prefix")


# schemes and names


def _require_reach(url: str, trusted: bool, reach: str) -> None:
    if reach == "none" and not trusted:
        raise Refused(
            f"{_public(url)} is not fetched: url_fetch is none in the box's settings",
            "fetch it yourself and put the file, or ask on the machine itself",
        )


def _scheme(url: str) -> str:
    scheme, colon, rest = url.partition("://")
    scheme = scheme.lower()
    if not colon and url.lower().startswith("file:"):
        scheme = "file"
    if not colon or not rest or scheme not in SCHEMES:
        raise InvalidArgument(
            f"{_public(url)!r} is no URL the box fetches", f"it takes {', '.join(SCHEMES)}"
        )
    return scheme


def _public(url: str) -> str:
    """The URL for messages: without user, password and query, which may hold secrets."""
    head, mark, rest = url.partition("://")
    where, slash, path = rest.partition("/")
    path, query, _ = path.partition("?")
    return f"{head}{mark}{where.rpartition('@')[2]}{slash}{path}{'?...' if query else ''}"


# http


@contextlib.contextmanager
def _open_http(url: str, trusted: bool, timeout_s: float) -> Iterator[Remote]:
    with contextlib.ExitStack() as stack:
        target, sender = url, ""
        for _ in range(MAX_REDIRECTS + 1):
            response = _request(stack, target, trusted, timeout_s, sender)
            where = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not where:
                break
            sender = sender or urlsplit(url).netloc
            target = urljoin(target, where)
            stack.close()
            if urlsplit(target).scheme not in ("http", "https"):
                raise Refused(f"{_public(url)} leads to {_public(target)}", "give its own URL")
        else:
            raise Refused(f"{_public(url)} redirects without end", "give the final URL")
        _check_status(target, response)
        yield Remote(url, response.length, _reader(target, response))


def _request(
    stack: contextlib.ExitStack, url: str, trusted: bool, timeout_s: float, sender: str
) -> http.client.HTTPResponse:
    """Send a GET; ``sender`` is the host the user named, when this is a redirect."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidArgument(f"{_public(url)} is not a URL: {error}", "check it") from None
    if not host:
        raise InvalidArgument(f"{_public(url)} names no host", "check it")
    port = port or (443 if parts.scheme == "https" else 80)
    addresses = _resolve(host, port, url)
    if not trusted:
        _check_public(addresses, url)
    try:
        connection = _connect(parts.scheme, host, port, addresses, timeout_s)
        stack.callback(connection.close)
        path = quote(parts.path or "/", safe=_SAFE)
        query = "?" + quote(parts.query, safe=_SAFE + "?") if parts.query else ""
        connection.request("GET", path + query, headers=_headers(parts, sender))
        response = connection.getresponse()
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise _unanswered(url, error) from error
    stack.callback(response.close)
    return response


def _headers(parts: SplitResult, sender: str) -> dict[str, str]:
    headers = {"User-Agent": "pachybox", "Accept": "*/*", "Accept-Encoding": "identity"}
    # a redirect may not pick up the password for another host
    if parts.username and (not sender or sender == parts.netloc):
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    return headers


def _resolve(host: str, port: int, url: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _unanswered(url, error) from error
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def _check_public(addresses: list[str], url: str) -> None:
    for address in addresses:
        if not _is_public(address) or _is_own(address):
            raise Refused(
                f"{_public(url)} is at {address}, inside the box's own network",
                "fetch it yourself and put the file, or ask on the machine itself",
            )


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            ip = inner
        elif ip not in _UNICAST:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _INNER)


def _is_own(address: str) -> bool:
    """Whether it is one of this machine's: the way to oneself begins where it ends. Nothing is
    sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.connect((address, 9))
        except OSError:
            return False  # no way there at all
        return ipaddress.ip_address(str(trial.getsockname()[0])) == ipaddress.ip_address(address)


def _connect(
    scheme: str, host: str, port: int, addresses: list[str], timeout_s: float
) -> http.client.HTTPConnection:
    """A connection to one of the very addresses that were checked, under the host's name."""
    failure: OSError = OSError(f"{host} has no address")
    for address in addresses:
        try:
            raw = socket.create_connection((address, port), timeout_s)
        except OSError as error:
            failure = error
            continue
        if scheme == "http":
            connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
            connection.sock = raw
            return connection
        context = machine_context()
        connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        try:
            connection.sock = context.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise
        return connection
    raise failure


def _check_status(url: str, response: http.client.HTTPResponse) -> None:
    status = f"{response.status} {response.reason}".strip()
    if response.status in (404, 410):
        raise NotFound(f"{_public(url)} answers {status}", "check the URL")
    if response.status >= 500:
        raise NotReady(f"{_public(url)} answers {status}", "try again later")
    if response.status != 200:
        raise Refused(f"{_public(url)} answers {status}", "check the URL and its permissions")


def _reader(url: str, response: http.client.HTTPResponse) -> Callable[[memoryview], int]:
    size, done = response.length, 0

    def readinto(view: memoryview) -> int:
        nonlocal done
        try:
            n = response.readinto(view)
        except (OSError, http.client.HTTPException) as error:
            raise _unanswered(url, error) from error
        done += n
        # http.client takes a closed connection for the end of the body
        if n == 0 and len(view) and size is not None and done < size:
            raise NotReady(f"{_public(url)} ended after {done} of {size} bytes", "try again")
        return n

    return readinto


def _unanswered(url: str, error: Exception) -> NotReady:
    return NotReady(
        f"{_public(url)} does not answer: {error or type(error).__name__}",
        "check the address and the network, then try again",
    )


# object stores


def _open_object(url: str, config: Mapping[str, str] | None, timeout_s: float) -> Remote:
    scheme, bucket, key = buckets.split(url)
    if not key or key.endswith("/"):
        raise InvalidArgument(f"{url} names no object", "walk a prefix with -r")
    try:
        result = buckets.store(scheme, bucket, config, timeout_s).get(key)
        stream = iter(result.stream(min_chunk_size=1 << 20))
    except Exception as error:
        raise buckets.told(url, error, "read") from error
    rest = memoryview(b"")

    def readinto(view: memoryview) -> int:
        nonlocal rest
        while not rest:
            try:
                rest = memoryview(next(stream))
            except StopIteration:
                return 0
            except Exception as error:
                raise buckets.told(url, error, "read") from error
        n = min(len(view), len(rest))
        view[:n] = rest[:n]
        rest = rest[n:]
        return n

    return Remote(url, result.meta["size"], readinto)


def _real_objects(
    store: ObjectStore, url: str, prefix: str, warn: Callable[[str], None]
) -> Iterator[tuple[str, int]]:
    """Keys and sizes below ``prefix``, without the keys that end in a slash.

    obstore drops that slash. Such a key betrays itself by being empty or a directory of
    the next one, and by not being there when asked for without the slash.
    """
    try:
        batches = store.list(prefix=f"{prefix}/" if prefix else None)
        items = ((meta["path"], meta["size"]) for batch in batches for meta in batch)
        pending: tuple[str, int] | None = None
        for item in chain(items, [("", 0)]):
            if pending is not None:
                path, size = pending
                doubtful = size == 0 or item[0].startswith(path + "/")
                if path == prefix or (doubtful and not _exists(store, path)):
                    warn(f"{path}/ ends in a slash: a folder marker, not stored")
                else:
                    yield path, size
            pending = item
    except PachyboxError:
        raise
    except Exception as error:
        raise buckets.told(url, error, "read") from error


def _exists(store: ObjectStore, path: str) -> bool:
    try:
        store.head(path)
    except FileNotFoundError:
        return False
    return True
