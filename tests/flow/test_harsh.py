"""What a box does when the machine is against it: stated in docs/operating.md, and so it is."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pachybox import notify
from pachybox.config import Config
from pachybox.errors import Exhausted, PachyboxError
from pachybox.meta.writer import Meta
from pachybox.model.ids import Branch, Repo
from pachybox.pfs.service import Pfs
from pachybox.pps.run import time_left
from pachybox.space import Space
from pachybox.store.blobs import BlobStore
from tests.boxes import RealBox, eventually

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounts and control groups need root")


class Bounded(RealBox):
    """A box whose process has bounds of its own, set before it begins by a program before it."""

    def __init__(self, home: Path, *bound: str, settings: str = "") -> None:
        super().__init__(home, settings=settings)
        self._bound = bound
        self.child: subprocess.Popen[bytes] | None = None

    def begin(self) -> subprocess.Popen[bytes]:
        """Start it, without waiting."""
        self.child = subprocess.Popen(
            [*self._bound, sys.executable, "-m", "pachybox.cli", "up"],
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return self.child

    def up(self) -> Bounded:
        """Start it and wait until it answers."""
        child = self.begin()

        def answers() -> bool:
            assert child.poll() is None, child.stdout and child.stdout.read().decode()
            try:
                return self.client.healthy()
            except PachyboxError:
                return False

        eventually(answers, "the box answers", 60)
        return self

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it and wait."""
        self.forget_client()
        child, self.child = self.child, None
        if child is not None:
            child.send_signal(number)
            child.wait(30)
            assert child.stdout is not None
            child.stdout.close()


def sh(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(args, capture_output=True, text=True, check=False)


# ---- a disk that takes no writes


class Ext4:
    """A real ext4 in a file, which can be made read-only as the kernel does it on damage."""

    def __init__(self, folder: Path) -> None:
        self.image, self.at = folder / "image", folder / "disk"
        with open(self.image, "wb") as f:
            f.truncate(160 << 20)
        self.at.mkdir()
        made = sh("mkfs.ext4", "-q", "-F", str(self.image))
        mounted = self.mount() if not made.returncode else made
        if made.returncode or mounted.returncode:
            pytest.skip(f"no ext4 can be made here: {made.stderr or mounted.stderr}")

    def mount(self) -> subprocess.CompletedProcess[str]:
        return sh("mount", "-o", "loop,errors=remount-ro", str(self.image), str(self.at))

    def fail(self) -> None:
        device = self.at.stat().st_dev
        name = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
        trigger = Path(f"/sys/fs/ext4/{name}/trigger_fs_error")
        if not trigger.exists():
            pytest.skip("this kernel makes no file system fail on demand")
        trigger.write_text("1")

    def mended(self) -> None:
        """Check it and mount it again: a copy, since whoever made a mount namespace meanwhile has
        the old one mounted there still."""
        eventually(self.unmounted, "it is unmounted", 20)
        copy = self.image.with_name("copy")
        shutil.copyfile(self.image, copy)
        self.image = copy
        assert sh("e2fsck", "-fy", str(copy)).returncode < 4
        assert self.mount().returncode == 0

    def unmounted(self) -> bool:
        return not os.path.ismount(self.at) or sh("umount", str(self.at)).returncode == 0


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Ext4]:
    made = Ext4(tmp_path)
    yield made
    eventually(made.unmounted, "it is unmounted", 20)


@ROOT_ONLY
def test_a_disk_made_read_only_by_the_kernel(ext4: Ext4, tmp_path: Path) -> None:
    """The box says so, refuses what would write with the reason, goes on reading; after the file
    system was mended and mounted again nothing that was acknowledged is missing."""
    box = RealBox(ext4.at / "home").start()
    try:
        client = box.client
        client.create_repo("data")
        small, large = b"small" * 9, os.urandom(1_500_000)
        client.put_file("data@master:/small", small)
        client.put_file("data@master:/large", large)
        ext4.fail()
        for what in (
            lambda: client.put_file("data@master:/new", b"new"),
            lambda: client.put_file("data@master:/more", large[1:]),
            lambda: client.create_repo("other"),
        ):
            with pytest.raises(Exhausted, match="read-only"):
                what()
        assert client.get_file("data@master:/small") == small
        assert client.get_file("data@master:/large") == large
        assert [r.name for r in client.list_repo()] == ["data"]
        warned = client.status().warnings
        assert any("read-only" in text and "mount it writable" in text for text in warned)
        assert "read-only" in box.cli("status")
        assert any("read-only" in reason for reason in client.ready())
        assert client.healthy()
        assert any(f.get("code") == "PB206" and f["level"] == "fail" for f in client.doctor())
    finally:
        box.kill()
    ext4.mended()
    box.start()
    try:
        assert box.client.get_file("data@master:/large") == large
        box.client.put_file("data@master:/new", b"new")
        assert not [f for f in box.client.fsck() if f["level"] != "info"]
    finally:
        box.stop()


@ROOT_ONLY
def test_a_remount_is_seen_both_ways(tmp_path: Path) -> None:
    """Writes are refused while a file system is mounted read-only, and go on by themselves."""
    at = tmp_path / "disk"
    at.mkdir()
    if sh("mount", "-t", "tmpfs", "tmpfs", str(at)).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        space = Space(Config(at), lambda: pytest.fail("no event is due"), lambda: 0)
        space.check()
        assert sh("mount", "-o", "remount,ro", str(at)).returncode == 0
        with pytest.raises(Exhausted, match="read-only"):
            eventually(space.check, "it is refused", 5)
        assert "read-only" in space.held()
        assert "read-only" in space.forbidden()
        assert sh("mount", "-o", "remount,rw", str(at)).returncode == 0
        assert space.forbidden() == ""
        space.check()
        assert (space.held(), space.warnings()) == ("", [])
    finally:
        assert sh("umount", str(at)).returncode == 0


@ROOT_ONLY
def test_a_box_does_not_start_where_it_cannot_write(tmp_path: Path) -> None:
    at = tmp_path / "disk"
    at.mkdir()
    if sh("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(at)).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        env = {**os.environ, "PACHYBOX_HOME": str(at / "home")}
        done = subprocess.run(
            [sys.executable, "-m", "pachybox.cli", "up"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert f"{at / 'home'} cannot be written: Read-only file system" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    finally:
        assert sh("umount", str(at)).returncode == 0


# ---- few open files


def files_at_most(number: int) -> tuple[str, ...]:
    return "prlimit", f"--nofile={number}:{number}"


def test_64_open_files_are_refused_at_the_start(tmp_path: Path) -> None:
    box = Bounded(tmp_path / "home", *files_at_most(64))
    child = box.begin()
    said = child.communicate(timeout=60)[0].decode()
    assert child.returncode == 1
    assert "the limit of open files is 64, and a box needs 128" in said
    assert "LimitNOFILE" in said


def test_256_open_files_do(tmp_path: Path) -> None:
    """Many files, many packs and objects, a job, and more clients at once than there are files
    for: some are told to come again, and all is well when they have gone."""
    box = Bounded(tmp_path / "home", *files_at_most(256)).up()
    try:
        client = box.client
        client.create_repo("data")
        folder = tmp_path / "many"
        folder.mkdir()
        for i in range(300):
            (folder / str(i)).write_bytes(bytes([i % 256]) * (1000 if i < 200 else 150_000 + i))
        with client.put("data@master") as put:
            put.directory("/many", str(folder))
        for i in range(200, 300):
            assert client.get_file(f"data@master:/many/{i}") == (folder / str(i)).read_bytes()
        client.create_pipelines(
            '{"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "data", "glob": "/many/1?"}},'
            ' "transform": {"cmd": ["sh"], "stdin": ["cp /pfs/data/many/* /pfs/out"]}}'
        )
        client.wait_commit("p@master")
        assert len(list(client.list_file("p@master:/"))) == 10
        with ExitStack() as crowd:
            for _ in range(200):
                crowd.enter_context(_connected(box.socket))
        eventually(lambda: client.get_file("data@master:/many/7") == bytes([7]) * 1000, "it serves")
        client.put_file("data@master:/after", b"after")
        assert not [f for f in client.fsck() if f["level"] != "info"]
    finally:
        box.end()


def _connected(address: Path, path: str = "/healthz") -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(str(address))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


def test_a_box_with_all_connections_taken_still_says_how_it_is(tmp_path: Path) -> None:
    """A service manager or a container's does not take one that is busy for one that is dead."""
    box = Bounded(tmp_path / "home", *files_at_most(128)).up()
    try:
        address = box.client.status().address
        host, _, port = address.removeprefix("http://").rpartition(":")
        box.forget_client()
        with ExitStack() as crowd:
            for _ in range(40):
                sock = crowd.enter_context(socket.create_connection((host, int(port))))
                sock.sendall(b"GET /hea")  # and no more for a while
            assert b"503" in sock.recv(100)  # all are taken
            with _connected(box.socket, "/docs") as own, own.makefile("rb") as answer:
                assert answer.readline() == b"HTTP/1.1 200 OK\r\n"  # the owner has threads apart
            for _ in range(3):
                assert notify.answers(box.socket) == []
    finally:
        box.end()


# ---- little memory

MEMORY = Path("/sys/fs/cgroup/memory")
LIMIT = 256 << 20


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of 256 MB, version 1 or 2."""
    base = MEMORY if MEMORY.is_dir() else Path("/sys/fs/cgroup")
    made = base / f"pachybox-test-{os.getpid()}"
    name = "memory.limit_in_bytes" if base == MEMORY else "memory.max"
    try:
        made.mkdir()
        (made / name).write_text(str(LIMIT))
    except OSError as e:
        pytest.skip(f"no control group of memory can be made here: {e}")
    yield made

    def gone() -> bool:
        try:
            made.rmdir()
        except OSError:
            return False
        return True

    eventually(gone, "the control group is removed", 20)


@ROOT_ONLY
def test_256_mb_of_memory_do(tmp_path: Path, group: Path) -> None:
    """It starts, takes 1 GiB, lists, and runs a pipeline over it; nothing is killed."""
    into = ("sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs"))
    large = tmp_path / "large"
    box = Bounded(tmp_path / "home", *into).up()
    try:
        said = box.home / "run" / "box.log"
        eventually(lambda: "memory=256MiB" in said.read_text(), "it planned for 256 MB")
        client = box.client
        client.create_repo("data")
        with open(large, "wb") as f:  # not a hole: zeros would not be written
            block = os.urandom(16 << 20)
            for i in range(64):
                f.write(block[i * 97 :] + block[: i * 97])
        with client.put("data@master") as put:
            put.file("/large", str(large))
        assert client.inspect_file("data@master:/large").size_bytes == 1 << 30
        with client.put("data@master") as put:
            for i in range(3000):
                put.data(f"/small/{i}", b"%d" % i * 100)
        client.create_pipelines(
            '{"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "data", "glob": "/large"}},'
            ' "transform": {"cmd": ["sh"], "stdin": ["wc -c < /pfs/data/large > /pfs/out/size"]}}'
        )
        client.wait_commit("p@master")
        assert client.get_file("p@master:/size").strip() == b"1073741824"
        assert len(list(client.list_file("data@master:/small"))) == 3000
        assert resident(box) < 240 << 20
    finally:
        box.end()
        large.unlink(missing_ok=True)
    assert killed(group) == 0


def resident(box: Bounded) -> int:
    assert box.child is not None
    text = Path(f"/proc/{box.child.pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) << 10


def killed(group: Path) -> int:
    for name in ("memory.oom_control", "memory.events"):
        if (group / name).exists():
            words = (group / name).read_text().split()
            return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0
    return 0


# ---- a clock that is put back

HOUR_BACK = -3600


def test_commits_keep_their_order_when_the_clock_is_put_back(tmp_path: Path) -> None:
    """Order is that of numbers, not of times; what waits for a time waits for no other."""
    now = [datetime(2026, 5, 1, 12, tzinfo=UTC)]
    blobs = BlobStore.open(tmp_path / "store")
    meta = Meta(tmp_path / "meta.duckdb", barrier=blobs.flush, clock=lambda: now[0])
    pfs = Pfs(meta, blobs)
    repo = Repo("default", "data")
    pfs.create_repo(repo)
    made = []
    for step in (0, HOUR_BACK, 60, 2 * HOUR_BACK, 4 * 3600):
        now[0] += timedelta(seconds=step)
        commit = pfs.start_commit(Branch(repo, "master"))
        pfs.finish_commit(repo, commit.id)
        made.append(commit)
    listed = [info.commit for info in pfs.list_commits(repo)]
    assert listed == made[::-1]
    assert [e.seq for e in meta.events(0)] == sorted(e.seq for e in meta.events(0))
    meta.close()
    blobs.close()


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
static volatile long *put;
__attribute__((constructor)) static void begin(void) {
    put = mmap(0, 8, PROT_READ, MAP_SHARED, open(getenv("CLOCK_PUT"), O_RDONLY | O_CLOEXEC), 0);
}
int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(which, now);
    if (!failed && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += *put;
    return failed;
}
"""


class Clock:
    """The wall clock of the processes that are given ``env``, which is put as one likes."""

    def __init__(self, folder: Path) -> None:
        library, source, self._file = folder / "clock.so", folder / "clock.c", folder / "clock"
        source.write_text(CLOCK)
        if shutil.which("cc") is None:
            pytest.skip("there is no C compiler")
        made = sh("cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl")
        assert made.returncode == 0, made.stderr
        self.put(0)
        self.env = {"LD_PRELOAD": str(library), "CLOCK_PUT": str(self._file)}

    def put(self, seconds: int) -> None:
        """So far from what is right."""
        with open(self._file, "r+b" if self._file.exists() else "wb") as f:
            f.write(seconds.to_bytes(8, "little", signed=True))


def test_a_box_whose_clock_is_put_back_by_an_hour(tmp_path: Path) -> None:
    """Commits keep their order, jobs run, no due time ticks twice, doctor says so, a kill loses
    nothing; set right again, the cron goes on."""
    clock = Clock(tmp_path)
    box = Bounded(tmp_path / "home")
    box.env |= clock.env
    box.up()
    try:
        client = box.client
        client.create_repo("data")
        for spec in (
            '{"pipeline": {"name": "p"}, "input": {"pfs": {"repo": "data", "glob": "/"}},'
            ' "transform": {"cmd": ["sh"], "stdin": ["cat /pfs/data/* > /pfs/out/all"]},'
            ' "job_timeout": "60s", "datum_timeout": "30s"}',
            '{"pipeline": {"name": "c"}, "input": {"cron": {"name": "tick", "spec": "@every 1s"}},'
            ' "transform": {"cmd": ["true"]}}',
        ):
            client.create_pipelines(spec)

        def ticks() -> list[str]:
            ids = [c.id for c in box.client.list_commit("c_tick@master")]
            return sorted(f.path for i in ids[:1] for f in box.client.list_file(f"c_tick@{i}:/"))

        client.put_file("data@master:/1", b"1")
        eventually(lambda: len(ticks()) >= 2, "it ticks")
        clock.put(HOUR_BACK)
        client.put_file("data@master:/2", b"2")
        client.wait_commit("p@master")
        assert client.get_file("p@master:/all") == b"12"
        told = next(f for f in client.doctor() if f["check"] == "time of the data")
        assert told["level"] == "warn", told
        assert client.ready() == []
        before = ticks()
        box.end(signal.SIGKILL)
        box.up()
        client = box.client
        client.put_file("data@master:/3", b"3")
        client.wait_commit("p@master")
        assert client.get_file("p@master:/all") == b"123"
        commits = [c for c in client.list_commit("data@master")]
        assert len(list(client.list_file(f"data@{commits[0].id}:/"))) == 3
        assert ticks() == before
        clock.put(0)
        eventually(lambda: len(ticks()) > len(before), "it ticks again")
        made = [c.id for c in client.list_commit("c_tick@master")]
        sizes = [len(list(client.list_file(f"c_tick@{i}:/"))) for i in made]
        assert sizes == sorted(sizes, reverse=True)
        assert ticks()[: len(before)] == before
        assert not [f for f in client.fsck() if f["level"] != "info"]
    finally:
        box.end()


@pytest.mark.parametrize(("clock_s", "left"), [(0, 40), (10, 30), (100, 0), (HOUR_BACK, 40)])
def test_a_job_never_has_more_than_its_time(clock_s: int, left: int) -> None:
    began = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert time_left(40, began, began + timedelta(seconds=clock_s)) == left
