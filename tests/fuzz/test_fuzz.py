"""Every door against inputs of the corpus and new ones; ``make fuzz`` tries many more."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.__main__ import DOORS
from tests.fuzz.campaign import Campaign, Door, corpus, fresh, scratch
from tests.fuzz.noise import Noise
from tests.fuzz.world import build

FRESH = 500


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    with scratch() as folder:
        made = Campaign(build(Path(folder) / "world"), Path(folder))
        yield made
        try:
            assert made.changes() == [], "a box that had to stay as it was has changed"
        finally:
            made.end()


@pytest.mark.parametrize("door", DOORS, ids=lambda door: str(door.name))
def test_no_input_breaks_a_door_or_changes_what_it_may_not(door: Door, campaign: Campaign) -> None:
    """The daemon lives, says nothing of an internal error, keeps no thread, descriptor or memory;
    that nothing was changed is seen in the end."""
    seed = int(os.environ.get("PACHYBOX_TEST_SEED") or random.randrange(1 << 30))
    noise = Noise(seed)
    report = campaign.run(door, [*corpus(door), *fresh(door, noise, FRESH)], noise)
    told = [f"{fault.said}\n{fault.data[:2000]!r}" for fault in report.faults]
    assert not told, f"seed {seed} (PACHYBOX_TEST_SEED): " + "\n\n".join(told)
    assert report.sent >= FRESH
