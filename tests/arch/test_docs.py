"""The documents hold what they promise: links lead somewhere, lengths, clean words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pachybox.cli import settings_page, troubleshooting_page
from tests.arch.repo import ROOT, files, name

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
HEADING = re.compile(r"^#+ (.*)$", re.M)
ANCHOR = re.compile(r"\]\(#([^)]*)\)")
# Spelled so that this file passes its own test.
UNFINISHED = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b")
PRIVATE = re.compile(r"/wor[k]/|/tmp/brie[f]|pyp[i]\.org|pythonhoste[d]")
TEXT = (".py", ".md", ".toml", ".yaml", ".yml", ".json", ".sql", ".c", ".sh", ".lock", "")


@pytest.mark.parametrize("page", list(files(".md")), ids=name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{name(page)} links to {target}"


@pytest.mark.parametrize(("page", "most"), [("README.md", 150), ("CONTRIBUTING.md", 80)])
def test_front_pages_stay_short(page: str, most: int) -> None:
    assert len((ROOT / page).read_text().splitlines()) <= most


def test_every_page_of_docs_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    decisions = (ROOT / "docs" / "decisions" / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index, page.name
    for page in (ROOT / "docs" / "decisions").glob("0*.md"):
        assert f"({page.name})" in decisions, page.name


def test_decisions_say_context_choice_and_cost() -> None:
    for page in (ROOT / "docs" / "decisions").glob("0*.md"):
        text = page.read_text()
        assert re.search(r"^\d{4}-\d\d-\d\d$", text, re.M), page.name
        for part in ("## Context", "## Choice", "## Cost"):
            assert part in text, f"{page.name} has no {part}"


@pytest.mark.parametrize("words", [UNFINISHED, PRIVATE], ids=["unfinished", "private"])
def test_no_file_has_words_that_do_not_belong(words: re.Pattern[str]) -> None:
    found = [
        f"{name(path)}:{number}: {line.strip()[:80]}"
        for path in files(*TEXT)
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if words.search(line)
    ]
    assert found == []


def test_the_page_of_settings_is_up_to_date() -> None:
    written = settings_page.DOCS.read_text()
    assert settings_page.text() == written, "run: python -m pachybox.cli.settings_page"


def test_the_page_of_troubles_is_up_to_date() -> None:
    written = troubleshooting_page.DOCS.read_text()
    remedy = "run: python -m pachybox.cli.troubleshooting_page"
    assert troubleshooting_page.text() == written, remedy
    anchors = {
        re.sub(r"[^\w -]", "", a.lower()).replace(" ", "-") for a in HEADING.findall(written)
    }
    assert set(ANCHOR.findall(written)) <= anchors


def test_the_licence_is_whole() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
