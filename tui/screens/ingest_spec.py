"""The spec of a source being written: what is wrong with it stands below, at line and column."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical

from tui.drafts import Draft, Drafts
from tui.keymap import FORM, OF, VIEW, Key
from tui.places import INGEST, Place
from tui.screens.spec_view import SpecView
from tui.spec_merge import unified
from tui.widgets.confirm import Ask
from tui.widgets.spec_editor import SpecEditor

_MOST = 14  # lines of a difference in the question
_KEYS = ("submit", "external", "next_problem", "field_help", "leave")

TEMPLATES: tuple[tuple[str, str, str], ...] = (
    (
        "watch",
        "a folder whose files come in when they are whole",
        """\
name: drops
to: raw@master
watch:
  path: /srv/incoming
  pattern: "*"
  settle: 2s
""",
    ),
    (
        "push",
        "HTTP: records posted to /ingest/NAME",
        """\
name: posts
to: raw@master
push:
  group: {time: 5s}
""",
    ),
    (
        "command",
        "a command whose output is cut into records",
        """\
name: lines
to: raw@master
command:
  cmd: [journalctl, -f, -o, json]
  group: {time: 5s}
""",
    ),
    ("cron", "a schedule that starts a pipeline (opens the wizard)", ""),
)


def draft_name(name: str) -> str:
    """What a source's draft is kept under: no pipeline can be called that."""
    return f"ingest:{name}"


class SourceScreen(SpecView):
    """The text of one spec. ``name`` is that of the source that is changed, "" for a new one."""

    mode: ClassVar[str] = INGEST
    kind: ClassVar[str] = "ingest"

    def __init__(self, draft: Draft, drafts: Drafts, name: str) -> None:
        super().__init__(draft, drafts)
        self.source_name = name

    @property
    def source(self) -> str:
        """What messages call the text."""
        return self.source_name or "draft"

    def body(self) -> ComposeResult:
        with Vertical(classes="body"):
            yield from self.text_side()
        yield from self.below()

    def crumbs(self) -> Sequence[str]:
        """Ingest > drops > edit."""
        return ["Ingest", *([self.source_name, "edit"] if self.source_name else ["new"])]

    def place(self) -> Place:
        """The source."""
        return Place(INGEST, self.source_name)

    def on_mount(self) -> None:
        """Check what one begins with; learn the fields."""
        self.editor.focus()
        self.load(self.load_fields(), group="fields")
        self.reload()

    def has(self, key: Key) -> bool:
        """A form has the keys of forms alone, and this one not all of them."""
        return key.id in _KEYS if key.at == FORM else key.at != VIEW

    def _footer(self) -> list[tuple[Key, str]]:
        why = self.frame.read_only
        return [(OF[FORM][id], why if OF[FORM][id].changes else "") for id in _KEYS]

    @on(SpecEditor.Changed, "#spec")
    def _text_changed(self) -> None:
        self.changed_at, self.kept = time.monotonic(), False
        self.reload()

    def reload(self) -> None:
        """ctrl+r: check again."""
        self.load(self.check(), group="check")

    # What becomes of it

    async def submit(self) -> None:
        """Make it, or change it after showing what that changes."""
        if not await self.checked():
            return
        text, box, name = self.editor.text, self.frame.feed.box, self.source_name
        file = await asyncio.to_thread(self.drafts.sent, self.draft.box, self.draft.pipeline, text)
        command = f"{'update' if name else 'create'} ingest -f {file}"
        if name and not await self._sure(command):
            return
        made = await box.create_ingest(text, source=self.source, update=bool(name))
        self.kept = True
        self.drafts.drop(self.draft.box, self.draft.pipeline)
        for warning in (warning for one in made for warning in one.warnings):
            self.frame.notice(warning)
        self.frame.notice(f"{'updated' if name else 'made'} {', '.join(map(str, made))}")
        self.leave()
        self.frame.told(command)
        self.frame.feed.hurry()

    async def _sure(self, command: str) -> bool:
        """Whether the change is wanted, also when somebody else was faster."""
        from tui.screens.ingest_facts import spec_text

        now = await self.frame.feed.box.inspect_ingest(self.source_name)
        name, had, text = self.source_name, self.draft.version, self.editor.text
        theirs = spec_text(now)
        if now.version != had:
            lines = unified(theirs, text, (f"v{now.version}", "yours"))
            question = Ask(
                f"{name} was changed meanwhile: it is at v{now.version}, yours is of v{had}?",
                lines or "both are the same",
                choices=(
                    ("", "leave both: go on editing"),
                    ("theirs", f"take v{now.version}, and drop yours"),
                    ("mine", f"save yours over v{now.version}"),
                ),
            )
            asked = await self.ask(question)
            if asked == "theirs":
                d = self.draft
                self.draft = Draft(d.box, d.pipeline, now.version, theirs, theirs)
                self.editor.become(theirs)
            return asked == "mine"
        lines = unified(theirs, text, (f"v{had}", "yours"))
        if not lines:
            self.frame.notice("unchanged")
            return False
        first = lines.split("\n")
        more = [f"... {len(first) - _MOST} more lines"] if len(first) > _MOST else []
        said = "\n".join([*first[:_MOST], *more])
        return await self.ask(Ask(f"Update {name}?", said, command=command)) == "y"

    @on(SpecEditor.Left)
    def action_leave(self) -> None:
        """Esc: back; what was typed is kept as a draft."""
        self.go_back(f"e on {self.source_name}" if self.source_name else "n")
