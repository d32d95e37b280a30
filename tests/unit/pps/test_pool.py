"""What of a pipeline's spec reaches its workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pachybox.model.ids import CommitId, Pipeline
from pachybox.model.pps import PipelineRecord, PipelineState
from pachybox.pps.pool import worker_spec
from pachybox.pps.runners.base import Limits, WorkerSpec
from pachybox.pps.secrets import Secrets
from pachybox.pps.sets import ENDLESS, SetSize
from tests.unit.pps.world import opened

SpecOf = Callable[..., WorkerSpec]


@pytest.fixture
def spec_of(tmp_path: Path) -> Iterator[SpecOf]:
    now = datetime(2026, 1, 2, tzinfo=UTC)
    with opened(tmp_path) as pfs:
        secrets = Secrets(pfs.meta, tmp_path / "key")

        def made(doors: Mapping[str, str] | None = None, **fields: Any) -> WorkerSpec:
            record = PipelineRecord(
                Pipeline("lab", "edges"), 1, {"transform": {"cmd": ["true"]}, **fields}, "", "salt",
                PipelineState.RUNNING, "", False, now, now, CommitId("a" * 32),
            )  # fmt: skip
            return worker_spec(record, Path("/work"), secrets, doors or {})

        yield made


def test_limits_reach_the_worker_as_cores_and_bytes(spec_of: SpecOf) -> None:
    assert spec_of().limits == Limits()
    assert spec_of(resource_limits={}).limits == Limits()
    asked = {"cpu": 0.5, "memory": "1.5Gi", "disk": "1G"}
    assert spec_of(resource_limits=asked).limits == Limits(cpu=0.5, memory=3 << 29)


def test_batching_reaches_the_worker(spec_of: SpecOf) -> None:
    assert not spec_of().datum_batching
    assert spec_of(transform={"cmd": ["true"], "datum_batching": True}).datum_batching


def test_user_code_is_told_what_it_works_for(spec_of: SpecOf) -> None:
    env = {
        "PPS_PIPELINE_NAME": "edges",
        "PPS_PROJECT_NAME": "lab",
        "PPS_SPEC_COMMIT": "a" * 32,
        "PPS_WORKER_IP": "127.0.0.1",
        "PACH_IN_WORKER": "true",
        "PACH_NAMESPACE": "default",
    }
    assert spec_of().env == env
    doors = {"PACHYBOX_ADDRESS": "http://127.0.0.1:7", "PACHD_PEER_SERVICE_PORT": "8"}
    assert spec_of(doors).env == {**env, **doors}


def test_a_set_is_a_number_or_bytes_or_a_share() -> None:
    assert SetSize.of({}, 100, 2) == SetSize(13, 0)
    assert SetSize.of({}, 0, 2) == SetSize.of({}, 3, 2) == SetSize(1, 0)
    assert SetSize.of({"datum_set_spec": {"per_worker": 1}}, 100, 2) == SetSize(50, 0)
    both = SetSize.of({"datum_set_spec": {"number": 5, "size_bytes": 10}}, 100, 2)
    assert [both.full(n, size) for n, size in ((0, 0), (1, 10), (4, 9), (5, 0))] == [
        *(False, True, False, True)
    ]
    assert not ENDLESS.full(10**9, 10**18)
