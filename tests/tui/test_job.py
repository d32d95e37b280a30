"""The views of jobs against a real box: trouble first, its log, stopping, trying again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pachybox.client.values import CommitInfo
from pachybox.errors import NotFound
from tests.boxes import RealBox, eventually
from tests.tui import canned
from tests.tui.fake import FakeBox
from tests.tui.pilot import Terminal, opened
from tui.places import HOME, JOB, Place
from tui.screens.job import Jobs
from tui.screens.job_detail import JobDetail
from tui.screens.job_rows import Fetched, filtered
from tui.widgets.rows import Column, Query, Row

OCR = """
pipeline: {name: ocr}
input: {pfs: {repo: images, glob: "/*"}}
transform:
  cmd: [sh]
  stdin:
    - "for f in /pfs/images/*; do echo open ${f##*/}; cp $f /pfs/out/; done"
    - "case $f in *bad*) echo ERROR cannot allocate 3.1 GB; exit 7;; esac"
datum_tries: 1
"""
SLOW = """
pipeline: {name: slow}
input: {pfs: {repo: said, glob: "/*"}}
transform:
  cmd: [sh]
  stdin:
    - "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo tick $i; sleep 0.1; done"
"""


@pytest.fixture(scope="module")
def failed(shared_box: RealBox) -> tuple[RealBox, str]:
    """A box with a job one of whose five datums failed."""
    c = shared_box.client
    c.create_repo("images")
    with c.put("images@master") as put:
        for name in ("a.png", "b.png", "bad.png", "c.png", "d.png"):
            put.data(f"/{name}", name.encode())
    c.create_pipelines(OCR)
    job = c.inspect_commit("ocr@master").id
    c.wait_job(f"ocr@{job}")
    return shared_box, job


@pytest.fixture
def slow(box: RealBox) -> tuple[RealBox, str]:
    """A box with a job that goes on until it is stopped."""
    c = box.client
    c.create_repo("said")
    with c.put("said@master") as put:
        put.data("/a", b"alpha")
    c.create_pipelines(SLOW)
    job = c.inspect_commit("slow@master").id
    eventually(lambda: c.page_datum(f"slow@{job}").counts.get("RUNNING"), "it runs")
    return box, job


def detail(terminal: Terminal) -> JobDetail:
    view = terminal.app.view
    assert isinstance(view, JobDetail)
    return view


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_from_home_to_the_log_line_of_a_failed_datum_in_few_keys(
    failed: tuple[RealBox, str], size: tuple[int, int]
) -> None:
    async with opened(failed[0], start=Place(HOME), size=size) as terminal:
        await terminal.press("4")
        await terminal.sees("ocr@", "failure")
        await terminal.press("enter")
        await terminal.sees("bad.png", "failed")
        if size[0] < 100:
            await terminal.press("enter")
        await terminal.sees("ERROR cannot allocate 3.1 GB", "open bad.png")


async def test_failed_datums_come_first_and_counts_are_told(failed: tuple[RealBox, str]) -> None:
    box, job = failed
    async with opened(box, start=Place(JOB, "ocr", job)) as terminal:
        await terminal.sees("4 ✓", "1 ✗", "of 5", "in images@", "out ocr@", "sort:trouble")
        table = detail(terminal).table
        await terminal.until(lambda: table.cursor_row, "the first row")
        assert table.cursor_row is not None
        assert table.cursor_row.cells[2] == "/bad.png"
        await terminal.sees("dl", "run", "up")
        await terminal.press("l")
        await terminal.sees("pachybox logs --job")
        await terminal.press("escape")
        await terminal.press("right_square_bracket")
        await terminal.sees("state:failed")
        await terminal.until(lambda: table.total == 1, "failed datums only")


async def test_the_log_follows_the_cursor_or_is_that_of_all(failed: tuple[RealBox, str]) -> None:
    box, job = failed
    async with opened(box, start=Place(JOB, "ocr", job)) as terminal:
        await terminal.sees("open bad.png")
        await terminal.press("j")
        view = detail(terminal)
        await terminal.until(lambda: "bad.png" not in _log(view), "another datum's log")
        await terminal.sees("open ")
        await terminal.press("l", "right_square_bracket")
        await terminal.until(
            lambda: all(f"open {n}.png" in _log(view) for n in ("a", "b", "bad", "c", "d")),
            "all lines",
        )
        await terminal.press("escape")
        assert terminal.app.focused is view.table
        await terminal.press("escape")
        await terminal.until(lambda: isinstance(terminal.app.view, Jobs), "the list again")


def _log(view: JobDetail) -> str:
    log = view.log_view
    return "\n".join(log.render_line(y).text for y in range(log.size.height))


async def test_a_filter_of_the_datums_is_asked_of_the_box_or_kept_here(
    failed: tuple[RealBox, str],
) -> None:
    box, job = failed
    async with opened(box, start=Place(JOB, "ocr", job)) as terminal:
        await terminal.sees("bad.png")
        view = detail(terminal)
        for typed, total in (("a.png", 1), ("!bad", 4), ("state:fail", 1), ("~bdpng", 1)):
            view.table.focus()
            await terminal.press("slash")
            await terminal.press(*["backspace"] * 12)
            await terminal.type(typed.replace("_", " "))
            await terminal.press("enter")
            await terminal.until(lambda n=total: view.table.total == n, f"{typed}: {total}")


async def test_a_finished_job_is_run_again_on_its_commits(failed: tuple[RealBox, str]) -> None:
    box, job = failed
    async with opened(box, start=Place(JOB, "ocr", job)) as terminal:
        await terminal.sees("1 ✗")
        await terminal.press("r")
        await terminal.sees("Run ocr again?", "the 1 datum that failed", "commits; 4 done")
        await terminal.confirm("enter")
        await terminal.until(
            lambda: isinstance(terminal.app.view, JobDetail) and detail(terminal).job[4:] != job,
            "the new job",
        )
        made = detail(terminal).job
        await terminal.until(
            lambda: (s := detail(terminal).summary) is not None and s.done, "it has ended"
        )
        found = box.client.page_datum(made)
        assert found.counts == {"FAILED": 1, "SKIPPED": 4}


async def test_stopping_asks_first(slow: tuple[RealBox, str]) -> None:
    box, job = slow
    async with opened(box, start=Place(JOB, "slow", job)) as terminal:
        await terminal.sees("running", "tick")
        await terminal.press("x")
        await terminal.sees("Stop job slow@", f"stop job slow@{job}")
        await terminal.press("escape")
        assert not box.client.inspect_job(f"slow@{job}").done
        await terminal.press("x")
        await terminal.sees("Stop job slow@")
        await terminal.confirm("y")
        await terminal.sees("killed", f"$ pachybox stop job slow@{job}"[:24])
        assert box.client.inspect_job(f"slow@{job}").state == "JOB_KILLED"


async def test_a_datum_at_work_is_tried_again(slow: tuple[RealBox, str]) -> None:
    box, job = slow
    async with opened(box, start=Place(JOB, "slow", job)) as terminal:
        await terminal.sees("running", "tick")
        await terminal.press("r")
        await terminal.sees("tried again: 1 datum")
        await terminal.until(
            lambda: (
                [e.text for e in box.client.read_log(job=f"slow@{job}").lines].count("tick 1") > 1
            ),
            "it began again",
        )


async def test_nothing_is_changed_in_read_only(slow: tuple[RealBox, str]) -> None:
    box, job = slow
    async with opened(box, start=Place(JOB, "slow", job), read_only=True) as terminal:
        await terminal.sees("running", "tick")
        for key in ("x", "r", "D"):
            await terminal.press(key)
        await terminal.sees("read-only")
        await terminal.press("space", "b")
        await terminal.sees("1 marked: what to do?", "copy their names")
        assert "try them again" not in terminal.text
        await terminal.press("escape")
        assert not box.client.inspect_job(f"slow@{job}").done


async def test_following_a_log_goes_on_over_a_restart_of_the_box(slow: tuple[RealBox, str]) -> None:
    box, job = slow
    async with opened(box, start=Place(JOB, "slow", job, pane="logs")) as terminal:
        view = detail(terminal)
        await terminal.sees("tick 5")
        box.kill()
        await terminal.until(lambda: terminal.app.store.link.state == "lost", "the loss is told")
        assert "tick 5" in _log(view)
        box.start()
        await terminal.until(lambda: terminal.app.store.link.state == "live", "the box is back")
        feed = view.log_view.feed
        assert feed is not None
        before = len(feed.ring)
        await terminal.until(lambda: len(feed.ring) > before + 20, "new lines")
        ours = [(line.at, line.text) for line in feed.ring]
        kept = box.client.read_log(job=f"slow@{job}", after=0, lines=len(ours) + 5)
        assert ours == [(line.at, line.text) for line in kept.lines][: len(ours)]


async def test_a_log_is_saved_whole(failed: tuple[RealBox, str], tmp_path: Path) -> None:
    box, job = failed
    async with opened(box, start=Place(JOB, "ocr", job)) as terminal:
        await terminal.sees("open bad.png")
        await terminal.press("ctrl+s")
        await terminal.sees("Save this log where?")
        await terminal.confirm(*["backspace"] * 200)
        target = tmp_path / "bad.log"
        await terminal.type(str(target))
        await terminal.press("enter")
        await terminal.until(target.exists, "the file")
        await terminal.sees("lines are in")
        assert "ERROR cannot allocate 3.1 GB" in target.read_text()


async def test_the_jobs_of_a_pipeline_and_their_verbs(failed: tuple[RealBox, str]) -> None:
    async with opened(failed[0], start=Place(JOB, "ocr")) as terminal:
        await terminal.sees("Jobs of ocr", "failure")
        await terminal.press("o")
        await terminal.sees("pipelineVersion")
        await terminal.press("escape")
        await terminal.until(lambda: isinstance(terminal.app.screen, Jobs), "the text is left")
        await terminal.press("l")
        view = await terminal.until(
            lambda: v if isinstance(v := terminal.app.view, JobDetail) else None, "its view"
        )
        assert terminal.app.focused is view.log_view
        await terminal.sees("Logs  all", "open bad.png")
        await terminal.press("escape", "escape")
        await terminal.until(lambda: isinstance(terminal.app.screen, Jobs), "the list")
        await terminal.press("escape")
        await terminal.until(lambda: "Jobs of ocr" not in terminal.text, "jobs of all")


async def test_a_narrow_screen_shows_a_pane_at_a_time(failed: tuple[RealBox, str]) -> None:
    box, job = failed
    async with opened(box, start=Place(JOB, "ocr", job), size=(80, 24)) as terminal:
        await terminal.sees("Datums  Logs  Timing", "bad.png", "exit status 7")
        await terminal.press("tab")
        await terminal.sees("cannot allocate")
        assert "exit status 7" not in terminal.text
        await terminal.press("tab")
        await terminal.sees("waterfall", "ocr-0")
        await terminal.press("right_square_bracket")
        await terminal.sees("P50")
        await terminal.press("escape")
        await terminal.sees("exit status 7")


async def test_progress_is_seen_without_a_key(box: RealBox) -> None:
    c = box.client
    c.create_repo("said")
    with c.put("said@master") as put:
        for number in range(30):
            put.data(f"/{number}", b"x")
    c.create_pipelines(SLOW.replace("3000", "4"))
    job = c.inspect_commit("slow@master").id
    async with opened(box, start=Place(JOB)) as terminal:
        await terminal.sees("running", "/30")
        await terminal.press("enter")
        await terminal.sees("of 30", "left  in said@")
        seen = set()

        def counted() -> bool:
            summary = detail(terminal).summary
            if summary is not None:
                seen.add(summary.processed)
            return summary is not None and summary.done

        await terminal.until(counted, "the end of the job", timeout_s=60)
        assert len(seen) > 3
        await terminal.sees("30 ✓", "success")
        assert "left" not in terminal.lines()[1]
        assert box.client.inspect_job(f"slow@{job}").state == "JOB_SUCCESS"


async def test_marked_datums_and_jobs_are_acted_on_together(slow: tuple[RealBox, str]) -> None:
    box, job = slow
    with box.client.put("said@master") as put:
        put.data("/b", b"beta")
    other = box.client.inspect_commit("slow@master").id
    async with opened(box, start=Place(JOB)) as terminal:
        await terminal.sees(other[:8], job[:8])
        await terminal.press("a", "x")
        await terminal.sees("Stop 2 jobs?", job[:8], other[:8])
        await terminal.confirm("y")
        await terminal.until(
            lambda: all(
                box.client.inspect_job(f"slow@{one}").state == "JOB_KILLED" for one in (job, other)
            ),
            "both are stopped",
        )


LATER = """
pipeline: {name: later}
input: {pfs: {repo: said, glob: "/*"}}
transform:
  cmd: [sh]
  stdin:
    - "f=$(echo /pfs/said/*); echo at $f; sleep 0.4; case $f in */7) exit 3;; esac"
datum_tries: 2
"""


async def test_a_datum_that_fails_meanwhile_comes_first_with_its_tries(box: RealBox) -> None:
    c = box.client
    c.create_repo("said")
    with c.put("said@master") as put:
        for number in range(10):
            put.data(f"/{number}", b"x")
    c.create_pipelines(LATER)
    job = c.inspect_commit("later@master").id
    async with opened(box, start=Place(JOB, "later", job)) as terminal:
        await terminal.sees("at /pfs/said/")
        view = detail(terminal)

        def failed_first() -> bool:
            row = view.table.cursor_row
            return row is not None and row.cells[3] == "failed" and view.table.cursor == 0

        await terminal.until(failed_first, "the failed datum under the cursor", timeout_s=60)
        await terminal.until(lambda: "at /pfs/said/7" in _log(view), "its log")
        await terminal.sees("failure", "2 tries")
        await terminal.until(lambda: "try 1" in _log(view) and "try 2" in _log(view), "the tries")


async def test_a_job_whose_output_was_deleted_still_shows_its_timing() -> None:
    class Without(FakeBox):
        async def inspect_commit(self, commit: str) -> CommitInfo:
            raise NotFound(f"commit {commit} not found")

    async with opened(Without, start=Place(JOB, "ocr", canned.BAD)) as terminal:
        await terminal.sees("[waterfall]", "busy")
        assert not terminal.app.notices.all


async def test_a_filter_of_a_very_long_list_reads_no_more_than_is_in_sight() -> None:
    asked: list[int] = []

    async def fetch(search: str, states: Sequence[str], offset: int, limit: int) -> Fetched:
        asked.append(offset)
        rows = [Row(str(n), (f"x{n}",)) for n in range(offset, offset + limit)]
        return Fetched(1_000_000, rows)

    page = await filtered(Query("~x"), 256, 256, (Column("id", "ID"),), (), fetch)
    assert asked == [0, 256]
    assert (page.rows[0].id, len(page.rows), page.at_least) == ("256", 256, True)
