"""The image of the Containerfile, built here around the one file, and the box that it runs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.binary.tree import SYSTEM, libraries_here
from tests import images
from tests.appliance.work import first_commit
from tests.boxes import eventually
from tests.images import Entry, Recipe

ROOT = Path(__file__).resolve().parents[2]
BUILD_S = 280
SPEC = {
    "pipeline": {"name": "look"},
    "transform": {"cmd": ["sh"], "stdin": ["cat $PFS/in/a > $PFS/out/a", "id -u > $PFS/out/user"]},
    "input": {"pfs": {"repo": "in", "glob": "/"}},
}


def base() -> Recipe:
    """A shell and the libraries of C and C++: what the image needs of its base."""
    known = images.RECIPES["busybox"]()
    here = libraries_here()
    found = {name: here[name] for name in sorted(SYSTEM & here.keys())}
    folders = {str(path.parent)[1:] for path in found.values()}
    entries = [Entry(folder) for folder in sorted(folders)]
    entries += [Entry(str(path)[1:], source=path) for path in found.values()]
    loader = next(name for name in found if name.startswith("ld-linux"))
    beside = "lib64" if "x86-64" in loader else "lib"
    entries += [Entry(beside), Entry(f"{beside}/{loader}", source=found[loader])]
    return Recipe("base", [*known.entries, *entries], known.changes)


@pytest.fixture(scope="session")
def image(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tag of the image; made once for each program and Containerfile."""
    images.needed()
    below = images.made(base())
    with open(binary, "rb") as file:
        facts = hashlib.file_digest(file, "sha256").hexdigest() + below
    facts += (ROOT / "Containerfile").read_text()
    tag = f"{images.PREFIX}/pachybox:{hashlib.sha256(facts.encode()).hexdigest()[:16]}"
    with images.folder_of_mine():
        if images.run("image", "exists", tag).returncode:
            _build(tag, below, binary, tmp_path_factory.mktemp("context"))
    return tag


def _build(tag: str, below: str, binary: Path, context: Path) -> None:
    """Make the image; those of earlier programs go, unless one runs."""
    kind = "label=pachybox-test=pachybox"
    for old in set(images.run("images", "--quiet", f"--filter={kind}").stdout.split()):
        images.run("rmi", old)
    shutil.copy(ROOT / ".containerignore", context)
    (context / "dist").mkdir()
    shutil.copy(binary, context / "dist/pachybox")
    command = [
        "podman", *images.runtime(), "build", "--layers=false", "--format=docker", "--pull=never",
        "--network=none", *images.ulimits(), f"--{kind}", f"--tag={tag}",
        "--build-arg=PROGRAM=ready", f"--build-arg=BASE={below}",
        f"--file={ROOT / 'Containerfile'}", str(context),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
    shutil.rmtree(context)
    assert done.returncode == 0, done.stderr


class Container:
    """A box in a container: no rights, a root that is read-only, data in a volume."""

    def __init__(self, image: str) -> None:
        self.name = f"pachybox-test-box-{os.getpid()}"
        done = images.run(
            *images.runtime(), "run", "--detach", f"--name={self.name}", "--read-only",
            "--tmpfs=/tmp", "--cap-drop=all", "--security-opt=no-new-privileges",
            "--network=none", *images.ulimits(), f"--volume={self.name}:/var/lib/pachybox", image,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def run(self, *command: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["podman", "exec", "--interactive", self.name, *command],
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def healthy(self) -> bool:
        """By the image's own check. Fails when it has ended."""
        state = images.run("inspect", "--format={{.State.Running}}", self.name).stdout.strip()
        assert state == "true", images.run("logs", self.name).stderr
        return images.run("healthcheck", "run", self.name).returncode == 0

    def end(self) -> None:
        images.run("rm", "--force", "--time=0", self.name)
        images.run("volume", "rm", self.name)


@pytest.fixture(scope="module")
def box(image: str) -> Iterator[Container]:
    """A box with a repo, a pipeline and one commit."""
    made = Container(image)
    try:
        eventually(made.healthy, "it is healthy")
        first_commit(made.run, SPEC)
        yield made
    finally:
        made.end()


MAKE = """#!/bin/sh
mkdir dist
echo 'mkdir -p $PACHYBOX_CACHE/made' > dist/pachybox
chmod +x dist/pachybox
ls -A > /dev/stderr
"""


def test_unless_told_otherwise_the_program_is_built_from_source(tmp_path: Path) -> None:
    """By a stand-in for make, which shows what it is given to build from."""
    images.needed()
    below = images.RECIPES["busybox"]()
    make = Entry("bin/make", content=MAKE.encode())
    builder = images.made(Recipe("make", [*below.entries, make], below.changes))
    shutil.copy(ROOT / ".containerignore", tmp_path)
    for name in (".git", ".venv", ".mypy_cache", "build", "docs", "tests", "pachybox"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()

    def built(files: int) -> subprocess.CompletedProcess[str]:
        return images.run(
            *images.runtime(), "build", "--layers=false", "--pull=never", "--network=none",
            f"--ulimit=nofile={files}:{files}", f"--build-arg=BUILDER={builder}",
            f"--build-arg=BASE={builder}", "--target=program", f"--file={ROOT / 'Containerfile'}",
            str(tmp_path),
        )  # fmt: skip

    few = built(1024)
    assert "a build may open 1024 files here, too few" in few.stderr
    done = built(8192)
    assert done.returncode == 0, done.stderr
    images.run("rmi", done.stdout.split()[-1])
    seen = set(done.stderr.splitlines())
    assert {"dist", "pachybox"} <= seen
    assert not seen & {".git", ".venv", ".mypy_cache", "build", "docs", "tests"}


def test_the_image_says_what_it_is(image: str) -> None:
    (found,) = json.loads(images.run("image", "inspect", image).stdout)
    config = found["Config"]
    assert config["User"] == "65532:65532"
    assert config["StopSignal"] == "SIGTERM"
    assert list(config["Volumes"]) == ["/var/lib/pachybox"]
    assert found["Healthcheck"]["Test"][:1] == ["CMD"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_a_pipeline_runs_by_process_inside_as_nobody(box: Container) -> None:
    assert box.run("pachybox", "get", "file", "look@master:/a") == "first"
    assert box.run("pachybox", "get", "file", "look@master:/user") == "65532\n"
    assert box.run("stat", "-c", "%a %u", "/var/lib/pachybox") == "700 65532\n"


def test_the_first_process_waits_for_orphans(box: Container) -> None:
    box.run("sh", "-c", "for i in 1 2 3; do (sleep 0.1 &) ; done")
    eventually(lambda: " Z " not in box.run("ps", "-o", "pid,stat,args"), "no zombie is left")


def test_it_stops_at_once_and_comes_back_with_its_data(box: Container) -> None:
    began = time.monotonic()
    assert images.run("stop", "--time=10", box.name).returncode == 0
    assert time.monotonic() - began < 10
    status = images.run("inspect", "--format={{.State.ExitCode}}", box.name)
    assert status.stdout.strip() == "0"
    assert "part=daemon stopped" in images.run("logs", box.name).stderr
    assert images.run("start", box.name).returncode == 0
    eventually(box.healthy, "it is healthy again")
    assert box.run("pachybox", "get", "file", "look@master:/a") == "first"
