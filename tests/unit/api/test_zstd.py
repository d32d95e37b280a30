"""The decoder of zip addresses, against the library that packs them."""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.api.zstd import decompress, raw_frame
from pachybox.api.zstd_bits import Malformed

LIBRARY = ctypes.util.find_library("zstd")
DOC = b"default/images@master:/\0default/montage@master:/montage.png\0"
LIMIT = 1 << 22
# Addresses out of Pachyderm's own tests and of its console.
KNOWN = {
    "ASi1L_0EaHUBAEQCZGVmYXVsdC9pbWFnZXNAbWFzdGVyOi8AbW9udGFnZS5wbmcAAxQEBQPYsGPLbFDb": DOC,
    "ASi1L_0EAK0BALQCZGVmYXVsdC9pbWFnZXNAbWFzdGVyOi8AbW9udGFnZW1vbnRhZ2UucG5nAAIQBFwMS4wB"
    "y2xQ2w": DOC,
    "ASi1L_0gYd0CABLGFRtwaxMeIippme3f279RC021H2IiEQ5BAlRVTwTZHsDZOpOqk9YbjpTtQQjICVro"
    "iFeUSr6gWgZ2ozTMMgqYQIGhuxDlTDVc8xe3Z0wRZ8eH2z80cetURQA": (
        b"Solar-Power-Data-Logger-Team-Collab/cron@0918ac9d5daa76b86e3bb5e88e4c43a4:"
        b"/yml_spec_too_large.yml"
    ),
}


def test_addresses_of_pachyderm_are_read() -> None:
    for text, content in KNOWN.items():
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        assert data[0] == 1
        assert decompress(data[1:], LIMIT) == content


def pack(data: bytes, level: int) -> bytes:
    library = ctypes.CDLL(LIBRARY)
    library.ZSTD_compressBound.restype = library.ZSTD_compress.restype = ctypes.c_size_t
    most = library.ZSTD_compressBound(ctypes.c_size_t(len(data)))
    into = ctypes.create_string_buffer(most)
    sizes = ctypes.c_size_t(most), ctypes.c_size_t(len(data))
    size = library.ZSTD_compress(into, sizes[0], data, sizes[1], level)
    return into.raw[:size]


def sample(seed: int) -> bytes:
    """Text of repeated words: every kind of block and table comes up among a few of them."""
    draw = random.Random(seed)
    letters, size = draw.choice([2, 5, 20, 200, 256]), int(10 ** draw.uniform(0, 4.5))
    words = [
        bytes(draw.randrange(letters) for _ in range(draw.randint(1, 30)))
        for _ in range(draw.choice([1, 10, 300]))
    ]
    return b"".join(draw.choice(words) for _ in range(size // 10 + 1))[:size]


@pytest.mark.skipif(LIBRARY is None, reason="libzstd is not installed")
def test_what_the_library_packs_is_unpacked() -> None:
    for seed in range(40):
        data = sample(seed)
        for level in (-5, 1, 3, 19):
            assert decompress(pack(data, level), LIMIT) == data, (seed, level)
    assert decompress(pack(b"a", 3) + b"\x50\x2a\x4d\x18\1\0\0\0x" + pack(b"b", 3), LIMIT) == b"ab"


@pytest.mark.skipif(LIBRARY is None, reason="libzstd is not installed")
def test_damage_is_malformed_and_nothing_else() -> None:
    draw = random.Random(7)
    whole = pack(sample(3) + DOC * 20, 19)
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            decompress(bytes(damaged[: draw.randint(1, len(damaged))]), LIMIT)
        except Malformed:
            pass


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_unpacked_or_malformed(data: bytes) -> None:
    assert decompress(raw_frame(data), LIMIT) == data
    try:
        decompress(b"\x28\xb5\x2f\xfd" + data, LIMIT)
    except Malformed:
        pass


def test_what_unpacks_to_too_much_is_refused() -> None:
    bomb = b"\x28\xb5\x2f\xfd\x00\x58" + b"\x02\x00\x10\0" * 100 + b"\1\0\0"
    with pytest.raises(Malformed, match="too long"):
        decompress(bomb, 1 << 20)
    assert decompress(raw_frame(b"x" * 300_000), LIMIT) == b"x" * 300_000
