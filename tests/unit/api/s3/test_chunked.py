"""The coding aws-chunked: at every split of the wire, and everything wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.api.s3 import sigv4
from pachybox.api.s3.auth import Identity
from pachybox.api.s3.chunked import AwsChunked
from pachybox.api.s3.errors import S3Error
from tests.s3 import Signer, unsigned_chunks

SIGNER = Signer("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
STAMP = "20130524T000000Z"
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
SCOPE = SIGNER.scope(STAMP)
WHO = Identity(sigv4.signing_key(SIGNER.secret, SCOPE), STAMP, SCOPE, SEED)
TRAILERS = [("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-note", "b")]


def wire(pieces: list[bytes]) -> Callable[[memoryview], int]:
    """A source that gives one piece at most at a time."""
    left = [piece for piece in pieces if piece]

    def readinto(target: memoryview) -> int:
        if not left:
            return 0
        n = min(len(left[0]), len(target))
        target[:n] = left[0][:n]
        left[0] = left[0][n:]
        if not left[0]:
            left.pop(0)
        return n

    return readinto


def read(coding: AwsChunked, step: int = 1000) -> bytes:
    view = memoryview(bytearray(step))
    found = b""
    while n := coding.readinto(view):
        found += view[:n]
    assert coding.readinto(view) == 0
    return found


def signed(pieces: list[bytes], *, trailing: bool = False) -> AwsChunked:
    return AwsChunked(wire(pieces), WHO, signed=True, trailing=trailing)


def test_the_published_example() -> None:
    body = SIGNER.chunks([b"a" * 65536, b"a" * 1024], SEED, STAMP)
    for mark in (
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ):
        assert mark.encode() in body
    assert read(signed([body])) == b"a" * 66560


def test_every_split_gives_the_same() -> None:
    body = SIGNER.chunks([b"one", b"\r\n0;chunk", b"x" * 40], SEED, STAMP, TRAILERS)
    for at in range(len(body) + 1):
        coding = signed([body[:at], body[at:]], trailing=True)
        assert read(coding) == b"one\r\n0;chunk" + b"x" * 40
        assert coding.trailers == dict(TRAILERS)


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=5),
    st.lists(st.integers(0, 400), max_size=8),
    st.integers(1, 60),
)
def test_any_chunks_at_any_splits(pieces: list[bytes], cuts: list[int], step: int) -> None:
    body = unsigned_chunks(pieces, TRAILERS)
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    split = [body[a:b] for a, b in pairwise(edges)]
    coding = AwsChunked(wire(split), Identity(), signed=False, trailing=True)
    assert read(coding, step) == b"".join(pieces)
    assert coding.trailers == dict(TRAILERS)


def test_every_truncation_is_noticed() -> None:
    body = SIGNER.chunks([b"one", b"two"], SEED, STAMP)
    for at in range(len(body) - len("\r\n")):
        with pytest.raises(S3Error):
            read(signed([body[:at]]))


def test_every_flipped_byte_of_a_signed_body_is_noticed() -> None:
    body = SIGNER.chunks([b"one", b"two"], SEED, STAMP, TRAILERS)
    unseen = []
    for at in range(len(body)):
        broken = bytearray(body)
        broken[at] ^= 0x20
        try:
            if read(signed([bytes(broken)], trailing=True)) == b"onetwo":
                unseen.append(body[at : at + 1])
            else:
                raise AssertionError(f"byte {at} changed what is read")
        except S3Error:
            pass
    # Line ends, and names of trailers, which are compared in lower case.
    assert set(unseen) <= {b"\r", b"\n", *(bytes([c]) for c in b"abcdefghijklmnopqrstuvwxyz")}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\r\n", b"3", b"3\r\n", b"3\r\nab", b"3\r\nabc", b"3\r\nabcd\r\n0\r\n\r\n",
        b"-1\r\n", b"zz\r\n", b"3 ;x=1\r\nabc\r\n0\r\n\r\n", b"0\r\nbad trailer\r\n\r\n",
        b"0\r\n" + b"a:b\r\n" * 40 + b"\r\n", b"f" * 5000, b"99999999999999999\r\n",
        b"0\r\n" + b"a" * 5000 + b":b\r\n\r\n",
    ],
)  # fmt: skip
def test_malformed_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(S3Error):
        read(AwsChunked(wire([body]), Identity(), signed=False, trailing=True))


def test_a_chunk_without_signature_is_refused_where_one_must_be() -> None:
    with pytest.raises(S3Error):
        read(AwsChunked(wire([b"3\r\nabc\r\n0\r\n\r\n"]), Identity(), signed=True, trailing=False))


@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_garbage_never_breaks_it(body: bytes, sign: bool, trailing: bool) -> None:
    try:
        read(AwsChunked(wire([body]), WHO, signed=sign, trailing=trailing))
    except S3Error:
        pass
