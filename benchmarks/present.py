"""Inputs laid out for a datum, and mounted as the worker does it: large ones, and many."""

from __future__ import annotations

import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness import Row, below, fresh, label, note, report, scaled, settle, timed
from benchmarks.offline import commit, opened, put, whole_repo
from pachybox.model.files import Entry, Kind
from pachybox.pfs.service import Pfs
from pachybox.pps.layout import Presenter, Way
from pachybox.worker import kernel
from pachybox.worker.layout import Layout
from tests.mounts import mount_image, unmount, why_not

TIMES = 5


class Shown:
    """A layout under a directory, by the mounts that a worker makes for it."""

    def __init__(self, layout: Layout, at: Path) -> None:
        self._done: list[Path] = []
        if layout.image is not None:
            mount_image(layout.image, layout.devices, at)
        else:
            kernel.mount("tmpfs", str(at), "tmpfs", 0, "mode=755")
        self._done.append(at)
        for path in layout.dirs:
            (at / path).mkdir()
        for path, data in layout.files:
            (at / path).write_bytes(data)
        for path, source in layout.links:
            if layout.image is None:
                (at / path).touch()
            kernel.bind(source, str(at / path), readonly=True)
            self._done.append(at / path)

    def close(self) -> None:
        """Take everything away."""
        for path in reversed(self._done):
            unmount(path)


def large(count: int, size: int) -> None:
    """Files that are objects of the store; sparse, since nothing is to be read."""
    name = f"a {count * size / (1 << 30):g} GiB input of {count} files presented to a datum"
    with opened("present-large") as (pfs, folder):
        note(f"{count} large files")
        with pfs.blobs.session() as s:
            edits = []
            for n in range(count):
                path = folder / "new"
                with open(path, "wb") as f:
                    f.write(b"%08d" % n)
                    f.truncate(size)
                digest, _ = s.adopt(path)
                edits.append(put(f"/f{n:04d}", Entry(f"f{n:04d}", Kind.FILE, digest, size)))
            commit(pfs, s, "large", edits)
        before = written()
        times = [present_once(pfs, "large", folder) for _ in range(TIMES)]
        below(name, statistics.median(times), "s", 0.2, f"{written() - before} bytes written")


def present_once(pfs: Pfs, repo: str, folder: Path) -> float:
    """Seconds to lay out a whole commit and to show it."""
    one = whole_repo(pfs, repo)
    at = Path(tempfile.mkdtemp(dir=folder))
    with ExitStack() as after:

        def present() -> None:
            got = Presenter(pfs, Way.IMAGE).present([one], Path(tempfile.mkdtemp(dir=folder)))
            after.callback(got.close)
            after.callback(Shown(got.layout, at).close)

        return timed(present)


def written() -> int:
    """Bytes that this process has caused to be written to disks."""
    text = Path("/proc/self/io").read_text()
    return int(text.partition("\nwrite_bytes: ")[2].split()[0])


def many(count: int, per_folder: int) -> None:
    """Small files: the whole way, its parts, and reading what is shown."""
    files = f"{label(count)} small files (1 KiB) as one datum's input"
    with opened("present-many") as (pfs, folder):
        note(f"{label(count)} small files")
        contents = [os.urandom(1024) for _ in range(count)]
        paths = [f"/d{n // per_folder:04d}/f{n % per_folder:04d}" for n in range(count)]
        with pfs.blobs.session() as s:
            hashes = s.put_many(contents)
            entries = [
                Entry(path.rsplit("/", 1)[1], Kind.FILE, h, 1024)
                for path, h in zip(paths, hashes, strict=True)
            ]
            commit(pfs, s, "many", map(put, paths, entries))
        root = whole_repo(pfs, "many").hash
        for state in ("open", "sealed"):
            times = [present_once(pfs, "many", folder) for _ in range(TIMES)]
            walks = [timed(lambda: list(pfs.trees.rows(root))) for _ in range(TIMES)]
            us, walk = (statistics.median(x) / count * 1e6 for x in (times, walks))
            below(f"{files}, {state} pack", us, "us a file", 4, f"bare walk {walk:.2f} us")
            pfs.blobs.packs.seal()
        read(pfs, folder, paths, contents, files)


def read(pfs: Pfs, folder: Path, paths: list[str], contents: list[bytes], name: str) -> None:
    """Every file opened and read once: through the image, and as files of the disk."""
    copies = fresh("copies")
    for path, data in zip(paths, contents, strict=True):
        (copies / path[1:]).parent.mkdir(exist_ok=True)
        (copies / path[1:]).write_bytes(data)
    settle()
    at = Path(tempfile.mkdtemp(dir=folder))
    with Presenter(pfs, Way.IMAGE).present([whole_repo(pfs, "many")], folder / "w") as got:
        shown = Shown(got.layout, at)
        image_s = timed(lambda: read_all(str(at / "in"), paths))
        again_s = timed(lambda: read_all(str(at / "in"), paths))
        shown.close()
    disk_s = timed(lambda: read_all(str(copies), paths))
    us = 1e6 / len(paths)
    beside = f"copies on the disk, cached: {disk_s * us:.2f} us; again {again_s * us:.2f} us"
    report(Row(f"{name}: opened and read", image_s * us, "us a file", beside))


def read_all(base: str, paths: list[str]) -> None:
    """Open, read and close every file."""
    buffer = bytearray(4096)
    for path in paths:
        fd = os.open(base + path, os.O_RDONLY)
        assert os.readv(fd, (buffer,)) == 1024
        os.close(fd)


def main() -> None:
    """All of them."""
    if reason := why_not():
        note(f"not measured: {reason}")
        return
    large(100, scaled((10 << 30) // 100, 1 << 20))
    many(scaled(100_000), 1000)


if __name__ == "__main__":
    main()
