"""Figures of ingest sources for ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from pachybox.model.ingest import IngestInfo, IngestState

Gauge = tuple[str, str, str, Mapping[str, str], float]
"""name, help, type, labels, value."""

_FIGURES: tuple[tuple[str, str, str, Callable[[IngestInfo], float | None]], ...] = (
    (
        "lag_seconds",
        "How long the oldest thing that waits to be committed has waited.",
        "gauge",
        lambda i: i.status.lag_s,
    ),
    ("pending", "Things that wait to be committed.", "gauge", lambda i: i.status.pending),
    ("records_total", "Records committed.", "counter", lambda i: i.record.records),
    ("bytes_total", "Bytes committed.", "counter", lambda i: i.record.bytes),
    ("files_total", "Files committed.", "counter", lambda i: i.record.files),
    ("commits_total", "Commits made.", "counter", lambda i: i.record.commits),
    (
        "dead_letters_total",
        "What could not be taken and went to the branch of dead letters.",
        "counter",
        lambda i: i.record.dead,
    ),
    ("errors_total", "Errors since the box started.", "counter", lambda i: i.status.errors),
    (
        "restarts_total",
        "Restarts after a crash, since the box started.",
        "counter",
        lambda i: i.status.restarts,
    ),
    (
        "last_commit_timestamp_seconds",
        "When it last committed something.",
        "gauge",
        lambda i: i.record.last_time.timestamp() if i.record.last_time else None,
    ),
)


def gauges(infos: Iterable[IngestInfo]) -> Iterator[Gauge]:
    """Those of all sources, metric by metric, as Prometheus wants them."""
    found = [(_labels(info), info) for info in infos]
    text = "1 for the state that the source is in, 0 for the others."
    for labels, info in found:
        for state in IngestState:
            now = float(info.status.state is state)
            yield "pachybox_ingest_state", text, "gauge", labels | {"state": state.value}, now
    for name, text, kind, figure in _FIGURES:
        for labels, info in found:
            if (value := figure(info)) is not None:
                yield f"pachybox_ingest_{name}", text, kind, labels, float(value)


def _labels(info: IngestInfo) -> dict[str, str]:
    ingest = info.record.ingest
    return {"project": ingest.project, "ingest": ingest.name, "kind": info.record.kind.value}
