"""What of a pipeline's spec reaches its workers."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pachybox.model.ids import CommitId, Pipeline
from pachybox.model.pps import PipelineRecord, PipelineState
from pachybox.pps.pool import worker_spec
from pachybox.pps.runners.base import Limits, WorkerSpec


def spec_of(**fields: Any) -> WorkerSpec:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    record = PipelineRecord(
        Pipeline("default", "edges"), 1, {"transform": {"cmd": ["true"]}, **fields}, "", "salt",
        PipelineState.RUNNING, "", False, now, now, CommitId("a" * 32),
    )  # fmt: skip
    return worker_spec(record, Path("/work"))


def test_limits_reach_the_worker_as_cores_and_bytes() -> None:
    assert spec_of().limits == Limits()
    assert spec_of(resource_limits={}).limits == Limits()
    asked = {"cpu": 0.5, "memory": "1.5Gi", "disk": "1G"}
    assert spec_of(resource_limits=asked).limits == Limits(cpu=0.5, memory=3 << 29)


def test_batching_reaches_the_worker() -> None:
    assert not spec_of().datum_batching
    assert spec_of(transform={"cmd": ["true"], "datum_batching": True}).datum_batching
