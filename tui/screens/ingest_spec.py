"""Specs of sources in the user's editor: templates, and back to the box until it takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pachybox.errors import PachyboxError
from tui.external import edited
from tui.frame import Frame
from tui.widgets.confirm import Ask

if TYPE_CHECKING:
    from textual.app import App

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


async def change_spec(
    app: App[Any], frame: Frame, spec: str | dict[str, Any], name: str, *, update: bool
) -> None:
    """Let the user edit a spec until the box takes it, or the user gives it up.

    An unchanged or empty text changes nothing; a refused one is edited again, or left.
    """
    import yaml

    before = spec if isinstance(spec, str) else yaml.safe_dump(spec, sort_keys=False)
    text = before
    while True:
        text = await edited(app, text, ".yaml")
        if not text.strip() or (update and text == before):
            frame.notice("unchanged" if text.strip() else "empty: nothing was changed")
            return
        try:
            made = await frame.feed.box.create_ingest(text, source=name, update=update)
            break
        except PachyboxError as e:
            again = Ask("Edit again?", str(e), choices=(("again", "edit again"), ("no", "leave")))
            if await frame.ask(again) != "again":
                return
    for one in made:
        for warning in one.warnings:
            frame.notice(warning)
    frame.told(f"{'update' if update else 'create'} ingest -f -")
    frame.feed.hurry()
