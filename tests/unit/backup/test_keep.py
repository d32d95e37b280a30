"""Rules of what is kept: what they promise, whatever backups there are."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.backup.keep import parse_keep
from pachybox.errors import InvalidArgument

NOW = 1_800_000_000.0
BACKUPS = st.lists(st.integers(0, 400 * 24), max_size=60, unique=True).map(
    lambda hours: [(f"{n:04}", NOW - 3600 * h) for n, h in enumerate(sorted(hours, reverse=True))]
)
RULES = st.lists(
    st.one_of(
        st.builds(
            "{} {}".format,
            st.sampled_from(["last", "hourly", "daily", "weekly", "monthly", "yearly"]),
            st.integers(1, 20),
        ),
        st.integers(1, 90).map("within {}d".format),
    ),
    min_size=1,
    max_size=4,
).map(", ".join)


@given(BACKUPS, RULES, RULES)
def test_more_rules_keep_more(backups: list[tuple[str, float]], one: str, more: str) -> None:
    both = parse_keep(f"{one}, {more}").kept(backups, NOW)
    alone = parse_keep(one).kept(backups, NOW)
    assert alone <= both <= {id for id, _ in backups}


@given(BACKUPS, RULES)
def test_a_second_look_removes_nothing(backups: list[tuple[str, float]], rules: str) -> None:
    """What was kept is kept again when nothing came in between."""
    kept = parse_keep(rules).kept(backups, NOW)
    assert parse_keep(rules).kept([one for one in backups if one[0] in kept], NOW) == kept


@given(BACKUPS, st.integers(1, 20))
def test_the_newest_of_each_day_is_kept(backups: list[tuple[str, float]], count: int) -> None:
    days: dict[str, str] = {}
    for id, when in backups:
        days[time.strftime("%j %Y", time.gmtime(when))] = id
    wanted = set(list(days.values())[::-1][:count])
    assert parse_keep(f"daily {count}").kept(backups, NOW) == wanted


@given(BACKUPS, st.integers(1, 20))
def test_the_last_are_kept(backups: list[tuple[str, float]], count: int) -> None:
    assert parse_keep(f"last {count}").kept(backups, NOW) == {id for id, _ in backups[-count:]}


def test_within_takes_days_and_durations() -> None:
    backups = [("1", NOW - 90_000), ("2", NOW - 50_000), ("3", NOW - 10)]
    assert parse_keep("within 1d").kept(backups, NOW) == {"2", "3"}
    assert parse_keep("within 10h").kept(backups, NOW) == {"3"}


@pytest.mark.parametrize(
    "rules",
    ["", "last", "last 0", "last -1", "last 7 daily 3", "often 3", "7", "within x", "last 7,"],
)
def test_what_is_no_rule_is_refused(rules: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_keep(rules)
