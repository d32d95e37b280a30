"""How things are addressed in commands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.errors import InvalidArgument
from pachybox.model.ids import Branch, Pipeline, Repo
from pachybox.model.refs import (
    Ancestry,
    CommitRef,
    FileRef,
    ProvRef,
    parse_branch_ref,
    parse_commit_ref,
    parse_file_ref,
    parse_pipeline_ref,
    parse_prov_ref,
    parse_ref,
    parse_repo,
)

IMAGES = Repo("default", "images")
ID = "0123456789ab4def0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("master", Ancestry("master")),
        ("master^", Ancestry("master", 1)),
        ("master^^^", Ancestry("master", 3)),
        ("master~~", Ancestry("master", 2)),
        ("master^2", Ancestry("master", 2)),
        ("master~12", Ancestry("master", 12)),
        ("master^0", Ancestry("master")),
        ("master.3", Ancestry("master", 3, from_root=True)),
        (ID, Ancestry(ID)),
        (f"{ID}^", Ancestry(ID, 1)),
        ("0123abcd.1", Ancestry("0123abcd", 1, from_root=True)),
    ],
)
def test_a_ref_is_a_name_and_its_ancestry(text: str, want: Ancestry) -> None:
    assert parse_ref(text) == want
    assert parse_ref(str(want)) == want


@pytest.mark.parametrize(
    "text",
    ["master^~", "master^^2", "master^2^", "master.1^", "master.", "master^x", "a^9999999999"],
)
def test_mixed_or_broken_ancestry_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidArgument, match="invalid ancestry syntax") as caught:
        parse_ref(text)
    assert text in caught.value.message
    assert "NAME.N" in caught.value.hint


@pytest.mark.parametrize("text", ["", "^2", "a b", "a/b", "a:b", "master.0", "a\n", "é"])
def test_a_ref_needs_a_legal_name(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_ref(text)


def test_ids_and_their_beginnings_are_told_from_names() -> None:
    assert parse_ref(ID).is_id
    assert not parse_ref(ID).may_be_short_id
    assert parse_ref("01234567^").may_be_short_id
    assert not parse_ref("0123456").may_be_short_id
    assert not parse_ref("staging-01234567").may_be_short_id


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("images@master:/a", FileRef(IMAGES, Ancestry("master"), "/a")),
        ("images@master", FileRef(IMAGES, Ancestry("master"), "")),
        ("images@master:", FileRef(IMAGES, Ancestry("master"), "")),
        ("images@master^2:/x@y:z", FileRef(IMAGES, Ancestry("master", 2), "/x@y:z")),
        ("p/images@m:/*.(png|jpg)", FileRef(Repo("p", "images"), Ancestry("m"), "/*.(png|jpg)")),
        ("images.meta@m:/", FileRef(Repo("default", "images", "meta"), Ancestry("m"), "/")),
    ],
)
def test_a_file_is_split_at_the_first_at_and_the_first_colon_after_it(
    text: str, want: FileRef
) -> None:
    assert parse_file_ref(text) == want


def test_a_commit_ref_may_name_a_whole_repo() -> None:
    assert parse_commit_ref("images") == CommitRef(IMAGES, None)
    assert parse_commit_ref("images", "p") == CommitRef(Repo("p", "images"), None)
    assert parse_commit_ref("q/images@a.1", "p").repo == Repo("q", "images")
    assert str(parse_commit_ref("q/images@a^^")) == "q/images@a^2"


def test_a_provenance_ref_may_name_branch_and_commit() -> None:
    assert parse_prov_ref("images@a") == ProvRef(IMAGES, "", Ancestry("a"))
    assert parse_prov_ref(f"images@a={ID}") == ProvRef(IMAGES, "a", Ancestry(ID))
    assert parse_prov_ref("images@a=b^") == ProvRef(IMAGES, "a", Ancestry("b", 1))


def test_branches_and_pipelines_are_addressed_alike() -> None:
    assert parse_branch_ref("p/images@a") == Branch(Repo("p", "images"), "a")
    assert parse_pipeline_ref("edges^") == (Pipeline("default", "edges"), Ancestry("edges", 1))
    assert parse_pipeline_ref("p/edges.1")[0] == Pipeline("p", "edges")


@pytest.mark.parametrize(
    ("parse", "text", "form"),
    [
        (parse_file_ref, "images", "repo@branch-or-commit:/path"),
        (parse_file_ref, "images:/a", "repo@branch-or-commit:/path"),
        (parse_commit_ref, "images@", "repo@branch-or-commit"),
        (parse_branch_ref, "images", "repo@branch"),
        (parse_branch_ref, "images@a^", "letters"),
        (parse_prov_ref, "images@a=", "repo@branch=commit"),
        (parse_prov_ref, "images@=b", "name"),
        (parse_repo, "images.nope", "images.spec"),
        (parse_repo, "a/b/c", "letters"),
        (parse_repo, "/c", "name"),
        (parse_pipeline_ref, "_x", "letter"),
    ],
)
def test_a_refused_address_shows_the_form(
    parse: Callable[[str], object], text: str, form: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert form in caught.value.hint


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for parse in (parse_file_ref, parse_commit_ref, parse_prov_ref, parse_branch_ref):
        try:
            value = parse(text)
        except InvalidArgument:
            continue
        assert parse(str(value)) == value
