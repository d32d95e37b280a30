"""Retention: squashes old commits of branches that have rules (model/retention.py says which go
by the rules, retention_plan.py what forbids it).

One thread looks every ``every_s`` seconds when commits came, at once when rules were changed, and
squashes what may go by ``GROUP`` commits a transaction: a crash leaves whole groups. What is
planned outside the writer is proven there again, as far as it can have changed. A look costs
what is there to go: what stays for other reasons is passed over, and looked at again now and then.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from pachybox.errors import Corrupt, NotReady, PachyboxError
from pachybox.meta.tables import BRANCHES, COMMITS, micros
from pachybox.meta.writer import utc_now
from pachybox.model.ids import Branch, Commit, CommitId
from pachybox.model.pfs import CommitRecord
from pachybox.model.retention import RETENTION, Rules, parse_rules
from pachybox.model.units import format_size
from pachybox.pfs.change import Change, View, names
from pachybox.pfs.commits import take_out
from pachybox.pfs.retention_plan import Bound, children, decide, derived, gather, heads
from pachybox.pfs.retention_size import Sized, held_alone
from pachybox.pfs.service import Pfs

log = logging.getLogger("pachybox.retention")

GROUP = 100
"""Commits squashed in one transaction, and candidates looked at together."""

_TICK_S = 1.0  # between two looks at the rules
_SOON_S, _LATE_S = 10.0, 600.0  # what had to stay is looked at again, the less often the longer
_PAGES = 20  # of one branch before the others have their turn
_COLLECT_LEAST = 64 << 20  # bytes squashed that make a collection worth while ...
_COLLECT_SHARE = 8  # ... and at least this part of the store ...
_COLLECT_S = 60.0  # ... but not more often

_MINE = "project = ? AND repo = ? AND type = ? AND branch = ?"


@dataclass
class _Branch:
    """What is remembered of a branch between looks."""

    sized: Sized
    passed: int = 0  # every candidate up to this number went or had to stay
    whole: bool = False  # all of them are being looked at, not just those that came since
    gone: int = 0  # in this pass
    again_s: float = _SOON_S
    again_at: float = 0.0  # when all are looked at again
    warning: str = ""


@dataclass
class Figures:
    """What was done since the box started."""

    squashed: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Retention:
    """The thread. ``start`` and ``stop`` with the box."""

    def __init__(
        self, pfs: Pfs, every_s: float, collect: Callable[[], object] = lambda: None
    ) -> None:
        """``collect`` has space freed that nothing names any more."""
        self._pfs = pfs
        self._every_s = max(every_s, _TICK_S)
        self._collect = collect
        self.figures = Figures()
        self._branches: dict[Branch, _Branch] = {}
        self._uncollected = 0
        self._collected_at = -_COLLECT_S
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="retention", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; idempotent, and without effect when it was never started."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def warnings(self) -> list[str]:
        """What keeps rules from holding, that only a user can change."""
        return [b.warning for b in list(self._branches.values()) if b.warning]

    # ---- when

    def _loop(self) -> None:
        known: dict[Branch, Rules] = {}
        seen, due = -1, 0.0
        while not self._stop.wait(_TICK_S):
            try:
                wanted = rules_of(self._pfs.meta)
                now = time.monotonic()
                if wanted != known:
                    known, due, seen = wanted, now, -1
                    self._branches.clear()
                if not known or now < due:
                    continue
                newest = self._pfs.meta.last_event
                ages = any(rules.for_s is not None for rules in known.values())
                if newest != seen or ages or self._late(now):
                    seen = newest
                    began = time.monotonic()
                    more = self.look()
                    self.figures.seconds += time.monotonic() - began
                    due = now + (0 if more else self._every_s)
            except NotReady:
                return  # the box is closing
            except PachyboxError as e:
                log.warning("retention could not work: %s", e)
                due = time.monotonic() + self._every_s
            except Exception:  # it must be there for the next round
                log.exception("retention could not work")
                due = time.monotonic() + self._every_s

    def _late(self, now: float) -> bool:
        return any(b.again_at <= now for b in self._branches.values())

    # ---- what

    def look(self) -> bool:
        """Squash what may go now; whether there is more than one look does."""
        rules = rules_of(self._pfs.meta)
        bounds = {branch: self._bound(branch, mine) for branch, mine in rules.items()}
        more = False
        for branch, bound in bounds.items():
            if not bound.rules.everything:
                more = self._one(branch, bounds, rules) or more
        self._collect_now_and_then()
        return more

    def _state(self, branch: Branch) -> _Branch:
        if branch not in self._branches:
            self._branches[branch] = _Branch(Sized(self._pfs, branch, self._stop.is_set))
        return self._branches[branch]

    def _bound(self, branch: Branch, rules: Rules) -> Bound:
        last_seq = since = None
        if rules.last is not None:
            rows = self._pfs.meta.db.read(
                f"SELECT seq FROM commits WHERE {_MINE} AND finished_us IS NOT NULL "
                "ORDER BY seq DESC LIMIT 1 OFFSET ?",
                (*_key(branch), rules.last - 1),
            )
            last_seq = rows[0][0] if rows else 0
        if rules.for_s is not None:
            since = micros(utc_now() - timedelta(seconds=rules.for_s))
        size_seq = 0
        if rules.under is not None:
            state = self._state(branch)
            size_seq = state.sized.oldest_within(rules.under)
            size = state.sized.head_bytes
            state.warning = "" if size <= rules.under else (
                f"branch {branch} is to be kept {rules.text}, but its newest commit alone "
                f"holds {format_size(size)}"
            )  # fmt: skip
        return Bound(rules, last_seq, since, size_seq)

    def _one(self, branch: Branch, bounds: dict[Branch, Bound], rules: dict[Branch, Rules]) -> bool:
        """The turn of one branch; whether more waits."""
        state, where = self._state(branch), bounds[branch].where()
        if not state.whole and time.monotonic() >= state.again_at:
            state.whole, state.passed, state.gone = True, 0, 0
        for _ in range(_PAGES):
            before = self._newest_seq()
            page = self._pfs.meta.select(
                COMMITS,
                f"WHERE seq > ? AND {_MINE} AND {where[0]} ORDER BY seq LIMIT {GROUP}",
                (state.passed, *_key(branch), *where[1]),
            )
            if self._stop.is_set():
                return False
            if not page:
                break
            state.gone += self._squash(decide(gather(self._pfs, bounds, page)), rules, before)
            state.passed = page[-1].seq
        else:
            return True
        if state.whole:
            state.whole = False
            state.again_s = _SOON_S if state.gone else min(2 * state.again_s, _LATE_S)
            state.again_at = time.monotonic() + state.again_s
        return False

    def _newest_seq(self) -> int:
        return int(self._pfs.meta.db.read("SELECT coalesce(max(seq), 0) FROM commits")[0][0])

    def _squash(self, going: list[CommitRecord], rules: dict[Branch, Rules], before: int) -> int:
        """Squash ``going``, what was made later first, until one group proves to be planned from
        what has changed since; how many went."""
        total = 0
        for i in range(0, len(going), GROUP):
            group = going[i : i + GROUP]
            held = self._held(group)
            squash = partial(squash_group, going=group, rules=rules, before=before)
            done = self._pfs.change(squash, solo=True)
            if not done:
                break
            count = sum(done.values())
            total += count
            self.figures.squashed += count
            self.figures.bytes += held
            self._uncollected += held
            where = ",".join(f"{branch}:{n}" for branch, n in sorted(done.items()))
            log.info("squashed commits=%d bytes=%d branches=%s", count, held, where)
        return total

    def _held(self, going: list[CommitRecord]) -> int:
        """Bytes that only these commits hold, next to the commits that follow each."""
        below = children(self._pfs.meta, [c.commit for c in going])
        total = 0
        for commit in going:
            heirs = below.get(commit.commit, ())
            if not commit.error and heirs and not heirs[-1].error:
                total += held_alone(self._pfs, commit.root, heirs[-1].root)
        return total

    def _collect_now_and_then(self) -> None:
        """Have space freed once enough was squashed to be worth it."""
        least = max(_COLLECT_LEAST, self._pfs.blobs.usage().bytes // _COLLECT_SHARE)
        now = time.monotonic()
        if self._uncollected < least or now < self._collected_at + _COLLECT_S:
            return
        self._uncollected, self._collected_at = 0, now
        try:
            self._collect()
        except Corrupt as e:
            log.error("garbage not collected: %s (run fsck)", e)


def rules_of(view: View) -> dict[Branch, Rules]:
    """The rules of every branch that has some."""
    return {
        b.branch: parse_rules(b.metadata[RETENTION])
        for b in view.all(BRANCHES)
        if RETENTION in b.metadata
    }


def squash_group(
    ch: Change,
    going: list[CommitRecord],
    rules: Mapping[Branch, Rules],
    before: int,
) -> dict[Branch, int]:
    """In a solo change: take ``going`` out, the data left to their children; how many of each
    branch went. None do when, since the commit numbered ``before`` was the newest, rules were
    changed, one became a head, or something was made from one or begun on top of it."""
    if rules_of(ch.tx) != rules:
        return {}
    ids = sorted({c.commit.id for c in going})
    wanted = {c.commit for c in going}
    there = {
        c.commit: c
        for c in ch.tx.select(COMMITS, "WHERE id IN (SELECT unnest(?))", (ids,))
        if c.commit in wanted
    }
    below = children(ch.tx, list(there))
    if (
        not heads(ch.tx).isdisjoint(there)
        or derived(ch.tx, there.values(), before)
        or any(child.finished is None for some in below.values() for child in some)
    ):
        return {}
    counts: dict[Branch, int] = {}
    for commit in sorted(there.values(), key=lambda c: -c.seq):
        for child in below.get(commit.commit, ()):
            if child.commit not in there:
                ch.tx.put(COMMITS, replace(child, parent=_survivor(there, commit)))
        take_out(ch, commit)
        branch = Branch(commit.commit.repo, commit.branch)
        counts[branch] = counts.get(branch, 0) + 1
    for branch, count in counts.items():
        ch.tx.event("branch.squashed", **names(branch.repo), branch=branch.name, commits=count)
    return counts


def _survivor(going: Mapping[Commit, CommitRecord], commit: CommitRecord) -> CommitId | None:
    """The nearest ancestor that stays."""
    parent = commit.parent
    while parent is not None:
        above = going.get(Commit(commit.commit.repo, parent))
        if above is None:
            break
        parent = above.parent
    return parent


def _key(branch: Branch) -> tuple[str, str, str, str]:
    return branch.repo.project, branch.repo.name, branch.repo.type, branch.name
