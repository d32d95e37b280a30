"""jupyterlab-pachyderm, unmodified: its extension of a real Jupyter server, driven as its own
frontend in the browser does."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pachybox.client import Client

START_S = 60.0


class Jupyter:
    """A Jupyter server and the routes of the extension."""

    def __init__(self, root: Path, env: dict[str, str]) -> None:
        self.root = root
        self.home = root / "home"
        runtime = root / "runtime"
        runtime.mkdir(parents=True)
        self.notebooks = root / "notebooks"
        self.notebooks.mkdir()
        own = {k: v for k, v in os.environ.items() if not k.startswith(("PACH", "JUPYTER"))}
        folders = {
            "HOME": str(self.home),
            "JUPYTER_RUNTIME_DIR": str(runtime),
            "PFS_MOUNT_DIR": str(root / "pfs"),
            "PACH_CONFIG": str(self.home / ".pachyderm" / "config.json"),
        }
        with socket.create_server(("127.0.0.1", 0)) as free:  # the server cannot choose one itself
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"]
        settings = {
            "ServerApp.root_dir": str(self.notebooks),
            "ServerApp.port": str(port),
            "ServerApp.disable_check_xsrf": "True",
            "IdentityProvider.token": "",
        }
        self.log = root / "jupyter.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *(f"--{name}={value}" for name, value in settings.items())],
                env=own | folders | env,
                cwd=self.notebooks,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.url = f"http://127.0.0.1:{port}/pachyderm/v2"
        self._until(lambda: self.ask("GET", "/health")[0] == 200)

    def _until(self, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if ready():
                    return
            except OSError:
                pass
            time.sleep(0.05)  # between two looks
        self.close()
        raise AssertionError(self.log.read_text())

    def ask(self, verb: str, path: str, body: object = None, **query: object) -> tuple[int, Any]:
        """The status and the JSON that a route answers with."""
        url = self.url + path + ("?" + urllib.parse.urlencode(query) if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, method=verb)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, text = answer.status, answer.read()
        except urllib.error.HTTPError as e:
            status, text = e.code, e.read()
        return status, json.loads(text) if text else None

    def get(self, path: str, **query: object) -> Any:
        """The JSON of a GET that succeeds."""
        status, found = self.ask("GET", path, **query)
        assert status == 200, found
        return found

    def put(self, path: str, body: object = None) -> Any:
        """The JSON of a PUT that succeeds."""
        status, found = self.ask("PUT", path, {} if body is None else body)
        assert status == 200, found
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="session")
def address(grpc: str) -> str:
    """``host:port`` of the box."""
    return grpc.removeprefix("grpc://")


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[Jupyter]:
    """A server that was told of the box by PACHD_ADDRESS, as a notebook in a cluster is."""
    made = Jupyter(tmp_path_factory.mktemp("jupyter"), {"PACHD_ADDRESS": f"grpc://{address}"})
    yield made
    made.close()


@pytest.fixture
def photos(box: Client, unique: Callable[[str], str]) -> str:
    """A repo with two branches of two files, one of them in a directory."""
    name = unique("photos")
    box.create_repo(name)
    for branch in ("master", "dev"):
        with box.put(f"{name}@{branch}") as to:
            to.data("/a.txt", f"a of {branch}".encode())
            to.data("/deep/b.txt", b"b")
    return name


def names(model: Any) -> list[str]:
    return sorted(entry["name"] for entry in model["content"])


def test_the_server_is_told_where_the_box_is(jupyter: Jupyter, address: str) -> None:
    assert jupyter.get("/health") == {"status": "HEALTHY_NO_AUTH"}
    assert jupyter.get("/config")["pachd_address"] == address
    # another address is tried before it is taken
    status, _ = jupyter.ask("PUT", "/config", {"pachd_address": "grpc://127.0.0.1:1"})
    assert status == 400
    assert jupyter.ask("PUT", "/config", {})[0] == 400
    assert jupyter.put("/config", {"pachd_address": f"grpc://{address}"})["pachd_address"]
    config = json.loads((jupyter.home / ".pachyderm" / "config.json").read_text())
    assert address in json.dumps(config)
    # nobody logs in to a box without users
    assert jupyter.ask("PUT", "/auth/_login")[0] == 500
    jupyter.put("/auth/_logout")


def test_repos_with_their_branches_are_listed(
    jupyter: Jupyter, box: Client, photos: str, unique: Callable[[str], str]
) -> None:
    project = unique("lab")
    box.create_project(project)
    box.create_repo(f"{project}/empty")
    found = jupyter.get("/repos")
    mine = found[f"default/{photos}"]
    assert (mine["name"], mine["project"]) == (photos, "default")
    assert sorted(branch["name"] for branch in mine["branches"]) == ["dev", "master"]
    assert found[f"{project}/empty"]["branches"] == []


def test_a_commit_is_browsed_and_read(jupyter: Jupyter, box: Client, photos: str) -> None:
    jupyter.put("/explore/mount", {"commit_uri": f"{photos}@master"})
    assert names(jupyter.get(f"/pfs/{photos}")) == ["a.txt", "deep"]
    assert names(jupyter.get(f"/pfs/{photos}/deep")) == ["b.txt"]
    file = jupyter.get(f"/pfs/{photos}/a.txt", format="text")
    assert (file["type"], file["content"]) == ("file", "a of master")
    raw = jupyter.get(f"/pfs/{photos}/deep/b.txt", format="base64")
    assert base64.b64decode(raw["content"]) == b"b"
    assert jupyter.get(f"/pfs/{photos}/a.txt", content=0)["content"] is None
    # by pages
    first = jupyter.get(f"/pfs/{photos}", number=1)
    assert names(first) == ["a.txt"]
    marker = f"default/{photos}@master:/a.txt"
    assert names(jupyter.get(f"/pfs/{photos}", number=1, pagination_marker=marker)) == ["deep"]
    # an older commit, by its id
    first_id = box.inspect_commit(f"{photos}@dev").id
    with box.put(f"{photos}@dev") as to:
        to.data("/c.txt", b"c")
    jupyter.put("/explore/mount", {"commit_uri": f"{photos}@{first_id}"})
    assert names(jupyter.get(f"/pfs/{photos}")) == ["a.txt", "deep"]
    jupyter.put("/explore/mount", {"commit_uri": f"{photos}@dev"})
    assert names(jupyter.get(f"/pfs/{photos}")) == ["a.txt", "c.txt", "deep"]
    jupyter.put("/explore/unmount")
    for wrong in ({}, {"commit_uri": "no@such/branch"}):
        assert jupyter.ask("PUT", "/explore/mount", wrong)[0] == 400


def test_files_and_directories_are_downloaded(jupyter: Jupyter, photos: str) -> None:
    jupyter.put("/explore/mount", {"commit_uri": f"{photos}@dev"})
    jupyter.put(f"/download/explore/{photos}/a.txt")
    file = jupyter.notebooks / "a.txt"
    assert file.read_text() == "a of dev"
    assert jupyter.ask("PUT", f"/download/explore/{photos}/a.txt")[0] == 400  # it is there
    file.unlink()
    jupyter.put(f"/download/explore/{photos}/deep")
    # a tar has whole paths, and it is unpacked into a directory of that name
    assert (jupyter.notebooks / "deep" / "deep" / "b.txt").read_text() == "b"
    jupyter.put(f"/download/explore/{photos}")
    assert (jupyter.notebooks / photos / "deep" / "b.txt").read_text() == "b"


def test_many_datums_come_as_they_are_asked_for(
    jupyter: Jupyter, box: Client, unique: Callable[[str], str]
) -> None:
    many = unique("many")
    box.create_repo(many)
    with box.put(f"{many}@master") as to:
        for n in range(150):
            to.data(f"/{n}", b"x")
    said = jupyter.put("/datums/_mount", {"input": {"pfs": {"repo": many, "glob": "/*"}}})
    assert (said["num_datums_received"], said["all_datums_received"]) == (100, False)
    for _ in range(100):
        said = jupyter.put("/datums/_next")
    assert (said["num_datums_received"], said["all_datums_received"]) == (150, True)


def test_the_datums_of_an_input_are_stepped_through(
    jupyter: Jupyter, box: Client, unique: Callable[[str], str]
) -> None:
    left, right = unique("left"), unique("right")
    for name, count in ((left, 3), (right, 2)):
        box.create_repo(name)
        with box.put(f"{name}@master") as to:
            for n in range(count):
                to.data(f"/{n}", str(n).encode())
    cross = [
        {"pfs": {"repo": left, "glob": "/*"}},
        {"pfs": {"repo": right, "glob": "/*", "name": "r"}},
    ]
    said = jupyter.put("/datums/_mount", {"input": {"cross": cross}})
    assert (said["idx"], said["num_datums_received"], said["all_datums_received"]) == (0, 6, True)
    seen = set()
    for _ in range(6):
        shown = [names(jupyter.get(f"/view_datum/{name}"))[0] for name in (left, "r")]
        seen.add(tuple(shown))
        jupyter.put("/datums/_next")
    assert seen == {(str(a), str(b)) for a in range(3) for b in range(2)}
    assert jupyter.get("/datums")["idx"] == 0  # round and round
    assert jupyter.put("/datums/_prev")["idx"] == 5
    jupyter.put("/datums/_download")
    assert sorted(p.name for p in (jupyter.root / "pfs").iterdir()) == sorted([left, "r"])
    # a text that is no input, and one of a repo that is not there
    assert jupyter.ask("PUT", "/datums/_mount", {"input": {"nonsense": 1}})[0] >= 400
    gone = {"input": {"pfs": {"repo": unique("gone"), "glob": "/"}}}
    assert jupyter.ask("PUT", "/datums/_mount", gone)[0] >= 400


def notebook(jupyter: Jupyter, name: str, code: str, config: dict[str, Any]) -> dict[str, str]:
    """Write a notebook; returns what its frontend sends to publish it."""
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    text = {
        "cells": [{**cell, "source": code.splitlines(keepends=True)}],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"file_extension": ".py", "name": "python"},
            "pachyderm_pps": {"version": "v1.0.0", "config": config},
        },
        "nbformat": 4,
        "nbformat_minor": 0,
    }
    path = jupyter.notebooks / name
    path.write_text(json.dumps(text))
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(tzinfo=None)
    return {"last_modified_time": f"{changed.isoformat()}Z"}


CODE = """
import os, helper
for name in os.listdir("/pfs/in"):
    with open(f"/pfs/in/{name}") as file, open(f"/pfs/out/{name}", "w") as out:
        out.write(helper.loud(file.read()))
"""


@pytest.mark.parametrize("project", ["default", "lab"])
def test_a_notebook_is_published_as_a_pipeline(
    jupyter: Jupyter, box: Client, unique: Callable[[str], str], project: str
) -> None:
    if project != "default":
        project = unique(project)
        box.create_project(project)
    repo, name = unique("texts"), unique("loud")
    box.create_repo(f"{project}/{repo}")
    box.put_file(f"{project}/{repo}@master:/word", b"quiet")
    (jupyter.notebooks / "helper.py").write_text("def loud(text): return text.upper()\n")
    config = {
        "image": "python:3.10",
        "input_spec": f'pfs:\n  project: {project}\n  repo: {repo}\n  glob: "/*"\n  name: in\n',
        "pipeline": {"name": name, "project": {"name": project}},
        "external_files": "helper.py",
    }
    sent = notebook(jupyter, f"{name}.ipynb", CODE, config)
    spec = jupyter.get(f"/pps/_create/{name}.ipynb")
    assert spec["pipeline"]["name"] == name
    said = jupyter.put(f"/pps/_create/{name}.ipynb", sent)
    assert said["message"].startswith("Create pipeline request sent")
    whole = f"{project}/{name}"
    job = box.wait_job(f"{whole}@{next(iter(box.list_job(whole))).id}")
    assert (job.state, job.reason) == ("JOB_SUCCESS", "")
    assert box.get_file(f"{whole}@master:/word") == b"QUIET"
    # again, with the notebook changed: an update that runs all anew
    sent = notebook(jupyter, f"{name}.ipynb", CODE + "# changed\n", config)
    jupyter.put(f"/pps/_create/{name}.ipynb", sent)
    assert box.inspect_pipeline(whole).version == 2
    job = box.wait_job(f"{whole}@{next(iter(box.list_job(whole))).id}")
    assert (job.state, job.processed) == ("JOB_SUCCESS", 1)


def test_a_notebook_that_cannot_be_published_is_refused(
    jupyter: Jupyter, unique: Callable[[str], str]
) -> None:
    name = unique("bad")
    config = {
        "image": "python:3.10",
        "input_spec": f'pfs:\n  repo: {unique("nowhere")}\n  glob: "/*"\n',
        "pipeline": {"name": name},
    }
    sent = notebook(jupyter, f"{name}.ipynb", CODE, config)
    status, said = jupyter.ask("PUT", f"/pps/_create/{name}.ipynb", sent)
    assert status == 400
    assert "not found" in json.dumps(said)
    assert jupyter.ask("PUT", f"/pps/_create/{name}.ipynb", {})[0] == 400
