"""A small house behind the door: real handlers, files in memory, and a raw HTTP client."""

from __future__ import annotations

import array
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pachybox.api.definitions import box, pfs, pps, version
from pachybox.api.files_door import FilePart
from pachybox.api.frames import PutBatch, PutData, PutFd, Remove, Split
from pachybox.api.table import Call, handles
from pachybox.api.web_door import Download, Listing, Member
from pachybox.errors import Corrupt, NotFound, Refused

WHEN = datetime(2026, 1, 2, 3, 4, 6, 500_000, UTC)


class House:
    """Handlers and routes with something to watch in each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, bytes] = {}
        self.ops: list[object] = []
        self.finished: list[str] = []
        self.calls: list[Call] = []
        self.closed = threading.Event()
        self.cancelled = threading.Event()
        self.aborted: BaseException | None = None
        self.given_up = threading.Event()

    @handles("versionpb_v2.API/GetVersion")
    def get_version(self, request: Any, call: Call) -> Any:
        self.calls.append(call)
        return version.Version(major=2, minor=12)

    @handles("pfs_v2.API/InspectRepo")
    def inspect_repo(self, request: Any, call: Call) -> Any:
        if request.repo.name == "defect":
            raise KeyError("a secret of the inside")
        if request.repo.name == "full":
            raise OSError(28, "No space left on device")
        if request.repo.name != "images":
            raise NotFound(f"repo default/{request.repo.name} not found", "create it")
        return pfs.RepoInfo(repo=request.repo, size_bytes_upper_bound=1 << 40)

    @handles("pfs_v2.API/ListFile")
    def list_file(self, request: Any, call: Call) -> Iterator[Any]:
        for number in range(int(request.number)):
            yield pfs.FileInfo(file={"path": f"/{number}"}, size_bytes=number)
        if request.reverse:
            raise Refused("the listing broke", "try again")

    @handles("pfs_v2.API/ModifyFile")
    def modify_file(self, requests: Iterator[Any], call: Call) -> Any:
        for request in requests:
            if request.WhichOneof("body") == "add_file":
                file = request.add_file
                self.files[file.path] = self.files.get(file.path, b"") + file.raw.value

    @handles("pps_v2.API/CreateDatum")
    def create_datum(self, requests: Iterator[Any], call: Call) -> Iterator[Any]:
        for request in requests:
            yield pps.DatumInfo(datum={"id": request.WhichOneof("body")})

    @handles("pachybox.v1.API/SubscribeEvents")
    def subscribe(self, request: Any, call: Call) -> Iterator[Any]:
        """One event, then silence until the client leaves."""
        call.cancel.on_set(self.cancelled.set)
        try:
            yield box.Event(seq=1, kind="commit.finished", data={"repo": "images", "n": 3})
            while request.follow and not call.cancel.wait(0.01):
                yield None
        finally:
            self.closed.set()

    @handles("pachybox.v1.API/Doctor")
    def doctor(self, request: Any, call: Call) -> Iterator[Any]:
        """One finding, then a wait that only cancelling ends."""
        yield box.Finding(check="disk", level="ok")
        call.cancel.wait()
        self.cancelled.set()

    def put(self, project: str, repo: str, ref: str, description: str, ops: Any, call: Call) -> Any:
        if repo == "refused":
            raise Refused("the repo takes no files", "use another")
        try:
            for op in ops:
                self._apply(op)
        except BaseException as e:
            self.aborted = e
            self.given_up.set()
            raise
        return {"commit": {"repo": {"name": repo}, "id": ref}, "description": description}

    def _apply(self, op: Any) -> None:
        if isinstance(op, PutBatch):
            for path, piece in zip(op.paths, op.pieces(), strict=True):
                old = self.files.get(path, b"") if op.append else b""
                self.files[path] = old + bytes(piece)
        elif isinstance(op, PutData | Split):
            piece = memoryview(bytearray(700))
            content = b""
            while n := op.read(piece):
                content += piece[:n]
            old = self.files.get(op.path, b"") if op.append else b""
            self.files[op.path] = old + content
        elif isinstance(op, PutFd):
            with os.fdopen(os.dup(op.fd), "rb") as file:
                self.files[op.path] = file.read()
        elif isinstance(op, Remove):
            self.files.pop(op.path, None)
        self.ops.append(op)

    def get(
        self, project: str, repo: str, ref: str, path: str, *, glob: bool, joined: bool,
        offset: int, limit: int | None, out: Any, call: Call,
    ) -> None:  # fmt: skip
        found = {p: c for p, c in self.files.items() if p.startswith(path)}
        if not found:
            raise NotFound(f"file {path} not found")
        out.put_small([(p, c) for p, c in found.items() if len(c) < 1000])
        for name, content in found.items():
            if len(content) < 1000:
                continue
            stored = self.folder / f"stored{name.replace('/', '-')}"
            stored.write_bytes(content)
            with stored.open("rb") as file:
                if out.fds:
                    out.object(name, len(content), file.fileno())
                elif glob:
                    out.put_file(name, len(content), file.fileno())
                else:
                    out.put(name, len(content), iter([content[:100], content[100:]]))
        out.directory("/empty")
        if ref == "broken":
            raise Refused("the tree broke")

    def members(self, wanted: Any, call: Call) -> Iterator[Any]:
        self.calls.append(call)
        for one in wanted:
            found = {p: c for p, c in self.files.items() if p.startswith(one.path)}
            if not found:
                yield one, NotFound(f"file {one.path} not found")
            for path, content in found.items():
                yield Member(f"{one.project}/{one.repo}/{one.ref}{path}", len(content), WHEN,
                             self.pieces(path))  # fmt: skip

    def pieces(self, path: str) -> Iterator[bytes]:
        if path == "/corrupt":
            raise Corrupt("the content does not match its hash")
        content = self.files[path]
        for at in range(0, len(content), 1 << 20):
            yield content[at : at + (1 << 20)]
        self.finished.append(path)

    def page(self, project: str, repo: str, ref: str, path: str, call: Call) -> Download | Listing:
        self.calls.append(call)
        path = path.rstrip("/") or "/"
        if path == "/" or any(p.startswith(f"{path}/") for p in self.files):
            return Listing("dir", iter([("/a <b>.txt", 5, False), ("/sub/", 7, True)]), WHEN)
        if path not in self.files:
            raise NotFound(f"file {path} not found in repo {repo} at commit {ref}")
        content = self.files[path]

        def read(offset: int, length: int) -> Iterator[bytes | FilePart]:
            stored = self.folder / "download"
            stored.write_bytes(content)
            if ref == "kernel":
                fd = os.open(stored, os.O_RDONLY)
                yield FilePart(fd, offset, length, lambda: os.close(fd))
            else:
                yield content[offset : offset + length]

        return Download(len(content), "abc", read, modified=None if ref == "open" else WHEN)


class Raw:
    """A client that sends what it is told, byte by byte if need be."""

    def __init__(self, address: Path | tuple[str, int]) -> None:
        if isinstance(address, Path):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(str(address))
        else:
            self.sock = socket.create_connection(address)
        self.sock.settimeout(10)
        self.data = b""
        self.fds: list[int] = []

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        if fds:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            sent = self.sock.sendmsg([data], rights)
            data = data[sent:]
        self.sock.sendall(data)

    def more(self) -> bool:
        """Receive something; False at the end of the connection."""
        try:
            data, ancillary, _, _ = self.sock.recvmsg(1 << 16, socket.CMSG_SPACE(16))
        except ConnectionResetError:
            return False
        for _, _, rights in ancillary:
            self.fds += array.array("i", rights)
        self.data += data
        return bool(data)

    def until(self, mark: bytes) -> bytes:
        while mark not in self.data:
            if not self.more():
                raise EOFError(self.data)
        found, _, self.data = self.data.partition(mark)
        return found

    def exactly(self, count: int) -> bytes:
        while len(self.data) < count:
            if not self.more():
                raise EOFError(self.data)
        found, self.data = self.data[:count], self.data[count:]
        return found

    def head(self) -> tuple[int, dict[str, str]]:
        first, *lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return int(first.split()[1]), headers

    def chunk(self) -> bytes:
        size = int(self.until(b"\r\n"), 16)
        data = self.exactly(size)
        assert self.exactly(2) == b"\r\n"
        return data

    def answer(self, *, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        status, headers = self.head()
        if head_only or status in (204, 304):
            return status, headers, b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while piece := self.chunk():
                body += piece
            return status, headers, body
        return status, headers, self.exactly(int(headers["content-length"]))

    def request(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        lines = {"host": "localhost", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body and "transfer-encoding" not in lines:
            lines["content-length"] = str(len(body))
        head = "".join(f"{k}: {v}\r\n" for k, v in lines.items())
        self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        return self.answer(head_only=method == "HEAD")

    def call(self, method: str, message: object = None, **headers: str) -> tuple[int, Any]:
        """A JSON call in the strict form; the answer's object, or its list of lines."""
        headers = {"prefer": "handling=strict, return=minimal", **headers}
        body = b"" if message is None else json.dumps(message).encode()
        status, got, answer = self.request("POST", f"/api/{method}", body, **headers)
        if got.get("transfer-encoding") == "chunked":
            return status, [json.loads(line) for line in answer.splitlines()]
        return status, json.loads(answer)

    def ended(self) -> bool:
        """Whether the server hangs up without sending more."""
        return not self.more()


def frame(ops: list[Any], data: bytes = b"") -> bytes:
    """One upload frame."""
    header = json.dumps(ops).encode()
    return struct.pack("<I", len(header)) + header + data


END = struct.pack("<I", 0)


def frames(body: bytes) -> list[tuple[list[Any], bytes]]:
    """A download's frames, checked to end as they should."""
    found = []
    while True:
        (length,) = struct.unpack("<I", body[:4])
        if not length:
            assert body == END
            return found
        ops = json.loads(body[4 : 4 + length])
        size = sum(op[-1] for op in ops if op[0] in ("p", "m"))
        body = body[4 + length :]
        found.append((ops, body[:size]))
        body = body[size:]


def contents(body: bytes) -> dict[str, bytes]:
    """The files of a download's frames."""
    files: dict[str, bytes] = {}
    path = ""
    for ops, data in frames(body):
        for op in ops:
            if op[0] == "p":
                path = op[1]
                files[path] = b""
            if op[0] in ("p", "m"):
                files[path] += data[: op[-1]]
                data = data[op[-1] :]
    return files
