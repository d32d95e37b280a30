"""Whose processes the worker API hears."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from pachybox.api.worker_door import _owner

NOBODY = 65534

# not a fork of these tests: gRPC does not survive that
_CALLER = """\
import os, socket, sys
user, family, address, port = sys.argv[1:]
os.setuid(int(user))
with socket.socket(int(family)) as to:
    to.connect((address, int(port)))
    to.recv(1)
"""


@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")]
)
def test_the_owner_of_a_connection_is_found(family: int, address: str) -> None:
    wanted = NOBODY if os.geteuid() == 0 else os.geteuid()
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = str(door.getsockname()[1])
        command = [sys.executable, "-c", _CALLER, str(wanted), str(int(family)), address, port]
        door.settimeout(30)
        with subprocess.Popen(command) as child, door.accept()[0] as taken:
            peer = f"ipv4:127.0.0.1:{taken.getpeername()[1]}"
            assert _owner(peer, door.getsockname()[1]) == wanted
            assert _owner(peer, 1) == -1
        assert child.returncode == 0


@pytest.mark.parametrize(
    "peer", ["", "unix:", "ipv4:127.0.0.1:1", "ipv4:10.0.0.1:5", "ipv6:[::1]:5"]
)
def test_who_is_not_found_is_nobody(peer: str) -> None:
    assert _owner(peer, 1) == -1
