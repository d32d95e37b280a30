"""The repo view on a real box: what is there is found, shown, compared, and changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pachybox.client import Client
from tests.boxes import RealBox
from tests.tui import preview_files as made
from tests.tui.pilot import Terminal, opened
from tui.places import REPO, Place
from tui.screens.repo_path import complete
from tui.screens.repo_view import RepoView

MANY = 50_000


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    """A box with repo raw (two commits on master) and repo many (one big folder)."""
    started = RealBox(tmp_path_factory.mktemp("repo") / "home").start()
    fill(started.client)
    yield started
    started.stop()


def fill(client: Client) -> None:
    client.create_repo("raw", "from the cameras")
    with client.put("raw@master", description="first") as put:
        put.data("/2024/07/cam3.csv", made.CSV)
        put.data("/2024/07/index.json", b'{"a": 1}')
        put.data("/notes.txt", b"one\ntwo\nthree\n")
    with client.put("raw@master", description="nightly") as put:
        put.data("/2024/07/cam3.png", made.image("PNG", (640, 480)))
        put.data("/2024/07/index.json", made.JSON)
        put.data("/2024/07/rows.parquet", made.parquet())
        put.data("/notes.txt", b"one\n2\nthree\n")
    client.create_repo("many")
    with client.put("many@master") as put:
        for number in range(MANY):
            put.data(f"/all/{number:05d}.txt", b"x")


def fresh(box: RealBox, name: str) -> Client:
    """A repo of its own for a test that changes something."""
    box.client.create_repo(name)
    box.client.put_file(f"{name}@master:/a.txt", b"a\n")
    box.client.put_file(f"{name}@master:/b.txt", b"b\n")
    return box.client


def view_of(terminal: Terminal) -> RepoView:
    """The view of a repo in front."""
    view = terminal.app.view
    assert isinstance(view, RepoView)
    return view


async def on(terminal: Terminal, path: str) -> None:
    """Move down the tree until the pane shows ``path``."""
    name = path.rstrip("/").rpartition("/")[2]
    await terminal.sees(name)
    view = view_of(terminal)
    for _ in range(60):
        if view.file_tree.cursor_id == path:
            await terminal.until(lambda: path in str(view.preview.border_title), path)
            return
        await terminal.press("j")
        await terminal.pilot.pause()
    raise AssertionError(f"{path} was not reached\n{terminal.text}")


def place(repo: str, path: str = "", ref: str = "") -> Place:
    return Place(REPO, repo, ref, path)


async def test_repos_lead_to_branches_files_and_a_preview(box: RealBox) -> None:
    async with opened(box, start=Place(REPO)) as terminal:
        await terminal.sees("raw", "from the cameras", "many")
        await terminal.press("G", "enter")
        await terminal.sees("Repos > raw > master", "nightly", "2024/", "notes.txt")
        await terminal.sees("+2 ~2 -0", "~ /notes.txt", "14B -> 12B")
        await terminal.press("enter")
        await terminal.sees("v 2024/", "07/")
        await terminal.press("l")  # into 2024
        await terminal.until(
            lambda: view_of(terminal).file_tree.cursor_id == "/2024/07/", "the cursor is on 07"
        )
        await terminal.press("right")
        await terminal.sees("v 07/", "+ cam3.png", "~ index.json", "  cam3.csv")
        await on(terminal, "/2024/07/cam3.csv")
        await terminal.sees("[preview]", "lux", "integer", "first 500 of 1,200 rows", "null")
        await terminal.sees("$ pachybox get file")
        await terminal.press("h")
        await terminal.press("h")
        await terminal.sees("> 07/")


async def test_each_kind_of_file_has_its_preview(box: RealBox) -> None:
    async with opened(box, start=place("raw", "/2024/07/cam3.csv"), size=(140, 40)) as terminal:
        await terminal.sees("first 500 of 1,200 rows")
        await on(terminal, "/2024/07/cam3.png")
        await terminal.sees("\u2580\u2580\u2580", "PNG, 640 x 480")
        await on(terminal, "/2024/07/index.json")
        await terminal.sees('name: "raw"', "> list: [1,200]")
        await terminal.press("enter", "j", "enter")
        await terminal.sees("v list: [1,200]", "0: 0")
        await terminal.press("escape")
        await on(terminal, "/2024/07/rows.parquet")
        await terminal.sees("struct(a big", "name1", "first 200 of 1,000 rows")
        await terminal.press("right_square_bracket")
        await terminal.sees("[schema]", "element", "INT_64")
        await terminal.press("right_square_bracket")
        await terminal.sees("[row groups]", "l, list, element", "name998")
        await terminal.press("right_square_bracket")
        await terminal.sees("[hex]", "00000000  50 41 52 31")


async def test_more_of_a_file_is_shown_on_enter(box: RealBox) -> None:
    async with opened(box, start=place("raw", "/2024/07/cam3.csv")) as terminal:
        await terminal.sees("Enter shows more; first 500")
        await terminal.press("enter", "enter")
        await terminal.sees("1,200 rows, 3 columns")


async def test_text_is_found_in_a_file_and_only_what_matches_can_be_shown(box: RealBox) -> None:
    async with opened(box, start=place("raw", "/notes.txt")) as terminal:
        await terminal.sees("one", "three")
        await terminal.press("enter", "slash")
        await terminal.type("th")
        await terminal.press("enter", "ampersand")
        await terminal.until(lambda: "three" in terminal.text and "one" not in terminal.text, "&")
        await terminal.press("ampersand")
        await terminal.sees("one", "three")


async def test_a_difference_is_shown_of_a_file_and_of_two_commits(box: RealBox) -> None:
    async with opened(box, start=place("raw", "/notes.txt"), size=(140, 40)) as terminal:
        await terminal.sees("nightly", "three")
        await terminal.press("d")
        await terminal.sees("[diff]", "-two", "+2", "@@ -1,3 +1,3 @@", "diff file raw@master")
        await terminal.press("escape", "shift+tab", "enter")
        await terminal.sees("Branches - [Commits]", "first")
        await terminal.press("d")
        await terminal.press("j")
        first = [c.id for c in box.client.list_commit("raw")][-1]
        await terminal.sees(f"raw > master > {first[:8]}", f"-> {first[:8]}  +0 ~2 -2")
        await terminal.press("d")
        await terminal.sees("- /2024/07/cam3.png", "diff file raw@")
        await terminal.press("enter")
        await terminal.sees("[diff]", "binary files differ")


async def test_history_and_lineage_of_a_file_are_tabs_that_lead_on(box: RealBox) -> None:
    client = box.client
    client.create_repo("seen")
    client.put_file("seen@master:/x", b"1")
    client.create_branch("seen@made", provenance=["raw@master"])
    async with opened(box, start=place("raw", "/notes.txt"), size=(160, 45)) as terminal:
        await terminal.sees("three")
        await terminal.press("left_square_bracket", *["left_square_bracket"] * 3)
        commits = [c.id for c in client.list_commit("raw")]
        await terminal.sees("[history]", commits[0][:8], commits[1][:8], "2 versions")
        await terminal.press("less_than_sign")
        await terminal.sees("[provenance]", "put by a user")
        await terminal.press("greater_than_sign")
        await terminal.sees("[used by]", "made  seen@made")
        await terminal.press("enter")
        await terminal.sees("Repos > seen > made")
        await terminal.press("minus")
        await terminal.sees("Repos > raw > master")


async def test_a_name_can_be_copied(box: RealBox) -> None:
    async with opened(box, start=place("raw", "/notes.txt")) as terminal:
        await terminal.sees("three")
        await terminal.press("y")
        await terminal.sees("Copy what?", "raw@master:/notes.txt")
        await terminal.confirm("enter")
        await terminal.until(lambda: terminal.app.clipboard == "raw@master:/notes.txt", "copied")


async def test_a_file_is_put_into_an_open_commit_and_deleted_from_it(
    box: RealBox, tmp_path: Path
) -> None:
    client = fresh(box, "written")
    (tmp_path / "new one.txt").write_text("new")
    async with opened(box, start=place("written"), size=(140, 40)) as terminal:
        await terminal.sees("a.txt")
        await terminal.press("n")
        await terminal.sees("start a commit")
        await terminal.confirm("down", "enter")
        await terminal.sees("Start a commit on which branch?")
        await terminal.confirm("enter")
        await terminal.sees("open", "start commit written@master")
        await terminal.press("p")
        await terminal.sees("Put which file or folder?")
        await terminal.type(f"{tmp_path}/ne")
        await terminal.pilot.pause()
        await terminal.until(
            lambda: "new one" in terminal.text, "the path is completed as it is typed"
        )
        await terminal.press("tab", "enter")
        head = client.inspect_branch("written@master").head
        await terminal.sees("Put it where?", f"written@{head}:/new one.txt")
        await terminal.confirm("enter")
        await terminal.until(lambda: client.file_exists(f"written@{head}:/new one.txt"), "put")
        await terminal.sees("new one.txt", "put file 'written@")
        client.put_file(f"written@{head}:/from_elsewhere.txt", b"x")
        await terminal.sees("from_elsewhere.txt")  # an open commit is looked at again
        await terminal.press("g")
        await on(terminal, "/b.txt")
        await terminal.press("D")
        await terminal.sees("Delete /b.txt?", "$ pachybox delete file writt")
        await terminal.confirm("y")
        await terminal.until(lambda: not client.file_exists(f"written@{head}:/b.txt"), "deleted")
        await terminal.until(lambda: " b.txt" not in terminal.text, "gone from the screen")
        await terminal.press("n")
        await terminal.sees("finish the open commit")
        await terminal.confirm("enter")
        await terminal.sees("Finish the commit?")
        await terminal.type("all of it")
        await terminal.confirm("enter")
        await terminal.until(lambda: client.inspect_commit(f"written@{head}").finished, "finished")
        await terminal.sees("all of it")


async def test_files_of_a_finished_commit_are_not_deleted_and_it_is_said_why(box: RealBox) -> None:
    async with opened(box, start=place("raw", "/notes.txt")) as terminal:
        await terminal.sees("three")
        await terminal.press("D")
        await terminal.sees("files are deleted in an open commit")
        assert box.client.file_exists("raw@master:/notes.txt")


async def test_a_file_is_saved_and_overwritten_only_when_asked(
    box: RealBox, tmp_path: Path
) -> None:
    target = tmp_path / "deep" / "notes.txt"
    async with opened(box, start=place("raw", "/notes.txt")) as terminal:
        await terminal.sees("three")
        for step in ("new", "keep", "replace"):
            await terminal.press("ctrl+s")
            await terminal.sees("Save /notes.txt as?")
            await terminal.press("ctrl+u")
            await terminal.type(str(target))
            await terminal.press("enter")
            if step != "new":
                await terminal.sees("Overwrite")
                await terminal.confirm("escape" if step == "keep" else "o")
            if step == "keep":
                await terminal.until(lambda: "Overwrite" not in terminal.text, "kept")
                assert target.read_bytes() == b"mine"
            else:
                await terminal.until(
                    lambda: target.exists() and target.read_bytes() == b"one\n2\nthree\n", "saved"
                )
                await terminal.until(lambda: "saving" not in terminal.text, "over")
                if step == "new":
                    target.write_bytes(b"mine")


async def test_a_folder_is_saved_with_all_below_it(box: RealBox, tmp_path: Path) -> None:
    async with opened(box, start=place("raw")) as terminal:
        await terminal.sees("2024/")
        await terminal.press("ctrl+s")
        await terminal.sees("Save /2024/ as?")
        await terminal.press("ctrl+u")
        await terminal.type(str(tmp_path / "out"))
        await terminal.press("enter")
        file = tmp_path / "out" / "07" / "cam3.csv"
        await terminal.until(lambda: file.exists() and file.read_bytes() == made.CSV, "saved")


async def test_all_that_is_marked_is_saved_into_a_folder(box: RealBox, tmp_path: Path) -> None:
    async with opened(box, start=place("raw", "/2024/07/cam3.csv")) as terminal:
        await terminal.sees("lux")
        await terminal.press("space", "j", "space")
        await terminal.press("ctrl+s")
        await terminal.sees("Save 2 files into which folder?")
        await terminal.press("ctrl+u")
        await terminal.type(str(tmp_path))
        await terminal.press("enter")
        await terminal.until(lambda: len(list(tmp_path.glob("*.*"))) == 2, "both are saved")


async def test_an_editor_is_given_a_copy(
    box: RealBox,
) -> None:
    async with opened(box, start=place("raw", "/notes.txt")) as terminal:
        await terminal.sees("three")
        await terminal.press("E")  # no terminal to suspend under a test: the copy is named
        await terminal.sees("no terminal for an editor here")
        told = terminal.app.notices.all[0].text
        copy = Path(told.rpartition(" is in ")[2])
        assert copy.read_bytes() == b"one\n2\nthree\n"


async def test_what_the_box_knows_of_a_file_is_shown_as_yaml(box: RealBox) -> None:
    async with opened(box, start=place("raw", "/notes.txt")) as terminal:
        await terminal.sees("three")
        await terminal.press("o")
        await terminal.sees("raw@master:/notes.txt", "fileType: FILE")


async def test_a_branch_is_made_and_deleted_once_its_name_is_typed(box: RealBox) -> None:
    client = fresh(box, "branched")
    async with opened(box, start=place("branched"), size=(140, 40)) as terminal:
        await terminal.sees("a.txt")
        await terminal.press("n")
        await terminal.sees("a branch from this commit")
        await terminal.confirm("enter")
        await terminal.sees("New branch?")
        await terminal.type("side")
        await terminal.confirm("enter")
        await terminal.until(lambda: client.branch_exists("branched@side"), "made")
        await terminal.sees("> side", "create branch branched@side")
        await terminal.press("shift+tab")
        await terminal.press("D")
        await terminal.sees("Delete branch side?", "Its commits stay")
        await terminal.type("sid")
        await terminal.confirm("enter")
        assert client.branch_exists("branched@side")
        await terminal.type("e")
        await terminal.press("enter")
        await terminal.until(lambda: not client.branch_exists("branched@side"), "deleted")


async def test_a_repo_is_made_and_deleted_once_its_name_is_typed(box: RealBox) -> None:
    async with opened(box, start=Place(REPO)) as terminal:
        await terminal.sees("raw")
        await terminal.press("n")
        await terminal.sees("New repo?")
        await terminal.type("zz")
        await terminal.confirm("enter")
        await terminal.until(lambda: box.client.repo_exists("zz"), "made")
        await terminal.sees("> \u25a4 zz", "create repo zz")
        await terminal.press("D")
        await terminal.sees("Delete repo zz?", "0 commits")
        await terminal.type("zz")
        await terminal.confirm("enter")
        await terminal.until(lambda: not box.client.repo_exists("zz"), "deleted")
        await terminal.until(lambda: "\u25a4 zz" not in terminal.text, "gone")


async def test_a_name_of_any_letters_is_shown_as_it_is(box: RealBox) -> None:
    name = "/[bold]x[red] \\[y.txt"
    box.client.create_repo("odd")
    box.client.put_file(f"odd@master:{name}", b"[red]z")
    async with opened(box, start=place("odd")) as terminal:
        await terminal.sees(name[1:], f" {name}", "[red]z")


async def test_a_commit_made_elsewhere_comes_into_sight(box: RealBox) -> None:
    client = fresh(box, "grown")
    async with opened(box, start=place("grown")) as terminal:
        await terminal.sees("a.txt", "b.txt")
        for number in range(8):
            client.put_file(f"grown@master:/more{number}", b"x")
        head = client.inspect_branch("grown@master").head
        await terminal.sees("more0", "more7", f"grown > master > {head[:8]}")


async def test_a_commit_whose_job_runs_is_awaited_without_an_error(
    box: RealBox, tmp_path: Path
) -> None:
    client, gate = fresh(box, "asked"), tmp_path / "gate"
    client.create_pipeline(
        "made",
        input={"pfs": {"repo": "asked", "glob": "/"}},
        cmd=["sh", "-e"],
        stdin=[f"until rm {gate} 2> /dev/null; do sleep 0.05; done", "cp /pfs/asked/* /pfs/out/"],
    )
    async with opened(box, start=place("made")) as terminal:
        await terminal.sees("its job is not over", "open")
        gate.touch()
        await terminal.sees("a.txt", "b.txt")
        client.put_file("asked@master:/c.txt", b"c")
        await terminal.sees("open", "a.txt", "b.txt")  # those of the commit before stay
        gate.touch()
        await terminal.sees("c.txt")
        assert not terminal.app.notices.all
    client.delete_pipeline("made", force=True)


async def test_in_read_only_mode_nothing_is_changed(box: RealBox) -> None:
    async with opened(box, start=place("raw", "/notes.txt"), read_only=True) as terminal:
        await terminal.sees("three")
        for key in ("n", "p", "D"):
            await terminal.press(key)
            await terminal.sees("read-only")
            assert len(terminal.app.screen_stack) == 2


async def test_a_folder_of_many_entries_is_read_by_pages(box: RealBox) -> None:
    async with opened(box, start=place("many")) as terminal:
        await terminal.sees("> all/")
        await terminal.press("l")
        await terminal.sees("v all/", "00000.txt", "00010.txt")
        await terminal.press("G")
        await terminal.sees(f"{MANY - 1:05d}.txt")
        view = view_of(terminal)
        assert view.file_tree.files is not None
        assert view.file_tree.files.known <= 4_000
        await terminal.press("slash")
        await terminal.type("0123")
        await terminal.sees("/all/01234.txt")
        await terminal.press("escape")


async def test_one_pane_at_a_time_where_it_is_narrow(box: RealBox) -> None:
    async with opened(box, start=place("raw", "/notes.txt"), size=(80, 24)) as terminal:
        await terminal.sees("notes.txt", "nightly")
        assert "[preview]" not in terminal.text
        await terminal.press("enter")
        await terminal.sees("[preview]", "three")
        assert "nightly" not in terminal.text
        await terminal.press("escape")
        await terminal.sees("nightly")


async def test_a_repo_without_a_commit_and_what_is_gone_are_said_to_be_so(
    box: RealBox,
) -> None:
    box.client.create_repo("bare")
    async with opened(box, start=place("bare")) as terminal:
        await terminal.sees("no branches yet", "there is no commit yet")
    async with opened(box, start=place("never")) as terminal:
        await terminal.sees("not found")
    async with opened(box, start=place("raw", "/never.txt")) as terminal:
        await terminal.sees("notes.txt", "/never.txt", "not found")


def test_a_path_is_completed_by_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "alpha").mkdir()
    (tmp_path / "alpine.txt").write_text("")
    assert complete(f"{tmp_path}/al") == f"{tmp_path}/alpha/"
    assert complete(f"{tmp_path}/alpi") == f"{tmp_path}/alpine.txt"
    assert complete(f"{tmp_path}/x") is None
    assert complete(f"{tmp_path}/nothere/x") is None
