"""The gRPC door over a house whose handlers can be watched: queues, cancelling, stopping."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from pachybox.api import grpc_door
from pachybox.api.access import Access
from pachybox.api.definitions import box, pfs
from pachybox.api.grpc_door import GrpcDoor
from pachybox.api.metrics import Metrics
from pachybox.api.table import Call, Table, collect, handles
from pachybox.api.threads import Threads
from pachybox.errors import Refused
from tests.boxes import eventually
from tests.rpc import Rpc, failure
from tests.unit.api.house import House


class Manor(House):
    """A house with more to watch."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.made = 0
        self.read = 0
        self.go_on = threading.Event()
        self.ended: list[BaseException | None] = []

    @handles("pfs_v2.API/GetFile")
    def get_file(self, request: Any, call: Call) -> Iterator[Any]:
        """Megabytes without end."""
        from google.protobuf.wrappers_pb2 import BytesValue

        piece = BytesValue(value=bytes(1 << 20))
        try:
            while True:
                self.made += 1
                yield piece
        finally:
            self.closed.set()

    @handles("pfs_v2.API/CreateFileSet")
    def create_file_set(self, requests: Iterator[Any], call: Call) -> Any:
        """Reads one message, then the others when it may."""
        try:
            next(requests)
            self.read = 1
            self.go_on.wait(30)
            for _ in requests:
                self.read += 1
        except BaseException as e:
            self.ended.append(e)
            raise
        self.ended.append(None)
        return pfs.CreateFileSetResponse(file_set_id=str(self.read))

    @handles("pachybox.v1.API/Fsck")
    def fsck(self, request: Any, call: Call) -> Iterator[Any]:
        """Answers when it may."""
        self.go_on.wait(30)
        yield box.FsckResponse(thing="late")


Opened = tuple[Manor, GrpcDoor, Rpc]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """A manor, its door, and a client."""
    manor = Manor(tmp_path)
    door = GrpcDoor(Table(collect(manor, manor)), Access().of_headers, Metrics())
    host, port = door.listen("127.0.0.1", 0)
    rpc = Rpc(f"{host}:{port}")
    yield manor, door, rpc
    manor.go_on.set()
    rpc.close()
    door.stop(0.5)


def code_of(action: Callable[[], object]) -> tuple[str, str]:
    """How a call fails."""
    with pytest.raises(grpc.RpcError) as caught:
        action()
    return failure(caught.value)


def test_every_kind_of_call(opened: Opened) -> None:
    manor, _, rpc = opened
    assert rpc("versionpb_v2.API/GetVersion").minor == 12
    paths = [f.file.path for f in rpc("pfs_v2.API/ListFile", number=1000)]
    assert paths == [f"/{n}" for n in range(1000)]
    pieces = [{"add_file": {"path": "/a", "raw": {"value": b"%d," % n}}} for n in range(1000)]
    rpc("pfs_v2.API/ModifyFile", pieces)
    assert manor.files["/a"] == b"".join(b"%d," % n for n in range(1000))
    both = rpc("pps_v2.API/CreateDatum", [{"start": {}}, {"continue": {}}])
    assert [info.datum.id for info in both] == ["start", "continue"]


def test_both_sides_may_take_turns(opened: Opened) -> None:
    _, _, rpc = opened
    turn = threading.Semaphore(0)

    def requests() -> Iterator[dict[str, Any]]:
        for _ in range(5):
            turn.acquire(timeout=10)
            yield {"start": {}}

    answers = rpc.stream("pps_v2.API/CreateDatum", requests())
    for _ in range(5):
        turn.release()
        assert next(answers).datum.id == "start"
    assert list(answers) == []


def test_what_a_handler_is_told(opened: Opened) -> None:
    manor, _, rpc = opened
    rpc.metadata = (("pach-transaction", "t1"), ("command", "pachctl list repo"), ("x-bin", "é"))
    rpc.metadata = rpc.metadata[:2]
    rpc("versionpb_v2.API/GetVersion")
    call = manor.calls[-1]
    assert (call.transaction, call.command, call.local) == ("t1", "pachctl list repo", False)
    assert call.metadata["user-agent"].startswith("grpc-python")
    assert call.principal.name == "local"


def test_errors_have_code_and_text(opened: Opened) -> None:
    _, _, rpc = opened

    def inspect(name: str) -> tuple[str, str]:
        return code_of(lambda: rpc("pfs_v2.API/InspectRepo", repo={"name": name}))

    assert inspect("none") == ("NOT_FOUND", "repo default/none not found; create it")
    code, text = inspect("defect")
    assert code == "INTERNAL"
    assert "id=" in text
    assert "secret" not in text
    assert inspect("full")[0] == "RESOURCE_EXHAUSTED"
    code, text = inspect("ä\n" * 100_000)
    assert code == "NOT_FOUND"
    assert text.endswith("...")
    stream = rpc.stream("pfs_v2.API/ListFile", number=3, reverse=True)
    seen = []
    with pytest.raises(grpc.RpcError) as caught:
        seen.extend(f.file.path for f in stream)
    assert failure(caught.value) == ("FAILED_PRECONDITION", "the listing broke; try again")
    assert len(seen) in (0, 3)  # extend keeps what came before the error, or nothing of it
    broken = code_of(lambda: rpc.raw("/pfs_v2.API/InspectRepo", b"\xff\xff\xff"))
    assert broken[0] == "INVALID_ARGUMENT"
    assert "pfs_v2.InspectRepoRequest" in broken[1]


def test_methods_that_are_not_there_are_named(opened: Opened) -> None:
    _, _, rpc = opened

    def call(path: str) -> tuple[str, str]:
        return code_of(lambda: rpc.raw(path))

    code, text = call("/pfs_v2.API/Egress")
    assert code == "UNIMPLEMENTED"
    assert "pfs_v2.API/Egress is not built" in text
    code, text = call("/pfs_v2.API/ListRepos")
    assert code == "UNIMPLEMENTED"
    assert "did you mean pfs_v2.API/ListRepo" in text
    code, text = call("/pfs.API/ListRepo")
    assert code == "UNIMPLEMENTED"
    assert "upgrade the client" in text
    assert call("/auth_v2.API/WhoAmI") == ("UNIMPLEMENTED", "the auth service is not activated")
    assert call("/")[0] == call("/nothing")[0] == call("/a/b/c")[0] == "UNIMPLEMENTED"


def test_a_client_that_leaves_ends_its_stream(opened: Opened) -> None:
    manor, _, rpc = opened
    stream = rpc.stream("pachybox.v1.API/SubscribeEvents", follow=True)
    assert next(stream).seq == 1
    stream.cancel()
    assert manor.cancelled.wait(10)
    assert manor.closed.wait(10)


def test_a_call_that_takes_too_long_is_given_up(opened: Opened) -> None:
    manor, _, rpc = opened
    stub = rpc.channel.unary_stream("/pachybox.v1.API/SubscribeEvents")
    request = box.SubscribeEventsRequest(follow=True).SerializeToString()
    assert code_of(lambda: list(stub(request, timeout=0.1)))[0] == "DEADLINE_EXCEEDED"
    assert manor.closed.wait(10)


def test_a_client_that_does_not_read_holds_up_its_own_handler_only(opened: Opened) -> None:
    manor, _, rpc = opened
    stalled = rpc.stream("pfs_v2.API/GetFile")
    eventually(lambda: manor.made > 3, "the handler is at work")

    def still() -> bool:
        before = manor.made
        time.sleep(0.05)  # a pause in which an unbounded handler would make hundreds more
        return manor.made == before

    eventually(still, "the handler waits for its client")
    assert manor.made < 64
    other = Rpc(rpc.target)
    assert len(other("pfs_v2.API/ListFile", number=5000)) == 5000
    other.close()
    for _ in range(100):
        next(stalled)
    assert manor.made > 64
    assert not manor.closed.is_set()
    stalled.cancel()
    assert manor.closed.wait(10)


def test_what_a_handler_does_not_read_is_not_taken_from_the_client(opened: Opened) -> None:
    manor, _, rpc = opened
    sent = 0

    def requests() -> Iterator[dict[str, Any]]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield {"add_file": {"path": "/a", "raw": {"value": bytes(1 << 20)}}}

    answer = rpc.future("pfs_v2.API/CreateFileSet", requests())
    eventually(lambda: manor.read == 1, "the handler is at work")

    def still() -> bool:
        before = sent
        time.sleep(0.05)
        return sent == before

    eventually(still, "the client waits for the handler")
    assert sent < 64  # gRPC's own windows grow with what the link seems to carry
    manor.go_on.set()
    assert answer.result(30).file_set_id == "100"


@pytest.mark.parametrize("how", ["cancel", "deadline", "hang up"])
def test_half_a_stream_of_requests_is_never_taken_for_a_whole(opened: Opened, how: str) -> None:
    manor, _, rpc = opened
    manor.go_on.set()
    gone = threading.Event()

    def requests() -> Iterator[dict[str, Any]]:
        for _ in range(3):
            yield {"add_file": {"path": "/a"}}
        gone.wait(30)

    for _ in range(20):
        manor.read = 0
        manor.ended.clear()
        gone.clear()
        other = Rpc(rpc.target)
        answer = other.future("pfs_v2.API/CreateFileSet", requests())
        eventually(lambda: manor.read == 3, "all was read")
        if how == "cancel":
            answer.cancel()
        else:
            other.close()
        gone.set()
        eventually(lambda: manor.ended, "the handler ended")
        other.close()
        assert manor.ended != [None]


def test_a_message_that_is_too_large_ends_the_call_and_not_the_stream(opened: Opened) -> None:
    manor, _, rpc = opened
    manor.go_on.set()
    large = {"add_file": {"path": "/a", "raw": {"value": bytes(20 << 20)}}}
    assert rpc("pfs_v2.API/CreateFileSet", [large] * 2).file_set_id == "2"
    larger = {"add_file": {"path": "/a", "raw": {"value": bytes(21 << 20)}}}
    answer = code_of(lambda: rpc("pfs_v2.API/CreateFileSet", [large, larger]))
    assert answer[0] == "RESOURCE_EXHAUSTED"
    assert "larger than max" in answer[1]
    eventually(lambda: len(manor.ended) == 2, "the handler ended")
    assert manor.ended[1] is not None


def test_stopping_ends_streams_and_lets_calls_end(tmp_path: Path) -> None:
    manor = Manor(tmp_path)
    door = GrpcDoor(Table(collect(manor, manor)), Access().of_headers, Metrics())
    host, port = door.listen("127.0.0.1", 0)
    rpc = Rpc(f"{host}:{port}")
    events = rpc.stream("pachybox.v1.API/SubscribeEvents", follow=True)
    next(events)
    endless = rpc.stream("pfs_v2.API/GetFile")
    next(endless)
    upload = rpc.future("pfs_v2.API/CreateFileSet", [{"add_file": {"path": "/a"}}])
    eventually(lambda: manor.read == 1, "the upload is at work")
    stopping = threading.Thread(target=door.stop, args=(5.0,))
    began = time.monotonic()
    stopping.start()
    assert manor.closed.wait(5)
    for stream in (events, endless):
        with pytest.raises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        assert failure(caught.value)[0] == "UNAVAILABLE"
    manor.go_on.set()
    refused = upload.exception(10)
    if refused is None:
        assert upload.result().file_set_id == "1"
    else:  # its end was not read yet when the door began to stop
        assert "the box is stopping" in failure(refused)[1]
    stopping.join(10)
    assert time.monotonic() - began < 10
    rpc.close()
    door.stop()


def test_who_shows_no_token_is_refused_before_a_request_is_read() -> None:
    """Else a stranger had the box hold requests, each as large as may be, as many as he likes."""
    door = GrpcDoor(Table(), Access("right").of_headers, Metrics())
    address = door.listen("127.0.0.1", 0)

    def frame(kind: int, flags: int, stream: int, data: bytes) -> bytes:
        head = len(data).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
        return head + data

    def pair(name: bytes, value: bytes) -> bytes:
        return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value

    headers = b"\x83\x86" + b"".join(
        pair(name, value)
        for name, value in (
            (b":path", b"/pps_v2.API/CreateSecret"),
            (b":authority", b"x"),
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
        )
    )
    with socket.create_connection(address, 10) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        begun = b"\0" + (19 << 20).to_bytes(4, "big")  # of a message that never comes
        sock.sendall(frame(1, 4, 1, headers) + frame(0, 0, 1, begun))
        answer = sock.makefile("rb")
        while True:
            head = answer.read(9)
            assert head, "hung up without an answer"
            data = answer.read(int.from_bytes(head[:3], "big"))
            if head[3] == 1:
                break
    assert b"no authentication token" in data
    door.stop()


def test_connections_are_bounded_at_each_port() -> None:
    """Who opens thousands and says nothing takes no more descriptors than that."""
    door = GrpcDoor(Table(), Access().of_headers, Metrics(), connections=2)
    address = door.listen("127.0.0.1", 0, inner=True)

    def greeted(to: tuple[str, int]) -> socket.socket | None:
        sock = socket.create_connection(to, 10)
        try:
            sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
            if sock.recv(9):
                return sock
        except ConnectionError:
            pass
        sock.close()
        return None

    held = [greeted(address) for _ in range(2)]
    assert None not in held
    assert greeted(address) is None
    inner = greeted(("127.0.0.1", door.inner_port))
    assert inner is not None, "another port is another door"
    for sock in (inner, held.pop()):
        assert sock is not None
        sock.close()
    held.append(eventually(lambda: greeted(address), "one that left made room"))
    for sock in held:
        assert sock is not None
        sock.close()
    door.stop()


def test_a_port_is_one_door_s_alone(opened: Opened) -> None:
    _, _, rpc = opened
    port = int(rpc.target.rpartition(":")[2])
    second = GrpcDoor(Table(), Access().of_headers, Metrics())
    with pytest.raises(Refused, match=f"127.0.0.1:{port}: Address already in use") as caught:
        second.listen("127.0.0.1", port)
    assert "grpc_port" in caught.value.hint


def test_threads_are_made_as_needed_and_used_again() -> None:
    threads = Threads("test", 3)
    done, held = threading.Semaphore(0), threading.Event()
    for _ in range(3):
        assert threads.run(lambda: (held.wait(10), done.release()))
    assert not threads.run(lambda: None)
    held.set()
    for _ in range(3):
        assert done.acquire(timeout=10)
    eventually(lambda: threads.run(done.release), "a thread is free")
    assert done.acquire(timeout=10)
    assert threads.count == 3


def test_no_thread_outlives_its_door() -> None:
    threads, go_on = Threads("test-stop", 3), threading.Event()
    done = threading.Event()
    assert threads.run(done.set)
    assert done.wait(5)
    eventually(lambda: threads.run(go_on.wait), "one rests, another works")
    assert threads.run(lambda: None)
    threading.Timer(0.05, go_on.set).start()
    threads.stop(5)
    assert threads.count == 0
    assert not [t for t in threading.enumerate() if t.name == "test-stop"]
    assert not threads.run(done.set)


def test_a_loop_is_stuck_only_while_it_does_not_answer(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it answers in the very moment in which its age is looked at."""
    _, door, _ = opened
    busy, goes_on, now = threading.Event(), threading.Event(), time.monotonic

    def hold() -> None:
        busy.set()
        goes_on.wait(30)

    assert door._loop is not None
    door._loop.call_soon_threadsafe(hold)
    assert busy.wait(20)
    assert list(door.troubles()) == []  # it was asked just now
    with monkeypatch.context() as patch:
        patch.setattr(grpc_door, "_STUCK_S", 0.01)
        said = eventually(lambda: list(door.troubles()), "it is seen", 20)
    assert said[0].startswith("gRPC's loop has not answered for ")

    def answered() -> float:
        goes_on.set()
        eventually(lambda: not door._asked, "it answers")
        return now()

    monkeypatch.setattr(grpc_door, "time", SimpleNamespace(monotonic=answered))
    assert list(door.troubles()) == []
