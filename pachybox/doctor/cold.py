"""The metadata of a box that does not run: read, and not changed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import duckdb

from pachybox.config import Config
from pachybox.doctor import secret_key
from pachybox.doctor.codes import found
from pachybox.meta.connect import first_line, migrations
from pachybox.pps.runners.base import Finding

_AHEAD_S = 60.0


def findings(config: Config) -> Iterator[Finding]:
    """What the database says, and whether the key of its secrets is there."""
    path = config.home / "meta.duckdb"
    try:
        version, secrets = _read(path)
    except duckdb.Error as e:
        text = f"{path} cannot be read: {first_line(e)}"
        yield found("PB209", "fail", text, "restore a backup; keep this directory until then")
        return
    newest = migrations()[-1][0]
    if version > newest:
        text = f"{path} has schema version {version}; this pachybox knows up to {newest}"
        yield found("PB209", "fail", text, "run the newer pachybox that wrote it")
        return
    older = f", brought to {newest} by the next start" if version < newest else ""
    yield found("PB209", "ok", f"schema version {version}{older}")
    yield of_time(path.stat().st_mtime)
    if secrets:
        yield secret_key.finding(config)


def _read(path: Path) -> tuple[int, int]:
    """(schema version, number of secrets)."""
    with duckdb.connect(str(path), read_only=True, config={"memory_limit": "192MB"}) as database:
        version = database.execute("SELECT max(version) FROM schema_version").fetchall()[0][0]
        secrets = database.execute("SELECT count(*) FROM secrets").fetchall()[0][0]
    return int(version or 0), int(secrets)


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
