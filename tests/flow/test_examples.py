"""The tours of examples/clients: four clients, one box, the same results."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.boxes import RealBox

CLIENTS = Path(__file__).resolve().parents[2] / "examples" / "clients"
TOURS = {
    "tour.py": (sys.executable,),
    "tour_sdk.py": (sys.executable,),
    "tour.mjs": ("node",),
    "tour.sh": ("sh",),
}
NEEDS = {"tour.mjs": "node", "tour.sh": "curl"}


@pytest.mark.parametrize("name", TOURS)
def test_a_tour_does_what_it_says(shared_box: RealBox, name: str) -> None:
    if name in NEEDS and shutil.which(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    if name == "tour_sdk.py" and importlib.util.find_spec("pachyderm_sdk") is None:
        pytest.skip("pachyderm-sdk is not installed")
    status = shared_box.client.status()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PACHYBOX", "PACHD"))}
    env |= {
        "PACHYBOX_ADDRESS": str(shared_box.socket),
        "PACHYBOX_URL": status.address,
        "PACHD_ADDRESS": status.grpc_address,
    }
    done = subprocess.run(
        [*TOURS[name], str(CLIENTS / name)],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "to be or not to be" in lines
    assert len([line for line in lines if line.startswith("log: counted /pfs/")]) == 2
    if name in NEEDS:
        assert [line.split()[:3] for line in lines if line.startswith("by S3")] == [
            ["by", "S3:", "6"]
        ]
    assert lines[-2:] == ["/hamlet: 6", "/merchant: 7"]
    assert any("/merchant" in line and "37" in line for line in lines[:2])


def test_every_client_has_its_tour_here() -> None:
    assert {p.name for p in CLIENTS.iterdir()} == {*TOURS, "README.md"}
