"""A served house and raw clients of it, over both kinds of socket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pachybox.api.server import Server
from pachybox.api.table import Table, collect
from pachybox.api.transport import Limits
from tests.unit.api.house import House, Raw


@dataclass
class Served:
    """A running server: the house behind it and where it listens."""

    house: House
    server: Server
    socket: Path
    tcp: tuple[str, int]


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts servers with options of the test's own."""
    servers = []

    def start(**options: object) -> Served:
        house = House(tmp_path)
        server = Server(Table(collect(house, house)), house, **options)  # type: ignore[arg-type]
        servers.append(server)
        path = tmp_path / f"box{len(servers)}.sock"
        server.listen_unix(path)
        return Served(house, server, path, server.listen_tcp("127.0.0.1", 0))

    yield start
    for server in servers:
        server.stop(1.0)


@pytest.fixture
def served(serve: Serve) -> Served:
    """A server with quick limits, patient enough for a busy machine."""
    return serve(
        limits=Limits(tick_s=0.05, line_bytes=2000, head_bytes=8000, message_bytes=1 << 20)
    )


@pytest.fixture(params=["unix", "tcp"])
def client(request: pytest.FixtureRequest, served: Served) -> Iterator[Raw]:
    """A client over the unix socket, then over TCP."""
    raw = Raw(served.socket if request.param == "unix" else served.tcp)
    yield raw
    raw.close()


@pytest.fixture
def local(served: Served) -> Iterator[Raw]:
    """A client over the unix socket."""
    raw = Raw(served.socket)
    yield raw
    raw.close()


@pytest.fixture
def remote(served: Served) -> Iterator[Raw]:
    """A client over TCP."""
    raw = Raw(served.tcp)
    yield raw
    raw.close()
