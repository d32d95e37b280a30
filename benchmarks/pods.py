"""Datums in Pods of a cluster, beside the same in containers of podman.

The cluster is the tests' double of its API, whose Pods podman runs: what a real one takes to
start a Pod is not in it.
"""

from __future__ import annotations

import os
import statistics
import sys

from benchmarks.datums import CORES
from benchmarks.harness import Row, fresh, label, note, report, running, scaled, settle
from benchmarks.jobs import commit_many, names, pipeline, succeeded
from pachybox.containers.engine import Engine
from tests import images
from tests.kube.double import Cluster

TIMES, MOST = 3, 1.5
NAMESPACE = "pachybox"


def took(runner: str, image: str, count: int) -> float:
    """Seconds from a commit of ``count`` files to the end of its job, whose workers are started
    for it; the median of some boxes."""
    seconds = []
    for number in range(TIMES):
        with running(f"pods-{runner}-{number}", runner) as box, box.client() as client:
            client.create_repo("files")
            pipeline(client, "true", "files", "/*", workers=CORES, cmd="true", image=image)
            settle()
            one, job = commit_many(client, "files", names(count), "true")
            succeeded(job, count)
            seconds.append(one)
    return statistics.median(seconds)


def main() -> None:
    """The same jobs by both runners."""
    if reason := images.podman():
        print(f"left out: {reason}", file=sys.stderr)
        return
    image, count = images.image("busybox"), scaled(2_000, 100)
    note(f"{count} datums in containers of podman, {CORES} at a time")
    podman = took("podman", image, count)
    folder = fresh("cluster")
    engine = Engine(folder)
    cluster = Cluster(engine, folder, namespaces=(NAMESPACE,))
    cluster.start()
    try:
        kubeconfig = folder / "kubeconfig"
        cluster.kubeconfig(kubeconfig, namespace=NAMESPACE)
        os.environ["KUBECONFIG"] = str(kubeconfig)
        note(f"{count} datums in Pods, {CORES} at a time")
        pods = took("kubernetes", image, count)
    finally:
        cluster.close()
        engine.close()
    what = f"{label(count)} datums of busybox's true in Pods, {CORES} at a time, Pods started too"
    beside = f"in containers of podman {podman:.2f} s"
    ratio = pods / podman
    report(Row(what, pods, "s", beside, ratio, f"at most {MOST} times podman", ratio <= MOST))


if __name__ == "__main__":
    main()
