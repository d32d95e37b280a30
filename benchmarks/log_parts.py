"""A job's log of 200 MB: its end, a window far inside, and looking through all of it."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.harness import Box, below, median, note, running, scaled
from pachybox.client import Client
from pachybox.client.log_values import LogEntry, LogPart
from pachybox.pps.logs import heading
from pachybox.worker.log import stamp

MB = 10**6
SIZE = 200 * MB
LINES = 500
DATUM = 10 * MB  # of lines; the log of a datum has 16 MiB at most


def job(client: Client, name: str) -> str:
    """A job that is over."""
    client.create_repo(f"{name}-in")
    client.put_file(f"{name}-in@master:/f", b"f")
    client.create_pipeline(name, input={"pfs": {"repo": f"{name}-in", "glob": "/"}}, cmd=["true"])
    (found,) = client.list_job(name)
    client.wait_job(str(found))
    return str(found)


def write(folder: Path, size: int, workers: int) -> None:
    """Lines of ``workers``, by turns, as their programs would have printed them."""
    dice = random.Random(0)
    files = [open(folder / f"{number}.jsonl", "ab") for number in range(workers)]  # noqa: SIM115
    written, second, step, datums = 0, 1.8e9, 0, 0
    while written < size:
        if written >= datums * DATUM:
            for file in files:
                datums += 1
                began = datetime.fromtimestamp(second, UTC)
                written += file.write(heading(f"{datums:064x}", "datum started", began))
        second += dice.random() * 0.001
        text = f"step {step}: read /data/in/part-{step % 999:05d}.csv, {step * 7} rows, ok"
        line = f'{{"ts": "{stamp(second)}", "user": true, "message": "{text}"}}\n'.encode()
        dice.choice(files).write(line)
        written += len(line)
        step += 1
    for file in files:
        file.close()


def peer(*command: str) -> str:
    """How long a program takes for the like, in words."""
    if shutil.which(command[0]) is None:
        return ""
    run = partial(subprocess.run, command, stdout=subprocess.DEVNULL, check=False)
    return f"{command[0]}: {1000 * median(lambda: run(), 3):,.3g} ms"


def measure(box: Box, workers: int, size: int) -> None:
    """The rows of a log in ``workers`` files."""
    name = f"log{workers}"
    with box.client() as client:
        made = job(client, name)
        folder = box.home / "logs" / "default" / name / made.partition("@")[2]
        note(f"{size // MB} MB of lines in {workers} files")
        write(folder, size, workers)
        read: Callable[..., LogPart] = partial(client.read_log, job=made, lines=LINES)
        find: Callable[..., LogEntry | None] = partial(client.find_log, job=made)
        whole = read().size
        dice = random.Random(1)
        what = f"log of {size // MB} MB, {workers} worker{'s' * (workers > 1)}"
        one = str(folder / "0.jsonl") if workers == 1 else ""
        tail = peer("tail", f"-n{LINES}", one) if one else ""
        below(f"{what}: the last {LINES} lines", 1000 * median(read, 9), "ms", 50, tail)
        far = median(lambda: read(after=dice.randrange(whole)), 9)
        below(f"{what}: {LINES} lines anywhere", 1000 * far, "ms", 50)
        for kind, pattern, regex, command in (
            ("a text", "never printed", False, ("grep", "-F")),
            ("a regular expression", r"rows.*not ok|fail(ed|ure)", True, ("grep", "-E")),
        ):
            took = median(partial(find, pattern=pattern, regex=regex), 3)
            beside = peer(*command, pattern, one) if one else ""
            below(f"{what}: {kind} that is nowhere", 1000 * took, "ms", 1000, beside)


def main() -> None:
    """One box, logs of one worker and of four."""
    with running("log-parts") as box:
        for workers in (1, 4):
            measure(box, workers, scaled(SIZE, MB))


if __name__ == "__main__":
    main()
