"""A byte that changed on disk: found when it is read, named, never served."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from pachybox.box import Box
from pachybox.config import Config
from pachybox.errors import Corrupt
from pachybox.model.ids import Repo
from pachybox.store.blobs import BlobStore
from tests.boxes import RealBox
from tests.examples import many

OFFSETS = many(40)
LARGE = 1_500_000  # an object of several chunks, with a file of sums beside it
HEAD = 9000  # bytes at the start of a file, where headers are


def files() -> dict[str, bytes]:
    """What the box of these tests holds in data@master."""
    draw = random.Random(5)
    made = {f"/d{i % 4}/f{i:03}": draw.randbytes(draw.randrange(1, 4000)) for i in range(80)}
    made |= {f"/large{i}": draw.randbytes(LARGE + i) for i in range(2)}
    return made | {"/whole": draw.randbytes(200_000)}  # an object of one chunk, without sums


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with sealed packs, an open one, objects, sums, an index."""
    box = RealBox(tmp_path_factory.mktemp("pristine") / "home").start()
    made = files()
    box.client.create_repo("data")
    with box.client.put("data@master") as put:
        for path in list(made)[:50]:
            put.data(path, made[path])
    box.stop()
    store = BlobStore.open(box.home / "store")
    store.packs.seal()  # as it is when it is full
    store.close()
    box.start()
    with box.client.put("data@master") as put:
        for path in list(made)[50:]:
            put.data(path, made[path])
    box.kill()  # not stopped: the open pack and the metadata's log stay as they are
    box.socket.unlink()  # not to be copied
    for what in ("packs/*.pack", "index/*.idx", "objects/*/*.sum"):
        assert list((box.home / "store").glob(what)), f"the test wants {what}"
    return box.home


@dataclass(frozen=True)
class Flip:
    """One bit of one byte of a file."""

    path: Path
    offset: int
    bit: int

    def apply(self) -> None:
        """Change it; a second time changes it back."""
        mode = self.path.stat().st_mode
        self.path.chmod(0o600)
        with open(self.path, "r+b") as f:
            f.seek(self.offset)
            byte = f.read(1)[0]
            f.seek(self.offset)
            f.write(bytes([byte ^ 1 << self.bit]))
        self.path.chmod(mode)


def flip_in(home: Path, what: str, number: int) -> Flip:
    """A place in one of the files that match, every second one near the file's start."""
    draw = random.Random(f"{what} {number}")
    found = [p for p in sorted(home.glob(what)) if what.endswith(p.suffix)]
    path = found[number % len(found)]
    size = path.stat().st_size
    return Flip(path, draw.randrange(min(size, HEAD) if number % 2 else size), draw.randrange(8))


class Opened:
    """A box without doors on a copy of the data, and what it says of every file."""

    def __init__(self, home: Path) -> None:
        self.box = Box(Config(home, http_port=0))
        self.home = home

    def read(self, truth: dict[str, bytes]) -> list[str]:
        """Read every file: right bytes, or an error that names a file of the store. Returns
        the paths that gave an error."""
        failed = {}
        for path, data in truth.items():
            try:
                got = self._content(path)
            except Corrupt as e:
                failed[path] = e
                continue
            assert got == data, f"{path} was served with false content"
        assert all(str(self.home) in e.message and e.hint for e in failed.values()), failed
        return list(failed)

    def _content(self, path: str) -> bytes:
        file = self.box.reader.one_file(Repo("default", "data"), "master", path)
        return b"".join(self.box.reader.content(file))

    def faults(self) -> list[str]:
        """The things fsck finds an error in."""
        return [f.thing for f in self.box.fsck() if f.level == "error"]


def opened_or_refused(home: Path) -> Opened | Corrupt:
    try:
        return Opened(home)
    except Corrupt as e:
        return e


def names(told: list[str], path: str) -> bool:
    """Whether fsck names a commit of data and ``path``, or a directory above it."""
    found = [thing.partition(":")[2] for thing in told if "data@" in thing]
    return any(path == f or path.startswith(f.rstrip("/") + "/") for f in found)


KINDS = ("store/packs/*.pack", "store/objects/*/*", "store/objects/*/*.sum", "store/index/*.idx")


@pytest.mark.parametrize("what", KINDS)
def test_a_flipped_byte_is_never_served_by_a_box_that_opens_on_it(
    pristine: Path, in_memory: Path, what: str
) -> None:
    """Every read gives the right bytes or Corrupt; what no read can give, fsck names by
    commit and path. Derived files (sums, index) cost nothing: they are made anew."""
    truth = files()
    for number in range(OFFSETS):
        flip = flip_in(pristine, what, number)
        home = in_memory / str(number)
        shutil.copytree(pristine, home)
        Flip(home / flip.path.relative_to(pristine), flip.offset, flip.bit).apply()
        opened = Opened(home)
        try:
            failed = opened.read(truth)
            told = opened.faults()
            if what.endswith((".sum", ".idx")):
                assert failed == []
            for path in failed:
                assert names(told, path), (flip, path, told)
            assert opened.read(truth) == failed
        finally:
            opened.box.close()
        shutil.rmtree(home)


@pytest.mark.parametrize("what", KINDS)
def test_a_byte_that_flips_under_a_running_box_is_never_served(
    pristine: Path, in_memory: Path, what: str
) -> None:
    """The same with a box that had all files open and read before; when the byte is back, so
    is the file."""
    truth = files()
    home = in_memory / "home"
    shutil.copytree(pristine, home)
    opened = Opened(home)
    try:
        assert opened.read(truth) == []
        for number in range(OFFSETS, 2 * OFFSETS):
            flip = flip_in(home, what, number)
            flip.apply()
            opened.read(truth)
            if flip.path.exists():  # a damaged index is made anew under another name
                flip.apply()
            assert opened.read(truth) == [], flip
        assert opened.faults() == []
    finally:
        opened.box.close()


@pytest.mark.parametrize("stopped", [True, False])
def test_damaged_metadata_is_refused_or_still_right(
    pristine: Path, in_memory: Path, stopped: bool
) -> None:
    """After a stop the database file holds all, after a kill its log does. A flipped byte is
    told when the box opens or when it is met, with the file's name; nothing false is read."""
    truth = files()
    source = in_memory / "source"
    shutil.copytree(pristine, source)
    if stopped:
        Box(Config(source, http_port=0)).close()
    for number in range(OFFSETS):
        flip = flip_in(source, "meta.duckdb" if stopped else "meta.duckdb.wal", number)
        home = in_memory / str(number)
        shutil.copytree(source, home)
        Flip(home / flip.path.name, flip.offset, flip.bit).apply()
        opened = opened_or_refused(home)
        if isinstance(opened, Corrupt):
            assert str(home / "meta.duckdb") in opened.message
            assert "\n" not in str(opened)
            continue
        try:
            opened.read(truth)
            opened.faults()
        finally:
            opened.box.close()
        shutil.rmtree(home)


def damage(box: RealBox, content: bytes) -> Path:
    """Change a byte in the middle of ``content`` wherever the store holds it."""
    for path in sorted((box.home / "store").rglob("*")):
        if path.is_file() and (at := path.read_bytes().find(content)) >= 0:
            Flip(path, at + len(content) // 2, 3).apply()
            return path
    raise AssertionError("the content is not in the store")


COPY = {"cmd": ["sh"], "stdin": ["cp /pfs/data/* /pfs/out/"]}


@pytest.mark.parametrize("size", [2000, 300_000, LARGE])
def test_a_damaged_file_fails_its_readers_and_no_others(
    pristine: Path, tmp_path: Path, size: int
) -> None:
    """get file and the datum that reads it fail, naming the file of the store; fsck names
    commit and path; all other files are served; putting the content again heals it."""
    home = tmp_path / "home"
    shutil.copytree(pristine, home)
    box = RealBox(home).start()
    try:
        client = box.client
        data = random.Random(size).randbytes(size)
        client.put_file("data@master:/victim", data)
        client.put_file("data@master:/later", b"later")
        found = damage(box, data)
        for again in (False, True):
            with pytest.raises(Corrupt, match=found.name):
                client.get_file("data@master:/victim")
            told = [f for f in client.fsck() if f.get("level") == "error"]
            assert any("data@" in f["thing"] and ":/victim" in f["thing"] for f in told), told
            assert box.run("get", "file", "data@master:/victim").returncode != 0
            for path, right in files().items():
                assert client.get_file(f"data@master:{path}") == right
            if not again:
                box.kill()
                box.start()
                client = box.client
        spec = {"pipeline": {"name": "copy"}, "transform": COPY, "datum_tries": 1}
        source = {"pfs": {"repo": "data", "glob": "/{victim,later}"}}
        client.create_pipelines(json.dumps({**spec, "input": source}))
        job = client.wait_job(f"copy@{next(iter(client.list_job('copy'))).id}")
        assert (job.state, job.failed, job.processed) == ("JOB_FAILURE", 1, 1)
        assert found.name in job.reason
        client.put_file("data@master:/healed", data)
        assert client.get_file("data@master:/victim") == data
        assert [
            f for f in client.fsck() if f.get("level") == "error" and "data@" in f["thing"]
        ] == []
        job = client.wait_job(client.run_pipeline("copy"))
        assert job.state == "JOB_SUCCESS", job.reason
    finally:
        box.kill()
