"""The box's own figures for ``/metrics``.

A scrape reads what is kept in memory, some files of ``/proc`` and a few of the box's: what needs a
look at whole tables is looked at once a minute. Labels are names that users gave; beyond ``MOST``
pipelines or sources the rest have none, and ``pachybox_left_out`` says how many.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pachybox import __version__
from pachybox.api import health, process_gauges
from pachybox.api.metrics import Gauge
from pachybox.box import Box
from pachybox.care import gauges as care_gauges
from pachybox.ingest import gauges as ingest_gauges
from pachybox.ingest.lateness import is_late
from pachybox.meta.tables import PIPELINES, REPOS, TOKENS
from pachybox.model.ids import Pipeline
from pachybox.model.pps import PipelineRecord

MOST = 500
_SLOW_S = 60.0
_SOON = timedelta(days=14)


class Gauges:
    """Those of one box; ``Metrics`` calls it."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._lock = threading.Lock()
        self._commits = 0
        self._counted = float("-inf")
        self._expires = (0, 0.0)  # of the certificate: its file's time, when it ends

    def __call__(self) -> Iterator[Gauge]:
        """All of them, each metric's together."""
        yield from self._whole()
        yield from self._store()
        yield from self._metadata()
        yield from self._jobs()
        yield from self._ingest()
        yield from care_gauges.gauges(self._box.health, self._box.scrub)
        yield from self._told()
        yield from process_gauges.gauges()

    # ---- the whole

    def _whole(self) -> Iterator[Gauge]:
        box = self._box
        of = {"version": __version__, "runner": box.machinery.runner.name}
        yield "pachybox_info", "1; what the box is.", "gauge", of, 1.0
        began = box.started.timestamp()
        yield "pachybox_start_time_seconds", "When the box started.", "gauge", {}, began
        alive, ready = health.alive(box), health.ready(box)
        yield "pachybox_alive", "1 when /healthz is good.", "gauge", {}, float(not alive)
        yield "pachybox_ready", "1 when a write would be taken.", "gauge", {}, float(not ready)
        text = "Warnings of `pachybox status`."
        yield "pachybox_warnings", text, "gauge", {}, float(len(box.warnings()))
        users = sum(record.repo.type == "user" for record in box.meta.all(REPOS))
        yield "pachybox_repos", "User repos.", "gauge", {}, float(users)
        text = "Commits in user repos; counted once a minute."
        yield "pachybox_commits", text, "gauge", {}, float(self._commit_count())
        text = "Pipelines."
        yield "pachybox_pipelines", text, "gauge", {}, float(len(box.meta.all(PIPELINES)))
        text = "Number of the newest event."
        yield "pachybox_last_event", text, "gauge", {}, float(box.meta.last_event)
        yield from self._tokens()
        if ends := self._certificate():
            text = "When the certificate of the doors ends, in seconds since 1970."
            yield "pachybox_certificate_expires_seconds", text, "gauge", {}, ends

    def _tokens(self) -> Iterator[Gauge]:
        now = datetime.now(UTC)
        ends = [
            token.expires
            for token in self._box.meta.all(TOKENS)
            if token.revoked is None and (token.expires is None or token.expires > now)
        ]
        soon = sum(end is not None and end - now < _SOON for end in ends)
        yield "pachybox_tokens", "Tokens that hold.", "gauge", {}, float(len(ends))
        text = "Tokens that hold and end within two weeks."
        yield "pachybox_tokens_ending", text, "gauge", {}, float(soon)

    def _commit_count(self) -> int:
        with self._lock:
            now = time.monotonic()
            if now - self._counted > _SLOW_S:
                found = self._box.meta.db.read("SELECT count(*) FROM commits WHERE type = 'user'")
                self._commits, self._counted = int(found[0][0]), now
            return self._commits

    def _certificate(self) -> float:
        if not self._box.config.tls_cert:
            return 0.0
        path = self._box.config.home / self._box.config.tls_cert
        try:
            changed = path.stat().st_mtime_ns
            if changed != self._expires[0]:
                from cryptography import x509

                found = x509.load_pem_x509_certificate(path.read_bytes())
                self._expires = changed, found.not_valid_after_utc.timestamp()
        except (OSError, ValueError):
            return 0.0
        return self._expires[1]

    # ---- what it holds

    def _store(self) -> Iterator[Gauge]:
        box = self._box
        used, disk = box.blobs.usage(), os.statvfs(box.config.home)
        for name, text, value in (
            ("store_bytes", "Bytes of content stored.", used.bytes),
            ("store_packs", "Packs, which hold small content.", used.packs),
            ("store_objects", "Pieces of large content, a file each.", used.objects),
            (
                "store_dead_bytes",
                "Bytes in packs that nothing named when garbage was last collected.",
                used.dead_bytes,
            ),
            ("quota_bytes", "Bound of the content store; 0: none.", box.config.quota_bytes),
            (
                "disk_free_bytes",
                "Bytes free on the data directory's file system.",
                disk.f_bavail * disk.f_frsize,
            ),
            (
                "disk_total_bytes",
                "Bytes of the data directory's file system.",
                disk.f_blocks * disk.f_frsize,
            ),
            ("disk_free_inodes", "Files that can still be made there.", disk.f_favail),
            (
                "disk_used_percent",
                "How full the data directory's file system is, as df counts.",
                box.space.disk.percent,
            ),
            (
                "disk_level",
                "What the disk allows: 0 all, 1 warns, 2 ingest is held, 3 writes are refused.",
                box.space.level,
            ),
        ):
            yield f"pachybox_{name}", text, "gauge", {}, float(value)
        done = box.retention.figures
        for name, text, value in (
            ("squashed", "Commits squashed by retention.", done.squashed),
            ("squashed_bytes", "Bytes that only those commits held.", done.bytes),
            ("seconds", "Time retention took.", done.seconds),
        ):
            yield f"pachybox_retention_{name}_total", text, "counter", {}, float(value)

    def _metadata(self) -> Iterator[Gauge]:
        meta, home = self._box.meta, self._box.config.home
        done = meta.figures()
        for name, text, kind, value in (
            ("meta_bytes", "The database's file.", "gauge", _size(home / "meta.duckdb")),
            (
                "meta_wal_bytes",
                "Its log, which a checkpoint empties.",
                "gauge",
                _size(home / "meta.duckdb.wal"),
            ),
            (
                "meta_hashes_bytes",
                "The index of datums.",
                "gauge",
                _size(home / "meta.duckdb.hashes"),
            ),
            ("meta_waiting", "Changes that wait for the writer.", "gauge", done.waiting),
            ("meta_groups_total", "Groups of changes written.", "counter", done.groups),
            ("meta_seconds_total", "Time the writer was at work.", "counter", done.seconds),
            ("meta_checkpoints_total", "Checkpoints it made.", "counter", done.checkpoints),
        ):
            yield f"pachybox_{name}", text, kind, {}, float(value)

    # ---- what it does

    def _jobs(self) -> Iterator[Gauge]:
        box = self._box
        scheduler = box.pps.scheduler
        text = "Jobs running now."
        yield "pachybox_jobs_running", text, "gauge", {}, float(scheduler.running())
        slots = scheduler.slots
        text = "Datums that may run at once."
        yield "pachybox_datum_slots", text, "gauge", {}, float(slots.width)
        text = "Datums that run now."
        yield "pachybox_datum_slots_busy", text, "gauge", {}, float(slots.busy)
        records = sorted(box.meta.all(PIPELINES), key=lambda record: record.pipeline)
        states = Counter(record.state.value for record in records)
        text = "Pipelines by state."
        for state, count in sorted(states.items()):
            of = {"state": _word(state)}
            yield "pachybox_pipelines_in_state", text, "gauge", of, float(count)
        shown = records[:MOST]
        yield (
            "pachybox_left_out",
            "Pipelines that have no figures of their own.",
            "gauge",
            {},
            float(len(records) - len(shown)),
        )
        text = "1; the state that the pipeline is in."
        for record in shown:
            of = _of(record.pipeline) | {"state": _word(record.state.value)}
            yield "pachybox_pipeline_state", text, "gauge", of, 1.0
        waiting = scheduler.open_jobs()
        text = "Jobs of the pipeline that are not over."
        for record in shown:
            jobs = waiting.get(record.pipeline, 0)
            yield "pachybox_pipeline_jobs_open", text, "gauge", _of(record.pipeline), float(jobs)
        yield from self._ended(shown)

    def _ended(self, shown: list[PipelineRecord]) -> Iterator[Gauge]:
        """What jobs that are over came to."""
        counts = self._box.tally.counts()
        yield from _by_pipeline(shown, counts.jobs, "jobs_total", "Jobs that ended, by outcome.")
        text = "Datums of jobs that ended, by outcome."
        yield from _by_pipeline(shown, counts.datums, "datums_total", text)
        for name, text, kind, found in (
            (
                "job_seconds_total",
                "Time from the making of jobs to their end.",
                "counter",
                counts.seconds,
            ),
            (
                "pipeline_last_success_timestamp_seconds",
                "When a job of the pipeline last succeeded.",
                "gauge",
                counts.succeeded,
            ),
        ):
            for record in shown:
                if record.pipeline in found:
                    value = found[record.pipeline]
                    yield f"pachybox_{name}", text, kind, _of(record.pipeline), value

    def _ingest(self) -> Iterator[Gauge]:
        infos = self._box.ingests.list()
        text = "Sources that are late: a tick is overdue, or what has come waits too long."
        late = sum(map(is_late, infos))
        yield "pachybox_ingest_late", text, "gauge", {}, float(late)
        yield from ingest_gauges.gauges(infos[:MOST])

    def _told(self) -> Iterator[Gauge]:
        hooks = self._box.webhooks.all
        name, text = "pachybox_webhook_deliveries_total", "Attempts to tell webhooks, by outcome."
        for hook in hooks:
            told = hook.told
            for outcome, count in (
                ("delivered", told.delivered), ("failed", told.failed), ("dropped", told.dropped),
            ):  # fmt: skip
                of = {"webhook": str(hook.number), "outcome": outcome}
                yield name, text, "counter", of, float(count)
        text = "1 when what was last told the webhook was not taken."
        for hook in hooks:
            of = {"webhook": str(hook.number)}
            yield "pachybox_webhook_failing", text, "gauge", of, float(bool(hook.told.error))


def _by_pipeline(
    shown: list[PipelineRecord], found: Mapping[tuple[Pipeline, str], int], name: str, text: str
) -> Iterator[Gauge]:
    names = {record.pipeline for record in shown}
    for (pipeline, outcome), count in sorted(found.items()):
        if pipeline in names:
            of = _of(pipeline) | {"outcome": outcome}
            yield f"pachybox_{name}", text, "counter", of, float(count)


def _of(pipeline: Pipeline) -> dict[str, str]:
    return {"project": pipeline.project, "pipeline": pipeline.name}


def _word(state: str) -> str:
    return state.removeprefix("PIPELINE_").lower()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
