"""What becomes of a spec that was written: made or updated, tried, compared, edited elsewhere."""

from __future__ import annotations

import asyncio
import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pachybox.errors import Refused
from tui.drafts import Draft
from tui.screens.pipeline_text import TextScreen
from tui.screens.pipeline_verbs import spec_text
from tui.screens.spec_view import SpecView
from tui.shown import count
from tui.spec_merge import differences, merged, unified
from tui.spec_text import NotUnderstood, Spec
from tui.widgets.confirm import Ask
from tui.widgets.text_pane import DIFF

if TYPE_CHECKING:
    from pachybox.client.pipeline_values import (
        CreatedPipeline,
        FieldChange,
        PipelineDifference,
    )
    from pachybox.client.spec_values import Problem

_MOST = 10


class Submitting(SpecView):
    """The verbs of the screen on which a pipeline's spec is written."""

    @abstractmethod
    def _title(self) -> None:
        """Say which version the text is of."""

    async def submit(self) -> None:
        """Show what will change, ask, do it."""
        if not await self.checked():
            return
        text, box = self.editor.text, self.frame.feed.box
        found = [one async for one in box.diff_pipelines(text, source=self.source)]
        file = await self._sent()
        asked = await self._ask(found, file)
        if asked is None or self.editor.text != text:
            return
        update, reprocess = any(one.version for one in found), asked == "reprocess"
        try:
            made, warnings = await box.create_pipelines(
                text,
                source=self.source,
                update=update,
                reprocess=reprocess,
                if_version=(self.draft.version or None) if len(found) == 1 else None,
            )
        except Refused as e:
            if not self.draft.version or "version" not in e.message:
                raise
            await self._stale()
            return
        await asyncio.to_thread(self._made, made, text)
        self.kept, self.draft = True, _with(self.draft, base=text)
        for warning in warnings:
            self.frame.notice(warning)
        first = made[0] if made else None
        if first is None:
            return
        name = first.name if first.project == "default" else f"{first.project}/{first.name}"
        verb = "update" if update else "create"
        said = f"{verb} pipeline -f {file}{' --reprocess' * reprocess}"
        self.frame.notice(f"{'made' if first.created else 'updated'} {name}, v{first.version}")
        self.app.run_worker(_arrive(self, name, said), exit_on_error=False)

    def _made(self, made: list[CreatedPipeline], text: str) -> None:
        """The draft is a pipeline now: its text is kept for the next edit."""
        self.drafts.drop(self.draft.box, self.draft.pipeline)
        for one in made if len(made) == 1 else ():
            name = one.name if one.project == "default" else f"{one.project}/{one.name}"
            try:
                self.drafts.wrote(self.draft.box, name, one.version, text)
            except OSError:
                pass  # its comments are lost, its fields are at the box

    async def _ask(self, found: list[PipelineDifference], file: str) -> str | None:
        """What the user wants done: ``y``, ``update``, ``reprocess``; None for nothing."""
        text = "\n\n".join("\n".join(_told(one)) for one in found)
        if not any(one.version for one in found):
            names = ", ".join(one.pipeline for one in found)
            return await self.ask(
                Ask(f"Create pipeline {names}?", text, command=f"create pipeline -f {file}")
            )
        run = sum(one.datums_run for one in found)
        total = sum(one.datums_total for one in found)
        kept = total - run
        choices = [
            ("", "keep it as it is"),
            ("update", f"update: {_datums(run)} run, {_datums(kept)} kept"),
            ("reprocess", f"update and reprocess: all {_datums(total)} run again"),
        ]
        names = ", ".join(one.pipeline for one in found)
        asked = await self.ask(
            Ask(
                f"Update {names}?",
                text,
                choices=tuple(choices),
                command=f"update pipeline -f {file}",
            )
        )
        return asked or None

    # ---- somebody else was faster

    async def _stale(self) -> None:
        """The pipeline is at another version than the one this text was begun from."""
        theirs, version = await self.latest()
        name, had = self.draft.pipeline, self.draft.version
        while True:
            asked = await self.ask(
                Ask(
                    f"{name} was changed meanwhile: it is at v{version}, yours is of v{had}?",
                    _both(self.draft.base, theirs, self.editor.text),
                    choices=(
                        ("", "leave both: go on editing"),
                        ("see", f"see v{version} and yours beside each other"),
                        ("merge", f"merge: put the changes of v{version} into yours"),
                        ("theirs", f"take v{version}, and drop yours"),
                        ("mine", f"keep yours as it is, to be saved over v{version}"),
                    ),
                )
            )
            if asked == "see":
                lines = unified(theirs, self.editor.text, (f"v{version}", "yours"))
                await self.app.push_screen_wait(_Shown(f"v{version} and yours", lines))
                continue
            break
        if asked == "merge":
            self._merge(theirs, version)
        elif asked == "theirs":
            self.editor.become(theirs)
            self.begin_from(version, theirs)
        elif asked == "mine":
            self.begin_from(version, theirs)

    def _merge(self, theirs: str, version: int) -> None:
        try:
            mine = Spec(self.editor.text)
            made, both = merged(Spec(self.draft.base).value, Spec(theirs).value, mine)
        except NotUnderstood as e:
            self.frame.notice(f"cannot be merged: {e}", error=True)
            return
        self.editor.become(made.text)
        self.begin_from(version, theirs)
        if both:
            said = f"both changed {', '.join(both)}: yours stay"
            self.frame.notice(said, error=True)
        else:
            self.frame.notice(f"v{version} is merged in: ctrl+s saves")

    def begin_from(self, version: int, base: str) -> None:
        """From now on the text is a change of that version."""
        self.draft = _with(self.draft, base=base, version=version)
        self.kept = False
        self._title()

    async def latest(self) -> tuple[str, int]:
        """The pipeline's spec as it is at the box now, and its version."""
        return await spec_text(self, self.draft.pipeline)

    async def _sent(self) -> str:
        """The file in which the text is kept as it is now, for the command line that is shown."""
        sent = self.drafts.sent
        return await asyncio.to_thread(sent, self.draft.box, self.draft.pipeline, self.editor.text)

    # ---- F5, ctrl+t, F4, images

    def action_compare(self) -> None:
        """F5: what would change of what runs."""
        self.load(self._compare(), group="compare")

    async def _compare(self) -> None:
        if not await self.checked():
            return
        box = self.frame.feed.box
        found = [one async for one in box.diff_pipelines(self.editor.text, source=self.source)]
        text = "\n\n".join("\n".join(_told(one, most=10_000)) for one in found)
        if self.draft.pipeline:
            theirs, version = await self.latest()
            lines = unified(theirs, self.editor.text, (f"v{version}", "draft"))
            text += f"\n\n{lines}" if lines else "\n\nthe texts are the same"
        file = await self._sent()
        screen = TextScreen("difference from what runs", text, DIFF, f"diff pipeline -f {file}")
        self.app.push_screen(screen)

    def action_attempt(self) -> None:
        """ctrl+t: run one datum, commit nothing."""
        if why := self.frame.read_only:
            self.frame.notice(f"ctrl+t: {why}")
            return
        self.load(self._attempt(), group="attempt")

    async def _attempt(self) -> None:
        from tui.screens.pipeline_try import TryScreen

        if await self.checked():
            self.app.push_screen(TryScreen(self.editor.text, self.source, await self._sent()))

    async def _about_image(self, problem: Problem) -> None:
        """An image that is not here: the box pulls it, or the user does now."""
        image = _image(self.editor.text)
        if not image or "image" not in problem.message:
            return
        text = (
            f"{problem.message}\n\nThe box pulls it by itself when the pipeline is made; jobs wait "
            f"for it. To have it now, run beside this terminal:\n  podman pull {image}"
        )
        if await self.ask(Ask(f"Copy the command that pulls {image}?", text)):
            await self.frame.copy(f"podman pull {image}")


class _Shown(TextScreen):
    """A text that a question waits for."""

    async def action_back(self) -> None:
        """Esc: back to the question."""
        if self.in_front:
            self.dismiss(None)

    async def key_escape(self) -> None:
        """Before the app's own Esc."""
        await self.action_back()

    async def key_q(self) -> None:
        """The same."""
        await self.action_back()


async def _arrive(form: SpecView, name: str, said: str) -> None:
    """From the form to the view of its pipeline, where the command line is shown."""
    from tui.screens.pipeline_detail import PipelineDetail

    app = form.app
    if not form.in_front:
        return
    form.leave()
    below = app.screen
    same = isinstance(below, PipelineDetail) and below.name_of == name
    there = below if isinstance(below, PipelineDetail) and same else PipelineDetail(name)
    if there is not below:
        await app.push_screen(there)
    there.call_after_refresh(there.renew, said)


def _with(draft: Draft, *, base: str, version: int | None = None) -> Draft:
    at = draft.version if version is None else version
    return Draft(draft.box, draft.pipeline, at, base, draft.text)


def _datums(n: int) -> str:
    return f"{count(n)} datum{'s' * (n != 1)}"


def _told(one: PipelineDifference, most: int = _MOST) -> Iterator[str]:
    """A pipeline's changes and work, line by line."""
    yield (
        f"{one.pipeline}: v{one.version} -> v{one.version + 1}"
        if one.version
        else f"{one.pipeline}: new"
    )
    lines = [line for change in one.changes for line in _change(change, new=not one.version)]
    yield from lines[:most]
    if len(lines) > most:
        yield f"  ... {len(lines) - most} more: F5 shows all"
    if one.version and not lines:
        yield "  no difference in the spec"
    if one.job:
        again = one.datums_run - one.datums_new
        gone = f", {count(one.datums_gone)} gone" if one.datums_gone else ""
        yield (
            f"datums to run: {count(one.datums_run)} of {count(one.datums_total)}"
            f" ({count(again)} again, {count(one.datums_new)} new{gone})"
        )
    else:
        yield "no job yet: nothing to read"
    yield from (f"note: {remark}" for remark in one.remarks)
    if one.datums_run and one.downstream:
        yield f"then: {', '.join(one.downstream)}"


def _change(change: FieldChange, *, new: bool) -> Iterator[str]:
    if change.old:
        yield f"- {change.path}  {change.old}"
    if change.new and not (new and change.new_is_default):
        yield f"+ {change.path}  {change.new}"


def _both(base: str, theirs: str, mine: str) -> str:
    """What each side changed, field by field."""
    try:
        old, one, other = (Spec(text).value for text in (base, theirs, mine))
    except NotUnderstood:
        return ""
    lines = []
    for title, values in (("theirs", one), ("yours", other)):
        lines.append(f"{title}:")
        changes = list(differences(old, values))
        for path, was, now in changes[:6]:
            name = ".".join(map(str, path))
            lines.append(f"  {name}: {json.dumps(was)} -> {json.dumps(now)}")
        if len(changes) > 6:
            lines.append(f"  ... {len(changes) - 6} more")
    return "\n".join(lines)


def _image(text: str) -> str:
    try:
        return str(Spec(text).get(("transform", "image"), ""))
    except NotUnderstood:
        return ""
