"""pachyderm-sdk, unmodified, as the program of a spout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs, pps

PROGRAM = """
import os, time
from pachyderm_sdk import Client
from pachyderm_sdk.api import pfs
client = Client.from_config(os.environ["PACH_CONFIG"])
repo = pfs.Repo.from_uri(os.environ["PPS_PROJECT_NAME"] + "/" + os.environ["PPS_PIPELINE_NAME"])
branch = pfs.Branch(repo=repo, name="master")
for n in range(3):
    with client.pfs.commit(branch=branch) as commit:
        commit.put_file_from_bytes(path=f"/{n}", data=str(n).encode())
client.pfs.start_commit(branch=branch)
print("all but one", flush=True)
time.sleep(1000)
"""


def test_a_spout_writes_with_the_sdk(pachyderm: Client, unique: Callable[[str], str]) -> None:
    pipeline = pps.Pipeline(project=pfs.Project(name="default"), name=unique("spout"))
    spec = {
        "pipeline": {"name": pipeline.name},
        "transform": {"cmd": [sys.executable, "-c", PROGRAM]},
        "spout": {},
    }
    pachyderm.pps.create_pipeline_v2(create_pipeline_request_json=json.dumps(spec))
    repo = pfs.Repo(name=pipeline.name, type="user", project=pipeline.project)
    until = time.monotonic() + 60
    found: list[pfs.CommitInfo] = []
    while len(found) < 4:
        assert time.monotonic() < until, pachyderm.pps.inspect_pipeline(pipeline=pipeline)
        time.sleep(0.1)
        found = list(pachyderm.pfs.list_commit(repo=repo))
    done = [info for info in found if info.finished.timestamp() > 0]  # else 1970
    assert len(done) == 3
    names = [
        info.file.path
        for info in pachyderm.pfs.list_file(file=pfs.File(commit=done[0].commit, path="/"))
    ]
    assert names == ["/0", "/1", "/2"]
    info = pachyderm.pps.inspect_pipeline(pipeline=pipeline, details=True)
    assert info.state == pps.PipelineState.PIPELINE_RUNNING
    assert info.details.spout is not None
    assert info.details.input.pfs.repo == ""
    assert list(pachyderm.pps.list_job(pipeline=pipeline)) == []
    said = [m.message for m in pachyderm.pps.get_logs(pipeline=pipeline)]
    assert any("all but one" in line for line in said)
    pachyderm.pps.stop_pipeline(pipeline=pipeline)
    while len(list(pachyderm.pfs.list_commit(repo=repo))) > 3:
        assert time.monotonic() < until, "the open commit is still there"
        time.sleep(0.1)
    pachyderm.pps.delete_pipeline(pipeline=pipeline)
