"""Steps of builds that nobody waits for any more, ended before the service that runs them is.

A podman that is ended in the middle of a build leaves the container it works in, and files in
/var/tmp; when the step fails instead, it takes them away itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_GONE_S = 3.0  # for the runtimes to end
_TIDY_S = 0.3  # and for podman to take away what it made; not seen from outside


def end(keeper: int) -> None:
    """End what builds run in the podman that is the child of the process ``keeper``. Its children
    are runtimes, and theirs the users' programs."""
    services = _children(keeper)
    runtimes = [one for service in services for one in _children(service)]
    if not runtimes:
        return
    deadline = time.monotonic() + _GONE_S
    while runtimes and time.monotonic() < deadline:
        for program in [one for runtime in runtimes for one in _children(runtime)]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(program, signal.SIGKILL)
        time.sleep(0.02)
        runtimes = [one for service in services for one in _children(service)]
    time.sleep(_TIDY_S)


def _children(pid: int) -> list[int]:
    """The children of a process, whichever of its threads made them."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(word) for word in thread.read_text().split()]
    return found
