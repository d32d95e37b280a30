"""Pictures of the views for the documents: ``python -m tui.pictures [FOLDER]``.

A box of its own, in a folder that goes again, holds the demo and a pipeline that fails; the views
are opened on it and written as SVG. The box is called lab-01, and its machine is made up.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from textual.pilot import Pilot

from pachybox.client import AsyncClient, Client
from pachybox.client.view_values import Machine, Summary
from pachybox.errors import PachyboxError
from tui.app import PachyApp
from tui.choices import Choices
from tui.places import HOME, INGEST, JOB, LINEAGE, PIPELINE, REPO, Place

FOLDER = Path(__file__).parent.parent / "docs" / "pictures"
SIZE = (120, 40)
_LONG_S = 60.0
_FAILING = """
pipeline: {name: export}
description: "One line a sensor, for the shop floor."
input: {pfs: {repo: sensors, glob: "/*"}}
transform:
  cmd: [sh]
  stdin:
    - echo "open $(ls /pfs/sensors)"
    - echo "WARN column shelf is empty, using 0"
    - echo "ERROR line 7, s6 has no place on the shop floor"
    - exit 7
datum_tries: 1
"""
_GIB = 1 << 30
_MACHINE = Machine(
    cpu=0.31,
    memory_used=int(9.2 * _GIB),
    memory_total=16 * _GIB,
    disk_used=412 * _GIB,
    disk_total=931 * _GIB,
    disk_free=519 * _GIB,
)


class _Lab(AsyncClient):
    """The box under the name of the documents."""

    async def summary(self) -> Summary:
        found = await super().summary()
        return replace(found, name="lab-01", machine=_MACHINE)


class _Picture(NamedTuple):
    """``keys`` are pressed at the place; ``ready`` are words that say that all is there."""

    name: str
    place: Place
    ready: tuple[str, ...]
    keys: tuple[str, ...] = ()
    then: tuple[str, ...] = ()


def _pictures(failed: str) -> list[_Picture]:
    return [
        _Picture("home", Place(HOME), ("Pipelines 5", "export", "Needs attention", "success")),
        _Picture("repo", Place(REPO, "stats", "master"), ("s1.csv", "[preview]", "diff")),
        _Picture("pipelines", Place(PIPELINE), ("report", "export", "failure")),
        _Picture("pipeline", Place(PIPELINE, "stats"), ("reads readings", "transform", "success")),
        _Picture("edit", Place(PIPELINE, "stats", pane="edit"), ("No problems", "datums")),
        _Picture("job", Place(JOB, "export", failed), ("no place on the shop floor", "failed")),
        _Picture("ingest", Place(INGEST), ("tick", "@every 20s", "read 8 sensors")),
        _Picture("lineage", Place(LINEAGE, "report", "master"), ("came from", "readings")),
        _Picture("palette", Place(HOME), ("export",), ("ctrl+p",), ("tick now",)),
        _Picture("keys", Place(JOB), ("export",), ("question_mark",), ("find a key",)),
    ]


def _until(look: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _LONG_S
    while not look():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.1)


def _filled(address: str) -> str:
    """Load the demo and the pipeline that fails; the failed job's id."""
    box = Client(address)

    def answers() -> bool:
        try:
            return box.healthy()
        except PachyboxError:
            return False

    _until(answers, "the box does not answer")
    box.create_demo()
    box.create_pipelines(_FAILING)

    def worked() -> bool:
        states = {job.pipeline: job.state for job in reversed(box.page_job().rows)}
        made = ("readings", "stats", "alerts", "report")
        return states.get("export") == "JOB_FAILURE" and all(
            states.get(name) == "JOB_SUCCESS" for name in made
        )

    _until(worked, "the jobs do not end")
    failed = box.page_job(pipeline="export").rows[0].id
    box.close()
    return failed


def _text(app: PachyApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


async def _seen(app: PachyApp, pilot: Pilot[int], words: tuple[str, ...]) -> None:
    end = time.monotonic() + _LONG_S
    while not all(word in _text(app) for word in words):
        if time.monotonic() > end:
            raise TimeoutError(f"{words} are not all in\n{_text(app)}")
        await pilot.pause(0.05)


async def _taken(address: str, picture: _Picture) -> str:
    """One view as SVG."""
    app = PachyApp(
        lambda: _Lab(address), start=picture.place, choices=Choices(Path("/dev/null/none"))
    )
    async with app.run_test(size=SIZE) as pilot:
        await _seen(app, pilot, ("live", *picture.ready))
        await pilot.press(*picture.keys)
        await _seen(app, pilot, picture.then)
        await pilot.pause(0.5)
        svg = app.export_screenshot(title=f"pachybox: {picture.name}")
    # A document loads no font from elsewhere: that of the reader's machine does.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def main(folder: Path = FOLDER) -> None:
    """Take all pictures anew."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pachybox-") as place:
        home = Path(place) / "home"
        home.mkdir(mode=0o700)
        (home / "box.toml").write_text("http_port = 0\ngrpc_port = 0\n")
        (home / "box.toml").chmod(0o600)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PACHYBOX")}
        env = {**kept, "PACHYBOX_HOME": str(home)}
        os.environ.update(XDG_STATE_HOME=place, XDG_CONFIG_HOME=place, COLORTERM="truecolor")
        os.environ.update(TERM="xterm-256color", TZ="UTC")
        os.environ.pop("NO_COLOR", None)
        with open(os.devnull, "wb") as nowhere:
            box = subprocess.Popen(
                [sys.executable, "-m", "pachybox.daemon"], env=env, stdout=nowhere, stderr=nowhere
            )
        try:
            address = str(home / "run" / "box.sock")
            for picture in _pictures(_filled(address)):
                svg = asyncio.run(_taken(address, picture))
                (folder / f"{picture.name}.svg").write_text(svg, encoding="utf-8")
                sys.stdout.write(f"{picture.name}.svg\n")
        finally:
            box.terminate()
            box.wait(60)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
