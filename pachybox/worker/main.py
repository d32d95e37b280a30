"""The worker process: started by a runner, told what to run over stdin, ends with it.

    runner --spawn--> worker --clone--> first process of a datum --spawn--> user code

One thread; the standard library and a few modules of the box. It lives for one pipeline and
runs datum after datum. When the box hangs up or sends SIGTERM, it kills what runs and goes.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import NoReturn

from pachybox.errors import PachyboxError, Refused
from pachybox.worker import identity, sandbox, wire
from pachybox.worker.control import Control
from pachybox.worker.run import Bench, run


def main(argv: list[str] | None = None) -> int:
    """Serve one box on stdin and stdout until it hangs up; ``--probe`` prints what is possible."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the box's to handle
    signal.signal(signal.SIGTERM, _terminate)
    if "--probe" in (sys.argv[1:] if argv is None else argv):
        from pachybox.worker import probe

        Control().send(probe.facts())
        return 0
    control = Control()
    first = control.wait()
    if first is None:
        return 0
    try:
        bench = _set_up(wire.spec(first["spec"]), first["seal"])
    except PachyboxError as e:
        control.send({"refused": {"message": e.message, "hint": e.hint}})
        return 1
    box = bench.sandbox
    control.send(
        {
            "ready": {
                "pid": os.getpid(),
                "level": box.level,
                "rootless": box.rootless,
                "skipped": box.skipped,
            }
        }
    )
    _serve(bench, control)
    return 0


def _set_up(spec: wire.WorkerSpec, seal: wire.JSON) -> Bench:
    """Build the sandbox the box asks for, or raise Refused: a weaker one is never used instead."""
    if not spec.transform.cmd:
        raise Refused(
            f"pipeline {spec.pipeline}: nothing to run",
            "give the transform a cmd, such as a script",
        )
    level = seal["level"]
    try:
        box = sandbox.prepare(level, str(spec.work_dir), seal["hide"])
    except OSError as e:
        raise Refused(
            f"cannot make the {level!r} sandbox of a worker: {e}",
            "`pachybox doctor` says what this machine allows",
        ) from e
    may_switch = os.geteuid() == 0 and not box.rootless
    chosen = identity.choose(spec.transform.user, may_switch=may_switch)
    return Bench(spec, box, chosen, dict(os.environ))


def _serve(bench: Bench, control: Control) -> None:
    while (message := control.wait()) is not None:
        if message["op"] == "run":
            number = message["run"]
            result = run(bench, wire.task(message["task"]), number, control)
            control.send({"run": number, "result": wire.pack(result)})


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)  # unwinds through run(), which kills the datum
