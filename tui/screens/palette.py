"""ctrl+p: the verbs of this view, and all that has a name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tui.commands import Names
from tui.feed import Feed
from tui.keymap import Key
from tui.lookup import from_box
from tui.widgets.picker import Hit, Picker


class Palette(Picker):
    """``keys`` are the verbs that act now, each with why it does not; "" when it does."""

    title_text = "Palette"
    hint = "a verb, a name"

    def __init__(
        self, keys: Sequence[tuple[Key, str]], names: Callable[[], Names], feed: Feed
    ) -> None:
        super().__init__()
        self._keys, self._names, self._feed = keys, names, feed

    def hits(self) -> Sequence[Hit]:
        """Verbs first, then names."""
        names = self._names()
        found = [Hit(f"key {k.name}", k.help, k.all_shown, why) for k, why in self._keys]
        for noun, some in (
            ("pipeline", names.pipelines),
            ("repo", names.repos),
            ("ingest", names.ingests),
            ("job", names.jobs),
            ("box", names.boxes),
            ("theme", names.themes),
        ):
            found += [Hit(f"say {noun} {name}", name, noun) for name in some]
        return found

    async def more(self, query: str) -> Sequence[Hit]:
        """Branches, jobs and files that begin so."""
        return [Hit(f"say {name}", name) for name in await from_box(self._feed.box, query)]
