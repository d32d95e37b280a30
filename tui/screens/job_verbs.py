"""What can be done with a job, in the list of jobs and in a job's own view."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar

from pachybox.errors import InvalidArgument, NotFound
from tui.keymap import Key
from tui.places import JOB, LINEAGE, PIPELINE, REPO, Place
from tui.screens.job_rows import datums, short
from tui.screens.view import View
from tui.store import LIVE
from tui.widgets.confirm import Ask

LINES = 5000
"""Lines of a log that are fetched at a time to be saved."""


class JobVerbs(View):
    """Verbs on ``selected_job``; ``log_scope`` is the log that is saved."""

    mode: ClassVar[str] = JOB

    _was_live = True

    def is_back(self) -> bool:
        """Whether the box has come back since the last call."""
        live = self.frame.store.link.state == LIVE
        back = live and not self._was_live
        self._was_live = live
        return back

    def selected_job(self) -> str:
        """``pipeline@id``, "" where none is."""
        return ""

    def targets(self) -> list[str]:
        """The jobs that a verb is about: that one, or all that are marked."""
        return [self.selected_job()]

    def is_done(self) -> bool | None:
        """Whether that job can never change again; None when it is not known."""
        return None

    def log_scope(self) -> dict[str, str]:
        """Which log is in sight, as ``read_log`` names it."""
        return {"job": self.selected_job()}

    def why_not(self, key: Key) -> str:
        """Most verbs need a job, stopping one that is at work."""
        needs = ("logs", "retry", "stop", "upstream", "downstream", "yaml", "save", "delete")
        if key.at == "view" and key.id in needs and not self.selected_job():
            return "no job is selected"
        if key.id == "stop" and self.is_done() and len(self.targets()) == 1:
            return "this job has ended"
        return ""

    # ---- changing

    async def do_stop(self) -> None:
        """x: kill the job, or all that are marked, when asked again."""
        kept = "What it did so far is kept for a later run; its output commit is closed empty."
        await self._each("Stop", "stop job", kept, self.frame.feed.box.stop_job)

    async def do_delete(self) -> None:
        """D: stop it and forget its record."""
        kept = "It is stopped and its record is removed; its output commit stays."
        await self._each("Delete", "delete job", kept, self.frame.feed.box.delete_job)

    async def _each(
        self, verb: str, command: str, text: str, act: Callable[[str], Awaitable[None]]
    ) -> None:
        jobs = self.targets()
        named = f"job {short(jobs[0])}" if len(jobs) == 1 else f"{len(jobs)} jobs"
        text = text if len(jobs) == 1 else f"{text}\n{', '.join(map(short, jobs[:12]))}"
        if not await self.ask(Ask(f"{verb} {named}?", text, command=f"{command} {jobs[0]}")):
            return
        for job in jobs:
            await act(job)
        self.frame.told(*(f"{command} {job}" for job in jobs))
        self.frame.notice(f"{command}: {named.removeprefix('job ')}")
        self.reload()

    async def run_again(self, job: str, failed: int, done: int) -> None:
        """Of a finished job: ask on what it runs again, and go to the new job."""
        pipeline, _, id = job.rpartition("@")
        trouble = f"the {datums(failed)} that failed," if failed else "what did not succeed,"
        choices = (
            ("same", f"{trouble} on the same commits; {done:,} done are skipped"),
            ("heads", "on the present heads; datums done before are skipped"),
            ("all", "all datums on the present heads, done or not (--reprocess)"),
        )
        chosen = await self.ask(
            Ask(f"Run {pipeline} again?", "A finished job stays; a new one is made.",
                choices=choices)
        )  # fmt: skip
        box = self.frame.feed.box
        if chosen == "same":
            made = await box.run_pipeline(pipeline, job=id)
            self.frame.told(f"run pipeline {pipeline} --job {id}")
            self.frame.visit(Place(JOB, pipeline, made.rpartition("@")[2]))
            self.frame.notice(f"run again: {short(made)}")
        elif chosen:
            await box.rerun_pipeline(pipeline, reprocess=chosen == "all")
            more = " --reprocess" if chosen == "all" else ""
            self.frame.told(f"rerun pipeline {pipeline}{more}")
            self.frame.notice(f"{pipeline} runs again in a new job")
            self.reload()

    # ---- going elsewhere

    async def inputs_of(self, job: str) -> tuple[str, ...]:
        """The commits that a job read, as ``repo@commit``; that of its spec is not among them.
        Empty where its output was deleted since."""
        try:
            commit = await self.frame.feed.box.inspect_commit(job)
        except NotFound:
            return ()
        return tuple(name for name in commit.direct_provenance if ".spec@" not in name)

    async def do_upstream(self) -> None:
        """<: a commit that the job read."""
        inputs = await self.inputs_of(self.selected_job())
        chosen: str | None = inputs[0] if inputs else None
        if len(inputs) > 1:
            choices = tuple((name, short(name)) for name in inputs)
            chosen = await self.ask(Ask("Which of its inputs?", choices=choices))
        if chosen:
            repo, _, commit = chosen.rpartition("@")
            self.frame.visit(Place(REPO, repo, commit))
        elif not inputs:
            self.frame.notice("this job read no commit")

    def do_downstream(self) -> None:
        """>: its output commit."""
        pipeline, _, id = self.selected_job().rpartition("@")
        self.frame.visit(Place(REPO, pipeline, id))

    def do_edit(self) -> None:
        """e: the pipeline's spec."""
        pipeline = self.selected_job().rpartition("@")[0]
        self.frame.visit(Place(PIPELINE, pipeline, pane="edit"))

    def do_lineage(self) -> None:
        """The lineage of its output."""
        pipeline, _, id = self.selected_job().rpartition("@")
        self.frame.visit(Place(LINEAGE, pipeline, id))

    async def do_yaml(self) -> None:
        """o: the job with the spec it ran, as YAML."""
        from tui.screens.job_text import JobText

        job = self.selected_job()
        info = await self.frame.feed.box.inspect_job(job)
        text = await asyncio.to_thread(as_yaml, info.raw)
        self.app.push_screen(JobText(job, text))

    # ---- keeping

    def named(self) -> list[tuple[str, str]]:
        """The job's names."""
        job = self.selected_job()
        if not job:
            return []
        id = job.rpartition("@")[2]
        return [("job", job), ("job id", id), ("logs", f"pachybox logs --job {job}")]

    async def do_save(self) -> None:
        """ctrl+s: the log in sight, to a file here."""
        scope = self.log_scope()
        job, datum = scope["job"], scope.get("datum", "")
        name = (
            f"{job.replace('/', '.').replace('@', '-')[:60]}{'-' + datum[:8] if datum else ''}.log"
        )
        more = f" --datum {datum}" if datum else ""
        command = f"logs --job {job}{more}"
        given = await self.ask(
            Ask("Save this log where?", line=str(Path.cwd() / name), command=command)
        )
        if not given:
            return
        path = Path(given).expanduser()
        try:
            lines = await self._save(path, scope)
        except OSError as e:
            raise InvalidArgument(f"{path}: {e.strerror}", "choose another name") from e
        self.frame.told(f"{command} > {path}")
        self.frame.notice(f"{lines:,} lines are in {path}")

    async def _save(self, path: Path, scope: dict[str, Any]) -> int:
        """Write the whole log; how many lines it has. Fails where a file is already."""
        box, at, lines = self.frame.feed.box, 0, 0
        with await asyncio.to_thread(path.open, "x", encoding="utf-8", errors="replace") as file:
            while True:
                part = await box.read_log(**scope, after=at, lines=LINES)
                text = "".join(f"{entry.text}\n" for entry in part.lines)
                await asyncio.to_thread(file.write, text)
                lines += len(part.lines)
                if not part.lines or part.end >= part.size:
                    return lines
                at = part.end


def as_yaml(raw: Any) -> str:
    """A record of the box, to read."""
    import yaml

    return yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=120)
