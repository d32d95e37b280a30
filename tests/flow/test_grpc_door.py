"""The gRPC door of a real box: what Pachyderm's clients rely on beside the methods themselves."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from pachybox.api.definitions import pfs
from tests.boxes import RealBox, eventually
from tests.rpc import Rpc, failure

MIB = 1 << 20


@pytest.fixture(scope="module")
def rpc(shared_box: RealBox) -> Iterator[Rpc]:
    """A client of the module's box."""
    made = Rpc(target(shared_box))
    yield made
    made.close()


def target(box: RealBox) -> str:
    """``host:port`` of a box's gRPC door."""
    return box.client.status().grpc_address.removeprefix("grpc://")


def repo(name: str) -> dict[str, Any]:
    return {"name": name, "type": "user", "project": {"name": "default"}}


def commit(name: str, branch: str = "master") -> dict[str, Any]:
    return {"repo": repo(name), "branch": {"repo": repo(name), "name": branch}}


def code_of(action: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        action()
    return failure(caught.value)


def upload(name: str, files: dict[str, bytes], piece: int = 19 * MIB) -> Iterator[Any]:
    """What the SDK sends to put files."""
    yield {"set_commit": commit(name)}
    for path, data in files.items():
        for start in range(0, max(len(data), 1), piece):
            yield {"add_file": {"path": path, "raw": {"value": data[start : start + piece]}}}


def test_files_of_any_size_go_in_and_come_out(rpc: Rpc) -> None:
    rpc("pfs_v2.API/CreateRepo", repo=repo("sizes"))
    files = {"/empty": b"", "/small": b"small", "/large": os.urandom(50 * MIB + 7)}
    rpc("pfs_v2.API/ModifyFile", upload("sizes", files))
    listed = rpc("pfs_v2.API/ListFile", file={"commit": commit("sizes"), "path": "/"})
    assert {f.file.path: f.size_bytes for f in listed} == {p: len(d) for p, d in files.items()}
    one = rpc("pfs_v2.API/GetFile", file={"commit": commit("sizes"), "path": "/large"}, offset=11)
    assert b"".join(piece.value for piece in one) == files["/large"][11:]
    assert max(len(piece.value) for piece in one) <= 2 * MIB
    tar = rpc("pfs_v2.API/GetFileTAR", file={"commit": commit("sizes"), "path": "/**"})
    with tarfile.open(fileobj=io.BytesIO(b"".join(piece.value for piece in tar))) as found:
        got = {m.name: found.extractfile(m).read() for m in found}  # type: ignore[union-attr]
    assert got == files


def test_messages_of_20_mib_are_taken_and_larger_ones_refused_whole(rpc: Rpc) -> None:
    rpc("pfs_v2.API/CreateRepo", repo=repo("limit"))
    rpc("pfs_v2.API/ModifyFile", upload("limit", {"/a": bytes(20 * MIB)}, 20 * MIB))
    code, text = code_of(
        lambda: rpc(
            "pfs_v2.API/ModifyFile",
            upload("limit", {"/b": b"b", "/c": bytes(21 * MIB)}, 21 * MIB),
        )
    )
    assert code == "RESOURCE_EXHAUSTED"
    assert "larger than max" in text
    assert len(rpc("pfs_v2.API/ListCommit", repo=repo("limit"))) == 1


def test_gzip_is_taken(rpc: Rpc) -> None:
    rpc("pfs_v2.API/CreateRepo", repo=repo("gzip"))
    stub = rpc.channel.stream_unary("/pfs_v2.API/ModifyFile")
    messages = [
        pfs.ModifyFileRequest(set_commit=commit("gzip")),
        pfs.ModifyFileRequest(add_file={"path": "/a", "raw": {"value": bytes(10 * MIB)}}),
    ]
    stub((m.SerializeToString() for m in messages), compression=grpc.Compression.Gzip)
    info = rpc("pfs_v2.API/InspectFile", file={"commit": commit("gzip"), "path": "/a"})
    assert info.size_bytes == 10 * MIB


def test_a_client_may_ping_as_it_likes(shared_box: RealBox) -> None:
    """Raw HTTP/2: a connection with no call on it answers hundreds of pings without a GOAWAY."""
    host, port = target(shared_box).split(":")
    with socket.create_connection((host, int(port)), 10) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4))
        kinds: list[int] = []
        data = b""
        for number in range(300):
            sock.sendall(_frame(6, struct.pack(">Q", number)))
            while kinds.count(6) <= number:
                data += sock.recv(65536)
                while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                    kinds.append(data[3])
                    data = data[9 + int.from_bytes(data[:3], "big") :]
    assert 7 not in kinds  # GOAWAY


def _frame(kind: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, 0]) + bytes(4) + payload


def test_what_a_lost_client_was_sending_is_not_there(rpc: Rpc, shared_box: RealBox) -> None:
    rpc("pfs_v2.API/CreateRepo", repo=repo("lost"))
    program = f"""
import os, signal
from tests.rpc import Rpc
from tests.flow.test_grpc_door import upload
def messages():
    yield from upload("lost", {{"/a": b"a", "/b": bytes(1 << 20)}})
    print("sent", flush=True)
    signal.pause()
Rpc({rpc.target!r})("pfs_v2.API/ModifyFile", messages())
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"sent\n"
    before = _count(shared_box, "ModifyFile", "cancelled")
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    eventually(lambda: _count(shared_box, "ModifyFile", "cancelled") > before, "the call is over")
    assert rpc("pfs_v2.API/ListCommit", repo=repo("lost")) == []


def _count(box: RealBox, method: str, code: str) -> int:
    """Calls that ended so, of the metrics page."""
    import urllib.request

    with urllib.request.urlopen(f"{box.client.status().address}/metrics") as page:
        text = page.read().decode()
    mark = f'pachybox_requests_total{{method="pfs_v2.API/{method}",code="{code}"}} '
    return sum(int(line[len(mark) :]) for line in text.splitlines() if line.startswith(mark))


def test_hundreds_of_streams_wait_and_nobody_is_held_up(rpc: Rpc, shared_box: RealBox) -> None:
    rpc("pfs_v2.API/CreateRepo", repo=repo("news"))
    rpc("pfs_v2.API/ModifyFile", upload("news", {"/a": b"a"}))
    streams = [
        rpc.stream("pfs_v2.API/SubscribeCommit", repo=repo("news"), branch="master")
        for _ in range(200)
    ]
    first = {next(stream).commit.id for stream in streams}
    rpc("versionpb_v2.API/GetVersion")
    rpc("pfs_v2.API/ModifyFile", upload("news", {"/b": b"b"}))
    second = {next(stream).commit.id for stream in streams}
    assert len(first) == len(second) == 1
    assert first != second
    for stream in streams:
        stream.cancel()
    over = "the streams are over"
    eventually(lambda: _count(shared_box, "SubscribeCommit", "cancelled") >= 200, over)


def test_errors_are_those_that_clients_match(rpc: Rpc) -> None:
    rpc("pfs_v2.API/CreateRepo", repo=repo("there"))

    def fails(method: str, **fields: Any) -> tuple[str, str]:
        return code_of(lambda: rpc(f"pfs_v2.API/{method}", **fields))

    code, text = fails("InspectRepo", repo=repo("none"))
    assert (code, text.partition(";")[0]) == ("NOT_FOUND", "repo default/none not found")
    code, text = fails("CreateRepo", repo=repo("there"))
    assert (code, text.partition(";")[0]) == ("ALREADY_EXISTS", "repo default/there already exists")
    code, text = fails("InspectBranch", branch={"repo": repo("there"), "name": "b"})
    assert code == "NOT_FOUND"
    assert 'branch "b" not found in repo default/there' in text
    rpc("pfs_v2.API/ModifyFile", upload("there", {"/a": b""}))
    code, text = fails("InspectFile", file={"commit": commit("there"), "path": "/b"})
    assert code == "NOT_FOUND"
    assert "file /b not found in repo default/there at commit" in text
    code, text = fails("FinishCommit", commit=commit("there"))
    assert "has already finished" in text
    assert code_of(lambda: rpc.raw("/auth_v2.API/WhoAmI")) == (
        *("UNIMPLEMENTED", "the auth service is not activated"),
    )
    cluster = rpc("admin_v2.API/InspectCluster")
    assert cluster.id
    assert cluster.warnings_ok


def test_an_upload_refused_while_it_ends_is_answered(rpc: Rpc) -> None:
    """The refusal and the reading of the client's last word meet, now and then."""
    for _ in range(400):
        sent = iter([{"set_commit": commit("nowhere")}, {"delete_file": {"path": "/a"}}])
        code, _ = code_of(lambda: rpc("pfs_v2.API/ModifyFile", sent, timeout=20))  # noqa: B023
        assert code == "NOT_FOUND"


def test_a_transaction_is_named_by_metadata(rpc: Rpc) -> None:
    own = Rpc(rpc.target)
    started = own("transaction_v2.API/StartTransaction")
    own.metadata = (("pach-transaction", started.id),)
    own("pfs_v2.API/CreateRepo", repo=repo("later"))
    first = own("pfs_v2.API/StartCommit", branch={"repo": repo("later"), "name": "master"})
    own.metadata = ()
    assert code_of(lambda: own("pfs_v2.API/InspectRepo", repo=repo("later")))[0] == "NOT_FOUND"
    done = own("transaction_v2.API/FinishTransaction", transaction=started)
    assert [r.commit.id for r in done.responses if r.HasField("commit")] == [first.id]
    assert own("pfs_v2.API/InspectCommit", commit=first).commit.id == first.id
    own.close()


def test_health_and_reflection_tell_what_is_there(rpc: Rpc) -> None:
    stub = health_pb2_grpc.HealthStub(rpc.channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for name in ("", "pfs_v2.API", "pps_v2.API", "pachybox.v1.API", "grpc.health.v1.Health"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=name)).status == serving
    assert code_of(lambda: stub.Check(health_pb2.HealthCheckRequest(service="x")))[0] == "NOT_FOUND"
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="pfs_v2.API"))
    assert next(watch).status == serving
    watch.cancel()
    reflected = ProtoReflectionDescriptorDatabase(rpc.channel)
    assert {"pfs_v2.API", "pps_v2.API", "pachybox.v1.API"} <= set(reflected.get_services())
    file = reflected.FindFileContainingSymbol("pfs_v2.API")
    methods = {m.name for service in file.service for m in service.method}
    assert {"ListRepo", "ModifyFile"} <= methods


def test_with_a_token_everybody_shows_it(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home", settings='token = "right"\n').start()
    where = target(box)
    try:
        answers = {}
        for token in ("", "wrong", "right"):
            rpc = Rpc(where, token=token)
            try:
                answers[token] = rpc("versionpb_v2.API/GetVersion").major, ""
            except grpc.RpcError as e:
                answers[token] = failure(e)
            if token != "right":
                assert code_of(lambda: rpc("pfs_v2.API/ListRepo"))[0] == "UNAUTHENTICATED"  # noqa: B023
            rpc.close()
        assert answers == {
            "": ("UNAUTHENTICATED", "no authentication token (try logging in)"),
            "wrong": (
                "UNAUTHENTICATED",
                "provided auth token is corrupted or has expired (try logging in again)",
            ),
            "right": (2, ""),
        }
        rpc = Rpc(where)  # whether a server is healthy is asked by those who know nothing
        reflected = ProtoReflectionDescriptorDatabase(rpc.channel)
        assert code_of(reflected.get_services)[0] == "UNAUTHENTICATED"
        stub = health_pb2_grpc.HealthStub(rpc.channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    finally:
        box.stop()
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    rpc.close()
