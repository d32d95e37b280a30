"""The same client over https and over http: a large file both ways, small calls, new connections.

Client and box are processes of their own on the loopback, so that both ends of the encryption are
on this machine: between two machines each does its half.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import Box, faster, fresh, label, random_file, scaled, settle, timed
from pachybox.client import Client

SIZE = scaled(1 << 30, 64 << 20)
CALLS = scaled(3000, 100)
CONNECTIONS = scaled(300, 20)
TIMES = 3


@contextmanager
def at(name: str, *, secure: bool) -> Iterator[Client]:
    """A client, over TCP, of a box of its own."""
    box = Box(fresh(name))
    ca = None
    if secure:
        box.cli("cert", "localhost", "127.0.0.1")
        ca = str(box.home / "tls" / "ca.pem")
    box.up()
    try:
        with box.client() as near:
            address = near.status().address
        with Client(address, ca=ca) as client:
            client.create_repo("data")
            yield client
    finally:
        box.down()


def figures(client: Client, file: Path) -> dict[str, float]:
    """Seconds of each kind of work: the best of a few, for the machine has other work too."""

    def up() -> None:
        client.put_file("data@master:/file", str(file))

    def down() -> None:
        with client.open("data@master:/file", "rb") as source:
            while source.read(1 << 20):
                pass

    def calls() -> None:
        for _ in range(CALLS):
            client.inspect_repo("data")

    def connections() -> None:
        for _ in range(CONNECTIONS):
            with Client(client.address) as new:
                new.healthy()

    made = {}
    for name, action in (("up", up), ("down", down), ("calls", calls), ("new", connections)):
        settle()
        action()
        made[name] = min(timed(action) for _ in range(TIMES))
    return made


def main() -> None:
    """Print the rows."""
    file = random_file(fresh("tls-source") / "file", SIZE)
    with at("tls-plain", secure=False) as client:
        plain = figures(client, file)
    with at("tls", secure=True) as client:
        secure = figures(client, file)
    size = f"{SIZE >> 20} MiB"
    faster(f"https: put {size}", secure["up"], "http", plain["up"], 0.3)
    faster(f"https: get {size}", secure["down"], "http", plain["down"], 0.2)
    faster(f"https: {label(CALLS)} small calls", secure["calls"], "http", plain["calls"], 0.7)
    faster(f"https: {CONNECTIONS} new connections", secure["new"], "http", plain["new"], 0.05)


if __name__ == "__main__":
    main()
