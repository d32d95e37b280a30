"""A disk that fills up past its three marks and is freed again: what is said, held and refused."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from pachybox.client import Client
from pachybox.errors import Exhausted
from tests.boxes import RealBox, eventually
from tests.crash.disks import SmallDisk, until_refused
from tests.flow.posting import Poster
from tests.flow.test_spouts import ingest, spec


@pytest.fixture
def disk(small_disk: Callable[[int], SmallDisk]) -> SmallDisk:
    return small_disk(400 << 20)  # what the box itself writes is a small part of a percent


@pytest.fixture
def box(disk: SmallDisk) -> Iterator[RealBox]:
    made = RealBox(disk.where / "home").start()
    yield made
    disk.release()
    made.stop()


def figure(box: RealBox, name: str) -> float:
    with urllib.request.urlopen(f"{box.client.status().address}/metrics") as page:
        found = re.search(rf"^{re.escape(name)} (\S+)$", page.read().decode(), re.MULTILINE)
    assert found, name
    return float(found[1])


def level(box: RealBox) -> float:
    return figure(box, "pachybox_disk_level")


def doctor(client: Client) -> tuple[str, str]:
    [found] = [f for f in client.doctor() if f["check"] == "disk"]
    return found["level"], f"{found['detail']}; {found.get('remedy')}"


def test_each_mark_is_kept_on_the_way_up_and_a_point_below_it_on_the_way_down(
    box: RealBox, disk: SmallDisk
) -> None:
    client, post = box.client, Poster(box)
    client.create_repo("raw")
    client.create_repo("other")
    client.put_file("other@master:/old", bytes(1000))
    part = {"group": {"time": "50ms"}}
    client.create_ingest({"name": "events", "to": "raw@master", "push": part})

    def comes(state: str) -> None:
        eventually(lambda: client.inspect_ingest("events").state == state, f"it is {state}")

    def brings(count: int) -> None:
        assert post("events", {"n": count}).status == 200
        eventually(lambda: client.inspect_ingest("events").records == count, "it is committed")

    brings(1)
    assert client.status().warnings == ()
    assert level(box) == 0

    disk.fill_to(86)
    [said] = client.status().warnings
    assert "the disk is 86" in said
    assert "held at 92 %, writes are refused at 95 %; free some space" in said
    assert doctor(client) == ("warn", said)
    assert (level(box), round(figure(box, "pachybox_disk_used_percent"))) == (1, 86)
    brings(2)

    disk.fill_to(93)
    comes("held")
    found = client.inspect_ingest("events")
    assert re.fullmatch(r"disk 93(\.\d)? % full: ingest goes on below 91 %", found.reason)
    eventually(lambda: client.inspect_ingest("events").pid == 0, "its process ends")
    answer = post("events", {"n": 3})
    assert (answer.status, "disk 93" in answer.error) == (503, True)
    client.put_file("other@master:/new", bytes(1000))  # what users write is taken
    assert "are held until it is below 91 %" in client.status().warnings[0]

    disk.fill_to(91.5)  # not a point below the mark
    assert "disk is 91" in client.status().warnings[0]
    assert (level(box), client.inspect_ingest("events").state) == (2, "held")
    disk.fill_to(90.5)
    comes("running")
    brings(3)

    disk.fill_to(96)
    refused = until_refused(lambda i: client.put_file(f"other@master:/{i}", bytes(1000)))
    assert re.search(r"\(96(\.\d)? % used\), writes are refused from 95 % on$", refused.message)
    assert refused.hint.endswith("; writes go on below 94 %")
    assert level(box) == 3
    comes("held")
    assert client.get_file("other@master:/new") == bytes(1000)
    client.pause_ingest("events")  # what does not grow goes on, above all what frees space
    client.resume_ingest("events")
    client.delete_file("other@master:/old")
    client.delete_repo("other")
    client.collect_garbage()
    disk.fill_to(94.5)
    with pytest.raises(Exhausted):
        client.put_file("raw@side:/x", bytes(1000))
    disk.fill_to(93.5)
    client.put_file("raw@side:/x", bytes(1000))
    assert level(box) == 2

    disk.release()
    comes("running")
    brings(4)
    assert client.status().warnings == ()

    def told() -> list[tuple[str, str]]:
        with client.events(kinds=["disk."]) as events:
            return [(e.data["was"], e.data["level"]) for e in events]

    steps = ["free", "warn", "pause", "warn", "refuse", "pause", "free"]
    eventually(lambda: told() == list(pairwise(steps)), "each change is told")
    post.close()


def test_an_archive_without_end_stops_at_the_mark_whatever_its_program_does(
    box: RealBox, disk: SmallDisk
) -> None:
    program = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open("/pfs/out", "wb") as pipe:
    archive(pipe, ("small", b"1"))
    info = tarfile.TarInfo("huge")
    info.size = 1 << 40
    pipe.write(info.tobuf())
    while True:
        pipe.write(bytes(1 << 20))
"""
    box.client.create_pipelines(spec("flood", program, spout={"overwrite": True}))
    eventually(lambda: "nearly full, and 3" in ingest(box, "flood").error, "it is told why it ends")
    assert box.client.get_file("flood@master:/small") == b"1", "what was whole is there"
    eventually(lambda: disk.percent < 20, "what had come is gone")
    box.client.delete_pipeline("flood")
