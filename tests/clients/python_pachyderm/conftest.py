"""python-pachyderm against the box."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import python_pachyderm


@pytest.fixture
def client(grpc: str) -> python_pachyderm.Client:
    """A client of the test's own: its transaction and token are state."""
    host, _, port = grpc.rpartition(":")
    return python_pachyderm.Client(host=host.removeprefix("grpc://"), port=int(port))


@pytest.fixture
def repo(client: python_pachyderm.Client, unique: Callable[[str], str]) -> str:
    """The name of a new repo."""
    name = unique("repo")
    client.create_repo(name, "made by a test")
    return name
