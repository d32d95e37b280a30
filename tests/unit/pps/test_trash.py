"""Directories removed whatever user code made of them."""

from __future__ import annotations

import os
from pathlib import Path

from pachybox.pps.trash import Trash, remove_tree


def deep(folder: Path, depth: int) -> None:
    """Directories inside each other, deeper than a path can say."""
    folder.mkdir()
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("f", os.O_CREAT, dir_fd=at))
    os.close(at)


def test_a_directory_deeper_than_a_path_can_say_is_removed(tmp_path: Path) -> None:
    deep(tmp_path / "x", 5000)
    remove_tree(tmp_path / "x")
    assert os.listdir(tmp_path) == []


def test_names_that_the_removal_uses_itself_and_closed_directories_are_no_hindrance(
    tmp_path: Path,
) -> None:
    top = tmp_path / "x"
    for i in range(20):
        (top / "a" / f".{i}" / f".{i}" / ".1").mkdir(parents=True)
        (top / f".{i}" / "full").mkdir(parents=True)
        (top / "a" / f".{i}" / "f").write_bytes(b"x")
    (top / ".20").write_bytes(b"a file of such a name")
    (top / ".21").symlink_to(tmp_path)
    (top / ".5").chmod(0)
    (top / "a" / ".7").chmod(0o300)
    (top / "a").chmod(0o500)
    (tmp_path / "kept").write_bytes(b"")
    remove_tree(top)
    assert os.listdir(tmp_path) == ["kept"]


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "f").write_bytes(b"")
    (tmp_path / "x" / "d").mkdir(parents=True)
    (tmp_path / "x" / "d" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "y").symlink_to(tmp_path / "kept")
    remove_tree(tmp_path / "x")
    remove_tree(tmp_path / "y")
    remove_tree(tmp_path / "none")
    assert sorted(os.listdir(tmp_path)) == ["kept", "y"]
    assert os.listdir(tmp_path / "kept") == ["f"]


def test_trash_is_emptied_whatever_was_in_it(tmp_path: Path) -> None:
    trash = Trash(tmp_path / "trash")
    deep(tmp_path / "a", 1500)
    deep(tmp_path / "b", 1)
    trash.put(tmp_path / "a")
    trash.put(tmp_path / "b")
    trash.close()
    assert os.listdir(tmp_path) == ["trash"]
    assert os.listdir(tmp_path / "trash") == []
