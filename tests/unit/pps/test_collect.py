"""What a datum leaves in /pfs/out, taken into the store."""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pachybox.errors import InvalidArgument
from pachybox.model.files import Delete
from pachybox.model.ids import Hash
from pachybox.model.pps import DatumInput
from pachybox.pfs.service import Pfs
from pachybox.pps import collect
from pachybox.pps.collect import Collected, Collector
from pachybox.pps.layout import Presenter, Way
from pachybox.store.trees import EMPTY

from .world import an_input, commit, opened

BIG = 200_000


@dataclass
class Output:
    """An output directory beside a store, as a datum has it."""

    pfs: Pfs
    out: Path
    inputs: tuple[DatumInput, ...] = ()
    shown: Path | None = None

    def write(self, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            (self.out / path).parent.mkdir(parents=True, exist_ok=True)
            (self.out / path).write_bytes(data)

    def link(self, path: str, target: str | Path) -> None:
        (self.out / path).parent.mkdir(parents=True, exist_ok=True)
        (self.out / path).symlink_to(target)

    def collect(self) -> Collected:
        root_of = Presenter(self.pfs, Way.COPIES).root_of
        with self.pfs.blobs.session() as s:
            made = Collector(self.pfs, s, self.out, self.inputs, root_of, self.shown).collect()
            self.tree = self.pfs.trees.edit(EMPTY, made.edits, s.put)
            self.pfs.blobs.flush()
            s.keep()
        return made

    def content(self) -> dict[str, bytes]:
        """Collect, and all files by path."""
        self.collect()
        return self.stored(self.tree)

    def stored(self, tree: Hash) -> dict[str, bytes]:
        walk = self.pfs.trees.walk(tree)
        return {p[1:]: self.pfs.content.read_all(e) for p, e in walk if not e.is_dir}

    def refused(self) -> InvalidArgument:
        with pytest.raises(InvalidArgument) as e:
            self.collect()
        assert e.value.hint
        return e.value


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Output]:
    with opened(tmp_path / "box") as pfs:
        (tmp_path / "box" / "out").mkdir()
        yield Output(pfs, tmp_path / "box" / "out")


def test_files_small_and_large_are_kept_and_empty_directories_are_not(output: Output) -> None:
    files = {
        "a": b"hello",
        "empty": b"",
        "d/e/big": os.urandom(BIG),
        "d/limit": os.urandom(128 << 10),
        "d/over": os.urandom((128 << 10) + 1),
        "é [1]": b"x",
    }
    output.write(files)
    (output.out / "none/inside").mkdir(parents=True)
    made = output.collect()
    assert output.stored(output.tree) == files
    assert output.pfs.trees.get(output.tree, "/none") is None
    assert made.size == sum(map(len, files.values()))
    assert not made.empty


def test_an_empty_directory_can_serve_again(output: Output) -> None:
    made = output.collect()
    assert made.empty
    assert (made.edits, made.size) == ([], 0)
    (output.out / "d").mkdir()
    assert not output.collect().empty


def test_many_small_files_come_in_batches(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pachybox.pps.collect._BATCH", 10_000)
    files = {f"d{i % 5}/f{i}": b"%d" % i * 100 for i in range(300)}
    output.write(files)
    assert output.content() == files


def test_a_large_file_is_renamed_in(output: Output) -> None:
    data = os.urandom(BIG)
    output.write({"f": data})
    inode = (output.out / "f").stat().st_ino
    assert output.content() == {"f": data}
    entry = output.pfs.trees.get(output.tree, "/f")
    assert entry is not None
    assert output.pfs.blobs.locate(entry.hash).path.stat().st_ino == inode


def _by_a_second_name(path: Path) -> Callable[[], None]:
    os.link(path, path.parent.parent / "elsewhere")
    return lambda: (path.parent.parent / "elsewhere").write_bytes(b"evil")


def _by_an_open_descriptor(path: Path) -> Callable[[], None]:
    fd = os.open(path, os.O_RDWR)

    def write() -> None:
        os.pwrite(fd, b"evil", 0)
        os.close(fd)

    return write


def _by_a_mapping(path: Path) -> Callable[[], None]:
    with open(path, "r+b") as f:
        mapped = mmap.mmap(f.fileno(), 0)

    def write() -> None:
        mapped[:4] = b"evil"
        mapped.close()

    return write


@pytest.mark.parametrize("keep", [_by_a_second_name, _by_an_open_descriptor, _by_a_mapping])
def test_what_somebody_can_still_write_to_is_copied(
    output: Output, keep: Callable[[Path], Callable[[], None]]
) -> None:
    data = os.urandom(BIG)
    output.write({"f": data})
    write = keep(output.out / "f")
    assert output.content() == {"f": data}
    write()
    entry = output.pfs.trees.get(output.tree, "/f")
    assert entry is not None
    assert output.pfs.blobs.locate(entry.hash).path.read_bytes() == data


def test_hard_links_between_outputs_are_files_of_their_own(output: Output) -> None:
    data = os.urandom(BIG)
    output.write({"a": data, "s": b"small"})
    os.link(output.out / "a", output.out / "b")
    os.link(output.out / "s", output.out / "t")
    assert output.content() == {"a": data, "b": data, "s": b"small", "t": b"small"}


def test_links_to_inputs_are_references(output: Output) -> None:
    files = {"/a": b"a", "/d/x": b"x" * 500, "/d/e/big": os.urandom(BIG), "/other/y": b"y"}
    commit(output.pfs, "r", files)
    output.inputs = (
        an_input(output.pfs, "r", "/a"),
        an_input(output.pfs, "r", "/d"),
        an_input(output.pfs, "r", "/", "all"),
    )
    output.link("file", "/pfs/in/a")
    output.link("sub/up", "../../in/a")
    output.link("dir", "/pfs/in/d/")
    output.link("deep", "/pfs/in/d/e/big")
    output.link("whole", "/pfs/all")
    output.link("what is shown", "/pfs/in")
    output.link("through", "dir/x")
    output.link("dots", "./dir/e/../../a")  # up from /pfs/in/d is /pfs/in
    before = output.pfs.blobs.usage().object_bytes
    found = output.content()
    assert output.pfs.blobs.usage().object_bytes == before
    assert found["file"] == found["sub/up"] == found["dots"] == b"a"
    assert found["through"] == b"x" * 500
    assert {p: d for p, d in found.items() if p.startswith("dir/")} == {
        "dir/x": files["/d/x"],
        "dir/e/big": files["/d/e/big"],
    }
    assert found["deep"] == files["/d/e/big"]
    assert {p for p in found if p.startswith("whole/")} == {"whole" + p for p in files}
    assert {p for p in found if p.startswith("what is shown/")} == {
        f"what is shown/{p}" for p in ("a", "d/x", "d/e/big")
    }
    tree, source = output.tree, output.inputs[1].hash
    directory = output.pfs.trees.get(tree, "/dir")
    assert directory is not None
    assert directory.hash == source


def test_a_link_up_from_a_linked_directory_goes_where_the_kernel_goes(output: Output) -> None:
    commit(output.pfs, "r", {"/d/e/f": b"in"})
    output.inputs = (an_input(output.pfs, "r"),)
    output.write({"f": b"out"})
    output.link("dir", "/pfs/in/d/e")
    output.link("g", "dir/../e/f")
    assert output.content()["g"] == b"in"


def test_links_within_the_output(output: Output) -> None:
    big = os.urandom(BIG)
    output.write({"run1/a": b"1", "run1/sub/big": big, "run1/k": b""})
    (output.out / "none").mkdir()
    output.link("latest", "run1")
    output.link("again", "latest/sub")
    output.link("file", "/pfs/out/latest/a")
    output.link("run1/self", "a")
    output.link("nothing", "none")
    found = output.content()
    assert found["latest/a"] == found["latest/self"] == found["file"] == b"1"
    assert found["latest/sub/big"] == found["again/big"] == big
    assert not [p for p in found if p.startswith("nothing")]


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "../../../etc/passwd",
        "missing",
        "/pfs/in/not there",
        "/pfs/in/hidden",
        "/pfs/in/a/below a file",
        "/pfs/unknown/x",
        "/pfs",
        "/",
        "/pfs/out",
        ".",
        "..",
        "d",
        "d/l",
        "/pfs/../etc/passwd",
    ],
)
def test_links_to_elsewhere_are_refused_by_name(output: Output, target: str) -> None:
    commit(output.pfs, "r", {"/a": b"a", "/hidden": b"not of this datum"})
    output.inputs = (an_input(output.pfs, "r", "/a"),)
    output.write({"d/x": b""})
    output.link("d/l", target if target not in ("d", "d/l") else f"../{target}")
    error = output.refused()
    assert "cannot upload symlink /pfs/out/d/l -> " in error.message


def test_links_in_circles_are_refused(output: Output) -> None:
    output.link("a", "b")
    output.link("b", "a")
    assert "cannot upload symlink /pfs/out/a -> b" in output.refused().message


def test_directories_linked_in_circles_are_refused(output: Output) -> None:
    output.write({"x/f": b"", "y/f": b""})
    output.link("x/to", "../y")
    output.link("y/to", "../x")
    assert "cannot upload symlink" in output.refused().message


def test_links_that_double_and_double_are_refused(output: Output) -> None:
    output.write({"d00/f": b"x"})
    for n in range(1, 30):
        output.link(f"d{n:02d}/a", f"../d{n - 1:02d}")
        output.link(f"d{n:02d}/b", f"../d{n - 1:02d}")
    assert "at most" in output.refused().hint


def test_links_where_pfs_is_a_directory_of_the_machine(output: Output) -> None:
    commit(output.pfs, "r", {"/a": b"a"})
    output.inputs = (an_input(output.pfs, "r"),)
    output.shown = output.out.parent / "in"
    output.write({"f": b"f"})
    output.link("a", output.shown / "in/a")
    output.link("b", output.shown / "out/f")
    output.link("c", output.out / "f")
    output.link("d", "../in/a")
    assert output.content() == {"f": b"f", "a": b"a", "b": b"f", "c": b"f", "d": b"a"}


def test_links_to_inputs_without_content_mean_the_content(output: Output) -> None:
    """The reference: an empty_files input has names only, and a link stands for what is there."""
    commit(output.pfs, "r", {"/a": b"real"})
    output.inputs = (an_input(output.pfs, "r"),)
    output.link("a", "/pfs/in/a")
    assert output.content() == {"a": b"real"}


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))


@pytest.mark.parametrize("make", [_fifo, _socket])
def test_special_files_are_refused_by_name(
    output: Output, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    output.write({"d/a": b""})
    monkeypatch.chdir(output.out / "d")  # a socket's path is short
    make(Path("special"))
    assert output.refused().message == "cannot upload special file /pfs/out/d/special"


def test_names_that_are_no_utf8_are_refused(output: Output) -> None:
    output.write({"d/a": b""})
    (output.out / os.fsdecode(b"d/\xff\xfe")).write_bytes(b"x")
    error = output.refused()
    assert error.message == r"cannot upload /pfs/out/d/\xff\xfe: its name is not UTF-8"


def test_paths_too_long_are_refused(output: Output) -> None:
    directory = os.open(output.out, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=directory)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)
    assert "cannot upload /pfs/out/xxx" in output.refused().message


def test_directories_too_deep_are_refused(output: Output) -> None:
    (output.out / "/".join(["d"] * 501)).mkdir(parents=True)
    assert "deeper than 500" in output.refused().message


def test_files_and_directories_without_rights_are_read(output: Output) -> None:
    output.write({"d/small": b"s", "d/large": b"l" * BIG})
    (output.out / "d/small").chmod(0)
    (output.out / "d/large").chmod(0)
    (output.out / "d").chmod(0)
    assert output.content() == {"d/small": b"s", "d/large": b"l" * BIG}


def test_nothing_is_deleted_by_edits(output: Output) -> None:
    output.write({"a": b"a"})
    assert not [e for e in output.collect().edits if isinstance(e, Delete)]


def test_a_file_that_was_hardly_written_is_refused_before_it_is_read(output: Output) -> None:
    with open(output.out / "hole", "wb") as f:
        f.truncate(1 << 40)
        f.seek(1 << 39)
        f.write(b"x" * BIG)
    assert "/pfs/out/hole: 1TiB" in output.refused().message


def test_the_holes_of_all_files_count_together(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "_HOLES", 5 << 20)
    for name in ("a", "b"):
        with open(output.out / name, "wb") as f:
            f.write(b"x" * BIG)
            f.truncate(3 << 20)
    assert "/pfs/out/b" in output.refused().message


def test_a_few_holes_are_content(output: Output) -> None:
    with open(output.out / "a", "wb") as f:
        f.write(b"x" * BIG)
        f.truncate(1 << 20)
    assert output.content() == {"a": b"x" * BIG + bytes((1 << 20) - BIG)}
