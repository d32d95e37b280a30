"""The ``meta`` file of a datum's directory: what the datum was and how it ended. JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pachybox.errors import NotFound
from pachybox.model.ids import CommitId, Hash
from pachybox.model.pps import Datum, DatumInput, DatumState, Stats
from pachybox.pfs.service import Pfs

_INPUT = tuple(f.name for f in fields(DatumInput))
_STATS = tuple(f.name for f in fields(Stats))


def write(datum: Datum, job: CommitId, state: DatumState, reason: str, stats: Stats) -> bytes:
    """The file's bytes; equal values, equal bytes."""
    # perf: dataclasses.asdict would be half of what a small datum costs the daemon
    inputs = [
        {name: getattr(one, name) for name in _INPUT} | {"hash": one.hash.hex()}
        for one in datum.inputs
    ]
    meta = {
        "hash": datum.hash,
        "inputs": inputs,
        "job": job,
        "reason": reason,
        "state": state.value,
        "stats": {name: getattr(stats, name) for name in _STATS},
    }
    return json.dumps(meta, sort_keys=True).encode()


def read(pfs: Pfs, directory: Hash) -> dict[str, Any]:
    """The file of a datum's directory. Raises NotFound when the store lost it."""
    entry = pfs.trees.get(directory, "/meta")
    if entry is None:
        raise NotFound("the datum's record is missing from the store", "run fsck")
    found: dict[str, Any] = json.loads(pfs.content.read_all(entry))
    return found


def inputs(meta: Mapping[str, Any]) -> tuple[DatumInput, ...]:
    """The inputs written down in it."""
    return tuple(
        DatumInput(**{**one, "hash": Hash(bytes.fromhex(one["hash"]))}) for one in meta["inputs"]
    )
