"""Jobs in containers, beside ``podman exec`` for each datum, and the loop of build and run."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.bare import spawn_rate
from benchmarks.datums import CORES
from benchmarks.harness import Row, label, note, report, running, scaled, settle, short
from benchmarks.jobs import commit_many, commit_one, names, pipeline, succeeded
from pachybox.client import Client
from tests import images

ASKED, TIMES_EXEC = 500, 60
TIMES = 5


def exec_rate(image: str, count: int) -> float:
    """Runs of ``true`` a second by ``podman exec``, as many at a time as there are processors."""
    with images.container(image) as name, ThreadPoolExecutor(CORES) as pool:

        def once(_: int) -> None:
            subprocess.run(["podman", "exec", name, "true"], check=True, capture_output=True)

        once(0)
        start = time.perf_counter()
        list(pool.map(once, range(count)))
        return count / (time.perf_counter() - start)


def many(client: Client, image: str, count: int) -> None:
    """A job of ``count`` datums, whose containers are started for it."""
    note(f"{count} datums in containers, {CORES} at a time")
    peer = exec_rate(image, scaled(100, 10))
    by, bare = spawn_rate(count, CORES)
    settle()
    client.create_repo("files")
    pipeline(client, "true", "files", "/*", workers=CORES, cmd="true", image=image)
    took, job = commit_many(client, "files", names(count), "true")
    succeeded(job, count)
    rate = count / took
    what = f"{label(count)} datums of busybox's true in containers, {CORES} at a time"
    peers = f"podman exec {short(peer):g}/s, {by} {bare:,.0f}/s"
    asked = f"at least {ASKED} datums/s and {TIMES_EXEC} times podman exec"
    met = rate >= ASKED and rate >= TIMES_EXEC * peer
    report(Row(what, rate, "datums/s", peers, rate / peer, asked, met))


def one(client: Client, image: str) -> None:
    """The smallest job, in a container that is started for it and in one that is there."""
    note("jobs of one datum")
    client.create_repo("small")
    client.put_file("small@master:/file", b"first")
    cold = []
    for number in range(TIMES):
        start = time.perf_counter()
        pipeline(client, f"cold{number}", "small", "/", cmd="true", image=image)
        job = client.wait_job(f"cold{number}@{next(iter(client.list_job(f'cold{number}'))).id}")
        cold.append(time.perf_counter() - start)
        succeeded(job, 1)
        if number < TIMES - 1:
            client.delete_pipeline(f"cold{number}")
    warm = []
    for number in range(3 * TIMES):
        took, job = commit_one(client, "small@master:/file", f"{number}".encode(), job.pipeline)
        succeeded(job, 1)
        warm.append(took)
    start = time.perf_counter()
    runtime = images.runtime()
    images.run(*runtime, "run", "--rm", "--network=none", *images.ulimits(), image, "true")
    peer = f"podman run {short(1000 * (time.perf_counter() - start)):g} ms"
    milliseconds = 1000 * statistics.median(cold)
    report(Row("a pipeline of an image, created to its first job's end", milliseconds, "ms", peer))
    milliseconds = 1000 * statistics.median(warm)
    report(Row("a job of one datum in a container, commit to finished", milliseconds, "ms", peer))


def main() -> None:
    """All in one box."""
    if reason := images.podman():
        print(f"left out: {reason}", file=sys.stderr)
        return
    image = images.image("busybox")
    with running("containers", "auto") as box, box.client() as client:
        many(client, image, scaled(2_000, 100))
        one(client, image)


if __name__ == "__main__":
    main()
