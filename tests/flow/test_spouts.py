"""Spouts: programs that never end and bring data in, by a pipe of tar or by the API."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from tests.boxes import RealBox, eventually

PYTHON = "/usr/bin/python3" if os.geteuid() else sys.executable


def spout(name: str, *cmd: str, stdin: list[str] | None = None, **more: Any) -> str:
    transform: dict[str, Any] = {"cmd": list(cmd)}
    if stdin:
        transform["stdin"] = stdin
    return json.dumps(
        {"pipeline": {"name": name}, "transform": transform, "spout": more.pop("spout", {}), **more}
    )


def commits(box: RealBox, branch: str) -> int:
    return sum(1 for _ in box.client.list_commit(branch))


def content(box: RealBox, path: str) -> bytes:
    with box.client.get_file(path) as file:
        return file.read()


RAPID = """
import io, tarfile, time
for n in range(200):
    with open("/pfs/out", "wb") as pipe, tarfile.open(fileobj=pipe, mode="w|") as tar:
        info = tarfile.TarInfo(f"{n:03}")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"%04d" % n))
print("done", flush=True)
time.sleep(1000)
"""


def test_a_writer_that_opens_and_closes_rapidly_loses_nothing(box: RealBox) -> None:
    box.client.create_pipelines(spout("rapid", PYTHON, "-c", RAPID))
    eventually(lambda: commits(box, "rapid@master") == 200, "200 commits", 60)
    files = [f.path for f in box.client.list_file("rapid@master:/")]
    assert files == [f"/{n:03}" for n in range(200)]
