"""Writes ``pachybox.json`` (for Grafana) and ``alerts.yaml`` (for Prometheus) beside this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from appliance.grafana.panels import ALERTS, ROWS, Panel

_HEIGHT = 8
_STAT = 4
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> str:
    """The dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        panels.append(_row(title, top, len(panels) + 1))
        top += 1
        left, height = 0, 0
        for panel in row:
            if left + panel.width > 24:
                left, top = 0, top + height
            height = _STAT if panel.kind == "stat" and not height else max(height, _high(panel))
            panels.append(_panel(panel, left, top, len(panels) + 1))
            left += panel.width
        top += height
    made = {
        "uid": "pachybox",
        "title": "pachybox",
        "tags": ["pachybox"],
        "timezone": "browser",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": panels,
    }
    return json.dumps(made, indent=1) + "\n"


def _high(panel: Panel) -> int:
    return _STAT if panel.kind == "stat" else _HEIGHT


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"},
        {
            "name": "instance",
            "type": "query",
            "label": "Box",
            "datasource": _SOURCE,
            "query": "label_values(pachybox_info, instance)",
            "refresh": 2,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
        },
    ]


def _row(title: str, top: int, number: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": 24, "h": 1}
    return {"id": number, "type": "row", "title": title, "gridPos": place, "panels": []}


def _panel(panel: Panel, left: int, top: int, number: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.red is not None:
        steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.red}]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": {"x": left, "y": top, "w": panel.width, "h": _high(panel)},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
            }
            for at, query in enumerate(panel.queries)
        ],
    }


def alerts() -> str:
    """The rules as a file of Prometheus'; JSON is YAML, and quoted right."""
    lines = ["groups:", "- name: pachybox", "  rules:"]
    for one in ALERTS:
        lines += [
            f"  - alert: {one.name}",
            f"    expr: {json.dumps(one.expr)}",
            f"    for: {one.pending}",
            f"    labels: {{severity: {one.severity}}}",
            f"    annotations: {{summary: {json.dumps(one.text)}}}",
        ]
    return "\n".join(lines) + "\n"


def write(folder: Path) -> None:
    """Write both files."""
    (folder / "pachybox.json").write_text(dashboard())
    (folder / "alerts.yaml").write_text(alerts())


if __name__ == "__main__":
    write(Path(__file__).parent)
