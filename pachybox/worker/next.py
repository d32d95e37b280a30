"""The user code's end of datum batching: ``next_datum`` ends the datum before and gets the next.

Standard library alone, and no module of the box, so that the file can be copied into an image.
The worker names a socket in ``PACHYBOX_NEXT``. A call sends an error text (empty: the last datum
is done) and closes its side; the answer is ``d`` and the datum's environment, KEY=VALUE by NUL, or
``e`` when there are no more.
"""

from __future__ import annotations

import os
import socket

VARIABLE = "PACHYBOX_NEXT"


class NoWorker(Exception):
    """This program was not started by a worker of a pipeline with datum_batching."""


def next_datum(error: str = "") -> dict[str, str] | None:
    """The environment of the next datum, which now stands under /pfs; waits until there is one.

    ``error`` fails the datum before. None: there are no more, and the program should end. The
    environment of this process is not changed; the file /pfs/.env has the same lines. Raises
    NoWorker outside of a batching pipeline and when the worker is gone.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        raise NoWorker(f"{VARIABLE} is not set: this pipeline's transform has no datum_batching")
    try:
        with socket.socket(socket.AF_UNIX) as to:
            to.connect(path)
            to.sendall(error.encode("utf-8", "replace"))
            to.shutdown(socket.SHUT_WR)
            with to.makefile("rb") as file:
                answer = file.read()
    except OSError as e:
        raise NoWorker(f"the worker does not answer at {path}: {e.strerror}") from e
    if answer[:1] == b"e":
        return None
    if answer[:1] != b"d":
        raise NoWorker("the worker ended before it answered")
    lines = os.fsdecode(answer[1:]).split("\0")
    return dict(line.split("=", 1) for line in lines if line)
