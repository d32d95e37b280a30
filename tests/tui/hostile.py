"""A server that answers what no box would: for what the terminal must survive."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

Answer = Callable[[str], bytes]


def http(body: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """A whole answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Hostile:
    """Serves ``answer(path)`` to every request, whatever it is; ``address`` is where. ``None``
    closes the connection, b"" keeps it open without a word."""

    def __init__(self, answer: Callable[[str], bytes | None]) -> None:
        self.answer = answer
        self.asked = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        host, port = self._server.getsockname()
        return f"http://{host}:{port}"

    def close(self) -> None:
        self._ended = True
        for one in (self._server, *self._open):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while not self._ended:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while head := self._request(connection):
                self.asked += 1
                said = self.answer(head.split(" ")[1])
                if said is None:
                    break
                connection.sendall(said)
        except OSError:
            pass
        finally:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _request(self, connection: socket.socket) -> str:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return ""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(body) < length:
            body += connection.recv(65536)
        return head.decode(errors="replace")


VALUES: list[object] = [None, True, 7, -1, 1.5, 1e308, "", "x", "2024-13-45T99:99Z", [], {}, [[]],
                        [None], {"a": 1}, "\x1b[31m[red]x[/", "9" * 400]  # fmt: skip


def bent(value: object, chance: random.Random) -> object:
    """The same JSON with something in it that should not be there."""
    if chance.random() < 0.08:
        return chance.choice(VALUES)
    if isinstance(value, dict):
        return {key: bent(one, chance) for key, one in value.items() if chance.random() > 0.05}
    if isinstance(value, list):
        return [bent(one, chance) for one in value]
    return value


def garbage(chance: random.Random, good: dict[str, object]) -> bytes | None:
    """One of many wrong answers."""
    kinds: list[Callable[[], bytes | None]] = [
        lambda: None,
        lambda: b"\x00\xff" * 40 + b"\r\n\r\n",
        lambda: b"HTTP/1.1 999 What\r\n\r\n",
        lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nshort",
        lambda: b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        lambda: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        lambda: http(b"<html>a proxy</html>", kind="text/html"),
        lambda: http(b"[]"),
        lambda: http(b"null"),
        lambda: http(b"{" * 2000),
        lambda: http(b"\xff\xfe"),
        lambda: http(b'{"error": 7}', "500 Bad"),
        lambda: http(b'{"result": 7}\n{"error": []}\n7\n'),
        lambda: http(b'{"code": "x", "message": [1]}', "404 Not Found"),
        lambda: http(json.dumps(bent(good, chance)).encode()),
    ]
    return chance.choice(kinds)()
