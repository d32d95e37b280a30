"""A box without doors: the data directory's lock, the store, metadata, pfs, pps, care.

``daemon.py`` adds the doors and the signals; tests may use a Box as it is.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pachybox import __version__, limits
from pachybox.backup.archive import Figures
from pachybox.backup.clock import Clock
from pachybox.backup.extract import extract
from pachybox.backup.restore import restore
from pachybox.backup.service import PART as BACKUP
from pachybox.backup.service import Backups
from pachybox.backup.sinks import Sink
from pachybox.care import janitor
from pachybox.care.health import Health
from pachybox.care.janitor import Janitor, Task, freed_by
from pachybox.care.scrub import Scrub
from pachybox.config import Config
from pachybox.errors import Corrupt, Exhausted, Refused
from pachybox.ingest.lateness import Lateness
from pachybox.ingest.pushes import Pushes
from pachybox.ingest.service import Ingests
from pachybox.ingest.spouts import Spouts
from pachybox.ingest.supervisor import Supervisor
from pachybox.lock import Lock
from pachybox.machinery import Machinery
from pachybox.meta.connect import ROOM, Room
from pachybox.meta.tables import FACTS, PIPELINES, REPOS
from pachybox.meta.writer import Meta
from pachybox.model.events import Event
from pachybox.overview import Overview
from pachybox.pfs import care
from pachybox.pfs.diff_pages import DiffPages
from pachybox.pfs.filesets import Filesets
from pachybox.pfs.object_notes import Notes
from pachybox.pfs.objects import Objects
from pachybox.pfs.pages import Pages
from pachybox.pfs.read import Reader
from pachybox.pfs.retention import Retention
from pachybox.pfs.service import Pfs
from pachybox.pfs.ticker import Ticker
from pachybox.pfs.zone import local_zone
from pachybox.pps.cron import Cron
from pachybox.pps.egress.service import Egresser, Pusher
from pachybox.pps.forget import Forgetter
from pachybox.pps.runners.base import Finding, Runner
from pachybox.pps.secrets import Secrets
from pachybox.pps.service import Pps
from pachybox.pps.tally import Tally
from pachybox.pps.trash import remove_tree
from pachybox.space import Space
from pachybox.store import inflow
from pachybox.store.blobs import BlobStore
from pachybox.store.check import check, hashes
from pachybox.store.gc import Collected
from pachybox.usage import Usage
from pachybox.watermarks import Level
from pachybox.webhooks.service import Webhooks

log = logging.getLogger("pachybox.box")

_FOLDERS = ("store", "work", "logs", "run")


def _locked(config: Config) -> Lock:
    """The data directory, made when there is none. Raises Refused when it cannot be used."""
    home = config.home
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in _FOLDERS:
            (home / name).mkdir(exist_ok=True, mode=0o700)
        return Lock(config.pid_file)
    except OSError as e:
        if e.errno not in (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR):
            raise
        raise Refused(
            f"{home} cannot be written: {os.strerror(e.errno)}",
            "choose another PACHYBOX_HOME, or have its file system and rights allow it",
        ) from e


class Box:
    """Everything a box is, in one process."""

    def __init__(self, config: Config, runner: Runner | None = None) -> None:
        """Open (or make) the data directory and recover what a crash left.

        Raises Refused when another process runs a box there, or when the runner asked for
        is not available; NotReady or Corrupt when the data cannot be opened.
        """
        self.config = config
        self.started = datetime.now(UTC)
        self.address = ""  # where the doors are; set by who opens them
        self.grpc_address = ""
        self.inner_address = ""  # for programs on this machine, where the doors speak TLS
        self.inner_grpc_address = ""
        self.code_token = ""
        """What opens the doors to user code; set by who opens them."""
        self.closed: Callable[[], bool] = lambda: False
        """Whether callers that do not come by the socket must show a token."""
        self.restarting: str | None = None
        """Why the daemon is to begin anew once it has stopped; None when it is not."""
        self.doors: list[Callable[[], Iterable[str]]] = []
        """Each says why a door does not serve any more, as long as it is open."""
        self.started_up = False
        self._stop = threading.Event()
        home = config.home
        self._lock = _locked(config)
        try:
            self.machinery = Machinery(config, self.id, lambda: self.meta.all(PIPELINES), runner)
            self.plan = limits.of(config)
            self.blobs = BlobStore.open(home / "store")
            self.blobs.packs.most_open = self.plan.packs
            self.blobs.objects.most_open = self.plan.objects
            inflow.bound(self.plan.pieces)
            self.space = Space(config, lambda: self.meta, lambda: self.blobs.usage().bytes)
            self.blobs.reserve = self.space.check
            self.meta = Meta(home / "meta.duckdb", barrier=self.blobs.flush, room=self._room())
        except BaseException:
            self._lock.release()
            raise
        self.health = Health(self.meta)
        self.pfs = Pfs(self.meta, self.blobs, self.plan.nodes_bytes)
        self.reader = Reader(self.pfs)
        self.pages, self.diff_pages = Pages(self.pfs), DiffPages(self.pfs)
        self.filesets = Filesets(self.pfs)
        self.objects = Objects(self.pfs, self.reader, Notes(self.pfs))
        self.ticker = Ticker(self.pfs)
        self._forgetter, self._forgetting = Forgetter(self.pfs), threading.Lock()
        self.retention = Retention(self.pfs, config.retention_interval_s, self.collect_garbage)
        slots = config.workers or os.cpu_count() or 1
        _clear(home / "work")
        self.secrets = Secrets(self.meta, config.key_file)
        self.pps = Pps(
            self.pfs,
            self.machinery.runner,
            home / "work",
            home / "logs",
            max(slots, 1),
            self.secrets,
            default=config.runner,
            containers=self.machinery.containers,
            pods=self.machinery.pods,
            reserve=self.space.kept,
        )
        self.cron = Cron(self.pfs, held=self.held)
        self.supervisor = Supervisor(self.meta, home, config.socket, self.held)
        self.spouts = Spouts(self.pfs, self.pps.scheduler, self.supervisor)
        self.ingests = Ingests(self.pfs, self.supervisor, (self.cron, self.spouts))
        self.pushes = Pushes(self.meta, home / "ingest", self.secrets, self.held)
        self.tally = Tally(self.meta)
        self.lateness = Lateness(self.meta, self.ingests.list)
        self.webhooks = Webhooks(
            config.webhooks, self.meta, home, lambda: (self.id(), self.address), self._hooks_do
        )
        self.overview = Overview(self.pfs, self.ingests, self._disk_level, self.retention.warnings)
        self.usage = Usage(
            home, lambda: self.meta, lambda: self.blobs.usage().bytes, self._image_bytes
        )
        self.backups = Backups(self.pfs, config, self.id, self.take_up, self.health.record)
        self.backup_clock = Clock(self.backups, config, self._last_backup, local_zone)
        self.pusher = Pusher(self.pfs, self.secrets, home / "work" / "egress", home)
        self.egresser = Egresser(self.pusher)
        self.meta.forbidden = self.space.forbidden
        self.meta.make_room = self.space.relieve = self.pps.disk.relieve
        self.scrub = Scrub(self.pfs, self.health, config.scrub_days)
        self.janitor = Janitor(self._tasks(), self.health, config.gc_interval_s)

    def _room(self) -> Room:
        plan = self.plan
        # of old databases the log alone may need as much again while it is brought in
        more = max(2 * plan.database_bytes, min(ROOM.more_bytes, plan.memory // 2))
        return Room(plan.database_bytes, more, plan.database_threads)

    def start(self) -> None:
        """Begin to run jobs and to look after the store."""
        self.machinery.start()
        self.pps.scheduler.start(self.variables())
        self.egresser.start()
        self.ticker.start()
        self.retention.start()
        self.objects.start()
        self.cron.start()
        self.overview.newest.follow()
        self.usage.start()
        self.space.start()
        self.pushes.start()
        self.supervisor.start()
        self.spouts.start()
        self.tally.follow()
        self.webhooks.start()
        self.lateness.start()
        self.janitor.start()
        self.scrub.start()
        self.backup_clock.start()
        self.started_up = True

    def vital(self) -> Iterator[tuple[str, threading.Thread]]:
        """The threads without which a box is none, by what they do."""
        yield "the metadata's writer", self.meta.thread
        yield "the scheduler", self.pps.scheduler.thread
        yield "the disk's watch", self.space.thread
        yield "the janitor", self.janitor.thread

    @property
    def stopping(self) -> bool:
        """Whether somebody asked the daemon to stop."""
        return self._stop.is_set()

    def request_stop(self) -> None:
        """Ask the daemon to stop; returns at once."""
        self._stop.set()

    def request_restart(self, reason: str) -> None:
        """Ask the daemon to stop and begin anew; returns at once."""
        log.info("restart asked for reason=%s", reason)
        self.restarting = reason
        self._stop.set()

    def wait_stop(self, timeout_s: float | None = None) -> bool:
        """Block until somebody asked the daemon to stop, or for so long; whether one did."""
        return self._stop.wait(timeout_s)

    def end_sources(self) -> None:
        """End what brings data in by itself. While the doors are open it commits what it has
        whole. Idempotent."""
        self.spouts.stop()  # before their readers
        self.supervisor.stop()

    def close(self) -> None:
        """Hand back running datums, write what waits, close all files. Idempotent."""
        self._stop.set()
        self.end_sources()
        self.backup_clock.stop()
        self.backups.stop()
        self.webhooks.stop()
        self.lateness.stop()
        self.space.stop()
        self.usage.stop()
        self.pushes.close()
        self.retention.stop()
        self.ticker.stop()
        self.objects.stop()
        self.cron.stop()
        self.pps.trials.stop()
        self.pps.scheduler.stop()
        self.machinery.close()
        self.egresser.stop()
        self.janitor.stop()
        self.scrub.stop()
        self.meta.close()
        try:
            self.blobs.close()
        except Exhausted as e:  # a full disk: what waits was refused, so nobody relies on it
            log.warning("content of refused changes is dropped: %s", e)
        self._lock.release()

    # ---- facts

    def id(self) -> str:
        """The box's own id, made at its first start."""
        found = self.meta.get(FACTS, "box_id")
        if found is not None:
            return found[1]
        made = uuid.uuid4().hex
        self.meta.write(lambda tx: tx.put(FACTS, ("box_id", made)))
        return made

    def variables(self) -> dict[str, str]:
        """What the environment of user code says of the doors, and the token that opens them.
        Pachyderm's clients find the box by the names Kubernetes gives services."""
        made = {}
        if self.address:
            made["PACHYBOX_ADDRESS"] = _nearby(self.inner_address or self.address)
        if self.grpc_address:
            where = _nearby(self.inner_grpc_address or self.grpc_address).removeprefix("grpc://")
            host, _, port = where.rpartition(":")
            for service in ("PACHD_PEER_SERVICE", "PACHD_SERVICE"):
                made |= {f"{service}_HOST": host, f"{service}_PORT": port}
        if self.code_token:
            made |= dict.fromkeys(("PACHYBOX_TOKEN", "PACH_TOKEN"), self.code_token)
        return made

    def status(self) -> dict[str, Any]:
        """What ``pachybox status`` shows; sizes in bytes."""
        disk = os.statvfs(self.config.home)
        free = disk.f_bavail * disk.f_frsize
        return {
            "version": __version__,
            "home": str(self.config.home),
            "pid": os.getpid(),
            "address": self.address,
            "grpc_address": self.grpc_address,
            "socket": str(self.config.socket),
            "runner": self.machinery.shown(),
            "repos": sum(r.repo.type == "user" for r in self.meta.all(REPOS)),
            "commits": self.meta.db.read("SELECT count(*) FROM commits WHERE type = 'user'")[0][0],
            "pipelines": len(self.meta.all(PIPELINES)),
            "jobs_running": self.pps.scheduler.running(),
            "store_bytes": self.blobs.usage().bytes,
            "disk_free_bytes": free,
            "disk_total_bytes": disk.f_blocks * disk.f_frsize,
            "warnings": self.warnings(),
            "janitor": janitor.shown(self.health.last(janitor.PART), time.time()),
            "scrub": self.scrub.shown(),
        }

    def warnings(self) -> list[str]:
        """What whoever uses the box should know now. Cheap."""
        return [*self.space.warnings(), *self.retention.warnings(), *self.health.warnings()]

    def _hooks_do(self, error: str, remedy: str) -> None:
        if error or self.health.last("webhooks") is not None:
            self.health.record("webhooks", error, remedy)

    def _disk_level(self) -> tuple[Level, str]:
        """What the disk allows, and what to say of it."""
        return self.space.level, "; ".join(self.space.warnings())

    def _image_bytes(self) -> int:
        """What the images of pipelines take, each counted once. Asks podman."""
        pins = self.pps.scheduler.pins
        if pins is None or not self.machinery.uses_images():
            return 0
        return sum({one.id: one.size for one in pins.all()}.values())

    def findings(self) -> list[Finding]:
        """What doctor says about this machine and this box."""
        from pachybox.doctor import live

        pins = self.pps.scheduler.pins
        own = live.findings(
            self.config, self.meta, self.overview.glance().attention, self.blobs.usage().bytes
        )
        return self.machinery.findings([*own, *(pins.findings() if pins else ())])

    # ---- space

    def held(self) -> str:
        """Why nothing that comes in by itself (sources, crons) may come in now: the disk is
        nearly full. "" when it may. Cheap."""
        return self.space.held()

    # ---- care

    def collect_garbage(self) -> Collected:
        """Free content that nothing names, filesets whose time is over, and results of datums
        whose jobs retention took."""
        self.filesets.expire()
        with self._forgetting:
            self._forgetter.forget()
        return care.collect_garbage(self.pfs)

    def check_storage(self, begin: bytes = b"", end: bytes = b"", *, read: bool = False) -> int:
        """How many pieces of content there are whose hash is from ``begin`` to before ``end``
        (b"": to the last). With ``read`` all content is read; raises Corrupt at the first that
        is not true."""
        if read:
            for problem in check(self.blobs):
                if problem.level == "error":
                    raise Corrupt(f"{problem.thing}: {problem.detail}", "run fsck")
        return sum(begin <= h and (not end or h < end) for h in hashes(self.blobs))

    def fsck(self, *, fix: bool = False, quick: bool = False) -> Iterator[care.Finding]:
        """See care.fsck; ``quick``: care.fsck_quick, which mends nothing."""
        return care.fsck_quick(self.pfs) if quick else care.fsck(self.pfs, fix=fix)

    def extract(self, sink: Sink) -> Figures:
        """The whole box to ``sink``; see backup.extract."""
        return extract(self.pfs, sink, self.config.home / "work", self.id())

    def restore(self, readinto: Callable[[memoryview], int]) -> Figures:
        """The archive that ``readinto`` delivers into this empty box; see backup.restore."""
        figures = restore(self.pfs, readinto, self.config.home / "work")
        self.take_up()
        return figures

    def take_up(self) -> None:
        """Go on with what was restored."""
        self.objects.take_up()
        self.overview.newest.reset()
        self.ingests.take_up()
        self.webhooks.skip()

    def _last_backup(self) -> tuple[float, bool] | None:
        last = self.health.last(BACKUP)
        return None if last is None else (last.at, last.ok)

    def events(self, after: int) -> list[Event]:
        """Events numbered above ``after``."""
        return self.meta.events(after)

    def delete_project(self, name: str, *, force: bool = False) -> None:
        """See repos.delete_project; the sources in it end."""
        inside = [r.ingest for r in self.ingests.records() if r.ingest.project == name]
        with self.ingests.ending(inside):
            self.pfs.delete_project(name, force=force)

    def delete_all(self) -> None:
        """Remove every source, pipeline, repo, fileset and project (but ``default``)."""
        self.ingests.delete_all()
        for pipeline in self.pps.list_pipelines():
            self.pps.delete(pipeline.pipeline, force=True)
        for info in self.pfs.list_repos(repo_type=None):
            self.pfs.delete_repo(info.record.repo, force=True)
        for project in self.pfs.list_projects():
            if project.name != "default":
                self.delete_project(project.name, force=True)
        self.pps.clear_defaults()
        self.filesets.clear()

    def _tasks(self) -> list[Task]:
        """What the janitor does in a round."""
        return [
            Task("logs", lambda: self.pps.prune_logs(self.config.logs_bytes)),
            Task("events", lambda: 0 * self.meta.prune_events(self.config.events_kept)),
            Task("uploads", lambda: 0 * self.objects.tidy()),
            Task("garbage", freed_by(self.collect_garbage)),
            Task("checkpoint", self.meta.checkpoint_again),
        ]


def _nearby(address: str) -> str:
    """An address as callers on this machine reach it: "every address" is none to call."""
    scheme, _, where = address.partition("://")
    host, _, port = where.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"{scheme}://{host}:{port}"


def _clear(work: Path) -> None:
    """Remove what a crash left of running datums: their jobs are run again."""
    for item in work.iterdir():
        remove_tree(item)
