"""What the box's care of itself says to /metrics."""

from __future__ import annotations

from collections.abc import Iterator

from pachybox.care.health import Health
from pachybox.care.scrub import Scrub

Gauge = tuple[str, str, str, dict[str, str], float]


def gauges(health: Health, scrub: Scrub) -> Iterator[Gauge]:
    """(name, help, type, labels, value) of each."""
    for record in health.all():
        of = {"part": record.part}
        text = "Whether a part's last work went well."
        yield "pachybox_part_ok", text, "gauge", of, float(record.ok)
        text = "When a part last worked, in seconds since 1970."
        yield "pachybox_part_last_seconds", text, "gauge", of, record.at
        if record.ok_at is not None:
            text = "When a part's work last went well, in seconds since 1970."
            yield "pachybox_part_ok_seconds", text, "gauge", of, record.ok_at
    now, known = scrub.state()
    for name, text, value in (
        ("done_bytes", "Content proven in this pass.", now.done),
        ("total_bytes", "Content to be proven in this pass.", now.total),
        ("damaged", "Pieces of content found damaged and not mended.", len(known)),
        ("whole_seconds", "When the last pass ended, in seconds since 1970.", now.whole_at),
    ):
        yield f"pachybox_scrub_{name}", text, "gauge", {}, float(value)
