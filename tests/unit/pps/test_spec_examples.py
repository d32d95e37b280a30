"""Specs that users can copy, and specs that users bring along."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pachybox.pps.planner import seconds, workers_wanted
from pachybox.pps.spec import Spec, load, problems

EXAMPLES = Path(__file__).parents[3] / "examples"
FILES = sorted(p for p in EXAMPLES.rglob("*") if p.suffix in (".json", ".yaml"))
CLUSTER = "works with the runner kubernetes alone; it is kept and has no effect"
STORED = "has no meaning on one machine; it is kept and has no effect"


def specs(path: Path) -> list[Spec]:
    return load(path.read_text(), path.name, default_project="default")


def one(name: str) -> Spec:
    (spec,) = specs(EXAMPLES / "specs" / name)
    return spec


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_example_is_accepted(path: Path) -> None:
    assert problems(path.read_text(), path.name) == []
    assert specs(path)


def test_the_tour_of_words_is_two_pipelines_of_one_file() -> None:
    words, total = specs(EXAMPLES / "words" / "words.yaml")
    assert (words.pipeline.name, total.pipeline.name) == ("words", "total")
    assert total.canonical["input"]["pfs"]["repo"] == "words"


def test_a_spec_of_1_11_comes_over_with_its_cluster_fields_named() -> None:
    spec = one("edges-1.11.json")
    assert spec.warnings == (
        f"edges-1.11.json:13:3: hashtree_spec: {STORED}",
        f"edges-1.11.json:15:17: cache_size: {STORED}",
    )
    assert spec.clusterless == (
        f"edges-1.11.json:14:3: resource_requests: {CLUSTER}",
        f"edges-1.11.json:23:3: scheduling_spec: {CLUSTER}",
    )
    assert spec.canonical["cache_size"] == "128M"
    assert spec.image == "registry.example/edges:2"


def test_both_generations_spell_the_same_pipeline() -> None:
    old, new = one("edges-1.11.json").canonical, one("edges-2.12.yaml").canonical
    for name in ("pipeline", "transform", "datum_tries", "output_branch", "reprocess_spec"):
        assert old[name] == new[name], name
    for name in ("datum_timeout", "job_timeout"):
        assert seconds(old[name]) == seconds(new[name]), name
    for name in ("name", "project", "repo", "repo_type", "branch", "glob", "empty_files"):
        assert old["input"]["pfs"][name] == new["input"]["pfs"][name], name
    assert workers_wanted(old) == (os.cpu_count() or 1)
    assert workers_wanted(new) == 1


def test_the_examples_show_every_kind_of_input_and_warn_of_nothing() -> None:
    seen: set[str] = set()

    def walk(given: dict[str, Any]) -> None:
        for kind, inner in given.items():
            seen.add(kind)
            for one in inner if isinstance(inner, list) else ():
                walk(one)

    for name in ("montage-1.11.json", "orders-2.12.yaml"):
        for spec in specs(EXAMPLES / "specs" / name):
            assert spec.warnings == ()
            walk(spec.canonical["input"])
    assert seen == {"pfs", "cron", "cross", "union", "join", "group"}


def test_the_examples_ask_for_what_both_generations_have() -> None:
    fields: set[str] = set()
    for name in ("montage-1.11.json", "orders-2.12.yaml"):
        for spec in specs(EXAMPLES / "specs" / name):
            fields |= set(spec.canonical)
    assert fields >= {
        "autoscaling", "datum_set_spec", "egress", "service", "resource_limits", "max_queue_size",
        "output_merge",
    }  # fmt: skip
    montage = specs(EXAMPLES / "specs" / "montage-1.11.json")
    assert [s.pipeline.name for s in montage] == ["montage", "sweep", "publish"]
    assert montage[0].canonical["autoscaling"] is True
    report = specs(EXAMPLES / "specs" / "orders-2.12.yaml")[2].canonical["input"]["cross"]
    assert report[0]["cron"]["repo"] == "report_night"
    assert report[1]["pfs"]["branch"] == "report-trigger-1"
