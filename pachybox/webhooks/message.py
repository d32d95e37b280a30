"""What a webhook is sent: which events it is told of, in which words, and how that is signed. Pure.

The form is documented in docs/monitoring.md and only ever grows.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pachybox.model.events import Event
from pachybox.model.pps import JobState

TEST = "test"
KINDS = ("job.state", "disk.level", "ingest.late", "ingest.state", "backup.done", "backup.failed")
"""Of the events of the log, those that may be told."""

_JOBS = {
    JobState.SUCCESS.value: "job_succeeded",
    JobState.FAILURE.value: "job_failed",
    JobState.UNRUNNABLE.value: "job_failed",
}


@dataclass(frozen=True, slots=True)
class Sender:
    """Which box it is: its id, the machine's name, where its HTTP door is."""

    id: str
    host: str
    address: str


def name_of(event: Event) -> str:
    """What the event is called in ``box.toml`` (config.WEBHOOK_EVENTS); "" when none is told."""
    data = event.data
    match event.kind:
        case "job.state":
            return _JOBS.get(str(data.get("state")), "")
        case "disk.level":
            return "disk"
        case "ingest.late":
            return "ingest_late"
        case "ingest.state":
            return "ingest_failed" if data.get("state") == "crashing" else ""
        case "backup.done" | "backup.failed":
            return "backup"
    return ""


def id_of(event: Event, sender: Sender) -> str:
    """The same for each attempt to send this event, and no other event's."""
    if event.kind == TEST:
        return f"{sender.id}-test-{event.time.timestamp():.6f}"
    return f"{sender.id}-{event.seq}"


def body(event: Event, name: str, sender: Sender) -> bytes:
    """What is posted, as JSON."""
    said = {
        "version": 1,
        "id": id_of(event, sender),
        "event": name,
        "time": event.time.isoformat().replace("+00:00", "Z"),
        "box": {"id": sender.id, "host": sender.host, "address": sender.address},
        "text": text(name, event.data, sender.host),
        "data": event.data,
    }
    return json.dumps(said, ensure_ascii=False).encode()


def text(name: str, data: Mapping[str, Any], host: str) -> str:
    """The event in one line for people."""
    reason = str(data.get("reason") or data.get("error") or "")
    why = f": {reason}" if reason else ""
    source = f"ingest {_full(data, 'ingest')}"
    match name:
        case "job_failed" | "job_succeeded":
            done = "succeeded" if name == "job_succeeded" else "failed"
            what = f"job {data.get('id')} of pipeline {_full(data, 'pipeline')} {done}{why}"
        case "disk":
            what = f"the disk is {data.get('used_percent')} % full: {_DISK[str(data.get('level'))]}"
        case "ingest_late":
            what = f"{source} is {data.get('late_s')} s late{why}"
        case "ingest_failed":
            what = f"{source} is crashing{why}"
        case "backup":
            what = f"the backup failed{why}" if reason else "a backup was made"
        case _:
            what = "this is a test; nothing happened"
    return f"{host}: {what}"


_DISK = {
    "free": "there is room again",
    "warn": "it fills up",
    "pause": "ingest and crons are held",
    "refuse": "writes are refused",
}


def _full(data: Mapping[str, Any], key: str) -> str:
    project, name = data.get("project", "default"), data.get(key, "")
    return str(name) if project == "default" else f"{project}/{name}"


def signature(secret: str, body: bytes, now: int) -> str:
    """The header's value: the time in seconds since 1970, and the HMAC-SHA256 of that time, a
    point and the body."""
    made = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256)
    return f"t={now},v1={made.hexdigest()}"
