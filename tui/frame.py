"""What a view may ask of the app around it. Views know this, not the app."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from tui.places import Place

if TYPE_CHECKING:
    from tui.feed import Feed
    from tui.keymap import Key
    from tui.store import Store
    from tui.widgets.confirm import Ask


class Frame(Protocol):
    """The app, as its views see it."""

    feed: Feed
    store: Store
    ascii_only: bool
    frozen: bool
    box_name: str

    @property
    def read_only(self) -> str:
        """Why nothing may be changed here; "" when it may."""
        ...

    def key(self, name: str) -> Key:
        """A verb by its name (``view.logs``), with the keys that the user gave it."""
        ...

    def shell_environment(self) -> dict[str, str]:
        """The environment of a program that is run from here, so that it finds the same box."""
        ...

    def visit(self, place: Place) -> None:
        """Go to a place, in whichever mode it is; Esc and ``-`` lead back."""
        ...

    def told(self, *commands: str) -> None:
        """Show the command lines (what stands after ``pachybox``) that do what was just done."""
        ...

    def notice(self, text: str, *, error: bool = False, detail: str = "") -> None:
        """Say something in passing; ``detail`` can be opened and copied."""
        ...

    def defect(self, error: Exception) -> None:
        """Say that something of ours failed, with its story as detail."""
        ...

    async def ask(self, question: Ask) -> str | None:
        """Confirm or prompt; None when it was left. To be awaited in a worker."""
        ...

    async def copy(self, text: str, what: str = "") -> None:
        """Put ``text`` on the clipboard; says where it is when it is too large for that."""
        ...

    def remembered(self, key: str, default: str = "") -> str:
        """What the user chose before: sort, columns, split, theme."""
        ...

    def remember(self, key: str, value: str) -> None:
        """Keep a choice for the next time."""
        ...
