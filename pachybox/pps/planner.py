"""From input commits to datums: pure functions of the spec and the files matched.

Identity follows Pachyderm 2.x (reference §3.2): the id names what the datum is about and
does not change with content; the hash adds the content and the pipeline's salt and
decides skipping.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from pachybox.model.ids import Branch, CommitId
from pachybox.model.pps import Datum, DatumInput
from pachybox.model.units import parse_duration
from pachybox.pps.algebra import Combination, leaves, parse


def datum_id(inputs: Iterable[DatumInput]) -> str:
    """BLAKE2b-256 hex over name, repo, branch and path of each input, each followed by its
    length as 8 bytes (big-endian)."""
    h = hashlib.blake2b(digest_size=32)
    for one in inputs:
        for text in (one.name, one.repo, one.branch, one.path):
            data = text.encode()
            h.update(data)
            h.update(len(data).to_bytes(8, "big"))
    return h.hexdigest()


def datum_hash(id_: str, inputs: Iterable[DatumInput], salt: str) -> str:
    """BLAKE2b-256 hex over the id, the content hashes and the salt."""
    h = hashlib.blake2b(digest_size=32)
    h.update(id_.encode())
    for one in inputs:
        h.update(one.hash)
    h.update(salt.encode())
    return h.hexdigest()


def to_datum(combination: Combination, commits: Mapping[Branch, CommitId], salt: str) -> Datum:
    """The datum of a combination read at ``commits``."""
    made = tuple(
        DatumInput(
            found.leaf.name,
            found.leaf.branch.repo.project,
            found.leaf.branch.repo.name,
            found.leaf.branch.name,
            commits[found.leaf.branch],
            found.path,
            found.entry.hash,
            found.entry.size,
            found.entry.is_dir,
            found.join_on,
            found.group_by,
        )
        for found in combination
    )
    id_ = datum_id(made)
    return Datum(id_, datum_hash(id_, made, salt), made)


def id_of(combination: Combination) -> str:
    """The id of a combination's datum."""
    h = hashlib.blake2b(digest_size=32)
    for found in combination:
        branch = found.leaf.branch
        for text in (found.leaf.name, branch.repo.name, branch.name, found.path):
            data = text.encode()
            h.update(data)
            h.update(len(data).to_bytes(8, "big"))
    return h.hexdigest()


def renewed(
    id_: str, hash_: str, inputs: Iterable[DatumInput], commits: Mapping[Branch, CommitId]
) -> Datum:
    """The datum of an earlier job, of the same content, read at ``commits``."""
    now = {(b.repo.project, b.repo.name, b.name): commit for b, commit in commits.items()}
    read = tuple(replace(one, commit=now[one.project, one.repo, one.branch]) for one in inputs)
    return Datum(id_, hash_, read)


def empty_inputs(spec: Mapping[str, Any]) -> frozenset[str]:
    """The names of the inputs whose files are shown empty."""
    return frozenset(leaf.name for leaf in leaves(parse(spec["input"])) if leaf.empty_files)


def workers_wanted(spec: Mapping[str, Any]) -> int:
    """Parallelism of a spec: the constant, or the coefficient times the cores of this machine."""
    parallelism = spec.get("parallelism_spec") or {}
    if coefficient := parallelism.get("coefficient"):
        return max(1, int(coefficient * (os.cpu_count() or 1)))
    return max(1, int(parallelism.get("constant") or 1))


def seconds(value: object) -> float:
    """A duration of a canonical spec in seconds: text ("5m", "300s"), or a number of seconds."""
    return float(value) if isinstance(value, (int, float)) else parse_duration(str(value))
