"""The small world that fuzzed requests speak of, and boxes that hold a copy of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from tests.boxes import RealBox, eventually
from tests.fuzz.noise import DATUM, ID
from tests.fuzz.wire import exchange

TOKEN = "fuzz-token-of-the-box"
_SPEC = {
    "pipeline": {"name": "edges"},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
    "transform": {"cmd": ["sh"], "stdin": ["cp -r /pfs/images/* /pfs/out/"]},
}
_CLUSTER = (
    b"POST /api/admin_v2.API/InspectCluster HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)
_SECRET = {
    "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"},
    "stringData": {"k": "v", "token": "v"},
}  # fmt: skip
_SOURCES = (("pushed", ""), ("closed", "key"))


@dataclass(frozen=True)
class World:
    """A box's directory, full and stopped. ``ids`` are the real ones by their stand-ins."""

    home: Path
    ids: dict[bytes, bytes] = field(default_factory=dict)

    def copy(self, where: Path, token: str = "") -> Subject:
        """A running box that holds all this."""
        shutil.copytree(self.home, where)
        settings = f'token = "{token}"\n' if token else ""
        return Subject(RealBox(where, settings=f"workers = 1\n{settings}"), self)

    def real(self, data: bytes) -> bytes:
        """``data`` with real ids for their stand-ins, which are as long."""
        for stand_in, id_ in self.ids.items():
            data = data.replace(stand_in, id_)
        return data


def build(home: Path) -> World:
    """Repos with files and branches, a pipeline with a job, a secret, a project, a source, what is
    open."""
    box = RealBox(home).start()
    c = box.client
    c.create_repo("images")
    with c.put("images@master") as put:
        put.data("/a.txt", b"hello\n")
        put.data("/dir/b", b"b" * 3000)
        put.data("/large", b"large" * 60_000)
    c.create_branch("images@staging", head="master")
    c.create_repo("other")
    c.start_commit("other@master")
    c.create_project("space")
    c.create_secret(json.dumps(_SECRET))
    c.create_ingest({"name": "events", "to": "images@landing", "push": {}})
    c.pause_ingest("events")
    c.create_repo("events")
    for source, secret in _SOURCES:  # what they take they commit when they end
        push = {"secret": secret, "group": {"time": "24h"}}
        c.create_ingest({"name": source, "to": f"events@{source}", "push": push})
    c.create_pipelines(json.dumps(_SPEC))
    job = next(iter(c.list_job("edges")))
    c.wait_job(f"edges@{job.id}")
    datum = next(iter(c.list_datum(f"edges@{job.id}")))
    eventually(lambda: c.status().jobs_running == 0, "nothing runs any more")
    exchange(str(box.socket), _CLUSTER)  # a box gives itself an id when it is asked for it first
    assert box.stop() == 0
    ids = {ID.encode(): job.id.encode(), DATUM.encode(): datum.id.encode()}
    assert all(len(a) == len(b) for a, b in ids.items())
    return World(home, ids)


@dataclass(frozen=True)
class Resources:
    """What a process holds."""

    threads: int
    fds: int
    resident: int

    def __sub__(self, other: Resources) -> Resources:
        return Resources(
            self.threads - other.threads, self.fds - other.fds, self.resident - other.resident
        )


class Subject:
    """A box under test, watched from outside."""

    def __init__(self, box: RealBox, world: World) -> None:
        self.box = box
        self.real = world.real
        self._log = box.home / "run" / "box.log"
        self._log_read = self._log.stat().st_size
        self.start()

    def start(self) -> None:
        """Have it run, and learn where."""
        status = self.box.start().client.status()
        self.http = _address(status.address)
        self.grpc = _address(status.grpc_address)

    def lives(self) -> bool:
        """Whether the daemon runs and answers."""
        assert self.box.process is not None
        return self.box.process.poll() is None and self.box.client.healthy()

    def tell(self) -> str:
        """The status it ended with, and the end of its log."""
        assert self.box.process is not None
        end = self._log.read_text(errors="replace").splitlines()[-5:]
        return f"exit status {self.box.process.poll()}; its log: " + " | ".join(end)

    def resources(self) -> Resources:
        assert self.box.process is not None
        at = Path(f"/proc/{self.box.process.pid}")
        resident = int((at / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return Resources(len(os.listdir(at / "task")), len(os.listdir(at / "fd")), resident)

    def complaints(self) -> list[str]:
        """Lines of the log since the last look that tell of a defect of the box."""
        size = self._log.stat().st_size
        if size == self._log_read:
            return []
        if size < self._log_read:
            self._log_read = 0  # it was rotated
        with open(self._log, "rb") as log:
            log.seek(self._log_read)
            text = log.read()
        self._log_read += len(text)
        return [
            line
            for line in text.decode(errors="replace").splitlines()
            if " level=error " in line or "traceback=" in line
        ]

    def state(self) -> dict[str, str]:
        """Stop the box (it stays stopped) and digest every table of its metadata, which names
        all content by its hash; raises AssertionError when the stop is not a clean one."""
        assert self.box.stop() == 0, "the box does not stop cleanly"
        return state_of(self.box.home)

    def end(self) -> None:
        """Take the box away, in whatever state it is."""
        self.box.kill()
        shutil.rmtree(self.box.home, ignore_errors=True)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.partition("://")[2].rpartition(":")
    return host, int(port)


def state_of(home: Path) -> dict[str, str]:
    """A digest of each table of a stopped box; without the events that tell how its sources fare,
    which each start has anew."""
    found = {}
    with duckdb.connect(str(home / "meta.duckdb"), read_only=True) as con:
        for (table,) in con.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            if table in ("datum_hashes", "hashes_moved"):  # brought into their index some time
                continue
            which = "WHERE kind <> 'ingest.state'" if table == "events" else ""
            rows = con.execute(f'SELECT * FROM "{table}" {which} ORDER BY ALL').fetchall()
            digest = hashlib.sha256(repr(rows).encode()).hexdigest()[:12]
            found[str(table)] = f"{len(rows)} rows {digest}"
    return found
