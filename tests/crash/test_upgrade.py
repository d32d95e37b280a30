"""Another version in place of this one: migrations killed, upgrades that fail, the way back."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pachybox import upgrade
from pachybox.errors import Refused
from pachybox.meta.tables import EVENTS, REPOS
from pachybox.meta.writer import Meta
from tests.boxes import RealBox, eventually
from tests.crash.disks import SmallDisk
from tests.flow.test_health import asked

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
        process = migrate(database, (9001, QUICK), (9002, SLOW))
        eventually(lambda: upgrade.copies(home), "it is copied")
        time.sleep(random.random() * 0.3)  # somewhere in it
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
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
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)])
        eventually(lambda: (home / "meta.putback").exists(), "it is at it")
        time.sleep(random.random() * 0.05)
        process.kill()
        process.wait()
        whole(database)
    assert not (home / "meta.putback").exists()


def test_a_database_of_a_newer_schema_is_refused_until_the_way_back_is_taken(home: Path) -> None:
    assert migrate(home / "meta.duckdb", (9001, QUICK)).wait() == 0
    box = RealBox(home)
    refused = box.run("up", "--detach")
    assert refused.returncode == 1
    assert "has schema version 9001; this pachybox knows up to" in refused.stderr
    assert "pachybox upgrade --undo" in refused.stderr
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
            f"#!/bin/sh\n# {version}\nexport PYTHONPATH={patched} PACHYBOX_FILE=$0\n"
            f'exec {sys.executable} -m pachybox.cli "$@"\n'
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
    assert installed.state() == ("91.0", "one")
    installed.run("down")
    assert installed.run("upgrade", "--undo", "--yes").returncode == 0
    assert installed.run("up", "--detach").returncode == 0
    assert installed.state() == ("90.0", "one")


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
    assert installed.box.client.status().pid == before
    assert installed.run("upgrade", str(tmp_path / "none")).returncode == 1
    assert not Path(f"{installed.file}.previous").exists()
