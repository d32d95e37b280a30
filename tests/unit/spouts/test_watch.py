"""The parts of a watched folder: what it remembers, where it is, what it looks at."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from spouts.watch.after import Remover
from spouts.watch.names import CLAIMED, Names
from spouts.watch.place import Away, Place, mount_of
from spouts.watch.scan import Scan
from spouts.watch.state import FILE, GONE, Known, State
from spouts.watch.waiting import Waiting


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    made = State(tmp_path, 0)
    yield made
    made.close()


def again(state: State, tmp_path: Path, batch: int) -> State:
    state.close()
    return State(tmp_path, batch)


# ---- state


@pytest.mark.parametrize(("committed", "there"), [(0, False), (1, True)])
def test_a_batch_that_was_begun_counts_when_the_box_has_it(
    tmp_path: Path, committed: int, there: bool
) -> None:
    first = State(tmp_path, 0)
    first.begin(1, [("d/a", 3, 7, FILE)])
    later = again(first, tmp_path, committed)
    assert (later.known("d/a") == (3, 7, FILE)) is there
    later.close()


def test_a_box_that_went_back_has_its_later_files_taken_again(tmp_path: Path) -> None:
    first = State(tmp_path, 0)
    for number, name in enumerate(("a", "b", "c"), 1):
        first.begin(number, [(name, 1, 1, FILE)])
        first.finish()
    later = again(first, tmp_path, 2)
    assert [later.known(name) is not None for name in "abc"] == [True, True, False]
    later.close()


def test_deletions_and_names_of_any_bytes(state: State) -> None:
    odd = os.fsdecode(b"d/\xff")
    state.begin(1, [(odd, 1, 1, FILE), ("b", 1, 1, FILE)])
    state.finish()
    state.begin(2, [(odd, 0, 0, GONE)])
    state.finish()
    assert state.known(odd) is None
    assert state.known("b") is not None


def test_what_is_below_a_folder_is_found_by_its_name_only(state: State) -> None:
    names = ["a", "d/a", "d-x/a", "d/e/f/g", "d/e0", "d0/a", "d/é/x"]
    state.begin(1, [(name, 1, 1, FILE) for name in names])
    state.finish()
    assert set(state.below("d")) == {"d/a", "d/e/f/g", "d/e0", "d/é/x"}
    assert set(state.below("")) == set(names)
    assert set(state.children("")) == {"d", "d-x", "d0"}


# ---- place


def test_the_mount_is_the_last_that_covers_the_folder(tmp_path: Path) -> None:
    info = tmp_path / "mountinfo"
    info.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
        "2 1 0:5 / /mnt/a\\040b rw shared:1 - nfs4 server:/x rw\n"
        "3 1 0:6 / /mnt/a\\040b rw - fuse.sshfs host:/ rw\n"
    )
    found = mount_of("/mnt/a b/c", str(info))
    assert (found.point, found.kind, found.remote) == ("/mnt/a b", "fuse.sshfs", True)
    assert not mount_of("/mnt/a bc", str(info)).remote


def test_a_folder_without_its_mount_is_away(tmp_path: Path) -> None:
    assert Place(str(tmp_path)).check()
    with pytest.raises(Away, match="mount it again"):
        Place(str(tmp_path), "/mnt/elsewhere nfs4").check()
    with pytest.raises(Away, match="is gone"):
        Place(str(tmp_path / "none")).check()


def test_what_was_seen_of_a_folder_is_not_true_of_another_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    place = Place(str(folder))
    place.check()
    place.require()
    folder.rename(tmp_path / "old")
    folder.mkdir()
    with pytest.raises(Away, match="another folder"):
        place.require()
    assert place.check()
    place.require()


# ---- scan


class Seen:
    """A sink that writes down."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.missed: list[str] = []

    def found(self, name: str, status: os.stat_result, known: Known | None, whole: bool) -> None:
        if known is None or known[:2] != (status.st_size, status.st_mtime_ns):
            self.lines.append(f"new {name}")

    def gone(self, name: str, *, replaced: bool) -> None:
        self.lines.append(f"{'replaced' if replaced else 'gone'} {name}")

    def nothing(self, name: str) -> None:
        self.missed.append(name)

    def directory(self, name: str) -> None:
        self.lines.append(f"directory {name}")

    def listed(self, name: str) -> None: ...

    def claimed(self, name: str) -> None: ...

    def odd(self, name: str, what: str) -> None: ...

    def trouble(self, name: str, error: OSError) -> None:
        self.lines.append(f"trouble {name}")


def test_a_scan_finds_what_is_new_gone_or_another_in_large_folders(
    state: State, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    entries = []
    for n in range(2500):  # more than are looked at in one step
        file = root / f"{n:04}"
        file.touch()
        entries.append((file.name, 0, file.stat().st_mtime_ns, FILE))
    entries += [("sub/old", 0, 0, FILE), ("lost/deep/x", 0, 0, FILE), ("0999x", 0, 0, FILE)]
    state.begin(1, entries)
    state.finish()
    (root / "0000").unlink()
    (root / "1000").unlink()
    (root / "1000").mkdir()
    (root / "2499").write_bytes(b"more")
    (root / "sub/new").touch()
    seen = Seen()
    scan = Scan(str(root), Names("**", "/", "", all_names=False), state, seen)
    for _ in scan.tree():
        pass
    assert sorted(seen.lines) == [
        "gone 0000", "gone 0999x", "gone lost/deep/x", "gone sub/old", "new 2499", "new sub/new",
        "replaced 1000",
    ]  # fmt: skip
    seen.lines.clear()
    for name in ("0000", "sub", "lost", "2499", "sub/.x", "0001"):
        for _ in scan.one(name):
            pass
    assert seen.lines == [
        "gone 0000", "directory sub", "new sub/new", "gone sub/old", "gone lost/deep/x", "new 2499",
    ]  # fmt: skip


def test_what_could_not_be_taken_and_is_gone_is_told_so(state: State, tmp_path: Path) -> None:
    deep = "/".join(["d" * 200] * 22)  # too long to be looked at by its path
    scan = Scan(str(tmp_path), Names("**", "/", "", all_names=False), state, seen := Seen())
    here = os.open(tmp_path, os.O_PATH)
    for element in deep.split("/"):
        os.mkdir(element, dir_fd=here)
        below = os.open(element, os.O_PATH, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    for name in ("unreadable", deep, f"{deep}/gone"):
        for _ in scan.one(name):
            pass
    assert seen.lines == [f"trouble {deep}"]
    assert seen.missed == ["unreadable", f"{deep}/gone"]


# ---- waiting


def test_a_file_is_whole_when_it_rested_and_a_new_version_begins_anew() -> None:
    waiting = Waiting(settle=2.0)
    waiting.add("a", (1, 1, 1, 1), now=10.0, age=0.0)
    waiting.add("old", (1, 1, 1, 1), now=10.0, age=5.0)
    assert list(waiting.whole) == ["old"]
    waiting.add("a", (2, 2, 1, 2), now=11.0, age=0.0)
    waiting.ripen(12.5)
    assert list(waiting.whole) == ["old"]
    assert waiting.next_ripe() == 13.0
    waiting.ripen(13.0)
    assert list(waiting.first(5)) == [("old", (1, 1, 1, 1)), ("a", (2, 2, 1, 2))]


# ---- taking away


def test_a_version_that_was_not_committed_is_given_back(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"newer")
    assert not Remover(str(tmp_path), "", "").take("a", (3, 3, FILE))
    assert file.read_bytes() == b"newer"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("moves", [False, True])
def test_what_was_begun_when_it_was_killed_is_ended(tmp_path: Path, moves: bool) -> None:
    root, taken = tmp_path / "root", tmp_path / "taken"
    root.mkdir()
    taken.mkdir()
    remover = Remover(str(root), str(taken) if moves else "", "")
    claimed = root / f"{CLAIMED}a"
    claimed.write_bytes(b"one")
    row = (3, claimed.stat().st_mtime_ns, FILE)
    if moves:
        os.link(claimed, taken / "a")  # killed between the two steps of a move
    assert remover.recover(claimed.name, lambda _: row)
    assert os.listdir(root) == []
    assert os.listdir(taken) == (["a"] if moves else [])

    claimed.write_bytes(b"two")  # not committed: it is a file again
    assert remover.recover(claimed.name, lambda _: None)
    assert (root / "a").read_bytes() == b"two"
    claimed.write_bytes(b"three")
    assert not remover.recover(claimed.name, lambda _: None)
    assert (root / "a").read_bytes() == b"two"


def test_a_move_to_another_file_system_is_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, taken = tmp_path / "root", tmp_path / "taken"
    root.mkdir()
    (root / "a.b").write_bytes(b"content")
    os.utime(root / "a.b", (5, 5))
    link = os.link

    def across(source: str, target: str, **how: bool) -> None:
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, target, **how)

    monkeypatch.setattr(os, "link", across)
    assert Remover(str(root), str(taken), "").take("a.b", (7, 5 * 10**9, FILE))
    assert os.listdir(root) == []
    assert os.listdir(taken) == ["a.b"]
    assert (taken / "a.b").read_bytes() == b"content"
    assert (taken / "a.b").stat().st_mtime == 5


# ---- names


def test_names_that_are_left_out_and_what_companions_stand_for() -> None:
    names = Names("**.csv", "/to", ".ok", all_names=False)
    assert names.wanted("a/b.csv")
    assert not names.wanted("a/b.txt")
    assert not names.wanted("b.csv.ok")
    assert names.companion_of("a/b.csv.ok") == "a/b.csv"
    assert names.companion_of("a/.ok") == ""
    assert all(map(names.below_left_out, (".a", "d/.a", ".d/a", "a.TMP", "a~", "a.part")))
    assert not names.below_left_out("d/a.csv")
    assert names.in_repo("a/b.csv") == "/to/a/b.csv"
    below = Names("**/*.csv", "/", "", all_names=False)
    assert [below.wanted(name) for name in ("a.csv", "d/e/a.csv", "a.txt")] == [True, True, False]
    everything = Names("**", "/", "", all_names=True)
    assert not everything.below_left_out(".a/b.tmp")
    assert everything.below_left_out(f"{CLAIMED}a")
