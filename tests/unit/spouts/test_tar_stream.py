"""A stream of archives is cut where each ends, in whatever pieces it comes."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from spouts.spout.tar_stream import Splitter
from tests.examples import many

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
Members = list[tuple[str, bytes]]


def archive(members: Members, form: int) -> bytes:
    """An archive of ``members``, with a directory and a link beside them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, kind in (("folder", tarfile.DIRTYPE), ("link", tarfile.SYMTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "there"
            tar.addfile(info)
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"size": str(len(content)), "comment": "ünd"}
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def members(data: bytes) -> Members:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        files = [(one.name, tar.extractfile(one)) for one in tar if one.isfile()]
        return [(name, file.read() if file else b"") for name, file in files]


def split(stream: bytes, sizes: list[int]) -> tuple[list[bytes], Splitter]:
    """The archives of ``stream`` when it comes in pieces of ``sizes``, again and again."""
    splitter, found, now, at, turn = Splitter(), list[bytes](), b"", 0, 0
    while at < len(stream):
        size = sizes[turn % len(sizes)]
        for piece, ends in splitter.feed(stream[at : at + size]):
            now += piece
            if ends:
                found.append(now)
                now = b""
        at, turn = at + size, turn + 1
    return found, splitter


names = st.text(st.characters(codec="ascii", exclude_characters="/\0 "), min_size=1, max_size=90)
long_names = st.builds(lambda a, b: f"{a}/{b}/file", names, names).filter(lambda n: ".." not in n)
contents = st.binary(max_size=1600)


@settings(max_examples=many(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.tuples(long_names, contents), max_size=4), st.sampled_from(FORMATS)),
        min_size=1,
        max_size=4,
    ),
    st.lists(st.integers(1, 3000), min_size=1, max_size=5),
    st.integers(0, 5),
)
def test_archives_back_to_back_come_out_whole(
    wanted: list[tuple[Members, int]], sizes: list[int], zeros: int
) -> None:
    archives = [archive(content, form) for content, form in wanted]
    stream = b"".join(one + bytes(512 * zeros) for one in archives)
    found, splitter = split(stream, sizes)
    assert [members(one) for one in found] == [content for content, _ in wanted]
    assert all(whole.startswith(one) for one, whole in zip(found, archives, strict=True))
    assert not splitter.torn


@settings(max_examples=many(40), deadline=None)
@given(st.lists(st.tuples(long_names, contents), max_size=3), st.sampled_from(FORMATS), st.data())
def test_what_lacks_its_end_is_torn(content: Members, form: int, data: st.DataObject) -> None:
    (whole,), _ = split(archive(content, form), [512])
    cut = data.draw(st.integers(1, len(whole) - 1))
    found, splitter = split(whole[:cut], [700])
    assert not found
    assert splitter.torn


def test_gnu_names_of_any_length_and_sizes_of_more_than_8_gib_are_known() -> None:
    long = archive([("d/" * 200 + "x", b"1")], tarfile.GNU_FORMAT)
    assert split(long, [100])[0] == [long[: len(split(long, [512])[0][0])]]
    info = tarfile.TarInfo("large")
    info.size = 9 << 30
    splitter = Splitter()
    list(splitter.feed(info.tobuf(tarfile.GNU_FORMAT)))
    assert splitter._left == 9 << 30


@pytest.mark.parametrize("bad", [b"x" * 512, bytes(511) + b"x", b"\xff" * 1024])
def test_what_is_no_tar_is_refused(bad: bytes) -> None:
    whole = archive([("a", b"1")], tarfile.USTAR_FORMAT)
    with pytest.raises(InvalidArgument):
        split(whole + bad, [512])


def test_a_lone_block_of_zeros_ends_nothing() -> None:
    one = tarfile.TarInfo("a").tobuf()
    with pytest.raises(InvalidArgument, match="zeros"):
        split(one + bytes(512) + one, [512])


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_what_a_reader_would_hold_in_memory_is_bounded(kind: bytes) -> None:
    info = tarfile.TarInfo("a")
    info.type, info.size = kind, (1 << 20) + 1
    with pytest.raises(InvalidArgument, match="extended header of 1048577 bytes is too large"):
        split(info.tobuf(tarfile.GNU_FORMAT), [512])
