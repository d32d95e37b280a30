"""User code that does harm fails by name, alone: the next datum of its own worker and a datum of
another pipeline that runs meanwhile go well, and the box answers."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.client.pipeline_values import JobInfo
from pachybox.pps.runners import cgroups
from tests.boxes import RealBox, eventually, processes
from tests.flow.test_pipelines import contents, spec

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the strongest fence needs root")

CALM = """
touch {place}/up.${{data##*/}}
while [ ! -e {place}/gate ]; do sleep 0.02; done
cat $data > /pfs/out/${{data##*/}}
"""
GROUPS = cgroups.find()
PYTHON = "exec python3 -c '{}'"


class Box:
    """A box with data, and a pipeline ``calm`` of which one datum runs through every test."""

    def __init__(self, box: RealBox, place: Path) -> None:
        self.box = box
        self.place = place
        self.client = box.client
        self.client.create_repo("data")
        for name in ("bad", "good"):
            self.client.put_file(f"data@master:/{name}", name.encode())
        self._made = 0

    def begin(self) -> None:
        """Have the calm datum under way."""
        self._made += 1
        repo = f"calm{self._made}"
        self.client.create_repo(repo)
        self.client.put_file(f"{repo}@master:/x", b"calm")
        script = CALM.format(place=self.place)
        self.client.create_pipelines(
            spec("calm", "", script, pfs={"repo": repo, "name": "data"}, datum_tries=1)
        )
        eventually((self.place / "up.x").exists, "the calm datum runs")

    def end(self) -> None:
        """The calm datum ends well, at its first attempt; the box is the same and is whole."""
        assert self.client.healthy()
        assert self.box.process is not None
        assert self.box.process.poll() is None
        (self.place / "gate").touch()
        assert self.last("calm").state == "JOB_SUCCESS"
        assert contents(self.box, "calm@master") == {"/x": b"calm"}
        self.client.delete_pipeline("calm")
        for name in ("gate", "up.x"):
            (self.place / name).unlink()

    def last(self, pipeline: str) -> JobInfo:
        job = next(iter(self.client.list_job(pipeline)))
        return self.client.wait_job(f"{pipeline}@{job.id}")

    def create(self, bad: str, **more: object) -> str:
        """Make a pipeline whose datum ``bad`` runs a script; its job."""
        script = (
            f'if [ "$data" = /pfs/data/bad ]; then\n{bad}\nfi\necho good > "/pfs/out/${{data##*/}}"'
        )
        self.client.create_pipelines(spec("harm", "data", script, **{"datum_tries": 1, **more}))
        return f"harm@{next(iter(self.client.list_job('harm'))).id}"

    def run(self, bad: str, **more: object) -> JobInfo:
        """Its job, over. The other datum of it has gone well."""
        job = self.client.wait_job(self.create(bad, **more))
        assert job.processed == 2 - job.failed
        return job


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    place = tmp_path_factory.mktemp("harm")
    box = RealBox(place / "home", settings="workers = 2\n").start()
    yield Box(box, place)
    assert [f for f in box.client.fsck() if f.get("level") != "info"] == []
    # whatever was left is removed, however deep
    trash = box.home / "work" / "trash"
    eventually(lambda: not any(trash.iterdir()), "what failed datums wrote is gone")
    assert box.stop() == 0


@pytest.fixture
def harm(shared: Box) -> Iterator[Box]:
    shared.begin()
    yield shared
    shared.client.delete_pipeline("harm")
    shared.end()


FAILS = {
    "hangs": ("sleep 1000", "timed out after 1s"),
    "hangs deaf": ("trap '' TERM INT HUP; kill -STOP $$", "timed out after 1s"),
    "kills its parent": ("kill -9 $PPID; kill -9 -1; kill -9 $$", "killed by signal 9"),
    "writes to its input": ("set -e; echo x > $data", "exit status"),
    "removes its input": ("set -e; rm -rf /pfs/data", "exit status 1"),
    "leads out of the datum": ("ln -s /etc/passwd /pfs/out/x", "/pfs/out/x"),
    "leads to the root": ("ln -s / /pfs/out/d", "/pfs/out/d"),
    "named pipe": ("mkfifo /pfs/out/pipe", "cannot upload special file /pfs/out/pipe"),
    "a socket": (
        PYTHON.format('import socket; socket.socket(socket.AF_UNIX).bind("/pfs/out/s")'),
        "cannot upload special file /pfs/out/s",
    ),
    "a terabyte of nothing": ("truncate -s 1T /pfs/out/hole", "(sparse)"),
    "deep": (
        PYTHON.format(
            'import os; os.chdir("/pfs/out"); [(os.mkdir("d"), os.chdir("d")) for _ in range(3000)]'
        ),
        "deeper than 500 directories",
    ),
    "a name that is no text": ("touch /pfs/out/$(printf '\\377')", "is not UTF-8"),
    "memory": (
        PYTHON.format("x = bytes([1]) * (1 << 30)"),
        "out of memory: used more than 67108864 bytes (resource_limits.memory)",
    ),
}


def need(controller: str) -> None:
    if controller not in GROUPS.parents:
        pytest.skip(f"no {controller} groups here: {GROUPS.missing[controller]}")


@pytest.mark.parametrize("name", FAILS)
def test_harm_fails_its_datum_by_name(harm: Box, name: str) -> None:
    script, reason = FAILS[name]
    more: dict[str, object] = {"datum_timeout": "1s"} if name.startswith("hangs") else {}
    if name == "memory":
        need("memory")
        more["resource_limits"] = {"memory": "64Mi"}
    began = time.monotonic()
    job = harm.run(script, **more)
    assert (job.state, job.failed) == ("JOB_FAILURE", 1)
    assert reason in job.reason
    assert time.monotonic() - began < 20


# Numbers of this process's own tell its user code from what other tests run.
HIDES, HANGS = (f"4711.{n}{os.getpid():07}" for n in (1, 2))
HARMLESS = {
    "goes into the background": (
        f"(setsid nohup sleep {HIDES} >/dev/null 2>&1 &) ; sleep {HIDES} &"
    ),
    "signals all it sees": (
        "for p in /proc/[0-9]*; do [ ${p##*/} = $$ ] || kill -9 ${p##*/}; done; kill -STOP 1"
    ),
    "names with anything in them": "touch '/pfs/out/a\nb' '/pfs/out/*' '/pfs/out/ ' '/pfs/out/-rf'",
    "empties its output": "rm -rf /pfs/out; chmod 0 /pfs/out",
    "closes what it wrote": "mkdir /pfs/out/d; echo > /pfs/out/d/f; chmod -R 0 /pfs/out/d",
    "all descriptors": PYTHON.format(
        "import os\ntry:\n while True: os.dup(1)\nexcept OSError: open"
    )[5:],
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harm_that_harms_nobody_is_no_failure(harm: Box, name: str) -> None:
    assert harm.run(HARMLESS[name]).state == "JOB_SUCCESS"
    assert contents(harm.box, "harm@master")["/good"] == b"good\n"
    assert not processes(HIDES)


def test_a_datum_that_hangs_for_ever_ends_with_its_job(harm: Box) -> None:
    job = harm.create(
        f"touch /pfs/out/x; trap '' TERM; (setsid sleep {HANGS} &); sleep {HANGS}; sleep 1"
    )
    eventually(lambda: len(processes(HANGS)) > 1, "it hangs")
    harm.client.stop_job(job)
    assert harm.client.wait_job(job).state == "JOB_KILLED"
    eventually(lambda: not processes(HANGS), "nothing of it lives", 5)


def test_output_without_end_slows_nobody(harm: Box) -> None:
    """The box answers meanwhile, its memory is bounded, its log is capped."""
    assert harm.box.process is not None
    pid = harm.box.process.pid
    before = resident(pid)
    job = harm.create("yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c 268435456")
    slowest, largest = 0.0, 0
    while not harm.client.inspect_job(job).finished:
        began = time.monotonic()
        harm.client.inspect_pipeline("calm")
        slowest = max(slowest, time.monotonic() - began)
        largest = max(largest, resident(pid))
    assert harm.client.wait_job(job).state == "JOB_SUCCESS"
    print(f"slowest answer {slowest * 1000:.0f} ms, {(largest - before) >> 20} MiB more")
    assert slowest < 2
    assert largest - before < 128 << 20
    logs = sum(f.stat().st_size for f in (harm.box.home / "logs").rglob("*/harm/*/*.jsonl"))
    assert 1 << 20 < logs < 33 << 20


def resident(pid: int) -> int:
    """The memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# In a shell, which is small to copy. Its processes wait for a writer who never comes; the one
# that cannot make another counts them, without the help of one more.
BOMB = """
trap 'set -- /proc/[0-9]*; echo $# > /pfs/out/n; exit 0' EXIT
n=0
while [ $n -lt 6000 ]; do
    read never < {place}/fifo &
    n=$((n + 1))
done
"""


def test_a_fork_bomb_is_bounded(harm: Box) -> None:
    need("pids")
    script = harm.place / "bomb.sh"
    script.write_text(BOMB.format(place=harm.place))
    os.mkfifo(harm.place / "fifo")
    job = harm.run(f"sh {script}")
    assert job.state == "JOB_SUCCESS"
    assert 3000 < int(contents(harm.box, "harm@master")["/n"]) <= 4096


MANY = """
import os
for i in range(40_000):
    os.close(os.open(f"/pfs/out/{i}", os.O_CREAT))
"""


def test_forty_thousand_files_take_bounded_time(harm: Box) -> None:
    began = time.monotonic()
    script = harm.place / "many.py"
    script.write_text(MANY)
    job = harm.run(f"python3 {script}")
    print(f"{time.monotonic() - began:.1f} s")
    assert job.state == "JOB_SUCCESS"
    assert harm.client.inspect_file("harm@master:/39999").size_bytes == 0


SPY = """
import ctypes, os, signal, socket, sys
out = open("/pfs/out/seen", "w")
def tried(what, do):
    try: print(what, do() or "done", file=out)
    except OSError as e: print(what, "error", file=out)
def trace(pid):
    if ctypes.CDLL(None, use_errno=True).ptrace(16, pid, 0, 0): raise OSError
home, daemon = sys.argv[1], int(sys.argv[2])
print("home", os.listdir(home), file=out)
for path in ("store", "work", "meta.duckdb", "box.toml"):
    tried(path, lambda: os.stat(home + "/" + path))
tried("write", lambda: open(home + "/x", "w"))
tried("socket", lambda: socket.socket(socket.AF_UNIX).connect(home + "/run/box.sock"))
tried("signal", lambda: os.kill(daemon, signal.SIGKILL))
tried("trace the box", lambda: trace(daemon))
tried("trace the first process", lambda: trace(1))
print("score", open("/proc/self/oom_score_adj").read(), file=out)
"""


def test_the_store_the_box_and_other_datums_are_out_of_reach(harm: Box) -> None:
    """When the machine has no memory left, user code is killed before the box is."""
    script = harm.place / "spy.py"
    script.write_text(SPY)
    assert harm.box.process is not None
    job = harm.run(f"python3 {script} {harm.box.home} {harm.box.process.pid}")
    assert job.state == "JOB_SUCCESS"
    seen = contents(harm.box, "harm@master")["/seen"].decode().splitlines()
    assert seen[0] == "home []"
    assert [line for line in seen[1:10] if not line.endswith(" error")] == []
    mine = Path(f"/proc/{harm.box.process.pid}/oom_score_adj").read_text()
    assert int(seen[10].split()[1]) > int(mine)
