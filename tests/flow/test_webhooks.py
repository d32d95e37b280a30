"""Webhooks: what is told, signed, again until it is heard, in order, and never in the way."""

from __future__ import annotations

import hashlib
import hmac
import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pachybox.box import Box
from pachybox.config import WEBHOOK_EVENTS, Config, Webhook
from pachybox.ingest import lateness
from pachybox.meta.tables import EVENTS
from pachybox.meta.writer import utc_now
from pachybox.model.events import Event
from pachybox.webhooks import hook, message, post
from pachybox.webhooks.post import shown
from tests.boxes import RealBox, eventually, free_port


@dataclass
class Ear:
    """A program that listens to webhooks, and answers with a status that a test sets."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    hangs: threading.Event | None = None
    deaf_to: str = ""
    port: int = 0
    heard: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://user:word@127.0.0.1:{self.port}/hook?key=hidden"

    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.heard]

    def listen(self) -> Ear:
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if ear.hangs is not None:
                    ear.hangs.wait(30)
                deaf = self.headers["pachybox-event"] == ear.deaf_to
                if not deaf:
                    ear.heard.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(503 if deaf else ear.status)
                for name, value in ear.headers:
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def close(self) -> None:
        if self.hangs is not None:
            self.hangs.set()
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


Ears = Callable[..., Ear]


@pytest.fixture
def ears() -> Iterator[Ears]:
    made: list[Ear] = []

    def make(**how: Any) -> Ear:
        made.append(Ear(**how))
        return made[-1]

    yield make
    for ear in made:
        ear.close()


def hooked(home: Path, *ears: Ear, more: str = "") -> RealBox:
    tables = "".join(f'[[webhook]]\nurl = "{ear.url}"\n{more}' for ear in ears)
    return RealBox(home, settings=tables)


def listing(box: RealBox) -> dict[str, Any]:
    """How the one webhook does."""
    return next(iter(box.client.list_webhook()))


def fail(box: RealBox, count: int) -> list[str]:
    """Have ``count`` jobs fail, and one more of another pipeline succeed; their ids in order."""
    client = box.client
    if not list(client.list_repo()):
        client.create_repo("in")
        for name, script in (("bad", "exit 1"), ("good", "true")):
            client.create_pipelines(
                json.dumps(
                    {
                        "pipeline": {"name": name},
                        "input": {"pfs": {"repo": "in", "glob": "/"}},
                        "transform": {"cmd": ["sh", "-c", script]},
                        "datum_tries": 1,
                    }
                )
            )
    ids = []
    for number in range(count):
        with client.commit("in@master") as commit:
            commit.put_file(f"/{number}", str(time.time_ns()).encode())
        ids.append(commit.id)
        for name in ("bad", "good"):
            client.wait_job(f"{name}@{commit.id}")
    return ids


def test_a_failed_job_is_told_signed_and_what_was_not_asked_for_is_not(
    tmp_path: Path, ears: Ears
) -> None:
    ear = ears().listen()
    more = 'events = ["job_failed"]\nsecret = "between us"\n'
    box = hooked(tmp_path / "home", ear, more=more).start()
    try:
        ids = fail(box, 3)
        eventually(lambda: len(ear.heard) == 3, "all are told")
        told = ear.bodies()
        assert [one["data"]["id"] for one in told] == ids
        assert {one["event"] for one in told} == {"job_failed"}
        assert len({one["id"] for one in told}) == 3
        assert f": job {ids[0]} of pipeline bad failed: " in told[0]["text"]
        assert told[0]["box"]["address"] == box.client.status().address
        headers, body = ear.heard[0]
        stamp, mark = (part.partition("=")[2] for part in headers["pachybox-signature"].split(","))
        right = hmac.new(b"between us", f"{stamp}.".encode() + body, hashlib.sha256)
        assert hmac.compare_digest(mark, right.hexdigest())
        assert abs(int(stamp) - time.time()) < 60
        assert headers["pachybox-delivery"] == told[0]["id"]
        assert headers["authorization"] == "Basic dXNlcjp3b3Jk"
        log = (box.home / "run" / "box.log").read_text()
        listed = box.cli("webhook", "list", "--raw")
        for secret in ("between us", "hidden", "word@"):
            assert secret not in log + listed + (box.home / "webhooks.json").read_text()
        eventually(lambda: listing(box).get("delivered") == "3", "they are counted")
    finally:
        box.stop()


def test_what_nobody_heard_is_told_again_after_kill_9_and_in_order(
    tmp_path: Path, ears: Ears
) -> None:
    ear = ears(port=free_port())
    box = hooked(tmp_path / "home", ear).start()
    try:
        first = fail(box, 2)
        waits = eventually(
            lambda: [w for w in box.client.status().warnings if "does not answer" in w], "it warns"
        )
        assert "hidden" not in waits[0]
        assert listing(box)["waiting"] == "4"
        box.kill()
        ear.listen()
        box.start()
        again = fail(box, 1)
        eventually(lambda: len(ear.heard) >= 6, "all are told")
        told = ear.bodies()
        by_id = list(dict.fromkeys(one["id"] for one in told))
        assert len(by_id) == 6  # none twice under another id
        failed = [one["data"]["id"] for one in told if one["event"] == "job_failed"]
        assert failed == first + again
        numbers = [int(one.rpartition("-")[2]) for one in by_id]
        assert numbers == sorted(numbers)
        eventually(lambda: not box.client.status().warnings, "the warning goes")
        eventually(lambda: not int(listing(box).get("waiting", "0")), "it knows that all are told")
        box.stop()
        box.start()
        fail(box, 1)
        eventually(lambda: len({one["id"] for one in ear.bodies()}) == 8, "what came since is told")
        assert len(ear.heard) == len(told) + 2  # what was told is not told again
    finally:
        box.stop()


def test_one_that_hangs_or_redirects_is_in_nobodys_way(tmp_path: Path, ears: Ears) -> None:
    well, other = ears().listen(), ears().listen()
    hanging = ears(hangs=threading.Event()).listen()
    leading = ears(status=302, headers=(("Location", other.url),)).listen()
    box = hooked(tmp_path / "home", hanging, leading, well).start()
    try:
        fail(box, 1)
        eventually(lambda: len(well.heard) == 2, "the well one is told")
        done = box.run("webhook", "test", "2", "--raw")
        assert done.returncode == 1
        assert json.loads(done.stdout)["error"].endswith("redirects (302), which is not followed")
        assert other.heard == []
        assert "200" in box.cli("webhook", "test", "3")
        assert box.run("webhook", "test", "9").returncode == 1
        began = time.monotonic()
        box.stop()
        assert time.monotonic() - began < 9  # nobody waits for the one that hangs
    finally:
        box.stop()


def test_two_of_one_address_are_told_each_of_its_own(tmp_path: Path, ears: Ears) -> None:
    """What one has been told is not taken for told to the other, whatever is killed."""
    ear = ears(deaf_to="job_succeeded").listen()
    tables = "".join(
        f'[[webhook]]\nurl = "{ear.url}"\nevents = ["{name}"]\n'
        for name in ("job_failed", "job_succeeded")
    )
    box = RealBox(tmp_path / "home", settings=tables).start()
    try:
        fail(box, 2)
        eventually(lambda: len(ear.heard) == 2, "the one is told")
        eventually(lambda: next(iter(box.client.list_webhook())).get("delivered") == "2", "kept")
        box.kill()
        ear.deaf_to = ""
        box.start()
        eventually(lambda: len(ear.heard) == 4, "the other is told")
        assert [b["event"] for b in ear.bodies()] == ["job_failed"] * 2 + ["job_succeeded"] * 2
    finally:
        box.stop()


def _repeats(peer: socket.socket) -> None:
    peer.sendall(peer.recv(65536))


def _drips(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while not select.select([peer], [], [], 0.02)[0] or peer.recv(65536):
        peer.sendall(b"x")


def _goes_on(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def _floods(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        peer.sendall(bytes(1 << 16))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_repeats, "not in HTTP (BadStatusLine)"),
        (_drips, "did not answer in 0.3 s"),
        (_goes_on, "did not answer in 0.3 s"),
        (_floods, ""),
    ],
)
def test_no_answer_takes_long_or_is_repeated(
    answer: Callable[[socket.socket], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that never ends is cut off, and what is said may be the address with its secret."""
    monkeypatch.setattr(post, "TIMEOUT_S", 0.3)

    def serve() -> None:
        peer = server.accept()[0]
        with peer, suppress(OSError):
            answer(peer)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        told = post.post(f"{address}/hidden", b"{}", {})
        assert time.monotonic() - began < 30
    assert told.error.endswith(said)
    assert bool(told.error) == bool(said)
    assert "hidden" not in told.error
    assert len(told.error) < 200


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('url = "http://h:hidden/"', "webhook 1 needs a url"),
        ('url = "http://h:99999/hidden"', "webhook 1 needs a url"),
        ('url = "http://h/hid den"', "webhook 1 needs a url"),
        ('url = "http:///hidden"', "webhook 1 needs a url"),
        ('url = "http://u\u2100r:hidden@h/"', "webhook 1 needs a url"),
        ('url = "http://h/hidden"\nsecret = 1', "webhook 1: its secret is no text"),
        ('url = "http://h/hidden"\nevents = ["x"]', "webhook 1: events are a list of known"),
        ('url = "http://h/hidden"\nevents = [["x"]]', "webhook 1: events are a list of known"),
    ],
)
def test_a_table_that_cannot_be_is_refused_without_its_secret(
    tmp_path: Path, table: str, said: str
) -> None:
    box = RealBox(tmp_path / "home", settings=f"[[webhook]]\n{table}\n")
    done = box.run("config", "get")
    assert done.returncode == 1
    assert said in done.stderr
    assert "hidden" not in done.stderr


def test_what_will_never_be_taken_is_dropped_and_counted(tmp_path: Path, ears: Ears) -> None:
    ear = ears(status=400).listen()
    box = hooked(tmp_path / "home", ear).start()
    try:
        fail(box, 1)

        eventually(lambda: listing(box).get("dropped") == "2", "both are dropped")
        assert any("2 dropped" in warning for warning in box.client.status().warnings)
        ear.status = 200
        fail(box, 1)
        eventually(lambda: len(ear.heard) == 4, "what comes then is told")
        assert len({one["id"] for one in ear.bodies()}) == 4
    finally:
        box.stop()


def test_what_is_too_old_is_dropped_when_it_fails(
    tmp_path: Path, ears: Ears, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "_FIRST_S", 0.02)
    monkeypatch.setattr(hook, "KEPT", hook.KEPT * 0)
    ear = ears(status=503).listen()
    home = tmp_path / "home"
    settings = (Webhook(ear.url),)
    box = Box(Config(home=home, http_port=0, grpc_port=0, webhooks=settings))
    try:
        box.start()
        box.meta.write(lambda tx: tx.event("disk.level", level="warn", was="free", used_percent=90))
        eventually(lambda: box.webhooks.all[0].told.dropped == 1, "it is dropped")
        eventually(lambda: box.webhooks.all[0].place == box.meta.last_event, "the next is next")
    finally:
        box.close()


def test_a_cron_that_is_late_is_told_once_until_it_ticks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lateness, "_LOOK_S", 0.02)
    monkeypatch.setattr(lateness, "TOLD_S", 0.3)
    box = Box(Config(home=tmp_path / "home", http_port=0, grpc_port=0))
    try:
        box.lateness.start()  # and not the crons
        spec = {
            "pipeline": {"name": "p"},
            "input": {"cron": {"name": "tick", "spec": "@every 1s"}},
            "transform": {"cmd": ["true"]},
        }
        box.pps.create(json.dumps(spec), "spec", project="default")

        def told() -> list[Event]:
            return box.meta.select(EVENTS, "WHERE kind = 'ingest.late' ORDER BY seq")

        found = eventually(told, "it is told")
        assert message.name_of(found[0]) == "ingest_late"
        assert found[0].data["ingest"] == "p_tick"
        assert message.text("ingest_late", found[0].data, "here").startswith("here: ingest p_tick")
        eventually(lambda: box.ingests.list()[0].status.lag_s > 1.5, "it is later still")
        assert len(told()) == 1
    finally:
        box.close()


def test_each_event_of_the_settings_is_made_of_one_of_the_log() -> None:
    events = [
        ("job.state", {"state": "JOB_FAILURE"}), ("job.state", {"state": "JOB_SUCCESS"}),
        ("disk.level", {"level": "warn"}), ("ingest.late", {}),
        ("ingest.state", {"state": "crashing"}), ("backup.done", {}), ("backup.failed", {}),
    ]  # fmt: skip
    made = [Event(1, utc_now(), kind, data) for kind, data in events]
    names = [message.name_of(event) for event in made]
    assert set(names) == set(WEBHOOK_EVENTS)
    assert {event.kind for event in made} == set(message.KINDS)
    for event, name in zip(made, names, strict=True):
        assert message.text(name, event.data, "here").startswith("here: ")
    for kind, data in (("job.state", {"state": "JOB_RUNNING"}), ("repo.created", {})):
        assert message.name_of(Event(1, utc_now(), kind, data)) == ""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://u:p@hooks.example.org/services/T0/B0?x=1", "https://hooks.example.org/..."),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(url: str, said: str) -> None:
    assert shown(url) == said
