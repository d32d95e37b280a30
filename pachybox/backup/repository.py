"""A repository of backups in a target.

    pachybox-backup.json   what this is, and its id
    packs/ab/abcd...       content, trees and records (packs.py)
    index/abcd...          what is in packs
    snapshots/ID.json      one backup each: its records, which name all the rest
    locks/...              who works in it (locks.py)

Order of writing: packs, then an index that names them, a snapshot last. Order of taking away: the
snapshot, then by one new index that supersedes all others what is not needed, then those, then
packs. So whatever is visible is whole, and a crash leaves no more than files nobody names.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from blake3 import blake3

from pachybox.backup.known import Held
from pachybox.backup.locks import LOCK
from pachybox.backup.packs import (
    Index,
    damaged,
    decode_index,
    name_of,
    pack_path,
    unpacked,
)
from pachybox.backup.target import TMP, Buffer, Target
from pachybox.errors import Corrupt, InvalidArgument, NotFound, Refused
from pachybox.model.ids import Hash

FORMAT = "pachybox-backup"
VERSION = 1
CONFIG = "pachybox-backup.json"
LATEST = "latest"
_STAMP = len("20260101T000000000Z")
_CACHED = 64 << 20  # bytes of packs kept whole in memory
_AT_ONCE = 8
_NEAR = 4 << 20  # a pack up to this size is read whole when a piece of it is asked for
_MOVE = "no other backup needs this file: move it away, to be able to prune too"
_TIME_MOST = 1e11  # seconds: the year 5138
_HASH = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9]{8}T[0-9]{9}Z-[0-9a-f]{8}")
_BEGUN = re.compile(rf"{LOCK}|{TMP}/[0-9]+-[0-9a-f]{{16}}")
"""What is there before a repository is."""


@dataclass(slots=True)
class Snapshot:
    """One backup. ``tables``: by name the hashes of the pieces of its records, in order, and how
    many records they are. Sizes in bytes, as they were before packing; ``sent`` as stored."""

    id: str
    time: float
    box: str
    host: str
    pachybox: str
    schema: int
    tables: dict[str, list[str]]
    records: dict[str, int]
    hashes: dict[str, str]
    blobs: int = 0
    bytes: int = 0
    sent: int = 0
    indexes: list[str] = field(default_factory=list)  # what it relies on
    key: dict[str, Any] = field(default_factory=dict)  # the box's key, wrapped by a passphrase
    version: int = VERSION


def new_id(now: float, newest: str = "") -> str:
    """The id of a backup made at ``now``. Ids sort in the order in which backups were made, also
    when the clock was set back after the ``newest``."""
    when = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f"{int(now * 1000) % 1000:03d}Z"
    if when <= newest[:_STAMP] < "9999":
        with suppress(ValueError):  # the name of a file, which may be no moment
            last = datetime.strptime(newest[:_STAMP] + "+0000", "%Y%m%dT%H%M%S%fZ%z")
            return new_id(last.timestamp() + 0.0015)
    return f"{when}-{uuid.uuid4().hex[:8]}"


class Repository:
    """An open repository. Safe to use from one thread, but ``put_pack``."""

    def __init__(self, target: Target, id: str) -> None:
        """Use ``open`` or ``create``."""
        self.target = target
        self.id = id
        self._whole: OrderedDict[str, bytes] = OrderedDict()

    @classmethod
    def open(cls, target: Target) -> Repository:
        """Raises NotFound when there is none, InvalidArgument for a newer one, Corrupt."""
        try:
            text = target.get(CONFIG)
        except NotFound:
            raise NotFound(
                f"{target.shown} holds no backups",
                "check the place; the first `pachybox backup create` makes it one",
            ) from None
        about = _json(text, f"{target.shown}/{CONFIG}")
        if about.get("format") != FORMAT or not isinstance(about.get("id"), str):
            raise damaged(f"{target.shown}/{CONFIG}", "it is not what it should be")
        if not isinstance(about.get("version"), int) or about["version"] > VERSION:
            raise InvalidArgument(
                f"{target.shown} was written by a newer pachybox", "use that one, or a later one"
            )
        return cls(target, about["id"])

    @classmethod
    def open_or_create(cls, target: Target) -> Repository:
        """Raises Refused when something else is there already."""
        with suppress(NotFound):
            return cls.open(target)
        cls.require_free(target)
        with suppress(NotFound):  # race: of another box, which came first
            return cls.open(target)
        about = {"format": FORMAT, "version": VERSION, "id": uuid.uuid4().hex}
        target.put(CONFIG, json.dumps(about, indent=1).encode() + b"\n")
        return cls.open(target)

    @classmethod
    def require_free(cls, target: Target) -> None:
        """Raise Refused when there is something else than a repository, or one that another box
        begins. To be asked before anything is written or taken away there."""
        with suppress(NotFound):
            cls.open(target)
            return
        for name, _ in target.list(""):
            if _BEGUN.fullmatch(name):
                continue
            with suppress(NotFound):  # race: of another box, which came first
                cls.open(target)
                return
            raise Refused(
                f"{target.shown} holds other files, like {name}",
                "name an empty or a new directory (or prefix) for backups",
            )

    # -- snapshots

    def write_snapshot(self, snapshot: Snapshot) -> None:
        """Make a backup visible."""
        body = json.dumps(asdict(snapshot), sort_keys=True)
        text = json.dumps({"blake3": name_of(body.encode()), "snapshot": body})
        self.target.put(f"snapshots/{snapshot.id}.json", text.encode())

    def snapshot_ids(self) -> list[str]:
        """All backups, the oldest first."""
        names = (name.partition("/")[2] for name, _ in self.target.list("snapshots"))
        ids = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return sorted(id for id in ids if _ID.fullmatch(id))

    def snapshot(self, id: str) -> Snapshot:
        """One backup. Raises NotFound, and Corrupt when its file is damaged."""
        name = f"snapshots/{id}.json"
        shown = f"{self.target.shown}/{name}"
        outer = _json(self.target.get(name), shown)
        body = outer.get("snapshot")
        if not isinstance(body, str) or outer.get("blake3") != name_of(body.encode()):
            raise damaged(shown, "it is not what its sum says", _MOVE)
        values = _json(body.encode(), shown)
        version = values.get("version", 0)
        if isinstance(version, int) and version > VERSION:
            raise InvalidArgument(
                f"{shown} was written by a newer pachybox", "use that one, or a later one"
            )
        try:
            found = Snapshot(**values)
        except TypeError:
            found = None
        # whoever can write there can write a sum too; by its id a backup is removed
        if found is None or found.id != id or not _sound(found):
            raise damaged(shown, "it is not what it should be", _MOVE)
        return found

    def find(self, text: str) -> str:
        """The id that ``text`` begins, or of the newest for "latest". Raises NotFound."""
        ids = self.snapshot_ids()
        found = ids[-1:] if text in ("", LATEST) else [id for id in ids if id.startswith(text)]
        if text and text != LATEST and not found:  # the end of an id is what differs
            found = [id for id in ids if id.rpartition("-")[2].startswith(text)]
        if len(found) == 1:
            return found[0]
        where = self.target.shown
        if found:
            raise InvalidArgument(
                f"{len(found)} backups in {where} begin with {text}", "write more"
            )
        what = f"no backup {text}" if text and text != LATEST else "no backup yet"
        raise NotFound(f"{where} has {what}", f"see what there is: pachybox backup list {where}")

    # -- packs and indexes

    def packs_there(self) -> dict[str, int]:
        """The name and size of every pack file."""
        return {name.rpartition("/")[2]: size for name, size in self.target.list("packs")}

    def index_names(self) -> list[str]:
        """The index files there are, superseded ones too."""
        return sorted(name.partition("/")[2] for name, _ in self.target.list("index"))

    def indexes(self) -> list[Index]:
        """Every index that counts. Raises Corrupt."""
        found = []
        for name, data in self._several([f"index/{name}" for name in self.index_names()]):
            found.append(decode_index(name.partition("/")[2], data, f"{self.target.shown}/{name}"))
        superseded = {name for index in found for name in index.supersedes}
        return [index for index in found if index.name not in superseded]

    def _several(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Whole files, some asked for at once: of a bucket each takes a while."""
        with ThreadPoolExecutor(_AT_ONCE, "backup-read") as pool:
            yield from zip(names, pool.map(self.target.get, names), strict=True)

    def held(self) -> Held:
        """What there is. Raises Corrupt."""
        return Held(self.indexes(), self.packs_there())

    def lost_indexes(self) -> list[str]:
        """Indexes that the newest backup relies on and that are gone, superseded by none. A damaged
        backup does not say, and stands for them."""
        ids = self.snapshot_ids()
        if not ids:
            return []
        try:
            relied = set(self.snapshot(ids[-1]).indexes)
        except Corrupt:
            return ids[-1:]
        for name in self.index_names():
            relied.discard(name)
        for index in self.indexes() if relied else ():
            relied -= set(index.supersedes)
        return sorted(relied)

    def put_pack(self, data: Buffer, there: Mapping[str, int]) -> tuple[str, int]:
        """Write a pack, unless it is among those that are ``there`` (name and size), as after a
        backup that was cut short; its name and size."""
        name = name_of(data)
        if there.get(name) != len(data):
            self.target.put(pack_path(name), data)
        return name, len(data)

    def put_index(self, data: bytes) -> str:
        """Write an index; its name."""
        name = name_of(data)
        self.target.put(f"index/{name}", data)
        return name

    # -- reading content

    def blob(self, held: Held, h: Hash) -> bytes:
        """A whole blob, proven. Raises Corrupt when it is missing or not what its hash says."""
        return b"".join(self.blob_pieces(held, h))

    def blob_pieces(self, held: Held, h: Hash) -> Iterator[bytes]:
        """A blob in pieces; it is proven when the last was taken. Raises Corrupt."""
        rows = held.pieces(h)
        if not rows:
            raise self.missing(h)
        hasher = blake3()
        for row in rows:
            name = held.packs[int(row["pack"])]
            shown = self.shown_pack(name)
            data = unpacked(row, self._stored(name, row), shown)
            hasher.update(data)
            yield data
        if hasher.digest() != h:
            raise damaged(self.shown_pack(held.packs[int(rows[-1]["pack"])]), f"{h.hex()} is bad")

    def shown_pack(self, name: str) -> str:
        """The pack for messages."""
        return f"{self.target.shown}/{pack_path(name)}"

    def missing(self, h: Hash) -> Corrupt:
        """The error for content that is not there."""
        return damaged(self.target.shown, f"{h.hex()}, which a backup names, is missing")

    def read_whole(self, name: str) -> bytes:
        """A whole pack. Raises Corrupt when it is missing."""
        try:
            return self.target.get(pack_path(name))
        except NotFound:
            raise damaged(self.shown_pack(name), "it is missing") from None

    def read(self, name: str, offset: int, length: int) -> bytes:
        """A part of a pack; fewer bytes where it ends. Raises Corrupt when it is missing."""
        try:
            return self.target.get_range(pack_path(name), offset, length)
        except NotFound:
            raise damaged(self.shown_pack(name), "it is missing") from None

    def _stored(self, name: str, row: Any) -> bytes:
        """The stored bytes of a piece. Of small ones many come from one pack: where each question
        costs, it is kept."""
        offset, length = int(row["offset"]), int(row["stored"])
        if length > _NEAR or self.target.near:
            return self.read(name, offset, length)
        whole = self._whole.get(name)
        if whole is None:
            whole = self._whole[name] = self.read_whole(name)
            while sum(map(len, self._whole.values())) > _CACHED and len(self._whole) > 1:
                self._whole.popitem(last=False)
        self._whole.move_to_end(name)
        return whole[offset : offset + length]


def _sound(one: Snapshot) -> bool:
    """Whether the values of a backup are such as ``write_snapshot`` writes."""
    kinds: dict[type | tuple[type, ...], tuple[object, ...]] = {
        str: (one.box, one.host, one.pachybox),
        (int, float): (one.time,),
        int: (one.version, one.schema, one.blobs, one.bytes, one.sent),
        dict: (one.tables, one.records, one.hashes, one.key),
        list: (one.indexes,),
    }
    if not all(isinstance(value, kind) for kind, some in kinds.items() for value in some):
        return False
    lists = one.tables.values()
    return (
        0 <= one.time < _TIME_MOST
        and (one.box + one.host + one.pachybox).isprintable()
        and all(isinstance(count, int) for count in one.records.values())
        and all(isinstance(pieces, list) for pieces in lists)
        and all(_HASH.fullmatch(str(piece)) for pieces in lists for piece in pieces)
        and all(_HASH.fullmatch(str(name)) for name in one.indexes)
    )


def _json(text: bytes, shown: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        raise damaged(shown, "it is no JSON") from None
    if not isinstance(value, dict):
        raise damaged(shown, "it is no object")
    return value
