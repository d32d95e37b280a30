"""The metadata of a box that does not run: read, and not changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb

from pachybox.config import Config
from pachybox.doctor import secret_key
from pachybox.doctor.codes import found
from pachybox.errors import Corrupt
from pachybox.meta import journal
from pachybox.meta.connect import first_line, migrations
from pachybox.pps.runners.base import Finding

_AHEAD_S = 60.0


class _Kept(NamedTuple):
    """What the database says of itself."""

    version: int
    folded: int
    sealed: int


def findings(config: Config) -> Iterator[Finding]:
    """What the database and its journal say, and whether the key of its secrets is there."""
    path = config.home / "meta.duckdb"
    try:
        kept = _read(path)
    except duckdb.Error as e:
        text = f"{path} cannot be read: {first_line(e)}"
        yield found("PB209", "fail", text, "restore a backup; keep this directory until then")
        return
    newest = migrations()[-1][0]
    if kept.version > newest:
        text = f"{path} has schema version {kept.version}; this pachybox knows up to {newest}"
        yield found("PB209", "fail", text, "run the newer pachybox that wrote it")
        return
    older = f", brought to {newest} by the next start" if kept.version < newest else ""
    yield found("PB209", "ok", f"schema version {kept.version}{older}")
    yield from _journal(path.with_name(f"{path.name}.journal"), kept.folded)
    yield of_time(path.stat().st_mtime)
    if kept.sealed:
        yield secret_key.finding(config)


def _read(path: Path) -> _Kept:
    with duckdb.connect(str(path), read_only=True, config={"memory_limit": "192MB"}) as database:
        rows = database.execute("SELECT table_name FROM information_schema.tables").fetchall()
        tables = {name for (name,) in rows}

        def number(query: str, table: str) -> int:
            if table not in tables:  # of a later version than wrote the database
                return 0
            return int(database.execute(f"{query} FROM {table}").fetchall()[0][0] or 0)

        return _Kept(
            number("SELECT max(version)", "schema_version"),
            number("SELECT max(number)", "folded"),
            number("SELECT count(*)", "secrets")
            + number("SELECT count_if(octet_length(sealed) > 0)", "tokens"),
        )


def _journal(path: Path, number: int) -> Iterator[Finding]:
    if not path.exists():
        return
    try:
        waiting = len(journal.read(path, number))
    except Corrupt as e:
        yield found("PB212", "fail", e.message, e.hint)
        return
    text = f"{waiting} groups of changes wait for the next start" if waiting else "nothing waits"
    yield found("PB212", "ok", text)


def of_time(written: float) -> Finding:
    """Whether what was written last (seconds since 1970) is from the future."""
    ahead = written - time.time()
    if ahead <= _AHEAD_S:
        return found("PB107", "ok", "what was written last is of the past")
    return found(
        "PB107",
        "warn",
        f"the clock stands {ahead:.0f} s before what the box wrote last",
        "set the clock right; when it was wrong before, wait until it has caught up",
    )
