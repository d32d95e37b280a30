"""The gRPC door beside bare servers of the same transport that only send, take or echo bytes."""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import grpc.aio

from benchmarks.harness import Row, note, report, running, scaled, settle, timed
from pachybox.api.definitions import pfs

MIB = 1 << 20
PIECE = 19 * MIB  # what Pachyderm's clients send at once
TAR_PIECE = MIB
UNARY, MODIFY = "/versionpb_v2.API/GetVersion", "/pfs_v2.API/ModifyFile"
TAR, LIST = "/pfs_v2.API/GetFileTAR", "/pfs_v2.API/ListFile"
OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
TIMES = 5

# ---- the bare server, in a process of its own


class Bare(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Echoes, swallows, or sends what the request says: ``b"COUNT SIZE"``."""

    def service(self, details: Any) -> Any:
        """gRPC's handler by the path."""
        if details.method == UNARY:
            return grpc.unary_unary_rpc_method_handler(self.echo)
        if details.method == MODIFY:
            return grpc.stream_unary_rpc_method_handler(self.sink)
        return grpc.unary_stream_rpc_method_handler(self.source)

    async def echo(self, request: bytes, context: Any) -> bytes:
        """The request."""
        return request

    async def sink(self, requests: Any, context: Any) -> bytes:
        """Nothing, once all was read."""
        while await context.read() is not grpc.aio.EOF:
            pass
        return b""

    async def source(self, request: bytes, context: Any) -> None:
        """As many messages of as many bytes as asked."""
        count, size = map(int, request.split())
        message = bytes(size)
        for _ in range(count):
            await context.write(message)


async def serve() -> None:
    """Serve until standard input ends."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((Bare(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


# ---- the client


class Client:
    """Calls with bytes; nothing is parsed."""

    def __init__(self, target: str) -> None:
        self.channel = grpc.insecure_channel(target, OPTIONS)
        self.unary = self.channel.unary_unary(UNARY)
        self.modify = self.channel.stream_unary(MODIFY)
        self.tar = self.channel.unary_stream(TAR)
        self.list = self.channel.unary_stream(LIST)

    def drain(self, stream: Any) -> tuple[int, int]:
        """Messages and bytes of a stream."""
        count = size = 0
        for message in stream:
            count += 1
            size += len(message)
        return count, size


def messages(path: str, size: int) -> Iterator[bytes]:
    """One file of ``size`` bytes as clients upload it."""
    commit = {"repo": {"name": "bench", "type": "user"}, "branch": {"name": "master"}}
    commit["branch"]["repo"] = commit["repo"]  # type: ignore[index]
    yield pfs.ModifyFileRequest(set_commit=commit).SerializeToString()
    data = os.urandom(min(size, 4 * PIECE))
    for start in range(0, size, PIECE):
        piece = data[start % len(data) :][: min(PIECE, size - start)]
        # content that differs from piece to piece, or the store would keep it once
        piece = start.to_bytes(8, "big") + os.urandom(8) + piece[16:]
        add = {"path": path, "raw": {"value": piece}}
        yield pfs.ModifyFileRequest(add_file=add).SerializeToString()


def compare(name: str, unit: str, amount: float, ours: list[float], bare: list[float]) -> None:
    """A row of medians."""
    box_s, bare_s = statistics.median(ours), statistics.median(bare)
    least = 0.5 if "unary" in name else 0.6
    ratio = bare_s / box_s
    beside = f"bare server {amount / bare_s:,.0f} {unit}"
    report(
        Row(
            f"gRPC: {name}", amount / box_s, unit, beside, ratio, f"at least {least}",
            ratio >= least,
        )
    )  # fmt: skip


def by_turns(
    box: Callable[[int], object], bare: Callable[[int], object], times: int = TIMES
) -> tuple[list[float], list[float]]:
    """Seconds of both, one after the other, so that both meet the same machine."""
    ours, theirs = [], []
    for number in range(times):
        settle()
        theirs.append(timed(lambda: bare(number)))  # noqa: B023  # called at once
        ours.append(timed(lambda: box(number)))  # noqa: B023
    return ours, theirs


def unary(box: Client, bare: Client) -> None:
    """Small calls, one after the other and many at once."""
    for threads in (1, 16):
        each = scaled(3000) // threads

        def calls(client: Client, each: int = each, threads: int = threads) -> None:
            workers = [
                threading.Thread(target=lambda: [client.unary(b"") for _ in range(each)])
                for _ in range(threads)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()

        times = by_turns(lambda _: calls(box), lambda _: calls(bare))
        compare(f"unary calls, {threads} at once", "calls/s", each * threads, *times)


def files(box: Client, bare: Client) -> None:
    """One large file in, and out as a tar."""
    size = scaled(512 * MIB, PIECE)
    uploads = [list(messages(f"/f{number}", size)) for number in range(2)]

    def put(client: Client, number: int) -> None:
        client.modify(iter(uploads[number % 2]))

    times = by_turns(lambda n: put(box, n), lambda n: put(bare, n), 2)
    compare("ModifyFile, 19 MiB messages, durable", "MB/s", size / 1e6, *times)
    request = pfs.GetFileRequest(file={"commit": _commit(), "path": "/f0"}).SerializeToString()
    count = size // TAR_PIECE

    def get() -> None:
        assert box.drain(box.tar(request))[1] >= size

    times = by_turns(
        lambda _: get(), lambda _: bare.drain(bare.tar(f"{count} {TAR_PIECE}".encode()))
    )
    compare("GetFileTAR, one file", "MB/s", size / 1e6, *times)


def listing(box: Client, bare: Client) -> None:
    """A directory of many files."""
    count = scaled(20_000, 1000)
    request = pfs.ListFileRequest(file={"commit": _commit(), "path": "/many"}).SerializeToString()
    got, size = box.drain(box.list(request))
    assert got == count, got
    plain = f"{count} {size // count}".encode()
    times = by_turns(lambda _: box.drain(box.list(request)), lambda _: bare.drain(bare.list(plain)))
    compare("ListFile", "records/s", count, *times)


def stalled(box: Client, target: str) -> None:
    """Calls of one client while others do not take what they asked for."""
    calls = scaled(2000)

    def rate() -> float:
        return calls / timed(lambda: [box.unary(b"") for _ in range(calls)])

    request = pfs.GetFileRequest(file={"commit": _commit(), "path": "/f0"}).SerializeToString()
    alone, beside = [], []
    for _ in range(3):
        alone.append(rate())
        others = [Client(target) for _ in range(16)]
        held = [other.tar(request) for other in others]
        for stream in held:
            next(stream)
        beside.append(rate())
        for other in others:
            other.channel.close()
    plain = statistics.median(alone)
    report(
        Row(
            "gRPC: unary calls beside 16 stalled downloads", statistics.median(beside), "calls/s",
            f"{plain:,.0f} calls/s without them", statistics.median(beside) / plain,
            "at least 0.8", statistics.median(beside) / plain >= 0.8,
        )
    )  # fmt: skip


def _commit() -> dict[str, Any]:
    repo = {"name": "bench", "type": "user"}
    return {"repo": repo, "branch": {"name": "master", "repo": repo}}


def main() -> None:
    """All rows."""
    command = [sys.executable, "-m", "benchmarks.grpc_door", "serve"]
    peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert peer.stdout is not None
    bare = Client(f"127.0.0.1:{peer.stdout.readline().strip()}")
    with running("gRPC door") as house:
        with house.client() as client:
            client.create_repo("bench")
            with client.put("bench@master") as put:
                for number in range(scaled(20_000, 1000)):
                    put.data(f"/many/file-{number:06d}.png", b"%d" % number)
            target = client.status().grpc_address.removeprefix("grpc://")
        box = Client(target)
        wanted = sys.argv[1:] or ["unary", "files", "listing", "stalled"]
        if "unary" in wanted:
            note("unary calls")
            unary(box, bare)
        if "files" in wanted:
            note("files in and out")
            files(box, bare)
        if "listing" in wanted:
            note("listing")
            listing(box, bare)
        if "stalled" in wanted:
            note("stalled clients")
            stalled(box, target)
        box.channel.close()
    bare.channel.close()
    peer.communicate("")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main()
