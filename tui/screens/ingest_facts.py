"""What is said of a source: where from, how it went, what came in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from pachybox.client.ingest_values import IngestInfo
from pachybox.client.view_values import PipelineSummary
from tui import glyphs
from tui.shown import age, ago, count, rate, size, span, spark, stamp

LATE_S = 5.0
"""A tick that is this much overdue is late."""


def source_of(info: IngestInfo) -> str:
    """Where it takes from, in few words: a schedule, a folder, a command, an address."""
    spec = info.spec
    part = spec.get(info.kind)
    if info.kind == "cron":
        cron = part if isinstance(part, dict) else spec
        return str(cron.get("spec") or cron.get("schedule") or info.offset.get("spec") or "-")
    if not isinstance(part, dict):
        return info.pipeline or "-"
    if info.kind == "push":
        return f"POST /ingest/{info.name}"
    for key in ("path", "command", "cmd"):
        if value := part.get(key):
            return " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "-"


def last_run(
    info: IngestInfo, pipeline: PipelineSummary | None, now: datetime, plain: bool
) -> Text:
    """How it went last: the job of the last tick with its time, else the age of the last commit."""
    job = pipeline.job if pipeline and info.kind == "cron" else None
    if job is not None:
        mark = glyphs.job(job.state)
        begun = job.started or job.created
        took = (job.finished or now) - begun if begun else None
        return Text(f"{mark.sign(plain)} {span(took.total_seconds()) if took else '-'}")
    mark = glyphs.job("JOB_FAILURE" if info.error else "JOB_SUCCESS")
    if info.last_time is None and not info.error:
        return Text("-")
    then = info.error_time if info.error and _later(info) else info.last_time
    return Text(
        f"{mark.sign(plain) if info.error and _later(info) else ''} {age(then, now)}".strip()
    )


def _later(info: IngestInfo) -> bool:
    """Whether the last error came after the last commit."""
    if info.error_time is None:
        return bool(info.error)
    return info.last_time is None or info.error_time > info.last_time


def trend(rates: Sequence[float], width: int, plain: bool) -> str:
    """The last minute as bars; "" when nothing came."""
    return spark(rates, width, ascii=plain) if any(rates) else ""


def facts(info: IngestInfo, pipeline: PipelineSummary | None, now: datetime, plain: bool) -> Text:
    """All that is known of a source, a fact a line."""
    mark = glyphs.ingest(info.state, info.kind)
    each = sum(info.rates) / len(info.rates) if info.rates else 0.0
    lines = [
        ("kind", info.kind),
        ("state", mark.text(plain)),
        ("why", info.reason),
        ("from", source_of(info)),
        ("to", info.to),
        ("pipeline", info.pipeline),
        ("next", stamp(info.next_time) if info.next_time else ""),
        ("last", _last(info, pipeline, now, plain)),
        ("rate", f"{rate(each)}, at most {rate(max(info.rates))}" if any(info.rates) else ""),
        ("trend", trend(info.rates, 30, plain)),
        ("lag", span(info.lag_s) if info.lag_s >= 0.1 else ""),
        ("pending", count(info.pending) if info.pending else ""),
        ("came in", _came(info)),
        ("dead", f"{count(info.dead_letters)} letters" if info.dead_letters else ""),
        ("errors", count(info.errors) if info.errors else ""),
        ("error", info.error),
        ("process", str(info.pid or "")),
        ("restarts", count(info.restarts) if info.restarts else ""),
        ("version", str(info.version or "")),
    ]
    text = Text()
    for name, value in lines:
        if value:
            text.append(f"{name:9}", "dim").append(f"{value}\n")
    return text


def _last(info: IngestInfo, pipeline: PipelineSummary | None, now: datetime, plain: bool) -> str:
    if info.last_time is None:
        return "nothing yet"
    ran = last_run(info, pipeline, now, plain).plain if info.kind == "cron" else ""
    return f"{ago(info.last_time, now)}{f', job {ran}' if ran else ''}"


def _came(info: IngestInfo) -> str:
    parts = [
        f"{count(n)} {word}{'s' * (n != 1)}"
        for n, word in ((info.records, "record"), (info.files, "file"), (info.commits, "commit"))
        if n
    ]
    return ", ".join([*parts, size(info.bytes)] if info.bytes else parts)
