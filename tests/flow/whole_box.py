"""A box with something of everything in it, and all that users see of it."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.boxes import RealBox, eventually

UPPER = {
    "pipeline": {"name": "upper"},
    "input": {"pfs": {"repo": "texts", "glob": "/*"}},
    "transform": {"cmd": ["sh"], "stdin": ["tr a-z A-Z < $texts > /pfs/out/$(basename $texts)"]},
}
JOINED = {
    "pipeline": {"name": "joined"},
    "input": {"pfs": {"repo": "upper", "glob": "/"}},
    "transform": {"cmd": ["sh"], "stdin": ["cat /pfs/upper/* > /pfs/out/all"]},
}
LARGE = os.urandom(3 << 20)


def known(box: RealBox) -> dict[str, Any]:
    """All that users see of a box, but its running jobs' progress."""
    c = box.client
    sets = list(c.list_commit_set())
    commits = {str(i): i.raw for found in sets for i in found.commits}
    for record in commits.values():
        record.pop("sizeBytesUpperBound", None)
    files = {}
    for name in commits:
        if ".spec@" not in name and commits[name].get("finished"):
            files[name] = {f.path: f.raw for f in c.walk_file(f"{name}:/")}
    jobs = {str(j): j.raw for j in c.list_job(history=-1)}
    return {
        "projects": [p.raw for p in c.list_project()],
        "repos": {r.name: r.raw for r in c.list_repo(type="all")},
        "branches": {n: [b.raw for b in c.list_branch(n)] for n in ("texts", "upper", "joined")},
        "commits": commits,
        "files": files,
        "pipelines": [p.raw for p in c.list_pipeline(history=-1)],
        "jobs": jobs,
        "datums": {n: [d.raw for d in c.list_datum(n)] for n in jobs if jobs[n].get("finished")},
    }


def filled(box: RealBox) -> RealBox:
    """Two projects, a DAG of two pipelines that has run twice, large and small files."""
    c = box.client
    c.create_project("other", "an empty one")
    c.create_repo("texts", "some texts")
    with c.put("texts@master") as put:
        put.data("/a", b"one\n")
        put.data("/b", b"two\n" * 1000)
        put.data("/large", LARGE)
    c.create_pipelines(json.dumps(UPPER))
    c.create_pipelines(json.dumps(JOINED))
    c.put_file("texts@master:/a", b"more\n", append=True)
    c.create_branch("texts@old", head="master^")
    c.wait_commit("joined@master")
    eventually(lambda: all(j.done for j in c.list_job()), "all jobs are over")
    return box
