"""The README's tour works when it is pasted into a shell, line by line."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import images
from tests.arch.repo import ROOT

TOUR = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
MARK = "--- line "


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A user who has nothing but the checkout's command on the PATH; the box goes down after."""
    with tempfile.TemporaryDirectory(prefix="tour-") as folder:
        programs = Path(sys.executable).parent
        env = {
            "HOME": folder,
            "TMPDIR": folder,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PACHYBOX_HOME": f"{folder}/box",
            "PACHYBOX_HTTP_PORT": "0",
            "PACHYBOX_GRPC_PORT": "0",
        }
        yield env
        for socket in Path(folder).glob("*/run/box.sock"):
            here = {**env, "PACHYBOX_HOME": str(socket.parents[1])}
            command = [programs / "pachybox", "down"]
            subprocess.run(command, env=here, capture_output=True, check=False)


def walk(lines: list[str], env: dict[str, str]) -> dict[str, str]:
    """Run the lines in one shell from the checkout; what each printed. A failing line ends it."""
    script = "\n".join(f"echo '{MARK}{n}'\n{line}" for n, line in enumerate(lines))
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        env=env,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
    )
    printed = {}
    for part in done.stdout.split(MARK)[1:]:
        number, _, text = part.partition("\n")
        printed[lines[int(number)]] = text
    assert done.returncode == 0, "\n$ ".join(
        ["the tour stopped:", *map("\n".join, printed.items())]
    )
    return printed


def test_the_tour_does_what_the_readme_says(environment: dict[str, str]) -> None:
    block = TOUR.search((ROOT / "README.md").read_text())
    assert block
    lines = [line for line in block[1].splitlines() if line.strip()]
    said = walk(lines, environment)

    assert said["pachybox get file words@master:/hamlet"].split() == (
        ["2", "be", "1", "not", "1", "or", "2", "to"]
    )
    assert said["pachybox get file total@master:/total | grep not"].split() == ["2", "not"]
    assert said["pachybox get file total@master^:/total | wc -l"].strip() == "10"
    jobs = said["pachybox list job -p words"].splitlines()[1:]
    assert any("1 + 2 / 3" in line for line in jobs), jobs
    for text in ("hamlet", "merchant", "romeo"):
        assert text in said["pachybox list file words@master"]
    assert "romeo" in said["pachybox diff file texts@master:/"]
    assert "words@" in said["pachybox inspect commit total@master"]
    assert "1 stage" in said[next(line for line in lines if line.startswith("until "))]
    assert "drops watch texts@master running" in " ".join(said["pachybox list ingest"].split())
    assert not (Path(environment["PACHYBOX_HOME"]) / "run" / "box.sock").exists()


def wordcounts() -> set[str]:
    """The images that the tour may make."""
    return set(images.run("images", "--quiet", "localhost/wordcount").stdout.split())


def test_the_tour_of_containers_runs_an_image_of_one_program(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """With a C compiler that every machine of ours has."""
    images.needed()
    compiler = tmp_path / "cc"
    target = f"{platform.machine()}-linux-musl"
    command = f"exec {shlex.quote(sys.executable)} -m ziglang cc -target {target}"
    compiler.write_text(f'#!/bin/sh\n{command} -s "$@"\n')
    compiler.chmod(0o755)
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    environment["ZIG_GLOBAL_CACHE_DIR"] = str(Path.home() / ".cache" / "zig")
    before = wordcounts()
    block = TOUR.findall((ROOT / "README.md").read_text())[1]
    try:
        said = walk(block.splitlines(), environment)
    finally:
        (ROOT / "examples" / "languages" / "wordcount").unlink(missing_ok=True)
        images.run("rmi", "--force", *(wordcounts() - before))
    assert said["pachybox get file count-c@master:/hamlet"].split() == (
        ["2", "be", "1", "not", "1", "or", "2", "to"]
    )
    assert "localhost/wordcount" in said["pachybox inspect pipeline count-c"]
