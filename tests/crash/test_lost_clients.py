"""Clients that disappear in mid-upload, or stand still: no commit, and in the end no content."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pachybox.client import Client
from tests.boxes import RealBox, eventually

LARGE = 6_000_000


def stored(box: RealBox) -> list[str]:
    """The large files of the store, and those on their way in."""
    store = box.home / "store"
    found = [*(store / "objects").glob("*/*"), *(store / "tmp").iterdir()]
    return sorted(p.name for p in found)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def frame(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(4, "little") + header + data


HEAD = (
    b"POST /files/put?repo=r&ref=master HTTP/1.1\r\nHost: localhost\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
NOISE = random.Random(1).randbytes(LARGE)


def half_a_header() -> bytes:
    return HEAD + chunk(frame(b'["p","/a",10]')[:9])


def half_a_frame() -> bytes:
    return HEAD + chunk(frame(b'[["p","/a",3000]]', NOISE[:1000]))


def half_a_large_file() -> bytes:
    whole = frame(b'[["p","/large",4000000]]', NOISE[:4_000_000])
    return HEAD + chunk(whole) + chunk(frame(b'[["m",2000000]]', NOISE[4_000_000:5_000_000]))


def all_but_the_end() -> bytes:
    return HEAD + chunk(frame(b'[["p","/large",3000000]]', NOISE[:3_000_000]))


def a_false_chunk() -> bytes:
    return half_a_large_file() + b"\r\nthis is no chunk\r\n"


@pytest.fixture
def box_with_a_file(box: RealBox) -> RealBox:
    box.client.create_repo("r")
    box.client.put_file("r@master:/kept", b"kept" * 100)
    return box


@dataclass(frozen=True)
class Before:
    """What a box holds; ``unharmed`` compares."""

    box: RealBox
    large: list[str]
    size: int

    @classmethod
    def of(cls, box: RealBox) -> Before:
        box.client.collect_garbage()
        return cls(box, stored(box), box.client.status().store_bytes)

    def unharmed(self) -> None:
        """One commit with one file, nothing else stored, nothing wrong. A pack gives back a
        few kilobytes only when most of it is dead."""
        client = self.box.client
        tmp = self.box.home / "store" / "tmp"
        eventually(lambda: not list(tmp.iterdir()), "the upload is given up")
        assert len(list(client.list_commit("r"))) == 1
        assert [f.path for f in client.list_file("r@master:/")] == ["/kept"]
        client.collect_garbage()
        assert stored(self.box) == self.large
        assert client.status().store_bytes <= self.size + 4096
        assert [f for f in client.fsck() if f.get("level") != "info"] == []


@pytest.mark.parametrize(
    "sent", [half_a_header, half_a_frame, half_a_large_file, all_but_the_end, a_false_chunk]
)
def test_an_upload_that_breaks_off_leaves_nothing(
    box_with_a_file: RealBox, sent: Callable[[], bytes]
) -> None:
    box = box_with_a_file
    before = Before.of(box)
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(box.socket))
            sock.sendall(sent())
    before.unharmed()


def test_a_killed_put_leaves_nothing(box_with_a_file: RealBox, tmp_path: Path) -> None:
    """SIGKILL of the command while it sends from a pipe that never ends."""
    box = box_with_a_file
    before = Before.of(box)
    put = subprocess.Popen(
        [sys.executable, "-m", "pachybox.cli", "put", "file", "r@master:/x", "-f", "-"],
        env=box.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert put.stdin is not None
    put.stdin.write(NOISE)
    put.stdin.flush()
    tmp = box.home / "store" / "tmp"
    eventually(lambda: [p for p in tmp.iterdir() if p.stat().st_size > 1 << 20], "it arrives")
    put.kill()
    put.wait()
    put.stdin.close()
    before.unharmed()


def test_a_client_that_stands_still_holds_up_nobody(box_with_a_file: RealBox) -> None:
    """While it stalls others write, collect and check; when it goes nothing of it is left."""
    box = box_with_a_file
    before = Before.of(box)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(box.socket))
        sock.sendall(half_a_large_file())
        tmp = box.home / "store" / "tmp"
        eventually(lambda: list(tmp.iterdir()), "it arrives")
        other = Client(str(box.socket), timeout_s=20)
        other.create_repo("s")
        other.put_file("s@master:/f", NOISE[:3_000_000])
        assert other.get_file("s@master:/f") == NOISE[:3_000_000]
        other.collect_garbage()
        assert [f for f in other.fsck() if f.get("level") != "info"] == []
        assert len(list(other.list_commit("r"))) == 1
        other.delete_repo("s")
        other.close()
    before.unharmed()
