"""Inputs for the gRPC door: calls with any bytes for messages, and frames of HTTP/2 made by hand.

An input is JSON: ``{"method", "metadata", "messages" (base64), "stop"}``, or ``{"frames"}`` with
what follows HTTP/2's preface.
"""

from __future__ import annotations

import base64
import functools
import json
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import grpc

from tests.fuzz import messages
from tests.fuzz.noise import Noise
from tests.fuzz.wire import ANSWER_S, Outcome
from tests.fuzz.world import Subject

name = "grpc"
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + struct.pack(">I", 0)[1:] + b"\x04" + bytes(5)
_FOLLOW_S = 0.25
_METADATA = (
    ("authn-token", "wrong"), ("authn-token", ""), ("pach-transaction", "nothing"),
    ("pach-transaction", "0123456789abcdef0123456789abcdef"), ("authorization", "Bearer wrong"),
    ("x" * 300, "y"), ("x", "y" * 7000), ("x-bin", "\x00\xff"),
    ("command", "pachctl " + "z" * 3000), ("grpc-accept-encoding", "gzip"), ("user-agent", ""),
    ("te", "gzip"), ("content-type", "application/json"), ("grpc-timeout", "1n"),
)  # fmt: skip
_FAULTS = frozenset({"INTERNAL", "UNKNOWN", "DATA_LOSS"})
# Every test here has one channel a box; the quickest way to 20,000 calls.
_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def make(noise: Noise) -> bytes:
    """One call, somewhere between valid and noise."""
    method = messages.pick(noise)
    found = [messages.wire(noise, message) for message in messages.requests(noise, method)]
    if noise.once_in(40):
        found.append(b"\x0a" + b"\xff" * noise.choice((1 << 10, 1 << 20)))
    if noise.once_in(10):
        return _frames(noise, f"/{method.full_name}", found)
    path = method.full_name
    if noise.once_in(25):
        path = noise.choice((noise.damaged(path.encode(), 1).decode("latin-1"), noise.word()))
    made: dict[str, Any] = {"method": path, "kind": method.kind.value}
    if noise.once_in(12):
        made["kind"] = noise.choice("USCB")
        found *= noise.choice((0, 1, 3))
    if noise.once_in(8):
        made["metadata"] = [noise.choice(_METADATA) for _ in range(noise.choice((1, 1, 3)))]
    if noise.once_in(20):
        made["stop"] = noise.choice((0.0, 0.001, 0.01))
    made["messages"] = [base64.b64encode(one).decode() for one in found]
    return json.dumps(made).encode()


def _frames(noise: Noise, path: str, found: list[bytes]) -> bytes:
    """A call as frames, of which some are not as they should be."""
    pairs = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost"),
             ("te", "trailers"), ("content-type", "application/grpc")]  # fmt: skip
    if noise.once_in(3):
        at = noise.randrange(len(pairs))
        pairs[at] = (pairs[at][0], noise.word()[:100])
    if noise.once_in(4):
        pairs.append(noise.choice((("grpc-encoding", "gzip"), ("grpc-timeout", "xS"),
                                   ("grpc-encoding", "what"), (":path", "/x"),
                                   ("Upper", "x"))))  # fmt: skip
    block = b"".join(
        b"\x00" + _text(k.encode()) + _text(v.encode("utf-8", "replace")) for k, v in pairs
    )
    body = b""
    for one in found:
        flag = noise.choice((0, 0, 0, 1, 2, 255))
        length = len(one) + (noise.choice((-1, 1, 2**31)) if noise.once_in(4) else 0)
        body += bytes([flag]) + struct.pack(">I", max(0, length)) + one
    frames = [_frame(1, 4, noise.choice((1, 1, 1, 0, 2, 2**31 - 1)), block)]
    frames += [_frame(0, 0, 1, body[i : i + 16000]) for i in range(0, len(body), 16000)]
    frames.append(_frame(0, 1, 1, b""))
    for _ in range(noise.randrange(3)):
        odd = _frame(noise.randrange(12), noise.randrange(256), noise.choice((0, 1, 3)),
                     noise.randbytes(noise.choice((0, 4, 5, 8, 100))))  # fmt: skip
        frames.insert(noise.randrange(len(frames) + 1), odd)
    data = b"".join(frames)
    data = noise.damaged(data, 2) if noise.once_in(3) else data
    return json.dumps({"frames": base64.b64encode(data).decode()}).encode()


def _text(data: bytes) -> bytes:
    """A string of HPACK, at most 16 KiB, without Huffman's code."""
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest = len(data) - 127
    return bytes([127, rest & 127 | 128, rest >> 7]) + data


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return (
        struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
    )


def send(to: Subject, data: bytes) -> Outcome:
    made = json.loads(data)
    if "frames" in made:
        return _send_frames(to, to.real(base64.b64decode(made["frames"])))
    found = [to.real(base64.b64decode(one)) for one in made["messages"]]
    metadata = [tuple(pair) for pair in made.get("metadata", ())]
    try:
        return _call(to, made, found, metadata)
    except (ValueError, TypeError):
        return Outcome(False, "unsendable")  # gRPC's client refuses such metadata itself


@functools.lru_cache(8)
def _channel(address: tuple[str, int], pid: int) -> grpc.Channel:
    return grpc.insecure_channel(f"{address[0]}:{address[1]}", options=_OPTIONS)


def _call(to: Subject, made: dict[str, Any], found: list[bytes], metadata: Any) -> Outcome:
    assert to.box.process is not None
    channel = _channel(to.grpc, to.box.process.pid)
    path, kind = "/" + made["method"], made["kind"]
    maker = {
        "U": channel.unary_unary, "S": channel.unary_stream,
        "C": channel.stream_unary, "B": channel.stream_stream,
    }[kind]  # fmt: skip
    call = maker(path, None, None)
    request: Any = iter(found) if kind in "CB" else (found or [b""])[0]
    # Of another kind than the method's, a call may wait for what never comes.
    real = messages.METHODS.get(made["method"])
    follow = ANSWER_S if kind == "U" and real and real.kind.value == "U" else _FOLLOW_S
    try:
        if kind in "UC":
            future = call.future(request, timeout=made.get("stop", follow), metadata=metadata)
            future.result()
        else:
            _some(call(request, timeout=made.get("stop", follow), metadata=metadata))
    except grpc.RpcError as e:
        code, said = e.code().name, e.details() or ""
        if code in _FAULTS or "internal error" in said:
            return Outcome(False, code, f"{code}: {said}")
        late = code == "DEADLINE_EXCEEDED" and "stop" not in made
        if late and follow == ANSWER_S:
            return Outcome(False, code, f"no answer within {ANSWER_S} s")
        return Outcome(False, code)
    except grpc.FutureCancelledError:
        return Outcome(False, "CANCELLED")
    return Outcome(True, "OK")


def _some(answers: Iterator[bytes]) -> None:
    for number, _ in enumerate(answers):
        if number > 20:
            answers.cancel()  # type: ignore[attr-defined]
            return


def _send_frames(to: Subject, data: bytes) -> Outcome:
    """Send frames; the server answers, or hangs up once we have."""
    with socket.create_connection(to.grpc, ANSWER_S) as sock:
        try:
            sock.sendall(_PREFACE + data)
            got, until = b"", time.monotonic() + 0.1
            while (left := until - time.monotonic()) > 0 and len(got) < 1 << 20:
                if not select.select([sock], [], [], left)[0]:
                    break
                piece = sock.recv(65536)
                if not piece:
                    break
                got += piece
        except OSError:
            return Outcome(False)
    if b"internal error in" in got:
        return Outcome(False, "frames", f"an internal error: {got[:600]!r}")
    return Outcome(b"grpc-status\x010" in got, "frames")


def about(data: bytes) -> str:
    """The method of a call; a damaged one of frames may be any that its path still names."""
    made = json.loads(data)
    if "frames" not in made:
        return str(made["method"])
    raw = base64.b64decode(made["frames"])
    return next((found for found in messages.METHODS if f"/{found}".encode() in raw), "")


def writes(data: bytes) -> bool:
    """Whether an answer that is well may have changed something."""
    found = about(data)
    return not found or messages.writes(found)


def empties(data: bytes) -> bool:
    return about(data) in messages.EMPTYING


def stops(data: bytes) -> bool:
    return about(data) in messages.STOPPING


def keyed(data: bytes) -> bool:
    """Whether it may show the token."""
    return False
