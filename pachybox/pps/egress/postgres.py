"""Tables of a PostgreSQL database, filled by COPY."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote

from pachybox.errors import InvalidArgument, NotReady, PachyboxError, Refused
from pachybox.pps.egress.rows import Column, Row, as_text
from pachybox.pps.egress.sql import batches, is_text, qualified, quoted
from pachybox.pps.egress.target import Database

_TIMEOUT_S = 600.0  # of each wait for the server: it answers a COPY when it has stored the rows
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_LOCAL = ("", "localhost", "127.0.0.1", "::1")


@contextmanager
def open_postgres(target: Database, password: str | None) -> Iterator[PostgresTables]:
    """A transaction. Refused when the server lets us not in, NotReady when it does not answer.

    ``sslmode`` in the URL is libpq's; without it the connection is encrypted when the server
    is on another machine. ``host`` may name the directory of a Unix socket.
    """
    import pg8000.dbapi as pg

    try:
        con = pg.connect(**_where(target.url), password=password, timeout=_TIMEOUT_S)
    except (pg.Error, OSError) as e:
        raise _told(target, e, "let the box in, and see that user and secret are right") from e
    try:
        try:
            yield PostgresTables(con, target)
        except (pg.Error, OSError) as e:
            raise _told(target, e, "see the server's log") from e
    finally:
        try:
            con.close()  # an open transaction is undone
        except (pg.Error, OSError):
            pass  # it was broken already


def _where(url: SplitResult) -> dict[str, Any]:
    """The settings of a connection."""
    query = dict(parse_qsl(url.query))
    mode = query.pop("sslmode", "")
    host = query.pop("host", "") or url.hostname or "localhost"
    if query or (mode and mode not in _MODES):
        wrong = min(query) if query else f"sslmode={mode}"
        raise InvalidArgument(
            f"the url of egress has the parameter {wrong}, which is not known",
            f"sslmode ({', '.join(_MODES)}) and host are",
        )
    port = url.port or 5432
    made: dict[str, Any] = {
        "user": unquote(url.username or ""),
        "database": unquote(url.path.lstrip("/")),
        "application_name": "pachybox",
    }
    if host.startswith("/"):
        return {**made, "unix_sock": f"{host}/.s.PGSQL.{port}", "ssl_context": False}
    mode = mode or ("prefer" if host in _LOCAL else "require")
    context: Any = {"disable": False, "allow": None, "prefer": None, "require": True}.get(mode)
    if mode.startswith("verify"):
        context = ssl.create_default_context()
        context.check_hostname = mode == "verify-full"
    return {**made, "host": host, "port": port, "ssl_context": context}


class PostgresTables:
    """See Tables."""

    def __init__(self, con: Any, target: Database) -> None:
        self._con = con
        self._cursor = con.cursor()
        self._target = target

    def columns(self, table: str) -> list[Column]:
        """See Tables."""
        schema, dot, name = table.partition(".")
        where = "%s" if dot else "current_schema()"
        self._cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns "
            f"WHERE table_schema = {where} AND table_name = %s AND is_generated = 'NEVER' "
            "ORDER BY ordinal_position",
            (schema, name) if dot else (table,),
        )
        return [Column(name, is_text(kind)) for name, kind in self._cursor.fetchall()]

    def clear(self, table: str) -> None:
        """See Tables."""
        self._cursor.execute(f"DELETE FROM {qualified(table)}")

    def insert(self, table: str, columns: Sequence[str], rows: Iterator[Row]) -> int:
        """See Tables."""
        names = ", ".join(map(quoted, columns))
        lines = ("".join(map(_line, batch)).encode() for batch in batches(rows))
        self._cursor.execute(
            f"COPY {qualified(table)} ({names}) FROM STDIN WITH (FORMAT CSV)", stream=lines
        )
        return int(self._cursor.rowcount)

    def commit(self) -> None:
        """See Tables."""
        self._con.commit()


def _line(row: Row) -> str:
    return ",".join(map(_cell, row)) + "\n"


def _cell(value: Any) -> str:
    """A value as COPY reads it: NULL is nothing at all, an empty string a pair of quotes."""
    if value is None:
        return ""
    text = f"\\x{value.hex()}" if isinstance(value, bytes) else as_text(value) or ""
    return '"' + text.replace('"', '""') + '"'


_NOT_IN = ("28", "3D")  # classes of SQLSTATE: no right to connect, no such database
_BAD_ROW = ("22", "23")  # a value that does not fit, a constraint


def _told(target: Database, e: Exception, hint: str) -> PachyboxError:
    """The server's error in ours: its text, and the place in the rows it names."""
    said = e.args[0] if e.args and isinstance(e.args[0], dict) else {}
    state = str(said.get("C", ""))
    text = said.get("M") or str(e)
    if where := said.get("W"):
        text += f" ({where.splitlines()[0]})"
    if state.startswith(_BAD_ROW):
        return InvalidArgument(f"a row does not fit {target}: {text}", "mend the pipeline's output")
    if state.startswith(_NOT_IN):
        return Refused(f"{target}: {text}", hint)
    return NotReady(f"{target}: {text}", hint)
