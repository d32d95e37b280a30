"""Another version of pachybox in the place of the one there is, and back when it does not do.

the new program runs here -> backup -> stop -> copy of the metadata -> the new program in its
place -> start -> ready? doctor, a quick fsck -> done, or: stop, old program, old metadata, start
"""

from __future__ import annotations

import filecmp
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from appliance.running import Manager, Running, managed
from pachybox import upgrade as copies
from pachybox.config import Config
from pachybox.durable import sync_path
from pachybox.errors import NotFound, PachyboxError, Refused
from pachybox.lock import is_free

_RUN_S = 60.0  # the new program unpacks itself the first time
_UP_S = 120.0
_GRACE_S = 60.0
_BACK_S = 900.0  # for the old program, however short the new one was given
_BACKUP_S = 7 * 86_400.0
_VERSION = re.compile(r"[0-9]+\.[0-9]+\S*")
_SHOWN = 60  # letters of what another program says
Say = Callable[[str], None]

_OF_OTHERS = ("PACHYBOX_FILE", "PACHYBOX_ADDRESS", "PACHYBOX_TOKEN", "PACHYBOX_CA")
"""Of the environment: another program, and a box that is not the one of ``home``."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The user that the box runs as. Root does as that user what it does to the box's files: else
    they would be root's afterwards, and links of that user would lead root elsewhere."""

    uid: int
    gid: int

    @classmethod
    def of(cls, place: Path) -> Owner:
        """Whose a directory is, or a file; of a link, whose that is."""
        about = place.stat() if place.is_dir() else place.lstat()
        return cls(about.st_uid, about.st_gid)

    @property
    def other(self) -> bool:
        """Whether it is another user, and the caller may act as any."""
        return os.geteuid() == 0 and self.uid != 0

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Files are opened and made as this user."""
        if not self.other:
            yield
            return
        groups, group = os.getgroups(), os.getegid()
        os.setgroups([self.gid])
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(group)
            os.setgroups(groups)


@dataclass(frozen=True, slots=True)
class Program:
    """What runs a box: a command, and the file that it is, when it is one file."""

    command: tuple[str, ...]
    file: Path | None = None

    @classmethod
    def of(cls, file: Path | None) -> Program:
        """The one file at ``file``, or this installation."""
        if file is None:
            return cls((sys.executable, "-m", "pachybox.cli"))
        return cls((str(file),), file)

    def ask(
        self, *args: str, home: Path, timeout_s: float = _RUN_S, owner: Owner | None = None
    ) -> str:
        """What a command of it prints, run as ``owner`` (None: as the caller). Raises Refused with
        its last words when it fails."""
        env = {key: value for key, value in os.environ.items() if key not in _OF_OTHERS}
        env["PACHYBOX_HOME"] = str(home)
        command = [*self.command, *args]
        other = owner is not None and owner.other
        if other:
            env["HOME"] = str(home)
        try:
            done = subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=timeout_s, check=False, cwd=home if other else None,
                user=owner.uid if owner is not None and other else None,
                group=owner.gid if owner is not None and other else None,
                extra_groups=() if other else None,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as e:
            why = e.strerror if isinstance(e, OSError) and e.strerror else e
            raise Refused(
                f"{command[0]} cannot be run here: {why}", "chmod +x it, or get it anew"
            ) from e
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            last = said[-1].removeprefix("pachybox: ") if said else f"status {done.returncode}"
            raise Refused(f"{' '.join([Path(command[0]).name, *args])}: {last}")
        return done.stdout

    def version(self, home: Path) -> str:
        """Its version; proves that it runs here. Raises Refused, also when it is no pachybox."""
        said = self.ask("version", "--client-only", home=home).strip()
        if not _VERSION.fullmatch(said):
            first = said.partition("\n")[0][:_SHOWN] or "nothing"
            raise Refused(
                f"{self.command[0]} is no pachybox program: asked for its version it says {first}",
                "name the new program",
            )
        return said


@dataclass(slots=True)
class Upgrade:
    """One upgrade of the box that ``config`` is of. ``new``: the file of the new program; None:
    it is installed already, and the box is to run it. ``say`` is told of each step."""

    config: Config
    new: Path | None
    installed: Path | None
    say: Say
    wait_s: float
    backup: bool = True
    _wrong: dict[str, str] = field(default_factory=dict)
    _owner: Owner = field(init=False)

    def __post_init__(self) -> None:
        self._owner = Owner.of(self.config.home)

    def run(self) -> str:
        """Do it; the version that runs now. Raises Refused when it is not begun, or when it failed
        and all is as it was before."""
        home = self.config.home
        old = Program.of(self.installed)
        incoming = Program.of(self.new if self.new is not None else self.installed)
        version = incoming.version(home)
        running = Running.look(self.config)
        before = running.version if running is not None else old.version(home)
        _require_newer(before, version)
        if running is not None and running.pid == 1:
            raise Refused(
                "the box is the first process of a container", "start one of the new image"
            )
        self.say(f"from {before} to {version}")
        manager = managed(running) if running is not None else None
        if manager is None:
            _require_own(home)
        if running is not None:
            self._owner = Owner.of(self.config.socket)
            self._wrong = running.wrong()
            if self.backup and (to := self.config.backup_to):
                self.say(f"backing up to {to}")
                old.ask("backup", "create", to, home=home, timeout_s=_BACKUP_S)
            self.say("stopping the box")
            running.stop(manager, self.wait_s)
        self._replace(old, incoming, version, running, manager)
        return version

    def _replace(
        self,
        old: Program,
        incoming: Program,
        version: str,
        running: Running | None,
        manager: Manager | None,
    ) -> None:
        """With the box stopped."""
        database = self.config.home / "meta.duckdb"
        copy, was = None, None
        try:
            if database.exists():
                with self._owner.acting():
                    copy = copies.take(database, event=copies.seen(database))
                self.say(f"the metadata is copied to {copy.path}")
            if self.new is not None and self.installed is not None:
                was = swap(self.new, self.installed)
                self.say(f"{self.installed} is the new program")
            self._start(Program.of(self.installed), running, manager, self.wait_s)
            self._prove(version)
        except (PachyboxError, OSError, KeyboardInterrupt) as e:
            self.say(f"it failed: {str(e) or _message(e)}")
            self._undo(old, copy, was, running, manager)
            now = "the old program and its metadata are back" if self.new else (
                "the metadata is what it was; install the version from before, then start the box"
            )  # fmt: skip
            raise Refused(f"not upgraded to {version}: {_message(e)}", now) from e
        if was is not None and self.installed is not None:
            was.replace(previous(self.installed))
        if copy is not None:
            with self._owner.acting():
                copies.finished(copy)
        if running is None:
            found = Running.look(self.config)
            if found is not None:
                found.stop(None, self.wait_s)

    def _start(
        self, program: Program, was: Running | None, manager: Manager | None, wait_s: float
    ) -> None:
        self.say("starting the box")
        if manager is not None:
            manager.start(wait_s)
            return
        flags = was.flags if was is not None else ()
        try:
            program.ask(
                "up", "--detach", *flags,
                home=self.config.home, timeout_s=_UP_S, owner=self._owner,
            )  # fmt: skip
        except Refused:
            if is_free(self.config.pid_file):
                raise
            # it is only slow: a migration may take long

    def _prove(self, version: str) -> None:
        """Wait until the box is ready, and see that nothing is wrong that was not before."""
        found = Running.await_ready(self.config, self.wait_s)
        if found.version != version:
            raise Refused(f"the box that runs is of version {found.version}")
        self.say("ready; looking for what may be wrong")
        worse = [text for what, text in found.wrong().items() if what not in self._wrong]
        if worse:
            raise Refused("; ".join(worse))

    def _undo(
        self,
        old: Program,
        copy: copies.Copy | None,
        was: Path | None,
        running: Running | None,
        manager: Manager | None,
    ) -> None:
        database = self.config.home / "meta.duckdb"
        Running.end(self.config, manager, max(self.wait_s, _GRACE_S))
        if was is not None and self.installed is not None:
            restore(was, self.installed)
            self.say(f"{self.installed} is the old program again")
        if copy is not None:
            with self._owner.acting():
                copies.put_back(database, copy)
                copies.drop(copy)
            self.say("the metadata is what it was")
        if running is None or self.new is None:
            return
        try:
            self._start(old, running, manager, _BACK_S)
            Running.await_ready(self.config, _BACK_S)
        except PachyboxError as e:
            raise Refused(
                f"not upgraded, and the old program does not start either: {e.message}",
                f"see {self.config.log_file}, then: pachybox up",
            ) from e


def undo(config: Config, say: Say) -> None:
    """Put back the metadata from before the last upgrade, and the program, where there is one
    from before. The box does not run. Raises NotFound, Refused."""
    if Running.look(config) is not None or not is_free(config.pid_file):
        raise Refused("the box is running", "stop it first: pachybox down")
    found = copies.copies(config.home)
    if not found:
        raise NotFound(
            f"there is no copy of the metadata in {config.home}",
            "one is made by each upgrade; restore a backup instead",
        )
    with Owner.of(config.home).acting():
        copies.put_back(config.home / "meta.duckdb", found[0])
        copies.finished(found[0])
    say(f"the metadata is that of {found[0].taken}; what was written since is lost")
    file = installed_file(None)
    if file is not None:
        olds = (aside(file), previous(file))  # of one that was cut short; of one that went well
        if old := next((one for one in olds if one.exists()), None):
            restore(old, file)
            say(f"{file} is the program from before")


def installed_file(running: Running | None) -> Path | None:
    """The one file that the box runs from, or that would run it; None where pachybox is installed
    in another way. Raises Refused when root would run and replace what another user named."""
    for where in (running.file if running is not None else "", os.environ.get("PACHYBOX_FILE", "")):
        if where and Path(where).is_file():
            _require_ours(Path(where))
            return Path(where)
    return None


def _require_ours(file: Path) -> None:
    """Where the box runs from is known from its own process, whose user may say what it wants:
    root takes no file of which another is the owner, or that others may change."""
    if os.geteuid() != 0:
        return
    real = file.resolve()
    for part in (real, *real.parents):
        about = part.stat()
        open_to_all = about.st_mode & 0o002 and not about.st_mode & stat.S_ISVTX
        if about.st_uid != 0 or open_to_all:
            raise Refused(
                f"the box runs from {file}, and {part} can be changed by others than root",
                f"if you trust it, name it: pachybox upgrade --program {file}",
            )


def swap(new: Path, installed: Path) -> Path:
    """Put the file ``new`` in the place of ``installed``, at once and durable; where the old one
    is until it is known which of them stays. Raises OSError."""
    old, part = aside(installed), installed.with_name(f".{installed.name}.part")
    again = old.exists() and filecmp.cmp(new, installed, shallow=False)
    shutil.copyfile(new, part)
    part.chmod(installed.stat().st_mode & 0o777 | 0o555)
    sync_path(part)
    if not again:  # else it is the one from before the last try, which was cut short
        old.unlink(missing_ok=True)
        try:
            os.link(installed, old)
        except OSError:  # a file system without links
            shutil.copy2(installed, old)
        sync_path(old)
    part.replace(installed)
    sync_path(installed.parent)
    return old


def restore(old: Path, installed: Path) -> None:
    """Put an old program back in its place. Raises OSError."""
    old.replace(installed)
    sync_path(installed.parent)


def aside(installed: Path) -> Path:
    """Where the old program is while an upgrade is under way."""
    return installed.with_name(f".{installed.name}.old")


def previous(installed: Path) -> Path:
    """Where it is after one that went well."""
    return installed.with_name(f"{installed.name}.previous")


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _require_own(home: Path) -> None:
    """Who starts a box is whom it runs as: what root starts would leave files that are root's."""
    if os.geteuid() == 0 and home.exists() and home.stat().st_uid != 0:
        raise Refused(
            f"the box at {home} is another user's and no service runs it",
            "start its service first, or run this as that user",
        )


def _require_newer(before: str, after: str) -> None:
    if _numbers(after) < _numbers(before):
        raise Refused(
            f"{after} is older than {before}, which has written the metadata",
            "go back with: pachybox upgrade --undo",
        )


def _message(e: PachyboxError | OSError | KeyboardInterrupt) -> str:
    if isinstance(e, KeyboardInterrupt):
        return "it was interrupted"
    return e.message if isinstance(e, PachyboxError) else str(e)
