"""Posting records as any client would, and reading what became of them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pachybox.client import Client
from pachybox.errors import NotFound
from tests.boxes import RealBox, eventually


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        found = self.json
        hint = found["details"][0]["metadata"].get("hint", "")
        return f"{found['message']}; {hint}"


class Poster:
    """A keep-alive connection to a box."""

    def __init__(self, box: RealBox, token: str = "", address: str = "") -> None:
        self._address = address or box.client.status().address.removeprefix("http://")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = http.client.HTTPConnection(self._address, timeout=30)

    def __call__(
        self,
        name: str,
        body: bytes | str | list[Any] | dict[str, Any],
        kind: str = "application/json",
        headers: Mapping[str, str] | None = None,
        *,
        key: str | None = None,
        method: str = "POST",
    ) -> Answer:
        data = json.dumps(body) if isinstance(body, (list, dict)) else body
        given = {"Content-Type": kind, **self._headers, **(headers or {})}
        if key is not None:
            given["Idempotency-Key"] = key
        self._http.request(method, f"/ingest/{name}", data, given)
        got = self._http.getresponse()
        return Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())

    def close(self) -> None:
        self._http.close()


def source(client: Client, name: str, kind: str = "push", **part: Any) -> str:
    """Make a source that commits at once, and a repo for it; the branch."""
    client.create_repo(name)
    part = {"group": {"time": "100ms"}, **part}
    client.create_ingest({"name": name, "to": f"{name}@master", kind: part})
    return f"{name}@master"


def files(client: Client, branch: str) -> dict[str, bytes]:
    """Every file of a branch; none where it has no commit."""
    try:
        return {f"/{path}": data for path, data in _files(client, branch)}
    except NotFound:
        return {}


def _files(client: Client, branch: str) -> Iterator[tuple[str, bytes]]:
    for info in client.glob_file(f"{branch}:/**"):
        if not info.is_dir:
            path = info.path.lstrip("/")
            yield path, client.get_file(f"{branch}:/{path}")


def records(client: Client, branch: str) -> list[bytes]:
    """The records on a branch, ordered by file."""
    made = files(client, branch)
    return [line for path in sorted(made) for line in made[path].splitlines()]


def committed(client: Client, name: str, count: int) -> None:
    """Wait until a source has committed so many records."""

    def looks() -> bool:
        return client.inspect_ingest(name).records >= count

    eventually(looks, f"{name} has committed {count} records")
