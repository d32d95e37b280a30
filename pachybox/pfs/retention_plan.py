"""Which commits retention may squash. The decision is pure, over facts that are gathered here.

A candidate is a commit that no rule of its branch keeps. It goes together with all that was made
from it, or it stays. It stays when anything of that

- is not finished, or its job is not over;
- is the head of a branch, or has no child that holds its data, or an unfinished one;
- is the newest commit of its branch that did not fail: the next job builds on it;
- is kept by rules of its own branch, or was made by a user and its branch has none;
- is counted still by a trigger that waits for a number of commits.

So what stays never names a commit that went. What stays is looked at again later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pachybox.meta.tables import BRANCHES, COMMITS, micros
from pachybox.model.ids import SPEC, Branch, Commit, CommitId, Repo
from pachybox.model.pfs import CommitRecord, Origin
from pachybox.model.retention import Rules
from pachybox.pfs.change import View
from pachybox.pfs.service import Pfs

DERIVED = (
    "seq > ? AND provenance_json <> '[]' AND "
    "list_has_any(regexp_extract_all(provenance_json, '[0-9a-f]{32}'), ?)"
)
"""Commits above a number that name any of some ids in their provenance, and perhaps some more."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The rules of a branch as they stand now. A commit goes whose number is below ``size_seq``;
    one from there on stays when its number is at least ``last_seq``, or it finished at
    ``since_us`` or later; with neither of the two it stays."""

    rules: Rules
    last_seq: int | None = None
    since_us: int | None = None
    size_seq: int = 0

    def keeps(self, commit: CommitRecord) -> bool:
        """Whether the rules keep a commit made on the branch."""
        if self.rules.everything:
            return True
        if commit.seq < self.size_seq:
            return False
        if self.last_seq is None and self.since_us is None:
            return True
        if self.last_seq is not None and commit.seq >= self.last_seq:
            return True
        done = commit.finished
        return self.since_us is not None and (done is None or micros(done) >= self.since_us)

    def where(self) -> tuple[str, list[object]]:
        """The same in SQL: which finished commits go."""
        if self.rules.everything:
            return "FALSE", []
        parts: list[str] = []
        params: list[object] = [self.size_seq]
        if self.last_seq is not None:
            parts.append("seq < ?")
            params.append(self.last_seq)
        if self.since_us is not None:
            parts.append("finished_us < ?")
            params.append(self.since_us)
        soft = f" OR ({' AND '.join(parts)})" if parts else ""
        return f"finished_us IS NOT NULL AND (seq < ?{soft})", params


@dataclass
class Facts:
    """All that the decision needs. ``commits``: the candidates and all that was made from them,
    directly or not; ``newest``: the number of the newest commit of each branch that did not fail;
    ``counted``: by branch the number from which on a trigger counts its commits."""

    bounds: Mapping[Branch, Bound]
    candidates: frozenset[Commit]
    commits: Mapping[Commit, CommitRecord]
    children: Mapping[Commit, list[CommitRecord]]
    heads: frozenset[Commit]
    newest: Mapping[Branch, int]
    counted: Mapping[Branch, int]
    open_jobs: frozenset[Commit]
    made: dict[Commit, list[Commit]] = field(init=False)

    def __post_init__(self) -> None:
        self.made = defaultdict(list)
        for record in self.commits.values():
            for branch, id_ in record.direct_provenance:
                self.made[Commit(branch.repo, id_)].append(record.commit)

    def stays(self, record: CommitRecord) -> bool:
        """Whether something keeps this commit itself, whatever was made from it."""
        commit, branch = record.commit, Branch(record.commit.repo, record.branch)
        if record.finished is None or commit in self.heads or commit in self.open_jobs:
            return True
        if commit.repo.type == SPEC or not self.children.get(commit):
            return True
        if any(child.finished is None for child in self.children[commit]):
            return True
        if record.seq == self.newest.get(branch) or record.seq > self.counted.get(branch, 1 << 62):
            return True
        bound = self.bounds.get(branch)
        if bound is not None:
            return bound.keeps(record)
        return commit not in self.candidates and record.origin is not Origin.AUTO


def decide(facts: Facts) -> list[CommitRecord]:
    """What goes, what was made later first."""
    stays: set[Commit] = set()
    newest_first = sorted(facts.commits.values(), key=lambda c: -c.seq)
    for record in newest_first:
        made = facts.made.get(record.commit, ())
        if facts.stays(record) or not stays.isdisjoint(made):
            stays.add(record.commit)
    going: set[Commit] = set()
    for record in reversed(newest_first):
        above = {Commit(b.repo, id_) for b, id_ in record.direct_provenance}
        wanted = record.commit in facts.candidates or not going.isdisjoint(above)
        if wanted and record.commit not in stays:
            going.add(record.commit)
    return [c for c in newest_first if c.commit in going]


def gather(pfs: Pfs, bounds: Mapping[Branch, Bound], candidates: Iterable[CommitRecord]) -> Facts:
    """What is to be known of ``candidates``, as it is now, by a few questions whatever their
    number."""
    asked = {c.commit: c for c in candidates}
    found = dict(asked)
    wave = list(asked.values())
    while wave:
        wave = [
            c for c in derived(pfs.meta, wave, min(c.seq for c in wave)) if c.commit not in found
        ]
        found.update((c.commit, c) for c in wave)
    repos = {c.repo for c in found}
    return Facts(
        bounds,
        frozenset(asked),
        found,
        children(pfs.meta, list(found)),
        heads(pfs.meta),
        _newest(pfs, repos),
        _counted(pfs, repos),
        _open_jobs(pfs, list(found)),
    )


def derived(view: View, commits: Iterable[CommitRecord], above: int) -> list[CommitRecord]:
    """The commits numbered above ``above`` that were made directly from some of ``commits``."""
    names = {c.commit for c in commits}
    ids = sorted({c.id for c in names})
    return [
        c
        for c in view.select(COMMITS, f"WHERE {DERIVED}", (above, ids))
        if any(Commit(b.repo, i) in names for b, i in c.direct_provenance)
    ]


def children(view: View, commits: list[Commit]) -> dict[Commit, list[CommitRecord]]:
    """By commit, those whose parent it is."""
    names = set(commits)
    found: dict[Commit, list[CommitRecord]] = defaultdict(list)
    ids = sorted({c.id for c in commits})
    for child in view.select(COMMITS, "WHERE parent IN (SELECT unnest(?))", (ids,)):
        parent = Commit(child.commit.repo, CommitId(child.parent or ""))
        if parent in names:
            found[parent].append(child)
    return found


def heads(view: View) -> frozenset[Commit]:
    """The head of every branch."""
    return frozenset(
        Commit(b.branch.repo, b.head) for b in view.all(BRANCHES) if b.head is not None
    )


def _newest(pfs: Pfs, repos: set[Repo]) -> dict[Branch, int]:
    rows = pfs.meta.db.read(
        "SELECT project, repo, type, branch, max(seq) FROM commits "
        "WHERE finished_us IS NOT NULL AND error = '' AND repo IN (SELECT unnest(?)) GROUP BY ALL",
        (sorted({r.name for r in repos}),),
    )
    return {Branch(Repo(p, r, t), b): seq for p, r, t, b, seq in rows}


def _counted(pfs: Pfs, repos: set[Repo]) -> dict[Branch, int]:
    found: dict[Branch, int] = {}
    for record in pfs.meta.all(BRANCHES):
        repo, trigger = record.branch.repo, record.trigger
        if trigger is None or not trigger.commits or repo not in repos:
            continue
        head = None if record.head is None else pfs.meta.get(COMMITS, Commit(repo, record.head))
        source = Branch(repo, trigger.branch)
        found[source] = min(found.get(source, 1 << 62), head.seq if head is not None else 0)
    return found


def _open_jobs(pfs: Pfs, commits: list[Commit]) -> frozenset[Commit]:
    rows = pfs.meta.db.read(
        "SELECT id, project, pipeline FROM jobs "
        "WHERE finished_us IS NULL AND id IN (SELECT unnest(?))",
        (sorted({c.id for c in commits}),),
    )
    return frozenset(Commit(Repo(project, pipeline), i) for i, project, pipeline in rows)
