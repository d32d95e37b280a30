"""Finding the program, spelling /pfs another way, becoming someone else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.errors import Refused
from pachybox.worker.identity import Identity, choose, resolve
from pachybox.worker.init import CannotRun, find_program
from pachybox.worker.plain import rewrite
from pachybox.worker.sandbox import _outermost


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/pfs", "/w"),
        ("/pfs/in/a", "/w/in/a"),
        ("cp /pfs/in/* /pfs/out; ls '/pfs'", "cp /w/in/* /w/out; ls '/w'"),
        ("--in=/pfs/in", "--in=/w/in"),
        ("a:/pfs/b:/pfs", "a:/w/b:/w"),
        ("${X}/pfs", "${X}/w"),
        ("/pfs2 /pfs.txt /pfs-old /pfs_x", "/pfs2 /pfs.txt /pfs-old /pfs_x"),
        ("/mnt/pfs/x ./pfs ../pfs ~/pfs s3://pfs/x x/pfs", None),
    ],
)
def test_pfs_is_rewritten_where_a_path_begins_with_it(text: str, expected: str | None) -> None:
    assert rewrite(text, "/w") == (text if expected is None else expected)


@given(st.text())
def test_text_without_pfs_stays_as_it_is(text: str) -> None:
    if "/pfs" not in text:
        assert rewrite(text, r"\1/w") == text


def test_a_program_is_found_as_a_shell_finds_it(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "tool").write_text("#!/bin/sh\n")
    (second / "tool").chmod(0o755)
    (first / "sub").mkdir()
    path = f"{first}:{second}"
    assert find_program("tool", path) == f"{second}/tool"
    assert find_program(f"{second}/tool", "") == f"{second}/tool"
    with pytest.raises(CannotRun, match=r"^command not found: absent$"):
        find_program("absent", path)
    with pytest.raises(CannotRun, match=r"^command not found: tool \(.*first/tool is not exec"):
        find_program("tool", str(first))
    with pytest.raises(CannotRun, match=r"^command not found: sub .*is a directory"):
        find_program("sub", path)


def test_users_are_names_or_numbers_with_or_without_a_group() -> None:
    assert resolve("root") == resolve("0") == Identity(0, 0, "root", "/root")
    assert resolve("root:12345") == Identity(0, 12345, "root", "/root")
    assert resolve("root:root").gid == 0
    assert resolve("54321") == Identity(54321, 54321)
    assert resolve("54321:9") == Identity(54321, 9)
    assert resolve("54321").environment() == {}
    for unknown in ("no-such-user", "-1", "1x", "4294967295", "99999999999"):
        with pytest.raises(Refused, match="does not exist on this machine"):
            resolve(unknown)


def test_the_user_one_is_already_needs_no_right() -> None:
    assert choose("", may_switch=False) is None
    assert choose(f"{os.geteuid()}:{os.getegid()}", may_switch=False) is None
    with pytest.raises(Refused, match="cannot run as user '54321'"):
        choose("54321", may_switch=False)
    assert choose("54321", may_switch=True) == Identity(54321, 54321)


def test_hidden_directories_inside_another_are_hidden_with_it() -> None:
    assert _outermost(["/a/b", "/a", "/ab", "/", "/c/d", "/c/d"]) == ["/a", "/ab", "/c/d"]
