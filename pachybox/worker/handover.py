"""The hand-over from the Python worker, which made the sandbox, to the shim, which serves it.

The shim is a static program built with the package (pachybox/worker/shim/*.c); where it is
not there, or the machine is not one it knows, the Python worker serves datums itself.
"""

from __future__ import annotations

import functools
import os
import platform
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pachybox.worker import frames, kernel
from pachybox.worker.sandbox import BATCH_DIR, kept_capabilities

if TYPE_CHECKING:
    from pachybox.worker.container import Joined
    from pachybox.worker.run import Bench

OFF = "PACHYBOX_SHIM"
FOLDER = Path(__file__).with_name("shim") / "bin"
ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_OLDEST = (5, 12)  # mount_setattr
PROTOCOL = 4
"""Rises with every change of the frames and of what is handed over; shim.h has the same number."""

_HEAD = struct.Struct("<IBBBBIIQ")
_GROUPS = 64  # as in shim.h


@functools.cache
def handle() -> int:
    """The shim's program, opened; the error that keeps it from being used is raised as OSError.

    Asked once, before anything is given up that may be needed to reach the file.
    """
    release = os.uname().release
    numbers = release.split("-")[0].split(".")
    if tuple(int(n) for n in numbers[:2] if n.isdigit()) < _OLDEST:
        raise OSError(f"Linux {release} is older than {_OLDEST[0]}.{_OLDEST[1]}")
    name = ARCHITECTURES.get(platform.machine().lower())
    if name is None:
        raise OSError(f"there is no shim for {platform.machine()}")
    return os.open(FOLDER / f"shim-{name}", os.O_RDONLY | os.O_CLOEXEC)


def why_not(environ: Mapping[str, str] = os.environ) -> str:
    """Why the Python worker serves in the shim's place; empty when the shim can be used."""
    if environ.get(OFF, "").lower() == "off":
        return f"{OFF}=off"
    try:
        handle()
    except FileNotFoundError:
        return "it is not in this installation"
    except OSError as e:
        return str(e)
    return ""


def hand_over(
    bench: Bench, env: Mapping[str, str], ready: str, joined: Joined | None = None
) -> NoReturn:
    """Become the shim. ``env`` is the environment all datums share; ``ready`` what it says first;
    ``joined`` the container that user code is to be in.

    Raises OSError when it cannot be run.
    """
    spec, identity = bench.spec, bench.identity
    as_root = (identity.uid if identity else os.geteuid()) == 0
    limited = spec.limits.memory is not None
    env = dict(env) | ({"PACHYBOX_NEXT": BATCH_DIR + "/next"} if spec.datum_batching else {})
    kept = sum(1 << number for number in kept_capabilities())
    data = b"".join(
        (
            _HEAD.pack(
                PROTOCOL,
                as_root and not bench.sandbox.rootless,
                identity is not None,
                spec.datum_batching,
                limited,
                identity.uid if identity else 0,
                identity.gid if identity else 0,
                kept & joined.container.kept if joined else kept,
            ),
            frames.text(bench.sandbox.root),
            frames.text(ready),
            frames.texts([f"{key}={value}" for key, value in env.items()]),
            _container(joined),
        )
    )
    program = handle()
    fd = os.memfd_create("config")
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    os.set_inheritable(fd, True)
    kernel.keep_capabilities()
    os.execve(program, ["pachybox-shim", str(fd)], {})


def _container(joined: Joined | None) -> bytes:
    if joined is None:
        return struct.pack("<BiiII", 0, -1, -1, 0, 0)
    others, groups = joined.others, joined.container.groups[:_GROUPS]
    return struct.pack(
        f"<BiiI{len(others)}iI{len(groups)}I",
        *(1, joined.inside, joined.pids, len(others), *others, len(groups), *groups),
    )
