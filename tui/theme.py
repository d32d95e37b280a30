"""Colours. Every text stands out from what it lies on by 4.5 to 1 or more; a test measures it.

The first is the one to begin with. ``terminal`` leaves all colours to the terminal, and is what
terminals of eight colours begin with.
"""

from __future__ import annotations

from collections.abc import Mapping

from textual.theme import BUILTIN_THEMES, Theme

TERMINAL = "terminal"


def _theme(
    name: str, dark: bool, grounds: tuple[str, str, str], text: tuple[str, str], colours: str
) -> Theme:
    """``grounds`` are background, surface and panel, ``text`` plain and muted, ``colours``
    primary, secondary, warning, error, success and accent."""
    background, surface, panel = grounds
    plain, muted = text
    primary, secondary, warning, error, success, accent = colours.split()
    return Theme(
        name=name,
        dark=dark,
        background=background,
        surface=surface,
        panel=panel,
        boost=panel,
        foreground=plain,
        primary=primary,
        secondary=secondary,
        warning=warning,
        error=error,
        success=success,
        accent=accent,
        variables={
            "boost": panel,
            "text": plain,
            "text-muted": muted,
            "text-disabled": muted,
            "text-primary": primary,
            "text-secondary": secondary,
            "text-warning": warning,
            "text-error": error,
            "text-success": success,
            "text-accent": accent,
            "block-cursor-foreground": background,
            "block-cursor-background": primary,
            "block-cursor-text-style": "bold",
            "block-cursor-blurred-foreground": plain,
            "block-cursor-blurred-background": panel,
            "input-selection-background": f"{primary} 35%",
        },
    )


_OWN = (
    _theme(
        "pachybox",
        True,
        ("#10141b", "#151a23", "#1f2632"),
        ("#d9dfe9", "#9aa5b5"),
        "#74b8ff #c6a2f7 #e8ba6c #ff8b8b #84d994 #5ad6ca",
    ),
    _theme(
        "paper",
        False,
        ("#fcfbf8", "#f4f2ec", "#e8e4da"),
        ("#22252a", "#54585f"),
        "#0a4f96 #63389a #6b4100 #9d1c17 #17602a #005a64",
    ),
    _theme(
        "ember",
        True,
        ("#1d1917", "#24201d", "#312b26"),
        ("#ebdbc5", "#b5a48f"),
        "#8fbcd4 #d9a3c4 #f2bd4b #ff8f77 #b7c75a #9ccf9c",
    ),
    _theme(
        "slate",
        True,
        ("#222733", "#282e3b", "#333b4b"),
        ("#e3e8f0", "#b4becf"),
        "#96c8ee #cdb4e6 #efcf8b #f3a6ac #add4a0 #92d3d6",
    ),
    _theme(
        "contrast",
        True,
        ("#000000", "#000000", "#161616"),
        ("#ffffff", "#d0d0d0"),
        "#6fc3ff #e0b0ff #ffd400 #ff9d9d #5dff7a #4dfff0",
    ),
)

THEMES: Mapping[str, Theme] = {
    **{theme.name: theme for theme in _OWN},
    TERMINAL: Theme(**{**vars(BUILTIN_THEMES["ansi-dark"]), "name": TERMINAL}),
}
FIRST = _OWN[0].name
"""The theme of who chose none."""


def begin(colours: int | None) -> str:
    """The theme to begin with on a terminal that shows so many colours (None: all)."""
    return TERMINAL if colours is not None and colours <= 16 else FIRST
