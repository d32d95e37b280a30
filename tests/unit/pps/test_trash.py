"""What nobody needs any more goes away, whatever its owner did to it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from pachybox.pps.trash import Trash


def shut_and_removed(top: Path) -> str:
    """Throw a directory away that user code has shut; what is wrong afterwards."""
    kept = top / "kept"
    kept.mkdir()
    deep = top / "home" / "shut" / "deep"
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"x")
    (deep / "out").symlink_to(kept)
    kept.chmod(0o500)
    deep.chmod(0)
    deep.parent.chmod(0)
    trash = Trash(top / "trash")
    trash.put(top / "home")
    trash.close()
    if left := [path.name for path in (top / "trash").iterdir()]:
        return f"left: {left}"
    return "" if kept.stat().st_mode & 0o777 == 0o500 else "a link was followed"


def test_directories_that_nobody_may_enter_are_removed() -> None:
    """As somebody who is not root."""
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        if os.geteuid() != 0:
            assert shut_and_removed(Path(top)) == ""
            return
        os.chown(top, 65534, 65534)
        told, tell = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.setuid(65534)
                os.write(tell, shut_and_removed(Path(top)).encode() or b"well")
            finally:
                os._exit(0)
        os.close(tell)
        with open(told) as answer:
            assert answer.read() == "well"
        os.waitpid(child, 0)


@pytest.mark.parametrize("left", ["1/f", ""])
def test_leftovers_of_an_earlier_trash_are_in_nobodys_way(tmp_path: Path, left: str) -> None:
    trash = Trash(tmp_path / "trash")
    if left:
        (tmp_path / "trash" / left).mkdir(parents=True)
    (tmp_path / "home" / "out").mkdir(parents=True)
    trash.put(tmp_path / "home")
    assert not (tmp_path / "home").exists()
    trash.close()
    assert [p for p in (tmp_path / "trash").rglob("out")] == []


def test_where_nothing_can_be_moved_it_is_removed_at_once(tmp_path: Path) -> None:
    """As on a full disk, which has no room for the directory to move it to."""
    (tmp_path / "trash").write_bytes(b"in the way")
    (tmp_path / "home" / "out").mkdir(parents=True)
    trash = Trash(tmp_path / "trash")
    trash.put(tmp_path / "home")
    assert not (tmp_path / "home").exists()
    trash.close()
