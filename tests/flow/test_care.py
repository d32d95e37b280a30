"""A box looks after itself, says how that went, and finds what rots on its disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boxes import RealBox, eventually


def rot(home: Path, what: str) -> Path:
    """Change a byte in the middle of the first file that matches."""
    path = sorted(home.glob(what))[0]
    mode = path.stat().st_mode
    path.chmod(0o600)
    with open(path, "r+b") as f:
        f.seek(path.stat().st_size // 2)
        byte = f.read(1)[0]
        f.seek(-1, 1)
        f.write(bytes([byte ^ 1]))
    path.chmod(mode)
    return path


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[RealBox]:
    """A box whose janitor comes each second."""
    made = RealBox(tmp_path / "home", settings="gc_interval_s = 1\n").start()
    yield made
    made.stop()


def test_the_last_round_is_shown_and_outlives_a_restart(quick: RealBox) -> None:
    client = quick.client
    client.create_repo("data")
    client.put_file("data@master:/big", bytes(range(256)) * 8000)
    client.delete_repo("data", force=True)

    def freed() -> bool:
        return "freed 1.9" in quick.client.status().janitor

    eventually(freed, "a round that frees the file is shown")
    client.create_repo("other")  # takes along what nobody waits for
    quick.kill()
    quick.start()
    assert "no round" not in quick.client.status().janitor
    assert "Janitor: just now, in" in quick.cli("status")


def test_a_scrub_finds_what_rots_tells_it_and_sees_it_mended(box: RealBox) -> None:
    client = box.client
    client.create_repo("data")
    data = bytes(range(256)) * 8000
    client.put_file("data@master:/big", data)
    assert box.run("scrub", "--now").returncode == 0
    path = rot(box.home, "store/objects/*/*[0-9a-f]")

    done = box.run("scrub", "--now", "--raw")
    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert said["ended"]
    assert [d["path"] for d in said["damage"]] == [str(path)]
    assert [f.rpartition(":")[2] for f in said["damage"][0]["files"]] == ["/big"]
    head = client.inspect_commit("data@master").id
    where = f"data@{head}:/big"
    assert any(where in text for text in client.status().warnings)

    def failing() -> list[dict[str, str]]:
        return [f for f in client.doctor() if f["check"] == "scrub" and f["level"] == "fail"]

    found = eventually(failing, "doctor tells of it")
    assert where in found[0]["detail"]
    assert "pachybox fsck" in found[0]["remedy"]
    assert [e.data["files"] for e in client.events(kinds=["scrub.damaged"])] == [[where]]
    assert box.run("get", "file", "data@master:/big").returncode == 1

    box.kill()  # it is known to the next process
    box.start()
    assert any(where in text for text in box.client.status().warnings)
    assert box.run("scrub", "--now").returncode == 1

    box.client.put_file("data@master:/big", data)  # stored afresh, for all that name it
    assert box.run("scrub", "--now").returncode == 0
    assert box.client.status().warnings == ()
    assert box.client.get_file(where) == data
    eventually(lambda: list(box.client.events(kinds=["scrub.mended"])), "it is told as mended")


def test_rot_in_a_pack_is_found_while_the_box_takes_more(box: RealBox) -> None:
    client = box.client
    client.create_repo("data")
    with client.put("data@master") as put:
        for i in range(50):
            put.data(f"/f{i}", bytes([i]) * 3000)
    box.stop()
    rot(box.home, "store/packs/*.pack")
    box.start()
    stream = box.client.scrub(now=True)
    box.client.put_file("data@master:/more", b"more")
    last = list(stream)[-1]
    assert last["ended"]
    assert int(last["damaged"]) >= 1
    assert all("is not what its hash says" in d["detail"] for d in last["damage"])
    assert box.client.get_file("data@master:/more") == b"more"
