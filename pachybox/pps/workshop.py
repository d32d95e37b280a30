"""What every run of a job works with: one for the box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pachybox.pfs.service import Pfs
from pachybox.pps.disk_watch import DiskWatch
from pachybox.pps.gate import Gates
from pachybox.pps.plan import Planner
from pachybox.pps.pool import WorkerPool
from pachybox.pps.trash import Trash


@dataclass(eq=False)
class Workshop:
    """``work`` and ``logs`` are directories. ``gates`` is there once the box has an S3 door."""

    pfs: Pfs
    pool: WorkerPool
    plans: Planner
    trash: Trash
    disk: DiskWatch
    work: Path
    logs: Path
    gates: Gates | None = None
