"""One count in three languages, by programs of this machine and in containers of images."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import images
from tests.boxes import RealBox
from tests.flow.test_pipelines import contents, last_job

LANGUAGES = Path(__file__).resolve().parents[2] / "examples" / "languages"
TEXTS = {
    "/hamlet": "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind\n",
    "/merchant": "The quality of mercy is not strain'd,\nIt droppeth as the gentle rain\n",
    "/no letters": "1 2 3\n" * 3,
    "/long": "Never, never, never, never, never!\n" * 500,
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box that has the example's C program in its PATH, and its texts."""
    folder = tmp_path_factory.mktemp("languages")
    (folder / "wordcount").symlink_to(images.static(images.WORDCOUNT))
    path = f"{folder}:{os.environ['PATH']}"
    made = RealBox(folder / "home", {"PATH": path}, "workers = 2\n").start()
    made.client.create_repo("texts")
    with made.client.put("texts@master") as put:
        for name, text in TEXTS.items():
            put.data(name, text.encode())
    yield made
    made.stop()


def counted(text: str) -> bytes:
    """What every language must make of a text."""
    counts = sorted(Counter(re.findall("[a-z]+", text.lower())).items())
    return "".join(f"{count} {word}\n" for word, count in counts).encode()


def languages() -> list[dict[str, Any]]:
    """The specs of the example."""
    texts = [(LANGUAGES / name).read_text() for name in ("languages.yaml", "c.yaml")]
    return [spec for text in texts for spec in yaml.safe_load_all(text)]


def right(box: RealBox, pipelines: list[str]) -> None:
    """Every pipeline has counted every text."""
    expected = {name: counted(text) for name, text in TEXTS.items()}
    for name in pipelines:
        job = last_job(box, name)
        assert (job.state, job.processed) == ("JOB_SUCCESS", len(TEXTS)), f"{name}: {job.reason}"
        assert contents(box, f"{name}@master") == expected, name


def test_three_languages_count_the_same_with_programs_of_this_machine(box: RealBox) -> None:
    """The specs of the example as they stand; their images do not matter."""
    for spec in languages():
        box.client.create_pipelines(json.dumps(spec), runner="process")
    right(box, [spec["pipeline"]["name"] for spec in languages()])


def test_three_languages_count_the_same_in_containers(
    box: RealBox, busybox_image: str, python_image: str, scratch_image: str, static_image: str
) -> None:
    """C in an image of one file, and in one that has users and no shell."""
    tags = {
        "count-shell": busybox_image,
        "count-python": python_image,
        "count-c": scratch_image,
        "count-static": static_image,
    }
    specs = {spec["pipeline"]["name"]: spec for spec in languages()}
    specs["count-static"] = json.loads(json.dumps(specs["count-c"]))
    for name, spec in specs.items():
        spec["transform"]["image"] = tags[name]
        spec["pipeline"]["name"] = f"{name}-image"
        box.client.create_pipelines(json.dumps(spec))
    right(box, [f"{name}-image" for name in specs])
