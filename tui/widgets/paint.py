"""Styles that are the theme's alone, for widgets that paint their own lines.

As component classes each widget had every one of them worked out anew whenever the focus moved.
"""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style
from textual.style import Style as Words
from textual.widget import Widget

from tui import glyphs


def styled(widget: Widget, words: str) -> Style:
    """What ``words`` say in the theme of now: ``$text-muted bold``. It says nothing of what they
    do not name."""
    variables = widget.app.theme_variables
    return _parsed(
        " ".join(variables[word[1:]] if word[0] == "$" else word for word in words.split())
    )


def state(widget: Widget, name: str) -> Style:
    """A style of ``tui.glyphs.STYLES``."""
    return styled(widget, glyphs.STYLES[name])


@lru_cache(256)
def _parsed(words: str) -> Style:
    return Words.parse(words).rich_style
