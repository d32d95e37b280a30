"""Ingest for many minutes: whether anything grows or slows that should not.

    python -m benchmarks.soak_ingest [MINUTES [TIMES]]        10 and 1 when not given

TIMES a load of 1,000 records and 50 files a second. The records are posted, four fifths in tens on
four connections, the rest one a request on another two; the files are renamed into a watched
folder, which are removed once they are committed. Of both branches the last 100 commits are kept.
Every 30 seconds a line: memory of the daemon and of each source, latencies (of posts, and of files
from the rename to the commit), what the store has for each byte that came, open files, threads, the
database, the spool. At the end the second half beside the first, and whether the daemon's memory
is flat once it is warm; exit 1 when something is lost, is worse than it may be, or grows.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import statistics
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Box, fresh, note
from pachybox.client import Client

RECORDS, TENS, SINGLES, FILES = 1000, 4, 2, 50
LINE_S = 30.0
WARM_S = 150.0  # from then on memory is to be flat: ...
GROWTH = 1.05  # ... this many times more at the end, by the line that fits the figures best
WORSE = {"rss_mb": 1.15, "post_p50_ms": 1.5, "post_p99_ms": 2.0, "file_p50_s": 1.5,
         "file_p99_s": 2.0, "fds": 1.2, "threads": 1.2, "spool_kb": 2.0}  # fmt: skip
LEAST = {"rss_mb": 200.0, "post_p50_ms": 5.0, "post_p99_ms": 50.0, "file_p50_s": 3.0,
         "file_p99_s": 6.0, "fds": 200.0, "threads": 100.0, "spool_kb": 300_000.0}  # fmt: skip
"""So much in the second half is fine whatever it was in the first; above it, so many times."""


@dataclass
class Tally:
    """What the load has done. Each list is of one writer; ``take`` empties them."""

    posts: deque[float]
    files: deque[float]
    records: int = 0
    dropped: int = 0
    bytes: int = 0


class Pace:
    """The turns of one thread, so many a second."""

    def __init__(self, per_s: float, stop: threading.Event) -> None:
        self._every, self._stop, self._due = 1 / per_s, stop, time.monotonic()

    def wait(self) -> bool:
        """Until the next turn; False when it is over."""
        now = time.monotonic()
        self._due = max(self._due + self._every, now - 1)  # older ones are not made up for
        return not self._stop.wait(max(0.0, self._due - now))


class Load:
    """The clients."""

    def __init__(self, address: str, folder: Path, client: Client, times: float) -> None:
        self.tally = Tally(deque(), deque())
        self.troubles: list[str] = []
        self._address, self._folder, self._client = address, folder, client
        self._aside = fresh("aside")
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._waiting: deque[float] = deque()  # when each file was renamed that is not committed
        self._files = FILES * times
        records = RECORDS * times
        singles = records / 5
        works: list[Callable[[], None]] = [self._drop, self._see]
        tens = (records - singles) / 10 / TENS
        works += [lambda n=n: self._post(n, 10, tens) for n in range(TENS)]  # type: ignore[misc]
        works += [lambda n=n: self._post(TENS + n, 1, singles / SINGLES) for n in range(SINGLES)]  # type: ignore[misc]
        self._threads = [threading.Thread(target=self._guarded, args=(w,)) for w in works]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End what makes load; then wait for the last file."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as e:
            self.troubles.append(f"{type(e).__name__}: {e}")

    def _post(self, poster: int, together: int, per_s: float) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        number, pace = 0, Pace(per_s, self._stop)
        while pace.wait():
            body = b"".join(
                json.dumps({"id": f"{poster}-{number}-{i}", "at": time.time(), "text": "x" * 120,
                            "noise": os.urandom(20).hex()}).encode() + b"\n"
                for i in range(together)
            )  # fmt: skip
            begun = time.perf_counter()
            headers = {"Content-Type": "application/x-ndjson",
                       "Idempotency-Key": f"{poster}-{number}"}  # fmt: skip
            connection.request("POST", "/ingest/events", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                self.troubles.append(f"a post is answered by {answer.status}: {text[:200]!r}")
                continue
            self.tally.posts.append(time.perf_counter() - begun)
            with self._lock:
                self.tally.records += together
                self.tally.bytes += len(body)
            number += 1
        connection.close()

    def _drop(self) -> None:
        pace = Pace(self._files, self._stop)
        while pace.wait():
            number = self.tally.dropped
            new = self._aside / "new"
            data = os.urandom(500 + number % 7 * 500)
            new.write_bytes(data)
            new.rename(self._folder / f"f{number:08}")
            self._waiting.append(time.monotonic())
            self.tally.dropped += 1
            with self._lock:
                self.tally.bytes += len(data)

    def _see(self) -> None:
        """Note when files are committed. They are in the order they came, but for a few."""
        seen = 0
        until = float("inf")
        while self._waiting or not self._stop.is_set():
            if self._stop.is_set() and until == float("inf"):
                until = time.monotonic() + 60
            if time.monotonic() > until:
                self.troubles.append(f"{len(self._waiting)} files do not come")
                return
            there, now = self._client.inspect_ingest("drops").files, time.monotonic()
            for _ in range(min(there - seen, len(self._waiting))):
                self.tally.files.append(now - self._waiting.popleft())
                seen += 1
            time.sleep(0.05)


def taken(values: deque[float]) -> list[float]:
    """The values so far, sorted; they are removed."""
    return sorted(values.popleft() for _ in range(len(values)))


def at(values: list[float], share: float) -> float:
    """A quantile of sorted values."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def rss_mb(pid: int) -> float:
    """Resident memory of a process; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6
    except OSError:
        return 0.0


def measure(box: Box, client: Client, load: Load) -> dict[str, float]:
    """One line's figures; those of latency are of the time since the line before."""
    posts, files = taken(load.tally.posts), taken(load.tally.files)
    pid = box.pid
    made = {
        "rss_events_mb": rss_mb(client.inspect_ingest("events").pid),
        "rss_drops_mb": rss_mb(client.inspect_ingest("drops").pid),
        "post_p50_ms": 1e3 * at(posts, 0.5),
        "post_p99_ms": 1e3 * at(posts, 0.99),
        "posts": float(len(posts)),
        "file_p50_s": at(files, 0.5),
        "file_p99_s": at(files, 0.99),
        "files": float(len(files)),
        "store_ratio": client.status().store_bytes / max(1, load.tally.bytes),
        "fds": float(len(os.listdir(f"/proc/{pid}/fd"))),
        "threads": float(len(os.listdir(f"/proc/{pid}/task"))),
        "db_mb": sum(p.stat().st_size for p in box.home.glob("meta.duckdb*")) / 1e6,
        "spool_kb": sum(
            p.stat().st_size for p in (box.home / "ingest").rglob("*") if p.is_file()
        ) / 1e3,
        "commits": float(client.status().commits),
    }  # fmt: skip
    return made


def verdict(lines: list[dict[str, float]]) -> list[str]:
    """The second half beside the first: a line a figure; ``worse`` stands in what is."""
    half = len(lines) // 2
    found = []
    for name in lines[0]:
        before, after = (
            sum(line[name] for line in some) / len(some) for some in (lines[:half], lines[-half:])
        )
        worse = name in WORSE and after > max(LEAST[name], WORSE[name] * before)
        found.append(f"{name:14} {before:10.3f} -> {after:10.3f}{'  worse' if worse else ''}")
    return found


def memory(lines: list[dict[str, float]], every_s: float) -> str:
    """What the daemon's memory does once it is warm; ``worse`` stands in it when it grows."""
    first = max(0, math.ceil(WARM_S / every_s) - 1)
    some = [line["rss_mb"] for line in lines[first:]]
    if len(some) < 4:
        return "memory: too short a run to say"
    slope, begin = statistics.linear_regression(range(len(some)), some)
    end = begin + slope * (len(some) - 1)
    grows = end > GROWTH * begin
    return (
        f"memory from {every_s * (first + 1):.0f} s on: {some[0]:.1f} -> {some[-1]:.1f} MB "
        f"({some[-1] / some[0]:.3f} times), at most {max(some):.1f}; along the best line "
        f"{slope * 60 / every_s:+.2f} MB/min, {end / begin:.3f} times{'  worse' if grows else ''}"
    )


def main(minutes: float, times: float) -> int:
    """See the module."""
    box = Box(fresh("soak"))
    box.up()
    try:
        return soak(box, minutes, times)
    finally:
        box.down()


def soak(box: Box, minutes: float, times: float) -> int:
    """The load, the lines, the verdict; the exit status."""
    folder = fresh("watched")
    with box.client() as client, box.client() as other:
        for repo in ("events", "drops"):
            client.create_repo(repo)
            client.create_branch(f"{repo}@master")
            box.cli("update", "branch", f"{repo}@master", "--keep", "last 100")
        client.create_ingest({"name": "events", "to": "events@master",
                              "push": {"group": {"time": "1s"}}})  # fmt: skip
        client.create_ingest({"name": "drops", "to": "drops@master",
                              "watch": {"path": str(folder), "settle": "1s", "batch": "1s",
                                        "delete_after": True}})  # fmt: skip
        load = Load(client.status().address.removeprefix("http://"), folder, other, times)
        lines: list[dict[str, float]] = []
        load.start()
        try:
            begun = time.monotonic()
            count = max(2, round(minutes * 60 / LINE_S))
            for number in range(1, count + 1):
                seen = [rss_mb(box.pid)]  # it goes up and down by 5 % within seconds
                while (left := begun + number * minutes * 60 / count - time.monotonic()) > 0:
                    time.sleep(min(1.0, left))
                    seen.append(rss_mb(box.pid))
                lines.append({"rss_mb": statistics.median(seen), **measure(box, client, load)})
                note(f"{time.monotonic() - begun:5.0f} s  " + "  ".join(
                    f"{name} {value:.4g}" for name, value in lines[-1].items()
                ))  # fmt: skip
        finally:
            load.stop()
        client.run_ingest("events")
        return ended(client, load, lines, minutes * 60 / count)


def ended(client: Client, load: Load, lines: list[dict[str, float]], every_s: float) -> int:
    """Print what came of it; the exit status."""
    troubles = list(dict.fromkeys(load.troubles))
    until = time.monotonic() + 60
    for name, sent in (("events", load.tally.records), ("drops", load.tally.dropped)):
        count = -1
        while time.monotonic() < until:
            info = client.inspect_ingest(name)
            count = info.records if name == "events" else info.files
            if count >= sent:
                break
            time.sleep(0.1)
        if count != sent:
            troubles.append(f"{name}: {sent} were sent, {count} are committed")
    told = [*verdict(lines), memory(lines, every_s)]
    kept = {repo: len(list(client.list_commit(repo))) for repo in ("events", "drops")}
    print(f"{load.tally.records} records, {load.tally.dropped} files; commits kept: {kept}")
    print(*told, *(f"trouble: {one}" for one in troubles), sep="\n")
    return 1 if troubles or any(line.endswith("worse") for line in told) else 0


if __name__ == "__main__":
    given = [float(one) for one in sys.argv[1:]]
    sys.exit(main(*given, *(10.0, 1.0)[len(given) :]))
