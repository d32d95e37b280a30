"""First processes of containers, as this machine shows them."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from pachybox.pps.runners.held import lives
from tests.boxes import eventually

_SEIZE = 0x4206  # of ptrace


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="takes namespaces")
def test_a_first_process_that_waits_for_those_that_it_takes_along_does_not_live() -> None:
    """What it takes along tells of its end before its own is to be seen."""
    command = ["unshare", "--pid", "--fork", "sh", "-c", "sleep 1000 & wait"]
    with subprocess.Popen(command) as outside:
        (first,) = eventually(lambda: children(outside.pid), "the first process")
        (other,) = eventually(lambda: children(first), "another one")
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.ptrace(_SEIZE, other, None, None) == 0  # its end is ours to take note of
        assert lives(first)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: not lives(first), "it is noticed")
        state = Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[0]
        os.waitpid(other, 0)
    assert state not in "ZX", "it had not ended yet"
