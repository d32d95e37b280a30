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


def show(mounts: Mapping[str, str], root: str) -> None:
    """Make ``mounts`` (path -> directory) appear in the sandbox that is being made at ``root``.

    Raises Refused naming a path where nothing can be shown.
    """
    for path, source in mounts.items():
        whole = os.path.normpath(path)
        if not path.startswith("/") or whole.startswith("//"):
            raise Refused(f"cannot show {_WHAT} at {path!r}: not an absolute path", _REMEDY)
        if whole == "/":
            raise Refused(f"cannot show {_WHAT} at /: it would hide all of it", _REMEDY)
        secrets.make_folder(whole, root, _WHAT, _REMEDY)
        kernel.bind(source, root + whole, readonly=True)
