"""Who works in a repository of backups: many may add to it, or one may prune.

A lock is a file of its owner's. Whoever wants one writes it first and then looks who else is
there, so that of two at least one sees the other, and steps back. What makes things visible or
takes them away asks its lock again before (``check``).

crash: a lock whose process is gone on this machine does not count, nor one that this process could
not remove, nor one of another machine that was not renewed for ``STALE_S``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pachybox.backup.target import Target
from pachybox.errors import Exhausted, NotFound, NotReady, PachyboxError, Refused

log = logging.getLogger("pachybox.backup")

FOLDER = "locks"
LOCK = rf"{FOLDER}/[0-9a-f]{{32}}"
"""The names of locks, a pattern; nothing else in the folder is one, or is touched."""
RENEW_S = 300.0
STALE_S = 1800.0
READ_WAIT_S = 60.0
_TRY_S = (0.2, 0.5)  # between two tries
_LOOK_S = 30.0

_held: set[str] = set()
"""Names of the locks that this process has now."""


class InUse(NotReady):
    """Somebody else has the lock."""


class Lock:
    """A held lock."""

    def __init__(self, target: Target, name: str, *, alone: bool) -> None:
        self._target = target
        self.name = name
        self._alone = alone
        self._renewed = self._checked = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="backup-lock", daemon=True)

    def write(self) -> None:
        """Say that it is held, now."""
        now = time.time()
        owner = {"alone": self._alone, "time": now, **_self()}
        _held.add(self.name)
        self._target.put(self.name, json.dumps(owner).encode())
        self._renewed = now

    def begin(self) -> None:
        """Renew it by itself from now on."""
        self._thread.start()

    def check_again(self) -> None:
        """``check`` when that was a while ago: for what goes on for long, or slept."""
        if abs(time.time() - self._checked) >= _LOOK_S:
            self.check()

    def check(self) -> None:
        """Raise NotReady when the lock was lost: somebody may have taken it for dead."""
        try:
            self._target.get(self.name)
        except NotFound:
            raise self._lost() from None
        if time.time() - self._renewed > STALE_S:
            raise self._lost()
        self._checked = time.time()

    def single(self) -> bool:
        """Whether nobody else has one."""
        return not any(_others(self._target, self.name))

    def _lost(self) -> NotReady:
        return NotReady(
            f"the lock on {self._target.shown} was lost: this took too long without a sign of life",
            "nothing was changed; try again",
        )

    def release(self) -> None:
        """Give it up."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()
        try:
            self._target.delete(self.name)
        except PachyboxError as e:  # whoever looks next removes it, or in a while
            log.warning("the lock %s stays: %s", self.name, e)
        finally:
            _held.discard(self.name)

    def _renew(self) -> None:
        while not self._end.wait(RENEW_S):
            try:
                if time.time() - self._renewed < STALE_S:
                    self._target.get(self.name)  # one that was taken away stays so
                    self.write()
            except PachyboxError as e:
                log.warning("the lock %s was not renewed: %s", self.name, e)


@contextmanager
def locked(
    target: Target, *, alone: bool, wait_s: float, gone: Callable[[], bool]
) -> Iterator[Lock]:
    """Hold a lock, alone or beside others that are not. Raises NotReady naming who has it when it
    is not free within ``wait_s`` (InUse)."""
    lock = _take(target, alone, time.monotonic() + wait_s, gone)
    try:
        lock.begin()
        yield lock
    finally:
        lock.release()


@contextmanager
def reading(target: Target, gone: Callable[[], bool]) -> Iterator[None]:
    """Keep a place from being pruned while it is read. One that may not be written to, or is full,
    is read without a lock. Raises InUse."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(target, alone=False, wait_s=READ_WAIT_S, gone=gone))
        except InUse:
            raise
        except (NotReady, Refused, Exhausted) as e:
            log.info("%s is read without a lock: %s", target.shown, e)
        yield


def _take(target: Target, alone: bool, until: float, gone: Callable[[], bool]) -> Lock:
    while True:
        lock = Lock(target, f"{FOLDER}/{secrets.token_hex(16)}", alone=alone)
        try:
            lock.write()
            others = [o for o in _others(target, lock.name) if alone or o.get("alone")]
        except BaseException:
            lock.release()
            raise
        if not others:
            return lock
        lock.release()
        if time.monotonic() > until or gone():
            one = others[0]
            raise InUse(
                f"{target.shown} is in use by process {one.get('pid')} on {one.get('host')}",
                "wait until it is done, then try again",
            )
        low, more = _TRY_S
        time.sleep(low + secrets.randbelow(1000) / 1000 * more)


def _others(target: Target, mine: str) -> Iterator[dict[str, Any]]:
    """The owners of all other locks that count; those that do not are removed."""
    for name, _ in list(target.list(FOLDER)):
        if name == mine or not re.fullmatch(LOCK, name):
            continue
        try:
            owner = json.loads(target.get(name))
        except NotFound:
            continue  # given up meanwhile
        except ValueError:
            owner = {}
        if isinstance(owner, dict) and not _stale(owner, name):
            yield owner
        else:
            target.delete(name)


def _stale(owner: dict[str, Any], name: str) -> bool:
    me = _self()
    when, pid = owner.get("time"), owner.get("pid")
    if not isinstance(when, int | float) or not isinstance(pid, int):
        return True
    if all(owner.get(key) == value for key, value in me.items()):
        return name not in _held
    if all(owner.get(key) == me[key] for key in ("host", "boot", "namespace")):
        began = _began(pid)
        return not began or began != owner.get("began")
    return not abs(time.time() - when) <= STALE_S


def _self() -> dict[str, Any]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    space, pid = os.readlink("/proc/self/ns/pid"), os.getpid()  # noqa: PTH115  # no path
    where = {"host": socket.gethostname(), "boot": boot, "namespace": space}
    return {**where, "pid": pid, "began": _began(pid)}


def _began(pid: int) -> str:
    """When a process began, in ticks since the machine did; "" when there is none. With the pid it
    names a process: a pid comes again."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
