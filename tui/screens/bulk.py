"""``b``: one verb for all that is marked."""

from __future__ import annotations

import inspect
from typing import ClassVar

from tui.keymap import OF, VIEW
from tui.screens.view import View
from tui.widgets.confirm import Ask

_COPY, _UNMARK = "copy", "unmark"


class Bulk(View):
    """``bulk_ids`` are the view's verbs that take all marked rows of the focused list."""

    bulk_ids: ClassVar[tuple[str, ...]] = ()

    async def do_bulk(self) -> None:
        """Ask which, and do it; each verb asks for itself what it asks of one."""
        table, marks = self.list_in_front(), sorted(self.marks)
        keys = [self.frame.key(f"{VIEW}.{id}") for id in self.bulk_ids]
        choices = [(key.id, key.help) for key in keys if not self.refused(key)]
        choices += [(_COPY, "copy their names"), (_UNMARK, "unmark them")]
        chosen = await self.ask(
            Ask(f"{len(marks)} marked: what to do?", ", ".join(marks[:12]), choices=tuple(choices))
        )
        if chosen == _COPY:
            await self.frame.copy("\n".join(marks), f"{len(marks)} names")
        elif chosen == _UNMARK and table is not None:
            table.unmark()
        elif chosen in OF[VIEW]:
            done = getattr(self, f"do_{chosen}")()
            if inspect.isawaitable(done):
                await done
