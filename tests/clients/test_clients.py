"""Real, unmodified clients drive a box: each folder here is one, with a suite of its own.

A suite is run by the Python of its client's environment (environments.py, ``make clients``) in a
process of its own; its failures are shown whole. Where an environment cannot be made its suite is
skipped and says why, but not in CI.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.client.base import BOX
from tests.boxes import RealBox
from tests.clients import environments

TOKEN = "a-token-of-the-tests"
SUITE_S = 540.0  # some ten on a quiet machine


@pytest.fixture(scope="module")
def open_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box without a token; the clients share it and use repos of their own."""
    yield from _running(tmp_path_factory.mktemp("open") / "home", "")


@pytest.fixture(scope="module")
def closed_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box with a token, which checks the signatures of S3 clients."""
    yield from _running(tmp_path_factory.mktemp("closed") / "home", f'token = "{TOKEN}"\n')


@pytest.fixture(scope="module")
def tls_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box with that token which speaks TLS."""
    home = tmp_path_factory.mktemp("tls") / "home"
    yield from _running(home, f'token = "{TOKEN}"\n', tls=True)


def _running(home: Path, settings: str, *, tls: bool = False) -> Iterator[RealBox]:
    box = RealBox(home, {"PACHYBOX_RUNNER": "process"}, settings)
    if tls:
        box.cli("cert", "localhost", "127.0.0.1")
    box.start()
    yield box
    box.stop()


@pytest.mark.timeout(SUITE_S + 60)
@pytest.mark.parametrize("client", environments.names())
def test_an_unmodified_client_drives_the_box(
    client: str, open_box: RealBox, closed_box: RealBox, tls_box: RealBox, tmp_path: Path
) -> None:
    if said := environments.trouble(client):
        if os.environ.get("CI"):
            pytest.fail(said, pytrace=False)
        pytest.skip(said)
    done = run(client, addresses(open_box, closed_box, tls_box), tmp_path)
    if done.returncode:
        pytest.fail(f"the suite of {client} failed\n{done.stdout}", pytrace=False)


def run(
    client: str, doors: dict[str, str], scratch: Path, *args: str
) -> subprocess.CompletedProcess[str]:
    """Run the suite of a client, at home in ``scratch``; all its output is in stdout."""
    folder = environments.HERE / client
    ini = environments.HERE / "inner.ini"
    own = {k: v for k, v in os.environ.items() if not k.startswith(("PACH", "AWS", "PYTEST"))}
    pytest_of = [environments.python(client), "-m", "pytest", f"-c{ini}", f"--confcutdir={folder}"]
    # The root names the modules: below it no folder may be taken for its client's package.
    places = [f"--rootdir={environments.ROOT}", f"--basetemp={scratch / 'tmp'}"]
    return subprocess.run(
        [*pytest_of, *places, f"{folder}", *args],
        env=own
        | doors
        | {
            "HOME": str(scratch),
            "PATH": f"{environments.python(client).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(environments.ROOT),
        },
        cwd=scratch,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SUITE_S,
        check=False,
    )


def addresses(open_box: RealBox, closed_box: RealBox, tls_box: RealBox) -> dict[str, str]:
    """Where the doors are and what opens them, as the suites' environment (inner.py)."""
    said = open_box.client.call(BOX, "Status")
    secure = tls_box.client.status()
    return {
        "PACHYBOX_HTTP": said["address"],
        "PACHYBOX_GRPC": said["grpcAddress"].removeprefix("grpc://"),
        "PACHYBOX_SOCKET": str(open_box.socket),
        "PACHYBOX_TLS": secure.address,
        "PACHYBOX_TLS_GRPC": secure.grpc_address,
        "PACHYBOX_TLS_CA": str(tls_box.home / "tls" / "ca.pem"),
        "PACHYBOX_S3": closed_box.client.status().address,
        "PACHYBOX_S3_SOCKET": str(closed_box.socket),
        "PACHYBOX_TOKEN": TOKEN,
        "AWS_ACCESS_KEY_ID": TOKEN,
        "AWS_SECRET_ACCESS_KEY": TOKEN,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
