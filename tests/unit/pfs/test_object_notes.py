"""Objects noted in the journal: as if each had been put into the trees at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from pachybox.errors import PachyboxError
from pachybox.meta.tables import NOTES
from pachybox.meta.writer import Meta
from pachybox.model.ids import Commit
from pachybox.model.pfs import CommitRecord
from pachybox.pfs import care, commits, object_notes
from pachybox.pfs.object_types import Attributes, Bucket, InvalidKey, ObjectInfo
from pachybox.pfs.objects import Objects
from pachybox.pfs.read import Reader
from pachybox.pfs.service import Pfs
from pachybox.store.blobs import BlobStore


@contextmanager
def opened(home: Path) -> Iterator[Objects]:
    home.mkdir(exist_ok=True)
    blobs = BlobStore.open(home / "store")
    meta = Meta(home / "meta.duckdb", barrier=blobs.flush)
    pfs = Pfs(meta, blobs)
    try:
        yield Objects(pfs, Reader(pfs), object_notes.Notes(pfs))
    finally:
        meta.close()
        blobs.close()


def begun(objects: Objects, name: str) -> tuple[Bucket, Commit]:
    bucket = objects.create_bucket(name)
    return bucket, objects.pfs.start_commit(bucket.at)


def said(number: int) -> Attributes:
    return Attributes(f"{number:032x}", "text/x", {}, {"n": str(number)} if number % 3 else {})


def content(objects: Objects, info: ObjectInfo) -> bytes:
    return b"".join(p for p in objects.read(info) if isinstance(p, bytes))


def listed(objects: Objects, bucket: Bucket) -> dict[str, tuple[bytes, Attributes]]:
    found = objects.list(bucket).objects
    return {i.key: (content(objects, i), objects.get(bucket, i.key).attributes) for i in found}


def notes(objects: Objects) -> int:
    return len(objects.pfs.meta.waiting(NOTES))


def test_what_is_noted_is_seen_and_outlives_a_kill(tmp_path: Path) -> None:
    """The trees are not touched by a put, whoever looks has them made, and what a kill leaves is
    enough for all of it."""
    with opened(tmp_path / "a") as objects:
        bucket, commit = begun(objects, "master.r")
        objects.put_bytes(bucket, "first", b"0", said(0))  # behind it the commit has a tree
        for i in range(1, 40):
            info = objects.put_bytes(bucket, f"d{i % 3}/f{i}", b"%d" % i, said(i))
            assert info.version == commit.id
        assert notes(objects) == 40
        shutil.copytree(tmp_path / "a", tmp_path / "killed")
        assert content(objects, objects.get(bucket, "d1/f7")) == b"7"
        assert notes(objects) == 0
        objects.put_bytes(bucket, "d1/f7", b"again", said(7))
        seen = objects.get(bucket, "d1/f7")
        assert (content(objects, seen), seen.modified) == (
            b"again",
            objects.get(bucket, "d1/f7").modified,
        )
        objects.put_bytes(bucket, "last", b"", said(1))
        objects.pfs.finish_commit(bucket.repo, commit.id)
        assert len(listed(objects, bucket)) == 41
        assert [f.level for f in care.fsck(objects.pfs)] == ["info"]
    with opened(tmp_path / "killed") as objects:
        found = listed(objects, bucket)
        assert found == {
            "first": (b"0", said(0)),
            **{f"d{i % 3}/f{i}": (b"%d" % i, said(i)) for i in range(1, 40)},
        }
        care.collect_garbage(objects.pfs)
        assert listed(objects, bucket) == found
        assert [f.level for f in care.fsck(objects.pfs)] == ["info"]


def test_notes_wait_in_the_database_too(tmp_path: Path) -> None:
    """A reader by SQL that comes between two puts has the journal brought in; what is noted then
    is as durable, and is taken up by the next start."""
    with opened(tmp_path / "a") as objects:
        bucket, _ = begun(objects, "master.r")
        objects.put_bytes(bucket, "a", b"1", said(1))
        objects.pfs.meta._folding.fold()
        shutil.copytree(tmp_path / "a", tmp_path / "killed")
        objects.put_bytes(bucket, "b", b"2", said(2))
        assert sorted(listed(objects, bucket)) == ["a", "b"]
    for home in ("a", "killed"):
        with opened(tmp_path / home) as objects:
            assert objects.pfs.meta.select(NOTES, "") == []
            assert listed(objects, bucket)["a"] == (b"1", said(1))


def test_any_order_ends_as_without_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts that collide, removals and reads between them: what is refused, and what is there, is
    the same as where each change is made in the trees at once."""
    monkeypatch.setattr(object_notes, "MOST", 20)
    keys = [f"{a}{b}{c}" for a in "xy" for b in ("", "/p", "/q") for c in ("", "/1", "/2", "/s/t")]
    with opened(tmp_path / "a") as objects:
        for seed in range(3):
            ends = []
            for name, judge in (("noted", None), ("plain", lambda info: None)):
                bucket, draw, results = begun(objects, f"b.{name}{seed}")[0], Random(seed), []
                waited = 0
                for step in range(60):
                    key, data = draw.choice(keys), b"%d" % step * draw.choice((0, 1, 1, 150, 7000))
                    results.append(outcome(objects, bucket, key, data, draw.random(), judge))
                    waited = max(waited, notes(objects))
                assert waited == 0 if judge else 3 < waited <= 20
                ends.append((results, listed(objects, bucket)))
            assert ends[0] == ends[1]
        assert [f.level for f in care.fsck(objects.pfs)] == ["info"]


def outcome(
    objects: Objects, bucket: Bucket, key: str, data: bytes, kind: float,
    judge: Callable[[ObjectInfo | None], None] | None,
) -> object:  # fmt: skip
    try:
        if kind < 0.85:
            # with a condition, be it met by all, nothing is noted
            return objects.put_bytes(bucket, key, data, said(len(data)), judge).etag
        if kind < 0.9:
            return [d.error is None for d in objects.delete(bucket, [key])]
        if kind < 0.95:
            return content(objects, objects.get(bucket, key))
        return sorted(listed(objects, bucket))
    except PachyboxError as e:
        return type(e)


def test_what_is_refused_is_refused_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as objects:
        bucket, commit = begun(objects, "master.r")
        objects.put_bytes(bucket, "a/b", b"1", said(1))
        for key in ("a", "a/b/c"):
            with pytest.raises(InvalidKey):
                objects.put_bytes(bucket, key, b"2", said(2))

        def finish(ch: commits.Change) -> CommitRecord:
            return commits.finish_commit(ch, ch.commit(commit.repo, commit.id))

        assert objects.pfs.change(finish).files == 1
        assert objects.put_bytes(bucket, "late", b"3", said(3)).version != commit.id


def test_a_damaged_tree_keeps_its_notes_and_stops_no_other(tmp_path: Path) -> None:
    """What was acknowledged waits in the database for a repair; the box works on."""
    with opened(tmp_path / "a") as objects:
        bucket, commit = begun(objects, "master.r")
        with objects.intake() as intake:
            intake.write(b"x")
            objects.put(bucket, "d/first", intake.finish(), said(0))
        root = objects.pfs.resolve(bucket.repo, commit.id).root
        objects.put_bytes(bucket, "d/noted", b"1", said(1))
        shutil.copytree(tmp_path / "a", tmp_path / "killed")
        place = objects.pfs.blobs.locate(root)
    damaged = tmp_path / "killed" / place.path.relative_to(tmp_path / "a")
    data = bytearray(damaged.read_bytes())
    data[place.offset + place.length // 2] ^= 1
    damaged.write_bytes(data)
    for turn in range(2):
        with opened(tmp_path / "killed") as objects:
            (note,) = objects.pfs.meta.select(NOTES, "")
            assert (note.key, note.content) == ("d/noted", b"1")
            other = objects.create_bucket(f"master.other{turn}")
            objects.pfs.start_commit(other.at)
            objects.put_bytes(other, "a", b"2", said(2))
            assert listed(objects, other) == {"a": (b"2", said(2))}
            with pytest.raises(PachyboxError):
                objects.put_bytes(bucket, "d/more", b"3", said(3))
