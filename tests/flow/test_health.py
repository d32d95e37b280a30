"""What ``/healthz`` and ``/readyz`` say: of a good box, a full one, one that moves no more."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.api import health
from pachybox.box import Box
from pachybox.config import Config
from pachybox.errors import Exhausted
from pachybox.model.ids import Repo
from tests.boxes import RealBox, eventually


def asked(address: str, path: str) -> tuple[int, str]:
    """The status and text of a page that is asked for without a token."""
    try:
        with urllib.request.urlopen(f"{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        with e:
            return e.code, e.read().decode()


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Box]:
    """A box without doors, in this process."""
    box = Box(Config(home=tmp_path / "home", http_port=0, grpc_port=0))
    yield box
    box.close()


def test_a_good_box_is_alive_and_ready_and_says_so_to_anybody(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home", settings='token = "hidden"\n').start()
    try:
        address = box.client.status().address
        for path in ("/healthz", "/readyz"):
            eventually(lambda path=path: asked(address, path) == (200, "ok\n"), path)  # type: ignore[misc]
        assert asked(address, "/metrics")[0] == 401
        assert box.client.healthy()
        assert box.client.ready() == []
    finally:
        box.stop()


def test_a_box_that_refuses_writes_is_not_ready_and_says_why(tmp_path: Path) -> None:
    marks = "".join(f"disk_{mark}_percent = 1\n" for mark in ("warn", "pause", "refuse"))
    box = RealBox(tmp_path / "home", settings=marks + "quota_bytes = 1\n").start()
    try:
        address = box.client.status().address
        eventually(lambda: "starting" not in asked(address, "/readyz")[1], "it has started")
        status, text = asked(address, "/readyz")
        assert status == 503
        assert text.startswith("the disk is nearly full")
        assert "writes are refused" in text
        assert asked(address, "/healthz") == (200, "ok\n")
        assert len(box.client.ready()) == len(text.splitlines())
        box.client.create_repo("full")
        with pytest.raises(Exhausted), box.client.commit("full@master") as commit:
            commit.put_file("/a", b"x")
    finally:
        box.stop()


def test_a_box_is_starting_then_ready_then_stopping(inside: Box) -> None:
    assert health.ready(inside) == ["the box is starting"]
    assert health.alive(inside) == []
    inside.start()
    assert health.ready(inside) == []
    inside.request_stop()
    assert health.ready(inside) == ["the box is stopping"]
    assert health.alive(inside) == []


def test_a_writer_that_is_stuck_is_not_alive(inside: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.start()
    monkeypatch.setattr(health, "WRITER_S", 0.05)
    stuck = threading.Event()
    waiting = threading.Thread(target=lambda: inside.meta.write(lambda tx: stuck.wait(30)))
    waiting.start()
    said = eventually(lambda: health.alive(inside), "it is seen", 5)
    assert said[0].startswith("the metadata's writer has been at one group of changes for ")
    assert health.ready(inside) == said
    stuck.set()
    waiting.join()
    eventually(lambda: health.alive(inside) == [], "it goes on", 5)


def test_a_thread_that_has_ended_is_told(inside: Box) -> None:
    inside.start()
    inside.space.stop()
    assert health.alive(inside) == ["the thread of the disk's watch has ended"]


def test_what_could_not_be_written_is_tried_until_it_can(
    inside: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.start()
    barrier = inside.meta._barrier

    def broken() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(inside.meta, "_barrier", broken)
    with pytest.raises(Exception, match="could not be written"):
        inside.pfs.create_repo(Repo("default", "a"))
    assert "Input/output error" in eventually(lambda: health.ready(inside), "it is told", 5)[0]
    monkeypatch.setattr(inside.meta, "_barrier", barrier)
    eventually(lambda: health.ready(inside) == [], "it is seen to work", 5)
