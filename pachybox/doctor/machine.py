"""What the machine is and allows: kernel, memory, open files, clock."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pachybox import limits
from pachybox.config import Config
from pachybox.doctor.codes import found
from pachybox.model.units import format_size
from pachybox.pps.runners.base import Finding

_FILES_WANTED = 4096
_LEAST_MEMORY = 256 << 20
_SHIM_KERNEL, _IMAGE_KERNEL = (5, 12), (6, 12)
_PROCESSORS = ("x86_64", "aarch64")
_UNSYNC = 0x0040  # a bit of timex.status: nothing keeps the clock right
_STATUS_AT = 40  # where that is in struct timex of a 64-bit machine
_TIMEX_BYTES = 208


def findings(config: Config) -> Iterator[Finding]:
    """What there is to say of the machine, whatever the box holds."""
    yield _python()
    yield _kernel()
    yield _processor()
    yield _memory(config)
    yield _open_files()
    yield _clock()
    yield _kernel_copy()
    yield _temporary()


def _python() -> Finding:
    version = ".".join(str(n) for n in sys.version_info[:3])
    return found("PB101", "ok", f"Python {version} on {os.uname().machine}")


def _kernel() -> Finding:
    release = os.uname().release
    digits = re.match(r"(\d+)\.(\d+)", release)
    version = (int(digits[1]), int(digits[2])) if digits else (0, 0)
    if version < _SHIM_KERNEL:
        return found(
            "PB102",
            "warn",
            f"Linux {release}: Python serves datums, slower",
            "boot Linux 5.12 or newer; 6.12 shows large inputs as images",
        )
    shown = "" if version >= _IMAGE_KERNEL else "; from 6.12 on large inputs are shown as images"
    return found("PB102", "ok", f"Linux {release}{shown}")


def _processor() -> Finding:
    machine = os.uname().machine
    if machine in _PROCESSORS:
        return found("PB103", "ok", f"{machine}, {os.cpu_count()} cores")
    text = f"{machine}: there is no shim for it, Python serves datums, slower"
    return found("PB103", "warn", text, "none is needed")


def _memory(config: Config) -> Finding:
    least, by = min(limits.allowed())
    text = f"{format_size(least)}, by {by}"
    if config.memory_bytes > least:
        return found(
            "PB104",
            "warn",
            f"memory_bytes is {format_size(config.memory_bytes)}, and there are {text}",
            "lower it, or take it out: pachybox config set --unset memory_bytes",
        )
    if least < _LEAST_MEMORY:
        remedy = "give the box more: MemoryMax= of its unit, --memory of its container"
        return found("PB104", "warn", f"{text}: less than the box is made for", remedy)
    return found("PB104", "ok", text)


def _open_files() -> Finding:
    """By the hard limit, up to which the box raises its own."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard >= _FILES_WANTED:
        return found("PB105", "ok", "no limit" if hard < 0 else f"limit {hard}")
    remedy = f"raise it: LimitNOFILE={_FILES_WANTED} of a unit, as root: ulimit -n {_FILES_WANTED}"
    if hard < limits.LEAST_FILES:
        text = f"limit {hard}; a box needs {limits.LEAST_FILES}"
        return found("PB105", "fail", text, remedy)
    return found("PB105", "warn", f"limit {hard}; many clients at once may meet it", remedy)


def _clock() -> Finding:
    kept = _clock_is_kept()
    if kept is None:
        return found("PB106", "ok", "whether something keeps it right cannot be seen here")
    if kept:
        return found("PB106", "ok", "kept right by a time service")
    return found(
        "PB106",
        "warn",
        "no time service says that it keeps it right",
        "turn one on: timedatectl set-ntp true, or install chrony",
    )


def _clock_is_kept() -> bool | None:
    """What the kernel says, which a time service tells it; None when it may not be asked."""
    if Path("/run/systemd/timesync/synchronized").exists():
        return True
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)
    if ctypes.CDLL(None).adjtimex(timex) < 0:
        return None
    status: int = struct.unpack_from("i", timex, _STATUS_AT)[0]
    return not status & _UNSYNC


def _kernel_copy() -> Finding:
    if hasattr(os, "copy_file_range"):
        return found("PB108", "ok", "large files are copied inside the kernel")
    return found("PB108", "warn", "not available: large files are copied by reading")


def _temporary() -> Finding:
    try:
        return found("PB109", "ok", tempfile.gettempdir())
    except FileNotFoundError:
        remedy = "make /tmp writable (chmod 1777 /tmp), or set TMPDIR"
        return found("PB109", "fail", "no directory for temporary files can be written", remedy)
