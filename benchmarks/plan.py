"""What planning costs: all datums of an input, and what one changed file makes of them.

In this process and with the blobs in a dict, so that the figures are the planner's own, ids and
hashes of the datums included; seconds are of the processor. Beside them stands the bare walk of
the same trees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from statistics import median
from time import process_time
from typing import Any

from benchmarks.harness import below, label, note, scaled
from benchmarks.trees import Memory, entry
from pachybox.model.files import Put
from pachybox.model.ids import Branch, CommitId, Hash, Repo
from pachybox.pps import algebra
from pachybox.pps.algebra import Combination, Indexes, Node
from pachybox.pps.planner import to_datum
from pachybox.store.trees import EMPTY, Trees

ROUNDS = 5


class Case:
    """Trees of an input, its plan, and commits of one changed file."""

    def __init__(self, given: dict[str, Any], **files: int) -> None:
        """``files``: how many there are in each repo."""
        self.memory = Memory()
        self.trees = Trees(self.memory.get)
        self.node: Node = algebra.parse(given)
        self.cache = Indexes()
        self.serial = count()
        self.roots: dict[Branch, tuple[CommitId, Hash] | None] = {}
        for repo, number in files.items():
            puts = [Put(f"/{i:07}-{repo}", entry(i, repo)) for i in range(number)]
            root = self.trees.edit(EMPTY, puts, self.memory.put)
            self.roots[branch(repo)] = (CommitId(f"{repo}0"), root)
        self.commits = {at: CommitId("c") for at in self.roots}

    def datums(self, made: Iterable[Combination]) -> int:
        """Make the datums one after the other, as a job does; how many there are."""
        return sum(1 for c in made if to_datum(c, self.commits, "salt"))

    def walk(self) -> float:
        """Seconds of a bare walk of all trees."""
        return timed(
            lambda: [sum(1 for _ in self.trees.walk(at[1])) for at in self.roots.values() if at]
        )

    def whole(self) -> int:
        """Plan all datums; how many there are."""
        return self.datums(algebra.whole(self.node, self.roots, self.trees, self.cache))

    def change(self, repo: str) -> tuple[float, int]:
        """Seconds to plan after one file of ``repo`` changed, and how many datums are new."""
        at = self.roots[branch(repo)]
        assert at is not None
        number = next(self.serial)
        put = Put(f"/{number:07}-{repo}", entry(number, "new"))
        root = self.trees.edit(at[1], [put], self.memory.put)
        before, self.roots = self.roots, self.roots | {branch(repo): (CommitId("c"), root)}
        begin = process_time()
        made = algebra.delta(self.node, before, self.roots, self.trees, self.cache)
        assert made is not None
        gone = sum(1 for _ in made.removed)
        new = self.datums(made.added)
        seconds = process_time() - begin
        assert gone == new
        return seconds, new


def branch(repo: str) -> Branch:
    """The branch of an input."""
    return Branch(Repo("default", repo), "master")


def leaf(repo: str, glob: str = "/*", **more: str) -> dict[str, Any]:
    """An input."""
    one = {"name": repo, "project": "default", "repo": repo, "branch": "master", "glob": glob}
    return {"pfs": one | more}


def timed(work: Callable[[], object]) -> float:
    """Processor seconds of one run."""
    begin = process_time()
    work()
    return process_time() - begin


def after_one_change(case: Case, repo: str, name: str, most: float, walk: float) -> int:
    """The row of a plan by difference; how many datums were new."""
    case.change(repo)  # the indexes are there
    rounds = [case.change(repo) for _ in range(ROUNDS)]
    seconds = median(seconds for seconds, _ in rounds)
    below(name, seconds, "s", most, f"bare walk of the trees {walk:.3g} s")
    return rounds[0][1]


def plain() -> None:
    """One input, a datum for each file."""
    files = scaled(1_000_000, 1000)
    note(f"plan: {label(files)} files")
    case = Case(leaf("a"), a=files)
    walk = case.walk()
    after_one_change(case, "a", f"plan: glob /* on {label(files)}, one changed", 0.02, walk)
    files = scaled(100_000, 100)
    case = Case(leaf("a"), a=files)
    walk = case.walk()
    seconds = timed(case.whole)
    below(f"plan: glob /* on {label(files)}, all", seconds, "s", 2, f"bare walk {walk:.3g} s")


def cross() -> None:
    """Two sides multiplied."""
    side = scaled(1000, 10)
    note(f"plan: cross of {label(side)} and {label(side)}")
    case = Case({"cross": [leaf("a"), leaf("b")]}, a=side, b=side)
    name = f"plan: cross of {label(side)} x {label(side)}, one changed"
    new = after_one_change(case, "a", name, 0.3, case.walk())
    below(f"{name}: datums touched", new, "datums", side)


def join() -> None:
    """Two sides, a key for each file."""
    files = scaled(100_000, 100)
    note(f"plan: join of {label(files)} and {label(files)}")
    sides = [leaf(repo, "/(*)-?", join_on="$1") for repo in "ab"]
    case = Case({"join": sides}, a=files, b=files)
    walk = case.walk()
    name = f"plan: join of {label(files)} and {label(files)}"
    seconds = timed(case.whole)
    below(f"{name}, all", seconds, "s", 3, f"bare walk of the trees {walk:.3g} s")
    after_one_change(case, "b", f"{name}, one changed", 0.3, walk)


def main() -> None:
    """Print all rows."""
    plain()
    cross()
    join()


if __name__ == "__main__":
    main()
