"""The command line against a real box, in this process: what a user would see, in milliseconds."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pachybox.cli import main
from tests.boxes import RealBox


class Ran(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


Run = Callable[..., Ran]


def runner(
    box: RealBox, config: Path, capture: pytest.CaptureFixture[bytes], patch: pytest.MonkeyPatch
) -> Run:
    """``run("list", "repo", stdin=b"")``; a word with spaces alone is split at them."""
    for name in list(os.environ):
        if name.startswith("PACHYBOX_") or name in ("NO_COLOR", "VISUAL", "EDITOR"):
            patch.delenv(name)
    patch.setenv("PACHYBOX_HOME", str(box.home))
    patch.setenv("XDG_CONFIG_HOME", str(config))
    patch.setenv("COLUMNS", "100")

    def run(*argv: str, stdin: bytes = b"") -> Ran:
        words = argv[0].split() if len(argv) == 1 else list(argv)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capture.readouterr()
        status = main(words)
        sys.stdout.flush()
        out, err = capture.readouterr()
        return Ran(status, out.decode(), err.decode())

    return run


def succeeded(ran: Ran) -> str:
    """What a command that must succeed printed."""
    assert ran.status == 0, ran.err
    return ran.out


def refused(ran: Ran, status: int = 1) -> str:
    """The one line a command that must fail said, having printed nothing."""
    assert ran.status == status, ran
    assert ran.out == ""
    assert ran.err.startswith("pachybox: ")
    assert ran.err.endswith("\n")
    assert ran.err.count("\n") == 1, ran.err
    assert "defect" not in ran.err
    return ran.err.removeprefix("pachybox: ").rstrip("\n")
