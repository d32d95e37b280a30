"""The demo: a throw-away box turns photographs into edges and a montage, then one more comes.

It drives the box by the public command line only and prints every command it runs. The box lives
in a temporary folder and is stopped on any way out; what stays are the pictures in .demo/.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from string import Template
from typing import Any

HERE = Path(__file__).resolve().parent
PICTURES = HERE.parent.parent / ".demo"
FIRST = ["astronaut.png", "chelsea.png", "coffee.png", "coins.png", "rocket.jpg"]
ONE_MORE = "motorcycle_left.png"
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


class Failed(Exception):
    """The demo did not show what it promises; the text says why."""


class Signals:
    """SIGINT and SIGTERM end the demo, but not while the box starts: it could not be stopped."""

    def __init__(self) -> None:
        self.held = False
        self.came = 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: object) -> None:
        self.came = number
        if not self.held:
            sys.exit(128 + number)

    def __enter__(self) -> None:
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False
        if self.came:
            sys.exit(128 + self.came)


class Box:
    """A box in ``folder``, driven by the command line; nothing of the user's own box is touched."""

    def __init__(self, folder: Path, photos: Path) -> None:
        home = folder / "box"
        home.mkdir()
        (home / "box.toml").write_text('http_port = 0\ngrpc_port = 0\nrunner = "process"\n')
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PACHYBOX_")}
        self.env["PACHYBOX_HOME"] = str(home)
        self.program = Path(sys.executable).parent / "pachybox"
        self.photos = photos  # where commands run, so that they read as a user would type them

    def run(self, *args: str, check: bool = True) -> str:
        """What ``pachybox ARGS`` prints on stdout; Failed with its error when it exits non-zero."""
        try:
            done = subprocess.run(
                [self.program, *args],
                env=self.env,
                cwd=self.photos,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
                start_new_session=True,  # Ctrl-C is the demo's to handle, and to end with "down"
            )
        except (OSError, subprocess.TimeoutExpired) as e:
            raise Failed(str(e)) from e
        if check and done.returncode:
            raise Failed(f"pachybox {' '.join(args)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def show(self, *args: str) -> None:
        """Run a command in view: the command, then what it prints."""
        print(f"{DIM}$ pachybox {' '.join(args)}{PLAIN}", flush=True)
        for line in self.run(*args).splitlines():
            print(f"  {line}")

    def records(self, *args: str) -> list[dict[str, Any]]:
        """The records of a ``--raw`` listing."""
        text, records, decoder = self.run(*args, "--raw").strip(), [], json.JSONDecoder()
        while text:
            record, end = decoder.raw_decode(text)
            records.append(record)
            text = text[end:].lstrip()
        return records


def step(title: str) -> None:
    """Announce the next act."""
    print(f"\n{BOLD}{title}{PLAIN}")


def spec(name: str, folder: Path) -> str:
    """Write the spec with this machine's paths filled in; answer its place."""
    filled = Template((HERE / name).read_text()).substitute(PYTHON=sys.executable, EXAMPLE=HERE)
    (folder / name).write_text(filled)
    return name


def latest_job(box: Box, pipeline: str) -> tuple[int, int]:
    """How many datums the newest job ran, and how many it skipped."""
    job = box.records("list", "job", "-p", pipeline)[0]
    return int(job.get("dataProcessed", 0)), int(job.get("dataSkipped", 0))


def lineage(box: Box, ref: str, depth: int = 0) -> list[str]:
    """The commits ``ref`` was made from, as an indented list."""
    commit = box.records("inspect", "commit", ref)[0]
    name = f"{commit['commit']['repo']['name']}@{commit['commit']['id']}"
    lines = ["  " * depth + name]
    for parent in commit.get("directProvenance", ()):
        if parent["repo"].get("type", "user") == "user":
            lines += lineage(box, f"{parent['repo']['name']}@{parent['id']}", depth + 1)
    return lines


def expect(truth: bool, what: str) -> None:
    """Stop the demo unless ``truth`` holds."""
    if not truth:
        raise Failed(f"expected {what}")


def take(box: Box, name: str) -> Path:
    """Fetch the montage out of the box."""
    target = PICTURES / name
    box.show("get", "file", "montage@master:/montage.png", "-o", str(target))
    expect(target.stat().st_size > 10_000, f"a picture in {target}")
    return target


def demo(box: Box, folder: Path, signals: Signals) -> None:
    """The story, act by act."""
    step("1. Start a box, put photographs into a versioned repo")
    with signals:
        box.show("up", "--detach")
    box.show("create", "repo", "images")
    box.show("put", "file", "images@master", *(part for name in FIRST for part in ("-f", name)))

    step("2. Two pipelines: the edges of each photograph, then a montage of all")
    for name in ("edges.yaml", "montage.yaml"):
        box.show("create", "pipeline", "-f", spec(name, folder))
    box.show("wait", "commit", "montage@master")
    box.show("list", "file", "edges@master")
    ran, skipped = latest_job(box, "edges")
    expect((ran, skipped) == (len(FIRST), 0), f"{len(FIRST)} datums run, not {ran} + {skipped}")
    first = take(box, "montage-1.png")

    step("3. One more photograph: only what is new is computed")
    box.show("put", "file", "images@master", "-f", ONE_MORE)
    box.show("wait", "commit", "montage@master")
    box.show("list", "job", "-p", "edges")
    ran, skipped = latest_job(box, "edges")
    expect((ran, skipped) == (1, len(FIRST)), f"1 datum run and {len(FIRST)} skipped")
    print(f"  -> {BOLD}{ran} datum ran, {skipped} were skipped{PLAIN}: their results were known.")
    second = take(box, "montage-2.png")

    step("4. Where did the montage come from? Every commit knows what it was made of")
    lines = lineage(box, "montage@master")
    print("\n".join(f"  {line}" for line in lines))
    repos = {line.strip().partition("@")[0] for line in lines}
    expect(repos == {"montage", "edges", "images"}, "montage made of edges and images")
    print(f"\n{BOLD}Done.{PLAIN} The pictures, before and after:\n  {first}\n  {second}")


def main() -> int:
    """Run the demo; 0 when everything held, 1 otherwise. The box is down either way."""
    signals = Signals()
    package = importlib.util.find_spec("skimage")  # located only: its import takes a second
    if package is None or package.origin is None:
        print("the photographs of scikit-image are missing: run make setup", file=sys.stderr)
        return 1
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir()
    with tempfile.TemporaryDirectory(prefix="pachybox-demo-") as name:
        folder = Path(name)
        photos = folder / "photos"
        photos.mkdir()
        for photo in (*FIRST, ONE_MORE):
            shutil.copy(Path(package.origin).parent / "data" / photo, photos)
        box = Box(folder, photos)
        try:
            demo(box, photos, signals)
        except Failed as e:
            print(f"\nThe demo failed: {e}", file=sys.stderr)
            return 1
        finally:
            signals.held = True
            box.run("down", check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
