"""Styles of widgets that paint their own lines follow the theme."""

from __future__ import annotations

from rich.style import Style
from textual.app import App, ComposeResult
from textual.color import Color
from textual.widget import Widget

from tui import glyphs
from tui.theme import TERMINAL, THEMES
from tui.widgets.paint import state, styled


class Painted(App[None]):
    def compose(self) -> ComposeResult:
        yield Widget()


async def test_styles_are_those_of_the_theme_of_now() -> None:
    app = Painted()
    for theme in THEMES.values():
        app.register_theme(theme)
    async with app.run_test() as pilot:
        widget = app.query_one(Widget)
        for name, theme in THEMES.items():
            app.theme = name
            await pilot.pause()
            assert state(widget, "plain") == Style.null()
            found = {style: state(widget, style).color for style in glyphs.STYLES}
            assert all(found[style] for style in glyphs.STYLES if style != "plain"), name
            bold = styled(widget, "$text-muted bold underline")
            assert (bold.color, bold.bold, bold.underline) == (found["quiet"], True, True)
            assert bold.bgcolor is None
            if name != TERMINAL:
                assert theme.success is not None
                assert found["ok"] == Color.parse(theme.success).rich_color
