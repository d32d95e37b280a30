"""From combinations of matched files to datums: pure functions.

Identity follows Pachyderm 2.x (reference §3.2): the id names what the datum is about and
does not change with content; the hash adds the content and the pipeline's salt and
decides skipping.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from struct import Struct
from typing import Any

from pachybox.model.ids import Branch, CommitId, Hash
from pachybox.model.pps import Datum, DatumInput
from pachybox.model.units import parse_duration
from pachybox.pps.algebra import Combination, Leaf, Node, leaves, parse

_PART = Struct("<HBQ32sI")  # leaf, whether a directory, size, hash, bytes of the path behind it
_DIGEST = 32


def inputs_of(spec: Mapping[str, Any]) -> tuple[Leaf, ...]:
    """The pfs and cron inputs of a canonical spec, in order; none without an input."""
    given = spec.get("input")
    return tuple(leaves(parse(given))) if given else ()


def to_datum(combination: Combination, commits: Mapping[Branch, CommitId], salt: str) -> Datum:
    """The datum of a combination; ``commits`` is the commit that each branch stands for."""
    id_ = datum_id(combination)
    inputs = []
    for leaf, path, entry, join_on, group_by in combination:
        inputs.append(
            _input(leaf, commits, path, entry.hash, entry.size, entry.is_dir, join_on, group_by)
        )
    return Datum(id_, datum_hash(id_, combination, salt), tuple(inputs))


def datum_id(combination: Combination) -> str:
    """BLAKE2b-256 hex over name, repo, branch and path of each input, each followed by its
    length as 8 bytes (big-endian)."""
    return _id(combination).hex()


def datum_hash(id_: str, combination: Combination, salt: str) -> str:
    """BLAKE2b-256 hex over the id, the content hashes but those of reference inputs, and the
    salt."""
    return _hash(id_, combination, salt).hex()


def _id(combination: Combination) -> bytes:
    pieces: list[bytes] = []
    for one in combination:
        leaf = one.leaf
        path = one.path.encode()
        pieces += (_head(leaf.name, leaf.branch), path, len(path).to_bytes(8))
    return blake2b(b"".join(pieces), digest_size=_DIGEST).digest()


@lru_cache(1024)
def _head(name: str, branch: Branch) -> bytes:
    """What the paths of one input have in front of them in an id."""
    texts = [text.encode() for text in (name, branch.repo.name, branch.name)]
    return b"".join(text + len(text).to_bytes(8) for text in texts)


def _hash(id_: str, combination: Combination, salt: str) -> bytes:
    content = [one.entry.hash for one in combination if not one.leaf.reference]
    data = b"".join((id_.encode(), *content, salt.encode()))
    return blake2b(data, digest_size=_DIGEST).digest()


def _input(
    leaf: Leaf,
    commits: Mapping[Branch, CommitId],
    path: str,
    hash_: Hash,
    size: int,
    is_dir: bool,
    join_on: str,
    group_by: str,
) -> DatumInput:
    branch = leaf.branch
    return DatumInput(
        leaf.name,
        branch.repo.project,
        branch.repo.name,
        branch.name,
        commits[branch],
        path,
        hash_,
        size,
        is_dir,
        join_on,
        group_by,
    )


class Packed:
    """Datums as ``bytes``, some 150 each, to hold a job's worth of them.

    The same ``node``, ``commits`` and ``salt`` must be given to pack and to unpack.
    """

    def __init__(self, node: Node, commits: Mapping[Branch, CommitId], salt: str) -> None:
        self._leaves = tuple(leaves(node))
        self._commits = commits
        self._salt = salt

    def pack(self, combination: Combination) -> bytes:
        """The datum of a combination: its id and hash, 32 bytes each, then its inputs."""
        id_ = _id(combination)
        pieces = [id_, _hash(id_.hex(), combination, self._salt)]
        for leaf, path, entry, _, _ in combination:
            text = path.encode()
            pieces.append(_PART.pack(leaf.index, entry.is_dir, entry.size, entry.hash, len(text)))
            pieces.append(text)
        return b"".join(pieces)

    def unpack(self, packed: bytes) -> Datum:
        """The datum, as ``to_datum`` makes it."""
        return Datum(id_of(packed), hash_of(packed), tuple(self._inputs(packed)))

    def _inputs(self, packed: bytes) -> Iterator[DatumInput]:
        at = 2 * _DIGEST
        while at < len(packed):
            index, is_dir, size, hash_, length = _PART.unpack_from(packed, at)
            at += _PART.size
            path = packed[at : at + length].decode()
            at += length
            leaf = self._leaves[index]
            keys = leaf.join_key(path), leaf.group_key(path)
            yield _input(leaf, self._commits, path, Hash(hash_), size, bool(is_dir), *keys)


def id_of(packed: bytes) -> str:
    """The id of a packed datum."""
    return packed[:_DIGEST].hex()


def hash_of(packed: bytes) -> str:
    """The hash of a packed datum."""
    return packed[_DIGEST : 2 * _DIGEST].hex()


def renewed(
    id_: str, hash_: str, inputs: Iterable[DatumInput], commits: Mapping[Branch, CommitId]
) -> Datum:
    """The datum of an earlier job, of the same content, read at ``commits``."""
    now = {(b.repo.project, b.repo.name, b.name): commit for b, commit in commits.items()}
    read = tuple(replace(one, commit=now[one.project, one.repo, one.branch]) for one in inputs)
    return Datum(id_, hash_, read)


def empty_inputs(spec: Mapping[str, Any]) -> frozenset[str]:
    """The names of the inputs whose files are shown empty."""
    return frozenset(leaf.name for leaf in inputs_of(spec) if leaf.empty_files)


def workers_wanted(spec: Mapping[str, Any]) -> int:
    """Parallelism of a spec: the constant, or the coefficient times the cores of this machine."""
    parallelism = spec.get("parallelism_spec") or {}
    if coefficient := parallelism.get("coefficient"):
        return max(1, int(coefficient * (os.cpu_count() or 1)))
    return max(1, int(parallelism.get("constant") or 1))


def seconds(value: object) -> float:
    """A duration of a canonical spec in seconds: text ("5m", "300s"), or a number of seconds."""
    return float(value) if isinstance(value, (int, float)) else parse_duration(str(value))
