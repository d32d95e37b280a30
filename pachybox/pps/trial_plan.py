"""Which datums a trial runs: those of the present heads, or of commits named instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pachybox.errors import InvalidArgument, NotFound, NotReady, Refused
from pachybox.meta.tables import BRANCHES, REPOS
from pachybox.meta.writer import utc_now
from pachybox.model.files import Entry, Kind, Put
from pachybox.model.ids import Branch, CommitId, Hash, Pipeline, new_commit_id
from pachybox.model.pfs import CommitRecord
from pachybox.model.pps import Datum
from pachybox.model.refs import parse_commit_ref, parse_ref
from pachybox.model.units import format_time
from pachybox.pfs import branches, commits
from pachybox.pfs.service import Pfs
from pachybox.pps import algebra, planner
from pachybox.pps.algebra import Combination
from pachybox.pps.datums import matches
from pachybox.pps.pipelines import Chosen, chosen_branch
from pachybox.pps.sources import branch_of
from pachybox.pps.spec.inputs import leaves
from pachybox.store.blobs import Session
from pachybox.store.trees import EMPTY

Every = Callable[[], Iterator[Combination]]
Make = Callable[[Combination], Datum]
Pick = Callable[[Every, Make], tuple[int, tuple[Datum, ...]]]
"""Says how many datums there are, of a function that gives the combinations of all, and chooses
some, which it has made: there may be millions, and each takes longer to make than to count."""

Roots = dict[Branch, tuple[CommitId, Hash] | None]
_SHORTEST = 8  # digits of an id that tell which is meant

MOST = 10_000
"""Datums of one run."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Some datums of ``total``. ``roots``: the trees that stand for commits (project, repo, id)
    that do not exist; ``empty`` names the input branches without a commit."""

    total: int
    datums: tuple[Datum, ...]
    roots: Mapping[tuple[str, str, str], Hash]
    empty: tuple[Branch, ...]


class TrialPlanner:
    """Plans runs over one Pfs."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs

    def sample(
        self,
        pipeline: Pipeline,
        spec: Mapping[str, Any],
        refs: Sequence[str],
        pick: Pick,
        session: Session,
        held: ExitStack,
        *,
        given: Mapping[Branch, Hash],
        cancelled: Callable[[], bool],
    ) -> Sample:
        """The datums that ``pick`` chooses of all (see ``evenly`` and ``named``). ``refs`` name
        commits, ``given`` trees, that are read in place of heads.

        Trees it reads are held from the garbage collector until ``held`` is closed. Raises
        NotFound when a repo is not there, NotReady when a commit is not finished, or once
        ``cancelled``.
        """
        if not spec.get("input"):
            raise Refused("a spout has no datums to try", "create it, and see what it commits")
        node = algebra.parse(spec["input"])
        wanted = self._wanted(pipeline, tuple(algebra.branches(node)), refs)
        about = {branch_of(kind, leaf): (kind, leaf) for kind, leaf in leaves(spec["input"])}
        roots: Roots = {}
        made: dict[tuple[str, str, str], Hash] = {}
        for branch in algebra.branches(node):
            root = given.get(branch)
            if root is None and branch not in wanted:
                root = self._tick(branch, *about[branch], session)
            if root is not None:
                id_ = new_commit_id()
                made[branch.repo.project, branch.repo.name, id_] = root
                roots[branch] = (id_, root)
            else:
                commit = wanted.get(branch) or self._head(branch, about[branch][1])
                roots[branch] = (commit.commit.id, commit.root) if commit is not None else None
            if (at := roots[branch]) is not None:
                held.enter_context(self._pfs.reading(at[1]))
        read = {branch: at[0] for branch, at in roots.items() if at is not None}

        def every() -> Iterator[Combination]:
            for combination in algebra.whole(node, roots, self._pfs.trees):
                if cancelled():
                    raise NotReady("the run is cancelled", "ask for another")
                yield combination

        total, datums = pick(every, lambda combination: planner.to_datum(combination, read, ""))
        return Sample(total, datums, made, tuple(b for b, at in roots.items() if at is None))

    def _wanted(
        self, pipeline: Pipeline, inputs: Sequence[Branch], refs: Iterable[str]
    ) -> dict[Branch, CommitRecord]:
        """The commits that ``refs`` name, by the input branch each stands for."""
        found: dict[Branch, CommitRecord] = {}
        for text in refs:
            left, equals, right = text.partition("=")
            name = parse_commit_ref(left, pipeline.project)
            ref = right if equals else str(name.ref or "")
            if not ref:
                raise InvalidArgument(f"{text!r} names no commit", "write repo@branch or repo@id")
            base = left.rpartition("@")[2] if equals else parse_ref(ref).base
            commit = commits.readable(self._pfs.resolve(name.repo, ref))
            branch = chosen_branch(pipeline, inputs, Chosen(commit, base, strict=bool(equals)))
            if branch in found:
                raise InvalidArgument(f"two commits are given for {branch}", "give one")
            found[branch] = commit
        return found

    def _tick(
        self, branch: Branch, kind: str, leaf: Mapping[str, Any], session: Session
    ) -> Hash | None:
        """The tree of a tick now, for a cron input that has never ticked."""
        if kind != "cron":
            return None
        record = self._pfs.meta.get(BRANCHES, branch)
        if record is not None and record.head is not None:
            return None
        name = format_time(utc_now().replace(microsecond=0))
        file = Entry(name, Kind.FILE, session.put(b""), 0)
        return self._pfs.trees.edit(EMPTY, [Put(f"/{name}", file)], session.put)

    def _head(self, branch: Branch, leaf: Mapping[str, Any]) -> CommitRecord | None:
        """The newest finished, good commit of a branch; None when it has none. Of a trigger's
        branch that is not there yet, of the branch it watches."""
        meta = self._pfs.meta
        if meta.get(REPOS, branch.repo) is None:
            raise NotFound(
                f"repo {branch.repo.full} not found (input {leaf['name']!r})",
                f"make it with: create repo {branch.repo}",
            )
        record = meta.get(BRANCHES, branch)
        if record is None and "trigger" in leaf:
            record = meta.get(BRANCHES, Branch(branch.repo, leaf["trigger"]["branch"]))
        return branches.newest_good(meta, record)


def evenly(sample: int) -> Pick:
    """Picks ``sample`` datums (0: all), the first of all and then at equal distances: of ten
    datums and a sample of three those numbered 0, 3 and 6. The same data give the same ones."""

    def pick(every: Every, make: Make) -> tuple[int, tuple[Datum, ...]]:
        total = sum(1 for _ in every())
        if not sample or sample >= total:
            _bounded(total)
            return total, tuple(map(make, every()))
        wanted = [i * total // sample for i in range(sample)]
        chosen: list[Datum] = []
        for number, combination in enumerate(every()):
            if number == wanted[len(chosen)]:
                chosen.append(make(combination))
                if len(chosen) == sample:
                    break
        return total, tuple(chosen)

    return pick


def named(filters: Sequence[str]) -> Pick:
    """Picks the datums that one of ``filters`` names: an id, 8 or more digits of one, the path or
    hash of an input. NotFound when one of them names none."""

    def pick(every: Every, make: Make) -> tuple[int, tuple[Datum, ...]]:
        total = 0
        chosen: list[Datum] = []
        left = set(filters)
        for datum in map(make, every()):
            total += 1
            hit = [one for one in filters if _means(one, datum)]
            if hit:
                chosen.append(datum)
                _bounded(len(chosen))
                left.difference_update(hit)
        if left:
            raise NotFound(
                f"no datum is {sorted(left)[0]!r}",
                "give the id of a datum or the path of an input; list datum -f SPEC shows them",
            )
        return total, tuple(chosen)

    return pick


def _bounded(number: int) -> None:
    if number > MOST:
        raise InvalidArgument(
            f"a trial of {number} datums", f"a trial runs at most {MOST}: ask for a sample"
        )


def _means(text: str, datum: Datum) -> bool:
    short = len(text) >= _SHORTEST and datum.id.startswith(text)
    return short or matches(datum.inputs, datum.id, (text,))
