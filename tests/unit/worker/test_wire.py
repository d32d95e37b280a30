"""The worker's messages survive the way there and back."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.worker import handover, wire
from pachybox.worker.control import Control
from pachybox.worker.frames import Splitter, frame
from pachybox.worker.layout import Layout
from pachybox.worker.wire import DatumTask, End, Kind, Limits, Transform, WorkerSpec

# What a file name can be, as Python shows it: bytes that are no UTF-8 as lone surrogates.
texts = st.binary(max_size=30).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
names = texts.filter(lambda text: "=" not in text)
envs = st.dictionaries(names, texts, max_size=3)
paths = texts.map(lambda text: Path("/") / text.lstrip("/"))


def opened(data: bytes) -> tuple[bytes, bytes]:
    splitter = Splitter()
    splitter.feed(data)
    got = splitter.next()
    assert got is not None
    assert splitter.next() is None
    return got


@given(texts, st.lists(texts).map(tuple), envs, paths, st.binary())
def test_a_spec_arrives_as_it_was_sent(
    name: str, words: tuple[str, ...], env: dict[str, str], path: Path, secret: bytes
) -> None:
    transform = Transform(words, words, env=env, accept_return_code=(1, 2), user=name)
    limits = Limits(0.5, 1 << 30, 10)
    sent = WorkerSpec(name, transform, path, env, limits, {"/secrets/x": secret}, True)
    kind, body = opened(wire.pack_start(sent, {"level": "full"}))
    assert kind == wire.START
    fence = replace(sent, transform=Transform((), user=name), env={})  # the rest comes with runs
    assert wire.start(body) == (fence, {"level": "full"})


def test_a_secret_is_not_in_the_words_for_a_spec() -> None:
    spec = WorkerSpec("p", Transform(("true",)), Path("/w"), files={"/s/x": b"hush"})
    assert "hush" not in repr(spec)


@given(
    paths,
    envs,
    st.none() | st.integers(1, 10**9),
    st.lists(texts, max_size=3).map(tuple),
    st.lists(st.tuples(texts, st.binary(max_size=20)), max_size=3).map(tuple),
    st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
)
def test_a_task_arrives_as_it_was_sent(
    path: Path,
    env: dict[str, str],
    timeout: int | None,
    dirs: tuple[str, ...],
    files: tuple[tuple[str, bytes], ...],
    links: tuple[tuple[str, str], ...],
) -> None:
    layout = Layout(dirs, files, links, path, path / "image", (path, path / "pack"))
    timeout_s = None if timeout is None else timeout / 1000
    sent = DatumTask("", layout, path / "out", Path(), env, timeout_s, True, 2.5)
    code = wire.Code(dirs, b"line\n", str(path), env)
    kind, body = opened(wire.pack_run(7, sent, code))
    assert kind == wire.RUN
    assert wire.run(body) == (7, sent, code)


def test_the_code_of_a_run_is_the_cmd_or_the_err_cmd() -> None:
    transform = Transform(
        ("run",), ("a", "b"), ("mend",), ("c",), {"X": "1", "Y": "1"}, working_dir="usr"
    )
    spec = WorkerSpec("p", transform, Path("/w"), {"Y": "2"})
    env = {"X": "1", "Y": "2"}
    assert wire.code_of(spec) == wire.Code(("run",), b"a\nb\n", "/usr", env)
    assert wire.code_of(spec, err_cmd=True) == wire.Code(("mend",), b"c\n", "/usr", env)


@given(st.sampled_from(Kind), texts, st.booleans(), st.integers(0, 2**63))
def test_an_end_arrives_as_it_was_sent(kind: Kind, text: str, flag: bool, number: int) -> None:
    said = os.fsencode(text).decode("utf-8", "replace")
    sent = End(kind, 9, said, flag, not flag, number, number, number, number)
    what, body = opened(wire.pack_end(3, sent))
    assert what == wire.END
    assert wire.numbered(body)[0] == 3
    assert wire.end(wire.numbered(body)[1]) == sent


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (End(Kind.STATUS, 0), ""),
        (End(Kind.STATUS, 4 << 8), ""),
        (End(Kind.STATUS, 3 << 8), "exit status 3"),
        (End(Kind.STATUS, signal.SIGSEGV), "killed by signal 11 (SIGSEGV)"),
        (End(Kind.STATUS, 40), "killed by signal 40"),
        (End(Kind.ERROR, text="command not found: x"), "command not found: x"),
        (End(Kind.KILLED, timed_out=True), "timed out after 1.5s"),
        (End(Kind.KILLED, cancelled=True), "cancelled"),
        (End(Kind.KILLED), "killed: the first process of the datum was ended from outside"),
        (End(Kind.SAID, text="bad picture"), "bad picture"),
    ],
)
def test_an_end_is_judged_in_words(end: End, reason: str) -> None:
    task = DatumTask("d", Layout(), Path("/o"), Path("/l"), timeout_s=1.5)
    result = wire.judge(end, (4,), task)
    assert result.reason == reason
    assert result.ok == (not reason)


def test_frames_are_read_whole_however_they_arrive() -> None:
    ours, theirs = os.pipe()
    back, out = os.pipe()
    control = Control(ours, out)
    task = DatumTask("", Layout(), Path("/out"), Path())
    code = wire.Code(("true",))
    data = wire.pack_run(1, task, code) + wire.pack_cancel(1) + wire.pack_cancel(2)
    os.write(theirs, data[:7])
    control.read()
    assert not control.stopped(1)
    os.write(theirs, data[7:])
    assert control.wait() == (1, task, code)
    assert control.stopped(1)
    assert control.stopped(2)
    assert not control.stopped(3)
    os.close(theirs)
    assert control.wait() is None
    assert control.closed
    assert control.stopped(3)
    for fd in (ours, back, out):
        os.close(fd)


def test_the_first_frame_is_taken_without_a_byte_of_the_next() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, frame(wire.START, b"{}") + b"rest")
    assert Control(ours, theirs).first() == b"{}"
    assert os.read(ours, 100) == b"rest"
    os.close(theirs)
    assert Control(ours, theirs).first() is None
    os.close(ours)


def test_what_is_no_frame_is_an_error() -> None:
    splitter = Splitter()
    splitter.feed(b"\xff\xff\xff\xffx")
    with pytest.raises(ValueError, match="bytes"):
        splitter.next()


def test_a_box_that_is_slow_or_gone_keeps_no_one_waiting() -> None:
    ours, theirs = os.pipe()
    control = Control(ours, theirs)
    control.send(b"x" * (1 << 20))
    assert control.pending > 0
    os.close(ours)
    control.flush()
    assert control.closed
    assert control.pending == 0
    os.close(theirs)


def test_the_shim_is_asked_for_the_version_it_is_built_for() -> None:
    """A program left by an older build is refused, where it would misread its orders."""
    header = Path(handover.__file__).with_name("shim") / "shim.h"
    found = re.search(r"#define PROTOCOL (\d+)", header.read_text())
    assert found is not None
    assert int(found[1]) == handover.PROTOCOL
