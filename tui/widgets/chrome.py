"""Header, footer and the word on a lost box: the same on every screen, painted only when their
text changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from textual.content import Content
from textual.events import Click
from textual.style import Style
from textual.widget import Widget

from tui import glyphs
from tui.keymap import Key
from tui.shown import bar, cut, share, spark, used, visible
from tui.store import LIVE, LOST, Store

_ID = re.compile(r"\b([0-9a-f]{8})[0-9a-f]{24}\b")


def clickable(text: str, style: str, action: str) -> Content:
    """``text`` that does ``action`` when it is clicked."""
    return Content.styled(text, Style.parse(style) + Style.from_meta({"@click": action}))


class Header(Widget):
    """Where one is, how the box is: crumbs, connection, machine."""

    auto_links = False  # the text has styles of its own
    DEFAULT_CSS = "Header { height: 1; background: $panel; color: $foreground; }"

    def __init__(
        self,
        crumbs: Callable[[], Sequence[str]],
        store: Store,
        note: Callable[[], str],
        *,
        ascii_only: bool = False,
    ) -> None:
        super().__init__()
        self._crumbs, self._store, self._note, self._ascii = crumbs, store, note, ascii_only
        self._drawn = Content()

    def on_mount(self) -> None:
        """Once a second for the clock; nothing else ticks."""
        self.set_interval(1.0, self.renew)

    def renew(self) -> None:
        """Paint again if the text is another."""
        text = self._text()
        if not self._drawn.is_same(text):
            self._drawn = text
            self.refresh()

    def render(self) -> Content:
        """The line."""
        self._drawn = self._text()
        return self._drawn

    def _text(self) -> Content:
        right = self._right()
        room = self.size.width - right.cell_length
        left = self._left()
        if room <= 0:
            return right
        if left.cell_length > room:
            left = left.truncate(room, ellipsis=True)
        return left.pad_right(room - left.cell_length) + right

    def _left(self) -> Content:
        parts = [Content(" ")]
        for number, crumb in enumerate(self._crumbs()):
            if number:
                parts.append(Content.styled(" > ", "$text-muted"))
            parts.append(clickable(_short(crumb), "bold", f"app.crumb({number})"))
        return Content.assemble(*parts)

    def _right(self) -> Content:
        link, summary = self._store.link, self._store.summary
        parts: list[Content | str] = []
        if note := self._note():
            parts += [Content.styled(note, "bold $text-warning"), "  "]
        if link.state == LIVE:
            sign = f"{glyphs.LIVE.sign(self._ascii)} live {link.ping_ms:.0f} ms"
            parts.append(Content.styled(sign, "$text-success"))
        elif link.state == LOST:
            sign = f"{glyphs.LOST.sign(self._ascii)} lost"
            parts.append(Content.styled(sign, "bold $text-error"))
        else:
            parts.append(Content.styled("connecting", "$text-warning"))
        name = f"  {visible(summary.name)}" if summary and summary.name else ""
        parts.append(f"{name}  {self._store.now.astimezone():%H:%M:%S} ")
        if summary and summary.machine.memory_total and self.size.width >= 110:
            machine, ascii = summary.machine, self._ascii
            loads = spark(list(self._store.loads), 4, ascii=ascii, most=1.0)
            memory = used(machine.memory_used, machine.memory_total)
            parts.append(f" cpu {loads} {share(machine.cpu)}  mem {memory}")
            part = machine.disk_used / machine.disk_total if machine.disk_total else 0.0
            full = bar(part, 4, ascii=ascii)
            disk = f"  disk {full} {used(machine.disk_used, machine.disk_total)} "
            parts.append(Content.styled(disk, "bold $text-warning" if summary.disk.mark else ""))
        return Content.assemble(*parts)


def _short(crumb: str) -> str:
    return _ID.sub(r"\1", visible(crumb))


class Banner(Widget):
    """Hidden while the box answers. A line when it was lost; all of the screen when nothing was
    ever heard of it, with what can be done."""

    DEFAULT_CSS = """
    Banner { display: none; height: 1; padding: 0 1; background: $error 20%; color: $text-error; }
    """

    def __init__(self, store: Store, where: Callable[[], str]) -> None:
        super().__init__()
        self._store, self._where = store, where

    def renew(self) -> None:
        """Paint again."""
        if self.display:
            self.refresh()

    def render(self) -> Content:
        """Why, since when, and when it is tried again."""
        link = self._store.link
        if link.refused and self._store.summary is None:
            return self._refusal()
        wait = f"again in {link.retry_s:.0f} s" if link.retry_s else "trying now"
        why = visible(link.why)
        if self._store.summary is not None:
            since = f"since {link.lost_at.astimezone():%H:%M:%S}, " if link.lost_at else ""
            tail = f", {since}{wait} (ctrl+r now)"
            room = max(10, self.size.width - len(tail) - 10)
            return Content.assemble(("box lost: ", "bold"), cut(why, room), tail)
        return Content.assemble(
            ("No box answers.\n\n", "bold $text-error"),
            f"{self._where()}\n{why}\n\n",
            (f"{wait}\n\n", "$text-warning"),
            ("ctrl+r", "bold"), "  try now\n",
            (":box", "bold"), "    go to another box\n",
            ("ctrl+q", "bold"), "  quit; pachybox up --detach starts one on this machine\n",
        )  # fmt: skip

    def _refusal(self) -> Content:
        return Content.assemble(
            ("The box does not let this token in.\n\n", "bold $text-error"),
            f"{self._where()}\n{visible(self._store.link.why)}\n\n",
            ("ctrl+r", "bold"), "  try now\n",
            (":box", "bold"), "    go to another box\n",
            ("ctrl+q", "bold"), "  quit; PACHYBOX_TOKEN, or the token of a context, is shown\n",
        )  # fmt: skip


class Footer(Widget):
    """The keys that matter here, clickable, and the command line of what was done last."""

    auto_links = False  # as above
    DEFAULT_CSS = "Footer { dock: bottom; height: 1; background: $panel; color: $foreground; }"

    def __init__(self, keys: Callable[[], Sequence[tuple[Key, str]]]) -> None:
        super().__init__()
        self._keys = keys
        self.command = ""

    def renew(self, command: str | None = None) -> None:
        """Paint again; ``command`` becomes the shown command line."""
        if command is not None:
            self.command = command
        self.refresh()

    def render(self) -> Content:
        """Keys to the left, the command line to the right, which is cut first."""
        keys = list(self._keys())
        while len(keys) > 2 and _wide(keys) > self.size.width:
            del keys[-3]  # the last two are the way to all others
        parts = [Content(" ")]
        used = _wide(keys)
        for key, why in keys:
            act = f"screen.press({key.name!r})"
            parts.append(clickable(key.shown, "$text-muted" if why else "bold $text-primary", act))
            parts.append(clickable(f" {key.brief}", "$text-muted" if why else "", act))
            parts.append(Content("  "))
        room = self.size.width - used
        if self.command and room > 12:
            said = cut(f"$ pachybox {visible(self.command)} ", room)
            parts.append(Content(" " * (room - len(said))))
            parts.append(Content.styled(said, "$text-muted"))
        return Content.assemble(*parts)

    def on_click(self, event: Click) -> None:
        """Clicks on keys are carried by the text itself."""
        event.stop()


def _wide(keys: Sequence[tuple[Key, str]]) -> int:
    return 1 + sum(len(key.shown) + len(key.brief) + 3 for key, _ in keys)
