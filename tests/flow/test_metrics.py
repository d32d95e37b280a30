"""/metrics in its form, what it counts, and that dashboard, alerts and documents know it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from appliance.grafana.__main__ import alerts, dashboard
from pachybox.api import gauges as box_gauges
from pachybox.api.gauges import Gauges
from pachybox.box import Box
from pachybox.config import Config
from tests.arch.repo import ROOT
from tests.boxes import RealBox, eventually

HOME = ROOT / "appliance" / "grafana"
SAMPLE = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*)"
    r'(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})?'
    r" ([-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|Inf)|NaN)"
)
NAME = re.compile(r"\b(?:pachybox|process)_[a-z_]+")
SUFFIXES = ("_bucket", "_sum", "_count")

Samples = dict[tuple[str, str], float]


def parsed(text: str) -> tuple[dict[str, str], Samples]:
    """The types by metric and the samples by name and labels, by the rules of the format: HELP,
    then TYPE, then all samples of the metric, each once; counters end in _total."""
    kinds: dict[str, str] = {}
    samples: Samples = {}
    helped, current = "", ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped, _, said = line[7:].partition(" ")
            assert helped not in kinds, line
            assert said.endswith("."), line
        elif line.startswith("# TYPE "):
            current, kind = line[7:].split(" ")
            assert current == helped, line
            assert kind in ("counter", "gauge", "histogram"), line
            assert (kind == "counter") == current.endswith("_total"), line
            kinds[current] = kind
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            name, labels = found[1], found[2] or ""
            of = name
            if kinds[current] == "histogram":
                of = next(name.removesuffix(s) for s in SUFFIXES if name.endswith(s))
            assert of == current, line
            assert (name, labels) not in samples, line
            samples[name, labels] = float(found[3])
    return kinds, samples


def scrape(box: RealBox) -> tuple[dict[str, str], Samples]:
    with box.client.transport.request("GET", "/metrics") as response:
        return parsed(response.body().decode())


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box of which every metric says something: with TLS, a webhook, sources and jobs."""
    home = tmp_path_factory.mktemp("busy") / "home"
    settings = 'gc_interval_s = 1\n[[webhook]]\nurl = "http://127.0.0.1:1"\n'
    box = RealBox(home, settings=settings)
    box.cli("cert", "localhost")
    box.start()
    client = box.client
    client.create_repo("in")
    for name, script in (("good", "true"), ("bad", "exit 1")):
        spec = {
            "pipeline": {"name": name},
            "input": {"pfs": {"repo": "in", "glob": "/*"}},
            "transform": {"cmd": ["sh", "-c", script]},
            "datum_tries": 1,
        }
        client.create_pipelines(json.dumps(spec))
    with client.commit("in@master") as commit:
        for name in "abc":
            commit.put_file(f"/{name}", name.encode())
    for name in ("good", "bad"):
        client.wait_job(f"{name}@{commit.id}")
    client.create_repo("raw")
    source = {"name": "posted", "push": {"group": {"time": "100ms"}}, "to": "raw@master"}
    client.create_ingest(json.dumps(source))
    headers = {"Content-Type": "application/json"}
    with client.transport.request("POST", "/ingest/posted", b'{"n": 1}', headers) as response:
        assert response.status == 200, response.body()
    eventually(lambda: client.inspect_ingest("posted").last_time, "it is committed")
    eventually(lambda: "pachybox_part_ok_seconds" in scrape(box)[0], "the janitor has come")
    yield box
    box.stop()


def test_the_page_is_in_the_form_and_counts_right(busy: RealBox) -> None:
    kinds, samples = scrape(busy)
    assert kinds["pachybox_request_seconds"] == "histogram"
    good, bad = ('project="default",pipeline="good"', 'project="default",pipeline="bad"')
    assert samples["pachybox_jobs_total", f'{good},outcome="success"'] == 1
    assert samples["pachybox_jobs_total", f'{bad},outcome="failure"'] == 1
    assert samples["pachybox_datums_total", f'{good},outcome="processed"'] == 3
    assert samples["pachybox_datums_total", f'{bad},outcome="failed"'] >= 1
    assert samples["pachybox_pipeline_jobs_open", good] == 0
    assert samples["pachybox_job_seconds_total", good] > 0
    assert ("pachybox_pipeline_last_success_timestamp_seconds", bad) not in samples
    assert samples["pachybox_ready", ""] == 1
    assert samples["pachybox_datum_slots", ""] >= samples["pachybox_datum_slots_busy", ""] == 0
    assert samples["pachybox_meta_groups_total", ""] > 5
    assert samples["pachybox_certificate_expires_seconds", ""] > 1.7e9
    assert 0 < samples["process_open_fds", ""] < samples["process_max_fds", ""]

    def failing() -> bool:
        return scrape(busy)[1]["pachybox_webhook_failing", 'webhook="1"'] == 1

    eventually(failing, "the webhook fails")


def test_the_last_success_outlives_the_box(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home").start()
    try:
        box.client.create_repo("in")
        spec = {
            "pipeline": {"name": "p"},
            "input": {"pfs": {"repo": "in", "glob": "/"}},
            "transform": {"cmd": ["true"]},
        }
        box.client.create_pipelines(json.dumps(spec))
        with box.client.commit("in@master") as commit:
            commit.put_file("/a", b"a")
        box.client.wait_job(f"p@{commit.id}")
        key = ("pachybox_pipeline_last_success_timestamp_seconds", 'project="default",pipeline="p"')
        before = scrape(box)[1][key]
        box.kill()
        box.start()
        assert scrape(box)[1][key] == pytest.approx(before, abs=1)
        box.client.delete_pipeline("p")
        assert key not in scrape(box)[1]
    finally:
        box.stop()


def test_no_more_pipelines_than_a_bound_have_figures_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box_gauges, "MOST", 1)
    box = Box(Config(home=tmp_path / "home", http_port=0, grpc_port=0))
    try:
        for name in ("p", "q", "r"):
            spec = {
                "pipeline": {"name": name},
                "input": {"cron": {"name": "tick", "spec": "@yearly"}},
                "transform": {"cmd": ["true"]},
            }
            box.pps.create(json.dumps(spec), "spec", project="default")
        found = [(name, of.get("pipeline"), value) for name, _, _, of, value in Gauges(box)()]
        assert ("pachybox_left_out", None, 2.0) in found
        assert {pipeline for _, pipeline, _ in found if pipeline} == {"p"}
    finally:
        box.close()


def named(text: str, known: set[str]) -> set[str]:
    """The metrics that a query names; histograms by their own names."""
    found = set()
    for name in NAME.findall(text):
        plain = next((name.removesuffix(s) for s in SUFFIXES if name.endswith(s)), name)
        found.add(plain if name not in known and plain in known else name)
    return found


def test_every_query_names_metrics_that_there_are(busy: RealBox) -> None:
    known = set(scrape(busy)[0])
    exprs = [
        target["expr"]
        for panel in json.loads((HOME / "pachybox.json").read_text())["panels"]
        for target in panel.get("targets", ())
    ]
    rules = yaml.safe_load((HOME / "alerts.yaml").read_text())["groups"][0]["rules"]
    exprs += [rule["expr"] for rule in rules]
    assert len(exprs) > 60
    for expr in exprs:
        names = named(expr, known)
        assert names or expr.startswith("up{"), expr
        assert names <= known, f"{expr}: {names - known}"
        assert expr.count("(") == expr.count(")")
        assert expr.count("{") == expr.count("}")


def test_every_metric_is_documented(busy: RealBox) -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    missing = [name for name in scrape(busy)[0] if f"`{name}" not in page]
    assert missing == []


def test_dashboard_and_alerts_are_as_they_are_made(busy: RealBox) -> None:
    assert busy.cli("dashboard") == dashboard()
    assert busy.cli("dashboard", "--alerts") == alerts()
    again = "make them again: python -m appliance.grafana"
    assert (HOME / "pachybox.json").read_text() == dashboard(), again
    assert (HOME / "alerts.yaml").read_text() == alerts(), again
    places = [
        (p["gridPos"]["x"], p["gridPos"]["y"], p["gridPos"]["w"], p["gridPos"]["h"])
        for p in json.loads(dashboard())["panels"]
    ]
    for at, (x, y, w, h) in enumerate(places):
        assert x + w <= 24
        for other_x, other_y, other_w, other_h in places[:at]:
            apart = x + w <= other_x or other_x + other_w <= x
            assert apart or y + h <= other_y or other_y + other_h <= y, "panels lie on each other"
