"""Programs of callers are run apart, and ended when they take too much."""

from __future__ import annotations

import threading

import pytest

from pachybox.errors import InvalidArgument
from pachybox.pps import scripts
from pachybox.pps.scripts import Filter, Matcher, render


def test_a_program_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "WALL_S", 0.2)
    with Filter("if .n == 1 then def f: f; f else true end") as chosen:
        assert chosen.keeps('{"n": 0}')
        with pytest.raises(InvalidArgument, match="runs for more than"):
            chosen.keeps('{"n": 1}')
    with (
        Matcher([r"(\w+\s?)*$"]) as matcher,
        pytest.raises(InvalidArgument, match="expression runs for more than"),
    ):
        matcher.matches("a" * 40 + "!x" * 40 + "!")
    with pytest.raises(InvalidArgument, match="runs for more than"):
        render("std.foldl(function(a, b) a + b, std.range(1, 100000000), 0)", {})


def test_a_caller_that_went_away_waits_for_nothing() -> None:
    gone = threading.Event()
    with Filter("def f: f; f", gone.is_set) as chosen:
        threading.Timer(0.1, gone.set).start()  # the filter has started
        with pytest.raises(InvalidArgument, match="given up"):
            chosen.keeps("{}")


def test_a_filter_sees_no_file_and_no_variable() -> None:
    with Filter("[env[]] | length") as chosen:
        assert chosen.keeps("{}")  # a number is true: the filter ran
    with Filter("env.HOME != null or env.PACHYBOX_TOKEN != null") as chosen:
        assert not chosen.keeps("{}")
    with pytest.raises(InvalidArgument, match="jq filter"):
        Filter('import "passwd" as $d {search: "/etc"}; $d')


def test_one_record_s_error_is_told_and_the_next_is_asked() -> None:
    with Filter(".a | length > 1") as chosen:
        assert chosen.keeps('{"a": "xy"}')
        with pytest.raises(InvalidArgument, match="has no length"):
            chosen.keeps('{"a": true}')
        assert not chosen.keeps('{"a": "x"}')
    with pytest.raises(InvalidArgument, match="longer than 1 MiB"):
        Filter(" " * (1 << 20) + ".")


def test_texts_must_fit_every_pattern() -> None:
    with Matcher(["^/a", r"\d"]) as matcher:
        assert matcher.matches("/a1")
        assert not matcher.matches("/a")
        assert not matcher.matches("/b1\udcff")
    for wrong in ("(", "a{99999999999}"):
        with pytest.raises(InvalidArgument, match="the regular expression: "):
            Matcher([wrong])
