"""Raw HTTP for the S3 rows: a load generator, and a bare server of the same transport.

    python -m benchmarks.s3_load put-many PORT BUCKET COUNT CONNECTIONS   PUTs a second
    python -m benchmarks.s3_load put PORT PATH FILE                       seconds
    python -m benchmarks.s3_load get PORT PATH                            seconds
    python -m benchmarks.s3_load serve FILE                               prints its port

The generator is one thread over epoll and does no more than S3 needs, so that it is not what
is measured. The server has a thread a connection: it takes a body in and drops it, and sends FILE
by sendfile; nothing can be less that speaks HTTP over a socket from Python. A body for a path below
/disk/ it writes beside FILE and has synced; below /etag/ it also makes the MD5, on another thread.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

BODY = 1024
_PIECE = 1 << 20


def put_many(port: int, bucket: str, count: int, connections: int) -> float:
    """PUTs a second of ``count`` objects of BODY random bytes, so many waiting at a time."""
    body = os.urandom(BODY - 8)

    def request(i: int) -> bytes:
        return (
            f"PUT /{bucket}/d{i % 100}/f{i} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Content-Length: {BODY}\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode() + (body + i.to_bytes(8, "big"))

    todo = iter(range(count))
    selector = selectors.EpollSelector()
    started = time.perf_counter()
    for _ in range(min(connections, count)):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request(next(todo)))
        selector.register(connection, selectors.EVENT_READ, connection)
    left = count
    while left:
        for key, _ in selector.select():
            answer = key.data.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"not stored: {answer[:300]!r}")
            left -= 1
            if (number := next(todo, None)) is not None:
                key.data.sendall(request(number))
    return count / (time.perf_counter() - started)


def put(port: int, path: str, file: str) -> float:
    """Seconds to PUT a file, sent by the kernel."""
    with socket.create_connection(("127.0.0.1", port)) as connection, open(file, "rb") as source:
        size = os.fstat(source.fileno()).st_size
        started = time.perf_counter()
        connection.sendall(
            f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {size}\r\n"
            "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\r\n".encode()
        )
        sent = 0
        while sent < size:
            sent += os.sendfile(connection.fileno(), source.fileno(), sent, size - sent)
        _ok(connection.recv(65536))
        return time.perf_counter() - started


def get(port: int, path: str) -> float:
    """Seconds to GET an object and drop it."""
    buffer = memoryview(bytearray(_PIECE))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        started = time.perf_counter()
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = connection.recv(65536)
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        _ok(head)
        text, _, body = head.partition(b"\r\n\r\n")
        size = next(
            int(line.split(b":")[1])
            for line in text.split(b"\r\n")
            if line.lower().startswith(b"content-length:")
        )
        got = len(body)
        while got < size:
            n = connection.recv_into(buffer)
            if not n:
                raise SystemExit(f"{size - got} bytes are missing")
            got += n
        return time.perf_counter() - started


def _ok(answer: bytes) -> None:
    if not answer.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"refused: {answer[:300]!r}")


def serve(file: str) -> None:
    """The bare server; ends when its standard input does."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_answer, args=(connection, file), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


def _answer(connection: socket.socket, file: str) -> None:
    buffer = memoryview(bytearray(_PIECE))
    held = b""
    while True:
        while b"\r\n\r\n" not in held:
            more = connection.recv(65536)
            if not more:
                return
            held += more
        head, _, held = held.partition(b"\r\n\r\n")
        if head.startswith(b"GET"):
            with open(file, "rb") as source:
                size = os.fstat(source.fileno()).st_size
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
                sent = 0
                while sent < size:
                    sent += os.sendfile(connection.fileno(), source.fileno(), sent, size - sent)
            continue
        size = next(
            int(line[15:]) for line in head.split(b"\r\n") if line[:14] == b"Content-Length"
        )
        body, held = held[:size], held[size:]
        kept = None
        if head.startswith((b"PUT /disk/", b"PUT /etag/")):
            kept = os.open(Path(file).parent, os.O_TMPFILE | os.O_WRONLY | os.O_DIRECT)
            _keep(connection, kept, body, size, etag=head.startswith(b"PUT /etag/"))
        else:
            left = size - len(body)
            while left > 0:
                left -= connection.recv_into(buffer, min(left, _PIECE))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        if kept is not None:
            os.close(kept)


def _keep(connection: socket.socket, fd: int, body: bytes, size: int, *, etag: bool) -> None:
    """Write a body that begins with ``body`` to a file, past the page cache; with its MD5."""
    made = hashlib.md5(usedforsecurity=False)
    buffers = [memoryview(mmap.mmap(-1, _PIECE)) for _ in range(4)]
    buffers[0][: len(body)] = body
    filled = len(body)
    hashing: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:
        for done in range(0, size, _PIECE):
            buffer = buffers[0][: size - done]
            while filled < len(buffer):
                filled += connection.recv_into(buffer[filled:])
            if etag:
                hashing.append(pool.submit(made.update, buffer))
                if len(hashing) == len(buffers):
                    hashing.pop(0).result()  # its buffer is the next
            if len(buffer) % mmap.PAGESIZE:
                fcntl.fcntl(fd, fcntl.F_SETFL, 0)  # the end: not direct
            os.write(fd, buffer)
            buffers.append(buffers.pop(0))
            filled = 0
        for last in hashing:
            last.result()
    made.digest()
    os.fdatasync(fd)


def main(arguments: list[str]) -> None:
    """See the module."""
    what, *rest = arguments
    if what == "serve":
        serve(rest[0])
        return
    actions: dict[str, Callable[[], float]] = {
        "put-many": lambda: put_many(int(rest[0]), rest[1], int(rest[2]), int(rest[3])),
        "put": lambda: put(int(rest[0]), rest[1], rest[2]),
        "get": lambda: get(int(rest[0]), rest[1]),
    }
    print(actions[what]())


if __name__ == "__main__":
    main(sys.argv[1:])
