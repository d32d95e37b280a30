"""Keeping the content true and tidy: the mark for the garbage collector, and fsck.

Everything that is named hangs on a root: the tree of a commit, of a job's datums, of a
finished datum, or one being read. The mark walks them once, whatever they share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from pachybox.errors import Corrupt, PachyboxError
from pachybox.meta.tables import ALL, BRANCHES, COMMITS, REPOS
from pachybox.meta.tx import Tx
from pachybox.meta.writer import Meta
from pachybox.model.ids import Branch, Commit, Hash, Repo
from pachybox.model.pfs import BranchRecord, CommitRecord, Origin
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.store.check import Problem, check, repair
from pachybox.store.gc import Collected, collect
from pachybox.store.trees import EMPTY

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of fsck: ``error`` stands, ``fixed`` stood, ``info`` is for reading."""

    level: Literal["info", "error", "fixed"]
    thing: str
    detail: str


ROOT_COLUMNS = (
    ("commits", "root"),
    ("commits", "attributes"),
    ("jobs", "datums"),
    ("datums", "dir"),
    ("uploads", "parts"),
    ("filesets", "root"),
)
"""(table, a column by which its records name a tree)."""
ROOTS = tuple(
    f"SELECT {column} FROM {table} WHERE {column} IS NOT NULL" for table, column in ROOT_COLUMNS
)
"""Not DISTINCT: for that DuckDB would want memory for all of them, without end."""


def named_roots(pfs: Pfs) -> set[Hash]:
    """Every tree that the metadata or a reader names now, whether or not what waits in the
    journal could be brought in: a full disk is when content is to be freed."""
    found = pfs.being_read()
    for table in ALL:
        columns = [table.columns.index(c) for name, c in ROOT_COLUMNS if name == table.name]
        for record in pfs.meta.waiting(table) if columns else ():
            row = table.to_row(record)
            found.update(Hash(row[i]) for i in columns if row[i] is not None)
    # In one statement, so of one state: what goes over from an upload to a commit is in one.
    for rows in pfs.meta.db.pieces(" UNION ALL ".join(ROOTS)):
        found.update(Hash(row[0]) for row in rows)
    found |= pfs.being_read()
    found.discard(EMPTY)
    return found


def live(pfs: Pfs, roots: Iterable[Hash]) -> Iterator[Hash]:
    """The hash of every node and blob reachable from ``roots``, nodes once each. Memory is 16
    bytes of hash a node, as an int in a set. Raises Corrupt when a node cannot be read:
    then nothing may be collected, since what hangs on it is not known."""
    seen: set[int] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        key = int.from_bytes(node[:16], "big")
        if key in seen or node == EMPTY:
            continue
        seen.add(key)
        yield node
        nodes, blobs = pfs.trees.refs(node)
        stack.extend(nodes)
        yield from blobs


def collect_garbage(pfs: Pfs) -> Collected:
    """Free content that nothing names, while the box works."""
    return collect(pfs.blobs, lambda: live(pfs, named_roots(pfs)))


def fsck(pfs: Pfs, *, fix: bool = False) -> Iterator[Finding]:
    """Prove that every commit is readable and every hash true; say what is not.

    ``fix`` repairs what can be: branches whose head is missing go back to the nearest
    commit that exists, missing commits named as parents or provenance get empty
    placeholders, damaged indexes are rebuilt. Lost content cannot be made up: it stays
    an error, named by commit and path.
    """
    errors = 0
    damaged = [*_journal(pfs), *tables(pfs)]
    problems = _store(pfs, fix)
    found = [Finding(_LEVELS[p.level], p.thing, p.detail) for p in problems]
    if not damaged:
        bad = _unreadable(pfs, problems)
        found = [*_metadata(pfs, fix), *found, *commits(pfs, bad)]
    for finding in (*damaged, *found):
        errors += finding.level == "error"
        yield finding
    if damaged:
        return
    count = pfs.meta.db.read("SELECT count(*) FROM commits")[0][0]
    usage = pfs.blobs.usage()
    yield Finding(
        "info",
        "store",
        f"{count} commits, {usage.packs} packs, {usage.objects} objects, "
        f"{usage.bytes} bytes; {errors} errors",
    )


def fsck_quick(pfs: Pfs) -> Iterator[Finding]:
    """Prove that every name of the metadata leads to a record, and that the tree of each branch's
    head begins: what goes wrong when the metadata is not as this program expects it. Takes time
    with the commits, not with the content."""
    found = [*_journal(pfs), *_metadata(pfs, False)]
    heads = 0
    for branch in pfs.meta.all(BRANCHES):
        head = branch.head and pfs.meta.get(COMMITS, Commit(branch.branch.repo, branch.head))
        if not head:
            continue
        heads += 1
        try:
            if head.root != EMPTY:
                pfs.trees.entry(head.root)
        except PachyboxError as e:
            found.append(Finding("error", f"commit {head.commit}:/", e.message))
    yield from found
    yield Finding("info", "metadata", f"{heads} heads; {len(found)} errors")


def _journal(pfs: Pfs) -> Iterator[Finding]:
    """Have the database hold all there is: the rest of the proof reads it alone."""
    try:
        pfs.meta.fold()
    except PachyboxError as e:
        yield Finding("error", "journal of the metadata", str(e))


def tables(pfs: Pfs) -> Iterator[Finding]:
    """Have every row of the metadata read: DuckDB proves the checksum of each block it loads."""
    for table in ALL:
        try:
            pfs.meta.db.read(f"SELECT bit_xor(hash(t)) FROM {table.name} t")
        except PachyboxError as e:
            yield Finding("error", f"table {table.name}", str(e))


def _store(pfs: Pfs, fix: bool) -> list[Problem]:
    problems = list(check(pfs.blobs))
    if fix and any(p.level == "error" for p in problems):
        problems = [*repair(pfs.blobs), *check(pfs.blobs)]
    return problems


def _unreadable(pfs: Pfs, problems: Iterable[Problem]) -> set[Hash]:
    """Content of which the store has no true copy."""
    bad = set()
    for blob in {p.blob for p in problems if p.blob is not None}:
        try:
            pfs.blobs.verify(blob)
        except Corrupt:
            bad.add(blob)
    return bad


_LEVELS: dict[str, Literal["info", "error", "fixed"]] = {
    "info": "info",
    "error": "error",
    "fixed": "fixed",
}


def commits(pfs: Pfs, bad: set[Hash]) -> Iterator[Finding]:
    """Walk every tree: nodes readable, sizes and counts right, content there at its size and
    not among the ``bad``. What several commits share is named with the oldest."""
    proved: set[Hash] = set()
    for repo, id_, root, attributes in pfs.meta.db.read(
        "SELECT project || '/' || repo || CASE type WHEN 'user' THEN '' ELSE '.' || type END, "
        "id, root, attributes FROM commits ORDER BY seq"
    ):
        name = f"commit {repo}@{id_}"
        for path, detail in _tree(pfs, Hash(root), proved, bad):
            yield Finding("error", f"{name}:{path}", detail)
        for path, detail in _tree(pfs, Hash(attributes or EMPTY), proved, bad):
            yield Finding("error", f"S3 attributes of {name}:{path}", detail)
    for id_, root in pfs.meta.db.read("SELECT id, parts FROM uploads WHERE parts IS NOT NULL"):
        for path, detail in _tree(pfs, Hash(root), proved, bad):
            yield Finding("error", f"parts of upload {id_}:{path}", detail)
    for pipeline, id_, root in pfs.meta.db.read(
        "SELECT pipeline, id, datums FROM jobs WHERE datums IS NOT NULL"
    ):
        for path, detail in _tree(pfs, Hash(root), proved, bad):
            yield Finding("error", f"datums of job {pipeline}@{id_}:{path}", detail)
    for id_, root in pfs.meta.db.read("SELECT id, root FROM filesets"):
        for path, detail in _tree(pfs, Hash(root), proved, bad):
            yield Finding("error", f"fileset {id_}:{path}", detail)


def _tree(pfs: Pfs, root: Hash, proved: set[Hash], bad: set[Hash]) -> Iterator[tuple[str, str]]:
    """(path, trouble) of one tree; subtrees already proved are not walked again."""
    stack: list[tuple[str, Hash, tuple[int, int] | None]] = [("/", root, None)]
    while stack:
        path, node, told = stack.pop()
        if node == EMPTY:
            continue
        if node in bad:
            yield path, f"the directory {node.hex()} is corrupt"
            continue
        try:
            whole = pfs.trees.entry(node)
            if told is not None and told != (whole.size, whole.count):
                yield path, f"says {told}, holds {(whole.size, whole.count)} bytes and files"
            if node in proved:
                continue
            proved.add(node)
            size = count = 0
            base = "" if path == "/" else path
            for entry in pfs.trees.list(node):
                where = f"{base}/{entry.name}"
                size += entry.size
                count += entry.count
                if entry.is_dir:
                    stack.append((where, entry.hash, (entry.size, entry.count)))
                    continue
                held = sum(s.length for s in pfs.content.segments(entry))
                if held != entry.size:
                    yield where, f"says {entry.size} bytes, its segments hold {held}"
                for segment in pfs.content.segments(entry):
                    have = pfs.blobs.size(segment.hash)
                    if segment.hash in bad:
                        yield where, f"content {segment.hash.hex()} is corrupt"
                    elif have is None:
                        yield where, f"content {segment.hash.hex()} is missing"
                    elif have < segment.offset + segment.length:
                        yield where, f"content {segment.hash.hex()} is too short"
            if (size, count) != (whole.size, whole.count):
                yield path, "the sums of sizes and counts do not add up"
        except PachyboxError as e:
            yield path, e.message


def _metadata(pfs: Pfs, fix: bool) -> Iterator[Finding]:
    """Heads, parents, provenance: every name must lead to a record.

    race: the box works on, and what is read here one after another is of several moments. So what
    seems to lack something is looked at again, all of it between two changes.
    """
    have = {
        Commit(Repo(p, r, t), i)
        for i, p, r, t in pfs.meta.db.read("SELECT id, project, repo, type FROM commits")
    }
    missing: dict[Commit, str] = {}
    for commit in pfs.meta.select(COMMITS, "ORDER BY seq"):
        for name, why in _named(commit):
            if name not in have and name not in missing and _lost(pfs, name, commit):
                missing[name] = f"{why} of {commit.commit}"
        if pfs.meta.get(REPOS, commit.commit.repo) is None and _homeless(pfs, commit.commit):
            yield Finding("error", f"commit {commit.commit}", "its repo does not exist")
    for commit_name, why in missing.items():
        yield from _placeholder(pfs, commit_name, why, fix)
    for record in pfs.meta.all(BRANCHES):
        yield from _branch(pfs, record, have, fix)


def _between(pfs: Pfs, look: Callable[[Meta | Tx], T]) -> T:
    """What ``look`` sees between two changes. Where none can be made, there is none to wait for."""
    try:
        return pfs.meta.write(look, quick=True)
    except PachyboxError:
        return look(pfs.meta)


def _named(commit: CommitRecord) -> Iterator[tuple[Commit, str]]:
    """The commits that one names, and as what."""
    if commit.parent is not None:
        yield Commit(commit.commit.repo, commit.parent), "parent"
    for branch, id_ in commit.direct_provenance:
        yield Commit(branch.repo, id_), "provenance"


def _lost(pfs: Pfs, name: Commit, by: CommitRecord) -> bool:
    """Whether ``name`` is not there, and named by a commit still."""

    def look(at: Meta | Tx) -> bool:
        now = at.get(COMMITS, by.commit)
        named = now is not None and any(name == other for other, _ in _named(now))
        return named and at.get(COMMITS, name) is None

    return _between(pfs, look)


def _homeless(pfs: Pfs, commit: Commit) -> bool:
    """Whether a commit is there without its repo."""
    return _between(
        pfs, lambda at: at.get(COMMITS, commit) is not None and at.get(REPOS, commit.repo) is None
    )


def _placeholder(pfs: Pfs, commit: Commit, why: str, fix: bool) -> Iterator[Finding]:
    thing = f"commit {commit}"
    if pfs.meta.get(REPOS, commit.repo) is None:
        if not fix:
            yield Finding("error", thing, f"{why}: deleted with its repo")
        return
    if not fix:
        yield Finding("error", thing, f"missing: {why}")
        return

    def make(ch: Change) -> None:
        record = CommitRecord(
            commit, "", None, Origin.FSCK, "placeholder made by fsck",
            ch.graph.next_seq(), ch.now, ch.now, "", EMPTY, 0, 0, (),
        )  # fmt: skip
        ch.tx.put(COMMITS, record)

    pfs.change(make)
    yield Finding("fixed", thing, f"empty placeholder made: {why}")


def _branch(pfs: Pfs, record: BranchRecord, have: set[Commit], fix: bool) -> Iterator[Finding]:
    thing, repo = f"branch {record.branch}", record.branch.repo
    whole = record.head is None or Commit(repo, record.head) in have
    if whole and all(pfs.meta.get(BRANCHES, b) is not None for b in record.direct_provenance):
        return
    now, lost, gone = _between(pfs, lambda at: _lacking(at, record))
    if lost:
        if not fix:
            yield Finding("error", thing, f"its head {now.head} does not exist")
        else:
            newest = pfs.meta.select(
                COMMITS,
                "WHERE project = ? AND repo = ? AND type = ? AND branch = ? "
                "ORDER BY seq DESC LIMIT 1",
                (repo.project, repo.name, repo.type, record.branch.name),
            )
            head = newest[0].commit.id if newest else None
            lost_head, now = now.head, replace(now, head=head)
            _save(pfs, now)
            yield Finding("fixed", thing, f"head {lost_head} is lost; moved to {head}")
    if gone:
        names = ", ".join(str(b) for b in gone)
        if not fix:
            yield Finding("error", thing, f"its provenance {names} does not exist")
        else:
            left = tuple(b for b in now.direct_provenance if b not in gone)
            _save(pfs, replace(now, direct_provenance=left))
            yield Finding("fixed", thing, f"{names} taken out of its provenance")


def _lacking(at: Meta | Tx, record: BranchRecord) -> tuple[BranchRecord, bool, list[Branch]]:
    """A branch as it is now, whether its head is lost, and the branches of its provenance that
    are; nothing of one that went."""
    now = at.get(BRANCHES, record.branch)
    if now is None:
        return record, False, []
    lost = now.head is not None and at.get(COMMITS, Commit(now.branch.repo, now.head)) is None
    return now, lost, [b for b in now.direct_provenance if at.get(BRANCHES, b) is None]


def _save(pfs: Pfs, record: BranchRecord) -> None:
    def change(ch: Change) -> None:
        ch.tx.put(BRANCHES, record)
        ch.graph.stale = True

    pfs.change(change)
