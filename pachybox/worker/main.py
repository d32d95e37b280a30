"""The worker process: started by a runner, told what to run over stdin, ends with it.

    runner --spawn--> worker --clone--> first process of a datum --spawn--> user code

One thread; the standard library and a few modules of the box. It runs datum after datum, of
whatever pipelines ask for the same fence.
When the box hangs up or sends SIGTERM, it kills what runs and goes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from pachybox.errors import PachyboxError, Refused
from pachybox.worker import handover, identity, sandbox, wire
from pachybox.worker.control import Control
from pachybox.worker.frames import frame
from pachybox.worker.run import Bench, environment, run

if TYPE_CHECKING:
    from pachybox.worker.container import Joined

_OOM_SCORE = 500  # counts as half of the machine's memory on top of what is used


def main(argv: list[str] | None = None) -> int:
    """Serve one box on stdin and stdout until it hangs up; ``--probe`` prints what is possible."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the box's to handle
    signal.signal(signal.SIGTERM, _terminate)
    words = sys.argv if argv is None else argv
    if "--probe" in words:
        from pachybox.worker import probe

        after = words[words.index("--probe") + 1 :]
        sys.stdout.write(json.dumps(probe.facts(*after[:1])))
        return 0
    control = Control()
    first = control.first()
    if first is None:
        return 0
    spec, seal = wire.start(first)
    _give_way()
    try:
        if seal.get("container"):
            _hand_over_in(seal["container"], spec)
        bench = _set_up(spec, seal)
        box = bench.sandbox
        ready = {"level": box.level, "rootless": box.rootless, "skipped": box.skipped}
        if box.level == sandbox.FULL and seal["shim"]:
            _hand_over(bench, {**ready, "served": "shim"})
        if spec.datum_batching:
            raise _no_batching(spec)
    except PachyboxError as e:
        control.send(
            frame(wire.REFUSED, json.dumps({"message": e.message, "hint": e.hint}).encode())
        )
        return 1
    sandbox.seal(box)
    control.send(frame(wire.READY, json.dumps({**ready, "served": "python"}).encode()))
    _serve(bench, control)
    return 0


def _give_way() -> None:
    """When the machine has no memory left, user code is to be chosen before the box is."""
    try:
        with open("/proc/self/oom_score_adj", "r+b", buffering=0) as f:
            if int(f.read()) < _OOM_SCORE:
                f.write(b"%d" % _OOM_SCORE)
    except OSError:  # a hardened machine: it is as likely as the box then
        return


def _set_up(spec: wire.WorkerSpec, seal: wire.JSON) -> Bench:
    """Build the sandbox the box asks for, or raise Refused: a weaker one is never used instead."""
    user = spec.transform.user
    # Looked up before there is a sandbox, whose files may belong to the user.
    chosen = identity.choose(user, may_switch=os.geteuid() == 0)
    level = seal["level"]
    try:
        box = sandbox.prepare(
            level, str(spec.work_dir), seal["hide"], spec.files, chosen, spec.mounts
        )
    except OSError as e:
        raise Refused(
            f"cannot make the {level!r} sandbox of a worker: {e}",
            "`pachybox doctor` says what this machine allows",
        ) from e
    if chosen is not None and box.rootless:
        identity.choose(user, may_switch=False)
    return Bench(spec, box, chosen, environment(chosen, dict(os.environ)))


def _hand_over_in(given: wire.JSON, spec: wire.WorkerSpec) -> NoReturn:
    """Serve in a container, or raise Refused."""
    from pachybox.worker import container

    where = container.Container.of(given)
    handover.handle()  # while its file can be reached
    try:
        joined = container.join(where, spec.files, spec.mounts)
    except OSError as e:
        raise Refused(
            f"cannot enter the container: {e}", "`pachybox doctor` says what this machine allows"
        ) from e
    box = sandbox.Sandbox(sandbox.FULL)
    env = {**joined.identity.environment(), **environment(None, where.env)}
    bench = Bench(spec, box, joined.identity, env)
    ready = {"level": box.level, "rootless": False, "skipped": [], "served": "shim"}
    _hand_over(bench, ready, joined)


def _hand_over(bench: Bench, ready: wire.JSON, joined: Joined | None = None) -> NoReturn:
    try:
        handover.hand_over(bench, bench.base_env, json.dumps(ready), joined)
    except OSError as e:
        raise Refused(
            f"the shim cannot be run: {e}", f"set {handover.OFF}=off to do without it"
        ) from e


def _no_batching(spec: wire.WorkerSpec) -> Refused:
    return Refused(
        f"pipeline {spec.pipeline}: datum_batching needs the shim and full isolation",
        "`pachybox doctor` says why they are not in use here",
    )


def _serve(bench: Bench, control: Control) -> None:
    while (got := control.wait()) is not None:
        number, task, code = got
        control.send(wire.pack_end(number, run(bench, task, code, number, control)))
    control.drain()


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)  # unwinds through run(), which kills the datum
