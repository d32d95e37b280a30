"""Every state has a sign of its own kind, one column wide, and a word."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pachybox.model.ingest import IngestState
from pachybox.model.pfs import CommitState
from pachybox.model.pps import DatumState, JobState, PipelineState
from tui import glyphs, shown

KINDS: list[tuple[Callable[[str], glyphs.Mark], str]] = [
    *((glyphs.job, state.value) for state in JobState),
    *((glyphs.pipeline, state.value) for state in PipelineState),
    *((glyphs.datum, state.value) for state in DatumState),
    *((glyphs.ingest, state.value) for state in IngestState),
    *((glyphs.commit, state.value) for state in CommitState),
]


@pytest.mark.parametrize(("kind", "state"), KINDS)
def test_every_state_of_the_api_is_known(kind: Callable[[str], glyphs.Mark], state: str) -> None:
    mark = kind(state)
    assert mark.glyph != "?"
    assert mark.word.isalpha()
    assert mark.style in glyphs.STYLES
    assert shown.columns(mark.glyph) == 1
    assert mark.ascii.isascii()
    assert len(mark.ascii) == 1


def test_a_state_is_known_in_its_short_form_and_an_unknown_one_keeps_its_word() -> None:
    assert glyphs.job("JOB_SUCCESS") == glyphs.job("success")
    assert glyphs.job("JOB_SUCCESS").text() == "✓ success"
    assert glyphs.job("JOB_DREAMING").text() == "? dreaming"


def test_no_two_words_of_trouble_and_of_success_share_a_sign() -> None:
    for kind in (glyphs.job, glyphs.pipeline, glyphs.datum, glyphs.ingest, glyphs.commit):
        marks = {kind(state) for k, state in KINDS if k is kind}
        for ascii in (False, True):
            good = {m.sign(ascii) for m in marks if m.style == "ok"}
            bad = {m.sign(ascii) for m in marks if m.style == "bad"}
            assert not good & bad


def test_a_stopped_pipeline_is_paused_and_a_cron_that_is_well_shows_a_clock() -> None:
    assert glyphs.pipeline("PIPELINE_STANDBY", stopped=True).word == "paused"
    assert glyphs.ingest("running", "cron").glyph == "◷"
    assert glyphs.ingest("crashing", "cron").glyph == "!"
    assert glyphs.commit("FINISHED", error="no").glyph == "✗"


@pytest.mark.parametrize(
    ("encoding", "term", "ascii"),
    [
        ("UTF-8", "xterm", False),
        ("utf8", "", False),
        ("ascii", "xterm", True),
        ("utf-8", "linux", True),
        ("latin-1", "xterm", True),
    ],
)
def test_ascii_is_for_terminals_that_know_no_utf8(encoding: str, term: str, ascii: bool) -> None:
    assert glyphs.wants_ascii(encoding, {"TERM": term}) is ascii


@pytest.mark.parametrize(
    ("said", "ascii"),
    [
        ({"LC_ALL": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),  # as Python leaves LANG=C
        ({"LANG": "de_DE.ISO-8859-1"}, True),
        ({"LANG": "de_DE.UTF-8@euro"}, False),
        ({"LANG": "C.utf8"}, False),
        ({"LANG": "C", "LC_ALL": "en_GB.UTF-8"}, False),
        ({}, False),
    ],
)
def test_the_locale_that_was_asked_for_says_which_signs_there_are(
    said: dict[str, str], ascii: bool
) -> None:
    assert glyphs.wants_ascii("utf-8", {"TERM": "xterm", **said}) is ascii
