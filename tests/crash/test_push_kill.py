"""Records posted with keys while box and source are killed: each that was taken is there, once."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from pachybox.errors import PachyboxError
from tests.boxes import RealBox, eventually, free_port
from tests.flow.posting import Poster, committed, records, source

KILLS = int(os.environ.get("PACHYBOX_TEST_KILLS", "5"))
_CLIENTS = 4


class Client(threading.Thread):
    """Posts a record after the other, each until it is known to be taken."""

    def __init__(self, box: RealBox, address: str, number: int) -> None:
        super().__init__(daemon=True)
        self._box, self._address, self._number = box, address, number
        self.stopping = threading.Event()
        self.taken: list[str] = []
        self.again = 0
        self.wrong: list[str] = []

    def run(self) -> None:
        post = Poster(self._box, address=self._address)
        number = 0
        while not self.stopping.is_set() and self._post(post, f"{self._number}-{number}"):
            number += 1
        post.close()

    def _post(self, post: Poster, name: str) -> bool:
        """Post one until it is known to be taken; False when it was refused."""
        while True:
            try:
                answer = post("events", {"id": name}, key=name)
            except (OSError, HTTPException):
                post.close()
            else:
                if answer.status == 200:
                    self.taken.append(name)
                    self.again += answer.json["duplicate"]
                    return True
                if answer.status != 503:
                    self.wrong.append(f"{answer.status} {answer.body!r}")
                    return False
            time.sleep(0.02)  # nobody listens: the box is being started


@pytest.fixture
def pushed(tmp_path: Path) -> Iterator[tuple[RealBox, str]]:
    port = free_port()
    box = RealBox(tmp_path / "home", settings=f"http_port = {port}\n")
    text = (box.home / "box.toml").read_text().replace("http_port = 0\n", "")
    (box.home / "box.toml").write_text(text)
    box.start()
    source(box.client, "events", group={"time": "300ms", "records": 700})
    yield box, f"127.0.0.1:{port}"
    box.stop()


def test_each_record_that_was_taken_is_committed_once(pushed: tuple[RealBox, str]) -> None:
    box, address = pushed
    chance = random.Random(int(os.environ.get("PACHYBOX_TEST_SEED") or random.randrange(1 << 30)))
    clients = [Client(box, address, number) for number in range(_CLIENTS)]
    for client in clients:
        client.start()
    for kill in range(KILLS):
        before = sum(len(client.taken) for client in clients)
        moment = before + chance.randrange(50, 800)
        eventually(lambda m=moment: sum(len(c.taken) for c in clients) > m, "the load goes on")
        if kill % 3 == 1:
            with suppress(ProcessLookupError, PachyboxError):
                if pid := box.client.inspect_ingest("events").pid:
                    os.kill(pid, signal.SIGKILL)
        else:
            box.kill()
            box.start()
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(60)
    assert [one for client in clients for one in client.wrong] == []
    taken = {name for client in clients for name in client.taken}
    box.client.run_ingest("events")
    committed(box.client, "events", len(taken))
    found = Counter(json.loads(one)["id"] for one in records(box.client, "events@master"))
    assert [name for name, count in found.items() if count > 1] == []
    assert set(found) == taken
    again = sum(client.again for client in clients)
    print(f"{len(taken)} records, {KILLS} kills, {again} known again")
