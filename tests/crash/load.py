"""A mixed load on a box by several client threads, and the ledger of what was acknowledged.

What a file holds follows from its path (``content``), so every file that is there can be
proven, acknowledged or not. Every acknowledgement is written down before the next request.
A thread ends when the box is gone.
"""

from __future__ import annotations

import json
import random
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pachybox.client import Client
from pachybox.errors import NotReady, Unreachable
from tests.boxes import RealBox, eventually

TOGETHER = 12  # files of one multi-file upload
MOST_DATUMS = 40

SCRIPT = """\
touch "$RUNS/$PACH_DATUM_ID.$(cat /proc/sys/kernel/random/uuid)"
for f in /pfs/in/*; do
  n=$(basename "$f")
  cat "$f" "$f" > "/pfs/out/$n.twice"
  head -c 200000 /dev/zero | tr '\\0' "${n#?}" > "/pfs/out/$n.large"
done
sleep 0.03
"""


def content(path: str) -> bytes:
    """What the file at ``path`` holds: small, now and then too long for a pack, or large."""
    seed = zlib.crc32(path.encode())
    if path.startswith("/large"):
        size = 2_000_000 + seed % 2_000_000
    elif seed % 7 == 0:
        size = 140_000
    else:
        size = seed % 3000
    return random.Random(seed).randbytes(size)


@dataclass
class Ledger:
    """What the box has acknowledged. Threads append; the test reads when they have ended."""

    files: list[tuple[str, str, str]] = field(default_factory=list)  # repo, ref, path
    opened: dict[str, list[str]] = field(default_factory=dict)  # open commits: id -> paths
    finished: list[str] = field(default_factory=list)  # commits of repo "open", finished
    marks: list[str] = field(default_factory=list)  # heads of small@mark, asked for
    mark: str = ""  # the last that was acknowledged
    inputs: list[str] = field(default_factory=list)
    done: dict[str, set[str]] = field(default_factory=dict)  # datum -> executions when finished


class Load:
    """Threads that work on one box; ``begin`` and ``end`` around each life of it."""

    def __init__(self, box: RealBox, runs: Path, seed: int) -> None:
        self.box = box
        self.runs = runs
        self.ledger = Ledger()
        self.errors: list[BaseException] = []
        self._draw = random.Random(seed)
        self._threads: list[threading.Thread] = []
        self._number = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def prepare(self) -> None:
        """Make the repos and the pipeline."""
        self.runs.mkdir()
        client = self.box.client
        for repo in ("small", "many", "large", "open", "in"):
            client.create_repo(repo)
        spec = {
            "pipeline": {"name": "twice"},
            "input": {"pfs": {"repo": "in", "glob": "/*"}},
            "transform": {
                "cmd": ["sh"],
                "stdin": SCRIPT.splitlines(),
                "env": {"RUNS": str(self.runs)},
            },
            "parallelism_spec": {"constant": 2},
        }
        client.create_pipelines(json.dumps(spec))

    def begin(self) -> None:
        """Start all threads."""
        self._stop.clear()
        work = (self.small, self.small, self.many, self.large, self.opens, self.move, self.feed)
        for one in (*work, self.watch, self.collect):
            thread = threading.Thread(target=self._until_gone, args=(one,))
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Wait until all threads have ended, the box being dead; raises what broke one."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a client hangs after its box was killed"
        self._threads.clear()
        if self.errors:
            raise self.errors[0]

    def _until_gone(self, step: Callable[[Client, random.Random], None]) -> None:
        with self._lock:
            draw = random.Random(self._draw.random())
        client = Client(str(self.box.socket), patience_s=0)
        try:
            while not self._stop.is_set():
                step(client, draw)
        except (Unreachable, NotReady):
            pass
        except BaseException as e:
            self.errors.append(e)
        finally:
            client.close()

    def _next(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    # ---- one request each, or a few

    def small(self, client: Client, draw: random.Random) -> None:
        path = f"/s{self._next()}"
        made = client.put_file(f"small@master:{path}", content(path))
        self.ledger.files.append(("small", made.commit, path))

    def many(self, client: Client, draw: random.Random) -> None:
        folder = f"/m{self._next()}"
        with client.put("many@master") as put:
            for i in range(TOGETHER):
                put.data(f"{folder}/{i}", content(f"{folder}/{i}"))
        assert put.result is not None
        for i in range(TOGETHER):
            self.ledger.files.append(("many", put.result.commit, f"{folder}/{i}"))

    def large(self, client: Client, draw: random.Random) -> None:
        path = f"/large{self._next()}"
        if draw.random() < 0.5:
            made = client.put_file(f"large@master:{path}", content(path))
        else:
            source = self.runs.parent / f"source{path[1:]}"
            source.write_bytes(content(path))
            try:
                made = client.put_file(f"large@master:{path}", source)
            finally:
                source.unlink()
        self.ledger.files.append(("large", made.commit, path))

    def opens(self, client: Client, draw: random.Random) -> None:
        for id_ in list(self.ledger.opened):  # a life of the box before this one left it open
            self._finish(client, id_)
        for commit in client.list_commit("open"):  # this one nobody had been told of
            if commit.finished is None:
                client.finish_commit(f"open@{commit.id}")
        id_ = client.start_commit("open@master")
        self.ledger.opened[id_] = []
        for _ in range(draw.randrange(4)):
            path = f"/o{self._next()}"
            client.put_file(f"open@{id_}:{path}", content(path))
            self.ledger.opened[id_].append(path)
        self._finish(client, id_)

    def _finish(self, client: Client, id_: str) -> None:
        if client.inspect_commit(f"open@{id_}").finished is None:
            client.finish_commit(f"open@{id_}")
        self.ledger.finished.append(id_)
        for path in self.ledger.opened.pop(id_):
            self.ledger.files.append(("open", id_, path))

    def move(self, client: Client, draw: random.Random) -> None:
        known = [commit for repo, commit, _ in list(self.ledger.files) if repo == "small"]
        if not known:
            return
        target = draw.choice(known)
        self.ledger.marks.append(target)
        client.create_branch("small@mark", head=target)
        self.ledger.mark = target

    def feed(self, client: Client, draw: random.Random) -> None:
        if len(self.ledger.inputs) >= MOST_DATUMS:
            self.small(client, draw)
            return
        paths = [f"/i{self._next()}" for _ in range(draw.randrange(1, 4))]
        with client.put("in@master") as put:
            for path in paths:
                put.data(path, content(path))
        assert put.result is not None
        for path in paths:
            self.ledger.inputs.append(path)
            self.ledger.files.append(("in", put.result.commit, path))

    def watch(self, client: Client, draw: random.Random) -> None:
        """See which datums the box calls finished, and what had been executed by then."""
        for job in list(client.list_job("twice")):
            if job.done and job.processed == 0:
                continue
            for datum in client.list_datum(f"twice@{job.id}", states=["SUCCESS"]):
                if datum.id not in self.ledger.done:
                    self.ledger.done[datum.id] = self.executions(datum.id)

    def collect(self, client: Client, draw: random.Random) -> None:
        client.collect_garbage()
        self._stop.wait(0.05)

    def executions(self, datum: str) -> set[str]:
        """The files that runs of a datum left, one each."""
        return {path.name for path in self.runs.glob(f"{datum}.*")}

    # ---- what must hold

    def check(self, since: int) -> int:
        """All that was acknowledged is there, nothing half-done is. Content is read of what
        was acknowledged after the first ``since`` files; returns how many those are now."""
        client, ledger = self.box.client, self.ledger
        seen = {
            repo: {f.path for f in client.walk_file(f"{repo}@master:/") if not f.is_dir}
            if list(client.list_commit(repo))
            else set[str]()
            for repo in ("small", "many", "large", "open", "in")
        }
        for repo, _, path in ledger.files:
            assert path in seen[repo], f"{repo}@master:{path} was acknowledged and is lost"
        for repo, commit, path in ledger.files[since:]:
            read = client.get_file(f"{repo}@{commit}:{path}")
            assert read == content(path), f"{repo}@{commit}:{path}"
        for id_, paths in ledger.opened.items():
            for path in paths:
                assert client.get_file(f"open@{id_}:{path}") == content(path)
        self._nothing_half_done(client, seen)
        self.watch(client, self._draw)
        return len(ledger.files)

    def _nothing_half_done(self, client: Client, seen: dict[str, set[str]]) -> None:
        for path in seen["many"]:
            folder = path.rpartition("/")[0]
            assert all(f"{folder}/{i}" in seen["many"] for i in range(TOGETHER)), folder
        for repo in ("small", "many", "large", "in"):
            for commit in client.list_commit(repo):
                assert commit.finished is not None, f"{commit}: a put left it open"
        open_ids = {c.id for c in client.list_commit("open") if c.finished is None}
        assert not open_ids & set(self.ledger.finished), "a finished commit is open again"
        assert set(self.ledger.opened) - open_ids <= {c.id for c in client.list_commit("open")}, (
            "an open commit is lost"
        )
        if self.ledger.mark:
            head = client.inspect_branch("small@mark").head
            assert head in self.ledger.marks[-2:], "the branch is where nobody put it last"
            self.ledger.mark = head
            self.ledger.marks = [head]

    def check_in_full(self) -> None:
        """Every file of every head holds what it must; see ``check``."""
        client = self.box.client
        self.check(0)
        for repo in ("small", "many", "large", "open", "in"):
            for file in client.walk_file(f"{repo}@master:/"):
                if not file.is_dir:
                    read = client.get_file(f"{repo}@master:{file.path}")
                    assert read == content(file.path), f"{repo}@master:{file.path}"

    def jobs_end_well(self) -> None:
        """All jobs succeed; no datum that was recorded as finished has run again."""
        client = self.box.client
        eventually(lambda: all(j.done for j in client.list_job("twice")), "all jobs end")
        jobs = list(client.list_job("twice"))
        assert {j.state for j in jobs} <= {"JOB_SUCCESS"}, [(j.state, j.reason) for j in jobs]
        for datum, executions in self.ledger.done.items():
            assert self.executions(datum) == executions, f"datum {datum} ran again"
        made = {f.path for f in client.walk_file("twice@master:/") if not f.is_dir}
        for path in self.ledger.inputs:
            assert {f"{path}.twice", f"{path}.large"} <= made
            assert client.get_file(f"twice@master:{path}.twice") == 2 * content(path)
            assert len(client.get_file(f"twice@master:{path}.large")) == 200_000
