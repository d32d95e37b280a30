"""The curl commands of docs/api.md print what the page says they print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arch.repo import ROOT
from tests.boxes import RealBox

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^\$ (.*?(?:\n  .*?)*(?:\nprint.*?)?)\n((?:(?!\$ ).*\n)*)", re.M)


def said(expected: str, printed: str) -> bool:
    """Whether ``printed`` is the text of the page, where ``...`` stands for anything."""
    pattern = ".*".join(map(re.escape, expected.strip().split("...")))
    return re.match(pattern, printed.strip(), re.S) is not None


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_of_the_page_do_what_it_says(box: RealBox, tmp_path: Path) -> None:
    address = box.client.status().address.removeprefix("http://")
    text = (ROOT / "docs" / "api.md").read_text().replace("localhost:30600", address)
    commands = [found for block in BLOCK.findall(text) for found in COMMAND.findall(block)]
    assert len(commands) > 15
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PACHYBOX_HOME": str(box.home), "PATH": path}
    wrong = []
    for command, expected in commands:
        done = subprocess.run(
            ["sh", "-c", command], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        if done.returncode or not said(expected, done.stdout):
            wrong.append(f"$ {command}\n{done.stdout}{done.stderr}")
    assert wrong == []
