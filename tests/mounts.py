"""Mounting file system images for tests and benchmarks, as the worker does it."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_FSOPEN, _FSCONFIG, _FSMOUNT, _MOVE_MOUNT = 430, 431, 432, 429  # on every architecture
_SET_STRING, _CREATE = 1, 6
_READONLY = 1 | 2 | 4  # no set-user-id programs, no devices
_EMPTY_PATH = 4
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(*args: object) -> int:
    done = int(_libc.syscall(*args))
    if done < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return done


def mount_image(image: Path, devices: Sequence[Path], at: Path) -> None:
    """Mount an EROFS image read-only; OSError where the machine does not let us."""
    context = _call(_FSOPEN, b"erofs", 1)
    try:
        _call(_FSCONFIG, context, _SET_STRING, b"source", os.fsencode(image), 0)
        for device in devices:
            _call(_FSCONFIG, context, _SET_STRING, b"device", os.fsencode(device), 0)
        _call(_FSCONFIG, context, _CREATE, None, None, 0)
        mount = _call(_FSMOUNT, context, 1, _READONLY)
    finally:
        os.close(context)
    try:
        _call(_MOVE_MOUNT, mount, b"", -100, os.fsencode(at), _EMPTY_PATH)
    finally:
        os.close(mount)


def unmount(at: Path) -> None:
    """Take a mount away; OSError while something in it is open."""
    if _libc.umount2(os.fsencode(at), 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(at))


@contextmanager
def mounted(image: Path, devices: Sequence[Path], at: Path) -> Iterator[Path]:
    """The image at ``at`` (made when missing) while the block runs."""
    at.mkdir(exist_ok=True)
    mount_image(image, devices, at)
    try:
        yield at
    finally:
        unmount(at)


@cache
def why_not() -> str:
    """Why images cannot be mounted here; empty where they can."""
    from pachybox.pps.erofs import Writer

    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image"
        with open(image, "wb") as f:
            writer = Writer(f.fileno(), 0, 0)
            writer.directory(writer.root, writer.root, [], writer.empty(0), writer.empty(0))
            writer.finish([])
        try:
            with mounted(image, [], Path(folder) / "at"):
                return ""
        except OSError as e:
            return f"EROFS images cannot be mounted here (root and Linux 6.12 are needed): {e}"
