"""Raw HTTP for the rows of posted records: a load generator, and bare sinks of the same transport.

    python -m benchmarks.post_load post PORT PATH REQUESTS RECORDS CONNECTIONS [RATE]
    python -m benchmarks.post_load sink drop|sync FILE                           prints its port

The generator is one thread over epoll; it makes no more than RATE requests a second, and prints how
many it made. So is the sink: of each request it reads head and body, and answers; with ``sync`` it
has first appended all bodies that came by then to FILE, with one write and one ``fdatasync``.
Nothing can be less that does this from Python.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time


def body_of(number: int, records: int) -> bytes:
    """So many records of about 200 bytes, as lines."""
    record = {"id": number, "kind": "reading", "sensor": f"s{number % 100}", "value": 20.5,
              "text": "x" * 110}  # fmt: skip
    return b"".join(json.dumps(record | {"n": n}).encode() + b"\n" for n in range(records))


def post(port: int, path: str, count: int, records: int, connections: int, rate: int = 0) -> float:
    """Requests a second, each with a key of its own, so many waiting at a time. With ``rate`` none
    is sent before its time, and what is late is made up for."""
    body = body_of(1, records)
    kind = "application/json" if records == 1 else "application/x-ndjson"
    run = os.urandom(6).hex()

    def request(i: int) -> bytes:
        return (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(body)}\r\nIdempotency-Key: {run}-{i}\r\n\r\n"
        ).encode() + body

    selector = selectors.EpollSelector()
    idle: list[socket.socket] = []
    started = time.perf_counter()
    for _ in range(min(connections, count)):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ, connection)
        idle.append(connection)
    sent, left = 0, count
    while left:
        due = count if not rate else int((time.perf_counter() - started) * rate) + 1
        while idle and sent < min(due, count):
            idle.pop().sendall(request(sent))
            sent += 1
        for key, _ in selector.select(0.5 / rate if rate else None):
            answer = key.data.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"not taken: {answer[:400]!r}")
            left -= 1
            idle.append(key.data)
    return count / (time.perf_counter() - started)


def sink(how: str, file: str) -> None:
    """The bare sink; ends when its standard input does."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    selector = selectors.EpollSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    held: dict[int, bytes] = {}
    while True:
        bodies: list[bytes] = []
        asked: list[socket.socket] = []
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                return
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ, connection)
                continue
            connection = key.data
            data = held.pop(key.fd, b"") + connection.recv(65536)
            if not data:
                selector.unregister(connection)
                connection.close()
            elif (body := _body(data)) is None:
                held[key.fd] = data
            else:
                bodies.append(body)
                asked.append(connection)
        if bodies and how == "sync":
            os.write(fd, b"".join(bodies))
            os.fdatasync(fd)
        for connection in asked:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def _body(data: bytes) -> bytes | None:
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return None
    lines = head.split(b"\r\n")
    size = next(int(line[15:]) for line in lines if line[:14] == b"Content-Length")
    return body if len(body) == size else None


def main(arguments: list[str]) -> None:
    """See the module."""
    what, *rest = arguments
    if what == "sink":
        sink(*rest)
    else:
        print(post(int(rest[0]), rest[1], *map(int, rest[2:])))


if __name__ == "__main__":
    main(sys.argv[1:])
