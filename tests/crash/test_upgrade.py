"""Another version in place of this one: migrations killed, upgrades that fail, the way back."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from appliance.running import Running
from appliance.upgrade import Owner, Program, installed_file, swap
from pachybox import upgrade
from pachybox.config import load
from pachybox.errors import Refused
from pachybox.meta.tables import EVENTS, REPOS
from pachybox.meta.writer import Meta
from tests.boxes import RealBox, eventually
from tests.crash.disks import SmallDisk
from tests.flow.test_health import asked

UID = 12_345
SLOW = "CREATE TABLE slow AS SELECT sum(sin(i)) AS s FROM range(4_000_000_000) t(i)"
QUICK = "CREATE TABLE quick (n INTEGER)"
BROKEN = "SELECT error('it cannot be')"

PATCH = """
import sys
import pachybox
pachybox.__version__ = {version!r}
if "up" in sys.orig_argv:
    from pachybox.meta import connect
    real = connect.migrations
    connect.migrations = lambda: [*real(), *{migrations!r}]
    from pachybox.api import health
    if {never!r}:
        health.ready = lambda box: ["it is never ready"]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data directory with a file in it, that no box has."""
    box = RealBox(tmp_path / "home").start()
    box.client.create_repo("kept")
    with box.client.commit("kept@master") as commit:
        commit.put_file("/a", b"one")
    box.stop()
    return box.home


def migrate(database: Path, *more: tuple[int, str]) -> subprocess.Popen[bytes]:
    """Another process that opens the metadata with migrations of the future."""
    code = f"""
        from pathlib import Path
        from pachybox.meta import connect
        from pachybox.meta.writer import Meta
        real = connect.migrations
        connect.migrations = lambda: [*real(), *{list(more)!r}]
        Meta(Path({str(database)!r})).close()
    """
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is killed at the end, which it must not have reached by itself."""
    try:
        yield process
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL


def holds(process: subprocess.Popen[bytes], file: Path) -> bool:
    """Whether a process has a file open."""
    with suppress(FileNotFoundError):  # what it had is closed meanwhile
        return any(file.samefile(fd) for fd in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


def whole(database: Path) -> None:
    """It opens, and has what was in it."""
    meta = Meta(database)
    try:
        assert [record.repo.name for record in meta.all(REPOS) if record.repo.type == "user"] == [
            "kept"
        ]
        assert meta.select(EVENTS, "WHERE kind = 'commit.finished'")
    finally:
        meta.close()


def test_a_kill_in_the_middle_of_a_migration_loses_nothing(home: Path) -> None:
    database = home / "meta.duckdb"
    for _ in range(3):
        with killed(migrate(database, (9001, QUICK), (9002, SLOW))) as process:
            eventually(lambda p=process: holds(p, database), "it has opened it")  # type: ignore[misc]
            time.sleep(random.random() * 0.3)  # somewhere in it
    [copy] = upgrade.copies(home)  # of the one state there was, however often it was begun
    assert not copy.done
    assert migrate(database, (9001, QUICK), (9002, "CREATE TABLE better (n INT)")).wait() == 0
    [copy] = upgrade.copies(home)
    assert copy.done
    upgrade.put_back(database, copy)
    whole(database)
    box = RealBox(home).start()
    assert box.cli("get", "file", "kept@master:/a") == "one"
    box.stop()


def test_a_kill_while_metadata_is_put_back_is_mended_by_the_next_start(home: Path) -> None:
    database = home / "meta.duckdb"
    assert migrate(database, (9001, QUICK)).wait() == 0
    [copy] = upgrade.copies(home)
    assert copy.done
    code = f"""
        from pathlib import Path
        from pachybox import upgrade
        while True:
            upgrade.put_back(Path({str(database)!r}), upgrade.copies(Path({str(home)!r}))[0])
    """
    for _ in range(5):
        with killed(subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])):
            eventually(lambda: (home / "meta.putback").exists(), "it is at it")
            time.sleep(random.random() * 0.05)  # somewhere in it
        whole(database)
    assert not (home / "meta.putback").exists()


def test_a_database_of_a_newer_schema_is_refused_until_the_way_back_is_taken(home: Path) -> None:
    assert migrate(home / "meta.duckdb", (9001, QUICK)).wait() == 0
    box = RealBox(home)
    refused = box.run("up", "--detach")
    assert refused.returncode == 1
    assert "has schema version 9001; this pachybox knows up to" in refused.stderr
    assert "pachybox upgrade --undo" in refused.stderr
    unsure = box.run("upgrade", "--undo")
    assert unsure.returncode == 1
    assert unsure.stderr == ("pachybox: not confirmed, nothing was done; answer yes, or add -y\n")
    said = box.run("upgrade", "--undo", "--yes")
    assert (said.returncode, "what was written since is lost" in said.stderr) == (0, True)
    box.start()
    assert box.cli("get", "file", "kept@master:/a") == "one"
    running = box.run("upgrade", "--undo", "--yes")
    assert (running.returncode, "stop it first" in running.stderr) == (1, True)
    box.stop()


def test_no_more_copies_are_kept_than_two_and_none_without_room(home: Path) -> None:
    database = home / "meta.duckdb"
    for number in range(9001, 9005):
        assert (
            migrate(
                database, *((n, f"CREATE TABLE t{n} (n INT)") for n in range(9001, number + 1))
            ).wait()
            == 0
        )
    assert [copy.schema for copy in upgrade.copies(home)] == [9003, 9002]
    room, upgrade._ROOM = upgrade._ROOM, 1 << 60
    try:
        with pytest.raises(Refused, match="lacks room"):
            upgrade.take(database, event=-1)
    finally:
        upgrade._ROOM = room
    assert len(upgrade.copies(home)) == 2


def test_where_room_is_short_a_copy_takes_the_place_of_older_ones(
    small_disk: Callable[[int], SmallDisk],
) -> None:
    disk = small_disk(300 << 20)
    box = RealBox(disk.where / "home").start()
    box.client.create_repo("kept")
    box.stop()
    database = box.home / "meta.duckdb"
    for event in (-1, -2):
        upgrade.finished(upgrade.take(database, event=event))
    one = sum(file.stat().st_size for file in upgrade.copies(box.home)[0].path.iterdir())
    disk.fill(upgrade._ROOM + one // 2)
    underway = upgrade.take(database, event=-3)
    assert [copy.event for copy in upgrade.copies(box.home)] == [-3, -2]
    assert upgrade.take(database, event=-3) == underway  # it is not over: it will do
    disk.fill(upgrade._ROOM - 2 * one)
    with pytest.raises(Refused, match="lacks room"):
        upgrade.take(database, event=-4)
    assert [copy.event for copy in upgrade.copies(box.home)] == [-3, -2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act for another user")
def test_what_root_copies_and_puts_back_is_the_box_s_own(home: Path) -> None:
    for path in (home, *home.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)
    database = home / "meta.duckdb"
    copy = upgrade.take(database, event=upgrade.seen(database))
    upgrade.put_back(database, copy)
    upgrade.finished(copy)
    owners = {path.stat().st_uid for path in (home, *home.rglob("*")) if path.exists()}
    assert owners == {65534}
    whole(database)


class Programs:
    """Programs of one file, as they are installed: scripts, each of a version of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(
        self, name: str, version: str, *migrations: tuple[int, str], never: bool = False
    ) -> Path:
        """A program that brings these migrations; ``never``: its box is never ready."""
        patched = self.folder / f"{name}-modules"
        patched.mkdir(parents=True)
        (patched / "sitecustomize.py").write_text(
            PATCH.format(migrations=list(migrations), never=never, version=version)
        )
        file = self.folder / name
        file.write_text(
            f"#!/bin/sh\n# {version}\nexport PYTHONPATH='{patched}' PACHYBOX_FILE=$0\n"
            f'exec "{sys.executable}" -m pachybox.cli "$@"\n'
        )
        file.chmod(0o755)
        return file


class Installed:
    """A box that runs from a program of one file."""

    def __init__(self, home: Path, file: Path) -> None:
        self.box, self.file = RealBox(home), file

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.file), *args], env=self.box.env, capture_output=True, text=True, timeout=120
        )

    def state(self) -> tuple[str, str]:
        """Which version runs, and what it has."""
        self.box.forget_client()
        status = self.box.client.status()
        assert asked(status.address, "/readyz")[0] == 200
        return status.version, self.run("get", "file", "kept@master:/a").stdout


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "bin")


@pytest.fixture
def installed(home: Path, programs: Programs) -> Iterator[Installed]:
    made = Installed(home, programs.make("pachybox", "90.0"))
    assert made.run("up", "--detach").returncode == 0
    yield made
    made.box.forget_client()
    made.run("down")


def test_an_upgrade_migrates_and_one_that_fails_leaves_all_as_it_was(
    installed: Installed, programs: Programs
) -> None:
    new = programs.make("new", "91.0", (9001, QUICK))
    done = installed.run("upgrade", str(new))
    assert (done.returncode, done.stdout) == (0, "pachybox is 91.0\n"), done.stderr
    assert installed.file.read_bytes() == new.read_bytes()
    assert installed.state() == ("91.0", "one")
    for worse in (
        programs.make("broken", "92.0", (9001, QUICK), (9002, BROKEN)),
        programs.make(
            "unready", "93.0", (9001, QUICK), (9002, "CREATE TABLE x (n INT)"), never=True
        ),
    ):
        failed = installed.run("upgrade", str(worse), "--timeout", "3s")
        assert failed.returncode == 1
        assert "not upgraded to 9" in failed.stderr
        assert "the old program and its metadata are back" in failed.stderr
        assert installed.file.read_bytes() == new.read_bytes()
        assert installed.state() == ("91.0", "one")
    older = installed.run("upgrade", str(programs.make("older", "89.0")))
    assert (older.returncode, "89.0 is older than 91.0" in older.stderr) == (1, True)
    other = installed.run("upgrade", "/bin/true")
    assert (other.returncode, "/bin/true is no pachybox" in other.stderr) == (1, True)
    assert installed.state() == ("91.0", "one")
    for _ in range(2):  # cut short by a kill once the new program was in its place; and once more
        swap(worse, installed.file)
    for version in ("91.0", "90.0"):
        installed.run("down")
        assert installed.run("upgrade", "--undo", "--yes").returncode == 0
        assert installed.run("up", "--detach").returncode == 0
        assert installed.state() == (version, "one")


@pytest.mark.skipif(os.geteuid() != 0, reason="root upgrades the box of another user")
def test_what_root_does_to_a_box_of_another_user_stays_that_users() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        box = RealBox(folder / "home").start()
        box.client.create_repo("kept")
        box.stop()
        for path in (box.home, *box.home.rglob("*")):
            os.chown(path, UID, UID, follow_symlinks=False)
        owner = Owner.of(box.home)
        with owner.acting():
            upgrade.take(box.home / "meta.duckdb", event=1)
        (folder / "victim").write_text("root's own")
        (box.home / "meta.part").symlink_to(folder / "victim")
        refused = box.run("upgrade", "--undo", "-y")
        assert (refused.returncode, "Permission denied" in refused.stderr) == (1, True)
        assert (folder / "victim").read_text() == "root's own"
        (box.home / "meta.part").unlink()
        done = box.run("upgrade", "--undo", "-y")
        assert done.returncode == 0, done.stderr
        others = [path for path in (box.home, *box.home.rglob("*")) if path.lstat().st_uid != UID]
        assert others == []
        assert Program(("id",)).ask("-u", home=box.home, owner=owner).strip() == str(UID)
    assert os.geteuid() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else can run what another user names")
def test_root_runs_no_program_that_another_user_named(tmp_path: Path) -> None:
    file = tmp_path / "pachybox"
    file.write_text("#!/bin/sh\n")
    running = Running(load(tmp_path), 1, "1.0", str(file), ())
    assert installed_file(running) == file
    os.chown(file, UID, UID)
    with pytest.raises(Refused, match="can be changed by others than root"):
        installed_file(running)
    os.chown(file, 0, 0)
    tmp_path.chmod(0o777)
    with pytest.raises(Refused, match="can be changed by others than root"):
        installed_file(running)


@pytest.mark.skipif(os.geteuid() != 0, reason="nobody else can end what is of others")
def test_root_ends_no_process_of_others_that_a_box_calls_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.running._ASK_S", 0.1)
    config = load(tmp_path)
    config.pid_file.parent.mkdir()
    with subprocess.Popen(["sleep", "60"]) as other, config.pid_file.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as the box's user would
        file.write(str(other.pid))
        file.flush()
        os.chown(config.pid_file, UID, UID)
        with pytest.raises(Refused, match="still stopping"):
            Running.end(config, None, 0.1)
        assert other.poll() is None
        os.chown(config.pid_file, 0, 0)
        ending = threading.Thread(target=lambda: (other.wait(), file.close()))
        ending.start()
        Running.end(config, None, 30.0)
        ending.join()


def test_a_program_that_does_not_run_here_changes_nothing(
    installed: Installed, tmp_path: Path
) -> None:
    before = installed.box.client.status().pid
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"\x7fELF of another machine")
    wrong.chmod(0o755)
    said = installed.run("upgrade", str(wrong))
    assert (said.returncode, "cannot be run here" in said.stderr) == (1, True)
    wrong.write_text("#!/bin/sh\necho pachybox: it wants another kernel >&2\nexit 3\n")
    said = installed.run("upgrade", str(wrong))
    assert (said.returncode, "it wants another kernel" in said.stderr) == (1, True)
    wrong.write_text("#!/bin/sh\necho hello\n")
    said = installed.run("upgrade", str(wrong))
    assert said.returncode == 1
    assert f"{wrong} is no pachybox program: asked for its version it says hello;" in said.stderr
    wrong.chmod(0o644)
    said = installed.run("upgrade", str(wrong))
    assert (said.returncode, "Permission denied; chmod +x it" in said.stderr) == (1, True)
    assert installed.box.client.status().pid == before
    assert installed.run("upgrade", str(tmp_path / "none")).returncode == 1
    assert not Path(f"{installed.file}.previous").exists()


def test_it_is_this_box_that_is_backed_up_before(
    installed: Installed, programs: Programs, tmp_path: Path
) -> None:
    """Set after its start, and with another box named in the environment."""
    place = tmp_path / "place"
    assert installed.run("config", "set", "backup_to", str(place)).returncode == 0
    before = installed.box.client.status().pid
    installed.box.env["PACHYBOX_ADDRESS"] = "http://127.0.0.1:1"
    done = installed.run("upgrade", str(programs.make("new", "91.0")))
    del installed.box.env["PACHYBOX_ADDRESS"]
    assert done.returncode == 0, done.stderr
    assert f"backing up to {place}" in done.stderr
    assert len(list((place / "snapshots").iterdir())) == 1
    assert installed.state() == ("91.0", "one")
    assert installed.box.client.status().pid != before
