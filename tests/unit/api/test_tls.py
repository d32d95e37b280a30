"""TLS below the doors: bytes in any pieces, slow peers, who says nothing."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import cert
from pachybox.api.certificates import Certificates
from pachybox.api.transport import Limits
from pachybox.tls import TlsSocket, client_context
from tests.boxes import eventually
from tests.unit.api.conftest import Serve


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    cert.make(made, ["localhost"], 2)
    return made


@pytest.fixture(scope="module")
def certificates(home: Path) -> Certificates:
    return Certificates(home / "tls" / "cert.pem", home / "tls" / "key.pem")


@pytest.fixture(scope="module")
def context(home: Path) -> ssl.SSLContext:
    return client_context(str(home / "tls" / "ca.pem"))


Pair = tuple[TlsSocket, TlsSocket]


@pytest.fixture(scope="module")
def pair(certificates: Certificates, context: ssl.SSLContext) -> Iterator[Pair]:
    """Both ends of a connection whose socket holds little."""
    near, far = socket.socketpair()
    for sock in (near, far):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    server = TlsSocket(
        far, certificates.context(), server_side=True, timeout_s=0.02, late=BlockingIOError
    )
    client = TlsSocket(near, context, server_side=False, hostname="localhost", timeout_s=5.0)
    thread = threading.Thread(target=server.handshake, args=(10.0,))
    thread.start()
    client.handshake(10.0)
    thread.join()
    with closing(client), closing(server):
        yield client, server


def push(sock: TlsSocket, data: bytes, *, wait: bool) -> None:
    """As a wire writes: what was not taken is offered again, with more behind it perhaps."""
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view, 0 if wait else socket.MSG_DONTWAIT) :]
        except BlockingIOError:
            continue


@given(
    pieces=st.lists(st.integers(0, 200_000), max_size=6),
    reads=st.lists(st.integers(1, 100_000), min_size=1, max_size=4),
    wait=st.booleans(),
    turned=st.booleans(),
)
def test_bytes_arrive_as_they_were_sent_in_any_pieces(
    pair: Pair, pieces: list[int], reads: list[int], wait: bool, turned: bool
) -> None:
    sender, receiver = pair[::-1] if turned else pair
    sent = [bytes([i + 1]) * n for i, n in enumerate(pieces)]
    whole = b"".join(sent)

    def send() -> None:
        for data in sent:
            push(sender, data, wait=wait)

    thread = threading.Thread(target=send)
    thread.start()
    got = bytearray()
    turn = 0
    while len(got) < len(whole):
        target = bytearray(min(reads[turn % len(reads)], len(whole) - len(got)))
        turn += 1
        try:
            n = receiver.recv_into(target)
        except BlockingIOError:
            continue
        assert n
        got += target[:n]
    thread.join()
    assert got == whole
    with pytest.raises(BlockingIOError):
        receiver.recv_into(bytearray(1), 0, socket.MSG_DONTWAIT)


def test_both_ends_may_send_at_once(pair: Pair) -> None:
    data = bytes(range(256)) * 4000
    got: dict[int, bytearray] = {0: bytearray(), 1: bytearray()}

    def take(which: int) -> None:
        target = bytearray(10_000)
        while len(got[which]) < len(data):
            try:
                got[which] += target[: pair[which].recv_into(target)]
            except BlockingIOError:
                continue

    threads = [threading.Thread(target=take, args=(i,)) for i in (0, 1)]
    threads += [
        threading.Thread(target=push, args=(pair[i], data), kwargs={"wait": True}) for i in (0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got[0] == got[1] == data


def test_waiting_is_bounded(pair: Pair) -> None:
    client, server = pair
    with pytest.raises(BlockingIOError):
        server.recv_into(bytearray(1))
    client.settimeout(0.01)
    with pytest.raises(TimeoutError):
        client.recv_into(bytearray(1))
    with pytest.raises(TimeoutError):
        client.sendall(bytes(1 << 20))
    client.settimeout(5.0)


def open_to(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address, 10)


def test_connections_that_say_nothing_make_room(
    serve: Serve, certificates: Certificates, context: ssl.SSLContext
) -> None:
    served = serve(limits=Limits(connections=2, spare_s=0.0))
    address = served.server.listen_tcp("127.0.0.1", 0, tls=certificates)
    silent = [open_to(address) for _ in range(2)]

    def idling() -> int:
        return [wire.idle_since > 0 for wire in list(served.server._wires)].count(True)

    eventually(lambda: idling() == 2, "both wait for a first byte")
    with context.wrap_socket(open_to(address), server_hostname="localhost") as third:
        third.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert third.recv(12) == b"HTTP/1.1 200"
    for sock in silent:
        sock.close()


def test_a_handshake_that_stalls_ends(serve: Serve, certificates: Certificates) -> None:
    served = serve(limits=Limits(head_s=0.1, tick_s=0.05))
    address = served.server.listen_tcp("127.0.0.1", 0, tls=certificates)
    for begun in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
        with open_to(address) as sock:
            sock.sendall(begun)
            assert sock.recv(100) == b""


def test_a_connection_is_ended_with_leave(
    serve: Serve, certificates: Certificates, context: ssl.SSLContext
) -> None:
    """Else a client could not tell the end of an answer from a cut."""
    address = serve().server.listen_tcp("127.0.0.1", 0, tls=certificates)
    with context.wrap_socket(
        open_to(address), server_hostname="localhost", suppress_ragged_eofs=False
    ) as sock:
        sock.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = b""
        while piece := sock.recv(1000):
            answer += piece
        assert answer.endswith(b"ok\n")
