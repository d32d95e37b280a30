"""64 clients that each commit one small file after the other, beside sqlite's single writer."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time

from benchmarks.harness import Row, above, fresh, note, report, running, scaled, settle
from pachybox.client import Client
from pachybox.meta.writer import Meta
from pachybox.model.files import Entry, Kind
from pachybox.model.ids import DEFAULT_PROJECT, Repo
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import PutFile
from pachybox.store.blobs import BlobStore

CLIENTS, PROCESSES = 64, 2


def load(socket: str, first: int, threads: int, each: int) -> None:
    """In a process of its own: ``threads`` clients that commit ``each`` files on own branches."""
    ready = threading.Barrier(threads + 1)

    def commit(number: int) -> None:
        with Client(socket) as client:
            client.put_file(f"busy@c{number}:/file", b"first")
            ready.wait()
            for turn in range(each):
                client.put_file(f"busy@c{number}:/file", f"{number} {turn}".encode())

    workers = [threading.Thread(target=commit, args=(first + n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    print("ready", flush=True)
    start = time.time()
    for worker in workers:
        worker.join()
    print(start, time.time(), flush=True)


def sqlite_rate(seconds: float = 3.0) -> float:
    """Durable one-row transactions a second, one writer, write-ahead log and full sync."""
    db = sqlite3.connect(fresh("sqlite") / "db", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE commits (id INTEGER PRIMARY KEY, branch TEXT, root BLOB)")
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        db.execute("INSERT INTO commits (branch, root) VALUES (?, ?)", ("master", bytes(32)))
        count += 1
    rate = count / (time.perf_counter() - start)
    db.close()
    return rate


def service_rate(each: int) -> float:
    """Durable commits a second of the daemon's own layers, called from as many threads."""
    home = fresh("service")
    blobs = BlobStore.open(home / "store")
    meta = Meta(home / "meta.duckdb", barrier=blobs.flush)
    pfs = Pfs(meta, blobs)
    repo = Repo(DEFAULT_PROJECT, "busy")
    pfs.create_repo(repo)

    def commit(number: int) -> None:
        for turn in range(each):
            with blobs.session() as session:
                data = f"{number} {turn}".encode()
                entry = Entry("file", Kind.FILE, session.put(data), len(data))
                pfs.write(session, repo, f"c{number}", [PutFile("/file", entry)])

    threads = [threading.Thread(target=commit, args=(number,)) for number in range(CLIENTS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = CLIENTS * each / (time.perf_counter() - start)
    meta.close()
    blobs.close()
    return rate


def main() -> None:
    """The clients run in two processes, so that their own work does not share one interpreter."""
    each, threads = scaled(200, 20), CLIENTS // PROCESSES
    settle()
    beside = f"sqlite, one writer: {sqlite_rate():,.0f}/s"
    note("committing, in the daemon")
    rate = service_rate(each)
    above("64 clients, durable commits in the daemon", rate, "/s", 1000, beside)
    with running("64 clients") as box:
        box.cli("create", "repo", "busy")
        note("committing, through the door")
        socket = str(box.home / "run" / "box.sock")
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, socket, str(n * threads), str(threads), str(each)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for n in range(PROCESSES)
        ]
        spans = []
        for process in processes:
            out, _ = process.communicate()
            assert process.returncode == 0
            start, end = out.splitlines()[-1].split()
            spans.append((float(start), float(end)))
        seconds = max(end for _, end in spans) - min(start for start, _ in spans)
        report(Row("64 clients, the same through the door", CLIENTS * each / seconds, "/s", beside))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        load(sys.argv[1], *map(int, sys.argv[2:]))
    else:
        main()
