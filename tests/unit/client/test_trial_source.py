"""Which files of a directory are source, and which of them the box has not got."""

from __future__ import annotations

from pathlib import Path

import pytest

from pachybox.client.trial_source import Folder, Sent
from pachybox.errors import InvalidArgument


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("main.py", True),
        ("a/b/.env", True),
        ("node_modules/x.js", True),
        ("main.py~", False),
        (".main.py.swp", False),
        ("a/4913", False),
        ("a/.#main.py", False),
        ("__pycache__/main.pyc", False),
        (".git/HEAD", False),
        ("a/.venv/bin/python", False),
        ("git", True),
    ],
)
def test_what_counts(path: str, counts: bool) -> None:
    assert Folder.counts(path) is counts


def test_files_of_a_folder(tmp_path: Path) -> None:
    for name in ("main.py", "data.bin", "a/x.py", ".git/HEAD"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / ".pachignore").write_text("*.bin\n")
    assert set(Folder(tmp_path).files()) == {"main.py", "a/x.py", ".pachignore"}
    (tmp_path / ".pachignore").write_text("[\n")
    with pytest.raises(InvalidArgument, match=r"\.pachignore:1"):
        Folder(tmp_path).files()
    with pytest.raises(InvalidArgument, match="is not a directory"):
        Folder(tmp_path / "main.py")
    with pytest.raises(InvalidArgument, match="does not exist"):
        Folder(tmp_path / "none")


def test_only_what_changed_is_sent(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    files: dict[str, Path | bytes] = {"one": one, "two": two, "made": b"3"}
    sent = Sent()
    assert set(sent.changes(files).put) == {"/one", "/two", "/made"}
    assert set(sent.changes(files).put) == {"/one", "/two", "/made"}  # it was not taken
    sent.accepted()
    assert not sent.changes(files)
    two.chmod(0o755)
    assert sent.changes(files).programs == ("/two",)
    assert sent.changed_rights
    sent.accepted()
    assert not sent.changed_rights
    one.write_text("1, and more")
    changes = sent.changes({"one": one, "made": b"4"})
    assert (set(changes.put), changes.deleted) == ({"/one", "/made"}, ("/two",))
    sent.accepted()
    one.unlink()
    assert sent.changes({"one": one, "made": b"4"}).deleted == ("/one",)
