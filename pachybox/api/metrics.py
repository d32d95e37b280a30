"""Counters of the doors, and the ``/metrics`` page in Prometheus' text form."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0)

Gauge = tuple[str, str, str, Mapping[str, str], float]
"""name, help, type ("gauge" or "counter"), labels, value."""

Gauges = Callable[[], Iterable[Gauge]]


class Metrics:
    """Requests by method and code, their latencies, and what the box adds."""

    def __init__(self, gauges: Gauges | None = None) -> None:
        self._gauges = gauges or (lambda: ())
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}
        self._latency: dict[str, list[float]] = {}  # bucket counts, then the sum
        self.connections = 0

    def connected(self, change: int) -> None:
        """One client more (1) or less (-1)."""
        with self._lock:
            self.connections += change

    def observe(self, method: str, code: str, seconds: float) -> None:
        """Count one finished request. ``code`` is ``ok`` or an error's code."""
        with self._lock:
            key = method, code
            self._counts[key] = self._counts.get(key, 0) + 1
            row = self._latency.get(method)
            if row is None:
                row = self._latency[method] = [0.0] * (len(BUCKETS) + 2)
            row[bisect_left(BUCKETS, seconds)] += 1
            row[-1] += seconds

    def text(self) -> str:
        """The page. A gauge that raises is the box's defect and is raised."""
        with self._lock:
            counts = sorted(self._counts.items())
            latency = sorted((method, list(row)) for method, row in self._latency.items())
        name = "pachybox_requests_total"
        lines = _head(name, "Requests finished, by method and outcome.", "counter")
        lines += [f"{name}{_labels({'method': m, 'code': c})} {n}" for (m, c), n in counts]
        name = "pachybox_request_seconds"
        lines += _head(name, "Time a request took, streams to their end.", "histogram")
        for method, row in latency:
            total = 0.0
            for bound, count in zip((*BUCKETS, "+Inf"), row, strict=False):
                total += count
                labels = _labels({"method": method, "le": str(bound)})
                lines.append(f"{name}_bucket{labels} {total:g}")
            label = _labels({"method": method})
            lines += [f"{name}_sum{label} {row[-1]:.6f}", f"{name}_count{label} {int(total)}"]
        own: Gauge = ("pachybox_connections", "Clients connected.", "gauge", {}, self.connections)
        found: dict[str, list[str]] = {}
        for name, text, kind, labels_of, value in (own, *self._gauges()):
            if name not in found:
                found[name] = _head(name, text, kind)
            found[name].append(f"{name}{_labels(labels_of)} {value:.15g}")
        lines += (line for some in found.values() for line in some)
        return "\n".join(lines) + "\n"


def _head(name: str, text: str, kind: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
