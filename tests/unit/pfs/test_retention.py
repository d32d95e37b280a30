"""Retention: rules as text, what they let go, and what stays whatever they say."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.meta.tables import BRANCHES, COMMITS
from pachybox.meta.writer import Meta
from pachybox.model.files import Entry, Kind, Put
from pachybox.model.ids import Branch, Commit, CommitId, Hash, Repo
from pachybox.model.pfs import CommitRecord, Trigger
from pachybox.model.retention import RETENTION, Rules, parse_rules
from pachybox.pfs import care, commits, metadata
from pachybox.pfs.change import Change
from pachybox.pfs.retention import Retention, rules_of, squash_group
from pachybox.pfs.retention_size import Sized
from pachybox.pfs.service import Pfs
from pachybox.store.blobs import BlobStore
from tests.examples import many

_NUMBER = itertools.count()


@pytest.fixture(scope="module")
def pfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pfs]:
    home = tmp_path_factory.mktemp("retention")
    blobs = BlobStore.open(home / "store")
    meta = Meta(home / "meta.duckdb", barrier=blobs.flush)
    yield Pfs(meta, blobs)
    meta.close()
    blobs.close()


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("last 100", Rules("last 100", last=100)),
        ("keep  LAST 1", Rules("last 1", last=1)),
        ("for 30d", Rules("for 30d", for_s=30 * 86400)),
        ("for 1w2d3h", Rules("for 1w2d3h", for_s=9 * 86400 + 3 * 3600)),
        ("for 90s", Rules("for 90s", for_s=90)),
        ("under 50GB", Rules("under 50GB", under=50 * 10**9)),
        ("under 1.5 gib", Rules("under 1.5GiB", under=3 << 29)),
        ("last 5,for 2h , under 1MB", Rules("last 5, for 2h, under 1MB", 5, 7200, 10**6)),
        ("all", Rules("all")),
    ],
)
def test_rules_of_text(text: str, rules: Rules) -> None:
    assert parse_rules(text) == rules
    assert parse_rules(rules.text) == rules


@pytest.mark.parametrize(
    "text",
    ["", "last", "last 0", "last -1", "last 1.5", "for", "for 0s", "for ever", "under 0",
     "under much", "last 1, last 2", "last 1 for 2d", "all, last 1", "off", "for 30", "last 1,",
     "last 1 0", "for 1 2d", "under 5 0MB"],
)  # fmt: skip
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_rules(text)
    assert "write it like" in str(caught.value.hint)


# ---- a world of branches, in a project of its own


class World:
    """Inputs ``a`` and ``b``; ``ab`` made from both, ``ab2`` from that, ``b1`` from ``b``. The jobs
    are done by hand."""

    INPUTS = ("a", "b")
    OUTPUTS = ("ab", "ab2", "b1")

    def __init__(self, pfs: Pfs) -> None:
        self.pfs = pfs
        self.project = f"p{next(_NUMBER)}"
        pfs.create_project(self.project)
        for name in (*self.INPUTS, *self.OUTPUTS):
            pfs.create_repo(Repo(self.project, name))
        a, b, ab = (self.branch(name) for name in ("a", "b", "ab"))
        pfs.create_branch(a)
        pfs.create_branch(b)
        pfs.create_branch(ab, provenance=(a, b))
        pfs.create_branch(self.branch("ab2"), provenance=(ab,))
        pfs.create_branch(self.branch("b1"), provenance=(b,))
        self.retention = Retention(pfs, 1)
        self._files = itertools.count()

    def branch(self, repo: str, name: str = "master") -> Branch:
        return Branch(Repo(self.project, repo), name)

    def keep(self, repo: str, text: str, name: str = "master") -> None:
        """Set rules; "" takes them away."""
        words = {RETENTION: text} if text else {}
        self.pfs.change(lambda ch: metadata.edit(ch, self.branch(repo, name), lambda _: words))

    def put(
        self, repo: str, data: bytes = b"x", path: str = "", name: str = "master"
    ) -> CommitRecord:
        """A commit with a file more, or another content of one."""
        path = path or f"/{next(self._files)}"
        with self.pfs.blobs.session() as session:
            entry = Entry(path[1:], Kind.FILE, session.put(data), len(data))
            return self.pfs.write(session, Repo(self.project, repo), name, [Put(path, entry)])

    def end_jobs(self, *, error: str = "", most: int = 1 << 30) -> None:
        """Finish what is open, upstream first; the output is a copy of the first input."""
        mine = [c for c in self.commits() if c.finished is None][:most]
        for one in mine:
            self.pfs.change(lambda ch, c=one: self._end(ch, c.commit, error))  # type: ignore[misc]

    def _end(self, ch: Change, name: Commit, error: str) -> None:
        commit = ch.commit(name.repo, name.id)
        branch, id_ = commit.direct_provenance[0]
        source = ch.commit(branch.repo, id_)
        failed = error or source.error
        if not failed:
            commit = commits.set_tree(ch, commit, source.root, source.size, source.files)
        commits.finish_commit(ch, commit, error=failed)

    def commits(self, repo: str = "") -> list[CommitRecord]:
        """Those there are, oldest first."""
        found = self.pfs.meta.select(COMMITS, "WHERE project = ? ORDER BY seq", (self.project,))
        return [c for c in found if repo in ("", c.commit.repo.name)]

    def ids(self, repo: str) -> list[CommitId]:
        return [c.commit.id for c in self.commits(repo)]

    def heads(self) -> dict[Branch, tuple[CommitId | None, Hash | None]]:
        found: dict[Branch, tuple[CommitId | None, Hash | None]] = {}
        for b in self.pfs.meta.all(BRANCHES):
            if b.branch.repo.project == self.project:
                at = b.head and self.pfs.meta.get(COMMITS, Commit(b.branch.repo, b.head))
                found[b.branch] = (b.head, at.root if at else None)
        return found

    def look(self) -> None:
        """Until there is nothing left to do."""
        while self.retention.look():
            pass
        self.retention = Retention(self.pfs, 1)  # forgets what it passed over

    def whole(self) -> None:
        """fsck finds nothing."""
        bad = [f for f in care.fsck(self.pfs) if f.level != "info"]
        assert not bad

    def close(self) -> None:
        """No rules are left for the tests that follow."""
        for branch in rules_of(self.pfs.meta):
            self.pfs.change(lambda ch, b=branch: metadata.edit(ch, b, lambda _: {}))  # type: ignore[misc]


@pytest.fixture
def world(pfs: Pfs) -> Iterator[World]:
    made = World(pfs)
    yield made
    made.close()


def test_the_last_ones_stay_and_what_was_made_from_the_others_goes(world: World) -> None:
    made = [world.put("b").commit.id for _ in range(8)]
    world.end_jobs()
    heads = world.heads()
    world.keep("b", "last 3")
    world.look()
    assert world.ids("b") == world.ids("b1") == made[-3:]
    assert world.heads() == heads
    oldest = world.commits("b")[0]
    assert oldest.parent is None
    assert oldest.files == 6  # the data of those before it are in it
    world.whole()


def test_what_is_in_use_stays(world: World) -> None:
    """Open commits and jobs, heads, the newest success, forks, what another branch keeps."""
    world.keep("b", "last 1")
    first, second = (world.put("b").commit.id for _ in range(2))
    world.look()
    assert world.ids("b") == [first, second]  # jobs of both are open
    world.end_jobs()
    third = world.put("b").commit.id
    world.end_jobs(error="failed")
    world.look()
    assert world.ids("b") == [second, third]  # the next job builds on the second's
    assert world.ids("b1") == [second, third]
    world.pfs.create_branch(world.branch("b", "fork"), head=second)
    world.put("b")
    world.end_jobs()
    world.look()
    assert second in world.ids("b")
    assert third not in world.ids("b")
    world.keep("b1", "all")
    before = world.ids("b1")
    world.put("b")
    world.put("b")
    world.end_jobs()
    world.look()
    assert world.ids("b1")[: len(before)] == before
    assert set(before) <= set(world.ids("b"))
    world.whole()


def test_two_inputs_by_turns(world: World) -> None:
    """What was made from both holds neither back, but where it must stay itself."""
    for _ in range(6):
        world.put("a")
        world.put("b")
        world.end_jobs()
    world.keep("a", "last 2")
    world.look()
    assert len(world.ids("a")) == 2
    assert len(world.ids("b")) == 6  # no rules, a user's
    assert len(world.ids("ab")) == len(world.ids("ab2")) == 4  # those made from the two
    world.keep("b", "last 2")
    world.look()
    assert len(world.ids("b")) == 2
    world.whole()


def test_an_output_may_have_rules_of_its_own(world: World) -> None:
    for _ in range(5):
        world.put("b")
        world.end_jobs()
    world.keep("b1", "last 2")
    world.look()
    assert (len(world.ids("b")), len(world.ids("b1"))) == (5, 2)
    world.put("b")
    world.end_jobs()
    world.whole()
    assert world.heads()[world.branch("b1")][1] == world.heads()[world.branch("b")][1]


def test_one_rule_is_enough_but_a_size_is_a_bound(world: World) -> None:
    for i in range(6):
        world.put("a", bytes([i]) * 1000, "/same")
    world.end_jobs()
    world.keep("a", "last 2, for 1h")
    world.look()
    assert len(world.ids("a")) == 6
    world.keep("a", "for 1h, under 3kB")
    world.look()
    assert len(world.ids("a")) == 3
    world.keep("a", "under 500B")
    world.look()
    assert len(world.ids("a")) == 1
    world.keep("a", "last 1, for 1us")
    world.put("a")
    world.end_jobs()
    world.look()
    assert len(world.ids("a")) == 1


def test_a_head_over_its_bound_is_told(world: World) -> None:
    world.keep("a", "under 500B")
    world.put("a", bytes(501))
    world.retention.look()
    assert "newest commit alone" in world.retention.warnings()[0]
    world.put("a", b"", "/0")
    world.retention.look()
    assert world.retention.warnings() == []


def test_a_trigger_counts_its_commits(world: World) -> None:
    world.pfs.create_branch(world.branch("a", "tenth"), trigger=Trigger("master", commits=10))
    world.keep("a", "last 2")
    for _ in range(9):
        world.put("a")
        world.end_jobs()
        world.look()
    assert world.heads()[world.branch("a", "tenth")][0] is None
    tenth = world.put("a").commit.id
    world.end_jobs()
    world.look()
    assert world.heads()[world.branch("a", "tenth")][0] == tenth
    assert len(world.ids("a")) == 2


def test_sizes_are_the_same_however_they_are_come_by(world: World) -> None:
    """Followed commit by commit, and worked out at once; appended content counts once."""
    draw = random.Random(5)
    followed = Sized(world.pfs, world.branch("a"), lambda: False)
    for _ in range(30):
        world.put("a", draw.randbytes(draw.randrange(1, 400)), f"/{draw.randrange(6)}")
        bound = 2000
        at_once = Sized(world.pfs, world.branch("a"), lambda: False)
        assert followed.oldest_within(bound) == at_once.oldest_within(bound)
        within = [c for c in world.commits("a") if c.seq >= followed.oldest_within(bound)]
        held = {
            entry.hash: entry.size
            for c in within
            for _, entry in world.pfs.trees.files(c.root, "/")
        }
        assert sum(held.values()) <= bound


def test_what_was_planned_is_proven_again(world: World) -> None:
    """A plan is dropped when a commit of it became a head meanwhile, is built upon, or the rules
    are others."""
    first, second, _ = (world.put("a") for _ in range(3))
    world.end_jobs()
    world.keep("a", "last 1")
    rules, newest = rules_of(world.pfs.meta), max(c.seq for c in world.commits())
    made = {c.commit: c for c in world.commits()}
    ab = [Repo(world.project, name) for name in ("ab2", "ab")]

    def with_made(one: CommitRecord) -> list[CommitRecord]:
        return [*(made[Commit(repo, one.commit.id)] for repo in ab), one]

    going = with_made(first)

    def run(with_rules: dict[Branch, Rules]) -> int:
        return sum(
            world.pfs.change(
                lambda ch: squash_group(ch, going, with_rules, newest), solo=True
            ).values()
        )

    assert run({}) == 0
    world.pfs.create_branch(world.branch("a", "fork"), head=first.commit.id)
    assert run(rules) == 0
    world.pfs.delete_branch(world.branch("a", "fork"))
    going = with_made(second)
    opened = world.pfs.start_commit(world.branch("a", "late"), parent=second.commit.id)
    assert run(rules) == 0
    world.pfs.finish_commit(opened.repo, opened.id)
    assert run(rules) == 3
    world.whole()


STEP = st.tuples(
    st.sampled_from(
        [
            "put a",
            "put b",
            "both",
            "jobs",
            "one job",
            "fail",
            "rules",
            "rules",
            "fork",
            "look",
            "look",
        ]
    ),
    st.integers(0, 1000),
)
RULES = ["last 1", "last 2", "last 5", "all", "", "under 3B", "for 1us", "last 3, under 4B"]


@settings(max_examples=many(12), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEP, min_size=8, max_size=30))
def test_whatever_happens_what_stays_is_whole(pfs: Pfs, steps: list[tuple[str, int]]) -> None:
    """Heads and their trees are as they were; nothing names what went; what its own rules keep
    and what a user made on a branch without rules is there; the last N are."""
    world = World(pfs)
    try:
        _play(world, steps)
    finally:
        world.close()


def _play(world: World, steps: list[tuple[str, int]]) -> None:
    for what, number in [*steps, ("jobs", 0), ("look", 0)]:
        repo = (World.INPUTS + World.OUTPUTS)[number % 5]
        if what == "put a" or what == "put b":
            world.put(what[-1], bytes([number % 256]), f"/{number % 3}")
        elif what == "both":
            both = [world.branch(name) for name in World.INPUTS]
            world.pfs.change(lambda ch, b=both: _both(ch, b))  # type: ignore[misc]
        elif what in ("jobs", "fail"):
            world.end_jobs(error="failed" if what == "fail" else "")
        elif what == "one job":
            world.end_jobs(most=1)
        elif what == "rules":
            world.keep(repo, RULES[number % len(RULES)])
        elif what == "fork" and (there := world.commits(repo)):
            at = there[number % len(there)].commit.id
            world.pfs.create_branch(world.branch(repo, f"f{number % 2}"), head=at)
        elif what == "look":
            _looked(world)
    world.whole()


def _both(ch: Change, both: list[Branch]) -> None:
    for branch in both:
        commits.finish_commit(ch, commits.start_commit(ch, branch))


def _looked(world: World) -> None:
    heads, before = world.heads(), world.commits()
    world.look()
    after = world.commits()
    there = {c.commit: c for c in after}
    assert world.heads() == heads
    for c in after:
        assert c.parent is None or Commit(c.commit.repo, c.parent) in there
        assert all(Commit(b.repo, i) in there for b, i in c.direct_provenance)
    rules = {b.repo: r for b, r in rules_of(world.pfs.meta).items()}
    for repo in {c.commit.repo for c in before}:
        mine = [c for c in before if c.commit.repo == repo and c.branch == "master"]
        kept = [c for c in mine if c.commit in there]
        rule = rules.get(repo)
        if rule is not None and rule.last is not None and rule.under is None:
            finished = [c for c in mine if c.finished is not None]
            assert set(c.commit for c in finished[-rule.last :]) <= there.keys()
        elif (rule is not None and rule.everything) or (rule is None and repo.name in World.INPUTS):
            assert kept == mine
        good = [c for c in mine if c.finished is not None and not c.error]
        assert not good or good[-1].commit in there
        assert all(c.commit in there for c in mine if c.finished is None)
