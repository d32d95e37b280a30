"""Source code built and run in containers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.client import Client, JobInfo
from tests import images
from tests.boxes import RealBox, eventually
from tests.wheels import wheel

WORDS = {"pfs": {"repo": "words", "glob": "/*"}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    images.needed()
    box = RealBox(tmp_path_factory.mktemp("box") / "home").start()
    box.client.create_repo("words")
    with box.client.put("words@master") as put:
        for word in ("ape", "bee"):
            put.data(f"/{word}", word.encode())
    yield box.client
    box.stop()


def spec_of(name: str, image: str = "", **build: str) -> dict[str, object]:
    transform: dict[str, object] = {"build": build}
    return {
        "pipeline": {"name": name},
        "transform": {**transform, "image": image} if image else transform,
        "input": WORDS,
    }


def done(client: Client, pipeline: str, count: int = 1) -> list[JobInfo]:
    """The jobs of a pipeline, newest first, when there are as many and all ended."""

    def look() -> list[JobInfo]:
        jobs = list(client.list_job(pipeline, history=-1))
        return jobs if len(jobs) >= count and all(job.done for job in jobs) else []

    return eventually(look, f"{count} jobs of {pipeline} end")


def test_python_in_an_image_that_knows_nothing_of_it(
    client: Client, python_image: str, tmp_path: Path
) -> None:
    """The scripts come with the source; the packages are for the image's python."""
    wheel(tmp_path / "code" / "wheels", "stamp", "1.0", "MARK = 'here'\n")
    code = tmp_path / "code"
    (code / "requirements.txt").write_text("--no-index\n--find-links wheels\nstamp\n")
    (code / "main.py").write_text(
        "import os, pathlib, stamp\n"
        "for path in pathlib.Path('/pfs/words').iterdir():\n"
        "    text = f'{stamp.MARK} {path.read_text()} {os.path.exists(\"/work\")}'\n"
        "    pathlib.Path('/pfs/out', path.name).write_text(text)\n"
    )
    spec = spec_of("python", python_image, language="python")
    client.build_pipeline(spec, code)
    done(client, "python")
    logs = "\n".join(line.message for line in client.logs("python_build"))
    assert client.get_file("python@master:/ape") == b"here ape False", logs


def test_shell_in_an_image(client: Client, busybox_image: str, tmp_path: Path) -> None:
    (tmp_path / "main.sh").write_text(
        'cp "$words" /pfs/out/; ls / >/pfs/out/root-$(basename "$words")\n'
    )
    client.build_pipeline(spec_of("shell", busybox_image, language="shell"), tmp_path)
    done(client, "shell")
    assert client.get_file("shell@master:/ape") == b"ape"
    assert "proc" in client.get_file("shell@master:/root-ape").decode().split()


def test_a_builder_image_brings_its_own_scripts(
    client: Client, busybox_image: str, tmp_path: Path
) -> None:
    """As Pachyderm's: build.sh and run.sh in the working directory of the image."""
    context, code = tmp_path / "context", tmp_path / "code"
    context.mkdir()
    code.mkdir()
    (context / "build.sh").write_text(
        "set -e\ntr a-z A-Z </pfs/source/text >/pfs/out/made\ncp run.sh /pfs/out/\n"
    )
    (context / "run.sh").write_text('cat /pfs/build/made "$words" >/pfs/out/$(basename "$words")\n')
    (context / "Containerfile").write_text(
        f"FROM {busybox_image}\nLABEL pachybox-test=builder\nWORKDIR /app\nCOPY *.sh /app/\n"
    )
    (code / "text").write_text("text ")
    tag = f"{images.PREFIX}/builder:1"
    made = images.run("build", "--isolation=chroot", "-t", tag, str(context))
    assert made.returncode == 0, made.stderr
    spec = {"pipeline": {"name": "own"}, "transform": {"build": {"image": tag}}, "input": WORDS}
    client.build_pipeline(spec, code)
    done(client, "own")
    assert client.get_file("own@master:/bee") == b"TEXT bee"
