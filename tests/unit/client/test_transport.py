"""The transport against a real server: answers, errors, keep-alive, lost connections."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pachybox.client import Client
from pachybox.client.address import Address, resolve
from pachybox.client.connection import Scope
from pachybox.client.errors import unreachable
from pachybox.client.transport import target
from pachybox.errors import (
    AlreadyExists,
    Corrupt,
    Exhausted,
    Internal,
    InvalidArgument,
    NotFound,
    NotReady,
    PachyboxError,
    Refused,
    Unauthenticated,
    Unimplemented,
    Unreachable,
)


def test_a_call_returns_the_answer_and_sends_the_fields(box: Any, client: Client) -> None:
    box.answers["Echo"] = lambda body: {"got": body}
    answer = client.call("s.API", "Echo", a=1, from_="x", left_out=None)
    assert answer == {"got": {"a": 1, "from": "x"}}


def test_calls_share_one_connection(box: Any, client: Client) -> None:
    box.answers["Echo"] = {}
    box.answers["List"] = [{"n": 1}, {"n": 2}]
    for _ in range(5):
        client.call("s.API", "Echo")
        assert [r["n"] for r in client.stream("s.API", "List")] == [1, 2]
    assert box.accepted == 1


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("bad", "mend it"),
        NotFound("repo x not found"),
        AlreadyExists("repo x already exists", "use update"),
        Refused("no"),
        NotReady("later"),
        Exhausted("disk full", "free space"),
        Corrupt("bits rotted"),
        Unauthenticated("who are you"),
        Unimplemented("not built"),
        Internal("oops"),
    ],
)
def test_errors_arrive_as_what_they_were_raised(
    box: Any, client: Client, error: PachyboxError
) -> None:
    box.answers["Fail"] = error
    with pytest.raises(type(error)) as caught:
        client.call("s.API", "Fail")
    assert (caught.value.message, caught.value.hint) == (error.message, error.hint)


def test_an_error_in_mid_stream_comes_after_the_records_before_it(box: Any, client: Client) -> None:
    def answer(body: object) -> Iterator[dict[str, int]]:
        yield {"n": 1}
        raise Corrupt("bits rotted", "run fsck")

    box.answers["List"] = answer
    records = client.stream("s.API", "List")
    assert next(records) == {"n": 1}
    with pytest.raises(Corrupt, match="bits rotted"):
        next(records)


def test_a_stream_given_up_early_leaves_the_client_usable(box: Any, client: Client) -> None:
    box.answers["List"] = [{"n": n} for n in range(10_000)]
    box.answers["Echo"] = {"ok": True}
    with client.stream("s.API", "List") as stream:
        assert next(stream) == {"n": 0}
    assert client.call("s.API", "Echo") == {"ok": True}


def test_no_box_says_so_and_how_to_start_one(tmp_path: Path) -> None:
    with (
        Client(str(tmp_path / "box.sock")) as client,
        pytest.raises(
            Unreachable, match=r"no box answers at .*box.sock; start one with: pachybox up"
        ),
    ):
        client.status()


def test_no_box_elsewhere_and_another_users_box_have_remedies_of_their_own() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    assert "see there" in unreachable(Address(host="lab.example.org", port=1), refused).hint
    assert "pachybox up" in unreachable(Address(host="127.0.0.1", port=1), refused).hint
    denied = unreachable(Address(path="/x/box.sock"), PermissionError(13, "Permission denied"))
    assert str(denied).startswith("no box answers at /x/box.sock (Permission denied); only its own")


def test_the_token_the_transaction_and_the_project_are_sent(box: Any) -> None:
    box.answers["CreateRepo"] = box.answers["InspectRepo"] = {}
    with Client(box.path, token="s3cret", project="lab", transaction_id="t1") as client:
        client.create_repo("images")
        client.inspect_repo("images")
    made, read = box.last("CreateRepo"), box.last("InspectRepo")
    assert made.headers["authorization"] == "Bearer s3cret"
    assert made.headers["pach-transaction"] == "t1"
    assert made.body["repo"]["project"] == {"name": "lab"}
    assert "pach-transaction" not in read.headers


def test_a_read_on_a_connection_the_box_closed_is_sent_again(box: Any, client: Client) -> None:
    box.answers["InspectRepo"] = {"repo": {"name": "a"}}
    client.inspect_repo("a")
    box.drop_connections()
    assert client.inspect_repo("a").name == "a"


def test_a_write_whose_connection_ends_before_the_answer_is_not_sent_twice(
    box: Any, client: Client
) -> None:
    def cut(body: object) -> dict[str, object]:
        box.drop_connections()
        return {}

    box.answers["CreateRepo"] = cut
    with pytest.raises(Unreachable, match="ended during"):
        client.create_repo("a")
    assert len([a for a in box.asked if a.method == "CreateRepo"]) == 1


def test_a_read_waits_for_a_box_that_comes_back(box: Any) -> None:
    box.answers["InspectRepo"] = {"repo": {"name": "a"}}
    with Client(box.path, patience_s=10) as client:
        client.inspect_repo("a")
        box.stop()
        back = threading.Timer(0.2, box.start)
        back.start()
        assert client.inspect_repo("a").name == "a"
        back.join()


def test_a_box_that_stays_away_is_unreachable_after_the_patience(box: Any) -> None:
    box.answers["InspectRepo"] = {"repo": {"name": "a"}}
    with Client(box.path, patience_s=0.2) as client:
        client.inspect_repo("a")
        box.stop()
        with pytest.raises(Unreachable, match="no box answers"):
            client.inspect_repo("a")


def test_following_events_goes_on_with_the_next_number_after_a_lost_connection(
    box: Any, client: Client
) -> None:
    def answer(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        first = int(body["from"])
        for seq in range(first, first + 3):
            yield {"seq": str(seq), "time": "2026-01-01T00:00:00Z", "kind": "x.y", "data": {}}
        box.drop_connections()
        yield {"seq": "0"}

    box.answers["SubscribeEvents"] = answer
    with client.events(after=4, follow=True) as events:
        assert [next(events).seq for _ in range(8)] == list(range(5, 13))
    assert [a.body["from"] for a in box.asked][:3] == ["5", "8", "11"]


def test_a_cancelled_scope_ends_a_blocked_call(box: Any, client: Client) -> None:
    asked, answered = threading.Event(), threading.Event()

    def wait(body: object) -> dict[str, object]:
        asked.set()
        answered.wait(10)
        return {}

    box.answers["InspectCommit"] = wait
    scope = Scope()
    caught: list[BaseException] = []

    def blocked() -> None:
        try:
            with scope:
                client.wait_commit("a@master")
        except Unreachable as e:
            caught.append(e)

    thread = threading.Thread(target=blocked)
    thread.start()
    assert asked.wait(10)
    scope.cancel()
    thread.join(10)
    assert not thread.is_alive()
    assert caught
    answered.set()


def test_a_box_that_takes_too_long_is_named_with_the_time(box: Any) -> None:
    release = threading.Event()

    def slow(body: object) -> dict[str, object]:
        release.wait(10)
        return {}

    box.answers["InspectRepo"] = slow
    with Client(box.path, timeout_s=0.05) as client:
        with pytest.raises(Unreachable, match=r"did not answer in 0\.05 s"):
            client.inspect_repo("a")
        release.set()
    assert len(box.asked) == 1


def serve_once(reply: bytes) -> str:
    """A server that sends ``reply`` to whatever comes, then closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        for _ in range(2):  # a read is sent twice
            conn, _peer = listener.accept()
            conn.recv(65536)
            conn.sendall(reply)
            conn.close()
        listener.close()

    threading.Thread(target=run, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_an_answer_cut_short_or_not_http_is_unreachable_not_a_hang(reply: bytes) -> None:
    with Client(serve_once(reply)) as client, pytest.raises(Unreachable):
        client.call("s.API", "Do")


def test_an_answer_without_length_ends_with_the_connection() -> None:
    address = serve_once(b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\n{"a": 1}')
    with Client(address) as client:
        assert client.call("s.API", "Do") == {"a": 1}


def test_an_error_that_is_no_json_keeps_its_text() -> None:
    address = serve_once(b"HTTP/1.1 502 Bad\r\nContent-Length: 9\r\n\r\nno luck\r\n")
    with Client(address) as client, pytest.raises(Internal, match="no luck"):
        client.call("s.API", "Do")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/run/box.sock", "/run/box.sock"),
        ("unix:/run/box.sock", "/run/box.sock"),
        ("unix:///run/box.sock", "/run/box.sock"),
        ("http://127.0.0.1:1234/", "http://127.0.0.1:1234"),
        ("127.0.0.1:1234", "http://127.0.0.1:1234"),
        ("somewhere", "http://somewhere:30600"),
        ("[::1]:1", "http://[::1]:1"),
        ("https://a:1/", "https://a:1"),
        ("https://a", "https://a:30600"),
    ],
)
def test_addresses_are_understood_in_all_their_forms(text: str, expected: str) -> None:
    assert str(resolve(text)) == expected


@pytest.mark.parametrize(
    "text", ["https://", "https://a/b", "grpc://a:1", "a:b", "http://", "a:99999"]
)
def test_addresses_of_other_kinds_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        resolve(text)


def test_the_address_comes_from_the_environment_then_from_the_data_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PACHYBOX_HOME", "/srv/box")
    monkeypatch.delenv("PACHYBOX_ADDRESS", raising=False)
    assert str(resolve()) == "/srv/box/run/box.sock"
    monkeypatch.setenv("PACHYBOX_ADDRESS", "http://far:1")
    assert str(resolve()) == "http://far:1"


def test_a_socket_whose_path_is_too_long_for_the_kernel_is_reached(tmp_path: Path) -> None:
    from pachybox.client.address import Address
    from pachybox.client.connection import Connection

    folder = tmp_path / ("d" * 60) / ("e" * 60)
    folder.mkdir(parents=True)
    listener = socket.socket(socket.AF_UNIX)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        listener.bind("box.sock")
    listener.listen()
    connection = Connection(Address(path=str(folder / "box.sock")), 5)
    connection.close()
    listener.close()


def test_query_values_are_escaped() -> None:
    assert target("/x", {"a": "b c&d/é", "empty": ""}) == "/x?a=b%20c%26d%2F%C3%A9"
    with pytest.raises(InvalidArgument, match="UTF-8"):
        target("/x", {"a": "\udce9"})


def test_many_threads_may_use_one_client(box: Any, client: Client) -> None:
    box.answers["Echo"] = lambda body: body
    wrong: list[object] = []

    def work(n: int) -> None:
        for i in range(50):
            if client.call("s.API", "Echo", n=n, i=i) != {"n": n, "i": i}:
                wrong.append((n, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
