"""Requests as they should not be: malformed, too large, too slow, cut short."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pachybox.api.http import Rejected, parse_head
from pachybox.api.transport import Limits
from pachybox.errors import Refused
from tests.boxes import eventually
from tests.examples import many
from tests.unit.api.conftest import Serve, Served
from tests.unit.api.house import Raw

CALL = b"POST /api/versionpb_v2.API/GetVersion HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /healthz\r\n\r\n", 400),
        (b"get /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        (b"GET healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nbad name: x\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nname : x\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: a\r\n folded\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: a\nb: c\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: \x00\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400),
        (CALL + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (CALL + b"Content-Length: -1\r\n\r\n", 400),
        (CALL + b"Content-Length: 2x\r\n\r\n{}", 400),
        (CALL + b"Content-Length: +2\r\n\r\n{}", 400),
        (CALL + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (CALL + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (CALL + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n", 400),
        (CALL + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}junk\r\n0\r\n\r\n", 400),
        (CALL + b"Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", 400),
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: " + b"a" * 9000, 431),
        (b"GET /pfs/%ff/r/m/f HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /api/versionpb_v2.API/GetVersion HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"DELETE /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ],
)
def test_a_request_that_cannot_be_right_is_refused(
    client: Raw, request_bytes: bytes, status: int
) -> None:
    client.send(request_bytes)
    got, _, body = client.answer()
    assert got == status
    assert json.loads(body)["message"]


@given(st.binary(max_size=200))
@settings(max_examples=many(300), deadline=None)
def test_any_bytes_are_a_head_or_refused(data: bytes) -> None:
    for head in (data, b"GET / HTTP/1.1\r\n" + data):
        try:
            method, target, _, headers = parse_head(head, Limits())
        except Rejected:
            continue
        assert method.isalpha()
        assert " " not in target
        assert not any("\n" in v or "\r" in v for v in headers.values())


def test_the_server_lives_on_after_what_it_refused(client: Raw, served: Served) -> None:
    client.send(b"\x00\xff\x16\x03\x01\r\n\r\n")
    assert client.answer()[0] == 400
    again = Raw(served.tcp)
    assert again.call("versionpb_v2.API/GetVersion", {})[0] == 200
    again.close()


def test_tcp_requests_need_a_host(remote: Raw) -> None:
    remote.send(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert remote.answer()[0] == 400


def test_a_whole_url_as_target_is_understood(remote: Raw) -> None:
    remote.send(b"GET http://localhost/healthz HTTP/1.1\r\nHost: other\r\n\r\n")
    assert remote.answer()[0] == 200
    remote.send(b"GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert remote.answer()[0] == 403


def test_close_is_honoured(client: Raw) -> None:
    status, headers, _ = client.request("GET", "/healthz", connection="close")
    assert (status, headers["connection"]) == (200, "close")
    assert client.ended()


def test_http_1_0_gets_its_answer_and_the_end(client: Raw) -> None:
    client.send(b"POST /api/pfs_v2.API/ListFile HTTP/1.0\r\nHost: localhost\r\nContent-Length: 12"
                b'\r\n\r\n{"number":2}')  # fmt: skip
    status, headers = client.head()
    assert (status, headers["connection"]) == (200, "close")
    assert "transfer-encoding" not in headers
    while client.more():
        pass
    assert len(client.data.splitlines()) == 2


def test_leave_to_send_is_given_when_the_body_is_wanted(client: Raw) -> None:
    client.send(CALL + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert client.head()[0] == 100
    client.send(b"{}")
    assert client.answer()[0] == 200


def test_leave_to_send_is_not_given_for_what_is_refused(client: Raw) -> None:
    client.send(
        b"POST /api/pfs_v2.API/Nothing HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    )
    status, headers, _ = client.answer()
    assert (status, headers["connection"]) == (404, "close")


def test_another_expectation_is_ignored(client: Raw) -> None:
    client.send(CALL + b"Expect: miracles\r\nContent-Length: 2\r\n\r\n{}")
    assert client.answer()[0] == 200


def test_a_refused_upload_still_reads_its_answer(client: Raw) -> None:
    body = b"x" * (8 << 20)
    status, _, answer = client.request("POST", "/api/pfs_v2.API/Nothing", body)
    assert status == 404
    assert b"not found" in answer


def test_chunks_with_extensions_and_trailers_are_read(client: Raw) -> None:
    client.send(
        CALL
        + b"Transfer-Encoding: chunked\r\n\r\n1;name=x\r\n{\r\n1\r\n}\r\n0\r\nTrailer: y\r\n\r\n"
    )
    assert client.answer()[0] == 200
    assert client.call("versionpb_v2.API/GetVersion", {})[0] == 200


def test_a_request_sent_byte_by_byte_is_served(client: Raw) -> None:
    request = CALL + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    for byte in request:
        client.send(bytes([byte]))
    assert client.answer()[0] == 200


def test_a_client_that_never_ends_its_head_is_dismissed(serve: Serve) -> None:
    served = serve(limits=Limits(head_s=0.1, tick_s=0.02))
    raw = Raw(served.tcp)
    raw.send(b"GET /healthz HTTP/1.1\r\n")
    assert raw.answer()[0] == 408
    raw.close()


def test_a_client_that_drips_its_head_is_dismissed(serve: Serve) -> None:
    served = serve(limits=Limits(head_s=0.1, tick_s=0.02))
    raw = Raw(served.tcp)
    raw.sock.settimeout(0.01)
    raw.send(b"GET /healthz HTTP/1.1\r\nx: ")
    for _ in range(1000):
        try:
            raw.send(b"a")
            if not raw.more() or raw.data:
                break
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            break
    assert raw.data.startswith(b"HTTP/1.1 408")
    raw.close()


def test_a_client_that_stalls_its_body_is_dismissed(serve: Serve) -> None:
    served = serve(limits=Limits(body_s=0.1, tick_s=0.02))
    raw = Raw(served.socket)
    raw.send(CALL + b"Content-Length: 2\r\n\r\n{")
    assert raw.answer()[0] == 408
    raw.close()


def test_an_idle_connection_is_closed(serve: Serve) -> None:
    served = serve(limits=Limits(idle_s=0.05, tick_s=0.02))
    raw = Raw(served.socket)
    assert raw.call("versionpb_v2.API/GetVersion", {})[0] == 200
    assert raw.ended()
    raw.close()


def test_an_idle_limit_does_not_end_a_stream(serve: Serve) -> None:
    served = serve(limits=Limits(idle_s=0.02, head_s=0.02, body_s=0.02, tick_s=0.01))
    raw = Raw(served.socket)
    body = b'{"follow":true}'
    raw.send(
        b"POST /api/pachybox.v1.API/SubscribeEvents HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    raw.head()
    raw.chunk()
    raw.sock.settimeout(0.2)
    with pytest.raises(TimeoutError):
        raw.more()
    assert not served.house.closed.is_set()
    raw.close()


def test_connections_are_bounded(serve: Serve) -> None:
    served = serve(limits=Limits(connections=2))
    raws = [Raw(served.socket) for _ in range(2)]
    for raw in raws:
        assert raw.call("versionpb_v2.API/GetVersion", {})[0] == 200
    third = Raw(served.socket)
    third.send(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert third.head()[0] == 503
    assert third.ended()
    for raw in [*raws, third]:
        raw.close()


def test_who_floods_the_port_does_not_shut_out_the_owner(serve: Serve) -> None:
    served = serve(limits=Limits(connections=2))
    raws = [Raw(served.tcp) for _ in range(2)]
    for raw in raws:
        raw.send(b"GET /healthz HTTP/1.1\r\nHost: local")
    third = Raw(served.tcp)
    third.send(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert third.head()[0] == 503
    own = Raw(served.socket)
    assert own.call("versionpb_v2.API/GetVersion", {})[0] == 200
    for raw in [*raws, third, own]:
        raw.close()


def test_idle_connections_make_room(serve: Serve) -> None:
    """The one that has idled longest goes; one in the midst of a request stays."""
    served = serve(limits=Limits(connections=2, spare_s=0.0))
    busy, idle = (Raw(served.socket) for _ in range(2))
    for raw in (busy, idle):
        assert raw.call("versionpb_v2.API/GetVersion", {})[0] == 200

    def idling() -> int:
        return [wire.idle_since > 0 for wire in list(served.server._wires)].count(True)

    eventually(lambda: idling() == 2, "both")
    busy.send(b"POST /api/versionpb_v2.API/GetVersion HTTP/1.1\r\nContent-Length: 2\r\n\r\n{")
    eventually(lambda: idling() == 1, "one")
    third = Raw(served.socket)
    assert third.call("versionpb_v2.API/GetVersion", {})[0] == 200
    assert idle.ended()
    busy.send(b"}")
    assert busy.head()[0] == 200
    for raw in (busy, idle, third):
        raw.close()


def test_the_socket_is_for_its_owner_only(served: Served) -> None:
    assert stat.S_IMODE(served.socket.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(served.socket.stat().st_mode)


def test_a_stale_socket_is_replaced_and_removed_at_the_end(serve: Serve) -> None:
    served = serve()
    served.server.listen_unix(served.socket)
    raw = Raw(served.socket)
    assert raw.call("versionpb_v2.API/GetVersion", {})[0] == 200
    raw.close()
    served.server.stop()
    assert not served.socket.exists()


def test_a_socket_may_stand_deep_in_folders(serve: Serve, tmp_path: Path) -> None:
    served = serve()
    folder = tmp_path / ("deep" * 20) / ("down" * 20)
    folder.mkdir(parents=True)
    served.server.listen_unix(folder / "box.sock")
    fd = os.open(folder, os.O_PATH)
    raw = Raw(Path(f"/proc/self/fd/{fd}/box.sock"))
    assert raw.call("versionpb_v2.API/GetVersion", {})[0] == 200
    raw.close()
    os.close(fd)


def test_listening_beyond_loopback_is_refused(serve: Serve) -> None:
    with pytest.raises(Refused, match="reachable from other machines"):
        serve().server.listen_tcp("0.0.0.0", 0)


def test_a_taken_port_is_refused_by_name(serve: Serve) -> None:
    served = serve()
    with pytest.raises(Refused) as caught:
        served.server.listen_tcp(*served.tcp)
    assert str(served.tcp[1]) in caught.value.message
    assert "http_port" in caught.value.hint


def test_stopping_ends_idle_connections_and_streams(serve: Serve) -> None:
    served = serve()
    idle, stream = Raw(served.socket), Raw(served.tcp)
    idle.call("versionpb_v2.API/GetVersion", {})
    stream.send(b"POST /api/pachybox.v1.API/Doctor HTTP/1.1\r\nHost: localhost\r\n\r\n")
    stream.head()
    stream.chunk()
    served.server.stop()
    assert idle.ended()
    while stream.more():
        pass
    assert served.house.cancelled.is_set()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(served.tcp)
    idle.close()
    stream.close()
