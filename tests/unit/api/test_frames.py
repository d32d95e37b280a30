"""Bulk upload and download in frames, with and without descriptors."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.api.frames import FrameReader, PutBatch, PutData, PutFd, Remove, Split
from pachybox.errors import InvalidArgument
from tests.examples import many
from tests.unit.api.conftest import Served
from tests.unit.api.house import END, Raw, contents, frame, frames

PUT = "/files/put?repo=images&ref=master"
GET = "/files/get?repo=images&ref=master"


class Bytes:
    """A request body in memory, given out in pieces of random length."""

    def __init__(self, data: bytes, seed: int = 0) -> None:
        self._data = data
        self._at = 0
        self._random = random.Random(seed)

    def readinto(self, target: memoryview) -> int:
        n = min(len(target), len(self._data) - self._at, self._random.randint(1, 50))
        target[:n] = self._data[self._at : self._at + n]
        self._at += n
        return n

    def fill(self, target: memoryview) -> int:
        n = min(len(target), len(self._data) - self._at)
        target[:n] = self._data[self._at : self._at + n]
        self._at += n
        return n


def reader(data: bytes, seed: int = 0) -> FrameReader:
    def no_fd() -> int:
        raise IndexError

    return FrameReader(Bytes(data, seed), no_fd, os.close)  # type: ignore[arg-type]


def read_all(op: PutData | Split, size: int = 100) -> bytes:
    piece, out = memoryview(bytearray(size)), b""
    while n := op.read(piece):
        out += piece[:n]
    return out


def consume(body: bytes) -> None:
    for op in reader(body).ops():
        if isinstance(op, PutData | Split):
            read_all(op)


def test_a_run_of_small_files_is_one_operation() -> None:
    body = frame([["p", "/a", 1], ["p", "/b", 0], ["p", "/c", 2]], b"xyz") + END
    [op] = [(o.paths, o.sizes, bytes(o.data)) for o in reader(body).ops()]  # type: ignore[union-attr]
    assert op == (["/a", "/b", "/c"], [1, 0, 2], b"xyz")


def test_operations_keep_their_order() -> None:
    body = frame([["p", "/a", 1], ["d", "/a"], ["a", "/b", 1], ["a", "/b", 1]], b"xyz") + END
    kinds = [type(op).__name__ for op in reader(body).ops()]
    assert kinds == ["PutBatch", "Remove", "PutBatch"]


def test_a_file_of_many_frames_is_read_as_one() -> None:
    body = (
        frame([["p", "/small", 2], ["p", "/big", 3]], b"..abc")
        + frame([["m", 4]], b"defg")
        + frame([["m", 0]])
        + frame([["m", 2], ["p", "/next", 1], ["a", "/last", 1]], b"hi!?")
        + frame([["m", 1]], b"*")
        + END
    )
    seen: list[tuple[Any, ...]] = []
    for op in reader(body).ops():
        if isinstance(op, PutData):
            seen.append((op.path, op.append, read_all(op, 2)))
        elif isinstance(op, PutBatch):
            seen.append((op.paths, bytes(op.data)))
    assert seen == [
        (["/small"], b".."),
        ("/big", False, b"abcdefghi"),
        (["/next"], b"!"),
        ("/last", True, b"?*"),
    ]


def test_what_is_not_read_of_a_file_is_skipped() -> None:
    body = (
        frame([["p", "/big", 3]], b"abc")
        + frame([["m", 300], ["s", "/s", 2, {"split": "line"}]], b"d" * 300 + b"xy")
        + frame([["m", 5], ["p", "/next", 1]], b"12345!")
        + END
    )
    parser = reader(body)
    assert [type(op).__name__ for op in parser.ops()] == ["PutData", "Split", "PutBatch"]
    assert (parser.files, parser.bytes) == (3, 311)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=8), st.randoms())
@settings(max_examples=many(150), deadline=None)
def test_files_come_out_as_they_went_in_however_they_are_cut(
    files: list[tuple[bool, bytes]], rnd: random.Random
) -> None:
    wanted = [(f"/{i}", append, content) for i, (append, content) in enumerate(files)]
    pieces: list[tuple[list[Any], bytes]] = []
    for path, append, content in wanted:
        cut = rnd.randint(0, len(content))
        pieces.append((["a" if append else "p", path, cut], content[:cut]))
        while cut < len(content):
            n = rnd.randint(1, len(content) - cut)
            pieces.append((["m", n], content[cut : cut + n]))
            cut += n
    body = b""
    while pieces:
        n = rnd.randint(1, len(pieces))
        body += frame([op for op, _ in pieces[:n]], b"".join(d for _, d in pieces[:n]))
        pieces = pieces[n:]
    got = []
    for op in reader(body + END, rnd.randint(0, 99)).ops():
        if isinstance(op, PutData):
            got.append((op.path, op.append, read_all(op, rnd.randint(1, 30))))
        elif isinstance(op, PutBatch):
            got += [(p, op.append, bytes(d)) for p, d in zip(op.paths, op.pieces(), strict=True)]
    assert got == wanted


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"\x05\x00\x00\x00{oops", "not JSON"),
        (frame([], b"")[:4] + b"[]", "ended before its end frame"),
        (b"\xff\xff\xff\xff", "its header has 4294967295 bytes"),
        (frame({"a": 1}), "not a list of operations"),  # type: ignore[arg-type]
        (frame(["p"]), "not a list of operations"),
        (frame([[]]), "not a list of operations"),
        (frame([["p", "/a"]]), "is not [p, path, size]"),
        (frame([["p", "/a", -1]]), "is not [p, path, size]"),
        (frame([["p", "/a", True]]), "is not [p, path, size]"),
        (frame([["p", 7, 1]]), "is not [p, path, size]"),
        (frame([["m", 1]], b"x"), "no file"),
        (frame([["p", "/a", 1], ["m", "1"]], b"x"), "is not [m, size]"),
        (frame([["p", "/a", 1]], b"x") + frame([["m", -1]]), "is not [m, size]"),
        (frame([["x", "/a"]]), "is not known"),
        (frame([["pa", "/a"]]), "is not known"),
        (frame([[["p"], "/a"]]), "is not known"),
        (frame([["d", 7]]), "is not known"),
        (frame([["p", "/a", 5 << 20]]), "at most 4194304"),
        (frame([["p", "/\ud800", 0]]), "a path is not Unicode"),
        (frame([["f", "/a"]]), "no descriptor came with /a"),
        (frame([["c", {"src_repo": "r"}]]), "option 'src_path' is missing"),
        (frame([["c", {"bad": "r"}]]), "option 'bad' is not known"),
        (frame([["u", "/a", "s3://x", {"recursive": 1}]]), "option 'recursive' is not bool"),
        (frame([["s", "/a", 0, {"split": "line", "target_file_datums": -1}]]), "is not int"),
        (frame([["s", "/a", 0]]), "option 'split' is missing"),
        (frame([["p", "/a", 3]], b"xy"), "ended before its end frame"),
        (frame([["p", "/a", 1]], b"x") + frame([["m", 3]], b"xy"), "ended before its end frame"),
        (frame([["p", "/a", 1]], b"x"), "ended before its end frame"),
        (b"", "ended before its end frame"),
    ],
)
def test_a_malformed_upload_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        consume(body)
    assert said in str(caught.value)


@given(st.binary(max_size=60), st.integers(0, 40))
@settings(max_examples=many(200), deadline=None)
def test_any_bytes_are_operations_or_refused(noise: bytes, cut: int) -> None:
    whole = frame([["p", "/a", 3], ["s", "/b", 1, {"split": "line"}]], b"abcd")
    with pytest.raises(InvalidArgument):
        consume(whole[:cut] + noise[:-4] + b"\x01\xff\xff\xff")


def test_an_upload_is_one_commit(client: Raw, served: Served) -> None:
    body = frame([["p", "/a", 2], ["p", "/b", 1]], b"xyz") + frame([["a", "/a", 1]], b"!") + END
    status, _, answer = client.request("POST", PUT + "&description=two%20files", body)
    assert status == 200
    commit = {"commit": {"repo": {"name": "images"}, "id": "master"}, "description": "two files"}
    assert json.loads(answer) == {"commit": commit, "files": 3, "bytes": 4}
    assert served.house.files == {"/a": b"xy!", "/b": b"z"}


def test_a_chunked_upload_may_cut_frames_anywhere(client: Raw, served: Served) -> None:
    content = os.urandom(300_000)
    body = frame([["p", "/a", 100_000]], content[:100_000])
    body += frame([["m", 200_000]], content[100_000:]) + END
    client.send(
        f"POST {PUT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    for start in range(0, len(body), 7777):
        piece = body[start : start + 7777]
        client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    client.send(b"0\r\n\r\n")
    assert client.answer()[0] == 200
    assert served.house.files == {"/a": content}


def test_an_upload_cut_short_is_given_up(client: Raw, served: Served) -> None:
    body = frame([["p", "/a", 2]], b"xy")
    status, _, answer = client.request("POST", PUT, body)
    assert status == 400
    assert b"nothing was committed" in answer
    assert isinstance(served.house.aborted, InvalidArgument)


def test_a_client_that_leaves_in_an_upload_aborts_it(client: Raw, served: Served) -> None:
    client.send(
        f"POST {PUT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n".encode()
        + frame([["p", "/a", 2]], b"xy")
    )
    client.close()
    assert served.house.given_up.wait(10)


def test_a_refused_upload_reads_why(client: Raw) -> None:
    body = frame([["p", "/a", 4 << 20]], bytes(4 << 20)) * 4
    status, _, answer = client.request("POST", "/files/put?repo=refused&ref=m", body)
    assert (status, json.loads(answer)["message"]) == (400, "the repo takes no files")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("repo=r", "parameter 'ref' is missing"),
        ("ref=r", "parameter 'repo' is missing"),
        ("repo=r&ref=m&brnch=x", "unknown parameter 'brnch'"),
        ("repo=%ff&ref=m", "the query cannot be read"),
    ],
)
def test_an_uploads_parameters_are_checked(client: Raw, query: str, said: str) -> None:
    status, _, answer = client.request("POST", f"/files/put?{query}", END)
    assert status == 400
    assert said in json.loads(answer)["message"]


def test_descriptors_come_in_the_order_of_their_operations(
    local: Raw, served: Served, tmp_path: Path
) -> None:
    local.call("versionpb_v2.API/GetVersion", {})  # accepted, so its own socket is counted
    before = open_fds()
    fds = []
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        fds.append(os.open(tmp_path / name, os.O_RDONLY))
    body = frame([["f", "/1"], ["p", "/p", 1], ["fa", "/2"]], b"x") + END
    head = f"POST {PUT} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    local.send(head)
    local.send(body, tuple(fds))
    for fd in fds:
        os.close(fd)
    assert local.answer()[0] == 200
    assert served.house.files == {"/1": b"one", "/p": b"x", "/2": b"two"}
    assert [op.append for op in served.house.ops if isinstance(op, PutFd)] == [False, True]
    assert open_fds() == before


def test_descriptors_nobody_takes_are_closed(local: Raw, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    local.call("versionpb_v2.API/GetVersion", {})
    before = open_fds()
    with (tmp_path / "f").open() as file:
        local.send(
            f"POST {PUT} HTTP/1.1\r\nContent-Length: 4\r\n\r\n".encode(), (file.fileno(),) * 9
        )
        local.send(END)
    assert local.answer()[0] == 200
    assert local.call("versionpb_v2.API/GetVersion", {})[0] == 200  # after its end
    assert open_fds() == before


def test_an_operation_without_its_descriptor_is_refused(client: Raw, served: Served) -> None:
    status, _, answer = client.request("POST", PUT, frame([["f", "/a"]]) + END)
    assert status == 400
    assert b"no descriptor came with /a" in answer


def open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_download_has_all_files_and_ends(client: Raw, served: Served) -> None:
    files = {f"/f{i}": bytes([i]) * i for i in range(50)} | {"/big": os.urandom(3_000_000)}
    served.house.files.update(files)
    for query in ("", "&glob=1"):  # the house sends big ones from memory, then from a file
        status, headers, body = client.request("GET", GET + query)
        assert (status, headers["content-type"]) == (200, "application/x-pachybox-frames")
        assert contents(body) == files
        assert frames(body)[-1][0][-1] == ["d", "/empty"]
    assert client.call("versionpb_v2.API/GetVersion", {})[0] == 200


def test_large_files_are_downloaded_as_descriptors(local: Raw, served: Served) -> None:
    served.house.files.update({"/a": b"small", "/big": b"x" * 5000})
    status, _, body = local.request("GET", GET + "&fds=1")
    assert status == 200
    ops = [op for ops, _ in frames(body) for op in ops]
    assert ops == [["p", "/a", 5], ["o", "/big", 5000], ["d", "/empty"]]
    [fd] = local.fds
    with os.fdopen(fd, "rb") as file:
        assert file.read() == b"x" * 5000


def test_over_tcp_no_descriptors_are_offered(remote: Raw, served: Served) -> None:
    served.house.files["/big"] = b"x" * 5000
    _, _, body = remote.request("GET", GET + "&fds=1")
    assert contents(body) == {"/big": b"x" * 5000}


def test_an_error_in_mid_download_is_its_last_operation(client: Raw, served: Served) -> None:
    served.house.files["/a"] = b"x"
    status, _, body = client.request("GET", "/files/get?repo=r&ref=broken")
    assert status == 200
    *_, last = [op for ops, _ in frames(body) for op in ops]
    assert last[0] == "e"
    assert last[1]["message"] == "the tree broke"


def test_an_error_before_any_file_is_a_plain_error(client: Raw) -> None:
    status, _, answer = client.request("GET", GET + "&path=/none")
    assert (status, json.loads(answer)["message"]) == (404, "file /none not found")
    assert client.request("GET", GET + "&offset=x")[0] == 400
    assert client.request("GET", GET + "&limit=-1")[0] == 400


def test_removing_is_an_operation(client: Raw, served: Served) -> None:
    served.house.files["/a"] = b"x"
    client.request("POST", PUT, frame([["d", "/a"]]) + END)
    assert served.house.ops == [Remove("/a")]
    assert served.house.files == {}


def test_every_option_of_the_other_operations_is_passed_on(client: Raw, served: Served) -> None:
    ops = [
        ["c", {"src_repo": "r", "src_path": "/x", "path": "/y", "src_ref": "m", "append": True}],
        ["u", "/u", "https://example.com/x", {"recursive": True}],
        ["s", "/s", 4, {"split": "csv", "header_records": 1, "target_file_datums": 2}],
    ]
    assert client.request("POST", PUT, frame(ops, b"a\nb\n") + END)[0] == 200
    copy, url, split = served.house.ops
    assert (copy.src_repo, copy.src_ref, copy.append) == ("r", "m", True)  # type: ignore[attr-defined]
    assert (url.url, url.recursive, url.append) == ("https://example.com/x", True, False)  # type: ignore[attr-defined]
    assert (split.split, split.header_records, split.target_file_datums) == ("csv", 1, 2)  # type: ignore[attr-defined]
    assert served.house.files["/s"] == b"a\nb\n"
