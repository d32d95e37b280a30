"""Header and footer: the same on every screen, painted only when their text changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text
from textual.events import Click
from textual.widget import Widget

from tui.keymap import Key
from tui.shown import size
from tui.store import LIVE, LOST, Store


class Header(Widget):
    """Where one is, how the box is: crumbs, connection, machine."""

    DEFAULT_CSS = "Header { height: 1; background: $panel; color: $foreground; }"

    def __init__(self, crumbs: Callable[[], Sequence[str]], store: Store, place: str) -> None:
        super().__init__()
        self._crumbs, self._store, self._place = crumbs, store, place
        self._drawn = Text()

    def on_mount(self) -> None:
        """Once a second for the clock; nothing else ticks."""
        self.set_interval(1.0, self.renew)

    def renew(self) -> None:
        """Paint again if the text is another."""
        text = self._text()
        if text != self._drawn:
            self._drawn = text
            self.refresh()

    def render(self) -> Text:
        """The line that was composed last."""
        return self._drawn if self._drawn else self._text()

    def _text(self) -> Text:
        left = Text(" " + " > ".join(self._crumbs()), style="bold", no_wrap=True)
        right = Text(no_wrap=True)
        link, summary = self._store.link, self._store.summary
        if link.state == LIVE:
            right.append(f"live {link.ping_ms:.0f} ms", "green")
        elif link.state == LOST:
            wait = f", again in {link.retry_s:.0f} s" if link.retry_s else ", trying"
            right.append(f"box lost: {link.why}{wait}", "bold red")
        else:
            right.append("connecting", "yellow")
        name = summary.name if summary else self._place
        right.append(f"  {name}  {self._store.now.astimezone():%H:%M:%S} ")
        if summary and self.size.width >= 110:
            machine = summary.machine
            right.append(
                f" cpu {machine.cpu:4.0%}  mem {size(machine.memory_used)}"
                f"/{size(machine.memory_total)}"
            )
            style = "bold yellow" if summary.disk.mark else ""
            right.append(f"  disk {size(machine.disk_used)}/{size(machine.disk_total)} ", style)
        room = max(0, self.size.width - right.cell_len)
        left.truncate(room, overflow="ellipsis", pad=True)
        return left + right if room else right


class Footer(Widget):
    """The keys that matter here, clickable, and the command line of what was done last."""

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

    def render(self) -> Text:
        """Keys to the left, the command line to the right, which is cut first."""
        line = Text(" ", no_wrap=True)
        for key, why in self._keys():
            act = f"screen.press({key.name!r})"
            words = key.help.split(":")[0].split(",")[0].split(" (")[0]
            style = "dim" if why else ""
            line.append(key.shown, f"bold {style}".strip())
            line.append(f" {words}  ", style)
            line.apply_meta({"@click": act}, len(line) - len(key.shown) - len(words) - 3)
        room = self.size.width - line.cell_len
        if self.command and room > 12:
            said = Text(f"$ pachybox {self.command} ", style="dim", no_wrap=True)
            said.truncate(room, overflow="ellipsis")
            line.append(" " * (room - said.cell_len))
            line.append_text(said)
        return line

    def on_click(self, event: Click) -> None:
        """Clicks on keys are carried by the text itself."""
        event.stop()
