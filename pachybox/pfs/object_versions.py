"""Versions of objects: each commit that changed a key made one.

What changed is found by comparing each commit with its parent, once: the result is kept for a
few branches and followed on as they grow. It goes back ``COMMITS`` commits or ``CHANGES`` changes;
what is in the tree there counts as one version each, and older ones are read by their id alone.
A page costs what is on it.
"""

from __future__ import annotations

import heapq
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from pachybox.meta.tables import COMMITS
from pachybox.model.files import Entry
from pachybox.model.ids import Branch, Commit, Hash
from pachybox.model.pfs import CommitRecord
from pachybox.pfs.object_attributes import MARKERS, OBJECTS, decode
from pachybox.pfs.object_read import NO_CONTENT, ObjectReader, keys, make_info
from pachybox.pfs.object_types import Attributes, Bucket, ObjectInfo, VersionPage
from pachybox.pfs.read import File
from pachybox.store.trees import EMPTY

MOST_COMMITS = 10_000
MOST_CHANGES = 200_000
_BRANCHES = 8
_LAST = "\U0010ffff"

Change = tuple[CommitRecord, Entry | None, Entry | None]
"""(commit, content or None when it was removed, what is said of it)."""


@dataclass(slots=True)
class _History:
    """What changed by key, newest first, in front of ``horizon``."""

    horizon: CommitRecord
    changes: dict[str, list[Change]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    commits: int = 0
    taken_out: int = 0  # Pfs.taken_out by then: what was squashed is in the next commit now


class Versions:
    """Lists of versions over one reader."""

    def __init__(self, reader: ObjectReader) -> None:
        self._reader = reader
        self._pfs = reader.pfs
        self._known: OrderedDict[Branch, tuple[Commit, _History]] = OrderedDict()
        self._lock = threading.Lock()

    def page(
        self, bucket: Bucket, prefix: str, delimiter: str, key_marker: str, version_marker: str,
        limit: int,
    ) -> VersionPage:  # fmt: skip
        """See Objects.versions."""
        head = self._reader.commit(bucket)
        if head is None or limit <= 0:
            return VersionPage([], [], False, "", "")
        with self._lock:
            history = self._history(bucket, head)
        found: list[ObjectInfo] = []
        prefixes: list[str] = []
        last = ("", "")
        for key, version in self._all(history, prefix, delimiter, key_marker, version_marker):
            if len(found) + len(prefixes) == limit:
                return VersionPage(found, prefixes, True, *last)
            if version is None:
                prefixes.append(key)
                last = (key, "")
            else:
                found.append(version)
                last = (key, version.version)
        return VersionPage(found, prefixes, False, "", "")

    # ---- one list

    def _all(
        self, history: _History, prefix: str, delimiter: str, key_marker: str, version_marker: str
    ) -> Iterator[tuple[str, ObjectInfo | None]]:
        after = key_marker
        if version_marker and key_marker.startswith(prefix):
            passed = False
            for version in self._of(history, key_marker, self._base(history, key_marker)):
                if passed:
                    yield key_marker, version
                passed = passed or version.version == version_marker
        while True:
            for key, base in self._keys(history, prefix, after):
                at = key.find(delimiter, len(prefix)) if delimiter else -1
                if at >= 0:
                    common = key[: at + len(delimiter)]
                    if common != after:
                        yield common, None
                    after = common + _LAST
                    break
                for version in self._of(history, key, base):
                    yield key, version
            else:
                return

    def _keys(
        self, history: _History, prefix: str, after: str
    ) -> Iterator[tuple[str, ObjectInfo | None]]:
        """Every key that has a version, with the one it has at the horizon."""
        horizon = history.horizon
        base = (
            (key, self._reader.look(horizon, key))
            for key, _, _ in keys(
                self._pfs.trees, horizon.root, horizon.attributes or EMPTY, prefix, "", after
            )
        )
        last = None
        for key, info in heapq.merge(base, self._changed(history, prefix, after), key=_key):
            if key != last:  # of two the first is the horizon's
                last = key
                yield key, info

    def _changed(
        self, history: _History, prefix: str, after: str
    ) -> Iterator[tuple[str, ObjectInfo | None]]:
        start = bisect_right(history.keys, after) if after >= prefix else 0
        if prefix > after:
            start = bisect_right(history.keys, prefix)
            start -= start > 0 and history.keys[start - 1] == prefix
        for i in range(start, len(history.keys)):
            key = history.keys[i]
            if not key.startswith(prefix):
                return
            yield key, None

    def _base(self, history: _History, key: str) -> ObjectInfo | None:
        return self._reader.look(history.horizon, key)

    def _of(self, history: _History, key: str, base: ObjectInfo | None) -> Iterator[ObjectInfo]:
        """The versions of one key, newest first."""
        latest = True
        for commit, entry, said in history.changes.get(key, ()):
            yield _version(commit, key, entry, said, latest)
            latest = False
        if base is not None:
            yield replace(base, latest=latest)

    # ---- history

    def _history(self, bucket: Bucket, head: CommitRecord) -> _History:
        """The history up to ``head``; that of finished commits is kept."""
        parent = self._parent(head) if head.finished is None else None
        if parent is not None:
            before = self._finished(bucket.at, parent)
            history = _History(before.horizon, dict(before.changes), [], before.commits)
            self._add(history, head, parent)
            history.keys = sorted(history.changes)
            return history
        return self._finished(bucket.at, head)

    def _finished(self, branch: Branch, head: CommitRecord) -> _History:
        known, taken_out = self._known.get(branch), self._pfs.taken_out(branch.repo)
        if known is not None and (
            known[1].commits > 2 * MOST_COMMITS or known[1].taken_out != taken_out
        ):
            known = None
        newer: list[tuple[CommitRecord, CommitRecord]] = []
        history: _History | None = None
        commit = head
        count = 0
        while len(newer) < MOST_COMMITS:
            if known is not None and commit.commit == known[0]:
                history = known[1]
                break
            parent = self._parent(commit)
            if parent is None:
                break
            count += 1 + abs(commit.files - parent.files)  # what is cheaply known of it
            if count > MOST_CHANGES:
                break
            newer.append((commit, parent))
            commit = parent
        if history is None:
            history = _History(commit, taken_out=taken_out)
        if newer:
            for one, before in reversed(newer):
                self._add(history, one, before)
            history.keys = sorted(history.changes)
        self._known[branch] = (head.commit, history)
        self._known.move_to_end(branch)
        while len(self._known) > _BRANCHES:
            self._known.popitem(last=False)
        return history

    def _parent(self, commit: CommitRecord) -> CommitRecord | None:
        if commit.parent is None:
            return None
        return self._pfs.meta.get(COMMITS, Commit(commit.commit.repo, commit.parent))

    def _add(self, history: _History, commit: CommitRecord, parent: CommitRecord) -> None:
        """Note what ``commit`` changed."""
        trees = self._pfs.trees
        said, before = commit.attributes or EMPTY, parent.attributes or EMPTY
        changed: dict[str, Change] = {}
        for change in trees.diff(parent.root, commit.root):
            old, new = change.old, change.new
            if (new is None or new.is_dir) and (old is None or old.is_dir):
                continue
            entry = None if new is None or new.is_dir else new
            known = None if entry is None else trees.get(said, OBJECTS + change.path[1:])
            changed[change.path[1:]] = (commit, entry, known)
        for change in trees.diff(before, said) if said != before else ():
            new = change.new
            if (new or change.old) is None or (new or change.old or NO_CONTENT).is_dir:
                continue
            if change.path.startswith(MARKERS + "/"):
                key = change.path[len(MARKERS) : -1].replace("/+", "/")[1:]
                changed[key] = (commit, NO_CONTENT if new is not None else None, new)
                continue
            path = "/" + change.path[len(OBJECTS) :]
            entry = trees.get(commit.root, path) if new is not None else None
            if entry is not None and not entry.is_dir and _belongs(new, entry.hash):
                changed.setdefault(path[1:], (commit, entry, new))
        for key, one in changed.items():
            history.changes[key] = [one, *history.changes.get(key, ())]
        history.commits += 1


def _belongs(said: Entry | None, content: Hash) -> bool:
    return decode(said, content, None) is not None


def _key(one: tuple[str, ObjectInfo | None]) -> str:
    return one[0]


def _version(
    commit: CommitRecord, key: str, entry: Entry | None, said: Entry | None, latest: bool
) -> ObjectInfo:
    if entry is None:
        when = commit.finished or commit.started
        file = File(commit, "/" + key.removesuffix("/"), NO_CONTENT)
        return ObjectInfo(
            key, 0, when, commit.commit.id, Attributes(), "", file, latest, deleted=True
        )
    info = make_info(commit, key, entry, said, None)
    return replace(info, version=commit.commit.id, latest=latest)
