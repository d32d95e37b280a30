"""From combinations of matched files to datums: pure functions.

Identity follows Pachyderm 2.x (reference §3.2): the id names what the datum is about and
does not change with content; the hash adds the content and the pipeline's salt and
decides skipping.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from pachybox.model.ids import Branch, CommitId, Hash
from pachybox.model.pps import Datum, DatumInput
from pachybox.model.units import parse_duration
from pachybox.pps.algebra import Combination, Leaf, leaves, parse

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
    pieces: list[bytes] = []
    for one in combination:
        leaf = one.leaf
        path = one.path.encode()
        pieces += (_head(leaf.name, leaf.branch), path, len(path).to_bytes(8))
    return blake2b(b"".join(pieces), digest_size=_DIGEST).hexdigest()


def datum_hash(id_: str, combination: Combination, salt: str) -> str:
    """BLAKE2b-256 hex over the id, the content hashes but those of reference inputs, and the
    salt."""
    content = [one.entry.hash for one in combination if not one.leaf.reference]
    data = b"".join((id_.encode(), *content, salt.encode()))
    return blake2b(data, digest_size=_DIGEST).hexdigest()


@lru_cache(1024)
def _head(name: str, branch: Branch) -> bytes:
    """What the paths of one input have in front of them in an id."""
    texts = [text.encode() for text in (name, branch.repo.name, branch.name)]
    return b"".join(text + len(text).to_bytes(8) for text in texts)


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


def skips_nothing(spec: Mapping[str, Any]) -> bool:
    """Whether every job runs every datum (reference §3.3)."""
    return spec.get("reprocess_spec") == "every_job" or bool(spec.get("s3_out"))


def workers_wanted(spec: Mapping[str, Any]) -> int:
    """Parallelism of a spec: the constant, or the coefficient times the cores of this machine."""
    parallelism = spec.get("parallelism_spec") or {}
    if coefficient := parallelism.get("coefficient"):
        return max(1, int(coefficient * (os.cpu_count() or 1)))
    return max(1, int(parallelism.get("constant") or 1))


def seconds(value: object) -> float:
    """A duration of a canonical spec in seconds: text ("5m", "300s"), or a number of seconds."""
    return float(value) if isinstance(value, (int, float)) else parse_duration(str(value))
