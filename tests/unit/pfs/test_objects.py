"""Objects where a list does not show it: content, copies, multipart uploads, conditions."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pachybox.errors import Exhausted, Refused
from pachybox.meta.tables import COMMITS, UPLOADS
from pachybox.meta.writer import Meta
from pachybox.model.files import Entry, Kind, Put
from pachybox.model.ids import Hash
from pachybox.model.pfs import CommitRecord
from pachybox.pfs import care, commits, object_windows
from pachybox.pfs.change import Change
from pachybox.pfs.object_types import (
    WINDOW,
    Attributes,
    Bucket,
    EntityTooSmall,
    FileSlice,
    InvalidKey,
    InvalidPart,
    NoSuchUpload,
    ObjectInfo,
    Stored,
    Upload,
)
from pachybox.pfs.objects import Objects
from pachybox.pfs.read import Reader
from pachybox.pfs.service import Pfs
from pachybox.pfs.write import AddTree
from pachybox.store.blobs import BlobStore
from pachybox.store.gc import collect
from pachybox.store.trees import EMPTY
from tests.boxes import eventually


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Objects]:
    home = tmp_path_factory.mktemp("objects")
    blobs = BlobStore.open(home / "store")
    meta = Meta(home / "meta.duckdb", barrier=blobs.flush)
    pfs = Pfs(meta, blobs)
    yield Objects(pfs, Reader(pfs))
    meta.close()
    blobs.close()


def put(objects: Objects, bucket: Bucket, key: str, data: bytes, **more: str) -> ObjectInfo:
    with objects.intake() as intake:
        for at in range(0, len(data), 1 << 20):
            intake.write(data[at : at + (1 << 20)])
        stored = intake.finish()
        etag = stored.digests["md5"].hex()
        return objects.put(bucket, key, stored, Attributes(etag, **more))


def read(objects: Objects, info: ObjectInfo, offset: int = 0, length: int | None = None) -> bytes:
    found = b""
    for piece in objects.read(info, offset, length):
        if isinstance(piece, FileSlice):
            found += os.pread(piece.fd, piece.length, piece.offset)
            piece.close()
        else:
            found += piece
    return found


@pytest.mark.parametrize("size", [0, 1, 100_000, 131_073, 9_000_001])
def test_content_comes_back_with_true_digests(objects: Objects, size: int) -> None:
    """Short, long and longer than what has threads of its own; all digests at once, and ranges."""
    data = os.urandom(size)
    bucket = Bucket(objects.create_bucket(f"master.size{size}").repo, "master")
    with objects.intake(("crc32", "crc32c", "crc64nvme", "sha1", "sha256")) as intake:
        for at in range(0, size, 70_000):
            intake.write(memoryview(data)[at : at + 70_000])
        stored = intake.finish()
        objects.put(bucket, "x", stored, Attributes())
    for name in ("md5", "sha1", "sha256"):
        assert stored.digests[name] == hashlib.new(name, data).digest()
    assert [len(stored.digests[n]) for n in ("crc32", "crc32c", "crc64nvme")] == [4, 4, 8]
    info = objects.get(bucket, "x")
    assert read(objects, info) == data
    for offset, length in ((0, 1), (size // 2, 100), (size - 5, 50), (size, 1)):
        if offset >= 0:
            assert read(objects, info, offset, length) == data[offset : offset + length]


def test_an_object_of_many_slices_is_read_ahead_and_left_early(objects: Objects) -> None:
    bucket = objects.create_bucket("master.ahead")
    data = os.urandom(1 << 20) * 37 + b"end"
    info = put(objects, bucket, "large", data)
    assert read(objects, info) == data
    assert read(objects, info, 3 << 20, 20 << 20) == data[3 << 20 : 23 << 20]
    pieces = objects.read(info)
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]  # it is a generator
    assert not [t for t in threading.enumerate() if t.name.startswith("read-ahead")]


def test_an_intake_that_is_given_up_leaves_nothing(objects: Objects) -> None:
    """By an exception, or by leaving the block before finish."""
    before = objects.pfs.blobs.usage().objects

    def fail() -> None:
        with objects.intake() as intake:
            intake.write(os.urandom(1 << 20))
            intake.finish()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with objects.intake() as intake:
        intake.write(os.urandom(1 << 20))
    assert objects.pfs.blobs.usage().objects == before
    assert not [n for n in os.listdir(objects.pfs.blobs.root / "tmp") if n.isdecimal()]


def test_a_body_that_is_refused_takes_nothing_from_another(objects: Objects) -> None:
    """The same content came twice at once; the one whose upload it was is refused."""
    bucket = objects.create_bucket("master.twice")
    data = os.urandom(1 << 20)
    with objects.intake() as other:

        def come_too_late() -> None:
            with objects.intake() as first:
                first.write(data)
                first.finish()
                other.write(data)
                stored.append(other.finish())
                refuse(None)

        stored: list[Stored] = []
        with pytest.raises(Refused):
            come_too_late()
        objects.put(bucket, "x", stored[0], Attributes())
    assert read(objects, objects.get(bucket, "x")) == data


def test_parts_are_joined_as_they_are(objects: Objects) -> None:
    """Parts sent at once and out of order, one sent twice: the object is theirs in their order, no
    byte of them is written again, and the upload is over."""
    bucket = objects.create_bucket("master.parts")
    upload = objects.create_upload(bucket, "dir/whole", Attributes("", "text/x"))
    parts = {n: os.urandom(5 << 20) for n in (1, 7, 9)} | {10: b"end"}

    def send(number: int) -> str:
        send_one(objects, upload, number, b"first try")
        return send_one(objects, upload, number, parts[number])

    with ThreadPoolExecutor(4) as pool:
        etags = dict(zip(parts, pool.map(send, parts), strict=True))
    assert [p.number for p in objects.parts(upload, after=1, limit=2).parts] == [7, 9]
    before = objects.pfs.blobs.usage().objects
    with pytest.raises(InvalidPart):
        objects.complete(upload, [(2, etags[1])])
    last = send_one(objects, upload, 11, b"more")
    with pytest.raises(EntityTooSmall):
        objects.complete(upload, [(1, etags[1]), (10, etags[10]), (11, last)])
    made = objects.complete(upload, sorted(etags.items()))
    assert objects.pfs.blobs.usage().objects == before
    assert made.etag.endswith("-4")
    assert made.attributes.content_type == "text/x"
    whole = b"".join(parts.values())
    assert read(objects, objects.get(bucket, "dir/whole")) == whole
    assert read(objects, made, (5 << 20) - 7, 14) == whole[(5 << 20) - 7 :][:14]
    with pytest.raises(NoSuchUpload):
        send_one(objects, upload, 1, b"late")


def send_one(objects: Objects, upload: Upload, number: int, data: bytes) -> str:
    with objects.intake() as intake:
        intake.write(data)
        return objects.put_part(upload, number, intake.finish()).etag


def test_what_uploads_hold_is_kept_until_they_are_given_up(objects: Objects) -> None:
    """The collector leaves parts alone; after an abort it frees them."""
    bucket = objects.create_bucket("master.aborted")
    upload = objects.create_upload(bucket, "x", Attributes())
    with objects.intake() as intake:
        intake.write(os.urandom(1 << 20))
        objects.put_part(upload, 1, intake.finish())
    assert care.collect_garbage(objects.pfs).objects_removed == 0
    assert [f.level for f in care.fsck(objects.pfs)] == ["info"]
    objects.abort(upload)
    assert care.collect_garbage(objects.pfs).objects_removed == 1
    assert objects.uploads(bucket).uploads == []


def test_a_completion_that_is_refused_leaves_the_upload(objects: Objects) -> None:
    """By its condition, and because a file is where its directory would be."""
    bucket = objects.create_bucket("master.refused")
    put(objects, bucket, "a", b"here")
    for key in ("a", "a/b"):
        upload = objects.create_upload(bucket, key, Attributes())
        etag = send_one(objects, upload, 1, b"part")
        with pytest.raises((Refused, InvalidKey)):
            objects.complete(upload, [(1, etag)], refuse if key == "a" else None)
        assert objects.upload(bucket, key, upload.id) == upload
        assert read(objects, objects.get(bucket, "a")) == b"here"
        objects.abort(upload)


def refuse(present: ObjectInfo | None) -> None:
    raise Refused("not so")


def test_a_collection_spares_what_goes_from_an_upload_to_a_commit(objects: Objects) -> None:
    """The mark looked for commits before there was one, and for uploads when it was over."""
    bucket = objects.create_bucket("master.moved")
    pfs = objects.pfs
    upload = objects.create_upload(bucket, "x", Attributes())
    data = [os.urandom(5 << 20), os.urandom(1 << 20)]
    etags = [(n, send_one(objects, upload, n, one)) for n, one in enumerate(data, 1)]
    record = pfs.meta.get(UPLOADS, upload.id)
    assert record is not None
    assert record.parts is not None

    def marked() -> Iterator[Hash]:
        roots = care.named_roots(pfs) - {record.parts}
        objects.complete(upload, etags)
        yield from care.live(pfs, roots)

    collect(pfs.blobs, marked)
    assert read(objects, objects.get(bucket, "x")) == b"".join(data)
    assert [f.level for f in care.fsck(pfs)] == ["info"]


def test_a_collection_sees_what_waits_in_the_journal(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when nothing can be brought in, as on the full disk for which it is called."""
    bucket = objects.create_bucket("master.waits")
    data = os.urandom(1 << 20)
    folding = objects.pfs.meta._folding

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(folding, "fold", full)
        put(objects, bucket, "x", data)
        care.collect_garbage(objects.pfs)
        assert [f.level for f in care.fsck(objects.pfs)] == ["error"]
    assert read(objects, objects.get(bucket, "x")) == data
    assert [f.level for f in care.fsck(objects.pfs)] == ["info"]


def test_prefixes_that_no_key_can_have_find_nothing(objects: Objects) -> None:
    """Also with a NUL at the end, in front of which no character is."""
    bucket = objects.create_bucket("master.prefixes")
    put(objects, bucket, "a/b", b"")
    for prefix in ("\0", "a\0", "a/\0", "//", "a//", "/a"):
        for delimiter in ("", "/", "-"):
            assert objects.list(bucket, prefix, delimiter).objects == []
            assert objects.versions(bucket, prefix, delimiter).versions == []


def test_a_tree_in_place_of_a_file_takes_what_was_said_of_it(objects: Objects) -> None:
    """A fileset that makes a directory of an object leaves room for objects in it."""
    bucket, pfs = objects.create_bucket("master.replaced"), objects.pfs
    put(objects, bucket, "a", b"file")
    with pfs.blobs.session() as session:
        entry = Entry("", Kind.FILE, session.put(b"below"), 5)
        root = pfs.trees.edit(EMPTY, [Put("/a/b", entry)], session.put)
        pfs.write(session, bucket.repo, bucket.branch, [AddTree(root, ("/a",))])
    put(objects, bucket, "a/c", b"more")
    assert [o.key for o in objects.list(bucket).objects] == ["a/b", "a/c"]


def test_a_window_that_cannot_be_finished_is_tried_again(
    objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows its commit waits for it, whether or not a write comes."""
    bucket, pfs = objects.create_bucket("master.again"), objects.pfs
    monkeypatch.setattr(object_windows, "_AGAIN_S", 0.01)
    opened = pfs.meta.get(COMMITS, pfs.start_commit(bucket.at))
    assert opened is not None
    tries = []
    finish = commits.finish_commit

    def full(ch: Change, commit: CommitRecord) -> CommitRecord:
        tries.append(commit)
        if len(tries) == 1:
            raise Exhausted("no space left")
        return finish(ch, commit)

    monkeypatch.setattr(commits, "finish_commit", full)
    windows = object_windows.Windows(pfs)
    windows.start()
    windows.touched(replace(opened, metadata={WINDOW: "10ms"}))

    def finished() -> bool:
        found = pfs.meta.get(COMMITS, opened.commit)
        return found is not None and found.finished is not None

    eventually(finished, "the commit to be finished")
    windows.stop()
    assert len(tries) == 2


def test_uploads_end_with_their_branch(objects: Objects) -> None:
    """Whichever door deletes it, or its repo; a later one of the name has none."""
    for branch in ("dev", "master"):
        bucket = objects.create_bucket(f"{branch}.ended")
        objects.create_upload(bucket, "x", Attributes())
        if branch == "dev":
            objects.pfs.delete_branch(bucket.at)
        else:
            objects.pfs.delete_repo(bucket.repo)
        assert objects.uploads(objects.create_bucket(f"{branch}.ended")).uploads == []


def test_a_copy_moves_no_bytes_across_repos(objects: Objects) -> None:
    """Content and attributes, or new attributes with the source's ETag."""
    one, two = objects.create_bucket("master.one"), objects.create_bucket("dev.two")
    made = put(objects, one, "a", os.urandom(1 << 20), content_type="text/x")
    before = objects.pfs.blobs.usage().objects
    objects.copy(objects.get(one, "a"), two, "b/c")
    objects.copy(objects.get(one, "a"), two, "d", Attributes("", "text/y"))
    assert objects.pfs.blobs.usage().objects == before
    found = [objects.get(two, key) for key in ("b/c", "d")]
    assert [f.etag for f in found] == [made.etag] * 2
    assert [f.attributes.content_type for f in found] == ["text/x", "text/y"]
    assert found[0].file.entry.hash == made.file.entry.hash


def test_a_condition_is_asked_where_the_write_is_made(objects: Objects) -> None:
    """Of writers who all ask that nothing be there, one is let through."""
    bucket = objects.create_bucket("master.once")

    def nothing(there: ObjectInfo | None) -> None:
        if there is not None:
            raise Refused("it is there")

    def write(n: int) -> bool:
        with objects.intake() as intake:
            intake.write(b"%d" % n)
            try:
                objects.put(bucket, "x", intake.finish(), Attributes(), nothing)
            except Refused:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(write, range(16))) == 1
    assert len(objects.versions(bucket).versions) == 1
