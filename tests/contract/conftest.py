"""A place to run datums in, once for every runner and way of isolation this machine allows."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import pachybox
from pachybox.config import Config
from pachybox.containers.engine import Engine
from pachybox.containers.images import Images
from pachybox.pps.runners.base import (
    DatumResult,
    DatumTask,
    Layout,
    Runner,
    Transform,
    Worker,
    WorkerSpec,
    WorkerWaits,
)
from pachybox.pps.runners.held import ContainerWorker
from pachybox.pps.runners.podman import PodmanRunner
from pachybox.pps.runners.pods.runner import PodsRunner
from pachybox.pps.runners.process import ProcessRunner
from tests import images
from tests.kube import cluster as kube

NOBODY = 65534

# A worker that gives up root before it begins. Everything is imported first, since the
# interpreter may lie where nobody may read; the kernel resets "dumpable" on such a change.
_AS_NOBODY = f"""
import os, sys
sys.path.append(sys.argv[1])
from pachybox.worker import handover, main, kernel, probe
handover.handle()
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
kernel.set_dumpable(True)
main.main()
"""


@functools.cache
def process_runner(isolation: str, rootless: bool, shim: bool) -> ProcessRunner:
    """One runner a way: its probe is asked once. Skips what the machine does not allow."""
    command = None
    if rootless:
        root = str(Path(pachybox.__file__).parent.parent)
        command = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _AS_NOBODY, root]
    return ProcessRunner(isolation=isolation, command=command, shim=shim)


@dataclass
class Lab:
    """One runner with a box's directories around it, and hands to run datums with."""

    runner: ProcessRunner
    home: Path
    rootless: bool
    boxed: PodmanRunner | PodsRunner | None = None
    image: str = ""
    mark: str = field(default_factory=lambda: f"pachybox-test-{uuid.uuid4().hex}")
    workers: list[Worker] = field(default_factory=list)
    count: int = 0

    @property
    def may_switch_user(self) -> bool:
        return os.geteuid() == 0 and not self.rootless

    def containers(self) -> list[str]:
        """The ids of all containers that it has or had."""
        return [w.container.id for w in self.workers if isinstance(w, ContainerWorker)]

    def own(self, path: Path) -> None:
        """Give a tree to the user the worker runs as."""
        if self.rootless:
            for folder, dirs, files in os.walk(path):
                for name in (".", *dirs, *files):
                    os.chown(Path(folder) / name, NOBODY, NOBODY, follow_symlinks=False)

    def worker(self, cmd: Sequence[str], **transform: Any) -> Worker:
        return self.start(Transform(tuple(cmd), **transform))

    def start(self, transform: Transform, **more: Any) -> Worker:
        self.count += 1
        work = self.home / "work" / f"w{self.count}"
        work.mkdir(parents=True)
        self.own(work)
        spec = WorkerSpec("edges", transform, work, {"PPS_X": "pipeline"}, image=self.image, **more)
        started = self._start(spec)
        self.workers.append(started)
        return started

    def _start(self, spec: WorkerSpec) -> Worker:
        if self.boxed is not None:
            return self._boxed(self.boxed, spec)
        hiding = ProcessRunner(
            [self.home],
            isolation=self.runner.level,
            command=self.runner._command,
            shim=self.runner.shim,
        )
        hiding._known = self.runner._known  # of the same machine: tried once is enough
        return hiding.start(spec)

    @staticmethod
    def _boxed(runner: PodmanRunner | PodsRunner, spec: WorkerSpec) -> Worker:
        """One that takes its time is asked for again, as its lane does."""
        deadline = time.monotonic() + 30
        while True:
            try:
                return runner.start(spec)
            except WorkerWaits as e:
                if e.trouble or time.monotonic() > deadline:
                    raise

    def task(self, inputs: Mapping[str, bytes] | None = None, **more: Any) -> DatumTask:
        """A datum with these files (paths below /pfs) and an empty out."""
        self.count += 1
        work = self.home / "work" / f"d{self.count}"
        for name, content in {"data/a.txt": b"hello\n", **(inputs or {})}.items():
            path = work / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (work / "out").mkdir()
        self.own(work)
        env = {"MARK": self.mark, **more.pop("env", {})}
        layout = Layout(tree=work / "in")
        return DatumTask(f"datum{self.count}", layout, work / "out", work / "log", env=env, **more)

    def sh(self, script: str, task: DatumTask | None = None, **more: Any) -> Ran:
        """Run a shell script given on stdin as one datum of a new worker."""
        task = task or self.task(**more)
        worker = self.worker(["sh"], stdin=tuple(script.split("\n")))
        result = worker.run(task)
        worker.close()
        return Ran(result, task)

    @staticmethod
    def until(condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition, at most 10 s."""
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, f"still not: {what}"
            time.sleep(0.005)

    def begin(self, worker: Worker, task: DatumTask) -> Callable[[], DatumResult]:
        """Run a datum in a thread, until it has made /pfs/out/begun.

        The answer joins the thread: it gives the result or raises what run() raised.
        """
        box: list[DatumResult | BaseException] = []

        def body() -> None:
            try:
                box.append(worker.run(task))
            except BaseException as e:
                box.append(e)

        def join() -> DatumResult:
            thread.join(20)
            assert not thread.is_alive(), "run() does not return"
            if isinstance(box[0], BaseException):
                raise box[0]
            return box[0]

        thread = threading.Thread(target=body)
        thread.start()
        self.until(lambda: bool(box) or (task.out / "begun").exists(), "datum begun")
        return join

    def alive(self) -> list[str]:
        """Command lines of processes of this lab's datums that live now."""
        found = []
        for name in os.listdir("/proc"):
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes()
                if f"MARK={self.mark}".encode() in environ.split(b"\0"):
                    found.append(Path(f"/proc/{name}/cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return found


def inputs(task: DatumTask) -> Path:
    """The directory that a lab's task shows under /pfs."""
    assert task.layout.tree is not None
    return task.layout.tree


@dataclass(frozen=True)
class Ran:
    """One datum that has ended."""

    result: DatumResult
    task: DatumTask

    @property
    def lines(self) -> list[str]:
        """What it printed, by its log."""
        text = self.task.log.read_text()
        records = [json.loads(line) for line in text.split("\n") if line]
        assert all(record["user"] is True and record["ts"].endswith("Z") for record in records)
        return [record["message"] for record in records]

    def out(self, name: str) -> bytes:
        return (self.task.out / name).read_bytes()


@dataclass(frozen=True)
class Way:
    """One way to run datums: its isolation, whether as another user, whether by the shim."""

    isolation: str = "auto"
    rootless: bool = False
    shim: bool = True
    image: str = ""  # of tests.images
    pods: bool = False


WAYS = {
    "shim": Way(),
    "shim-rootless": Way(rootless=True),
    "python": Way(shim=False),
    "python-rootless": Way(rootless=True, shim=False),
    "mount": Way("mount", shim=False),
    "none": Way("none", shim=False),
    "podman": Way(image="python"),
    "kubernetes": Way(image="python", pods=True),
}


def make_lab(way: Way) -> Iterator[Lab]:
    if way.rootless and os.geteuid() != 0:
        pytest.skip("only root can also try the way without root; here it is the only way")
    best = process_runner("auto", way.rootless, way.shim)
    order = ("none", "mount", "full")
    if way.isolation != "auto" and order.index(way.isolation) > order.index(best.level):
        pytest.skip(f"this machine allows {best.level} isolation at most")
    if way.shim and not best.shim:
        pytest.skip(f"no shim here: {best.facts()['shim']}")
    if way.image:
        images.needed()
    folder = Path(tempfile.mkdtemp(prefix="pachybox-"))
    folder.chmod(0o755)
    home = folder / "home"
    (home / "run").mkdir(parents=True)
    lab = Lab(process_runner(way.isolation, way.rootless, way.shim), home, way.rootless)
    lab.own(home)
    if way.pods:
        there = cluster()
        config = Config(
            home, kubeconfig=str(there.kubeconfig), kubernetes_namespace=there.namespace
        )
        lab.boxed = PodsRunner(lab.runner, home, config)
        lab.image = there.image(way.image)
    elif way.image:
        lab.boxed = PodmanRunner(engine(), lab.runner, home)
        lab.image = Images(engine()).find(images.image(way.image)).id
    try:
        yield lab
        for worker in lab.workers:
            worker.close()
        assert lab.alive() == []
    finally:
        for worker in lab.workers:
            worker.close()
        if lab.boxed is not None:
            lab.boxed.close()
        shutil.rmtree(folder)


@functools.cache
def cluster() -> kube.TestCluster:
    """One cluster for all tests of this process; it ends with that."""
    folder = Path(tempfile.mkdtemp(prefix="pachybox-cluster-"))
    stack = ExitStack()
    made = stack.enter_context(kube.cluster(folder))
    atexit.register(lambda: (stack.close(), shutil.rmtree(folder)))
    return made


@functools.cache
def engine() -> Engine:
    """One podman service for all tests of this process; it ends with that."""
    folder = Path(tempfile.mkdtemp(prefix="pachybox-engine-"))
    made = Engine(folder)
    atexit.register(lambda: (made.close(), shutil.rmtree(folder)))
    return made


@pytest.fixture(params=list(WAYS))
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Every runner the contract is tried on: a new runner adds its line to WAYS."""
    yield from make_lab(WAYS[request.param])


@pytest.fixture(
    params=["shim", "shim-rootless", "python", "python-rootless", "podman", "kubernetes"]
)
def sealed(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The process runner at its strongest, as root and as another user."""
    for made in make_lab(WAYS[request.param]):
        if made.runner.level != "full":
            pytest.skip("this machine allows no PID namespace")
        yield made


def check_protocol(runner: ProcessRunner | PodmanRunner | PodsRunner) -> Runner:
    """The type checker's proof that they are Runners."""
    return runner
