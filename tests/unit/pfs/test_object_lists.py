"""Lists of objects and versions against a model that sorts everything there ever was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pachybox.meta.writer import Meta
from pachybox.model.files import Entry, Kind
from pachybox.pfs.object_types import Attributes, Bucket, InvalidKey, ObjectInfo
from pachybox.pfs.objects import Objects
from pachybox.pfs.read import Reader
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import PutFile, RemoveFile
from pachybox.store.blobs import BlobStore
from pachybox.store.trees import EMPTY
from tests.examples import many


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Objects]:
    home = tmp_path_factory.mktemp("objects")
    blobs = BlobStore.open(Path(home) / "store")
    meta = Meta(Path(home) / "meta.duckdb")  # nothing of it must last
    pfs = Pfs(meta, blobs)
    yield Objects(pfs, Reader(pfs))
    meta.close()
    blobs.close()


# names that lie around the slash, and one that is the end of another
_NAMES = st.sampled_from(["a", "b", "a-", "a0", "a!", "aé", "+", "*", "ab"])
_KEYS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)
_MARKERS = _KEYS.map(lambda key: key + "/")
_DATA = st.sampled_from([b"1", b"2"])
_OPS = st.one_of(
    st.tuples(st.just("put"), st.one_of(_KEYS, _MARKERS), _DATA),
    st.tuples(st.just("delete"), st.one_of(_KEYS, _MARKERS), st.none()),
    st.tuples(st.just("door"), _KEYS, _DATA),
    st.tuples(st.just("remove"), _KEYS.filter(lambda key: "*" not in key), st.none()),
)
_PREFIX = st.sampled_from(["", "a", "a/", "a/b", "a-", "a/a/", "b/"])
_DELIMITER = st.sampled_from(["", "/", "a", "-", "a/"])


@dataclass
class Model:
    """Every state there was, with the version that made each."""

    now: dict[str, bytes] = field(default_factory=dict)
    history: dict[str, list[tuple[str, bytes | None]]] = field(default_factory=dict)

    def set(self, key: str, data: bytes | None, version: str) -> None:
        if data is None:
            del self.now[key]
        else:
            self.now[key] = data
        self.history.setdefault(key, []).insert(0, (version, data))

    def list(self, prefix: str, delimiter: str, after: str) -> list[str]:
        return _rolled(self.now, prefix, delimiter, after)

    def versions(self, prefix: str, delimiter: str) -> list[tuple[str, str, bool]]:
        found = []
        for name in _rolled(self.history, prefix, delimiter, ""):
            if name in self.history and not (delimiter and delimiter in name[len(prefix) :]):
                found += [(name, v, data is None) for v, data in self.history[name]]
            else:
                found.append((name, "", False))
        return found


def _rolled(keys: object, prefix: str, delimiter: str, after: str) -> list[str]:
    found = []
    for key in sorted(keys, key=str.encode):  # type: ignore[call-overload]
        if not key.startswith(prefix) or key <= after:
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        name = key if at < 0 else key[: at + len(delimiter)]
        if name != after and name not in found:
            found.append(name)
    return found


def _put(objects: Objects, bucket: Bucket, key: str, data: bytes) -> ObjectInfo:
    with objects.intake() as intake:
        intake.write(b"" if key.endswith("/") else data)
        stored = intake.finish()
        etag = stored.digests["md5"].hex()
        return objects.put(bucket, key, stored, Attributes(etag, "text/plain"))


def _door(objects: Objects, bucket: Bucket, key: str, data: bytes | None) -> str:
    """What another door would do; the commit's id."""
    pfs = objects.pfs
    with pfs.blobs.session() as session:
        if data is None:
            op: PutFile | RemoveFile = RemoveFile("/" + key)
        else:
            entry = Entry("", Kind.FILE, session.put(data), len(data))
            op = PutFile("/" + key, entry)
        return pfs.write(session, bucket.repo, bucket.branch, [op]).commit.id


def _apply(objects: Objects, bucket: Bucket, model: Model, op: tuple[str, str, bytes]) -> None:
    kind, key, data = op
    below = [k for k in model.now if k == key or k.startswith(key.rstrip("/") + "/")]
    if kind == "put":
        try:
            made = _put(objects, bucket, key, data)
        except InvalidKey:
            return
        model.set(key, b"" if key.endswith("/") else data, made.version)
    elif kind == "delete":
        (done,) = objects.delete(bucket, [key])
        assert done.error is None
        assert bool(done.version) is (key in model.now)
        if done.version:
            model.set(key, None, done.version)
    elif kind == "door" and key not in model.now:  # else what S3 said of it would be void
        try:
            made_by = _door(objects, bucket, key, data)
        except Exception:
            return
        model.set(key, data, made_by)
    elif kind == "remove" and below:
        version = _door(objects, bucket, key, None)
        for one in below:
            model.set(one, None, version)


@settings(max_examples=many(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(_OPS, min_size=1, max_size=14),
    st.lists(st.tuples(_PREFIX, _DELIMITER, st.one_of(st.just(""), _KEYS, _MARKERS)), max_size=6),
    st.integers(1, 4),
)
def test_lists_and_versions_are_those_of_a_sorted_model(
    objects: Objects,
    ops: list[tuple[str, str, bytes]],
    asked: list[tuple[str, str, str]],
    limit: int,
) -> None:
    """Any prefix, delimiter and page size, from any place, with markers and other doors' writes."""
    _apply_all(objects, ops, asked, limit)


_count = iter(range(10**9))


def _apply_all(
    objects: Objects,
    ops: list[tuple[str, str, bytes]],
    asked: list[tuple[str, str, str]],
    limit: int,
) -> None:
    bucket = objects.create_bucket(f"master.r{next(_count)}")
    model = Model()
    for op in ops:
        _apply(objects, bucket, model, op)
    for prefix, delimiter, after in [("", "", ""), ("", "/", ""), *asked]:
        found: list[str] = []
        at = after
        while True:
            page = objects.list(bucket, prefix, delimiter, at, limit)
            found += sorted([*page.prefixes, *(o.key for o in page.objects)])
            assert len(page.objects) + len(page.prefixes) <= limit
            for one in page.objects:
                assert one.size == len(model.now[one.key])
            if not page.truncated:
                break
            at = page.next
        assert found == model.list(prefix, delimiter, after), (prefix, delimiter, after)
        assert _versions(objects, bucket, prefix, delimiter, limit) == model.versions(
            prefix, delimiter
        )
    for key, data in model.now.items():
        assert objects.get(bucket, key).size == len(data)


def _versions(
    objects: Objects, bucket: Bucket, prefix: str, delimiter: str, limit: int
) -> list[tuple[str, str, bool]]:
    found: list[tuple[str, str, bool]] = []
    key = version = ""
    while True:
        page = objects.versions(bucket, prefix, delimiter, key, version, limit)
        here = [(v.key, v.version, v.deleted) for v in page.versions]
        here += [(p, "", False) for p in page.prefixes]
        order = {name: i for i, name in enumerate(dict.fromkeys(k for k, _, _ in here))}
        found += sorted(here, key=lambda v: (v[0].encode(), order[v[0]] if v[1] else 0))
        if not page.truncated:
            return found
        key, version = page.next_key, page.next_version


def test_another_door_that_deletes_by_a_glob_takes_what_s3_said(objects: Objects) -> None:
    """``/**``, ``/a*`` and ``/``: nothing is left of the attributes of what is gone."""
    bucket = objects.create_bucket("master.globs")
    pfs = objects.pfs
    for glob, left in (("/a*", ["b/c"]), ("/**", []), ("/", [])):
        for key in ("a", "ab/c", "b/c"):
            _put(objects, bucket, key, b"1")
        with pfs.blobs.session() as session:
            made = pfs.write(session, bucket.repo, bucket.branch, [RemoveFile(glob)])
        root = made.attributes or EMPTY
        assert [path for path, _ in pfs.trees.files(root, "")] == [f"={key}" for key in left]
