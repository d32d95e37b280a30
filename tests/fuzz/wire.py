"""Raw requests over a socket, and what may be said of the answers."""

from __future__ import annotations

import re
import select
import socket
import struct
import time
from dataclasses import dataclass

ANSWER_S = 20.0
"""Within which a request that has come whole is answered, on a machine that is busy."""
_QUIET_S = 0.05
_PATIENT_S = 3.0  # for a request that looks whole, so that it is not cancelled by a busy machine
_FOLLOW_S = 0.3
_MOST = 1 << 20
_LINGER = struct.pack("ii", 1, 0)
_BAD = re.compile(rb"(\"message\":\"|<Message>)internal error in ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a request ended. ``code`` is the status or code, "" when nothing was said; ``fault`` is
    what must not be."""

    done: bool
    code: str = ""
    fault: str = ""


def exchange(address: tuple[str, int] | str, data: bytes) -> Outcome:
    """Send ``data`` over HTTP (a unix socket when ``address`` is a path) and read one answer.

    When none comes the sending side is shut, as a client that gives up would; then the server
    must let go.
    """
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as sock:
        sock.settimeout(ANSWER_S)
        sock.connect(address)
        try:
            if not _send(sock, data):
                return Outcome(False, "", "the server stopped reading and said nothing")
            patience_s = _PATIENT_S if _is_whole(data) else _QUIET_S
            answer = _read(sock, data.startswith(b"HEAD "), patience_s)
        except ConnectionError:
            return Outcome(False)
        except TimeoutError:
            return Outcome(False, "", f"no answer within {ANSWER_S} s")
        if not isinstance(address, str):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)  # no TIME_WAIT
    return judged(answer)


def judged(answer: bytes) -> Outcome:
    """What an HTTP answer says, as far as it was read."""
    if not answer:
        return Outcome(False)
    code = answer[9:12].decode("latin-1")
    if not re.match(rb"HTTP/1\.1 [1-5]\d\d ", answer):
        return Outcome(False, code, f"no HTTP answer: {answer[:80]!r}")
    if code in ("500", "502") or _BAD.search(answer):
        return Outcome(False, code, f"an internal error: {answer[:600]!r}")
    return Outcome(code < "400" and b'"error":' not in answer, code)


def _send(sock: socket.socket, data: bytes) -> bool:
    """Send while the server reads; False when it neither reads nor answers."""
    view = memoryview(data)
    until = time.monotonic() + ANSWER_S
    sock.setblocking(False)
    try:
        while view:
            readable, writable, _ = select.select([sock], [sock], [], 1.0)
            if writable:
                view = view[sock.send(view[:262144]) :]
            elif readable:
                return True  # it answers early, and reads no more
            elif time.monotonic() > until:
                return False
    except (BrokenPipeError, ConnectionResetError):
        pass  # it may have answered all the same
    finally:
        sock.settimeout(ANSWER_S)
    return True


def _read(sock: socket.socket, head_only: bool, patience_s: float) -> bytes:
    """One answer, or what there is of one that does not end (an event stream). When none begins
    within ``patience_s`` the sending side is shut."""
    got = bytearray()
    until = time.monotonic() + ANSWER_S
    shut = False
    while len(got) < _MOST and not _whole(got, head_only):
        wait = _FOLLOW_S if got else until - time.monotonic() if shut else patience_s
        if not select.select([sock], [], [], max(0.0, wait))[0]:
            if got:
                break
            if shut:
                raise TimeoutError
            shut = True
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                break  # it hung up
            continue
        try:
            piece = sock.recv(262144)
        except ConnectionError:
            break
        if not piece:
            break
        got += piece
        while got.startswith(b"HTTP/1.1 100 ") and b"\r\n\r\n" in got:
            del got[: got.index(b"\r\n\r\n") + 4]
    return bytes(got)


def _is_whole(data: bytes) -> bool:
    """Whether a request seems to have come to its end."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end or b"\r\nexpect:" in head.lower():
        return False
    if length := re.search(rb"\r\ncontent-length: *(\d{1,9})\r\n", head.lower() + b"\r\n"):
        return len(body) >= int(length[1])
    return b"\r\ntransfer-encoding:" not in head.lower() or body.endswith(b"0\r\n\r\n")


def _whole(got: bytearray, head_only: bool) -> bool:
    end = got.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(got[: end + 2])
    if head_only:
        return True
    if length := _LENGTH.search(head):
        return len(got) >= end + 4 + int(length[1])
    return bool(_CHUNKED.search(head)) and got.endswith(b"\r\n0\r\n\r\n")
