"""A runner whose user code is Python in this process, and what that code makes of its inputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath

from pachybox.pps.runners.base import (
    DatumResult,
    DatumTask,
    Finding,
    Presents,
    WorkerSpec,
)

Files = Mapping[str, bytes]


def output(datum: str, files: Files) -> dict[str, bytes] | None:
    """What the code writes for a datum that sees ``files``; None: it fails.

    A file of the datum's own, and one by the name of each content that begins with ``w``,
    which other datums may write too, or need as a directory.
    """
    if {b"bad", b"no"} & set(files.values()):
        return None
    made = {f"/own/{datum[:12]}": b"".join(files[path] for path in sorted(files))}
    for path, content in sorted(files.items()):
        if content.startswith(b"w"):
            made[f"/by/{content.decode()}"] = path.encode()
    return None if mixed(made) else made


def mixed(files: Files) -> bool:
    """Whether a path is a file and a directory."""
    return any(str(above) in files for path in files for above in PurePath(path).parents)


def is_saved(files: Files) -> bool:
    """Whether err_cmd saves a datum that fails."""
    return b"no" not in files.values()


class CopyWorker:
    """See runners.base.Worker."""

    alive = True

    def __init__(self, pause: Callable[[], None]) -> None:
        self._under: deque[DatumTask] = deque()
        self._cancelled: set[int] = set()
        self._pause = pause

    def serve(self, spec: WorkerSpec) -> None:
        """It copies for whichever pipeline."""

    def start(self, task: DatumTask) -> None:
        self._under.append(task)

    def finish(self) -> DatumResult:
        task = self._under[0]
        self._pause()
        self._under.popleft()
        if id(task) in self._cancelled:
            self._cancelled.discard(id(task))
            return DatumResult(False, reason="killed", cancelled=True)
        top = task.layout.tree
        assert top is not None
        files = {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}
        if task.err_cmd:
            return DatumResult(True) if is_saved(files) else DatumResult(False, reason="not saved")
        made = output(task.id, files)
        if made is None:
            return DatumResult(False, reason="bad content")
        for path, content in made.items():
            file = Path(f"{task.out}{path}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return DatumResult(True)

    def run(self, task: DatumTask, cancelled: Callable[[], bool] = lambda: False) -> DatumResult:
        self.start(task)
        return self.finish()

    def cancel(self) -> None:
        self._cancelled.update(id(task) for task in list(self._under))

    def close(self) -> None:
        self.cancel()


class CopyRunner:
    """See runners.base.Runner. ``pause`` is called while a datum runs."""

    name = "copy"
    presents = Presents(links=False, image=False)

    def __init__(self, pause: Callable[[], None] = lambda: None) -> None:
        self._pause = pause

    def probe(self) -> list[Finding]:
        return []

    def start(self, spec: WorkerSpec) -> CopyWorker:
        return CopyWorker(self._pause)
