"""Home on a terminal: how soon it is there, and what it costs while nobody touches it.

``pachybox tui`` runs on a pseudo-terminal of 120x40, on a box of its own. "Painted" is from the
start of the process to the frame of Home, "with data" to the last pane's count. At rest the
processor time of the process, its threads included, and the bytes it writes are taken over ten
seconds. Beside it stands ``python -c "import textual.app"``, which any such program pays. Then the
box is killed and started again beneath it.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from benchmarks.harness import PACHYBOX, Box, below, note, running, scaled, short, timed

ROUNDS = 5
REST_S = 10.0
PATIENCE_S = 60.0
SIZE = (40, 120)  # rows, columns


@dataclass(slots=True)
class Screen:
    """A program on a pseudo-terminal."""

    process: subprocess.Popen[bytes]
    fd: int
    begun: float
    seen: bytes = b""
    written: int = 0

    def read(self, seconds: float) -> bool:
        """Take what comes within ``seconds``; whether something came."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        part = os.read(self.fd, 1 << 16)
        self.seen += part
        self.written += len(part)
        return True

    def until(self, word: str) -> float:
        """Seconds from the start until ``word`` was written."""
        while word.encode() not in self.seen:
            if not self.read(PATIENCE_S):
                raise TimeoutError(f"{word!r} never came")
        return time.perf_counter() - self.begun

    def soon(self, word: str) -> float:
        """Seconds from now until ``word`` is written anew."""
        self.seen, begin = b"", time.perf_counter()
        self.until(word)
        return time.perf_counter() - begin

    def rest(self, seconds: float) -> tuple[float, float]:
        """Leave it alone: the share of a processor it takes, and the bytes a second it writes."""
        self.written, begin, cpu = 0, time.perf_counter(), self.cpu_s()
        while (left := begin + seconds - time.perf_counter()) > 0:
            self.read(left)
        took = time.perf_counter() - begin
        return (self.cpu_s() - cpu) / took, self.written / took

    def cpu_s(self) -> float:
        """Processor seconds of the process so far."""
        with open(f"/proc/{self.process.pid}/schedstat") as file:
            main = int(file.read().split()[0]) / 1e9
        tasks = os.listdir(f"/proc/{self.process.pid}/task")
        others = [t for t in tasks if int(t) != self.process.pid]
        for task in others:
            with open(f"/proc/{self.process.pid}/task/{task}/schedstat") as file:
                main += int(file.read().split()[0]) / 1e9
        return main

    def memory_mb(self) -> float:
        """What it has in memory."""
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def terminal(box: Box, *args: str) -> Iterator[Screen]:
    """``pachybox tui`` on the box; ended afterwards."""
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    env = {
        **box.env,
        "TERM": "xterm-256color",
        "XDG_CONFIG_HOME": str(box.home / "config"),
        "LC_ALL": "C.UTF-8",
    }
    begun = time.perf_counter()
    process = subprocess.Popen(
        [PACHYBOX, "tui", *args], stdin=other, stdout=other, stderr=other, env=env
    )
    os.close(other)
    screen = Screen(process, main, begun)
    try:
        yield screen
    finally:
        process.kill()
        process.wait()
        os.close(main)


def first_paint(box: Box) -> None:
    """The rows of opening."""
    painted, data, cpu = [], [], []
    for _ in range(ROUNDS):
        with terminal(box) as screen:
            painted.append(screen.until("Running and recent jobs"))
            data.append(screen.until("a day"))
            cpu.append(screen.cpu_s())
    textual = median(
        timed(lambda: subprocess.run([sys.executable, "-c", "import textual.app"], check=True))
        for _ in range(ROUNDS)
    )
    beside = f"import of textual {short(textual)} s"
    below("Home painted", min(painted), "s", 0.8, beside)
    spent = f"{short(min(cpu))} s of the processor"
    below("Home with data", min(data), "s", 1.2, f"{spent}, {beside}")


def found_again(box: Box) -> None:
    """The rows of a box that is killed and comes back."""
    lost, back = [], []
    for _ in range(ROUNDS):
        with terminal(box) as screen:
            screen.until("a day")
            os.kill(box.pid, signal.SIGKILL)
            lost.append(screen.soon("box lost:"))
            box.up()
            back.append(screen.soon("live"))
    below("Box killed, until the terminal says so", max(lost), "s", 3.0)
    below("Box back, until the terminal is live", max(back), "s", 2.0)


def idle(box: Box, name: str, most: float) -> None:
    """The rows of a Home that nobody touches."""
    with terminal(box) as screen:
        screen.until("a day")
        screen.rest(3.0)  # what is loaded on first use is
        share, written = screen.rest(REST_S)
        below(f"Home at rest, {name}", share * 100, "%", most, f"{written:.0f} bytes/s written")
        note(f"Home, {name}: {screen.memory_mb():.0f} MB")


def slow_jobs(box: Box, count: int) -> None:
    """So many jobs of many short datums each."""
    client = box.client()
    client.create_repo("work")
    with client.put("work@master") as put:
        for number in range(200):
            put.data(f"/{number:03}", b"x")
    for number in range(count):
        client.create_pipelines(
            {
                "pipeline": {"name": f"slow-{number}"},
                "input": {"pfs": {"repo": "work", "glob": "/*"}},
                "transform": {"cmd": ["sleep", "0.5"]},
            }
        )


def many_pipelines(box: Box, count: int) -> None:
    """Pipelines that each read one of those before; none has anything to do."""
    client = box.client()
    client.create_repo("source")
    texts = []
    for number in range(count):
        reads = "source" if number < 20 else f"p{number - 20:03}"
        texts.append(
            f"pipeline: {{name: p{number:03}}}\n"
            f'input: {{pfs: {{repo: {reads}, glob: "/*"}}}}\n'
            'transform: {cmd: ["true"]}\n'
        )
    client.create_pipelines("---\n".join(texts))


def large(count: int) -> None:
    """The rows of a box with many pipelines."""
    with running("terminal, many pipelines") as box:
        note(f"making {count} pipelines")
        many_pipelines(box, count)
        took, cpu = [], []
        for _ in range(3):
            with terminal(box) as screen:
                took.append(screen.until("a day"))
                cpu.append(screen.cpu_s())
        spent = f"{short(min(cpu))} s of the processor"
        below(f"Home of {count} pipelines, with data", min(took), "s", 1.7, spent)
        idle(box, f"{count} pipelines, nothing running", 2.0)


def main() -> None:
    """Print all rows."""
    with running("terminal") as box:
        box.cli("create", "repo", "raw")
        first_paint(box)
        found_again(box)
        idle(box, "nothing running", 1.0)
        slow_jobs(box, 5)
        idle(box, "5 running jobs", 8.0)
    large(scaled(500, 50))


if __name__ == "__main__":
    main()
