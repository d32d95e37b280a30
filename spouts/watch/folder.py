"""A watched folder: what comes into it is committed, once, when it is whole.

A round: is the folder there; what happened (events, or it is time to look); look; what has rested
is whole; commit when a batch is due; take away what is committed, if that is asked for. What is
true is read from the folder and from ``state``: a life may end at any line.
"""

# pathlib costs 8 us a file
from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator

from pachybox.errors import Internal, InvalidArgument, NotReady
from pachybox.model.units import parse_duration
from spouts.desk import Desk, PachyboxError, Stopping
from spouts.watch.after import Remover
from spouts.watch.batch import MOST_FILES, Batches
from spouts.watch.events import Events
from spouts.watch.names import Names, printable
from spouts.watch.place import Away, Place, mount_of
from spouts.watch.scan import Scan
from spouts.watch.state import LETTER, Entry, Known, State
from spouts.watch.troubles import Troubles
from spouts.watch.waiting import Ages, Mark, Waiting, mark

_FULL_S = 600.0  # between two looks at everything, though events come
_PARTIAL_S = 30.0  # the same where events do not come from everywhere
_SHARE = 4  # a poll rests so many times as long as it took
_CHECK_S = 2.0  # between two looks whether the folder is there
_MOMENT_S = 0.1  # so long nothing comes before a batch is committed early
_STEP_S = 0.02  # between two rounds that only find more files whole
_TICK_S = 0.02  # two writes that are nearer may have the same time
_LOOK_S = 0.25  # of looking, between two looks at orders
_AGAIN_S = (0.3, 2.0)  # a directory that appeared is looked at again: the kernel watched it late


def run(desk: Desk) -> None:
    """Watch until told to stop. Raises Stopping."""
    try:
        folder = Folder(desk)
        try:
            while True:
                folder.round()
        except Stopping:
            folder.last()
            raise
        finally:
            folder.close()
    except sqlite3.Error as e:
        raise Internal(
            f"{desk.task.state}/watch.db, where it is kept what is committed: {e}",
            "make room on the disk; without that file all of the folder is taken again",
        ) from e


class Folder:
    """The folder of a task."""

    def __init__(self, desk: Desk) -> None:
        spec = desk.task.spec
        self._desk = desk
        self._root = str(spec["path"])
        own = os.path.realpath(desk.task.state)
        if os.path.commonpath([own, os.path.realpath(self._root)]) == os.path.realpath(self._root):
            raise InvalidArgument(f"{self._root} holds the box's own data", "watch another folder")
        self._batch_s = parse_duration(spec["batch"])
        self._settle_s = max(_TICK_S, parse_duration(spec["settle"]))
        self._poll_s = parse_duration(spec["poll_interval"])
        self._poll = str(spec["poll"])
        self._mirror = bool(spec["mirror"])
        self._state = State(desk.task.state, desk.batch)
        self._place = Place(self._root, self._begin(desk))
        self._names = Names(
            spec["pattern"], spec["prefix"], spec["done"], all_names=bool(spec["all_names"])
        )
        self._removes = bool(spec["delete_after"] or spec["move_to"])
        self._remover = Remover(self._root, spec["move_to"], spec["done"])
        self._waiting = Waiting(self._settle_s)
        self._ages = Ages(self._settle_s, local=True)
        self._troubles = Troubles()
        self._scan = Scan(self._root, self._names, self._state, self)
        self._batches = Batches(desk, self._state, self._names, self._place, self._waiting, self)
        self._events: Events | None = None
        self._polls = False
        self._walk: Iterator[None] | None = None
        self._paths: dict[str, None] = {}
        self._trees: list[str] = []
        self._again: dict[str, tuple[float, bool]] = {}
        self._drops: list[str] = []
        self._leftover: list[Entry] = []
        self._full_at = self._full_least = self._checked_at = 0.0
        self._hurry = False
        self._held = False

    def _begin(self, desk: Desk) -> str:
        """What the state is about; the mount that the folder was on, "" when any will do."""
        target = "\0".join((self._root, desk.task.to, desk.task.spec["prefix"]))
        reset = desk.batch and not desk.offset  # it is to begin anew
        if reset or self._state.get("target") != target:
            self._state.forget_all()
            self._state.set("target", target)
        if self._state.get("version") == str(desk.task.version):
            return self._state.get("mount")
        self._state.set("mount", "")
        self._state.set("version", str(desk.task.version))
        return ""

    def close(self) -> None:
        """End it."""
        if self._events is not None:
            self._events.close()
        self._state.close()

    # ---- rounds

    def round(self) -> None:
        """Look, commit, wait."""
        try:
            self._check()
            self._hear()
            self._look()
            self._tidy()
            self._waiting.ripen(time.monotonic())
            if self._is_due():
                self._commit()
            elif self._is_ahead_due():
                self._batches.ahead.read(self._waiting)
        except Away as e:
            self._hold(str(e))
        self._tell()
        if self._desk.pause(self._rest()):
            self._full_at, self._hurry = 0.0, True

    def last(self) -> None:
        """What is whole is committed, if the box takes it now."""
        self._waiting.ripen(time.monotonic())
        try:
            while not self._held and self._waiting.whole:
                before = len(self._waiting)
                self._commit()
                if len(self._waiting) >= before:
                    return
        except (Stopping, Away, PachyboxError):
            return

    def _check(self) -> None:
        now = time.monotonic()
        if now - self._checked_at < _CHECK_S and not self._held:
            return
        self._checked_at = now
        if self._place.check():  # another folder than it was
            self._state.set("mount", self._place.expected)
            self._listen()
        if self._held:
            self._held = False
            self._desk.report(reason="")

    def _hold(self, reason: str) -> None:
        if not self._held:
            self._desk.failed(reason, reason=reason)
        self._held = True
        self._walk, self._full_at = None, 0.0
        self._paths.clear()
        self._drops.clear()
        self._leftover.clear()
        self._waiting.clear()
        if self._events is not None:
            self._events.close()
            self._events = None

    def _listen(self) -> None:
        """Have events of the folder, where they come; else poll it."""
        if self._events is not None:
            self._events.close()
            self._events = None
        mount = mount_of(self._root)
        self._ages = Ages(self._settle_s, local=not mount.remote)
        self._walk, self._full_at = None, 0.0
        self._polls = self._poll == "always" or (self._poll == "auto" and mount.remote)
        if self._polls:
            self._desk.log(f"{self._root} ({mount.kind}) is polled every {self._poll_s:g} s")
            return
        self._have_events()

    def _have_events(self) -> None:
        if self._events is not None:
            self._events.close()
        try:
            self._events = Events(self._root, self._desk.wake)
        except (OSError, RuntimeError) as e:
            self._no_events(str(e))

    def _no_events(self, why: str) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None
        why = f"the kernel does not tell of changes in {self._root}: {why.partition(' about [')[0]}"
        hint = "raise fs.inotify.max_user_watches and max_user_instances by sysctl"
        if self._poll == "never":
            raise NotReady(why, f"{hint}, or let it poll")
        self._desk.log(f"{why}; it is polled every {self._poll_s:g} s from now on; {hint}")
        self._polls = True

    def _hear(self) -> None:
        """What is to be looked at, by events, by time and after troubles."""
        now = time.monotonic()
        if self._events is not None:
            paths, lost = self._events.take()
            self._paths.update(dict.fromkeys(paths))
            if lost:
                self._full_at = min(self._full_at, max(now + 1.0, self._full_least))
            if failure := self._events.failure:
                self._full_at = min(self._full_at, now + 1.0)
                if "decode" in failure:  # a name that is no UTF-8 ends the watcher
                    self._have_events()
                else:
                    self._no_events(failure)
        for name in self._troubles.due(now):
            self._paths[self._path(name)] = None
        for name, (due, again) in list(self._again.items()):
            if due <= now:
                del self._again[name]
                self._trees.append(name)
                if again:
                    self._again[name] = (now + _AGAIN_S[1], False)

    def _look(self) -> None:
        until = time.monotonic() + _LOOK_S
        while len(self._waiting) < MOST_FILES:
            if self._walk is None:
                self._walk = self._next()
                if self._walk is None:
                    return
            for _ in self._walk:
                if time.monotonic() > until or len(self._waiting) >= MOST_FILES:
                    return
            self._walk = None
            if time.monotonic() > until:
                return

    def _next(self) -> Iterator[None] | None:
        if self._paths:
            path = next(iter(self._paths))
            del self._paths[path]
            if path == self._root:
                self._checked_at = self._full_at = 0.0
                return iter(())
            return self._scan.one(path[len(self._root.rstrip("/")) + 1 :])
        if self._trees:
            return self._scan.tree(self._trees.pop())
        if time.monotonic() >= self._full_at:
            return self._everything()
        return None

    def _everything(self) -> Iterator[None]:
        took = 0.0
        self._full_at = float("inf")
        walk, began = self._scan.tree(), time.monotonic()
        for _ in walk:
            took += time.monotonic() - began
            yield
            began = time.monotonic()
        took += time.monotonic() - began
        rest = _FULL_S
        if self._polls or self._events is None:
            rest = max(self._poll_s, _SHARE * took)
        elif self._events.partial:
            rest = max(_PARTIAL_S, _SHARE * took)
        now = time.monotonic()
        self._full_least = now + _SHARE * took
        self._full_at = min(self._full_at, now + rest)

    def _tidy(self) -> None:
        """What looking has found to be over."""
        if self._drops or self._leftover:
            self._place.require()
        if self._drops:
            self._state.drop(self._drops)
            self._drops = []
        leftover, self._leftover = self._leftover, []
        if leftover:
            self._take_away(leftover)

    # ---- committing

    def _is_due(self) -> bool:
        oldest, now = self._waiting.oldest(), time.monotonic()
        looking = self._walk is not None or bool(self._paths)
        if oldest is None:
            self._hurry = self._hurry and (looking or now >= self._full_at)
            return False
        if len(self._waiting.whole) >= MOST_FILES or self._hurry or now >= oldest + self._batch_s:
            return True
        ripe = self._waiting.next_ripe()
        return (
            not looking
            and now - self._waiting.arrived >= min(_MOMENT_S, self._batch_s)
            and (ripe is None or ripe > now + _MOMENT_S)
        )

    def _is_ahead_due(self) -> bool:
        due, looking = self._batches.ahead.due(self._waiting), self._walk is not None or self._paths
        return not looking and self._ages.local and due is not None and due <= time.monotonic()

    def _commit(self) -> None:
        done = self._batches.commit()
        for name, *_ in done:
            self._troubles.forget(name)
        if self._removes:
            self._take_away(done)

    def _take_away(self, entries: list[Entry]) -> None:
        taken, failed = self._remover.take_all(entries)
        for name, error in failed:
            self.trouble(name, error)
        self._state.drop(taken)

    # ---- what looking finds

    def found(self, name: str, status: os.stat_result, known: Known | None, whole: bool) -> None:
        """See Sink."""
        seen = mark(status)
        if known is not None and known[:2] == seen[:2]:
            self._waiting.forget(name)
            if self._removes and not self._troubles.rests(name, None):
                self._leftover.append((name, *known))
            return
        now = time.monotonic()
        if self._waiting.holds(name, seen) or self._troubles.rests(name, seen):
            return
        at_once = whole and known is None
        age = self._settle_s if at_once else self._ages.age(seen[1], now)
        self._waiting.add(name, seen, now, age)

    def changed(self, name: str, status: os.stat_result) -> None:
        """It is another version than the one that was whole."""
        now = time.monotonic()
        self._waiting.add(name, mark(status), now, self._ages.age(status.st_mtime_ns, now))

    def gone(self, name: str, *, replaced: bool) -> None:
        """See Sink."""
        self._troubles.forget(name)
        known = self._state.known(name) if self._mirror else None
        if known is None or known[2] == LETTER:
            self._waiting.forget(name)
            self._drops.append(name)
        elif not self._waiting.holds(name, None):
            age = self._settle_s if replaced else 0.0
            self._waiting.add(name, None, time.monotonic(), age)

    def nothing(self, name: str) -> None:
        """See Sink."""
        self._troubles.forget(name)
        self._waiting.forget(name)

    def directory(self, name: str) -> None:
        """See Sink."""
        if name not in self._again:
            self._again[name] = (time.monotonic() + _AGAIN_S[0], True)

    def listed(self, name: str) -> None:
        """See Sink."""
        self._troubles.forget(name)

    def claimed(self, name: str) -> None:
        """See Sink."""
        known = self._state.known if self._removes else lambda _: None
        try:
            if not self._remover.recover(name, known):
                self.odd(name, "not committed, and a newer file took its place")
        except OSError as e:
            self.trouble(name, e, None)

    def odd(self, name: str, what: str) -> None:
        """See Sink."""
        if self._troubles.first(name, what):
            self._desk.log(f"{printable(name)} is left out: {what}")

    def trouble(self, name: str, error: OSError | PachyboxError, seen: Mark | None = None) -> None:
        """See Sink and Owner."""
        why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        self._troubles.add(name, why, seen, time.monotonic())

    # ---- waiting

    def _tell(self) -> None:
        if told := self._troubles.news():
            self._desk.failed(told)
        oldest = self._waiting.oldest()
        self._desk.report(
            lag_s=0.0 if oldest is None else time.monotonic() - oldest,
            pending=len(self._waiting) + len(self._troubles),
        )

    def _rest(self) -> float:
        """Seconds until there is something to do."""
        if self._held:
            return 1.0
        if self._walk is not None or self._paths:
            return 0.0 if len(self._waiting) < MOST_FILES else _MOMENT_S
        now = time.monotonic()
        times = [self._checked_at + _CHECK_S, self._full_at]
        if (oldest := self._waiting.oldest()) is not None:
            times += [oldest + self._batch_s, now + _MOMENT_S / 2]
        if (ripe := self._waiting.next_ripe()) is not None:
            times.append(ripe if oldest is None else max(ripe, now + _STEP_S))
        if self._ages.local and (due := self._batches.ahead.due(self._waiting)) is not None:
            times.append(due)
        if (due := self._troubles.next_due()) is not None:
            times.append(due)
        times += [due for due, _ in self._again.values()]
        return max(0.0, min(times) - now)

    def _path(self, name: str) -> str:
        return f"{self._root.rstrip('/')}/{name}" if name else self._root
