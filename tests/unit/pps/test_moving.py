"""Which pipelines run elsewhere than the setting says, and the version for another runner."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pachybox.model.ids import CommitId, Pipeline
from pachybox.model.pps import PipelineRecord, PipelineState
from pachybox.pps.moving import elsewhere, planned
from pachybox.pps.placement import Placement
from pachybox.pps.spec import load


def record(name: str, runner: str, image: str = "busybox", **fields: Any) -> PipelineRecord:
    text = json.dumps(
        {
            "pipeline": {"name": name},
            "transform": {"cmd": ["true"], "image": image},
            "input": {"pfs": {"repo": "in", "glob": "/*"}},
            **fields,
        }
    )
    (spec,) = load(text, "x", default_project="vision")
    now = datetime.now(UTC)
    return PipelineRecord(
        Pipeline("vision", name), 1, {**spec.canonical, "salt": "grain"}, text, "grain",
        PipelineState.RUNNING, "", False, now, now, CommitId("0" * 32), runner,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("setting", "others"),
    [
        ("auto", []),
        ("process", ["pod", "boxed"]),
        ("podman", ["plain", "old", "pod"]),
        ("kubernetes", ["plain", "old", "boxed"]),
    ],
)
def test_those_that_did_not_follow_the_setting(setting: str, others: list[str]) -> None:
    """``auto`` asks for nothing, and what has no image could not follow."""
    records = [
        record("plain", "process"),
        record("old", ""),
        record("pod", "kubernetes"),
        record("boxed", "podman"),
        record("bare", "process", image=""),
    ]
    assert [one.pipeline.name for one in elsewhere(records, setting)] == others


def test_the_new_version_has_the_spec_the_salt_and_the_text_of_the_old() -> None:
    """So no datum of it is new; what has no effect with the other runner is warned of."""
    old = record("pod", "kubernetes", tolerations=[{"operator": "EXISTS"}])
    (move,) = planned([old, record("plain", "process")], Placement("auto", None), "process")
    assert move.record is old
    assert move.spec.pipeline == old.pipeline
    assert move.spec.canonical == old.spec
    assert move.spec.user_text == old.user_spec
    assert (move.spec.runner, move.spec.reprocess) == ("process", False)
    (warning,) = move.spec.warnings
    assert warning.startswith("tolerations: works with the runner kubernetes alone")
