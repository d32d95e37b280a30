"""``make fuzz``: thousands of new inputs for each door, and those of the corpus.

    python -m tests.fuzz [number of inputs a door [names of doors]]

Inputs that find a fault go to the corpus, to be replayed by the suite ever after.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

from tests.fuzz import door_files, door_grpc, door_json, door_push, door_s3
from tests.fuzz.campaign import CORPUS, Campaign, Door, Report, corpus, fresh, scratch
from tests.fuzz.noise import Noise
from tests.fuzz.world import build

DOORS: tuple[Door, ...] = (door_json, door_grpc, door_s3, door_files, door_push)
COUNT = 20_000


def fuzz(door: Door, count: int, seed: int, folder: Path) -> Report:
    """One door's campaign in boxes of its own."""
    noise = Noise(seed)
    campaign = Campaign(build(folder / "world"), folder)
    try:
        report = campaign.run(door, [*corpus(door), *fresh(door, noise, count)], noise)
        changes = campaign.changes()
    finally:
        campaign.end()
    for fault in report.faults:
        (CORPUS / door.name).mkdir(parents=True, exist_ok=True)
        (CORPUS / door.name / fault.name).write_bytes(fault.data)
        print(f"FAULT {door.name}/{fault.name}: {fault.said}\n")
    for change in changes:
        print(f"FAULT {door.name}: a box was changed: {change}")
    if changes:
        sys.exit(f"a box was changed; seed {seed}")
    return report


def main(args: list[str]) -> int:
    count = int(args[0]) if args else COUNT
    seed = int(os.environ.get("PACHYBOX_TEST_SEED") or random.randrange(1 << 30))
    wrong = 0
    for door in DOORS:
        if args[1:] and door.name not in args[1:]:
            continue
        began = time.monotonic()
        with scratch() as folder:
            report = fuzz(door, count, seed, Path(folder))
        wrong += len(report.faults)
        codes = ", ".join(f"{code or 'nothing'} {n}" for code, n in report.codes.most_common())
        print(
            f"{door.name}: {report.sent} inputs in {time.monotonic() - began:.0f} s, "
            f"{len(report.faults)} faults, seed {seed}; answers: {codes}",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
