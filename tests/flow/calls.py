"""Raw calls of any method through the JSON door, for what the client has no method of its own."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any

from pachybox.client.base import Stream
from tests.boxes import RealBox

Json = dict[str, Any]


def call(box: RealBox, method: str, **fields: object) -> Json:
    """Call ``service/method`` that answers once."""
    service, _, name = method.partition("/")
    return box.client.call(service, name, **fields)


def stream(box: RealBox, method: str, **fields: object) -> Stream[Json]:
    """Call ``service/method`` that answers with a stream."""
    service, _, name = method.partition("/")
    return box.client.stream(service, name, **fields)


def send(box: RealBox, method: str, messages: Iterable[Json]) -> Json:
    """Call ``service/method`` that takes a stream, and answers once."""
    body = "".join(json.dumps(message) + "\n" for message in messages).encode()
    headers = {"Content-Type": "application/json"}
    with box.client.transport.request("POST", f"/api/{method}", body, headers) as response:
        answer: Json = json.loads(response.checked().body())
    return answer


def b64(data: bytes) -> str:
    """Bytes as JSON has them."""
    return base64.b64encode(data).decode()


def add(path: str, data: bytes, datum: str = "") -> Json:
    """A ModifyFile message that appends to a file."""
    return {"addFile": {"path": path, "raw": b64(data), "datum": datum}}


def modify(box: RealBox, repo: str, ref: str, *messages: Json) -> None:
    """One ModifyFile call."""
    commit = {"repo": {"name": repo}, "id": ref}
    send(box, "pfs_v2.API/ModifyFile", [{"setCommit": commit}, *messages])
