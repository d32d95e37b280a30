"""Connections that send small PUTs share a thread, and notice nothing of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from pachybox.api.http import Request
from pachybox.api.lane import MOST_BYTES
from pachybox.api.listener import Listener
from pachybox.api.metrics import Metrics
from pachybox.api.response import Response
from pachybox.api.transport import Limits
from tests.boxes import eventually
from tests.unit.api.house import Raw

PAD = "p" * 20_000  # of an answer, so that few fill a client's buffer


class Echo(Listener):
    """Answers with the body, and who said it."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.batches: list[int] = []
        super().__init__(Limits(tick_s=0.05, idle_s=0.6), self.metrics, self.answer_all)
        self.address = self.listen_tcp("127.0.0.1", 0)

    def answer_all(self, pairs: list[tuple[Request, Response]]) -> None:
        self.batches.append(len(pairs))
        for request, response in pairs:
            self._send("lane", request, response)

    def answer(self, request: Request, response: Response) -> None:
        self._send("thread", request, response)

    def _send(self, who: str, request: Request, response: Response) -> None:
        body = b"" if "unread" in request.path else request.body.read_all(1 << 20, 10.0)
        pad = PAD if "pad" in request.path else ""
        response.send(200, "text/plain", bytes(body), [("Who", who), ("Pad", pad)])


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.stop(1.0)


def put(body: bytes, key: str = "b/k", head: str = "") -> bytes:
    return (
        f"PUT /{key} HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: {len(body)}\r\n{head}\r\n".encode()
        + body
    )


class Client(Raw):
    def answer(self) -> tuple[str, bytes]:
        status, headers = self.head()
        assert status == 200
        return headers["who"], self.exactly(int(headers["content-length"]))

    def ask(self, data: bytes) -> tuple[str, bytes]:
        self.send(data)
        return self.answer()


@pytest.fixture
def client(echo: Echo) -> Iterator[Client]:
    """One whose last request was a small PUT."""
    made = Client(echo.address)
    assert made.ask(put(b"first")) == ("thread", b"first")
    yield made
    made.close()


def test_a_connection_goes_to_and_fro(client: Client) -> None:
    """Small PUTs are answered in the lane; whatever else comes has a thread, and what follows."""
    body = os.urandom(900)
    for _ in range(3):
        assert client.ask(put(body)) == ("lane", body)
    for other in (
        b"GET /b/k HTTP/1.1\r\nHost: x\r\n\r\n",
        put(b"1", "b/k?acl"),
        put(b"2", "b"),
        put(b"3", head="X-Amz-Copy-Source: /b/k\r\n"),
        put(b"4" * (MOST_BYTES + 1)),
        b"\r\n" + put(b"5"),
        b"PUT /b/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n6\r\n0\r\n\r\n",
    ):
        assert client.ask(other)[0] == "thread", other
        client.ask(put(b"back"))
        assert client.ask(put(b"in the lane")) == ("lane", b"in the lane")
    client.send(put(b"7", head="Expect: 100-continue\r\n"))
    assert client.head()[0] == 100
    assert client.answer() == ("thread", b"7")
    assert client.ask(put(b"8" * MOST_BYTES))[1] == b"8" * MOST_BYTES


def test_a_request_may_come_in_pieces_or_with_others(client: Client) -> None:
    whole = put(b"body of it", head=f"X-Pad: {'x' * 300}\r\n")
    for cut in (1, 3, 5, 30, len(whole) - 12, len(whole) - 10, len(whole) - 1):
        client.send(whole[:cut])
        assert client.ask(whole[cut:])[1] == b"body of it"
        client.ask(whole)
    client.send(b"".join(put(b"%d" % i) for i in range(50)))
    assert [client.answer()[1] for _ in range(50)] == [b"%d" % i for i in range(50)]


def test_what_is_wrong_is_told_as_ever(echo: Echo, client: Client) -> None:
    client.close()
    for wrong in (put(b"x", head="bad header\r\n"), put(b"x", head="Content-Length: 2\r\n")):
        bad = Client(echo.address)
        bad.ask(put(b"first"))
        bad.send(wrong)
        assert bad.head()[0] == 400
        bad.until(b"}")
        assert not bad.more()
        bad.close()
    for last in (put(b"x", head="Connection: close\r\n"), put(b"unread", "b/unread")):
        one = Client(echo.address)
        one.ask(put(b"first"))
        assert one.ask(last)[0] == "lane"
        one.send(put(b"again"))
        assert one.more() is (b"unread" in last)
        one.close()
    eventually(lambda: echo.metrics.connections == 0, "all have left")


def test_a_client_that_takes_no_answer_slows_no_other(echo: Echo, client: Client) -> None:
    """Its answers wait for it, and all come; another is served meanwhile."""
    stalled = Client(echo.address)
    stalled.ask(put(b"first"))
    for _ in range(1000):  # with their padding, more than sockets hold
        stalled.send(put(b"z", "b/pad"))
        assert client.ask(put(b"mine"))[1] == b"mine"
    for _ in range(1000):
        assert stalled.answer()[1] == b"z"
    stalled.close()


def test_idle_and_slow_clients(echo: Echo, client: Client) -> None:
    """One that idles is hung up on, one that goes on slowly is not lost; leaving is noticed."""
    slow = Client(echo.address)
    slow.ask(put(b"first"))
    whole = put(b"slowly", head=f"X-Pad: {'x' * 30}\r\n")
    for at in range(0, len(whole), 10):
        threading.Event().wait(0.02)  # slower than a tick, all in all
        slow.send(whole[at : at + 10])
    assert slow.answer()[1] == b"slowly"
    gone = Client(echo.address)
    gone.ask(put(b"first"))
    gone.close()
    assert not client.more()
    slow.close()
    eventually(lambda: echo.metrics.connections == 0, "all have left")


def test_many_at_once_and_an_end(echo: Echo) -> None:
    """What came meanwhile is answered together; stopping ends connections that wait here."""
    clients = [Client(echo.address) for _ in range(20)]
    for one in clients:
        one.ask(put(b"first"))
    for _ in range(20):
        for number, one in enumerate(clients):
            one.send(put(b"%d" % number))
        for number, one in enumerate(clients):
            assert one.answer() == ("lane", b"%d" % number)
    assert max(echo.batches) > 1
    echo.stop(1.0)
    for one in clients:
        assert not one.more()
        one.close()
