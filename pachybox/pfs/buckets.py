"""Buckets of s3://, gs:// and az:// URLs: names, connections, errors.

Credentials and endpoint are those of the box: its environment, or ``config``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pachybox.errors import InvalidArgument, NotFound, NotReady, PachyboxError, Refused

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_PART = 64 << 20  # bytes of a part; a store takes 10,000 of an object
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_ACCOUNT = re.compile(r"[a-z0-9]{1,24}")
_ALIKE = {"gcs": "gs"}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


def split(url: str) -> tuple[str, str, str]:
    """(scheme, bucket, key) of a URL; the key may be empty. InvalidArgument without a bucket."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise InvalidArgument(f"{url} names no bucket", f"write {scheme}://BUCKET/KEY")
    return scheme.lower(), bucket, key


def canonical(url: str, *, trusted: bool) -> tuple[str, dict[str, str]]:
    """A bucket's URL in the schemes of this module, and settings that the URL itself names.

    ``gcs://`` is ``gs://``; ``azblob://`` and ``wasb://CONTAINER@ACCOUNT.blob.core.windows.net``
    are ``az://``; ``minio://HOST:PORT/BUCKET`` is ``s3://`` at that server, which only
    ``trusted`` callers may name. Raises InvalidArgument, and Refused.
    """
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme == "minio":
        if not trusted:
            raise Refused(
                f"{url} names a server for the box to turn to",
                "ask on the machine itself, or name an s3:// bucket",
            )
        host, _, path = rest.partition("/")
        if not host or not path:
            raise InvalidArgument(f"{url} names no bucket", "write minio://HOST:PORT/BUCKET/KEY")
        secure = "https" if host.endswith(":443") else "http"
        return f"s3://{path}", {"endpoint": f"{secure}://{host}"}
    if scheme in ("wasb", "wasbs", "azblob", "azure"):
        container, _, path = rest.partition("/")
        container, _, host = container.partition("@")
        account = host.partition(".")[0]
        if account and not _ACCOUNT.fullmatch(account):  # it becomes a part of the server's name
            raise InvalidArgument(
                f"{url} names no account",
                f"write {scheme}://CONTAINER@ACCOUNT.blob.core.windows.net/",
            )
        return f"az://{container}/{path}", {"account_name": account} if account else {}
    return f"{_ALIKE.get(scheme, scheme)}://{rest}", {}


def store(
    scheme: str, bucket: str, config: Mapping[str, str] | None, timeout_s: float
) -> ObjectStore:
    """One store, with its connections and credentials, for all objects of a bucket.

    ``timeout_s`` bounds connecting and each wait for data, not the whole.
    """
    return _store(scheme, bucket, tuple(sorted((config or {}).items())), timeout_s)


@lru_cache(maxsize=32)
def _store(
    scheme: str, bucket: str, config: tuple[tuple[str, str], ...], timeout_s: float
) -> ObjectStore:
    from obstore.store import from_url

    settings: dict[str, Any] = dict(config)
    wait = timedelta(seconds=timeout_s)
    endpoint = settings.get("endpoint") or next(filter(None, map(os.environ.get, _ENDPOINTS)), "")
    make: Any = from_url  # its overloads want each provider's settings by name
    store: ObjectStore = make(
        f"{scheme}://{bucket}",
        config=settings,
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": wait,
            "read_timeout": wait,
            "timeout": timedelta(days=7),  # of a whole object; 30 s unless said otherwise
        },
        retry_config={"max_retries": 3, "retry_timeout": wait},
    )
    return store


class Writing:
    """An object being written; it is there once it was closed, not before."""

    def __init__(self, url: str, writer: Any) -> None:
        self._url = url
        self._writer = writer

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """One piece, all of it."""
        try:
            self._writer.write(bytes(data))
        except Exception as error:
            raise told(self._url, error, "written") from error

    def close(self) -> None:
        """End the object."""
        try:
            self._writer.close()
        except Exception as error:
            raise told(self._url, error, "written") from error


@contextmanager
def create(
    url: str, *, config: Mapping[str, str] | None = None, timeout_s: float = 60.0
) -> Iterator[Writing]:
    """Write one object, in parts; left by an exception, there is none.

    Raises InvalidArgument on a URL of another scheme, Refused or NotReady when the store does
    not take it.
    """
    scheme, bucket, key = split(url)
    if scheme not in ("s3", "gs") or not key or key.endswith("/"):
        raise InvalidArgument(f"{url} names no object", "write s3://BUCKET/KEY or gs://BUCKET/KEY")
    import obstore

    to = store(scheme, bucket, config, timeout_s)
    out = Writing(url, obstore.open_writer(to, key, buffer_size=_PART, max_concurrency=2))
    yield out
    out.close()


_MACHINES = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
"""Where clouds have credentials for their machines; asked for when none are given."""


def told(url: str, error: Exception, verb: str) -> PachyboxError:
    """The error of obstore in ours; its own text has many lines, the first says it. ``verb`` is
    what was to be done to the URL: read, written."""
    from obstore.exceptions import InvalidPathError, PermissionDeniedError, UnauthenticatedError

    if isinstance(error, FileNotFoundError):
        return NotFound(f"{url} does not exist", "check bucket and key")
    text = (str(error).splitlines() or [type(error).__name__])[0][:300]
    credentials = "give the box credentials (AWS_..., GOOGLE_... or AZURE_... in its environment)"
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return Refused(f"{url} may not be {verb}: {text}", credentials)
    if any(host in text for host in _MACHINES):
        return NotReady(f"{url} cannot be {verb} without credentials: {text}", credentials)
    if isinstance(error, InvalidPathError | ValueError):
        return InvalidArgument(f"{url} has a key that is no path: {text}", "rename the object")
    return NotReady(f"{url} cannot be {verb}: {text}", "check the address, then try again")
