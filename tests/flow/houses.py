"""A box with callers of every kind: tokens by role, of the box and of some repos."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from pachybox.client import Client, Denied
from tests.boxes import RealBox
from tests.rpc import Rpc, failure
from tests.s3 import S3, Signer

BOUND = ("mine", "copy", "mixed")
ROLES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "admin": ("admin", ()),
    "writer": ("writer", ()),
    "reader": ("reader", ()),
    "bound-reader": ("reader", BOUND),
    "bound-writer": ("writer", (*BOUND, "new")),
    "bound-admin": ("admin", (*BOUND, "gone")),
}


@dataclass
class House:
    """A box with tokens. ``tokens`` by name."""

    box: RealBox
    tokens: dict[str, str]
    http: str
    grpc: str
    opened: list[Client | Rpc | S3] = field(default_factory=list)

    def client(self, name: str) -> Client:
        made = Client(self.http, token=self.tokens.get(name, name), patience_s=0)
        self.opened.append(made)
        return made

    def rpc(self, name: str) -> Rpc:
        made = Rpc(self.grpc, token=self.tokens.get(name, name))
        self.opened.append(made)
        return made

    def s3(self, name: str) -> S3:
        token = self.tokens[name]
        made = S3.of(self.http, Signer(token, token))
        self.opened.append(made)
        return made

    def page(self, path: str, name: str = "", data: bytes | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(f"{self.http}{path}", data)
        request.add_header("content-type", "application/json")
        if name:
            request.add_header("authn-token", self.tokens.get(name, name))
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as e:
            with e:
                return e.code, e.read()

    def close(self) -> None:
        for one in self.opened:
            one.close()
        self.box.stop()


def opened(box: RealBox) -> House:
    """The house of a running box, with its tokens made; bucket names of S3 for ``bound-writer``."""
    tokens = {
        name: box.client.create_token(name, role, repos=repos, s3=name == "bound-writer")
        for name, (role, repos) in ROLES.items()
    }
    status = box.client.status()
    return House(box, tokens, status.address, status.grpc_address.removeprefix("grpc://"))


def spec(name: str, reads: str) -> dict[str, Any]:
    return {
        "pipeline": {"name": name},
        "transform": {"cmd": ["sh"], "stdin": ["cp /pfs/*/f /pfs/out/ || true"]},
        "input": {"pfs": {"repo": reads, "glob": "/", "name": reads}},
    }


def done(client: Client, pipeline: str) -> bool:
    return any(job.state == "JOB_SUCCESS" for job in client.list_job(pipeline))


def denied(act: Callable[[], object]) -> str:
    def whole() -> None:
        found = act()
        if isinstance(found, Iterator):
            list(found)

    with pytest.raises(Denied) as caught:
        whole()
    return str(caught.value)


def code(rpc: Rpc, method: str, request: Any = None, **fields: Any) -> str:
    """ "OK", or the name of the code that a call ends with."""
    try:
        rpc(method, request, **fields)
    except grpc.RpcError as e:
        return failure(e)[0]
    return "OK"


# ---- messages


def branch(repo: str, name: str = "master") -> dict[str, Any]:
    return {"branch": {"repo": {"name": repo}, "name": name}}


def commit(repo: str) -> dict[str, Any]:
    return {"commit": branch(repo)}


def file(repo: str) -> dict[str, Any]:
    return {"file": {"commit": branch(repo), "path": "/f"}}
