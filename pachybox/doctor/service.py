"""What systemd says of the box's unit."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pachybox.doctor.codes import found
from pachybox.pps.runners.base import Finding

_UNIT = "pachybox.service"
_ASK_S = 5.0
_PROPERTIES = "LoadState,ActiveState,SubState,Result,NRestarts"


def findings(*, running: bool) -> Iterator[Finding]:
    """The system's unit and the user's own, where there are any; ``running``: this process is the
    box, whose unit may have another name."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return
    ways: list[list[str]] = [[]]
    if os.geteuid() != 0:
        ways.append(["--user"])
    unit = (_own_unit() if running else "") or _UNIT
    for way in ways:
        state = _ask([systemctl, *way], unit)
        if state.get("LoadState") in (None, "", "not-found"):
            continue
        yield _of_unit(unit, state, " ".join(["systemctl", *way]))


def _own_unit() -> str:
    """The unit that systemd started this process in; "" when it did not."""
    if "INVOCATION_ID" not in os.environ:
        return ""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ""
    units = (part for line in lines for part in line.split("/") if part.endswith(".service"))
    return next((unit for unit in units if not unit.startswith("user@")), "")


def _ask(command: list[str], unit: str) -> dict[str, str]:
    """The unit's properties; none where systemd does not run."""
    try:
        done = subprocess.run(
            [*command, "show", unit, f"--property={_PROPERTIES}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)


def _of_unit(unit: str, state: dict[str, str], command: str) -> Finding:
    active, result = state.get("ActiveState", ""), state.get("Result", "")
    restarts = int(state.get("NRestarts") or 0)
    text = f"{unit} is {active} ({state.get('SubState', '')})"
    look = f"see: journalctl {'--user ' if '--user' in command else ''}-u {unit}"
    if active == "failed":
        why = "it did not answer its watchdog" if result == "watchdog" else result
        again = f"then: {command} reset-failed {unit}; {command} start {unit}"
        return found("PB901", "fail", f"{text}: {why}", f"{look}; {again}")
    if restarts:
        times = "once" if restarts == 1 else f"{restarts} times"
        why = "; at last it did not answer its watchdog" if result == "watchdog" else ""
        return found("PB901", "warn", f"{text}, restarted {times} since it was started{why}", look)
    return found("PB901", "ok", text)
