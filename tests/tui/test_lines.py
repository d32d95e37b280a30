"""What a key does is said as a command line: undone, and run in a shell, that does the same."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.boxes import RealBox, eventually
from tests.tui.pilot import Terminal, opened
from tui.app import PachyApp
from tui.places import JOB, PIPELINE, REPO, Place

SLOW = """
pipeline: {name: slow}
input: {pfs: {repo: things, glob: "/"}}
transform: {cmd: [sh], stdin: ["echo begun", "sleep 600"]}
"""
Look = Callable[[], object]
Renamed = dict[str, str]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealBox]:
    started = RealBox(tmp_path_factory.mktemp("lines") / "home").start()
    client = started.client
    client.create_repo("things")
    client.put_file("things@master:/a.txt", b"a\n")
    client.put_file("things@master:/b.txt", b"b\n")
    yield started
    started.stop()


class Telling(PachyApp):
    """The terminal, which remembers what its footer told."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.lines: list[str] = []

    def told(self, *commands: str) -> None:
        self.lines.append("; pachybox ".join(commands))
        super().told(*commands)


async def same(
    t: Terminal, box: RealBox, word: str, look: Look, undo: Callable[[], object], shown: str = ""
) -> None:
    """After an action: ``look`` tells what is so now; once undone (names that are others then
    are replaced), the line that the footer told brings it about again. What is ``shown`` then and
    only then is waited for each time: the screen has caught up when this returns."""
    app = t.app
    assert isinstance(app, Telling)

    def told() -> str:
        return next((line for line in reversed(app.lines) if line.startswith(word)), "")

    line = await t.until(told, f"$ pachybox {word}")
    app.lines.clear()
    after = look()
    await t.sees(shown)
    found = await asyncio.to_thread(undo)
    if shown:
        await t.until(lambda: shown not in t.text, f"{shown} is gone")
    renamed = found if isinstance(found, dict) else {}
    if not renamed:
        assert look() != after, "it was undone"
    for old, new in renamed.items():
        assert old in line
        line = line.replace(old, new)
    await asyncio.to_thread(shell, box, line)
    await t.until(lambda: look() == after, f"$ pachybox {line} did the same")
    await t.sees(shown)


def shell(box: RealBox, line: str) -> None:
    """``pachybox LINE`` in a shell."""
    pachybox = f'pachybox() {{ "{sys.executable}" -m pachybox.cli "$@"; }}\n'
    script = f"set -e\n{pachybox}pachybox {line}\n"
    done = subprocess.run(
        ["sh", "-c", script], env=box.env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def test_a_repo_made_and_deleted(box: RealBox) -> None:
    client = box.client
    async with opened(box, kind=Telling, start=Place(REPO)) as t:
        await t.sees("things")
        await t.press("n")
        await t.sees("New repo?")
        await t.type("zz")
        await t.confirm("enter")
        await t.until(lambda: client.repo_exists("zz"), "made")
        there = lambda: client.repo_exists("zz")  # noqa: E731
        undo = lambda: client.delete_repo("zz")  # noqa: E731
        await same(t, box, "create repo", there, undo, shown="\u25a4 zz")
        await t.press("G", "D")
        await t.sees("Delete repo zz?")
        await t.type("zz")
        await t.confirm("enter")
        await t.until(lambda: not client.repo_exists("zz"), "deleted")
        await same(t, box, "delete repo", there, lambda: client.create_repo("zz"))


async def test_a_branch_made_and_deleted(box: RealBox) -> None:
    client = box.client
    head = client.inspect_commit("things@master").id
    async with opened(
        box, kind=Telling, start=Place(REPO, "things", "", "/a.txt"), size=(140, 40)
    ) as t:
        await t.sees("a.txt")
        await t.press("n")
        await t.sees("a branch from this commit")
        await t.confirm("enter")
        await t.sees("New branch?")
        await t.type("side")
        await t.confirm("enter")
        await t.until(lambda: client.branch_exists("things@side"), "made")

        def heads() -> dict[str, str]:
            return {b.name: b.head for b in client.list_branch("things")}

        undo = lambda: client.delete_branch("things@side")  # noqa: E731
        await same(t, box, "create branch", heads, undo, shown="side  ")
        await t.press("shift+tab", "G", "D")
        await t.sees("Delete branch side?")
        await t.type("side")
        await t.confirm("enter")
        await t.until(lambda: not client.branch_exists("things@side"), "deleted")
        await same(
            t, box, "delete branch", heads, lambda: client.create_branch("things@side", head=head)
        )


async def test_a_commit_begun_filled_emptied_and_finished(box: RealBox, tmp_path: Path) -> None:
    client = box.client
    client.create_repo("opened")
    client.put_file("opened@master:/a.txt", b"a\n")
    (tmp_path / "new.md").write_text("# new\n")

    def states() -> tuple[bool, ...]:
        return tuple(c.finished is not None for c in client.list_commit("opened@master"))

    def files() -> set[str]:
        return {f.path for f in client.list_file("opened@master:/")}

    def again() -> Renamed:
        old = client.inspect_commit("opened@master").id
        client.delete_commit(f"opened@{old}") if not states()[0] else None
        return {old: client.start_commit("opened@master")}

    async with opened(
        box, kind=Telling, start=Place(REPO, "opened", "", "/a.txt"), size=(140, 40)
    ) as t:
        await t.sees("a.txt")
        await t.press("n")
        await t.sees("start a commit")
        await t.confirm("down", "enter")
        await t.sees("Start a commit on which branch?")
        await t.confirm("enter")
        await t.until(lambda: states()[0] is False, "begun")
        begun = client.inspect_commit("opened@master").id
        await same(t, box, "start commit", states, lambda: client.delete_commit(f"opened@{begun}"))
    async with opened(
        box, kind=Telling, start=Place(REPO, "opened", "", "/a.txt"), size=(140, 40)
    ) as t:
        await t.sees("a.txt")
        await t.press("p")
        await t.sees("Put which file or folder?")
        await t.type(f"{tmp_path}/new.md")
        await t.press("enter")
        await t.sees("Put it where?")
        await t.confirm("enter")
        await t.until(lambda: "/new.md" in files(), "put")
        await same(t, box, "put file", files, lambda: client.delete_file("opened@master:/new.md"))
        await t.press("D")
        await t.sees("Delete /a.txt?")
        await t.confirm("y")
        await t.until(lambda: "/a.txt" not in files(), "deleted")
        await same(
            t, box, "delete file", files, lambda: client.put_file("opened@master:/a.txt", b"a\n")
        )
        await t.press("n")
        await t.sees("finish the open commit")
        await t.confirm("enter")
        await t.sees("Finish the commit?")
        await t.type("all of it")
        await t.confirm("enter")
        await t.until(lambda: states()[0], "finished")
        await same(t, box, "finish commit", lambda: states()[0], again)
        assert client.inspect_commit("opened@master").description == "all of it"


async def test_a_file_saved(box: RealBox, tmp_path: Path) -> None:
    target = tmp_path / "with space" / "a.txt"

    def saved() -> bytes:
        return target.read_bytes() if target.exists() else b""

    async with opened(box, kind=Telling, start=Place(REPO, "things", "", "/a.txt")) as t:
        await t.sees("a.txt")
        await t.press("ctrl+s")
        await t.sees("Save /a.txt as?")
        await t.press("ctrl+u")
        await t.type(str(target))
        await t.press("enter")
        await t.until(lambda: saved() == b"a\n", "saved")
        await same(t, box, "get file", saved, target.unlink)


async def test_a_job_stopped_run_again_and_its_log_saved(box: RealBox, tmp_path: Path) -> None:
    client = box.client
    client.create_pipelines(SLOW)
    target = tmp_path / "said.log"

    def begun() -> str:
        """The id of the job that runs."""
        rows = client.page_job(pipeline="slow").rows
        if not rows or rows[0].state != "JOB_RUNNING":
            return ""
        id = rows[0].id.rpartition("@")[2]
        said = [e.text for e in client.read_log(job=f"slow@{id}").lines]
        return id if "begun" in said else ""

    def rerun() -> Renamed:
        client.rerun_pipeline("slow")
        return {job: eventually(begun, "it runs again")}

    def newest() -> str:
        return client.page_job(pipeline="slow").rows[0].state

    def jobs() -> int:
        return client.page_job(pipeline="slow").total

    job = await asyncio.to_thread(eventually, begun, "it runs")
    async with opened(box, kind=Telling, start=Place(JOB, "slow", job)) as t:
        await t.sees("running", "begun")
        await _log_saved(t, box, target)
        await t.press("x")
        await t.sees("Stop job slow@")
        await t.confirm("y")
        await t.until(lambda: newest() == "JOB_KILLED", "stopped")
        await same(t, box, "stop job", newest, rerun)
    async with opened(box, kind=Telling, start=Place(PIPELINE, "slow")) as t:
        await t.sees("slow")
        await t.press("r")
        await t.sees("Run slow again?", "reprocess every datum")
        before = jobs()
        await t.confirm("down", "down", "enter")
        await t.until(lambda: jobs() > before, "a job more")
        await same(t, box, "rerun pipeline", lambda: jobs() > before, lambda: {"slow": "slow"})
        assert jobs() == before + 2
        await t.press("D")
        await t.sees("Delete pipeline slow?")
        await t.confirm("y")

        def there() -> bool:
            return "slow" in {p.name for p in client.list_pipeline()}

        await t.until(lambda: not there(), "deleted")
        await same(t, box, "delete pipeline", there, lambda: client.create_pipelines(SLOW))


async def _log_saved(t: Terminal, box: RealBox, target: Path) -> None:
    await t.press("tab", "ctrl+s")
    await t.sees("Save this log where?")
    await t.press("ctrl+u")
    await t.type(str(target))
    await t.confirm("enter")

    def lines() -> int:
        """How many there are; a shell has them as ``logs`` prints them."""
        return len(target.read_text().splitlines()) if target.exists() else 0

    await t.until(lambda: lines() > 0, "saved")
    await same(t, box, "logs --job", lambda: lines() > 0, target.unlink)
