"""Reading objects: one by its key, and lists in the order of their keys' bytes.

A tree's own order is that of whole keys, since a directory counts as its name and a slash, so
a list is a walk; markers are merged in. Cost follows the page, wherever it begins.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator

from pachybox.meta.tables import BRANCHES, COMMITS
from pachybox.model.files import Entry, Kind
from pachybox.model.ids import Commit, CommitId, Hash, is_commit_id
from pachybox.model.pfs import CommitRecord
from pachybox.pfs.change import View
from pachybox.pfs.object_attributes import (
    OBJECTS,
    decode,
    marker_directory,
    marker_path,
    markers,
)
from pachybox.pfs.object_types import (
    Attributes,
    Bucket,
    FileSlice,
    InvalidKey,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    ObjectInfo,
    Page,
    path_of,
)
from pachybox.pfs.read import File
from pachybox.pfs.service import Pfs
from pachybox.store.transfer import CHUNK, ReadAhead
from pachybox.store.trees import EMPTY, Trees

_NOTHING = Attributes()
_LAST = "\U0010ffff"  # behind every key that goes on from here
_SLICE = 16 * CHUNK


def present_commit(view: View, bucket: Bucket) -> CommitRecord | None:
    """The commit a bucket shows: its own, or the branch's head; of what a job is still filling
    the newest that is whole. None: nothing was ever put. NoSuchBucket."""
    if bucket.commit:
        found = view.get(COMMITS, Commit(bucket.repo, CommitId(bucket.commit)))
        if found is None:
            raise NoSuchBucket(f"bucket {bucket.name} not found")
    else:
        branch = view.get(BRANCHES, bucket.at)
        if branch is None:
            raise NoSuchBucket(f"bucket {bucket.name} not found")
        if branch.head is None:
            return None
        found = view.get(COMMITS, Commit(bucket.repo, branch.head))
    while found is not None and found.finished is None and found.direct_provenance:
        parent = found.parent
        found = None if parent is None else view.get(COMMITS, Commit(bucket.repo, parent))
    return found


def make_info(
    commit: CommitRecord,
    key: str,
    entry: Entry,
    said: Entry | None,
    read: Callable[[Hash], bytes] | None,
) -> ObjectInfo:
    """An object from what the two trees of ``commit`` have; see object_attributes.decode."""
    known = decode(said, entry.hash, read)
    file = File(commit, "/" + key.removesuffix("/"), entry)
    if known is None:
        when = commit.finished or commit.started
        return ObjectInfo(key, entry.size, when, commit.commit.id, _NOTHING, entry.hash.hex(), file)
    etag = known.attributes.etag or entry.hash.hex()
    return ObjectInfo(key, entry.size, known.modified, known.version, known.attributes, etag, file)


NO_CONTENT = Entry("", Kind.FILE, Hash(bytes(32)), 0)
"""The content of a marker: none, under a name that no content has."""


class ObjectReader:
    """Reads of objects over one Pfs."""

    def __init__(self, pfs: Pfs) -> None:
        self.pfs = pfs

    def commit(self, bucket: Bucket, version: str = "") -> CommitRecord | None:
        """The commit to read; None when the branch has none."""
        if not version:
            return present_commit(self.pfs.meta, bucket)
        found = None
        if is_commit_id(version):
            found = self.pfs.meta.get(COMMITS, Commit(bucket.repo, CommitId(version)))
        if (
            found is None
            or (found.finished is None and found.direct_provenance)
            or (found.branch != bucket.branch and not self._behind(bucket, found))
        ):
            raise NoSuchVersion(f"version {version[:80]} not found in bucket {bucket.name}")
        return found

    def _behind(self, bucket: Bucket, commit: CommitRecord) -> bool:
        """Whether a commit made on another branch is in the history of the bucket's."""
        at = present_commit(self.pfs.meta, bucket)
        while at is not None and at.seq >= commit.seq:
            if at.commit == commit.commit:
                return True
            above = at.parent
            at = None if above is None else self.pfs.meta.get(COMMITS, Commit(bucket.repo, above))
        return False

    def get(self, bucket: Bucket, key: str, version: str = "") -> ObjectInfo:
        """One object; NoSuchKey, NoSuchVersion."""
        commit = self.commit(bucket, version)
        info = None if commit is None else self.look(commit, key)
        if info is None:
            raise NoSuchKey(f"key {key[:200]} not found in bucket {bucket.name}")
        return info

    def look(self, commit: CommitRecord, key: str) -> ObjectInfo | None:
        """The object of ``commit``, None when it has none of that key."""
        try:
            path = path_of(key)
        except InvalidKey:
            return None
        return look(
            self.pfs.trees, commit, commit.root, commit.attributes, key, path, self.pfs.blobs.get
        )

    # ---- content

    def read(
        self, info: ObjectInfo, offset: int = 0, length: int | None = None
    ) -> Iterator[bytes | FileSlice]:
        """See Objects.read."""
        entry = info.file.entry
        length = entry.size - offset if length is None else min(length, entry.size - offset)
        if length <= 0:
            return
        with self.pfs.reading(info.file.commit.root):
            for piece in self.pfs.content.pieces(entry, offset, length):
                if piece.length > CHUNK and self.pfs.blobs.locate(piece.hash).whole:
                    yield from self._slices(piece.hash, piece.offset, piece.length)
                else:
                    yield from self.pfs.content.read_piece(piece)

    def _slices(self, h: Hash, offset: int, length: int) -> Iterator[FileSlice]:
        """A range of an object, each slice proven before it is given."""
        found = self.pfs.blobs.objects.open(h)
        assert found is not None
        fd = os.dup(found.file.fd)
        end = offset + length
        ahead = ReadAhead(fd, offset + _SLICE, end)
        try:
            for at in range(offset, end, _SLICE):
                ahead.come(at)
                to = min(at + _SLICE, end)
                self.pfs.blobs.objects.prove(h, found, at, to - at)
                yield FileSlice(fd, at, to - at, _nothing)
        finally:
            ahead.close()
            os.close(fd)

    # ---- lists

    def list(self, bucket: Bucket, prefix: str, delimiter: str, after: str, limit: int) -> Page:
        """See Objects.list."""
        commit = self.commit(bucket)
        if commit is None or limit <= 0:
            return Page([], [], False, "")
        objects: list[ObjectInfo] = []
        prefixes: list[str] = []
        attributes = commit.attributes or EMPTY
        said = self.pfs.trees.lookup(attributes) if attributes != EMPTY else None
        last = ""
        with self.pfs.reading(commit.root), self.pfs.reading(attributes):
            for key, entry, mark in keys(
                self.pfs.trees, commit.root, attributes, prefix, delimiter, after
            ):
                if len(objects) + len(prefixes) == limit:
                    return Page(objects, prefixes, True, last)
                last = key
                if entry is None:
                    prefixes.append(key)
                    continue
                if mark is None and said is not None:
                    mark = said(OBJECTS + key)
                objects.append(make_info(commit, key, entry, mark, None))
        return Page(objects, prefixes, False, "")


def look(
    trees: Trees,
    commit: CommitRecord,
    root: Hash,
    attributes: Hash | None,
    key: str,
    path: str,
    read: Callable[[Hash], bytes] | None,
) -> ObjectInfo | None:
    """The object ``key`` (its path: ``path``) in a tree and its attributes."""
    if key.endswith("/"):
        said = trees.get(attributes, marker_path(path)) if attributes is not None else None
        return None if said is None else make_info(commit, key, NO_CONTENT, said, read)
    entry = trees.get(root, path)
    if entry is None or entry.is_dir:
        return None
    said = trees.get(attributes, OBJECTS + path[1:]) if attributes is not None else None
    return make_info(commit, key, entry, said, read)


def _nothing() -> None:
    pass


Found = tuple[str, Entry | None, Entry | None]
"""(key, content, what is said of a marker); a common prefix has neither."""


def keys(
    trees: Trees, root: Hash, attributes: Hash, prefix: str, delimiter: str, after: str
) -> Iterator[Found]:
    """Keys and common prefixes behind ``after``, in order, each once."""
    if prefix.startswith("/") or "//" in prefix or "\0" in prefix:
        return  # a path has no empty names, and no NUL
    if delimiter == "/":
        yield from _one_directory(trees, root, attributes, prefix, after)
        return
    if not delimiter:
        yield from _all_keys(trees, root, attributes, prefix, after)
        return
    while True:
        for key, entry, mark in _all_keys(trees, root, attributes, prefix, after):
            at = key.find(delimiter, len(prefix))
            if at < 0:
                yield key, entry, mark
                continue
            common = key[: at + len(delimiter)]
            if common != after:
                yield common, None, None
            after = common + _LAST
            break
        else:
            return


def _all_keys(
    trees: Trees, root: Hash, attributes: Hash, prefix: str, after: str
) -> Iterator[Found]:
    files = _files(trees, root, prefix, after)
    if trees.get(attributes, marker_directory("/")) is None:
        yield from files
        return
    marked: Iterator[Found] = (
        (key, NO_CONTENT, said) for key, said in markers(trees, attributes, prefix, after)
    )
    yield from heapq.merge(files, marked, key=_key)


def _key(found: Found) -> str:
    return found[0]


def _files(trees: Trees, root: Hash, prefix: str, after: str) -> Iterator[Found]:
    base, slash, name = prefix.rpartition("/")
    base += slash
    directory = _directory(trees, root, "/" + base)
    if directory is None or after > prefix + _LAST:
        return
    start = max(after, base + _in_front(name))[len(base) :]
    for key, entry in trees.files(directory, base, start):
        if not key.startswith(prefix):
            return
        yield key, entry, None


def _in_front(name: str) -> str:
    """A place in front of all names that begin with ``name``, and behind all others that
    are in front of them."""
    return name[:-1] + chr(ord(name[-1]) - 1) + _LAST if name else ""


def _directory(trees: Trees, root: Hash, path: str) -> Hash | None:
    found = trees.get(root, path)
    return found.hash if found is not None and found.is_dir else None


def _one_directory(
    trees: Trees, root: Hash, attributes: Hash, prefix: str, after: str
) -> Iterator[Found]:
    """The names of one directory: files, and what is below it as common prefixes."""
    base, slash, name = prefix.rpartition("/")
    base += slash
    directory = "/" + base.removesuffix("/")
    seek = _seek(base, after)
    if seek is None:
        return
    seek = max(seek, _in_front(name))
    files = _names(trees, root, directory, base, seek)
    where = marker_directory(directory)
    if _directory(trees, attributes, where) is None:
        merged: Iterator[Found] = files
    else:
        marked = (
            (base + key[1:], entry, said)
            for key, entry, said in _names(trees, attributes, where, "", seek and f"+{seek}")
            if key != "*"
        )
        own: list[Found] = []
        if base and not name and base > after:
            said = trees.get(attributes, f"{where}/*")
            own = [(base, NO_CONTENT, said)] if said is not None else []
        merged = _once(heapq.merge(own, files, marked, key=_key))
    for key, entry, said in merged:
        if key.startswith(prefix):
            if key > after or (entry is None and _goes_on(trees, root, attributes, key, after)):
                yield key, entry, said
        elif key > prefix:
            return


def _seek(base: str, after: str) -> str | None:
    """The name in the directory ``base`` in front of which nothing is wanted, with a slash when it
    is a directory's; None when nothing is behind ``after`` there."""
    if not after or after < base:
        return ""
    if not after.startswith(base):
        return None
    name, slash, _ = after[len(base) :].partition("/")
    return name + slash


def _names(trees: Trees, root: Hash, directory: str, base: str, seek: str) -> Iterator[Found]:
    inside = _directory(trees, root, directory)
    if inside is None:
        return
    if seek.endswith("/") and _directory(trees, inside, f"/{seek}") is not None:
        yield base + seek, None, None  # there may be something behind `after` in it
    for entry in trees.names(inside, seek):
        if entry.is_dir:
            yield f"{base}{entry.name}/", None, None
        else:
            yield base + entry.name, entry, None


def _once(found: Iterator[Found]) -> Iterator[Found]:
    last = None
    for one in found:
        if one[0] != last:
            yield one
        last = one[0]


def _goes_on(trees: Trees, root: Hash, attributes: Hash, common: str, after: str) -> bool:
    """Whether a key that begins with ``common`` is behind ``after``, which lies in it."""
    if after == common or not after.startswith(common):
        return False
    return next(_all_keys(trees, root, attributes, common, after), None) is not None
