"""All five kinds of source on one box, load for them, and what must hold of what they brought.

Everything that comes in has a number or a name that nothing else has, and says what it must hold,
so that what is there can be proven: nothing that was taken is lost, nothing is there twice.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from pathlib import Path

from pachybox.client import Client
from pachybox.errors import NotFound, PachyboxError
from tests.boxes import RealBox, eventually
from tests.flow.posting import Poster, committed, records
from tests.flow.test_spouts import HEAD, PYTHON, processes

POSTERS = 3
SOURCES = ("events", "drops", "journal", "count")
MARK = "#all-sources"

# Numbers from the marker on, each in two files of one archive: 8 bytes in each.
COUNT = f"""{HEAD}
at = int(open("/pfs/at").read()) if os.path.exists("/pfs/at") else 0
while True:
    at += 1
    line = b"%07d\\n" % at
    with open("/pfs/out", "wb") as pipe:
        archive(pipe, ("log", line), ("at", b"%d" % at), ("twin", line))
    time.sleep(0.02)
"""

JOURNAL = """
n=${PACHYBOX_MARKER:-0}
while :; do n=$((n + 1)); echo "{\\"n\\": $n}"; [ $((n % 5)) = 0 ] && sleep 0.02; done
"""


def content(name: str) -> bytes:
    """What a dropped file holds."""
    seed = zlib.crc32(name.encode())
    return random.Random(seed).randbytes(seed % 20_000)


class IngestLoad:
    """Clients of one box that is killed now and then: they go on until what they have is taken."""

    def __init__(self, box: RealBox, address: str, where: Path) -> None:
        self.box = box
        self.address = address
        self.folder, self.aside = where / "in", where / "aside"
        self.taken: list[str] = []
        self.dropped: list[str] = []
        self.errors: list[BaseException] = []
        self._commits: dict[str, int] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def prepare(self) -> None:
        """Make sources of all kinds. Old commits of what is posted and dropped are squashed."""
        self.folder.mkdir()
        self.aside.mkdir()
        c = self.box.client
        for repo in ("events", "drops", "journal"):
            c.create_repo(repo)
        for repo in ("events", "drops"):
            c.create_branch(f"{repo}@master")
            self.box.cli("update", "branch", f"{repo}@master", "--keep", "last 10")
        group = {"time": "200ms", "records": 500}
        for name, kind, part in (
            ("events", "push", {"group": group}),
            ("drops", "watch", {"path": str(self.folder), "settle": "200ms", "batch": "300ms"}),
            ("journal", "command", {"cmd": ["sh", "-c", JOURNAL], "marker": "n", "group": group}),
        ):
            c.create_ingest({"name": name, "to": f"{name}@master", kind: part})
        spout = {
            "pipeline": {"name": "count"},
            "transform": {"cmd": [PYTHON, "-c", COUNT, MARK]},
            "spout": {"marker": "at"},
        }
        ticked = {
            "pipeline": {"name": "ticked"},
            "input": {"cron": {"name": "tick", "spec": "@every 1s"}},
            "transform": {"cmd": ["true"]},
        }
        c.create_pipelines(json.dumps(spout))
        c.create_pipelines(json.dumps(ticked))

    def begin(self) -> None:
        """Start the clients."""
        posters = [lambda n=n: self._post(n) for n in range(POSTERS)]  # type: ignore[misc]
        for work in (*posters, self._drop):
            thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Have the clients bring to an end what they do; raises what broke one."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client hangs"
        if self.errors:
            raise self.errors[0]

    def stop(self) -> None:
        """Have the clients end when they can."""
        self._stop.set()

    def progress(self) -> int:
        """Things that came in by clients."""
        return len(self.taken) + len(self.dropped)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as e:
            self.errors.append(e)

    def _post(self, poster: int) -> None:
        post = Poster(self.box, address=self.address)
        number = 0
        while not self._stop.is_set():
            names = [f"{poster}-{number}-{i}" for i in range(1 + number % 4)]
            until = time.monotonic() + 60
            while not self._sent(post, names, f"{poster}-{number}"):
                assert time.monotonic() < until, "the box takes nothing"
                threading.Event().wait(0.02)  # the box is away
            with self._lock:
                self.taken += names
            number += 1
        post.close()

    def _sent(self, post: Poster, names: list[str], key: str) -> bool:
        try:
            answer = post("events", [{"id": name} for name in names], key=key)
        except (OSError, HTTPException):
            post.close()
            return False
        assert answer.status in (200, 503), f"{answer.status} {answer.body!r}"
        return answer.status == 200

    def _drop(self) -> None:
        number = 0
        while not self._stop.wait(0.03):
            name = f"d{number % 7}/f{number}" if number % 3 else f"f{number}"
            (self.aside / "new").write_bytes(content(name))
            (self.folder / name).parent.mkdir(exist_ok=True)
            (self.aside / "new").rename(self.folder / name)
            self.dropped.append(name)
            number += 1

    def further(self) -> None:
        """Wait until every source has brought something since this was last asked."""
        for name in (*SOURCES, "ticked_tick"):
            before = self._commits.get(name, 0)
            eventually(lambda n=name, b=before: self._count(n) > b, f"{name} gets on")  # type: ignore[misc]
            self._commits[name] = self._count(name)

    def _count(self, name: str) -> int:
        try:
            return self.box.client.inspect_ingest(name).commits
        except NotFound:
            return 0

    # ---- harm

    def kill(self, draw: random.Random) -> str:
        """kill -9 of one process or of the box, which is started again; what it was."""
        what = draw.choice(("box", "box", *SOURCES, "program", "command"))
        if what == "box":
            self.box.kill()
            if draw.random() < 0.3:  # and before it is up
                self.box.spawn()
                threading.Event().wait(draw.uniform(0.0, 0.6))
                self.box.kill()
            self.box.start()
            return what
        if what == "program":
            found = processes(MARK)
        elif what == "command":
            found = processes(JOURNAL)
        else:
            with suppress(PachyboxError):
                found = [self.box.client.inspect_ingest(what).pid]
        for pid in filter(None, found):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return what

    # ---- what must hold

    def check(self) -> str:
        """Bring all to rest and prove it; figures in words."""
        c = self.box.client
        committed(c, "events", len(self.taken))
        eventually(lambda: set(self._drops(c)) >= set(self.dropped), "all files are there")
        now = datetime.now(UTC)
        eventually(lambda: self._tick_times(c)[-1] >= now, "all ticks are made")
        c.stop_pipeline("ticked")
        for name in ("journal", "count"):
            c.pause_ingest(name)
        for name in ("journal", "count"):
            eventually(lambda n=name: not c.inspect_ingest(n).pid, f"{name} has ended")  # type: ignore[misc]
        assert not processes(MARK)
        assert not processes(JOURNAL)
        checks = (self._pushed, self._watched, self._told, self._spouted, self._ticks)
        figures = tuple(one(c) for one in checks)
        for repo in c.list_repo():
            assert "dead-letters" not in [b.name for b in c.list_branch(str(repo))], repo
        assert [f for f in c.fsck() if f.get("level") != "info"] == []
        words = ("records", "files", "lines", "archives", "ticks")
        return ", ".join(f"{count} {word}" for count, word in zip(figures, words, strict=True))

    def _pushed(self, c: Client) -> int:
        found = Counter(json.loads(one)["id"] for one in records(c, "events@master"))
        assert [name for name, count in found.items() if count > 1] == []
        assert set(found) == set(self.taken)
        eventually(lambda: len(list(c.list_commit("events"))) <= 10, "old commits go")
        return len(found)

    def _drops(self, c: Client) -> list[str]:
        try:
            return [f.path[1:] for f in c.glob_file("drops@master:/**") if not f.is_dir]
        except NotFound:
            return []

    def _watched(self, c: Client) -> int:
        found = self._drops(c)
        assert sorted(found) == sorted(self.dropped)
        for name in found:
            assert c.get_file(f"drops@master:/{name}") == content(name), name
        eventually(lambda: len(list(c.list_commit("drops"))) <= 10, "old commits go")
        return len(found)

    def _told(self, c: Client) -> int:
        found = [json.loads(one)["n"] for one in records(c, "journal@master")]
        assert found == list(range(1, len(found) + 1))
        assert found
        return len(found)

    def _spouted(self, c: Client) -> int:
        log = c.get_file("count@master:/log")
        assert log == b"".join(b"%07d\n" % n for n in range(1, len(log) // 8 + 1))
        assert c.get_file("count@master:/twin") == log
        assert int(c.get_file("count@marker:/at")) == len(log) // 8 > 0
        for commit in c.list_commit("count@master"):
            assert commit.size_bytes % 16 == 0, f"{commit} has a part of an archive"
        return len(log) // 8

    def _tick_times(self, c: Client) -> list[datetime]:
        names = [f.path[1:] for f in c.glob_file("ticked_tick@master:/*")]
        return sorted(datetime.fromisoformat(name) for name in names)

    def _ticks(self, c: Client) -> int:
        times = self._tick_times(c)
        assert all(b - a == timedelta(seconds=1) for a, b in itertools.pairwise(times))
        commits = [x for x in c.list_commit("ticked_tick") if x.branch == "master"]
        assert len(commits) == len(times) > 0
        return len(times)
