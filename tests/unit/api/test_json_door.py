"""Calls over the JSON door, on both kinds of socket."""

from __future__ import annotations

import json
import logging
import threading

import pytest

from pachybox.api.access.principal import OWNER
from pachybox.api.transport import Limits
from tests.unit.api.conftest import Serve, Served
from tests.unit.api.house import Raw


def test_a_unary_call_answers_one_object(client: Raw) -> None:
    assert client.call("versionpb_v2.API/GetVersion", {}) == (200, {"major": 2, "minor": 12})


def test_a_call_needs_no_body(client: Raw) -> None:
    assert client.call("versionpb_v2.API/GetVersion") == (200, {"major": 2, "minor": 12})


def test_a_connection_serves_call_after_call(client: Raw) -> None:
    for _ in range(50):
        status, answer = client.call("pfs_v2.API/InspectRepo", {"repo": {"name": "images"}})
        assert (status, answer["sizeBytesUpperBound"]) == (200, str(1 << 40))


def test_calls_sent_together_are_answered_in_order(client: Raw) -> None:
    request = b"POST /api/versionpb_v2.API/GetVersion HTTP/1.1\r\nHost: localhost\r\n\r\n"
    client.send(request * 20)
    assert [client.answer()[0] for _ in range(20)] == [200] * 20


def test_an_error_has_code_message_reason_and_hint(client: Raw) -> None:
    status, error = client.call("pfs_v2.API/InspectRepo", {"repo": {"name": "x"}})
    assert status == 404
    assert error == {
        "code": 5,
        "message": "repo default/x not found",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "not_found",
                "domain": "pachybox",
                "metadata": {"hint": "create it"},
            }
        ],
    }


def test_an_unknown_field_is_refused_by_name(client: Raw) -> None:
    status, error = client.call("pfs_v2.API/InspectRepo", {"repo": {"nmae": "x"}})
    assert (status, error["code"]) == (400, 3)
    assert error["message"] == "unknown field 'nmae' in repo of pfs_v2.Repo"
    assert error["details"][0]["metadata"]["hint"] == "did you mean 'name'"


def test_a_method_not_built_says_so(client: Raw) -> None:
    status, error = client.call("pfs_v2.API/Egress", {})
    assert (status, error["code"]) == (501, 12)
    assert error["message"] == "pfs_v2.API/Egress is not built in this version of pachybox"
    assert client.call("auth_v2.API/WhoAmI", {})[1]["message"] == (
        "the auth service is not activated"
    )


def test_an_unknown_method_is_not_found(client: Raw) -> None:
    status, error = client.call("pfs_v2.API/InspectRepos", {})
    assert status == 404
    assert error["details"][0]["metadata"]["hint"] == "did you mean pfs_v2.API/InspectRepo"


def test_a_defect_is_logged_and_shows_nothing_of_the_inside(
    client: Raw, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "pachybox.api"):
        status, error = client.call("pfs_v2.API/InspectRepo", {"repo": {"name": "defect"}})
    assert (status, error["code"]) == (500, 13)
    assert "secret" not in json.dumps(error)
    number = error["details"][0]["metadata"]["hint"].rpartition("id=")[2]
    [record] = caplog.records
    assert number in record.getMessage()
    assert "a secret of the inside" in caplog.text


def test_a_full_disk_is_resource_exhausted(client: Raw) -> None:
    status, error = client.call("pfs_v2.API/InspectRepo", {"repo": {"name": "full"}})
    assert (status, error["code"]) == (429, 8)


def test_a_stream_is_a_line_for_each_result(client: Raw) -> None:
    status, lines = client.call("pfs_v2.API/ListFile", {"number": "3000"})
    assert status == 200
    assert len(lines) == 3000
    assert lines[7] == {"result": {"file": {"path": "/7"}, "sizeBytes": "7"}}


def test_an_empty_stream_is_an_empty_body(client: Raw) -> None:
    assert client.call("pfs_v2.API/ListFile", {}) == (200, [])


def test_an_error_after_results_is_the_last_line(client: Raw) -> None:
    status, lines = client.call("pfs_v2.API/ListFile", {"number": "2", "reverse": True})
    assert status == 200
    assert [list(line) for line in lines] == [["result"], ["result"], ["error"]]
    assert lines[-1]["error"]["message"] == "the listing broke"


def test_an_error_before_any_result_is_a_wrapped_error(client: Raw) -> None:
    status, answer = client.call("pfs_v2.API/ListFile", {"reverse": True})
    assert (status, answer["error"]["message"]) == (400, "the listing broke")


def test_without_preferences_an_answer_is_that_of_grpc_gateway(client: Raw) -> None:
    """Fields that are not set are printed (null, "", [], "0"), but none of a oneof."""
    status, headers, body = client.request(
        "POST", "/api/pfs_v2.API/InspectRepo", b'{"repo":{"name":"images"}}'
    )
    assert (status, headers["content-type"]) == (200, "application/json")
    assert headers["grpc-metadata-content-type"] == "application/grpc"
    assert json.loads(body) == {
        "repo": {"name": "images", "type": "", "project": None},
        "created": None,
        "sizeBytesUpperBound": str(1 << 40),
        "description": "",
        "branches": [],
        "authInfo": None,
        "details": None,
        "metadata": {},
    }
    _, headers, body = client.request("POST", "/api/pfs_v2.API/ListFile", b'{"number":"1"}')
    assert headers["content-type"] == "application/json"
    [line] = [json.loads(line)["result"] for line in body.splitlines()]
    assert line["file"] == {"commit": None, "path": "/0", "datum": ""}
    assert (line["fileType"], line["sizeBytes"], line["hash"]) == ("RESERVED", "0", "")


def test_without_preferences_unknown_fields_are_overlooked_with_a_warning(
    client: Raw, served: Served
) -> None:
    body = b'{"repo":{"name":"images","nmae":"x"},"unheard":[1]}'
    status, headers, _ = client.request("POST", "/api/pfs_v2.API/InspectRepo", body)
    assert status == 200
    assert "unknown field 'nmae' in repo" in headers["warning"]
    body = b'{"addFile":{"path":"/a","raw":"aGk=","mode":7}}'
    status, headers, _ = client.request("POST", "/api/pfs_v2.API/ModifyFile", body)
    assert status == 200
    assert "unknown field 'mode'" in headers["warning"]
    assert served.house.files == {"/a": b"hi"}
    wrong = b'{"repo":{"name":7,"nmae":"x"}}'
    assert client.request("POST", "/api/pfs_v2.API/InspectRepo", wrong)[0] == 400


@pytest.mark.parametrize("method", ["SubscribeEvents", "Doctor"])
def test_a_call_ends_with_the_time_it_was_given(client: Raw, served: Served, method: str) -> None:
    """Results that came before come; the handler sees that it is cancelled."""
    status, lines = client.call(
        f"pachybox.v1.API/{method}",
        {"follow": True} if method == "SubscribeEvents" else {},
        grpc_timeout="500m",  # on a busy machine the first result must come before
    )
    assert (status, len(lines)) == (200, 2)
    assert lines[1]["error"]["code"] == 4
    assert lines[1]["error"]["message"] == "context deadline exceeded"
    assert served.house.cancelled.wait(10)
    for wrong in ("50", "5000000000m", "-1S", "x"):
        assert client.call("versionpb_v2.API/GetVersion", {}, grpc_timeout=wrong)[0] == 400
    assert client.call("versionpb_v2.API/GetVersion", {}, grpc_timeout="99999999H")[0] == 200


def test_a_client_streams_objects_across_and_within_lines(client: Raw, served: Served) -> None:
    """As Go's decoder reads them; braces and quotes inside of strings do not count."""
    body = b"""
{
  "addFile": {"path": "/a\\"}{", "raw": "aGVs"}
}{"addFile":{"path":"/a\\"}{","raw":"bG8="}} {"addFile"
:{"path":"/b\\\\","raw":""}}"""
    for size in (1, 7, len(body)):
        served.house.files.clear()
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        client.send(
            b"POST /api/pfs_v2.API/ModifyFile HTTP/1.1\r\nHost: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
            + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            + b"0\r\n\r\n"
        )
        assert client.answer()[0] == 200
        assert served.house.files == {'/a"}{': b"hello", "/b\\": b""}


@pytest.mark.parametrize("body", [b"}", b'{"addFile":{', b"7", b"[{}]", b'{"a":"', b"{]\n{}"])
def test_a_stream_that_is_no_sequence_of_objects_is_refused(client: Raw, body: bytes) -> None:
    status, _, answer = client.request("POST", "/api/pfs_v2.API/ModifyFile", body)
    assert (status, json.loads(answer)["code"]) == (400, 3)


def test_a_client_stream_is_a_line_for_each_request(client: Raw, served: Served) -> None:
    lines = [
        {"setCommit": {"id": "x"}},
        {"addFile": {"path": "/a", "raw": "aGVs"}},
        {"add_file": {"path": "/a", "raw": "bG8="}},
    ]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    status, _, answer = client.request("POST", "/api/pfs_v2.API/ModifyFile", body)
    assert (status, answer) == (200, b"{}")
    assert served.house.files == {"/a": b"hello"}


def test_a_bad_message_of_a_client_stream_is_named_by_number(client: Raw) -> None:
    body = b'{"setCommit":{}}\n\n{"setComit":{}}\n'
    status, _, answer = client.request(
        "POST", "/api/pfs_v2.API/ModifyFile", body, prefer="handling=strict"
    )
    assert status == 400
    assert json.loads(answer)["message"].startswith("message 2: unknown field 'setComit'")


def test_both_sides_can_stream_at_once(client: Raw) -> None:
    client.send(
        b"POST /api/pps_v2.API/CreateDatum HTTP/1.1\r\nHost: localhost\r\n"
        b"Prefer: return=minimal\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    for word in (b"start", b"continue"):
        line = b'{"%b":{}}\n' % word
        client.send(b"%x\r\n%b\r\n" % (len(line), line))
        if word == b"start":
            assert client.head()[0] == 200
        assert json.loads(client.chunk()) == {"result": {"datum": {"id": word.decode()}}}
    client.send(b"0\r\n\r\n")
    assert client.chunk() == b""


def test_a_result_is_sent_while_the_handler_waits_for_the_next(client: Raw) -> None:
    client.send(
        b"POST /api/pachybox.v1.API/Doctor HTTP/1.1\r\nHost: localhost\r\n"
        b"Prefer: return=minimal\r\n\r\n"
    )
    assert client.head()[0] == 200
    assert json.loads(client.chunk()) == {"result": {"check": "disk", "level": "ok"}}


@pytest.mark.parametrize("method", ["SubscribeEvents", "Doctor"])
def test_a_client_that_leaves_an_idle_stream_cancels_the_call(
    client: Raw, served: Served, method: str
) -> None:
    body = b'{"follow":true}' if method == "SubscribeEvents" else b"{}"
    client.send(
        b"POST /api/pachybox.v1.API/%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
        % (method.encode(), len(body), body)
    )
    client.head()
    client.chunk()
    client.close()
    assert served.house.cancelled.wait(10)
    if method == "SubscribeEvents":
        assert served.house.closed.wait(10)


def test_a_client_that_leaves_a_busy_stream_ends_it(client: Raw, served: Served) -> None:
    body = b'{"number":"100000000"}'
    client.send(
        b"POST /api/pfs_v2.API/ListFile HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    client.head()
    client.close()
    other = Raw(served.socket)
    while (
        b'pachybox_requests_total{method="pfs_v2.API/ListFile",code="cancelled"} 1'
        not in (other.request("GET", "/metrics")[2])
    ):
        pass
    other.close()


def test_the_call_tells_who_asks_and_how(serve: Serve, tmp_path: object) -> None:
    served = serve()
    raw = Raw(served.tcp)
    raw.call(
        "versionpb_v2.API/GetVersion",
        {},
        authorization="Bearer t0",
        pach_transaction="tx",
        command="pachybox version",
    )
    call = served.house.calls[-1]
    assert (call.token, call.transaction, call.command) == ("t0", "tx", "pachybox version")
    assert (call.principal, call.local) == (OWNER, False)
    raw.call("versionpb_v2.API/GetVersion", {}, authn_token="t1")
    assert served.house.calls[-1].token == "t1"
    raw.close()
    raw = Raw(served.socket)
    raw.call("versionpb_v2.API/GetVersion", {})
    assert served.house.calls[-1].local
    raw.close()


def test_clients_are_served_side_by_side(served: Served) -> None:
    answers: list[int] = []

    def work() -> None:
        raw = Raw(served.socket)
        for _ in range(20):
            answers.append(raw.call("pfs_v2.API/ListFile", {"number": "50"})[0])
        raw.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 160


def test_a_message_past_the_limit_is_refused(serve: Serve) -> None:
    served = serve(limits=Limits(message_bytes=10_000))
    body = b'{"repo":{"name":"' + b"x" * 20_000 + b'"}}'
    raw = Raw(served.socket)
    status, headers, answer = raw.request("POST", "/api/pfs_v2.API/InspectRepo", body)
    assert (status, json.loads(answer)["code"]) == (413, 8)
    raw.close()
    raw = Raw(served.socket)
    raw.send(
        b"POST /api/pfs_v2.API/InspectRepo HTTP/1.1\r\nHost: localhost\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
    )
    status, headers, _ = raw.answer()
    assert (status, headers["connection"]) == (413, "close")
    raw.close()
    raw = Raw(served.socket)
    status, _, _ = raw.request("POST", "/api/pfs_v2.API/ModifyFile", b'{"addFile":' + body)
    assert status == 413
    raw.close()
