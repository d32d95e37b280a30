"""kill -9 of the daemon between and within the steps of a source: every batch is there once."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

from pachybox.client import Client
from pachybox.errors import NotFound, Unreachable
from tests.boxes import RealBox, eventually

LIVES = 4
LEAST = 3  # batches of a life, so that kills come in the middle of something


class Feeder:
    """A source's other half: makes the same step until it is answered, then the next."""

    def __init__(self, box: RealBox) -> None:
        self._box = box
        self.stop = threading.Event()
        self.batch = 0  # the last that was answered
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self.stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                with Client(str(self._box.socket)) as client:
                    self._step(client, self.batch + 1)
            except (Unreachable, NotFound):  # the box is away, or was with the fileset on its way
                self.stop.wait(0.01)
            else:
                self.batch += 1

    def _step(self, client: Client, batch: int) -> None:
        with client.upload_fileset() as put:
            put.data("/all", b"%d\n" % batch)
            put.data(f"/one/{batch}", b"%d" % batch)
        with client.upload_fileset() as dead:
            dead.data("/bad", b"%d\n" % batch)
        client.advance_ingest(
            "s", version=1, batch=batch, offset=json.dumps({"at": batch}), append=True,
            fileset=put.fileset, dead=dead.fileset, records=3, files=2, dead_letters=1,
        )  # fmt: skip


def test_every_batch_is_there_once_whenever_the_box_is_killed(tmp_path: Path) -> None:
    draw = random.Random(7)
    box = RealBox(tmp_path / "home").start()
    box.client.create_repo("raw")
    box.client.create_ingest({"name": "s", "to": "raw@master", "push": {}})
    box.client.pause_ingest("s")  # its own program would be in the way
    feeder = Feeder(box)
    feeder.start()
    try:
        for _ in range(LIVES):
            goal = feeder.batch + LEAST
            eventually(lambda goal=goal: feeder.batch >= goal, "the source gets on")
            feeder.stop.wait(draw.uniform(0.0, 0.1))
            box.kill()
            box.start()
            shown = box.client.inspect_ingest("s")
            assert shown.batch == shown.offset["at"] == shown.commits, "they come together"
            assert (shown.records, shown.dead_letters) == (3 * shown.batch, shown.batch)
        feeder.end()
        shown, answered = box.client.inspect_ingest("s"), feeder.batch
        assert answered <= shown.batch <= answered + 1, "nothing that was answered is gone"
        batches = list(range(1, shown.batch + 1))
        numbers = "".join(f"{n}\n" for n in batches).encode()
        assert box.client.get_file("raw@master:/all") == numbers
        assert box.client.get_file("raw@dead-letters:/bad") == numbers
        names = [f.path for f in box.client.list_file("raw@master:/one")]
        assert sorted(names) == sorted(f"/one/{n}" for n in batches)
        assert len(list(box.client.list_commit("raw@master"))) == shown.batch
        assert [f for f in box.client.fsck() if f.get("level") != "info"] == []
    finally:
        feeder.end()
        box.kill()
