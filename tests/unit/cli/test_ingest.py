"""What the lists of sources say of rates, trends and the whole."""

from __future__ import annotations

import pytest

from pachybox.cli.ingest import rate, summary, trend
from pachybox.client import IngestInfo


def info(
    name: str = "drops", state: str = "running", reason: str = "", *rates: float
) -> IngestInfo:
    return IngestInfo.from_json(
        {"ingest": {"name": name}, "state": state, "reason": reason, "rates": list(rates)}
    )


@pytest.mark.parametrize(
    ("rates", "shown"),
    [
        ((), "-"),
        ((0.0,) * 60, "0"),
        ((0.0,) * 59 + (7.0,), "7/min"),
        ((90.0,) * 60, "90/s"),
        ((5.0, 0.0), "2.5/s"),
    ],
)
def test_a_rate_is_told_in_the_unit_that_fits(rates: tuple[float, ...], shown: str) -> None:
    assert rate(info("drops", "running", "", *rates)) == shown


def test_a_trend_is_drawn_in_bars_that_anything_lifts_off_the_ground() -> None:
    assert trend(()) == ""
    assert trend((0, 0)) == ""
    assert trend((0, 1, 1000)) == "▁▂█ at most 1000/s in the last 3 s"
    assert trend((0, 0.5), plain=True) == ".# at most 0.5/s in the last 2 s"
    assert trend((9,) * 100 + (0,) * 29 + (2,)).startswith("▁" * 29 + "█ at most 2/s")


def test_a_summary_names_what_does_not_run_and_why() -> None:
    assert summary([]) == ""
    assert summary([info()]) == "1 source, all running"
    still = [info("a", "held", "the disk is 93 % full"), info("b", "paused"), info()]
    assert summary(still) == "3 sources, 2 not running: a held (the disk is 93 % full), b paused"
    many = [info(str(n), "paused") for n in range(5)]
    assert summary(many).endswith("0 paused, 1 paused, 2 paused and 2 more")
