"""What can be done with a pipeline, from the list of all and from the view of one."""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pachybox.errors import NotFound
from tui import glyphs, shown
from tui.drafts import Draft, Drafts
from tui.keymap import Key
from tui.places import LINEAGE, PIPELINE, REPO, Place
from tui.screens.view import View
from tui.widgets.confirm import Ask

if TYPE_CHECKING:
    from pachybox.client.pipeline_values import PipelineInfo
    from pachybox.client.view_values import PipelineSummary


class PipelineVerbs(View):
    """The verbs on a pipeline, wherever one is selected."""

    mode: ClassVar[str] = PIPELINE

    @abstractmethod
    def selected(self) -> str:
        """The pipeline that verbs are about; "" without one."""

    def targets(self) -> list[str]:
        """All that a verb for many is about."""
        return [name] if (name := self.selected()) else []

    def summary_of(self, name: str) -> PipelineSummary | None:
        """The latest of a pipeline."""
        summary = self.frame.store.summary
        return next((p for p in summary.pipelines if p.name == name), None) if summary else None

    def why_not(self, key: Key) -> str:
        """A verb on nothing; a tick of what has no clock."""
        if key.id in ("new", "filter", "copy", "tab_left", "tab_right", "bulk") or key.at != "view":
            return ""
        name = self.selected()
        if not name:
            return "no pipeline is selected"
        one = self.summary_of(name)
        if key.id == "tick" and one is not None and not one.crons:
            return f"{name} has no cron input"
        if key.id == "stop" and one is not None and not _running(one):
            return f"{name} has no job running"
        return ""

    # ---- going places

    def do_logs(self) -> None:
        """l: the pipeline's log."""
        self.frame.visit(Place(PIPELINE, self.selected(), pane="logs"))

    def do_upstream(self) -> None:
        """<: what it reads."""
        self.load(self._go_one(self._inputs(), "reads", REPO), group="go")

    def do_downstream(self) -> None:
        """>: who reads it, or its output where nobody does."""
        self.load(self._go_readers(), group="go")

    def _inputs(self) -> list[str]:
        one = self.summary_of(self.selected())
        return list(one.inputs) if one else []

    async def _go_one(self, names: Sequence[str], verb: str, mode: str) -> None:
        if not names:
            self.frame.notice(f"{self.selected()} {verb} nothing")
            return
        name: str | None = names[0]
        if len(names) > 1:
            choices = tuple((n, n) for n in names)
            name = await self.ask(Ask(f"{self.selected()} {verb} which?", choices=choices))
        if name:
            pipelines = self.frame.store.summary.pipelines if self.frame.store.summary else ()
            repo, _, branch = name.partition("@")
            if mode == REPO and any(p.name == repo for p in pipelines):
                self.frame.visit(Place(PIPELINE, repo))
            else:
                self.frame.visit(Place(mode, repo, branch))

    async def _go_readers(self) -> None:
        name = self.selected()
        readers = await self.frame.feed.box.repo_users(name)
        if readers:
            await self._go_one(list(readers), "is read by", PIPELINE)
        else:
            self.frame.visit(Place(REPO, name))

    def do_lineage(self) -> None:
        """The lineage of its output."""
        self.frame.visit(Place(LINEAGE, self.selected()))

    # ---- its spec

    async def do_yaml(self) -> None:
        """o: the spec as YAML, with all that is filled in."""
        from tui.screens.pipeline_text import TextScreen
        from tui.spec_edits import write
        from tui.widgets.text_pane import YAML

        name = self.selected()
        text = write(json.loads(await self.frame.feed.box.extract_pipeline(name)))
        said = f"extract pipeline {name} -o yaml"
        self.app.push_screen(TextScreen(f"{name}, spec", text, YAML, said))

    def named(self) -> list[tuple[str, str]]:
        """The pipeline's name, and the branch it writes."""
        name = self.selected()
        one = self.summary_of(name)
        return [("name", name), ("output", one.output if one else "")]

    async def do_new(self) -> None:
        """n: the wizard, from a draft where one was kept."""
        box = box_name(self)
        drafts = Drafts()
        kept = await asyncio.to_thread(drafts.get, box)
        if kept is not None:
            when = shown.ago(kept.time, self.frame.store.now)
            choices = (("draft", f"go on with the draft of {when}"), ("new", "begin a new one"))
            asked = await self.ask(Ask("A draft was kept?", _begin(kept.text), choices=choices))
            if asked is None:
                return
            kept = kept if asked == "draft" else None
        self.open_spec(kept or Draft(box, "", 0, FIRST, FIRST), drafts)

    async def do_edit(self) -> None:
        """e: change the spec, from a draft where one was kept."""
        name, box, drafts = self.selected(), box_name(self), Drafts()
        kept = await asyncio.to_thread(drafts.get, box, name)
        if kept is not None:
            when = shown.ago(kept.time, self.frame.store.now)
            choices = (
                ("draft", f"go on with the draft of {when}, of v{kept.version}"),
                ("new", "begin from what runs"),
            )
            asked = await self.ask(Ask(f"A draft of {name} was kept?", choices=choices))
            if asked is None:
                return
            kept = kept if asked == "draft" else None
        if kept is None:
            text, version = await spec_text(self, name)
            kept = Draft(box, name, version, text, text)
        self.open_spec(kept, drafts)

    def open_spec(self, draft: Draft, drafts: Drafts) -> None:
        """Form and text of a draft."""
        from tui.screens.pipeline_edit import SpecScreen

        self.app.push_screen(SpecScreen(draft, drafts))

    # ---- its work

    async def do_retry(self) -> None:
        """r: a new job on the present heads; asks whether earlier results count."""
        name = self.selected()
        choices = (
            ("", "leave it"),
            ("keep", "run again: what succeeded before is kept"),
            ("reprocess", "run again, and reprocess every datum"),
        )
        asked = await self.ask(Ask(f"Run {name} again?", choices=choices))
        if asked:
            again = asked == "reprocess"
            await self.frame.feed.box.rerun_pipeline(name, reprocess=again)
            self.frame.told(f"rerun pipeline {name}{' --reprocess' * again}")
            self.frame.feed.hurry()

    async def do_pause(self) -> None:
        """s: pause what runs, resume what is paused."""
        box, said = self.frame.feed.box, []
        for name in self.targets():
            one = self.summary_of(name)
            stopped = one.stopped if one else (await box.inspect_pipeline(name)).stopped
            if not stopped and one is not None and _running(one):
                text = "Its running job is killed; new commits make none until it is resumed."
                if not await self.ask(Ask(f"Pause {name}?", text, command=f"stop pipeline {name}")):
                    continue
            await (box.start_pipeline(name) if stopped else box.stop_pipeline(name))
            said.append(f"{'start' if stopped else 'stop'} pipeline {name}")
        self.frame.told(*said)
        self.frame.feed.hurry()

    async def do_tick(self) -> None:
        """t: a tick of its crons now."""
        name = self.selected()
        await self.frame.feed.box.run_cron(name)
        self.frame.told(f"run cron {name}")
        self.frame.feed.hurry()

    async def do_stop(self) -> None:
        """x: stop its running job."""
        name = self.selected()
        one = self.summary_of(name)
        if one is None or one.job is None:
            return
        job = f"{name}@{one.job.id}"
        text = f"{shown.datums(one.job.total, one.job.processed)} datums are done; they are kept."
        if await self.ask(Ask(f"Stop job {job}?", text, yes="s", command=f"stop job {job}")):
            await self.frame.feed.box.stop_job(job)
            self.frame.told(f"stop job {job}")
            self.frame.feed.hurry()

    async def do_delete(self) -> None:
        """D: delete it and its output; the name is typed where data would go."""
        box, done = self.frame.feed.box, []
        for name in self.targets():
            readers = await box.repo_users(name)
            one = self.summary_of(name)
            data = one.repo_bytes if one else 0
            text = "Its jobs and logs go"
            text += f", and {shown.size(data)} of output in repo {name}." if data else "."
            if readers:
                text += f"\nIts output is read by {', '.join(readers)}: they will find no more."
            else:
                text += "\nNothing reads its output."
            said = f"delete pipeline {name}{' --force' if readers else ''}"
            typed = name if data or readers else ""
            ask = Ask(f"Delete pipeline {name}?", text, typed=typed, command=said)
            if await self.ask(ask) is None:
                continue
            await box.delete_pipeline(name, force=bool(readers))
            done.append(said)
            await self.deleted(name)
        self.frame.told(*done)
        self.frame.feed.hurry()

    async def deleted(self, name: str) -> None:
        """It is gone."""


FIRST = """\
pipeline:
  name: ""
input:
  pfs:
    repo: ""
    glob: /*
transform:
  cmd: []
"""
"""What a new spec begins with."""


def box_name(view: View) -> str:
    """What drafts of this box are kept under."""
    summary = view.frame.store.summary
    return summary.name if summary else ""


def _running(one: PipelineSummary) -> bool:
    words = ("created", "starting", "running", "egressing", "finishing")
    return one.job is not None and glyphs.job(one.job.state).word in words


def _begin(text: str) -> str:
    return "\n".join(text.split("\n")[:8])


async def spec_text(view: View, name: str, version: int = 0) -> tuple[str, int]:
    """What a user wrote for a version (the newest without one), as YAML, and which one it is. What
    was written in this terminal comes with its comments."""
    infos = await versions_of(view, name)
    info = next((one for one in infos if version in (0, one.version)), None)
    if info is None:
        raise NotFound(f"pipeline {name} has no version {version}" if version else f"no {name}")
    return await asyncio.to_thread(_written, box_name(view), name, info), info.version


async def versions_of(view: View, name: str) -> list[PipelineInfo]:
    """All versions of a pipeline, the newest first."""
    found = [one async for one in view.frame.feed.box.list_pipeline(name, history=-1)]
    return sorted((one for one in found if name in (str(one), one.name)), key=lambda o: -o.version)


def given(info: PipelineInfo) -> dict[str, Any]:
    """The spec as a user wrote it, without what is filled in."""
    try:
        found = json.loads(info.raw.get("userSpecJson") or "")
    except ValueError:
        found = json.loads(info.raw.get("effectiveSpecJson") or "{}")
    return found if isinstance(found, dict) else {}


def _written(box: str, name: str, info: PipelineInfo) -> str:
    from tui.spec_edits import same, write
    from tui.spec_text import NotUnderstood, Spec

    spec = given(info)
    kept = Drafts().written(box, name, info.version)
    try:
        if kept and same(Spec(kept).value, spec):
            return kept
    except NotUnderstood:
        pass
    return write(spec)
