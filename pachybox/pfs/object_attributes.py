"""What S3 says of objects besides their bytes: a second tree beside a commit's own.

It mirrors the commit's paths with a ``=`` before the first name: the attrs of the file ``/=a/b``
say what belongs to the object ``a/b``, and name the content they belong to, so that they are
void when another door has overwritten it. What would make a node fat is in the file's own
content. ``/m`` has the directory markers (keys with a slash at the end): for ``a/b/`` the file
``/m/+a/+b/*``. A name of a directory there begins with ``+``, so that no key can be taken for a
marker, and ``*`` is in front of it, as ``a/b/`` is of all that begins with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from blake3 import blake3

from pachybox.meta.tables import dumps, micros, moment
from pachybox.model.files import Delete, Edit, Entry, Kind, Put
from pachybox.model.ids import Hash
from pachybox.pfs.object_types import Attributes, PartInfo
from pachybox.store.node import PutBlob
from pachybox.store.trees import EMPTY, Trees

OBJECTS, MARKERS = "/=", "/m"
"""What stands in place of a key's first slash."""

NO_BLOB = Hash(blake3(b"").digest())
"""The content of what is said whole in the node; to be stored like any other."""
INLINE = 400
"""Characters of JSON that go into a node; more has a blob of its own."""
_NOTHING = Attributes()


@dataclass(frozen=True, slots=True)
class Known:
    """Attributes with what was noted at the PUT: when it was and by which commit."""

    attributes: Attributes
    modified: datetime
    version: str


def encode(
    content: Hash, attributes: Attributes, modified: datetime, version: str, put: PutBlob
) -> Entry:
    """The file that says ``attributes`` of ``content``. The store is to have NO_BLOB."""
    text = encoded(content, attributes, modified, version)
    if len(text) > INLINE:
        rest = dumps(_more(attributes)).encode()
        plain = _plain(_small(content, attributes, modified, version))
        return Entry("", Kind.FILE, put(rest), len(rest), 1, plain.encode())
    return short(text)


def short(text: str) -> Entry:
    """The file that says ``text``, at most INLINE characters."""
    return Entry("", Kind.FILE, NO_BLOB, 0, 1, text.encode())


def encoded(content: Hash, attributes: Attributes, modified: datetime, version: str) -> str:
    """All that is said of ``content``, as JSON."""
    small, more = _small(content, attributes, modified, version), _more(attributes)
    # perf: joined by hand, since dumps() sorts and escapes anew what are digits (4 us -> 1)
    if not more:
        return _plain(small)
    if len(more) == 1 and "t" in more:
        return _TYPED.format_map(small | {"t": _quoted(attributes.content_type)})
    return dumps({**small, **more})


def _small(
    content: Hash, attributes: Attributes, modified: datetime, version: str
) -> dict[str, Any]:
    return {"c": content.hex(), "e": attributes.etag, "m": micros(modified), "v": version}


_TYPED = '{{"c":"{c}","e":"{e}","m":{m},"t":{t},"v":"{v}"}}'
_quoted = lru_cache(256)(dumps)


def _plain(small: dict[str, Any]) -> str:
    return '{{"c":"{c}","e":"{e}","m":{m},"v":"{v}"}}'.format_map(small)


def _more(attributes: Attributes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if attributes.content_type:
        found["t"] = attributes.content_type
    if attributes.headers:
        found["h"] = dict(attributes.headers)
    if attributes.metadata:
        found["u"] = dict(attributes.metadata)
    if attributes.checksums:
        found["s"] = dict(attributes.checksums)
    if attributes.checksum_type:
        found["k"] = attributes.checksum_type
    if attributes.parts:
        found["p"] = [[p.number, p.size, p.etag, dict(p.checksums)] for p in attributes.parts]
    return found


def decode(
    entry: Entry | None, content: Hash, read: Callable[[Hash], bytes] | None
) -> Known | None:
    """What ``entry`` says of ``content``; None when that is of other content. Without ``read``
    only what is in the node is there."""
    if entry is None or entry.is_dir or not entry.attrs:
        return None
    said = json.loads(entry.attrs)
    if said["c"] != content.hex():
        return None
    if entry.size and read is not None:
        said.update(json.loads(read(entry.hash)))
    return Known(_attributes(said), moment(said["m"]), said["v"])


def _attributes(said: dict[str, Any]) -> Attributes:
    return Attributes(
        said["e"],
        said.get("t", ""),
        said.get("h") or _NOTHING.headers,
        said.get("u") or _NOTHING.metadata,
        said.get("s") or _NOTHING.checksums,
        said.get("k", ""),
        tuple(PartInfo(*part) for part in said.get("p", ())),
    )


def to_json(attributes: Attributes) -> str:
    """Attributes as text, for an upload under way."""
    return dumps(asdict(attributes) | {"parts": []})


def from_json(text: str) -> Attributes:
    """The inverse of to_json."""
    said = json.loads(text)
    return Attributes(**(said | {"parts": ()}))


# ---- markers


def marker_path(path: str) -> str:
    """Where the marker of the directory ``path`` is."""
    return f"{marker_directory(path)}/*"


def marker_directory(path: str) -> str:
    """Where the markers at and below the directory ``path`` are."""
    return MARKERS + path.replace("/", "/+") if path != "/" else MARKERS


def markers(trees: Trees, root: Hash, prefix: str, after: str) -> Iterator[tuple[str, Entry]]:
    """(key, entry) of every marker whose key begins with ``prefix`` and is behind ``after``."""
    if root == EMPTY:
        return
    base, slash, _ = prefix.rpartition("/")
    found = trees.get(root, marker_directory("/" + base if base else "/"))
    if found is None or not found.is_dir:
        return
    base += slash
    for path, entry in trees.files(found.hash, "", _marker_place(base, max(prefix, after))):
        # the path of a marker: "+b/*", of the directory's own: "*"
        key = base + "".join(name[1:] + "/" for name in path.split("/")[:-1])
        if key <= after or key < prefix:
            continue
        if not key.startswith(prefix):
            return
        yield key, entry


def _marker_place(base: str, after: str) -> str:
    """A place in the markers below the directory ``base`` in front of all whose key is
    behind ``after``."""
    if len(after) <= len(base) or not after.startswith(base):
        return ""
    *names, last = after[len(base) :].split("/")
    return "".join(f"+{name}/" for name in names) + (f"+{last[:-1]}" if last else "")


# ---- edits


def without(trees: Trees, root: Hash, paths: Sequence[str], put: PutBlob) -> Hash:
    """The attributes ``root`` after another door removed ``paths`` with all below them."""
    edits: list[Edit] = []
    for path in paths:
        if path == "/":
            return EMPTY
        edits += (Delete(OBJECTS + path[1:]), Delete(marker_directory(path)))
    return trees.edit(root, edits, put) if root != EMPTY and edits else root


def object_edit(path: str, entry: Entry | None) -> Edit:
    """Set or remove what is said of the object at ``path``."""
    where = OBJECTS + path[1:]
    return Delete(where) if entry is None else Put(where, entry)


def marker_edit(path: str, entry: Entry | None) -> Edit:
    """Set or remove the marker of the directory ``path``."""
    return Delete(marker_path(path)) if entry is None else Put(marker_path(path), entry)
