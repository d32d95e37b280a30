"""What is run with the terminal to itself."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence


def in_shell(line: str, environment: Mapping[str, str]) -> int:
    """Run ``line``, then wait for Enter so that what it said can be read."""
    print(f"$ {line}", flush=True)  # noqa: T201 - the terminal is the shell's now
    status = subprocess.run(line, shell=True, env=dict(environment), check=False).returncode
    try:
        input(f"[{'done' if status == 0 else f'exit status {status}'}; Enter goes back] ")
    except (EOFError, KeyboardInterrupt):
        pass
    return status


def program(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program to its end; its exit status, 127 where there is no such program."""
    try:
        return subprocess.run(argv, env=dict(environment), check=False).returncode
    except OSError as e:
        print(f"pachybox: {argv[0]}: {e.strerror}", flush=True)  # noqa: T201 - as above
        return 127
