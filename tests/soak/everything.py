"""Everything at once, with kill -9 at random moments, for as long as one likes.

    make soak ARGS='MINUTES [SEED]'        10 and 1 when not given

Files are put by the client and by S3, records are posted, a cron ticks each second, two pipelines
follow, readers look at everything, content is deleted and collected, proven, and the box is written
out whole and backed up, old backups pruned; and every few seconds the daemon is killed. What was
acknowledged is kept in mind. At the end: all of it is there and right, each record once, no tick
twice, the pipelines have done all, fsck finds nothing, every backup is whole by all its bytes, the
oldest has what was acknowledged before it began, and the daemon's memory in the second half is what
it was in the first. A line each half minute; exit 1 when something does not hold.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

from pachybox.client import Client
from pachybox.errors import AlreadyExists, NotFound, NotReady, PachyboxError, Unreachable
from tests.boxes import RealBox, eventually
from tests.flow.posting import Poster, committed, records
from tests.s3 import S3

BACKUPS_KEPT = "last 3"
SETTINGS = "gc_interval_s = 5\nscrub_days = 1\nlogs_bytes = 20000000\n"
KILLS_S = (4.0, 12.0)  # between two kills
MEMORY_MB = 500.0
GROWTH = 1.25  # times the first half's most, and ...
SLACK_MB = 40.0  # ... so much more: a life of seconds says little
LINE_S = 30.0
COPY = {
    "pipeline": {"name": "copy"},
    "input": {"pfs": {"repo": "data", "glob": "/*"}},
    "transform": {"cmd": ["sh"], "stdin": ["cp -r /pfs/data/* /pfs/out/"]},
    "parallelism_spec": {"constant": 2},
}
COUNT = {
    "pipeline": {"name": "count"},
    "input": {"pfs": {"repo": "copy", "glob": "/"}},
    "transform": {"cmd": ["sh"], "stdin": ["find /pfs/copy -type f | wc -l > /pfs/out/files"]},
}
CLOCK = {
    "pipeline": {"name": "clock"},
    "input": {"cron": {"name": "tick", "spec": "@every 1s"}},
    "transform": {"cmd": ["sh"], "stdin": ["ls /pfs/tick > /pfs/out/last"]},
}
Broken = (Unreachable, NotReady, HTTPException, OSError)
"""What a client of a box meets that is killed."""


class Everything:
    """The load on one box, and what it must hold for it."""

    def __init__(self, box: RealBox, where: Path, seed: int, pace_s: float) -> None:
        """``pace_s``: each of the clients does something so often."""
        self._box, self._where, self._pace_s = box, where, pace_s
        self._draw = random.Random(seed)
        self._stop = threading.Event()
        self._up = threading.Event()
        self._began = time.monotonic()
        self.put: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.posted: list[int] = []
        self.backed: dict[str, tuple[list[str], list[str]]] = {}
        """By backup the files and objects that were acknowledged before it began."""
        self.memory: list[tuple[float, float]] = []
        self.kills = 0
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []

    # ---- the run

    def prepare(self) -> None:
        """Make repos, sources and pipelines."""
        client = self._box.client
        for name in ("data", "bucket", "events"):
            client.create_repo(name)
        client.create_branch("bucket@master")
        client.create_ingest(
            {"name": "events", "to": "events@master", "push": {"group": {"time": "200ms"}}}
        )
        for spec in (COPY, COUNT, CLOCK):
            client.create_pipelines(json.dumps(spec))

    def run(self, seconds: float) -> None:
        """Make load and kill the box; then bring it to rest and prove what must hold."""
        self.prepare()
        self._up.set()
        works = (
            self._putting, self._storing, self._posting, self._reading, self._looking,
            self._deleting, self._caring, self._backing, self._weighing,
        )  # fmt: skip
        threads = [threading.Thread(target=self._guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        until = self._began + seconds
        line = self._began + LINE_S
        while (now := time.monotonic()) < until:
            self._stop.wait(min(self._draw.uniform(*KILLS_S), until - now))
            self._kill()
            if time.monotonic() > line:
                line += LINE_S
                print(self.line(), flush=True)
        self._stop.set()
        for thread in threads:
            thread.join()
        self._rest()
        self._prove()

    def line(self) -> str:
        """How it goes."""
        figures = " ".join(f"{name}={count}" for name, count in sorted(self.done.items()))
        memory = self.memory[-1][1] if self.memory else 0.0
        passed = time.monotonic() - self._began
        return f"{passed:5.0f} s kills={self.kills} rss_mb={memory:.0f} {figures}"

    def _kill(self) -> None:
        self._up.clear()
        self._box.kill()
        self._box.start()
        self.kills += 1
        self._up.set()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do ``work`` again and again; what a killed box breaks is met by the next turn."""
        name = work.__name__.strip("_")
        while not self._stop.wait(self._pace_s):
            if not self._up.wait(1.0):
                continue
            try:
                work()
                self.done[name] += 1
            except AssertionError as e:
                self.wrong.append(f"{name}: {e}")
            except Broken:
                self.done["broken"] += 1
            except PachyboxError as e:
                self.wrong.append(f"{name}: {type(e).__name__} {e}")

    # ---- the clients, one turn each

    def _client(self) -> Client:
        return Client(str(self._box.socket))

    def _bytes(self) -> bytes:
        size = random.choice((0, 20, 900, 5000, 160_000, 1_200_000))
        return os.urandom(size)

    def _putting(self) -> None:
        path, data = f"/d{self.done['putting'] % 20}/{time.monotonic_ns()}", self._bytes()
        with self._client() as client:
            client.put_file(f"data@master:{path}", data)
        self.put[path] = data

    def _http(self) -> str:
        with self._client() as client:
            return client.status().address

    def _storing(self) -> None:
        s3 = S3.of(self._http())
        try:
            for _ in range(10):
                key, data = f"k{time.monotonic_ns()}", os.urandom(random.choice((10, 3000)))
                if s3("PUT", f"/bucket/{key}", body=data).status == 200:
                    self.objects[key] = data
        finally:
            s3.close()

    def _posting(self) -> None:
        poster = Poster(self._box, address=self._http().removeprefix("http://"))
        try:
            for _ in range(10):
                number = time.monotonic_ns()
                if poster("events", {"n": number}, key=str(number)).status == 200:
                    self.posted.append(number)
        finally:
            poster.close()

    def _reading(self) -> None:
        """What was acknowledged is what is read, at any moment."""
        with self._client() as client:
            if self.put:
                path = random.choice(list(self.put))
                assert client.get_file(f"data@master:{path}") == self.put[path], path

    def _looking(self) -> None:
        """What a terminal asks for."""
        with self._client() as client:
            client.summary()
            list(client.list_job())
            client.status()
            with suppress(NotFound, NotReady):
                list(client.list_file("copy@master:/"))

    def _deleting(self) -> None:
        """A repo that comes and goes, for the collector."""
        with self._client() as client:
            with suppress(AlreadyExists):
                client.create_repo("brief")
            client.put_file("brief@master:/large", os.urandom(300_000))
            client.delete_repo("brief", force=True)

    def _caring(self) -> None:
        with self._client() as client:
            client.collect_garbage()
            last = list(client.scrub(now=True))[-1]
            assert not last.get("damage"), last
            assert not client.status().warnings, client.status().warnings
            whole = self._where / "whole.tar"
            self._box.run("extract", "-f", str(whole))
            whole.unlink(missing_ok=True)

    @property
    def _backups(self) -> str:
        return str(self._where / "backups")

    def _backing(self) -> None:
        """A backup, which is whole, and is there until it is pruned."""
        before = list(self.put), list(self.objects)
        with self._client() as client:
            made = client.create_backup(self._backups)
            self.backed[made.id] = before
            problems = client.verify_backup(self._backups, [made.id]).get("problems")
            assert not problems, problems
            kept = client.prune_backup(BACKUPS_KEPT, self._backups).get("kept") or []
            assert made.id in [one["id"] for one in kept], f"{made.id} was pruned"

    def _weighing(self) -> None:
        process = self._box.process
        if process is not None:
            text = Path(f"/proc/{process.pid}/status").read_text()
            if "VmRSS:" in text:
                rss = int(text.partition("VmRSS:")[2].split()[0]) / 1024
                self.memory.append((time.monotonic() - self._began, rss))

    # ---- what must hold

    def _rest(self) -> None:
        client = self._box.client
        client.stop_pipeline("clock")
        committed(client, "events", len(self.posted))

        def over() -> bool:
            return client.status().jobs_running == 0 and all(j.done for j in client.list_job())

        eventually(over, "every job is over", 300)

    def _prove(self) -> None:
        assert not self.wrong, self.wrong
        client = self._box.client
        for path, data in self.put.items():
            assert client.get_file(f"data@master:{path}") == data, path
            assert client.get_file(f"copy@master:{path}") == data, f"copy of {path}"
        for key, data in self.objects.items():
            assert client.get_file(f"bucket@master:/{key}") == data, key
        count = sum(not f.is_dir for f in client.walk_file("data@master:/"))
        assert int(client.get_file("count@master:/files")) == count
        came = Counter(json.loads(line)["n"] for line in records(client, "events@master"))
        assert not set(self.posted) - set(came), "posted records are missing"
        assert max(came.values(), default=1) == 1, "a record is there twice"
        ids = [c.id for c in client.list_commit("clock_tick@master")]
        sizes = [len(list(client.list_file(f"clock_tick@{id_}:/"))) for id_ in ids]
        ticked = [size for size in sizes if size]
        assert len(set(ticked)) == len(ticked) == max(ticked, default=0), "a tick is there twice"
        assert not [f for f in client.fsck() if f.get("level") != "info"]
        self._prove_backups()
        self._flat()

    def _prove_backups(self) -> None:
        """Each backup is whole, and the oldest is restored."""
        client = self._box.client
        last = client.create_backup(self._backups)
        self.backed[last.id] = list(self.put), list(self.objects)
        found = client.verify_backup(self._backups, share=1.0)
        assert not found.get("problems"), found
        ids = [one.id for one in client.list_backup(self._backups)]
        assert ids[-1] == last.id, ids
        id = next(id for id in ids if id in self.backed)  # who was killed knows of no other
        files, objects = self.backed[id]
        home = self._where / "restored"
        self._box.cli("backup", "restore", id, "--from", self._backups, "--home", str(home))
        again = RealBox(home).start()
        try:
            for path in files:
                assert again.client.get_file(f"data@master:{path}") == self.put[path], path
            for key in objects:
                assert again.client.get_file(f"bucket@master:/{key}") == self.objects[key], key
            assert not [f for f in again.client.fsck() if f.get("level") == "error"]
        finally:
            again.kill()

    def _flat(self) -> None:
        """Memory of the second half beside the first."""
        if not self.memory:
            return
        half = self.memory[-1][0] / 2
        first = max((mb for at, mb in self.memory if at <= half), default=0.0)
        second = max((mb for at, mb in self.memory if at > half), default=0.0)
        assert second <= MEMORY_MB, f"the daemon took {second:.0f} MB"
        assert second <= first * GROWTH + SLACK_MB, f"memory grew: {first:.0f}, {second:.0f} MB"


def main(arguments: list[str]) -> int:
    """See the module."""
    minutes = float(arguments[0]) if arguments else 10.0
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    where = Path(tempfile.mkdtemp(prefix="pachybox-soak-"))
    box = RealBox(where / "home", settings=SETTINGS).start()
    everything = Everything(box, where, seed, 0.05)
    try:
        everything.run(minutes * 60)
    except AssertionError as e:
        print(everything.line())
        print(f"does not hold, see {where}: {e}", file=sys.stderr)
        box.kill()
        return 1
    print(everything.line())
    print("all holds")
    box.stop()
    shutil.rmtree(where)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
