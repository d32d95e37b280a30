"""The ``pachybox`` command. Light: nothing is imported before it is known which command runs."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 refused or failed, 2 usage."""
    from pachybox.cli.app import run

    return run(argv)
