"""What users do with backups: of a box that runs, and of a place without one."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pachybox.config import Config
from pachybox.errors import Corrupt, InvalidArgument, NotFound, NotReady, PachyboxError, Refused
from pachybox.meta.tables import FACTS, SECRETS
from pachybox.meta.tx import Tx
from pachybox.pfs.service import Pfs
from pachybox.store.disk import full_disk_is_exhausted

if TYPE_CHECKING:  # perf: the daemon starts faster; few of its hours have a backup in them
    from pachybox.backup.create import Report
    from pachybox.backup.prune import Pruned
    from pachybox.backup.repository import Snapshot
    from pachybox.backup.target import Target
    from pachybox.backup.verify import Verified

log = logging.getLogger("pachybox.backup")

PART = "backup"
"""The part under which the box's health has how the last backup went."""
_REPOSITORY = "backup.repository"  # JSON: the id of the repository by place


def never() -> bool:
    """Nobody calls it off."""
    return False


def silent(stage: str, done: int, total: int) -> None:
    """Nobody is told."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored. ``key``: whether the box has the key of its secrets."""

    snapshot: Snapshot
    secrets: int
    key: bool


class Place:
    """A place of backups, with or without a box. ``scratch``: a directory for temporary files."""

    def __init__(self, to: str, scratch: Path) -> None:
        """Raises InvalidArgument when ``to`` is no place."""
        from pachybox.backup.target import open_target

        self.target: Target = open_target(to)
        self._scratch = scratch

    def list(self) -> list[Snapshot | Corrupt]:
        """Every backup, the oldest first; an error in place of one that cannot be read."""
        from pachybox.backup.repository import Repository

        repository = Repository.open(self.target)
        found: list[Snapshot | Corrupt] = []
        for id in repository.snapshot_ids():
            try:
                found.append(repository.snapshot(id))
            except Corrupt as e:
                found.append(e)
            except NotFound:  # pruned meanwhile
                continue
        return found

    def verify(
        self, ids: Sequence[str], share: float, report: Report, gone: Callable[[], bool]
    ) -> Verified:
        """See verify.py; no ids: all."""
        from pachybox.backup.locks import reading
        from pachybox.backup.repository import Repository
        from pachybox.backup.verify import verify

        if not 0 <= share <= 1:
            raise InvalidArgument(f"a share of {share}", "give 0% to 100%")
        repository = Repository.open(self.target)
        with reading(self.target, gone):
            chosen = [repository.find(id) for id in ids] or repository.snapshot_ids()
            return verify(repository, chosen, share, self._scratch, report, gone)

    def prune(
        self, keep: str, report: Report, gone: Callable[[], bool], *, dry_run: bool = False
    ) -> Pruned:
        """See prune.py."""
        from pachybox.backup.keep import parse_keep
        from pachybox.backup.prune import prune

        rules = parse_keep(keep)
        return prune(self.target, rules, self._scratch, report, gone, dry_run=dry_run)

    def chosen(self, id: str, password: str) -> tuple[str, bytes]:
        """The whole id of a backup, and the key of secrets in it where ``password`` opens it.
        Raises NotFound, Corrupt, and InvalidArgument on a wrong password."""
        from pachybox.backup import key as keys
        from pachybox.backup.repository import Repository

        repository = Repository.open(self.target)
        found = repository.find(id)
        wrapped = repository.snapshot(found).key
        return found, keys.unwrap(wrapped, password) if wrapped and password else b""

    def restore(
        self, pfs: Pfs, key_file: Path, id: str, password: str, report: Report,
        gone: Callable[[], bool],
    ) -> Restored:  # fmt: skip
        """Fill an empty box; see recover.py. The key of its secrets comes back where it is in the
        backup and ``password`` opens it. Raises InvalidArgument on a wrong one, first of all."""
        from pachybox.backup import key as keys
        from pachybox.backup.locks import reading
        from pachybox.backup.recover import recover
        from pachybox.backup.repository import Repository

        repository = Repository.open(self.target)
        with reading(self.target, gone):
            found, key = self.chosen(id, password)
            snapshot = recover(
                pfs, repository, found, self._scratch, report, gone,
                lambda: keys.put(key_file, key) if key else None,
            )  # fmt: skip
        secrets = len(pfs.meta.all(SECRETS))
        return Restored(snapshot, secrets, key_file.exists())


class Backups:
    """The backups of one box."""

    def __init__(
        self,
        pfs: Pfs,
        config: Config,
        box_id: Callable[[], str],
        take_up: Callable[[], None],
        note: Callable[..., object],
    ) -> None:
        """``take_up`` goes on with what was restored; ``note`` keeps how a backup went (see
        care.health, Health.record)."""
        self._pfs = pfs
        self._config = config
        self._box_id = box_id
        self._take_up = take_up
        self.note = note
        self._scratch = config.home / "work"
        self._one = threading.Lock()  # what is in or out of the store: one thing at a time
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Call off what is under way, and wait for its end. Nothing begins afterwards."""
        self._stopping.set()
        with self._one:
            pass

    def place(self, to: str) -> Place:
        """Where backups lie: ``to``, else the setting. Raises InvalidArgument, and Refused for the
        box's own directory."""
        to = to or self._config.backup_to
        if not to:
            raise InvalidArgument(
                "no place for backups is named",
                "name one, or set it: pachybox config set backup_to PLACE",
            )
        from pachybox.backup.target import Folder

        place = Place(to, self._scratch)
        if isinstance(place.target, Folder):
            real, home = place.target.top.resolve(), self._config.home.resolve()
            if real.is_relative_to(home) or home.is_relative_to(real):
                raise Refused(
                    f"{to} is in the box's own directory, or around it",
                    "name one elsewhere, best on another disk",
                )
        return place

    def create(
        self,
        to: str,
        report: Report = silent,
        gone: Callable[[], bool] = never,
        *,
        password: str = "",
        new: bool = False,
    ) -> Snapshot:
        """Make a backup; how it went is a fact and an event. ``password``: have the key of secrets
        in it, wrapped. ``new``: the place may be another than before. Raises what create.py does,
        and NotReady when one is being made."""
        from pachybox.backup.create import Job, create

        own = to in ("", self._config.backup_to)
        try:
            place = self.place(to)
        except PachyboxError as e:
            if own and self._config.backup_to:
                self.failed(self._config.backup_to, e)
            raise
        shown, key = place.target.shown, self._key(password)
        with self._alone():
            known, off = self._known(), self._called_off(gone)
            try:
                job = Job(
                    self._pfs, place.target, self._scratch, self._box_id(), report, off, key,
                    "" if new else known.get(shown, ""),
                )  # fmt: skip
                with _told(self._scratch):
                    snapshot, repository = create(job)
                self._done(shown, {**known, shown: repository}, snapshot)
            except PachyboxError as e:
                log.warning("not backed up to=%s: %s", shown, e)
                # a slip of whoever asks, or a stop, is no trouble of the box's
                if (own or shown in known) and not off():
                    self.failed(shown, e)
                raise
        log.info("backed up to=%s id=%s sent=%d", shown, snapshot.id, snapshot.sent)
        return snapshot

    def restore(
        self, to: str, id: str, password: str, report: Report, gone: Callable[[], bool]
    ) -> Restored:
        """Fill this box, which is empty; see recover.py."""
        place = self.place(to)
        with self._alone(), _told(self._scratch):
            found = place.restore(
                self._pfs, self._config.key_file, id, password, report, self._called_off(gone)
            )
        self._take_up()
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if not self._one.acquire(blocking=False):
            raise NotReady("a backup or a restore is under way", "wait for its end")
        try:
            if self._stopping.is_set():
                raise NotReady("the box is stopping", "try again when it is up")
            yield
        finally:
            self._one.release()

    def _called_off(self, gone: Callable[[], bool]) -> Callable[[], bool]:
        return lambda: gone() or self._stopping.is_set()

    def _key(self, password: str) -> dict[str, object]:
        if not password:
            return {}
        try:
            key = self._config.key_file.read_bytes()
        except FileNotFoundError:
            return {}  # no secret was made yet
        from pachybox.backup import key as keys

        return keys.wrap(key, password)

    def _known(self) -> dict[str, str]:
        fact = self._pfs.meta.get(FACTS, _REPOSITORY)
        found = json.loads(fact[1]) if fact else {}
        return {str(to): str(id) for to, id in found.items()}

    def _done(self, to: str, known: dict[str, str], snapshot: Snapshot) -> None:
        def change(tx: Tx) -> None:
            tx.put(FACTS, (_REPOSITORY, json.dumps(known, sort_keys=True)))
            tx.event("backup.done", id=snapshot.id, to=to, bytes=snapshot.sent)

        self._pfs.meta.write(change)
        self.note(PART, id=snapshot.id, bytes=snapshot.sent, to=to)

    def failed(self, to: str, error: PachyboxError) -> None:
        """Say that a backup was not made, or old ones not removed."""
        self.note(PART, f"to {to}: {error.message}", error.hint, to=to)

        def change(tx: Tx) -> None:
            tx.event("backup.failed", to=to, error=error.message, remedy=error.hint)

        try:
            self._pfs.meta.write(change)
        except PachyboxError as e:  # a full disk, or the box is closing: the log has it
            log.warning("that the backup failed is no event: %s", e)


@contextmanager
def _told(scratch: Path) -> Iterator[None]:
    """Say what is wrong with the box's own disk. Of the place's the target does."""
    try:
        with full_disk_is_exhausted(scratch):
            yield
    except OSError as e:
        raise NotReady(
            f"the box's own files cannot be read or written: {e}", "see pachybox doctor"
        ) from e
