"""Multipart uploads: parts in a tree of their own, concatenated by their segments.

An upload is a record that names the tree of its parts: the file ``00042`` is part 42. So parts
are durable when they are acknowledged, survive a restart, and are content like any other to
the garbage collector, fsck and a backup; no repo shows them.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from pachybox.errors import InvalidArgument
from pachybox.meta.tables import UPLOADS, dumps, micros, moment
from pachybox.meta.tx import Tx
from pachybox.model.files import Entry, Put
from pachybox.model.pfs import UploadRecord
from pachybox.pfs.change import Change
from pachybox.pfs.object_attributes import from_json, to_json
from pachybox.pfs.object_types import (
    MAX_PARTS,
    PART_MINIMUM,
    Attributes,
    Bucket,
    EntityTooSmall,
    InvalidPart,
    InvalidPartOrder,
    NoSuchUpload,
    PartInfo,
    PartPage,
    Upload,
    UploadPage,
    path_of,
)
from pachybox.pfs.object_write import Op, find_target
from pachybox.pfs.service import Pfs
from pachybox.store.node import PutBlob
from pachybox.store.trees import EMPTY

KEPT = timedelta(days=7)
"""An upload to which no part came for so long is given up."""


class Multipart:
    """The uploads under way of one box."""

    def __init__(self, pfs: Pfs) -> None:
        self._pfs = pfs

    def create(
        self, bucket: Bucket, key: str, attributes: Attributes, algorithm: str, checksum_type: str,
        *, checked: bool = False,
    ) -> Upload:  # fmt: skip
        """See Objects.create_upload; ``checked``: the bucket is known to take it."""
        path_of(key)
        if key.endswith("/"):
            path_of(key + "x")  # for its error
            raise InvalidArgument(f"key {key[:200]} names a directory marker", "put it whole")

        def run(ch: Change) -> UploadRecord:
            if not checked:
                find_target(ch, bucket)
            record = UploadRecord(
                uuid.uuid4().hex, bucket.at, bucket.commit, key, ch.now, ch.now,
                to_json(attributes), algorithm, checksum_type,
            )  # fmt: skip
            ch.tx.add(UPLOADS, record)
            return record

        return _upload(self._pfs.change(run))

    def get(self, bucket: Bucket, key: str, id_: str) -> Upload:
        """See Objects.upload."""
        found = self._pfs.meta.get(UPLOADS, id_)
        if found is None or not _of(found, bucket) or found.key != key:
            raise _missing(id_)
        return _upload(found)

    def page(
        self,
        bucket: Bucket,
        prefix: str,
        delimiter: str,
        key_marker: str,
        id_marker: str,
        limit: int,
    ) -> UploadPage:
        """See Objects.uploads."""
        mine = sorted(
            (u for u in self._pfs.meta.all(UPLOADS) if _of(u, bucket) and u.key.startswith(prefix)),
            key=lambda u: (u.key, u.started, u.id),
        )
        found: list[Upload] = []
        prefixes: list[str] = []
        last = ("", "")
        passed = not id_marker
        for record in mine:
            if record.key < key_marker or (record.key == key_marker and not id_marker):
                continue
            if record.key == key_marker and not passed:
                passed = record.id == id_marker
                continue
            at = record.key.find(delimiter, len(prefix)) if delimiter else -1
            common = record.key[: at + len(delimiter)] if at >= 0 else ""
            if common and (common == key_marker or common in prefixes):
                continue
            if len(found) + len(prefixes) >= limit:
                return UploadPage(found, prefixes, True, *last)
            if common:
                prefixes.append(common)
                last = (common, "")
            else:
                found.append(_upload(record))
                last = (record.key, record.id)
        return UploadPage(found, prefixes, False, "", "")

    def put_part(
        self, upload: Upload, number: int, entry: Entry, etag: str, checksums: dict[str, str],
        put: PutBlob,
    ) -> PartInfo:  # fmt: skip
        """Set one part, durable on return. ``put`` is of a session that holds ``entry``."""
        if not 1 <= number <= MAX_PARTS:
            raise InvalidArgument(
                f"part number {number} is not between 1 and {MAX_PARTS}", "number parts from 1"
            )

        def run(tx: Tx) -> PartInfo:
            record = tx.get(UPLOADS, upload.id)
            if record is None:
                raise _missing(upload.id)
            attrs = dumps({"e": etag, "m": micros(tx.now), "s": checksums}).encode()
            name = f"{number:05}"
            part = Entry(name, entry.kind, entry.hash, entry.size, 1, attrs)
            root = self._pfs.trees.edit(record.parts or EMPTY, [Put("/" + name, part)], put)
            tx.put(UPLOADS, replace(record, parts=root, touched=tx.now))
            return _part(part)

        return self._pfs.meta.write(run)

    def parts(self, upload: Upload, after: int, limit: int) -> PartPage:
        """See Objects.parts."""
        found: list[PartInfo] = []
        for entry in self._entries(upload, f"{after:05}" if after > 0 else ""):
            if len(found) >= limit:
                return PartPage(found, True, found[-1].number if found else after)
            found.append(_part(entry))
        return PartPage(found, False, 0)

    def _entries(self, upload: Upload, after: str = "") -> list[Entry]:
        record = self._pfs.meta.get(UPLOADS, upload.id)
        if record is None:
            raise _missing(upload.id)
        with self._pfs.reading(record.parts or EMPTY) as root:
            return list(self._pfs.trees.names(root, after))

    def whole(
        self,
        upload: Upload,
        chosen: Sequence[tuple[int, str]],
        checksums: dict[str, str],
        put: PutBlob,
    ) -> Op:
        """The op that makes the object of the chosen parts and ends the upload."""
        have = {int(e.name): e for e in self._entries(upload)}
        parts: list[Entry] = []
        before = 0
        for number, etag in chosen:
            if number <= before:
                raise InvalidPartOrder(f"part {number} of upload {upload.id} is out of order")
            before = number
            entry = have.get(number)
            if entry is None or _part(entry).etag != etag:
                raise InvalidPart(
                    f"part {number} of upload {upload.id} is missing or has another ETag"
                )
            parts.append(entry)
        if not parts:
            raise InvalidPart(f"no part of upload {upload.id} was named")
        for entry in parts[:-1]:
            if entry.size < PART_MINIMUM:
                raise EntityTooSmall(
                    f"part {int(entry.name)} of upload {upload.id} has {entry.size} bytes",
                    f"every part but the last has {PART_MINIMUM} or more",
                )
        infos = [_part(entry) for entry in parts]
        md5 = hashlib.md5(b"".join(bytes.fromhex(p.etag) for p in infos), usedforsecurity=False)
        attributes = replace(
            upload.attributes,
            etag=f"{md5.hexdigest()}-{len(parts)}",
            checksums=checksums,
            checksum_type=upload.checksum_type if checksums else "",
            parts=tuple(replace(p, modified=None) for p in infos),
        )
        name = upload.key.rpartition("/")[2]
        return Op(
            upload.key,
            self._pfs.content.join(name, parts, put),
            attributes,
            also=lambda ch: _end(ch.tx, upload.id),
        )

    def abort(self, upload: Upload) -> None:
        """See Objects.abort."""
        self._pfs.meta.write(lambda tx: _end(tx, upload.id))

    def abandon(self, bucket: Bucket) -> None:
        """Give up every upload of a bucket."""
        mine = [u.id for u in self._pfs.meta.all(UPLOADS) if _of(u, bucket)]

        def run(tx: Tx) -> None:
            for id_ in mine:
                tx.remove(UPLOADS, id_)

        if mine:
            self._pfs.meta.write(run)

    def expire(self) -> int:
        """Give up what nobody has sent a part of for KEPT; returns how many."""

        def run(tx: Tx) -> int:
            old = [u for u in tx.all(UPLOADS) if u.touched + KEPT < tx.now]
            for record in old:
                tx.remove(UPLOADS, record.id)
            return len(old)

        return self._pfs.meta.write(run) if self._pfs.meta.all(UPLOADS) else 0


def _end(tx: Tx, id_: str) -> None:
    if tx.get(UPLOADS, id_) is None:
        raise _missing(id_)
    tx.remove(UPLOADS, id_)


def _missing(id_: str) -> NoSuchUpload:
    return NoSuchUpload(f"upload {id_[:80]} not found", "it was completed, aborted or given up")


def _bucket(record: UploadRecord) -> Bucket:
    return Bucket(record.branch.repo, record.branch.name, record.commit)


def _of(record: UploadRecord, bucket: Bucket) -> bool:
    return record.branch == bucket.at and record.commit == bucket.commit


def _upload(record: UploadRecord) -> Upload:
    return Upload(
        record.id,
        _bucket(record),
        record.key,
        record.started,
        from_json(record.attributes_json),
        record.algorithm,
        record.checksum_type,
    )


def _part(entry: Entry) -> PartInfo:
    said = json.loads(entry.attrs)
    return PartInfo(int(entry.name), entry.size, said["e"], said["s"], moment(said["m"]))
