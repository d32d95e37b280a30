"""A small real server that speaks the box's HTTP contract, for tests of its clients.

Answers of methods are given by the test; uploads are decoded into ``files``; downloads come
from ``files``. Listens on a unix socket and on loopback TCP.
"""

from __future__ import annotations

import array
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from pachybox.errors import NotFound, PachyboxError


@dataclass
class Asked:
    """One request as it came."""

    target: str
    headers: dict[str, str]
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def method(self) -> str:
        return self.target.rpartition("/")[2]


class Conn:
    """One accepted connection: exact reads with descriptors."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.data = b""
        self.fds: list[int] = []
        self.local = sock.family == socket.AF_UNIX

    def more(self) -> None:
        if self.local:
            data, ancillary, _flags, _peer = self.sock.recvmsg(1 << 20, socket.CMSG_SPACE(253 * 4))
            for _level, _kind, raw in ancillary:
                fds = array.array("i")
                fds.frombytes(raw[: len(raw) - len(raw) % 4])
                self.fds.extend(fds)
        else:
            data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionError("closed")
        self.data += data

    def exact(self, n: int) -> bytes:
        while len(self.data) < n:
            self.more()
        out, self.data = self.data[:n], self.data[n:]
        return out

    def line(self) -> str:
        while b"\n" not in self.data:
            self.more()
        out, _, self.data = self.data.partition(b"\n")
        return out.rstrip(b"\r").decode()

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.line(), 16):
            yield self.exact(size)
            self.line()
        self.line()


def error_json(e: PachyboxError) -> dict[str, Any]:
    return {
        "code": e.grpc_code,
        "message": e.message,
        "details": [{"reason": e.code, "metadata": {"hint": e.hint}}],
    }


class Box:
    """The stand-in. ``answers[method]`` is a value, a list (stream), an error or a function."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "box.sock")
        self.answers: dict[str, Any] = {}
        self.asked: list[Asked] = []
        self.files: dict[str, bytes] = {}
        self.directories: list[str] = []
        self.ops: list[list[Any]] = []
        self.commits = 0
        self.descriptors = True  # pass large files by descriptor when asked to
        self.refuse_put: PachyboxError | None = None
        self.accepted = 0
        self._folder = folder
        self._conns: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listeners: list[socket.socket] = []
        self.start()

    def start(self) -> None:
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(self.path)
        tcp = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{tcp.getsockname()[1]}"
        self._listeners = [unix, tcp]
        for listener in self._listeners:
            listener.listen()
            self._spawn(self._accept, listener)

    def stop(self) -> None:
        """End listeners and connections and wait for all threads."""
        for sock in [*self._listeners, *self._conns]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in list(self._threads):
            thread.join(10)
        for sock in [*self._listeners, *self._conns]:
            sock.close()
        self._listeners, self._conns, self._threads = [], [], []
        Path(self.path).unlink(missing_ok=True)

    def drop_connections(self) -> None:
        """Cut what is connected now; go on listening."""
        for sock in self._conns:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def before_get(self, target: str) -> None:
        """For tests to replace."""

    def last(self, method: str) -> Asked:
        return next(a for a in reversed(self.asked) if a.method == method)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._conns.append(sock)
            self._spawn(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        conn = Conn(sock)
        try:
            while self._one(conn):
                pass
        except (ConnectionError, OSError):
            pass
        finally:
            for fd in conn.fds:
                os.close(fd)
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _one(self, conn: Conn) -> bool:
        _verb, target, _version = conn.line().split(" ")
        headers = {}
        while text := conn.line():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        if target.startswith("/files/put"):
            self.asked.append(Asked(target, headers))
            return self._put(conn, target)
        body = conn.exact(int(headers.get("content-length", 0)))
        asked = Asked(target, headers, json.loads(body) if body else {})
        self.asked.append(asked)
        if target.startswith("/files/get"):
            self._get(conn, target)
        elif target == "/healthz":
            self._reply(conn, 200, b"ok")
        else:
            self._method(conn, asked)
        return True

    def _reply(self, conn: Conn, status: int, body: bytes) -> None:
        conn.sock.sendall(
            b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body
        )

    def _method(self, conn: Conn, asked: Asked) -> None:
        answer = self.answers.get(asked.method, NotFound(f"no answer for {asked.method}"))
        try:
            if callable(answer):
                answer = answer(asked.body)
            if isinstance(answer, PachyboxError):
                raise answer
        except PachyboxError as e:
            self._reply(conn, e.http_status, json.dumps(error_json(e)).encode())
            return
        if isinstance(answer, dict):
            self._reply(conn, 200, json.dumps(answer).encode())
            return
        conn.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for record in answer:
                self._chunk(conn, json.dumps({"result": record}).encode() + b"\n")
        except PachyboxError as e:
            self._chunk(conn, json.dumps({"error": error_json(e)}).encode() + b"\n")
        conn.sock.sendall(b"0\r\n\r\n")

    def _chunk(self, conn: Conn, data: bytes, fds: tuple[int, ...] = ()) -> None:
        message = b"%x\r\n" % len(data) + data + b"\r\n"
        if fds:
            sent = socket.send_fds(conn.sock, [message], list(fds))
            message = message[sent:]
        conn.sock.sendall(message)

    def _put(self, conn: Conn, target: str) -> bool:
        if self.refuse_put:
            e = self.refuse_put
            self._reply(conn, e.http_status, json.dumps(error_json(e)).encode())
            return False
        chunks = conn.chunks()
        data = b"".join(chunks)
        staged = dict(self.files)
        ops: list[list[Any]] = []
        at, last, total = 0, "", 0
        while size := int.from_bytes(data[at : at + 4], "little"):
            frame = json.loads(data[at + 4 : at + 4 + size])
            at += 4 + size
            for op in frame:
                ops.append(op)
                verb = op[0]
                if verb in "pams":
                    n = op[2] if verb == "s" else op[-1]
                    piece, at = data[at : at + n], at + n
                    assert len(piece) == n
                    last = op[1] if verb != "m" else last
                    staged[last] = (staged.get(last, b"") if verb in "am" else b"") + piece
                    total += n
                elif verb in ("f", "fa"):
                    fd = conn.fds.pop(0)
                    with open(fd, "rb") as file:
                        piece = file.read()
                    staged[op[1]] = (staged.get(op[1], b"") if verb == "fa" else b"") + piece
                    total += len(piece)
                elif verb == "d":
                    for path in list(staged):
                        if path == op[1] or path.startswith(op[1].rstrip("/") + "/"):
                            del staged[path]
        if at + 4 != len(data):
            raise ConnectionError("aborted")
        self.files, self.ops = staged, ops
        self.commits += 1
        files = sum(1 for op in ops if op[0] not in "m")
        answer = {
            "commit": {"commit": {"id": f"{self.commits:032x}"}},
            "files": str(files),
            "bytes": str(total),
        }
        self._reply(conn, 200, json.dumps(answer).encode())
        return True

    def _get(self, conn: Conn, target: str) -> None:
        query = {k: v[0] for k, v in parse_qs(urlsplit(target).query).items()}
        path = query["path"]
        self.before_get(target)
        inside = path.rstrip("/") + "/"
        chosen = {
            p: d for p, d in sorted(self.files.items()) if p == path or p.startswith(inside)
        } or ({p: d for p, d in sorted(self.files.items())} if query.get("glob") else {})
        if not chosen:
            e = NotFound(f"file {path} not found")
            self._reply(conn, 404, json.dumps(error_json(e)).encode())
            return
        offset = int(query.get("offset", 0))
        conn.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for folder in self.directories:
            self._frame(conn, [["d", folder]], b"")
        for name, content in chosen.items():
            content = content[offset:]
            if len(content) > 1 << 18 and query.get("fds") and self.descriptors:
                spare = self._folder / "spare"
                spare.write_bytes(content)
                fd = os.open(spare, os.O_RDONLY)
                self._frame(conn, [["o", name, len(content)]], b"", (fd,))
                os.close(fd)
                continue
            head = ["p", name]
            while head:
                piece, content = content[: 1 << 20], content[1 << 20 :]
                self._frame(conn, [[*head, len(piece)]], piece)
                head = ["m"] if content else []
        self._chunk(conn, b"\0\0\0\0")
        conn.sock.sendall(b"0\r\n\r\n")

    def _frame(
        self, conn: Conn, ops: list[list[Any]], data: bytes, fds: tuple[int, ...] = ()
    ) -> None:
        header = json.dumps(ops).encode()
        self._chunk(conn, len(header).to_bytes(4, "little") + header + data, fds)
