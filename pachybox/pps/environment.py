"""The variables that user code of one datum sees beside those of its worker."""

from __future__ import annotations

from pachybox.model.ids import Job
from pachybox.model.pps import Datum


def environment(
    job: Job, worker: int, datum: Datum, by_s3: frozenset[str] = frozenset()
) -> dict[str, str]:
    """What user code of this datum sees (reference §3.11). ``by_s3``: inputs not under /pfs."""
    env = {
        "PACH_JOB_ID": job.id,
        "PACH_OUTPUT_COMMIT_ID": job.id,
        "PACH_DATUM_ID": datum.id,
        "PPS_POD_NAME": f"{job.pipeline.name}-{worker}",
    }
    for one in datum.inputs:
        if one.name not in by_s3:
            env[one.name] = f"/pfs/{one.name}" + ("" if one.path == "/" else one.path)
        env[f"{one.name}_COMMIT"] = one.commit
        if one.join_on:
            env[f"PACH_DATUM_{one.name}_JOIN_ON"] = one.join_on
        if one.group_by:
            env[f"PACH_DATUM_{one.name}_GROUP_BY"] = one.group_by
    return env
