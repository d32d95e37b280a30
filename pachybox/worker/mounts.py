"""Directories of the host that a worker shows to user code, read-only, at paths of their own."""

# The root of a sandbox is a string here, as in sandbox.

from __future__ import annotations

import os
from collections.abc import Mapping

from pachybox.errors import Refused
from pachybox.worker import kernel, secrets

_WHAT = "a source directory"
_REMEDY = "choose a path whose first folder does not exist on this machine, such as /source"


def refuse(mounts: Mapping[str, str]) -> None:
    """Raise Refused: without a mount namespace a directory cannot be shown elsewhere."""
    raise Refused(
        f"cannot show {_WHAT} at {min(mounts)}: this machine allows no mount namespace",
        "leave the path out, or see `pachybox doctor`",
    )


def open_all(mounts: Mapping[str, str]) -> dict[str, int]:
    """``mounts`` as detached mounts, to be shown where the host's directories have no names."""
    return {path: kernel.detached(source) for path, source in mounts.items()}


def show(mounts: Mapping[str, str | int], root: str) -> None:
    """Make ``mounts`` (path -> directory) appear in the sandbox that is being made at ``root``, or
    those of ``open_all`` with an empty ``root`` in a container.

    Raises Refused naming a path where nothing can be shown.
    """
    for path, source in mounts.items():
        whole = os.path.normpath(path)
        if not path.startswith("/") or whole.startswith("//"):
            raise Refused(f"cannot show {_WHAT} at {path!r}: not an absolute path", _REMEDY)
        if whole == "/":
            raise Refused(f"cannot show {_WHAT} at /: it would hide all of it", _REMEDY)
        secrets.make_folder(whole, root, _WHAT, _REMEDY)
        if isinstance(source, str):
            kernel.bind(source, root + whole, readonly=True)
            continue
        kernel.attach(source, whole)
        kernel.restrict(whole, kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV)
