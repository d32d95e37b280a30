"""python-pachyderm as the program of a spout: by its settings' file, and as its 1.x writes tar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import python_pachyderm
from python_pachyderm.service import pps_proto

Client = python_pachyderm.Client

PROGRAM = """
import os, time, python_pachyderm
client = python_pachyderm.Client()  # it looks for $PACH_CONFIG, then for /pachctl/config.json
me = os.environ["PPS_PIPELINE_NAME"]
for n in range(3):
    with client.commit(me, "master") as commit:
        client.put_file_bytes(commit, f"/{n}", str(n).encode())
"""

# SpoutManager.commit and SpoutCommit.put_file_from_bytes of python-pachyderm 6, line by line
MANAGER = """
import contextlib, io, os, tarfile, time
@contextlib.contextmanager
def commit(pfs_directory="/pfs"):
    with open(os.path.join(pfs_directory, "out"), "wb") as f:
        with tarfile.open(fileobj=f, mode="w|", encoding="utf-8") as tar:
            yield tar
def put(tar, path, data):
    info = tarfile.TarInfo(path)
    info.size = len(data)
    info.mode = 0o600
    tar.addfile(tarinfo=info, fileobj=io.BytesIO(data))
for n in range(3):
    with commit() as tar:
        put(tar, f"/{n}", str(n).encode())
        put(tar, "marker", str(n).encode())
"""


def test_a_spout_writes_in_either_way(client: Client, unique: Callable[[str], str]) -> None:
    names = {}
    for what, program in (("api", PROGRAM), ("tar", MANAGER)):
        name = names[what] = unique(what)
        client.create_pipeline(
            name,
            transform=pps_proto.Transform(
                cmd=[sys.executable, "-c", program + "time.sleep(1000)\n"]
            ),
            spout=pps_proto.Spout(),
        )
    until = time.monotonic() + 60
    for name in names.values():
        while len(list(client.list_commit(name))) < 3:
            assert time.monotonic() < until, client.inspect_pipeline(name, details=True)
            time.sleep(0.1)
        found = [info.file.path for info in client.list_file((name, "master"), "/")]
        assert [path for path in found if path != "/marker"] == ["/0", "/1", "/2"]
        (info,) = client.inspect_pipeline(name, details=True)
        assert info.details.HasField("spout")
        client.delete_pipeline(name)
