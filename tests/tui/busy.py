"""A box with something of everything in it, and a client that writes down what it changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from pachybox.client import AsyncClient
from tests.boxes import RealBox, eventually

SPECS = """
pipeline: {name: copy}
input: {pfs: {repo: raw, glob: "/*"}}
transform: {cmd: [sh], stdin: ["for f in /pfs/raw/*; do cp -r $f /pfs/out/; done; echo copied"]}
---
pipeline: {name: ocr}
input: {pfs: {repo: raw, glob: "/*.csv"}}
transform:
  cmd: [sh]
  stdin: ["for f in /pfs/raw/*; do echo open $f; done", "echo ERROR no such table; exit 7"]
datum_tries: 1
---
pipeline: {name: slow}
input: {pfs: {repo: raw, glob: "/"}}
transform:
  cmd: [sh]
  stdin: ["i=0; while [ $i -lt 9000 ]; do i=$((i+1)); echo tick $i; sleep 0.5; done"]
---
pipeline: {name: hourly}
input: {cron: {name: tick, spec: "@every 1h"}}
transform: {cmd: [sh], stdin: ["echo ticked", "date > /pfs/out/now"]}
---
pipeline: {name: joined}
input:
  cross:
    - pfs: {repo: copy, glob: /}
    - pfs: {repo: ocr, glob: /}
transform: {cmd: [sh], stdin: ["ls /pfs/copy > /pfs/out/list"]}
"""
ENDED = ("JOB_SUCCESS", "JOB_FAILURE", "JOB_KILLED", "JOB_UNRUNNABLE")


def fill(box: RealBox, folder: Path) -> RealBox:
    """Repos, files of many kinds, an open commit, pipelines of which one fails and one runs, a
    cron, a watched folder and a post."""
    c = box.client
    c.create_repo("raw", description="what came in")
    c.create_repo("empty")
    with c.put("raw@master") as put:
        put.data("/a.csv", b"sensor,celsius\n" + b"s1,20.5\ns2,21.0\n" * 50)
        put.data("/b.json", b'{"a": [1, 2, {"b": null}], "c": "d"}')
        put.data("/c.jsonl", b'{"n": 1}\n{"n": 2}\n')
        put.data("/d.bin", bytes(range(256)))
        put.data("/deep/er/e.md", b"# Title\n\nwords\n")
        put.data("/f [bold]name.txt", "wide \u6f22\u5b57 \u05e9\u05dc\u05d5\u05dd\n".encode())
    with c.put("raw@master") as put:
        put.data("/a.csv", b"sensor,celsius\n" + b"s1,30.5\n" * 50)
    c.start_commit("raw@open")
    c.create_pipelines(SPECS)
    folder.mkdir(exist_ok=True)
    (folder / "one.csv").write_text("a,b\n1,2\n")
    watch = {"path": str(folder), "settle": "0s"}
    c.create_ingest({"name": "drops", "to": "raw@drops", "watch": watch})
    c.create_ingest({"name": "posts", "to": "raw@posts", "push": {}})
    eventually(lambda: settled(box), "all but the slow job have ended")
    return box


def settled(box: RealBox) -> bool:
    """Whether nothing happens by itself but the slow job's work."""
    c = box.client
    jobs = {f"{job.pipeline}": job.state for job in c.page_job().rows}
    came = "drops" in {branch.name for branch in c.list_branch("raw")}
    return (
        came
        and jobs.get("slow") == "JOB_RUNNING"
        and jobs.get("copy") == "JOB_SUCCESS"
        and jobs.get("ocr") == "JOB_FAILURE"
    )


def dump(box: RealBox) -> dict[str, Any]:
    """All that there is, by name, and how it is."""
    c = box.client
    found: dict[str, Any] = {}
    for repo in c.list_repo():
        found[f"repo {repo.name}"] = ""
        for branch in c.list_branch(repo.name):
            found[f"branch {repo.name}@{branch.name}"] = ""
        for commit in c.list_commit(repo.name):
            found[f"commit {repo.name}@{commit.id}"] = ""
    for pipeline in c.list_pipeline():
        found[f"pipeline {pipeline.name}"] = f"v{pipeline.version}"
        found[f"running {pipeline.name}"] = str(pipeline.stopped)
    for source in c.list_ingest():
        found[f"ingest {source.name}"] = source.spec
        found[f"paused {source.name}"] = str(source.paused)
    for job in c.page_job(limit=256).rows:
        found[f"job {job.pipeline}@{job.id}"] = job.state if job.state in ENDED else "at work"
    return found


_CHANGES = re.compile(
    "(create|delete|drop|squash|clear|start|finish|stop|put|copy|add|set|edit|run|rerun|restart"
    "|pause|resume|advance|build|save_trial|commit|transaction|shutdown|collect)(_|$)"
)


class Recorded(AsyncClient):
    """A client whose calls that change something are told to ``tell`` before they are made."""

    def __init__(self, address: str, tell: Callable[[str, tuple[Any, ...]], None]) -> None:
        self._tell = tell
        super().__init__(address)

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not _CHANGES.match(name):
            return found
        tell = super().__getattribute__("_tell")

        def told(*args: Any, **more: Any) -> Coroutine[Any, Any, Any]:
            tell(name, args)
            result: Coroutine[Any, Any, Any] = found(*args, **more)
            return result

        return told
