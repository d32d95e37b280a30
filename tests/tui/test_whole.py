"""The terminal as a whole on a real box: from data to results, beside others, at a distance."""

from __future__ import annotations

import asyncio
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from pachybox.client import AsyncClient
from tests.boxes import RealBox
from tests.tui.busy import fill
from tests.tui.pilot import Terminal, opened
from tui.app import PachyApp
from tui.keymap import OF, VIEW
from tui.places import HOME, INGEST, JOB, LINEAGE, MODES, PIPELINE, REPO, Place
from tui.screens.home import Home
from tui.screens.ingest import Ingests
from tui.screens.job import Jobs
from tui.screens.job_detail import JobDetail
from tui.screens.lineage import Lineage
from tui.screens.pipeline import Pipelines
from tui.screens.pipeline_detail import PipelineDetail
from tui.screens.repo import Repos
from tui.screens.repo_view import RepoView

VIEWS = (Home, Repos, RepoView, Pipelines, PipelineDetail, Jobs, JobDetail, Ingests, Lineage)


@pytest.fixture(scope="module")
def busy(shared_box: RealBox, tmp_path_factory: pytest.TempPathFactory) -> RealBox:
    return fill(shared_box, tmp_path_factory.mktemp("in"))


def test_every_verb_of_the_table_is_one_of_some_view() -> None:
    for id in OF[VIEW]:
        assert [view for view in VIEWS if hasattr(view, f"do_{id}")], id


async def test_a_file_becomes_a_job_a_log_and_a_result_that_is_seen(
    busy: RealBox, tmp_path: Path
) -> None:
    (tmp_path / "new.md").write_text("# from the terminal\n")
    before = busy.client.page_job(pipeline="copy").total
    async with opened(busy, start=Place(REPO, "raw", "master"), size=(160, 48)) as t:
        await t.sees("a.csv")
        await t.press("p")
        await t.sees("Put which file or folder?")
        await t.type(f"{tmp_path}/new.md\n")
        await t.sees("Put it where?")
        await t.confirm("enter")
        await t.sees("put file raw@master:/new.md")
        await t.press("colon")
        await t.type("jobs\n")
        await t.until(lambda: t.app.current_mode == JOB, "jobs")
        newest = await t.until(
            lambda: (
                busy.client.page_job(pipeline="copy").rows[0].state == "JOB_SUCCESS"
                and busy.client.page_job(pipeline="copy").total > before
                and busy.client.page_job(pipeline="copy").rows[0].id
            ),
            "a new job of copy",
        )
        await t.press("colon")
        await t.type(f"copy@{newest}\n")
        await t.sees(f"copy@{str(newest)[:8]}", "copied")
        await t.press("greater_than_sign")
        await t.sees("new.md")
        await t.press("colon")
        await t.type("copy@master:/new.md\n")
        await t.sees("from the terminal")


def seen(t: Terminal) -> set[str]:
    """The first two words of each line inside the frame."""
    return {" ".join(line.strip("│>").split()[:2]) for line in t.lines()}


async def test_two_terminals_and_the_command_line_see_the_same(busy: RealBox) -> None:
    async with opened(busy, start=Place(REPO)) as one, opened(busy, start=Place(REPO)) as other:
        await one.sees("raw", "copy")
        await other.sees("raw", "copy")
        await asyncio.to_thread(busy.cli, "create", "repo", "shared")
        await one.sees("shared")
        await other.sees("shared")
        await one.press("n")
        await one.sees("New repo?")
        await one.confirm(*"second", "enter")
        await other.sees("second")
        listed = await asyncio.to_thread(busy.cli, "list", "repo")
        assert "second" in listed
        assert "shared" in listed
        await asyncio.to_thread(busy.cli, "delete", "repo", "shared")
        await asyncio.to_thread(busy.cli, "delete", "repo", "second")
        for t in (one, other):
            await t.until(lambda t=t: not {"▤ shared", "▤ second"} & seen(t), "gone")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_nothing_holds_the_loop_for_long_on_a_walk_through_all_modes(
    busy: RealBox, size: tuple[int, int]
) -> None:
    late: list[float] = []

    async def probe() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.005)
            late.append(time.perf_counter() - begun - 0.005)

    async with opened(busy, size=size) as t:
        await t.sees("live", "Pipelines 5")
        task = asyncio.create_task(probe())
        for number, mode in enumerate(MODES, 1):
            await t.press(str(number))
            await t.until(lambda mode=mode: t.app.current_mode == mode, mode)
            await t.press("j", "j", "k", "enter", "tab", "j", "escape", "escape")
        task.cancel()
    late.sort()
    assert late[len(late) * 95 // 100] < 0.5, late[-10:]  # strict figures: benchmarks/tui_walk.py


@contextmanager
def at_a_distance(box: RealBox, folder: Path, way_s: float) -> Iterator[Path]:
    """A socket at which the box answers, each part ``way_s`` later in either direction."""
    path = folder / "far.sock"
    sockets: list[socket.socket] = []

    def carry(here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(1 << 20):
                time.sleep(way_s)  # the way itself
                there.sendall(data)
        with suppress(OSError):
            there.shutdown(socket.SHUT_RDWR)

    def meet() -> None:
        with suppress(OSError):
            while True:
                here, _ = server.accept()
                there = socket.socket(socket.AF_UNIX)
                there.connect(str(box.socket))
                sockets.extend((here, there))
                for pair in ((here, there), (there, here)):
                    threads.append(threading.Thread(target=carry, args=pair))
                    threads[-1].start()

    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(64)
    threads = [threading.Thread(target=meet)]
    threads[0].start()
    try:
        yield path
    finally:
        for one in (server, *sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for one in (server, *sockets):
            one.close()


async def test_keys_answer_at_once_though_the_box_is_far(busy: RealBox, tmp_path: Path) -> None:
    way_s = 0.4  # a busy machine takes a third of a second for a key
    with at_a_distance(busy, tmp_path, way_s) as path:
        connect: Callable[[], AsyncClient] = lambda: AsyncClient(str(path))  # noqa: E731
        async with opened(connect, start=Place(JOB)) as t:
            await t.sees("live", "ocr@", "failure")
            table = t.app.screen.query_one("#jobs")
            for _ in range(5):
                before = table.cursor_id  # type: ignore[attr-defined]
                begun = time.perf_counter()
                await t.press("j")
                assert table.cursor_id != before  # type: ignore[attr-defined]
                took = time.perf_counter() - begun
                if took < way_s:
                    break
            else:
                raise AssertionError(f"a key took {took:.3f} s, as if it had asked the box")


async def test_a_read_only_terminal_refuses_all_that_changes_with_its_reason(
    busy: RealBox,
) -> None:
    places = (Place(HOME), Place(REPO), Place(REPO, "raw", "master"), Place(PIPELINE),
              Place(PIPELINE, "copy"), Place(JOB), Place(INGEST), Place(LINEAGE))  # fmt: skip
    for place in places:
        async with opened(busy, start=place, read_only=True) as t:
            await t.sees("live", "read-only")
            view = await t.until(lambda t=t: t.app.view, "a view")
            for key in OF[VIEW].values():
                if key.changes and view.has(key):
                    assert view.refused(key).startswith("read-only"), (place, key.name)


# What is done by a key is said as a command line; run in a shell that does the same.


async def _said(t: Terminal, word: str) -> str:
    """The command line that the footer shows, once it begins so."""
    from tui.widgets.chrome import Footer

    def shown() -> str:
        view = t.app.view
        said = view.query_one(Footer).command if view and view.is_mounted else ""
        return said if said.startswith(word) else ""

    return await t.until(shown, f"$ pachybox {word}")


def _paused(box: RealBox) -> bool:
    return box.client.inspect_ingest("posts").paused


def _stopped(box: RealBox) -> bool:
    return box.client.inspect_pipeline("joined").stopped


def _jobs(box: RealBox) -> int:
    return box.client.page_job(pipeline="hourly").total


ACTS = [
    pytest.param(
        Place(INGEST, "posts"), "to       raw@posts", "s", "pause ingest", _paused, id="pause"
    ),
    pytest.param(
        Place(INGEST, "posts"), "to       raw@posts", "s", "resume ingest", _paused, id="resume"
    ),
    pytest.param(Place(PIPELINE, "joined"), "joined", "s", "stop pipeline", _stopped, id="stop"),
    pytest.param(Place(PIPELINE, "joined"), "joined", "s", "start pipeline", _stopped, id="start"),
    pytest.param(Place(PIPELINE, "hourly"), "hourly", "t", "run cron", _jobs, id="tick"),
    pytest.param(
        Place(INGEST, "hourly_tick"), "from     @every 1h", "t", "run ingest", _jobs, id="run"
    ),
]
_BACK = {
    "pause ingest": "resume ingest posts",
    "resume ingest": "pause ingest posts",
    "stop pipeline": "start pipeline joined",
    "start pipeline": "stop pipeline joined",
}


@pytest.mark.parametrize(("place", "sees", "key", "said", "state"), ACTS)
async def test_the_line_that_is_shown_does_the_same_in_a_shell(
    busy: RealBox,
    place: Place,
    sees: str,
    key: str,
    said: str,
    state: Callable[[RealBox], object],
) -> None:
    async with opened(busy, start=place, size=(160, 40)) as t:
        await t.sees("live", sees)
        before = await asyncio.to_thread(state, busy)
        if said in ("resume ingest", "start pipeline") and not before:
            await asyncio.to_thread(busy.cli, *shlex.split(_BACK[said]))
            before = True
            await t.sees("paused")
        await t.press(key)
        line = await _said(t, said)
        await t.until(lambda: state(busy) != before, f"{line} was done")
        after = state(busy)
        if said in _BACK:
            await asyncio.to_thread(busy.cli, *shlex.split(_BACK[said]))
            assert state(busy) == before
            await asyncio.to_thread(busy.cli, *shlex.split(line))
            assert state(busy) == after
        else:
            await asyncio.to_thread(busy.cli, *shlex.split(line))
            await t.until(lambda: state(busy) != after, f"$ pachybox {line} did it again")


async def test_a_command_line_of_a_view_leads_back_to_it(busy: RealBox) -> None:
    app: PachyApp
    async with opened(busy, start=Place(JOB)) as t:
        app = t.app
        for line, mode in (("list repo", REPO), ("list pipeline", PIPELINE), ("list job", JOB),
                           ("list ingest", INGEST)):  # fmt: skip
            await t.press("colon")
            await t.type(f"pachybox {line}\n")
            await t.until(lambda mode=mode: app.current_mode == mode, line)
