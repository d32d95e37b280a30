"""The worker's messages survive the way there and back."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pachybox.worker import wire
from pachybox.worker.control import Control
from pachybox.worker.wire import DatumResult, DatumTask, Transform, WorkerSpec

# What a file name can be, as Python shows it: bytes that are no UTF-8 as lone surrogates.
texts = st.binary(max_size=30).map(lambda raw: os.fsdecode(raw.replace(b"\0", b"")))
envs = st.dictionaries(texts, texts, max_size=3)
paths = texts.map(lambda text: Path("/") / text.lstrip("/"))


@given(texts, st.lists(texts).map(tuple), envs, paths)
def test_a_spec_arrives_as_it_was_sent(
    name: str, words: tuple[str, ...], env: dict[str, str], path: Path
) -> None:
    transform = Transform(words, words, env=env, accept_return_code=(1, 2), user=name)
    sent = WorkerSpec(name, transform, path, env)
    assert wire.spec(json.loads(wire.line(wire.pack(sent)))) == sent


@given(texts, paths, envs, st.none() | st.floats(0, 1e6))
def test_a_task_arrives_as_it_was_sent(
    name: str, path: Path, env: dict[str, str], timeout: float | None
) -> None:
    sent = DatumTask(name, path, path / "out", path / "log", env, timeout, True)
    assert wire.task(json.loads(wire.line(wire.pack(sent)))) == sent


def test_a_result_arrives_as_it_was_sent() -> None:
    sent = DatumResult(False, None, 9, "killed", True, False, 1.5, 0.25, 4096)
    assert wire.result(json.loads(wire.line(wire.pack(sent)))) == sent


def test_messages_are_read_whole_however_they_arrive() -> None:
    ours, theirs = os.pipe()
    control = Control(ours, theirs)
    data = wire.line({"op": "run", "run": 1}) + wire.line({"op": "cancel", "run": 1})
    os.write(theirs, data[:5])
    control.read()
    assert control.next() is None
    os.write(theirs, data[5:])
    assert control.wait() == {"op": "run", "run": 1}
    assert control.next() == {"op": "cancel", "run": 1}
    os.close(theirs)
    assert control.wait() is None
    assert control.closed
    os.close(ours)


def test_a_box_that_hung_up_is_no_error_to_send_to() -> None:
    ours, theirs = os.pipe()
    control = Control(ours, theirs)
    os.close(ours)
    control.send({"result": {}})
    assert control.closed
    os.close(theirs)
