"""Fixtures for the suites of the clients: the addresses of the box, and its own client beside.

A pytest plugin that the inner runs load (inner.ini). Only what a client's environment has may be
imported here: pytest and the standard library; pachybox.client needs no more.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pachybox.client import Client


@pytest.fixture(scope="session")
def grpc() -> str:
    """``host:port`` of the gRPC door of the box without a token."""
    return os.environ["PACHYBOX_GRPC"]


@pytest.fixture(scope="session")
def http() -> str:
    """``http://host:port`` of the same box's HTTP and S3 doors."""
    return os.environ["PACHYBOX_HTTP"]


@pytest.fixture(scope="session")
def box() -> Iterator[Client]:
    """The box's own client to the box without a token."""
    with Client(os.environ["PACHYBOX_SOCKET"]) as client:
        yield client


@pytest.fixture(scope="session")
def s3() -> str:
    """``http://host:port`` of the S3 door of a box that has a token, so that it checks signatures.

    The token is both keys: PACHYBOX_TOKEN, and in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    """
    return os.environ["PACHYBOX_S3"]


@pytest.fixture(scope="session")
def s3_box() -> Iterator[Client]:
    """The box's own client to the box of ``s3``, by its socket."""
    with Client(os.environ["PACHYBOX_S3_SOCKET"]) as client:
        yield client


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Names that no other test has: ``unique("photos")`` -> ``photos-5f3a91c2``."""
    return lambda what: f"{what}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def bucket(s3_box: Client, unique: Callable[[str], str]) -> str:
    """A new repo with a branch master: its name, which is also the bucket's."""
    name = unique("bucket")
    s3_box.create_repo(name)
    s3_box.create_branch(f"{name}@master")
    return name


@pytest.fixture
def content() -> bytes:
    """Some 100 kB of every byte value."""
    return bytes(range(256)) * 400


@pytest.fixture
def file(tmp_path: Path, content: bytes) -> Path:
    """A file that holds ``content``."""
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of files of several sizes and kinds of names, one of them a multipart upload."""
    made = tmp_path / "folder"
    for name, body in (
        ("top.txt", b"top"),
        ("empty", b""),
        ("a/one", b"1" * 1000),
        ("a/b/two words", b"2" * 100_000),
        ("a/ümläut+&", "ü".encode() * 500),
        ("big.bin", bytes(range(256)) * 40_000),
    ):
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return made


@pytest.fixture
def files_of(s3_box: Client) -> Callable[[str], dict[str, bytes]]:
    """``files_of("repo@master:/dir")``: what the box has below it, by relative paths."""

    def read(where: str) -> dict[str, bytes]:
        place, _, above = where.partition(":")
        above = above.rstrip("/") + "/"
        return {
            file.path.removeprefix(above): s3_box.get_file(f"{place}:{file.path}")
            for file in s3_box.walk_file(f"{place}:{above}")
            if not file.is_dir
        }

    return read
