"""What is said of a source: where from, how it went, what came in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from pachybox.client.ingest_values import IngestInfo
from pachybox.client.view_values import JobSummary, PipelineSummary
from tui import glyphs
from tui.shown import ago, count, rate, size, span, spark, stamp

LATE_S = 2.0
"""A tick that is this much overdue is late, as the box itself has it."""
_EXIT = re.compile(r"\b(?:exit status|exit code|status) (-?\d+)")


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
    for key in ("path",) if info.kind == "watch" else ("cmd", "command"):
        if value := part.get(key):
            return " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "-"


def late_s(info: IngestInfo, now: datetime) -> float:
    """How long a tick is overdue, from ``LATE_S`` on; 0 when it is not, or nothing is due."""
    if info.next_time is None or info.paused or info.state not in ("running", "held"):
        return 0.0
    late = (now - info.next_time).total_seconds()
    return late if late > LATE_S else 0.0


def took_s(info: IngestInfo, pipeline: PipelineSummary | None, now: datetime) -> float | None:
    """How long the job of the last tick took, or has been at work; None where there is none."""
    job = _job(info, pipeline)
    begun = (job.started or job.created) if job else None
    if job is None or begun is None:
        return None
    return max(0.0, ((job.finished or now) - begun).total_seconds())


def ended(info: IngestInfo, pipeline: PipelineSummary | None, plain: bool) -> str:
    """How it ended last: the sign, and the exit status of what was run. "-" before that."""
    job = _job(info, pipeline)
    if job is not None:
        mark = glyphs.job(job.state)
        if not job.done:
            return mark.sign(plain)
        status = "0" if mark.style == "ok" else _status(job.reason) or mark.word
        return f"{mark.sign(plain)} {status}"
    if _later(info):
        status = _status(info.error) or _status(info.reason)
        return f"{glyphs.job('failure').sign(plain)} {status}".rstrip()
    return glyphs.job("success").sign(plain) if info.last_time is not None else "-"


def _job(info: IngestInfo, pipeline: PipelineSummary | None) -> JobSummary | None:
    return pipeline.job if pipeline is not None and info.kind == "cron" else None


def _status(text: str) -> str:
    found = _EXIT.search(text)
    return found[1] if found else ""


def _later(info: IngestInfo) -> bool:
    """Whether the last error came after the last commit."""
    if info.error_time is None:
        return bool(info.error)
    return info.last_time is None or info.error_time > info.last_time


def trend(rates: Sequence[float], width: int, plain: bool) -> str:
    """The last minute as bars; "" when nothing came."""
    return spark(rates, width, ascii=plain) if any(rates) else ""


def facts(
    info: IngestInfo, pipeline: PipelineSummary | None, now: datetime, plain: bool, room: int = 80
) -> Text:
    """All that is known of a source, a fact a line; ``room`` is how many columns one has."""
    width = max(10, min(60, room - 9))
    mark = glyphs.ingest(info.state, info.kind)
    each = sum(info.rates) / len(info.rates) if info.rates else 0.0
    took = took_s(info, pipeline, now)
    lines = [
        ("kind", info.kind),
        ("state", mark.text(plain)),
        ("why", info.reason),
        ("from", source_of(info)),
        ("to", info.to),
        ("pipeline", info.pipeline),
        ("next", stamp(info.next_time) if info.next_time else ""),
        ("late", span(late_s(info, now)) if late_s(info, now) else ""),
        ("last", ago(info.last_time, now) if info.last_time else "nothing yet"),
        ("took", "" if took is None else span(took)),
        ("ended", _how(info, pipeline, plain)),
        ("rate", f"{rate(each)}, at most {rate(max(info.rates))}" if any(info.rates) else ""),
        ("trend", trend(info.rates, width, plain)),
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


def _how(info: IngestInfo, pipeline: PipelineSummary | None, plain: bool) -> str:
    """The end of the last job in words, with why it failed."""
    job = _job(info, pipeline)
    if job is None:
        status = _status(info.error) if _later(info) else ""
        return f"exit status {status}" if status else ""
    mark = glyphs.job(job.state)
    status = "0" if job.done and mark.style == "ok" else _status(job.reason)
    said = f"{mark.text(plain)}{f', exit status {status}' if status else ''}"
    return f"{said}: {job.reason}" if job.reason else said


def _came(info: IngestInfo) -> str:
    parts = [
        f"{count(n)} {word}{'s' * (n != 1)}"
        for n, word in ((info.records, "record"), (info.files, "file"), (info.commits, "commit"))
        if n
    ]
    return ", ".join([*parts, size(info.bytes)] if info.bytes else parts)


def spec_text(info: IngestInfo) -> str:
    """Its spec as it is written: the box's own fields and what is empty are left out."""
    import yaml

    spec = {key: value for key, value in info.spec.items() if value not in ("", None, {}, [])}
    spec.pop("ingest", None)
    part = spec.get(info.kind)
    if isinstance(part, dict):
        spec[info.kind] = {k: v for k, v in part.items() if v not in ("", None, {}, [])}
    return yaml.safe_dump({"name": info.name} | spec, sort_keys=False, allow_unicode=True)
