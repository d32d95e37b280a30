"""What the fake box holds: four repos and what pipelines make of them, at one moment in 2024."""

from __future__ import annotations

import base64
import functools
import json
from datetime import UTC, datetime, timedelta

from pachybox.client.page_values import DatumRow
from pachybox.client.pipeline_values import BoxStatus, JobInfo, PipelineInfo
from pachybox.client.spec_values import SpecField
from pachybox.client.values import BranchInfo, CommitInfo, FileInfo, Json, RepoInfo
from pachybox.client.view_values import Summary
from pachybox.pps.spec.describe import describe

NOW = datetime(2024, 7, 2, 14, 3, 22, tzinfo=UTC)
GIB = 1 << 30
RUN, BEFORE = "4f2a9c01d7e84b6f8a51c0ffee000001", "3b90aa17c2d94e0a9b71c0ffee000002"
BAD = "7c1e55d0b1aa4c32bd0ec0ffee000003"


def at(seconds_ago: float) -> str:
    """A time before ``NOW``, as the API writes it."""
    return (NOW - timedelta(seconds=seconds_ago)).isoformat().replace("+00:00", "Z")


def job(pipeline: str, id: str, state: str, ago: float, **more: object) -> Json:
    """A pachybox.v1.JobSummary."""
    return {
        "pipeline": pipeline,
        "id": id,
        "state": f"JOB_{state}",
        "created": at(ago),
        "started": at(ago - 1),
        "outputCommit": f"{pipeline}@{id}",
        **more,
    }


JOBS: list[Json] = [
    job("resize", RUN, "RUNNING", 72, total=120, processed=38, doneShare=0.32, left="120s",
        downloadBytes=int(1.1 * GIB)),
    job("ocr", BAD, "FAILURE", 242, total=120, processed=117, failed=3, doneShare=1.0,
        finished=at(130), reason="3 datums failed", downloadBytes=310 << 20),
    job("clean", RUN, "SUCCESS", 90, total=120, processed=20, skipped=100, doneShare=1.0,
        finished=at(75), uploadBytes=18 * GIB),
    job("train", BEFORE, "KILLED", 90_000, total=1, doneShare=0.0, finished=at(89_000),
        reason="stopped by ana"),
    job("clean", BEFORE, "SUCCESS", 86_400, total=100, processed=100, doneShare=1.0,
        finished=at(86_300), uploadBytes=17 * GIB),
]  # fmt: skip


def _pipeline(name: str, inputs: list[str], of: Json | None = None, **more: object) -> Json:
    return {
        "name": name,
        "kind": "transform",
        "state": "PIPELINE_RUNNING",
        "version": 1,
        "inputs": inputs,
        "output": f"{name}@master",
        **({"job": of} if of else {}),
        **more,
    }


PIPELINES: list[Json] = [
    _pipeline("clean", ["raw@master"], JOBS[2], crons=["tick"], repoBytes=17 * GIB, version=3),
    _pipeline("resize", ["clean@master"], JOBS[0], repoBytes=GIB),
    _pipeline("ocr", ["clean@master"], JOBS[1], state="PIPELINE_CRASHING", reason="exit status 7"),
    _pipeline("train", ["resize@master"], JOBS[3], state="PIPELINE_STANDBY"),
    _pipeline("report", ["train@master", "ocr@master"], stopped=True, state="PIPELINE_PAUSED"),
    _pipeline("mqtt", [], kind="spout"),
    _pipeline("windows", ["mqtt@master"], state="PIPELINE_STANDBY"),
]


def _repo(name: str, size: int, made: bool, ago: float = 60, **more: object) -> Json:
    return {
        "name": name,
        "branches": ["master"],
        "head": RUN,
        "headTime": at(ago),
        "sizeBytes": str(size),
        "provenance": made,
        **more,
    }


REPOS: list[Json] = [
    _repo("raw", 18 * GIB, False, branches=["master", "staging"], description="camera frames"),
    _repo("tick", 0, False),
    _repo("clean", 17 * GIB, True),
    _repo("resize", GIB, True),
    _repo("ocr", 310 << 20, True, 242),
    _repo("train", 0, True, 90_000, head=""),
    _repo("report", 0, True, 90_000, head=""),
    _repo("mqtt", 4 << 20, True, 2),
    _repo("windows", 1 << 20, True, 2),
]


def _ingest(name: str, kind: str, state: str = "running", **more: object) -> Json:
    return {
        "ingest": {"project": "default", "name": name},
        "kind": kind,
        "state": state,
        "since": at(7200),
        "specJson": json.dumps(more.pop("spec", {})),
        "version": 1,
        "created": at(172_800),
        "updated": at(172_800),
        **more,
    }


INGESTS: list[Json] = [
    _ingest("tick", "cron", to="tick@master", pipeline={"name": "clean"}, lastTime=at(12),
            nextTime=at(-38), spec={"cron": "*/1 * * * *"}),
    _ingest("nightly", "command", to="raw@master", lastTime=at(41_000), nextTime=at(-35_760),
            spec={"command": ["/bin/fetch"], "cron": "0 3 * * *"}, records="2200"),
    _ingest("fetch", "command", "crashing", to="raw@staging", reason="exit status 7",
            error="exit status 7", errorTime=at(240), errors=3, restarts=3,
            spec={"command": ["/bin/fetch", "--fast"], "cron": "*/5 * * * *"}),
    _ingest("mqtt", "spout", to="mqtt@master", pipeline={"name": "mqtt"}, lagS=0.2,
            rates=[400 + 7 * (n % 9) for n in range(60)], records="123456", pending=81),
]  # fmt: skip

SUMMARY: Json = {
    "time": at(0),
    "version": "0.1.0",
    "name": "lab-01",
    "address": "http://127.0.0.1:30600",
    "runner": "process",
    "eventSeq": "100",
    "machine": {
        "cpu": 0.31,
        "memoryUsed": str(int(9.2 * GIB)),
        "memoryTotal": str(16 * GIB),
        "diskUsed": str(412 * GIB),
        "diskTotal": str(931 * GIB),
        "diskFree": str(519 * GIB),
    },
    "disk": {
        "data": str(55 * GIB),
        "cache": str(3 * GIB),
        "images": str(2 * GIB),
        "logs": str(41 << 20),
        "growthPerDay": float(2 * GIB),
    },
    "pipelines": PIPELINES,
    "repos": REPOS,
    "jobs": JOBS,
    "ingests": INGESTS,
    "warnings": [],
    "attention": [
        {"level": "error", "ref": f"ocr@{BAD}", "kind": "job", "text": "3 datums failed",
         "remedy": "look at their logs, then retry", "since": at(130)},
        {"level": "warn", "ref": "fetch", "kind": "ingest", "text": "late by 4 m: exit status 7",
         "since": at(240)},
    ],
}  # fmt: skip


def summary(**changes: object) -> Summary:
    """The box at a glance, with some fields (of the API's JSON) others."""
    return Summary.from_json({**SUMMARY, **changes})


def commit(repo: str, id: str, parent: str, ago: float, **more: object) -> CommitInfo:
    """A finished commit on master."""
    where = {"name": repo, "type": "user", "project": {"name": "default"}}
    return CommitInfo.from_json(
        {
            "commit": {"repo": where, "id": id, "branch": {"repo": where, "name": "master"}},
            "origin": {"kind": "USER"},
            "parentCommit": {"repo": where, "id": parent} if parent else None,
            "started": at(ago + 2),
            "finished": at(ago),
            "sizeBytesUpperBound": str(18 * GIB),
            **more,
        }
    )


def commits(repo: str) -> list[CommitInfo]:
    """Three commits, newest first."""
    return [
        commit(repo, RUN, BEFORE, 60, description="nightly"),
        commit(repo, BEFORE, BAD, 86_400, description="nightly"),
        commit(repo, BAD, "", 172_800, description="put by ana"),
    ]


FILES: dict[str, list[tuple[str, int]]] = {
    "/": [("/2024/", 12 * GIB), ("/README.md", 412), ("/index.json", 518)],
    "/2024/": [("/2024/07/", 2 * GIB)],
    "/2024/07/": [("/2024/07/cam3.csv", 2_100_000), ("/2024/07/cam3.jpg", 1_400_000)],
}
CONTENT: dict[str, bytes] = {
    "/README.md": b"# Frames\n\nOf *three* cameras, one a folder.\n",
    "/index.json": json.dumps({"cameras": 3, "frames": [1, 2, 3]}).encode(),
    "/2024/07/cam3.csv": b"ts,cam,lux,temp\n"
    + b"".join(b"2024-07-01 00:%02d,3,0.1,17.%d\n" % (n, n % 10) for n in range(60)),
}


def file(repo: str, commit_id: str, path: str, size: int) -> FileInfo:
    """A file, or with a slash at its end a directory."""
    return FileInfo.from_json(
        {
            "file": {
                "commit": {"repo": {"name": repo}, "id": commit_id},
                "path": path,
            },
            "fileType": "DIR" if path.endswith("/") else "FILE",
            "sizeBytes": str(size),
            "committed": at(60),
            "hash": base64.b64encode(path.encode().ljust(32, b".")).decode(),
        }
    )


def datums(total: int = 120) -> list[DatumRow]:
    """Failed ones first, then running ones, waiting ones, done ones."""
    states = ["FAILED"] * 3 + ["RUNNING"] * 2 + ["WAITING"] * 59 + ["SUCCESS"] * 38
    states += ["SKIPPED"] * (total - len(states))
    return [
        DatumRow.from_json(
            {
                "id": f"{n:064x}",
                "input": f"/a/{n:03d}.png",
                "inputs": [f"clean@{RUN}:/a/{n:03d}.png"],
                "state": state,
                "reason": "exit status 1" if state == "FAILED" else "",
                "downloadS": 0.1,
                "processS": 9.0 + n % 5 if state in ("FAILED", "SUCCESS") else 0.0,
                "uploadS": 0.2 if state == "SUCCESS" else 0.0,
                "tries": 3 if state == "FAILED" else 1,
                "downloadBytes": "98000000",
                "worker": f"w{n % 3 + 1}",
                "started": at(70 - n % 60),
            }
        )
        for n, state in enumerate(states)
    ]


def repo_info(name: str) -> RepoInfo:
    """A repo as inspect gives it."""
    return RepoInfo.from_json(
        {
            "repo": {"name": name, "type": "user", "project": {"name": "default"}},
            "created": at(200_000),
            "sizeBytesUpperBound": str(18 * GIB),
            "branches": [{"name": "master"}],
        }
    )


def branch_info(repo: str, name: str) -> BranchInfo:
    """A branch with a head."""
    where = {"name": repo, "type": "user", "project": {"name": "default"}}
    return BranchInfo.from_json(
        {
            "branch": {"repo": where, "name": name},
            "head": {"repo": where, "id": RUN, "branch": {"repo": where, "name": name}},
        }
    )


SPEC: Json = {
    "input": {"pfs": {"repo": "clean", "branch": "master", "glob": "/*"}},
    "transform": {"image": "python:3.12-slim", "cmd": ["python", "/code/run.py"]},
}


@functools.cache
def spec_fields() -> tuple[SpecField, ...]:
    """The fields of a spec, as the box tells them."""
    return tuple(
        SpecField(f.path, f.type, f.default, f.help, f.example, tuple(f.choices), f.status)
        for f in describe()
    )


def pipeline_info(name: str) -> PipelineInfo:
    """A pipeline as inspect gives it."""
    raw = next((p for p in PIPELINES if p["name"] == name), PIPELINES[0])
    return PipelineInfo.from_json(
        {
            "pipeline": {"name": name, "project": {"name": "default"}},
            "version": str(raw["version"]),
            "state": raw["state"],
            "stopped": raw.get("stopped", False),
            "type": "PIPELINE_TYPE_TRANSFORM",
            "details": {
                "transform": {"image": "python:3.12-slim", "cmd": ["python", "/code/run.py"]},
                "input": {"pfs": {"repo": "raw", "branch": "master", "glob": "/*"}},
                "createdAt": at(170_000),
            },
            "userSpecJson": json.dumps({"pipeline": {"name": name}, **SPEC}),
        }
    )


def job_info(name: str) -> JobInfo:
    """A job as inspect gives it."""
    pipeline, _, id = name.partition("@")
    raw = next((j for j in JOBS if j["pipeline"] == pipeline and j["id"] == id), JOBS[0])
    return JobInfo.from_json(
        {
            "job": {"pipeline": {"name": pipeline}, "id": id},
            "pipelineVersion": "1",
            "outputCommit": {"repo": {"name": pipeline}, "id": id},
            "dataTotal": str(raw.get("total", 0)),
            "dataProcessed": str(raw.get("processed", 0)),
            "dataFailed": str(raw.get("failed", 0)),
            **{key: raw.get(key) for key in ("state", "reason", "created", "started", "finished")},
        }
    )


STATUS = BoxStatus.from_json(
    {"version": "0.1.0", "home": "/srv/box", "pid": 4711, "runner": "process", "repos": "9"}
)
