"""No symbolic link leads out of a watched folder, nor out of the one that files are moved to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spouts.watch.after import Remover
from spouts.watch.folders import open_file
from spouts.watch.state import FILE, Known


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A folder, where ``d/a`` was a file once and ``d`` is a link by now, to another; a third."""
    folder, private, taken = (tmp_path / name for name in ("in", "private", "taken"))
    for path in (folder, private, taken):
        path.mkdir()
    (private / "a").write_bytes(b"private")
    (folder / "d").symlink_to(private)
    return folder, private, taken


def known(file: Path) -> Known:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, FILE


def test_a_link_in_the_place_of_a_directory_is_not_followed(
    places: tuple[Path, Path, Path],
) -> None:
    folder, private, taken = places
    with pytest.raises(NotADirectoryError):
        open_file(str(folder), "d/a")
    for move_to in ("", str(taken)):
        Remover(str(folder), move_to, "").take("d/a", known(private / "a"))
        assert os.listdir(private) == ["a"]
        assert os.listdir(taken) == []


def test_what_is_moved_away_goes_through_no_link_and_its_folders_are_as_they_were(
    places: tuple[Path, Path, Path],
) -> None:
    folder, private, taken = places
    (taken / "e").symlink_to(private)
    for name in ("e", "f"):
        (folder / name).mkdir()
        (folder / name).chmod(0o751)
        (folder / name / "b").write_bytes(b"b")
    remover = Remover(str(folder), str(taken), "")
    with pytest.raises(NotADirectoryError):
        remover.take("e/b", known(folder / "e/b"))
    assert os.listdir(private) == ["a"]
    assert os.listdir(folder / "e") == ["b"]  # to be tried again
    remover.take("f/b", known(folder / "f/b"))
    assert (taken / "f/b").read_bytes() == b"b"
    assert (taken / "f").stat().st_mode & 0o777 == 0o751
