"""Archives of a spout program, as the reader of its pipe gets them."""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest

from pachybox.client.spout import SpoutManager


@contextmanager
def reading(out: Path) -> Iterator[list[bytes]]:
    """What comes through the pipe while the block runs: all of it, one element, when it is over."""
    os.mkfifo(out)
    kept = os.open(out, os.O_RDWR)  # as the box does: a writer that ends is no end
    got: list[bytes] = []
    with open(out, "rb") as pipe:
        reader = threading.Thread(target=lambda: got.append(pipe.read()))
        reader.start()
        yield got
        os.close(kept)
        reader.join(10)


def archives(stream: bytes) -> list[dict[str, bytes]]:
    """The files of each archive of archives written back to back."""
    found, source = [], BytesIO(stream)
    while source.tell() < len(stream):
        at = source.tell()
        with tarfile.open(fileobj=source, mode="r:") as archive:
            found.append({m.name: archive.extractfile(m).read() for m in archive})  # type: ignore[union-attr]
        source.seek(at + tarfile.RECORDSIZE)
    return found


def test_each_block_is_one_archive_with_its_marker(tmp_path: Path) -> None:
    spout = SpoutManager("mark", tmp_path)
    with reading(tmp_path / "out") as got:
        for number in range(2):
            with spout.commit() as commit:
                commit.put_file_from_bytes(f"dir/{number}", b"%d" % number)
                commit.put_file_from_fileobj("half", 2, BytesIO(b"abcd"))
                commit.put_marker_from_bytes(b"at %d" % number)
    assert archives(got[0]) == [
        {"dir/0": b"0", "half": b"ab", "mark": b"at 0"},
        {"dir/1": b"1", "half": b"ab", "mark": b"at 1"},
    ]


def test_a_block_that_raises_writes_nothing(tmp_path: Path) -> None:
    spout = SpoutManager(pfs_directory=tmp_path)

    def fail() -> None:
        with spout.commit() as commit:
            commit.put_file_from_bytes("a", b"x" * 3_000_000)
            raise ZeroDivisionError

    with reading(tmp_path / "out") as got, pytest.raises(ZeroDivisionError):
        fail()
    assert got == [b""]


def test_the_marker_is_read_as_the_box_lays_it(tmp_path: Path) -> None:
    (tmp_path / "mark").write_text("line 7")
    with SpoutManager("mark", tmp_path).marker() as file:
        assert file.read() == "line 7"
    with pytest.raises(ValueError, match="give SpoutManager its marker_filename"):
        SpoutManager(None, tmp_path).marker().__enter__()
