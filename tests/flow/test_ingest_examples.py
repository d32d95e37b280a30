"""The examples of examples/ingest do what they say, in one box."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.boxes import RealBox, eventually

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "ingest"
Walk = Callable[..., str]


@pytest.fixture
def walk(shared_box: RealBox) -> Walk:
    """Run an example as a user would, who has the box's address and the command on the path."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PACHYBOX")}
    env |= {
        "PATH": f"{Path(sys.executable).parent}:{env['PATH']}",
        "PACHYBOX_ADDRESS": str(shared_box.socket),
        "PACHYBOX_URL": shared_box.client.status().address,
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            command, env=env, cwd=EXAMPLES.parents[1], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_what_is_put_into_a_folder_is_counted(walk: Walk, tmp_path: Path) -> None:
    said = walk("sh", str(EXAMPLES / "folder.sh"), str(tmp_path))
    assert said.split()[0] == "6"
    assert "drops watch drops@master" in " ".join(said.split())


def test_records_are_posted_by_curl_and_by_a_gateway(walk: Walk, shared_box: RealBox) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    said = walk("sh", str(EXAMPLES / "push.sh"))
    assert said.count('"accepted":') == 3
    assert said.endswith('{"door": 3, "open": false}\n{"door": 2, "open": false}\n')
    walk(sys.executable, str(EXAMPLES / "gateway.py"), "20")

    def readings() -> int:
        files = shared_box.client.glob_file("events@master:/**.jsonl")
        read = (shared_box.client.get_file(f"events@master:{file.path}") for file in files)
        return sum(content.count(b'"sensor"') for content in read)

    eventually(lambda: readings() == 20, "every reading is there")


def test_a_program_goes_on_after_its_marker(walk: Walk) -> None:
    assert "every number is there once" in walk("sh", str(EXAMPLES / "command.sh"))


def test_every_example_runs_here() -> None:
    assert {p.name for p in EXAMPLES.iterdir()} == {
        "command.sh", "folder.sh", "gateway.py", "push.sh", "words.yaml",
    }  # fmt: skip
