"""What Home's keys do to the selected thing, and why they cannot."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from tui import shown
from tui.keymap import Key
from tui.places import PIPELINE, Place
from tui.screens.home_values import Thing
from tui.screens.view import View
from tui.widgets.confirm import Ask

if TYPE_CHECKING:
    from pachybox.client.ingest_values import IngestInfo
    from pachybox.client.view_values import JobSummary, PipelineSummary

_DONE = ("JOB_SUCCESS", "JOB_FAILURE", "JOB_KILLED", "JOB_UNRUNNABLE")
_KINDS: dict[str, tuple[str, ...]] = {
    "logs": ("pipeline", "job", "ingest"),
    "retry": ("pipeline", "job"),
    "stop": ("job", "pipeline"),
    "pause": ("pipeline", "job", "ingest"),
    "tick": ("pipeline", "job", "ingest"),
    "delete": ("pipeline", "job"),
}


class HomeVerbs(View):
    """Verbs on ``selected``; a job stands for its pipeline where a verb is of pipelines."""

    @property
    @abstractmethod
    def selected(self) -> Thing | None:
        """What the focused pane has under its cursor."""

    @property
    @abstractmethod
    def marked(self) -> list[Thing]:
        """What is marked in the focused pane."""

    def open_thing(self, thing: Thing) -> None:
        """Go to where it is shown."""
        if (place := thing.place) is not None:
            self.frame.visit(place)

    # what is known of it

    def _pipeline(self, thing: Thing) -> PipelineSummary | None:
        summary = self.frame.store.summary
        found = summary.pipelines if summary else ()
        return next((p for p in found if p.name == thing.name), None)

    def _job(self, thing: Thing) -> JobSummary | None:
        """The job itself, or a pipeline's newest."""
        if thing.kind == "pipeline":
            pipeline = self._pipeline(thing)
            return pipeline.job if pipeline else None
        summary = self.frame.store.summary
        found = summary.jobs if summary else ()
        return next((j for j in found if (j.pipeline, j.id) == (thing.name, thing.ref)), None)

    def _ingest(self, thing: Thing) -> IngestInfo | None:
        summary = self.frame.store.summary
        found = summary.ingests if summary else ()
        return next((i for i in found if i.name == thing.name), None)

    def _readers(self, pipeline: PipelineSummary) -> list[str]:
        """The pipelines that read what it writes."""
        summary = self.frame.store.summary
        repo = pipeline.output.partition("@")[0] or pipeline.name
        found = summary.pipelines if summary else ()
        return [p.name for p in found if repo in {i.partition("@")[0] for i in p.inputs}]

    def why_not(self, key: Key) -> str:
        """Why a verb cannot be done on what is selected; "" when it can."""
        kinds = _KINDS.get(key.id)
        if kinds is None:
            return ""
        thing = self.selected
        if thing is None:
            return "nothing is selected"
        if thing.kind not in kinds:
            return f"not on a {thing.kind}: select a {' or '.join(kinds)}"
        if key.id == "stop" and not self._stoppable(thing):
            return "no job of it runs"
        if key.id == "tick" and not self._ticks(thing):
            return f"{thing.name} has no cron input"
        return ""

    def _stoppable(self, thing: Thing) -> bool:
        job = self._job(thing)
        return job is not None and job.state not in _DONE

    def _ticks(self, thing: Thing) -> bool:
        if thing.kind == "ingest":
            return self._ingest(thing) is not None
        pipeline = self._pipeline(thing)
        return pipeline is not None and bool(pipeline.crons)

    # verbs

    def do_logs(self) -> None:
        """l"""
        thing = self.selected
        if thing is not None and (place := thing.place) is not None:
            self.frame.visit(Place(place.mode, place.name, place.ref, pane="logs"))

    def do_new(self) -> None:
        """n"""
        self.frame.visit(Place(PIPELINE, pane="new"))

    async def do_retry(self) -> None:
        """r"""
        if (thing := self.selected) is not None:
            await self.frame.feed.box.rerun_pipeline(thing.name)
            self._told(f"rerun pipeline {thing.name}", f"{thing.name} runs again")

    async def do_stop(self) -> None:
        """x"""
        thing = self.selected
        job = self._job(thing) if thing is not None else None
        if job is None:
            return
        name = f"{job.pipeline}@{job.id}"
        done = shown.datums(job.total, job.processed, job.skipped, job.failed, job.recovered)
        asked = Ask(
            f"Stop job {job.pipeline}@{job.id[:8]}?",
            f"{done} datums are done. Its output commit is closed without data; what was done is "
            "skipped when the pipeline runs again.",
            command=f"stop job {name}",
        )
        if await self.ask(asked):
            await self.frame.feed.box.stop_job(name)
            self._told(asked.command, f"{job.pipeline} is stopped")

    async def do_pause(self) -> None:
        """s"""
        thing = self.selected
        if thing is None:
            return
        box = self.frame.feed.box
        if thing.kind == "ingest":
            info = self._ingest(thing)
            if info is not None and info.paused:
                await box.resume_ingest(thing.name)
                self._told(f"resume ingest {thing.name}", f"{thing.name} goes on")
            else:
                await box.pause_ingest(thing.name)
                self._told(f"pause ingest {thing.name}", f"{thing.name} is paused")
            return
        pipeline = self._pipeline(thing)
        if pipeline is not None and pipeline.stopped:
            await box.start_pipeline(thing.name)
            self._told(f"start pipeline {thing.name}", f"{thing.name} goes on")
        else:
            job = self._job(Thing("pipeline", thing.name))
            if job is not None and job.state not in _DONE:
                text = "Its running job is killed; new commits make none until it is resumed."
                command = f"stop pipeline {thing.name}"
                if not await self.ask(Ask(f"Pause {thing.name}?", text, command=command)):
                    return
            await box.stop_pipeline(thing.name)
            self._told(f"stop pipeline {thing.name}", f"{thing.name} is paused")

    async def do_tick(self) -> None:
        """t"""
        thing = self.selected
        if thing is None:
            return
        if thing.kind == "ingest":
            await self.frame.feed.box.run_ingest(thing.name)
            self._told(f"run ingest {thing.name}", f"{thing.name} ticks")
        else:
            await self.frame.feed.box.run_cron(thing.name)
            self._told(f"run cron {thing.name}", f"{thing.name} ticks")

    async def do_delete(self) -> None:
        """D"""
        thing = self.selected
        pipeline = self._pipeline(thing) if thing is not None else None
        if pipeline is None:
            return
        readers = self._readers(pipeline)
        force = " --force" if readers else ""
        held = f"Its jobs and its repo, {shown.size(pipeline.repo_bytes)}, go with it."
        if readers:
            named = ", ".join(readers[:12]) + (" ..." if len(readers) > 12 else "")
            held += f" {_pipelines(len(readers))} read that repo: {named}."
        asked = Ask(
            f"Delete pipeline {pipeline.name}?",
            held,
            typed=pipeline.name if readers or pipeline.repo_bytes else "",
            command=f"delete pipeline {pipeline.name}{force}",
        )
        if await self.ask(asked):
            await self.frame.feed.box.delete_pipeline(pipeline.name, force=bool(readers))
            self._told(asked.command, f"{pipeline.name} is deleted")

    async def do_bulk(self) -> None:
        """b"""
        things = self.marked
        jobs = [t for t in things if t.kind == "job" and self._stoppable(t)]
        names = sorted({t.name for t in things})
        choices = [
            ("rerun pipeline", f"run {_pipelines(len(names))} again"),
            ("stop pipeline", f"pause {_pipelines(len(names))}"),
            ("start pipeline", f"resume {_pipelines(len(names))}"),
        ]
        if jobs:
            choices.insert(0, ("stop job", f"stop the {len(jobs)} that run"))
        asked = Ask(f"{len(things)} marked: what to do?", choices=(("", "nothing"), *choices))
        chosen = await self.ask(asked)
        if chosen:
            targets = [job.full for job in jobs] if chosen == "stop job" else names
            box = self.frame.feed.box
            does = getattr(box, chosen.replace(" ", "_"))
            for target in targets:
                await does(target)
            self.frame.told(*(f"{chosen} {target}" for target in targets))
            self.frame.notice(f"{chosen}: {', '.join(targets)}"[:200])
            self.frame.feed.hurry()

    def named(self) -> list[tuple[str, str]]:
        """The selected thing's name."""
        thing = self.selected
        return [("name", thing.full)] if thing is not None and thing.name else []

    def subject(self) -> dict[str, str]:
        """What a line of the user's own is about."""
        thing = self.selected
        if thing is None or not thing.name:
            return {}
        named = {"name": thing.name, "ref": thing.ref, thing.kind: thing.full}
        if thing.kind == "job":
            named["pipeline"] = thing.name
        return {key: value for key, value in named.items() if value}

    # the first run

    async def make_repo(self) -> None:
        """Ask for a name, and make a repo."""
        if why := self.frame.read_only:
            self.frame.notice(why)
            return
        name = await self.ask(
            Ask("Create a repo", "A repo holds versions of a folder of files.", line="",
                hint="its name, like images; Enter makes it, Esc leaves")
        )  # fmt: skip
        if name and name.strip():
            await self.frame.feed.box.create_repo(name.strip())
            self._told(f"create repo {name.strip()}", f"{name.strip()} is made: 2 shows it")

    async def make_demo(self) -> None:
        """A small DAG that stays alive."""
        if why := self.frame.read_only:
            self.frame.notice(why)
            return
        made = await self.frame.feed.box.create_demo()
        self._told("demo", f"made {', '.join(made)}; pachybox demo --remove takes it away")

    def _told(self, command: str, what: str) -> None:
        """Say what was done, and the command line that does it."""
        self.frame.told(command)
        self.frame.notice(what)
        self.frame.feed.hurry()


def _pipelines(count: int) -> str:
    return "1 pipeline" if count == 1 else f"{count} pipelines"
