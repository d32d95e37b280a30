"""Framing: what is written reads back, whatever the sizes and whatever happens to the files."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.client.frames import (
    END,
    FRAME_BYTES,
    INLINE_BYTES,
    MAX_DATA,
    FrameWriter,
    frames,
)
from pachybox.errors import Internal, InvalidArgument
from tests.examples import many


class Pipe:
    """Collects what a FrameWriter sends, and gives it back as a source of frames."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.fds: list[int] = []

    def send(self, buffers: Sequence[bytes | bytearray | memoryview], fds: Sequence[int]) -> None:
        for buffer in buffers:
            self.data += buffer
        self.fds += [os.dup(fd) for fd in fds]

    def read_into(self, view: memoryview) -> None:
        n = len(view)
        assert len(self.data) >= n
        view[:] = self.data[:n]
        del self.data[:n]

    def fd(self) -> int:
        return self.fds.pop(0)

    def files(self) -> dict[str, bytes]:
        """What the stream puts, the way the box reads it."""
        out: dict[str, bytes] = {}
        last = ""
        for ops, data in frames(self):
            assert len(data) <= MAX_DATA
            at = 0
            for op in ops:
                if op[0] in "pam":
                    piece = bytes(data[at : at + op[-1]])
                    at += op[-1]
                    last = last if op[0] == "m" else op[1]
                    out[last] = piece if op[0] == "p" else out.get(last, b"") + piece
                elif op[0] == "f":
                    with open(self.fd(), "rb") as file:
                        out[op[1]] = file.read()
                elif op[0] == "d":
                    out.pop(op[1], None)
        assert not self.data
        return out


names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12
)


@settings(max_examples=many(40), deadline=None)
@given(st.dictionaries(names.map(lambda n: f"/{n}"), st.binary(max_size=3000), max_size=30))
def test_small_files_read_back_as_they_were_put(files: dict[str, bytes]) -> None:
    pipe = Pipe()
    writer = FrameWriter(pipe.send)
    for path, content in files.items():
        writer.put_data(path, content)
    writer.end()
    assert pipe.files() == files
    assert (writer.files, writer.bytes) == (len(files), sum(map(len, files.values())))


@pytest.mark.parametrize(
    "size",
    [0, 1, INLINE_BYTES, INLINE_BYTES + 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES * 3 + 17],
)
@pytest.mark.parametrize("descriptors", [False, True])
def test_every_size_reads_back_however_it_is_put(
    tmp_path: Path, size: int, descriptors: bool
) -> None:
    content = os.urandom(size)
    file = tmp_path / "file"
    file.write_bytes(content)
    pipe = Pipe()
    writer = FrameWriter(pipe.send, descriptors=descriptors)
    writer.put_data("/before", b"x" * 1000)
    writer.put_file("/file", str(file))
    writer.put_data("/data", content)
    writer.put_stream("/stream", io.BytesIO(content))
    writer.end()
    assert pipe.files() == {
        "/before": b"x" * 1000,
        "/file": content,
        "/data": content,
        "/stream": content,
    }


@settings(max_examples=many(30), deadline=None)
@given(st.lists(st.integers(0, 400_000), max_size=12), st.integers(0, 400_000))
def test_streams_that_come_in_pieces_are_whole(cuts: list[int], last: int) -> None:
    parts = [bytes([i % 251]) * n for i, n in enumerate(cuts)] + [b"z" * last]

    class Slow:
        def __init__(self) -> None:
            self.rest = [p for p in parts if p]

        def read(self, size: int, /) -> bytes:
            if not self.rest:
                return b""
            piece, self.rest[0] = self.rest[0][:size], self.rest[0][size:]
            if not self.rest[0]:
                self.rest.pop(0)
            return piece

    pipe = Pipe()
    writer = FrameWriter(pipe.send)
    writer.put_stream("/s", Slow())
    writer.put_data("/after", b"1")
    writer.end()
    assert pipe.files() == {"/s": b"".join(parts), "/after": b"1"}


def test_a_file_that_changes_size_while_it_is_read_keeps_the_framing(tmp_path: Path) -> None:
    """The header announces what was read, not what the file's size once was."""
    grown, cut = tmp_path / "grown", tmp_path / "cut"
    grown.write_bytes(b"a" * 2_000_000)
    cut.write_bytes(b"b" * 3_000_000)
    pipe = Pipe()

    def send(buffers: Sequence[bytes | bytearray | memoryview], fds: Sequence[int]) -> None:
        pipe.send(buffers, fds)
        with open(grown, "ab") as file:
            file.write(b"A" * 10)
        os.truncate(cut, 100)

    writer = FrameWriter(send)
    writer.put_file("/grown", str(grown))
    writer.put_file("/cut", str(cut))
    writer.put_data("/end", b"end")
    writer.end()
    files = pipe.files()
    assert files["/end"] == b"end"
    assert files["/grown"].rstrip(b"A") == b"a" * 2_000_000
    assert set(files["/cut"]) <= {ord("b")}


def test_more_large_files_than_descriptors_in_flight_are_sent_in_several_frames(
    tmp_path: Path,
) -> None:
    file = tmp_path / "big"
    file.write_bytes(b"b" * (INLINE_BYTES + 1))
    sent: list[int] = []

    def send(buffers: Sequence[bytes | bytearray | memoryview], fds: Sequence[int]) -> None:
        sent.append(len(fds))

    writer = FrameWriter(send, descriptors=True)
    before = len(os.listdir("/proc/self/fd"))
    for i in range(150):
        writer.put_file(f"/{i}", str(file))
    writer.end()
    assert sum(sent) == 150
    assert max(sent) <= 64
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_writer_that_is_given_up_closes_its_descriptors(tmp_path: Path) -> None:
    file = tmp_path / "big"
    file.write_bytes(b"b" * (INLINE_BYTES + 1))
    before = len(os.listdir("/proc/self/fd"))
    writer = FrameWriter(lambda buffers, fds: None, descriptors=True)
    writer.put_file("/big", str(file))
    writer.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_name_that_is_not_utf8_is_refused_by_name() -> None:
    writer = FrameWriter(lambda buffers, fds: None)
    with pytest.raises(InvalidArgument, match="not a UTF-8 name"):
        writer.put_data(os.fsdecode(b"/caf\xe9"), b"")


def test_a_missing_file_and_a_directory_are_refused_by_name(tmp_path: Path) -> None:
    writer = FrameWriter(lambda buffers, fds: None)
    with pytest.raises(InvalidArgument, match="nowhere: No such file"):
        writer.put_file("/a", str(tmp_path / "nowhere"))
    with pytest.raises(InvalidArgument, match="Is a directory"):
        writer.put_file("/a", str(tmp_path))


def test_the_header_of_each_operation_is_that_of_the_contract() -> None:
    pipe = Pipe()
    writer = FrameWriter(pipe.send)
    writer.put_data("/p", b"12")
    writer.put_data("/a", b"3", append=True)
    writer.delete("/d/*")
    writer.copy({"src_repo": "r"})
    writer.url("/u", "https://example.org/x", recursive=True)
    writer.split("/s", io.BytesIO(b"a\nb\n"), {"split": "line"})
    writer.end()
    size = int.from_bytes(pipe.data[:4], "little")
    assert json.loads(pipe.data[4 : 4 + size]) == [
        ["p", "/p", 2],
        ["a", "/a", 1],
        ["d", "/d/*"],
        ["c", {"src_repo": "r"}],
        ["u", "/u", "https://example.org/x", {"recursive": True, "append": False}],
        ["s", "/s", 4, {"split": "line"}],
    ]
    assert pipe.data[4 + size :] == b"123a\nb\n" + END


@settings(max_examples=many(100), deadline=None)
@given(st.binary(min_size=1, max_size=60))
def test_bytes_that_are_no_frames_raise_and_never_hang(noise: bytes) -> None:
    class Noise:
        def __init__(self) -> None:
            self.rest = noise

        def read_into(self, view: memoryview) -> None:
            if len(self.rest) < len(view):
                raise Internal("ended")
            view[:], self.rest = self.rest[: len(view)], self.rest[len(view) :]

        def fd(self) -> int:
            raise Internal("none")

    if noise[:4] == END:
        return
    try:
        for _ops, data in frames(Noise()):
            assert len(data) <= MAX_DATA
    except Internal:
        pass


def test_a_hundred_thousand_tiny_files_make_frames_of_bounded_size() -> None:
    with tempfile.TemporaryFile() as sink:
        sizes: list[int] = []

        def send(buffers: Sequence[bytes | bytearray | memoryview], fds: Sequence[int]) -> None:
            sizes.append(sum(map(len, buffers)))

        writer = FrameWriter(send)
        for i in range(100_000):
            writer.put_data(f"/{i}", b"")
        writer.end()
        sink.close()
    assert max(sizes) < 2 << 20
