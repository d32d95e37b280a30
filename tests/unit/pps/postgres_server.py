"""A PostgreSQL server of the tests' own, on loopback and a Unix socket, with a password."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.boxes import eventually, free_port

PASSWORD = "pg-correct-horse"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that runs; its one user is ``owner``, its database ``postgres``."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://owner@127.0.0.1:{self.port}/postgres"

    def run(self, sql: str) -> list[Any]:
        """One statement of a test's, committed; the rows it gives."""
        import pg8000.native

        with pg8000.native.Connection(
            "owner",
            host="127.0.0.1",
            port=self.port,
            database="postgres",
            password=PASSWORD,
            ssl_context=False,
        ) as con:
            return list(con.run(sql) or [])


def programs() -> Path | None:
    """Where Debian, or the machine, has initdb and postgres."""
    places = [Path(p).parent for p in [shutil.which("initdb")] if p]
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = (p for p in places if (p / "initdb").exists() and (p / "postgres").exists())
    return next(found, None)


def _user() -> str | None:
    """Whom to run it as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def postgres(at: Path) -> Iterator[Postgres]:
    """Start a server with the programs at ``at``; stop it in the end."""
    user = _user()
    folder = Path(tempfile.mkdtemp(prefix="pachybox-pg-"))
    word = folder / "word"
    word.write_text(PASSWORD)
    if user is not None:
        entry = pwd.getpwnam(user)
        for path in (folder, word):
            os.chown(path, entry.pw_uid, entry.pw_gid)
    data = folder / "data"
    done = subprocess.run(
        [at / "initdb", "-D", data, "-U", "owner", "-A", "scram-sha-256", f"--pwfile={word}", "-N",
         "-E", "UTF8", "--locale=C"],
        user=user, capture_output=True, cwd=folder, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    port = free_port()
    server = subprocess.Popen(
        [at / "postgres", "-D", data, "-k", folder, "-h", "127.0.0.1", "-p", str(port), "-F"],
        user=user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    try:
        made = Postgres(folder, port)

        def answers() -> bool:
            import pg8000.exceptions

            assert server.poll() is None, "PostgreSQL ended"
            try:
                return made.run("SELECT 1") == [[1]]
            except (pg8000.exceptions.Error, OSError):
                return False

        eventually(answers, "PostgreSQL answers")
        yield made
    finally:
        server.send_signal(signal.SIGINT)  # "fast" shutdown
        server.wait(30)
        shutil.rmtree(folder)
