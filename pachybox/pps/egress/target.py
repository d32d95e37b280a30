"""Where an egress goes: the ``egress`` of a spec as a checked value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from pachybox.errors import InvalidArgument, Unimplemented
from pachybox.pfs import buckets

FORMATS = ("CSV", "JSON", "PARQUET")
PASSWORD_KEY = "PACHYDERM_SQL_PASSWORD"
"""The key of a secret, and the variable of the daemon, that Pachyderm has the password in."""

_BUCKETS = ("s3", "gs")
_DATABASES = ("postgresql", "postgres", "sqlite", "duckdb")
_FILES = ("sqlite", "duckdb")  # databases that are one file
_NOT_BUILT = {
    "as": "Azure",
    "wasb": "Azure",
    "wasbs": "Azure",
    "az": "Azure",
    "mysql": "MySQL",
    "snowflake": "Snowflake",
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """An object store: files go to ``prefix`` (no slash at its ends) and their path."""

    scheme: str
    name: str
    prefix: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.name}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Folder:
    """A directory of this machine."""

    path: PurePosixPath

    def __str__(self) -> str:
        return f"file://{self.path}"


@dataclass(frozen=True, slots=True)
class Database:
    """Tables of a database. ``secret`` is (name, key) of the password, if there is one."""

    url: SplitResult
    format: str
    columns: tuple[str, ...]
    secret: tuple[str, str] | None

    @property
    def path(self) -> PurePosixPath:
        """The file of a database that is one."""
        return PurePosixPath("/" + unquote(self.url.path).lstrip("/"))

    def __str__(self) -> str:
        where = self.url.netloc.rpartition("@")[2]
        return f"{self.url.scheme}://{where}{self.url.path}"


Target = Bucket | Folder | Database


def is_local(target: Target) -> bool:
    """Whether it is a directory or a file of the box's machine."""
    if isinstance(target, Database):
        return target.url.scheme in _FILES
    return isinstance(target, Folder)


def of_spec(spec: Mapping[str, Any]) -> Target | None:
    """The target of a pipeline's spec; None when it has no egress.

    Raises InvalidArgument, and Unimplemented for what other versions of Pachyderm know.
    """
    egress = spec.get("egress") or {}
    objects = egress.get("object_storage") or {}
    given = {
        "url": egress.get("url") or "",
        "object_storage.url": objects.get("url") or "",
        "sql_database.url": (egress.get("sql_database") or {}).get("url") or "",
    }
    named = [name for name, url in given.items() if url]
    if len(named) > 1:
        raise InvalidArgument(
            f"egress names two targets: {' and '.join(named)}", "a pipeline has one; remove one"
        )
    if not named:
        if egress.get("object_storage") is not None or egress.get("sql_database") is not None:
            raise InvalidArgument("egress has no url", "say where the output goes")
        return None
    if named[0] == "sql_database.url":
        return database(egress["sql_database"])
    return files(given[named[0]])


def files(url: str) -> Bucket | Folder:
    """The target of an egress of files."""
    parts = _split(url)
    if parts.scheme in _BUCKETS:
        if "@" in parts.netloc or parts.query:
            raise InvalidArgument(
                f"egress to {parts.scheme}:// takes no credentials in its url",
                "give them to the box (AWS_... or GOOGLE_... in its environment)",
            )
        scheme, name, prefix = buckets.split(url)
        return Bucket(scheme, name, "/".join(e for e in prefix.split("/") if e))
    if parts.scheme == "file":
        path = PurePosixPath("/" + unquote(parts.path).lstrip("/"))
        if parts.netloc not in ("", "localhost") or len(path.parts) < 2 or ".." in path.parts:
            raise InvalidArgument(
                f"egress to {url!r} names no directory", "write file:///path/to/directory"
            )
        return Folder(path)
    known = ", ".join(f"{s}://" for s in (*_BUCKETS, "file"))
    raise InvalidArgument(f"egress to {parts.scheme}:// is not known", f"use {known}")


def database(values: Mapping[str, Any]) -> Database:
    """The target of an egress to tables."""
    parts = _split(values["url"])
    if parts.scheme not in _DATABASES:
        known = ", ".join(f"{s}://" for s in _DATABASES if s != "postgres")
        raise InvalidArgument(f"egress to {parts.scheme}:// is not known", f"use {known}")
    form = values.get("file_format") or {}
    kind, columns = form.get("type") or "CSV", tuple(form.get("columns") or ())
    if kind not in FORMATS:
        raise InvalidArgument(
            f"egress.sql_database.file_format.type {kind!r} is not known",
            f"use {', '.join(FORMATS)}",
        )
    if len(set(columns)) != len(columns):
        raise InvalidArgument("egress names a column twice", "name each once in columns")
    if parts.scheme in _FILES:
        if parts.netloc or not parts.path.strip("/"):
            raise InvalidArgument(
                f"egress to {parts.scheme}:// names no file",
                f"write {parts.scheme}:///path/to/file",
            )
        return Database(parts, kind, columns, None)
    if parts.password is not None:
        raise InvalidArgument(
            "egress has a password in its url, where everybody can read it",
            "put it into a secret and name that: create secret -f FILE",
        )
    if not parts.path.strip("/") or not parts.username:
        raise InvalidArgument(
            f"egress to {parts.scheme}:// names no user or no database",
            "write postgresql://USER@HOST:PORT/DATABASE",
        )
    secret = values.get("secret") or {}
    if secret.get("key") and not secret.get("name"):
        raise InvalidArgument("egress names a key and no secret", "set secret.name")
    named = (secret["name"], secret.get("key") or PASSWORD_KEY) if secret.get("name") else None
    return Database(parts, kind, columns, named)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise InvalidArgument("the url of egress is not a URL", "check it") from None
    scheme = parts.scheme
    if scheme in _NOT_BUILT:
        raise Unimplemented(
            f"egress to {_NOT_BUILT[scheme]} ({scheme}://) is not built in this version of "
            "pachybox",
            "egress to s3://, gs://, file://, postgresql://, sqlite:// or duckdb://",
        )
    if not scheme or "://" not in url:
        raise InvalidArgument("the url of egress has no scheme", "write s3://BUCKET/PREFIX")
    return parts
