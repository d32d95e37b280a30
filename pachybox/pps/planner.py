"""From input commits to datums: pure functions of the spec and the files matched.

Identity follows Pachyderm 2.x (reference §3.2): the id names what the datum is about and
does not change with content; the hash adds the content and the pipeline's salt and
decides skipping.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pachybox.model.files import Entry
from pachybox.model.ids import Branch, CommitId, Repo
from pachybox.model.pps import Datum, DatumInput
from pachybox.model.units import parse_duration


@dataclass(frozen=True, slots=True)
class PfsInput:
    """One pfs input of a spec."""

    name: str
    branch: Branch
    glob: str
    empty_files: bool


def inputs_of(spec: Mapping[str, Any]) -> tuple[PfsInput, ...]:
    """The pfs inputs of a canonical spec, in order."""
    pfs = spec.get("input", {}).get("pfs")
    if not pfs:
        return ()
    repo = Repo(pfs["project"], pfs["repo"], pfs.get("repo_type", "user"))
    return (
        PfsInput(
            pfs["name"],
            Branch(repo, pfs["branch"]),
            pfs["glob"],
            bool(pfs.get("empty_files")),
        ),
    )


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


def datums(
    source: PfsInput, commit: CommitId, matched: Iterable[tuple[str, Entry]], salt: str
) -> list[Datum]:
    """One datum per matched file or directory, in path order."""
    repo = source.branch.repo
    made = []
    for path, entry in matched:
        one = DatumInput(
            source.name,
            repo.project,
            repo.name,
            source.branch.name,
            commit,
            path,
            entry.hash,
            entry.size,
            entry.is_dir,
        )
        id_ = datum_id((one,))
        made.append(Datum(id_, datum_hash(id_, (one,), salt), (one,)))
    return made


def workers_wanted(spec: Mapping[str, Any]) -> int:
    """Parallelism of a spec on one machine: the constant, or the coefficient times one node."""
    parallelism = spec.get("parallelism_spec") or {}
    if coefficient := parallelism.get("coefficient"):
        return max(1, int(coefficient))
    return max(1, int(parallelism.get("constant") or 1))


def seconds(value: object) -> float:
    """A duration of a canonical spec in seconds: text ("5m", "300s"), or a number of seconds."""
    return float(value) if isinstance(value, (int, float)) else parse_duration(str(value))
