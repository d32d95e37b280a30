"""Jobs in containers, beside ``podman exec`` for each datum, and the loop of build and run."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.bare import spawn_rate
from benchmarks.datums import CORES
from benchmarks.harness import (
    Box,
    Row,
    below,
    fresh,
    label,
    median,
    note,
    report,
    running,
    scaled,
    settle,
    short,
    timed,
)
from benchmarks.jobs import commit_many, commit_one, names, pipeline, succeeded
from pachybox.client import Client
from pachybox.errors import NotFound, NotReady
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


def build(box: Box, image: str) -> None:
    """``--build``: the first time, and with nothing to build."""
    note("--build")
    folder = fresh("build")
    (folder / "Containerfile").write_text(
        f"FROM {image}\nCOPY main.sh /main.sh\nRUN chmod +x /main.sh\n"
    )
    (folder / "main.sh").write_text(f"#!/bin/sh\n# {time.time_ns()}\ntrue\n")
    for number in range(100):
        (folder / f"file{number}").write_bytes(os.urandom(10_000))
    built = {"image": f"{images.PREFIX}/bench", "dockerfile": "Containerfile"}
    spec = {
        "pipeline": {"name": "built"},
        "input": {"pfs": {"repo": "small", "glob": "/"}},
        "transform": {**built, "cmd": ["/main.sh"]},
    }
    file = folder / "built.json"
    file.write_text(json.dumps(spec))
    first = timed(lambda: box.cli("create", "pipeline", "-f", str(file), "--build"))
    again = median(lambda: box.cli("update", "pipeline", "-f", str(file), "--build"), TIMES)
    plain = median(
        lambda: box.cli("update", "pipeline", "-f", str(file), "--runner=process"), TIMES
    )
    beside = f"built {short(first):g} s, without --build {short(plain):g} s"
    images.run(
        "rmi", "--force", *images.run("images", "-q", f"{images.PREFIX}/bench").stdout.split()
    )
    below("update pipeline --build, 100 files unchanged", again, "s", 1, beside)


def source(box: Box, client: Client, image: str) -> None:
    """A build pipeline: from a change of its code to its job."""
    note("build pipelines")
    for where, used in (("process", ""), ("podman", image)):
        folder = fresh("source")
        (folder / "code").mkdir()
        name = f"code-{where}"
        transform = {
            "build": {"language": "shell", "path": "code"},
            **({"image": used} if used else {}),
        }
        spec = {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "small", "glob": "/"}},
            "transform": transform,
        }
        file = folder / "spec.json"
        file.write_text(json.dumps(spec))
        seconds = []
        for number in range(TIMES + 1):
            (folder / "code" / "main.sh").write_text(f"echo {number} > /pfs/out/number\n")
            start = time.perf_counter()
            verb = "update" if number else "create"
            box.cli(verb, "pipeline", "-f", str(file))
            _until(client, f"{name}@master:/number", f"{number}\n".encode())
            seconds.append(time.perf_counter() - start)
        what = f"a build pipeline's change of code, {where}: update pipeline to the new output"
        beside = f"created {short(seconds[0]):g} s"
        below(what, statistics.median(seconds[1:]), "s", 3, beside)


def _until(client: Client, file: str, text: bytes) -> None:
    """Until a file holds this."""
    while True:
        try:
            if client.get_file(file) == text:
                return
        except (NotFound, NotReady):
            pass
        time.sleep(0.005)


def main() -> None:
    """All in one box."""
    if reason := images.podman():
        print(f"left out: {reason}", file=sys.stderr)
        return
    image = images.image("busybox")
    with running("containers", "auto") as box, box.client() as client:
        many(client, image, scaled(2_000, 100))
        one(client, image)
        build(box, image)
        source(box, client, image)


if __name__ == "__main__":
    main()
