"""What a running box knows of itself: its metadata, its pipelines and sources, its care."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pachybox.config import Config
from pachybox.doctor import secret_key
from pachybox.doctor.codes import Level, found
from pachybox.doctor.cold import of_time
from pachybox.doctor.home import there
from pachybox.errors import PachyboxError
from pachybox.meta.tables import FACTS, SECRETS, TOKENS
from pachybox.meta.writer import Meta
from pachybox.model.schedule import parse_schedule
from pachybox.model.units import format_age, format_size
from pachybox.overview import Attention
from pachybox.pfs.zone import local_zone
from pachybox.pps.runners.base import Finding

_GRACE = timedelta(hours=1)
_SET_UP = 'pachybox config set backup_to DIR backup_schedule "0 3 * * *"'
_CODES = {"job": "PB701", "pipeline": "PB701", "ingest": "PB702", "box": "PB703"}
_VERBS = ("logs ", "inspect ", "list ")
_PARTS: dict[str, tuple[str, Level]] = {
    "scrub": ("PB802", "fail"),
    "webhooks": ("PB803", "warn"),
    "janitor": ("PB804", "warn"),
}
"""What a part's trouble is, of those that keep their last word in the facts."""


class _Said(NamedTuple):
    """The last word of a part of the box."""

    at: datetime
    error: str
    remedy: str


def findings(
    config: Config, meta: Meta, attention: Sequence[Attention], store_bytes: int
) -> Iterator[Finding]:
    """``attention`` is what the box itself says is wrong, ``store_bytes`` the size of its
    content."""
    yield from _metadata(config, meta)
    if config.quota_bytes:
        yield _quota(config.quota_bytes, store_bytes)
    yield from _work(attention)
    yield _backup(config, _said(meta, "backup"))
    for part, (code, bad) in _PARTS.items():
        said = _said(meta, part)
        if said is not None:
            when = _ago(said.at)
            level: Level = bad if said.error else "ok"
            text = f"{said.error} ({when})" if said.error else f"went well {when}"
            yield found(code, level, text, said.remedy if said.error else "")


def _metadata(config: Config, meta: Meta) -> Iterator[Finding]:
    try:
        commits = meta.db.read("SELECT count(*) FROM commits")[0][0]
        newest = meta.db.read("SELECT max(time_us) FROM events")[0][0]
    except PachyboxError as e:
        yield found("PB209", "fail", e.message, e.hint or "see run/box.log; restore a backup")
        return
    yield found("PB209", "ok", f"{commits} commits")
    yield of_time((newest or 0) / 1e6)
    if meta.all(SECRETS) or any(token.sealed for token in meta.all(TOKENS)):
        yield secret_key.finding(config)


def _quota(quota: int, used: int) -> Finding:
    text = f"{format_size(used)} of {format_size(quota)} used"
    if used <= quota:
        return found("PB211", "ok", text)
    remedy = "delete old commits and run garbage-collect, or raise quota_bytes"
    return found("PB211", "fail", f"{text}: writes are refused", remedy)


def _work(attention: Sequence[Attention]) -> Iterator[Finding]:
    told = [one for one in attention if one.kind in _CODES]
    for one in told:
        code = _CODES[one.kind]
        thing = one.ref.partition("@")[0] if one.kind == "job" else one.ref
        remedy = f"pachybox {one.remedy}" if one.remedy.startswith(_VERBS) else one.remedy
        yield found(code, "warn", one.text, remedy, thing=thing)
    if not any(one.kind != "box" for one in told):
        yield found("PB704", "ok", "no pipeline or source wants attention")


# ---- backup


def _backup(config: Config, said: _Said | None) -> Finding:
    if said is not None and said.error:
        remedy = said.remedy or "mend that, then: pachybox backup create"
        when = _ago(said.at)
        return found("PB801", "fail", f"the last one failed {when}: {said.error}", remedy)
    if not config.backup_to:
        return found("PB801", "warn", "none is set up", f"set it up: {_SET_UP}")
    where = Path(config.backup_to)
    if "://" not in config.backup_to and not there(where) and not there(where.parent):
        remedy = "mount it, or name another: pachybox config set backup_to DIR"
        return found("PB801", "fail", f"{where} is not there", remedy)
    if not config.backup_schedule:
        remedy = 'pachybox config set backup_schedule "0 3 * * *"'
        return found(
            "PB801", "warn", "it is made by hand only: there is no backup_schedule", remedy
        )
    if said is None:
        return found("PB801", "warn", "none was made yet", "make one: pachybox backup create")
    return _age(config.backup_schedule, said)


def _age(schedule: str, said: _Said) -> Finding:
    now = datetime.now(UTC)
    when = _ago(said.at)
    try:
        due = parse_schedule(schedule, local=local_zone()).after(said.at)
    except PachyboxError as e:
        return found("PB801", "fail", f"backup_schedule: {e.message}", e.hint or "mend it")
    if due is not None and now > due + _GRACE:
        text = f"the last one was made {when}, and another was due {_ago(due)}"
        return found("PB801", "fail", text, "see run/box.log; make one: pachybox backup create")
    return found("PB801", "ok", f"the last one was made {when}")


def _ago(then: datetime) -> str:
    text = format_age(then, datetime.now(UTC))
    return text[0].lower() + text[1:]


def _said(meta: Meta, part: str) -> _Said | None:
    """What a part said last; None when it never did."""
    fact = meta.get(FACTS, f"{part}.last")
    if fact is None:
        return None
    record = json.loads(fact[1])
    at = datetime.fromtimestamp(float(record["at"]), UTC)
    error = str(record.get("error") or "") or ("" if record.get("ok", True) else "it failed")
    return _Said(at, error, str(record.get("remedy") or ""))
