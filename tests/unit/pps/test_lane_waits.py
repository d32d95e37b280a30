"""A lane that waits for its worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pachybox.pps import lane
from pachybox.pps.lane import Lane
from pachybox.pps.runners.base import WorkerWaits
from pachybox.pps.slots import Slots


class Pool:
    """Has a worker at the third time; notes how many slots were taken whenever it was asked."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self.busy: list[int] = []

    def take(self, pipeline: object) -> object:
        self.busy.append(self._slots.busy)
        if len(self.busy) < 3:
            raise WorkerWaits("not yet")
        return "worker"


def test_a_worker_that_was_not_there_is_asked_for_without_a_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An answer may take seconds, in which others would have no place to run."""
    monkeypatch.setattr(lane, "_ASK_AGAIN_S", 0.0)
    slots = Slots(1)
    pool, told = Pool(slots), list[WorkerWaits | None]()
    pipeline = SimpleNamespace(spec={"transform": {}})
    bench = cast(
        Any, SimpleNamespace(shop=SimpleNamespace(pool=pool), pipeline=pipeline, waits=told.append)
    )
    one = Lane(bench, 0, lambda outcome: None, slots)
    assert one._hold()
    assert cast(Any, one._taken()) == "worker"
    assert pool.busy == [1, 0, 0]
    assert slots.busy == 1
    assert [str(why) for why in told] == ["not yet", "not yet", "None"]
