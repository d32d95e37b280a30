"""The developer's loop: from a save to the first output of the new code, beside the program
started by itself."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import (
    PACHYBOX,
    Box,
    Row,
    below,
    fresh,
    median,
    note,
    report,
    running,
    scaled,
    short,
)
from tests import images

SAVES = 15
PROCESS_S, PODMAN_S = 1.0, 2.0


class Loop:
    """``pachybox dev`` at work on one file; what it tells, as it comes."""

    def __init__(self, process: subprocess.Popen[str], main: Path, code: str) -> None:
        self._process = process
        self._main = main
        self._code = code

    def saved(self, word: str) -> tuple[float, float]:
        """Seconds from a save to the first line of the saved code, and to the end of the run."""
        text = self._code.replace("WORD", word)
        start = time.perf_counter()
        self._main.write_text(text)
        return self._until(word, start)

    def _until(self, word: str, start: float) -> tuple[float, float]:
        first = 0.0
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if not first and word in event.get("line", {}).get("message", ""):
                first = time.perf_counter() - start
            if first and "end" in event:
                return first, time.perf_counter() - start
        raise RuntimeError("pachybox dev ended")

    def begun(self) -> float:
        """Seconds until the first run is over."""
        return self._until("first", time.perf_counter())[1]


@contextmanager
def loop(box: Box, main: Path, code: str, spec: object) -> Iterator[Loop]:
    """A session on a directory with one file, which begins well."""
    file = main.parent.parent / "spec.json"
    file.write_text(json.dumps(spec))
    main.write_text(code.replace("WORD", "first"))
    command = [str(PACHYBOX), "dev", str(file), "--src", str(main.parent), "--raw"]
    once = [str(PACHYBOX), "run", "datum", "-f", str(file), "--src", str(main.parent)]
    subprocess.run(once, env=box.env, stdout=subprocess.DEVNULL, check=True)
    process = subprocess.Popen(
        command, env=box.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield Loop(process, main, code)
    finally:
        process.terminate()
        process.communicate()


def measure(box: Box, what: str, program: str, code: str, most: float, image: str = "") -> None:
    """One row: saves of a program in one language, run by one runner."""
    note(f"dev, {what}")
    folder = fresh("dev") / "src"
    folder.mkdir()
    main = folder / "main"
    transform = {"cmd": [program, "main"], **({"image": image} if image else {})}
    spec = {
        "pipeline": {"name": "tried"},
        "input": {"pfs": {"repo": "tried-on", "glob": "/*"}},
        "transform": transform,
    }
    with loop(box, main, code, spec) as running_:
        begun = running_.begun()
        times = [running_.saved(f"word{number}") for number in range(scaled(SAVES, 5))]
    first, whole = (statistics.median(column) for column in zip(*times, strict=True))
    bare = _bare(program, main, image)
    beside = f"the program by itself {short(1000 * bare):g} ms"
    below(f"dev, {what}: save to first new output", first, "s", most, beside)
    report(Row(f"dev, {what}: save to the end of three datums", whole, "s", beside))
    report(Row(f"dev, {what}: start to the end of the first run", begun, "s", beside))


def _bare(program: str, main: Path, image: str) -> float:
    """Seconds that the program takes by itself, or in a container of its own."""
    if not image:
        return _median([program, str(main)])
    mount = ["-v", f"{main.parent}:/source:ro", "-w", "/source"]
    options = ["run", "--rm", "--network=none", *images.ulimits(), *mount, image]
    for runtime in ([], ["--runtime", "crun"], ["--runtime", "runc"]):
        command = ["podman", *runtime, *options, program, "main"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return _median(command)
    raise RuntimeError("podman runs no container")


def _median(command: list[str]) -> float:
    return median(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), 5)


def main() -> None:
    """Both runners; a shell's script and one of Python."""
    with running("dev", "auto") as box:
        with box.client() as client:
            client.create_repo("tried-on")
            with client.put("tried-on@master") as put:
                for number in range(10):
                    put.data(f"/{number}", b"x")
        shell, python = "echo WORD", "print('WORD')"
        measure(box, "process, sh", "sh", shell, PROCESS_S)
        measure(box, "process, Python", sys.executable, python, PROCESS_S)
        if reason := images.podman():
            note(f"dev, podman: {reason}")
            return
        measure(box, "podman, sh", "sh", shell, PODMAN_S, images.image("busybox"))


if __name__ == "__main__":
    main()
