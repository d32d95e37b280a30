"""Which datums a sample has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pachybox.errors import InvalidArgument, NotFound
from pachybox.model.ids import CommitId, Hash
from pachybox.model.pps import Datum, DatumInput
from pachybox.pps.trial_plan import MOST, Pick, evenly, named


def datums(total: int) -> Iterator[Datum]:
    for i in range(total):
        one = DatumInput(
            "in", "default", "r", "master", CommitId("c"), f"/{i}", Hash(b""), 1, False
        )
        yield Datum(f"{i:064d}", "", (one,))


def picked(pick: Pick, total: int) -> tuple[int, tuple[Datum, ...]]:
    """What is picked of so many, which are made already."""
    return pick(lambda: datums(total), lambda datum: datum)  # type: ignore[arg-type, return-value]


def numbers(found: tuple[Datum, ...]) -> list[int]:
    return [int(datum.id) for datum in found]


@pytest.mark.parametrize(
    ("total", "sample", "expected"),
    [
        (10, 3, [0, 3, 6]),
        (10, 1, [0]),
        (10, 10, list(range(10))),
        (2, 3, [0, 1]),
        (3, 0, [0, 1, 2]),
        (0, 3, []),
        (7, 5, [0, 1, 2, 4, 5]),
    ],
)
def test_a_sample_is_spread_evenly(total: int, sample: int, expected: list[int]) -> None:
    counted, found = picked(evenly(sample), total)
    assert (counted, numbers(found)) == (total, expected)


def test_datums_by_name() -> None:
    counted, found = picked(named(["/4", f"{2:064d}"]), 10)
    assert (counted, numbers(found)) == (10, [2, 4])
    with pytest.raises(NotFound, match="'/99'"):
        picked(named(["/4", "/99"]), 10)


def test_a_run_is_bounded() -> None:
    with pytest.raises(InvalidArgument, match="at most 10000"):
        picked(evenly(0), MOST + 1)
    assert len(picked(evenly(2), MOST + 1)[1]) == 2
