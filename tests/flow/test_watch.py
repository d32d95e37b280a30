"""Watched folders: what comes to them is committed, once, when it is whole."""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pachybox.client import Client
from pachybox.client.ingest_values import IngestInfo
from pachybox.errors import NotFound
from tests.boxes import RealBox, eventually

NUMBERS = itertools.count()
SYSFS = Path("/sys/bus/platform")


class Watched:
    """A folder, the source that watches it, and what the repo has."""

    def __init__(self, box: RealBox, folder: Path, **part: object) -> None:
        self.box = box
        self.folder = folder
        self.name = f"watched{next(NUMBERS)}"
        box.client.create_repo(self.name)
        if not folder.exists():
            folder.mkdir()
        self.spec = {
            "name": self.name,
            "to": f"{self.name}@master",
            "watch": {"path": str(folder), "settle": "200ms", **part},
        }
        box.client.create_ingest(self.spec)

    @property
    def client(self) -> Client:
        return self.box.client

    @property
    def info(self) -> IngestInfo:
        return self.client.inspect_ingest(self.name)

    def update(self, **part: object) -> None:
        self.spec["watch"] = {**self.spec["watch"], **part}  # type: ignore[dict-item]
        self.client.create_ingest(self.spec, update=True)

    def repo(self, branch: str = "master") -> dict[str, bytes]:
        """Every file by path."""
        try:
            head = self.client.inspect_branch(f"{self.name}@{branch}").head
        except NotFound:
            return {}
        if not head:
            return {}
        ref = f"{self.name}@{head}"
        found = [f.path for f in self.client.glob_file(f"{ref}:**") if not f.is_dir]
        return {path: self.client.get_file(f"{ref}:{path}") for path in found}

    def becomes(self, files: dict[str, bytes], branch: str = "master") -> None:
        def look() -> bool:
            nonlocal last
            last = self.repo(branch)
            return last == files

        last: dict[str, bytes] = {}
        try:
            eventually(look, "the repo has the files", 20)
        except AssertionError:
            raise AssertionError(f"{last} is not {files}; {self.info}") from None

    def runs(self) -> None:
        eventually(lambda: self.info.state == "running", "it runs")


@pytest.fixture
def watch(shared_box: RealBox, tmp_path: Path) -> Callable[..., Watched]:
    def made(**part: object) -> Watched:
        return Watched(shared_box, tmp_path / "in", **part)

    return made


def rename_in(file: Path, content: bytes) -> None:
    """As careful writers do it."""
    other = file.parent.parent / f"{file.name}.elsewhere"
    other.write_bytes(content)
    other.rename(file)


def test_what_is_whole_enters_under_its_name_and_again_when_it_has_changed(
    watch: Callable[..., Watched],
) -> None:
    watched = watch(prefix="/data", pattern="**")
    folder = watched.folder
    watched.runs()
    (folder / "a").write_bytes(b"one")
    (folder / "deep/er").mkdir(parents=True)
    for n in range(50):  # made before the kernel can watch the new directory
        (folder / f"deep/er/{n}").write_bytes(b"%d" % n)
    for name in (".hidden", "x.tmp", "x.part", "x~", ".dir/file"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no")
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    files = {f"/data/deep/er/{n}": b"%d" % n for n in range(50)} | {"/data/a": b"one"}
    watched.becomes(files)
    (folder / "a").write_bytes(b"three")
    watched.becomes(files | {"/data/a": b"three"})
    (folder / "deep/er/7").unlink()  # no mirror: it stays
    os.utime(folder / "a")
    eventually(lambda: watched.info.files == 53, "a new time is a new version")
    assert watched.repo() == files | {"/data/a": b"three"}


def test_a_file_that_is_still_written_does_not_enter(watch: Callable[..., Watched]) -> None:
    watched = watch(settle="700ms")
    watched.runs()
    with (watched.folder / "growing").open("wb", buffering=0) as out:
        for _ in range(15):
            out.write(b"x" * 1000)
            time.sleep(0.1)  # the writer's pace, far below the settle time
            assert not watched.repo()
    watched.becomes({"/growing": b"x" * 15_000})
    assert watched.info.files == 1


def test_what_changes_after_many_files_were_read_ahead_enters_as_it_is_then(
    watch: Callable[..., Watched],
) -> None:
    watched = watch(settle="1s")
    watched.runs()
    for n in range(600):
        (watched.folder / f"{n}").write_bytes(b"old")
    changed = watched.folder / "7"
    status = changed.stat()
    time.sleep(0.8)  # of the settle time: they are read in its second half
    changed.write_bytes(b"new")  # as large, and by its mtime as old
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    eventually(lambda: watched.info.files == 600, "all are in", 20)
    assert watched.client.get_file(f"{watched.name}@master:/7") == b"new"
    assert watched.client.get_file(f"{watched.name}@master:/599") == b"old"


def test_many_files_are_one_commit_and_a_restart_reads_none_again(
    box: RealBox, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for n in range(500):
        (tmp_path / f"in/{n}").write_bytes(b"x")
        os.utime(tmp_path / f"in/{n}", (1, 1))
    watched = Watched(box, tmp_path / "in", poll="always", poll_interval="200ms")
    eventually(lambda: watched.info.files == 500, "all are in")
    assert watched.info.commits == 1
    box.kill()
    box.start()
    rename_in(watched.folder / "new", b"new")
    eventually(lambda: watched.info.files >= 501, "the new one is in")
    assert watched.info.files == 501
    assert watched.repo()["/new"] == b"new"
    watched.client.pause_ingest(watched.name)
    (watched.folder / "later").write_bytes(b"later")
    watched.client.resume_ingest(watched.name)
    eventually(lambda: "/later" in watched.repo(), "what came during the pause is in")
    assert watched.info.files == 502


def test_a_companion_says_that_a_file_is_whole(watch: Callable[..., Watched]) -> None:
    watched = watch(done=".ok", settle="1h", delete_after=True)
    folder = watched.folder
    watched.runs()
    (folder / "a.csv").write_bytes(b"a")
    (folder / "b.csv").write_bytes(b"b")
    (folder / "a.csv.ok").touch()
    watched.becomes({"/a.csv": b"a"})
    eventually(lambda: os.listdir(folder) == ["b.csv"], "both of a are deleted")
    (folder / "b.csv.ok").touch()
    watched.becomes({"/a.csv": b"a", "/b.csv": b"b"})
    eventually(lambda: not os.listdir(folder), "both of b are deleted")
    assert watched.info.files == 2


def test_what_is_committed_is_moved_away_and_overwrites_nothing(
    watch: Callable[..., Watched], tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    watched = watch(move_to=str(taken))
    folder = watched.folder
    (folder / "sub").mkdir()
    rename_in(folder / "sub/a.csv", b"1")
    eventually(lambda: (taken / "sub/a.csv").exists(), "it is moved")
    rename_in(folder / "sub/a.csv", b"2")
    eventually(lambda: (taken / "sub/a.1.csv").exists(), "the second is moved too")
    assert (taken / "sub/a.csv").read_bytes() == b"1"
    assert (taken / "sub/a.1.csv").read_bytes() == b"2"
    assert watched.repo() == {"/sub/a.csv": b"2"}
    assert os.listdir(folder / "sub") == []


def test_a_mirror_follows_deletions_but_not_of_a_folder_that_is_gone(
    watch: Callable[..., Watched],
) -> None:
    watched = watch(mirror=True)
    folder = watched.folder
    (folder / "d").mkdir()
    for name in ("a", "b", "d/c", "d/e"):
        (folder / name).write_bytes(name.encode())
    watched.becomes({"/a": b"a", "/b": b"b", "/d/c": b"d/c", "/d/e": b"d/e"})
    watched.client.put_file(f"{watched.name}@master:/other", b"not ours")
    (folder / "b").unlink()
    (folder / "d/c").rename(folder / "d/f")
    left = {"/a": b"a", "/d/e": b"d/e", "/d/f": b"d/c", "/other": b"not ours"}
    watched.becomes(left)

    folder.rename(folder.with_name("away"))
    eventually(lambda: "is gone" in watched.info.reason, "it is held, and says why")
    folder.with_name("away").rename(folder)
    eventually(lambda: not watched.info.reason, "it goes on")
    (folder / "a").unlink()
    (folder / "d").rename(folder / "dd")
    left = {"/dd/e": b"d/e", "/dd/f": b"d/c", "/other": b"not ours"}
    watched.becomes(left)

    (folder / "x").write_bytes(b"x")
    (folder / "y").write_bytes(b"y")
    watched.becomes(left | {"/x": b"x", "/y": b"y"})
    (folder / "x").unlink()
    (folder / "x").mkdir()
    (folder / "x/in").write_bytes(b"in")
    (folder / "y").unlink()
    (folder / "y").symlink_to("/etc/passwd")
    watched.becomes(left | {"/x/in": b"in"})


def test_what_a_repo_cannot_hold_goes_to_the_dead_letters_once(
    watch: Callable[..., Watched],
) -> None:
    watched = watch()
    watched.runs()
    Path(os.fsdecode(os.fsencode(watched.folder) + b"/bad\xff")).write_bytes(b"content")
    (watched.folder / "good").write_bytes(b"good")
    watched.becomes({"/good": b"good"})
    eventually(lambda: watched.info.dead_letters == 1, "it is a dead letter")
    (content, reason) = sorted(watched.repo("dead-letters").items())
    assert content[1] == b"content"
    assert b"UTF-8" in reason[1]
    (watched.folder / "better").write_bytes(b"better")  # the watcher outlives such names
    watched.becomes({"/good": b"good", "/better": b"better"})
    assert watched.info.dead_letters == 1


@pytest.mark.skipif(not (SYSFS / "drivers_probe").exists(), reason="no such files here")
def test_unreadable_files_are_told_and_tried_again_while_others_go_on(
    shared_box: RealBox,
) -> None:
    """Files of the kernel that nobody may read, not even root."""
    watched = Watched(shared_box, SYSFS, pattern="/drivers_*", poll="always")
    eventually(lambda: watched.repo().keys() == {"/drivers_autoprobe"}, "the readable one is in")
    eventually(lambda: "drivers_probe: Permission denied" in watched.info.error, "it is told")
    eventually(lambda: watched.info.pending == 1, "it waits")
    watched.client.delete_ingest(watched.name)


def test_run_ingest_does_not_wait_for_the_batch(watch: Callable[..., Watched]) -> None:
    watched = watch(batch="1h", poll="always", poll_interval="1h")
    watched.runs()
    stop = threading.Event()

    def others() -> None:  # so that there never is a quiet moment
        for n in itertools.count():
            (watched.folder / f"n{n}").write_bytes(b"n")
            if stop.wait(0.02):
                return

    thread = threading.Thread(target=others)
    thread.start()
    try:

        def entered() -> bool:
            watched.client.run_ingest(watched.name)
            return watched.info.files > 0

        eventually(entered, "it is committed by order")
    finally:
        stop.set()
        thread.join()


def test_the_command_makes_a_source_and_says_what_is_wrong(
    shared_box: RealBox, tmp_path: Path
) -> None:
    box, folder = shared_box, tmp_path / "drop zone"
    box.client.create_repo("cmd")
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    assert box.cli("watch", str(folder), "cmd@master", "--settle", "1s") == "drop-zone-cmd\n"
    box.cli("watch", str(folder), "cmd@master", "--settle", "1s")  # the same again
    eventually(lambda: box.client.inspect_ingest("drop-zone-cmd").files == 1, "it is in")
    assert box.client.get_file("cmd@master:/a") == b"a"

    def refused(*args: str) -> str:
        done = box.run("watch", *args)
        assert done.returncode == 1
        return done.stderr

    assert "does not exist" in refused(str(folder / "none"), "cmd@master")
    assert "is not a directory" in refused(str(folder / "a"), "cmd@master")
    other = tmp_path / "other"
    other.mkdir()
    assert "--update" in refused(str(other), "cmd@master", "--name", "drop-zone-cmd")
    assert "for cmd@master" in refused(str(folder), "cmd@another")
    inside = str(folder / "taken")
    assert "watch.move_to" in refused(str(folder), "cmd@master", "--move-to", inside)
    assert "watch.mirror" in refused(str(folder), "cmd@master", "--mirror", "--delete-after")
    assert "watch.settle" in refused(str(folder), "cmd@master", "--settle", "soon")
    box.client.delete_ingest("drop-zone-cmd")


def chaos(box: RealBox, watched: Watched, kills: int, every_s: float, rate: float) -> int:
    """Files come at ``rate`` a second while the source or the box is killed; how many came."""
    stop = threading.Event()
    made = 0

    def produce() -> None:
        nonlocal made
        while not stop.wait(1 / rate):
            target = watched.folder / f"{made % 10}" / f"f{made}"
            target.parent.mkdir(exist_ok=True)
            rename_in_from = watched.folder.parent / f"next{made}"
            rename_in_from.write_bytes(b"%d" % made)
            rename_in_from.rename(target)
            made += 1

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        for kill in range(kills):
            time.sleep(random.uniform(0, 2 * every_s))  # a random moment is the point
            if kill % 2:
                box.kill()
                box.start()
            elif pid := watched.info.pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
    finally:
        stop.set()
        thread.join()
    return made


@pytest.mark.parametrize("part", [{}, {"delete_after": True}])
def test_kill_9_neither_loses_nor_doubles(
    box: RealBox, tmp_path: Path, part: dict[str, object]
) -> None:
    watched = Watched(box, tmp_path / "in", batch="300ms", **part)
    kills = int(os.environ.get("PACHYBOX_TEST_KILLS", "4"))
    made = chaos(box, watched, kills, every_s=0.6, rate=100)
    eventually(lambda: watched.info.files >= made, f"all {made} are in", 60)
    files = {f"/{n % 10}/f{n}": b"%d" % n for n in range(made)}
    assert watched.repo() == files
    assert watched.info.files == made
    if part:
        eventually(lambda: not [*watched.folder.rglob("*f*")], "all are deleted")
