"""What an input would be now: its datums counted and measured, and globs that suit what is there.

The work is bounded by time: over what does not fit, it says "at least".
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from pachybox.errors import NotFound
from pachybox.meta.tables import BRANCHES, REPOS
from pachybox.model.files import Entry
from pachybox.model.ids import Branch, Commit, CommitId, Hash
from pachybox.model.pfs import CommitRecord
from pachybox.model.pps import Datum
from pachybox.model.units import format_size, parse_quantity
from pachybox.pfs import branches
from pachybox.pfs.service import Pfs
from pachybox.pps import algebra, planner
from pachybox.pps.algebra import Combination, Roots

_COUNT_S = 0.18  # for datums
_GLOBS_S = 0.08  # for the files of the first input
_LOOK = 256  # things between two looks at the clock
_MOST_SIZES = 200_000
_ENDINGS = 3  # of files, the most frequent ones
_LONGEST_ENDING = 12

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GlobCount:
    """A pattern and how many paths it matches; ``at_least``: or more."""

    glob: str
    datums: int
    at_least: bool


@dataclass(slots=True)
class Preview:
    """See pachybox.client.spec_values.InputPreview."""

    total: int = 0
    at_least: bool = False
    sampled: bool = False
    bytes: int = 0
    largest: int = 0
    median: int = 0
    rows: list[Datum] = field(default_factory=list)
    globs: list[GlobCount] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Previewer:
    """Previews inputs over one Pfs; keeps the indexes of joins, so that a next look is faster."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs
        self._cache = algebra.Indexes()

    def preview(self, source: Mapping[str, Any], limits: Mapping[str, Any], limit: int) -> Preview:
        """What a canonical input would be of the newest finished commits, and its first ``limit``
        datums. ``limits`` are the spec's resource_limits. Raises NotFound for a repo that is not
        there."""
        node = algebra.parse(source)
        made = Preview()
        with ExitStack() as held:
            roots: dict[Branch, tuple[CommitId, Hash] | None] = {}
            ticks = {leaf.branch for leaf in algebra.leaves(node) if leaf.cron}
            for branch in algebra.branches(node):
                commit = self._head(branch, made=branch in ticks)
                roots[branch] = None
                if commit is None:
                    what = "has not ticked yet: every tick is a datum"
                    if branch not in ticks:
                        what = "has no finished commit: it gives no datums"
                    made.warnings.append(f"{branch} {what}")
                    continue
                held.enter_context(self._pfs.reading(commit.root))
                roots[branch] = (commit.commit.id, commit.root)
                made.commits.append(commit.commit)
            self._count(made, node, roots, limit)
            leaf = next(iter(algebra.leaves(node)))
            if (at := roots[leaf.branch]) is not None and not leaf.cron:
                made.globs = self._globs(at[1])
        _warn(made, limits)
        return made

    def _head(self, branch: Branch, *, made: bool) -> CommitRecord | None:
        """The newest finished, good commit of a branch; ``made``: its repo comes with the
        pipeline."""
        meta = self._pfs.meta
        if meta.get(REPOS, branch.repo) is None and not made:
            raise NotFound(
                f"repo {branch.repo.full} not found", f"make it with: create repo {branch.repo}"
            )
        return branches.newest_good(meta, meta.get(BRANCHES, branch))

    def _count(self, made: Preview, node: algebra.Node, roots: Roots, limit: int) -> None:
        clock = _Clock(_COUNT_S)
        sizes: list[int] = []
        read = {branch: at[0] for branch, at in roots.items() if at is not None}
        trees: Any = _Bounded(self._pfs.trees, clock)
        try:
            found = algebra.whole(node, roots, trees, self._cache)
            for batch in clock.batches(found):
                shown = batch[: max(0, limit - made.total)]
                made.rows += [planner.to_datum(one, read, "") for one in shown]
                new = [_size(one) for one in batch]
                made.total += len(new)
                made.bytes += sum(new)
                made.largest = max(made.largest, *new)
                sizes += new[: _MOST_SIZES - len(sizes)]
        except _Late:
            made.at_least = made.sampled = True
        made.sampled = made.sampled or len(sizes) < made.total
        made.median = round(statistics.median(sizes)) if sizes else 0

    def _globs(self, root: Hash) -> list[GlobCount]:
        """Patterns that suit a tree: the whole, levels, and what the files end in."""
        clock = _Clock(_GLOBS_S)
        depths: Counter[int] = Counter()
        endings: Counter[str] = Counter()
        top: Counter[str] = Counter()
        total = 0
        try:
            for batch in clock.batches(self._pfs.trees.walk(root)):
                total += len(batch)
                depths.update([path.count("/") for path, _ in batch])
                ended = [(ending, path) for path, entry in batch if (ending := _ending(entry))]
                endings.update([ending for ending, _ in ended])
                top.update([ending for ending, path in ended if path.count("/") == 1])
        except _Late:
            cut = True
        else:
            cut = False
        found = [GlobCount("/", 1, False)]
        found += [GlobCount("/" + "/".join("*" * n), depths[n], cut) for n in (1, 2) if depths[n]]
        if len(depths) > 1:
            found.append(GlobCount("/**", max(total, self._pfs.trees.entry(root).count), cut))
        for ending, count in endings.most_common(_ENDINGS):
            level = "*" if top[ending] == count and not cut else "**"
            found.append(GlobCount(f"/{level}.{ending}", count, cut))
        return found


class _Late(Exception):
    """The time is over."""


class _Clock:
    """Time that is there for something."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def batches(self, found: Iterator[T]) -> Iterator[list[T]]:
        """All of ``found``, some at a time. Raises _Late once the time is over."""
        late = False
        while batch := list(islice(found, _LOOK)):
            if late:
                raise _Late
            yield batch
            late = time.monotonic() > self._until


class _Bounded:
    """Trees that are read for a while: then _Late is raised."""

    def __init__(self, trees: Any, clock: _Clock) -> None:
        self._trees = trees
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trees, name)

    def list(self, *args: Any, **more: Any) -> Iterator[Entry]:
        """As that of the trees."""
        return self._while(self._trees.list(*args, **more))

    def walk(self, *args: Any, **more: Any) -> Iterator[tuple[str, Entry]]:
        """As that of the trees."""
        return self._while(self._trees.walk(*args, **more))

    def _while(self, found: Iterator[T]) -> Iterator[T]:
        for batch in self._clock.batches(found):
            yield from batch


def _size(one: Combination) -> int:
    return one[0].entry.size if len(one) == 1 else sum(found.entry.size for found in one)


def _ending(entry: Entry) -> str:
    """What a file's name ends in behind the last dot, where that is usual."""
    ending = entry.name.rpartition(".")[2]
    usual = ending != entry.name and ending.isalnum() and len(ending) <= _LONGEST_ENDING
    return ending if usual and ending.isascii() and not entry.is_dir else ""


def _warn(made: Preview, limits: Mapping[str, Any]) -> None:
    memory = parse_quantity(limits.get("memory") or "0")
    if 0 < memory < made.largest:
        made.warnings.append(
            f"the largest datum has {format_size(made.largest)}, more than the "
            f"{format_size(int(memory))} of resource_limits.memory"
        )
    if made.commits and not made.total:
        late = "there are too many files to look through at once: ask again"
        made.warnings.append(late if made.at_least else "nothing matches: there are no datums")
