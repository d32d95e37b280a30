"""THE table of keys: bindings, footer, ``?``, palette and the page of keys are made from it.

A key keeps its meaning in every view. ``at`` says who acts: the app (everywhere), the view (its
verbs, on what its list pane has under the cursor), a list pane, a text pane, or a form.
"""

from __future__ import annotations

from typing import NamedTuple

APP, VIEW, LIST, TEXT, FORM = "app", "view", "list", "text", "form"


class Key(NamedTuple):
    """One verb. ``keys`` are Textual's names; ``list_only``: not while a text pane has the focus;
    ``changes``: refused in read-only mode; ``cli`` names the command that does the same."""

    at: str
    id: str
    keys: str
    help: str
    list_only: bool = False
    changes: bool = False
    cli: str = ""

    @property
    def name(self) -> str:
        """What users write in keys.toml: ``view.delete``."""
        return f"{self.at}.{self.id}"

    @property
    def shown(self) -> str:
        """The first of its keys, as it is printed."""
        return shown(self.keys.split(",")[0])

    @property
    def brief(self) -> str:
        """What it does in a word or two, for the footer."""
        short = {"app.help": "keys", "app.prompt": "go to"}.get(self.name)
        return short or self.help.split(":")[0].split(",")[0].split(" (")[0]

    @property
    def all_shown(self) -> str:
        """All of its keys, as they are printed."""
        return " ".join(shown(key) for key in self.keys.split(","))


_SIGNS = {
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "vertical_line": "|",
    "ampersand": "&",
    "apostrophe": "'",
    "semicolon": ";",
    "full_stop": ".",
    "comma": ",",
    "exclamation_mark": "!",
    "slash": "/",
    "colon": ":",
    "minus": "-",
    "enter": "Enter",
    "escape": "Esc",
    "tab": "Tab",
    "shift+tab": "S-Tab",
    "space": "Space",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "Up",
    "down": "Down",
    "left": "Left",
    "right": "Right",
    "home": "Home",
    "end": "End",
}


def shown(key: str) -> str:
    """A key of Textual's as it is printed: ``question_mark`` is ``?``, ``f4`` is ``F4``."""
    if key in _SIGNS:
        return _SIGNS[key]
    return key.upper() if key[:1] == "f" and key[1:].isdecimal() else key


def types(key: Key) -> bool:
    """Whether one of a verb's keys types a character, and so acts in no form."""
    return any(len(shown(one)) == 1 or one == "space" for one in key.keys.split(","))


KEYS: tuple[Key, ...] = (
    Key(APP, "mode_home", "1", "Home: what runs and what needs attention"),
    Key(APP, "mode_repo", "2", "repos: branches, commits, files", cli="list repo"),
    Key(APP, "mode_pipeline", "3", "pipelines and their specs", cli="list pipeline"),
    Key(APP, "mode_job", "4", "jobs, datums and logs", cli="list job"),
    Key(APP, "mode_ingest", "5", "ingest: cron, spouts, folders, posts", cli="list ingest"),
    Key(APP, "mode_lineage", "6", "lineage: what came from what"),
    Key(APP, "next_pane", "tab", "next pane"),
    Key(APP, "previous_pane", "shift+tab", "previous pane"),
    Key(APP, "prompt", "colon", "go to a thing, or run a command"),
    Key(APP, "palette", "ctrl+p", "palette: verbs and names"),
    Key(APP, "help", "question_mark", "the keys of this view"),
    Key(APP, "help_panel", "f1", "keys beside the view"),
    Key(APP, "jump", "ctrl+g", "jump to a pane by its letter"),
    Key(APP, "notices", "exclamation_mark", "what was said, errors in full"),
    Key(APP, "last_view", "minus", "the view before this one"),
    Key(APP, "back", "escape", "back"),
    Key(APP, "quit_or_back", "q", "back; at a mode's first view, quit"),
    Key(APP, "quit", "ctrl+q", "quit"),
    Key(APP, "copy_selection", "ctrl+c,super+c", "copy the selected text"),
    Key(APP, "suspend", "ctrl+z", "suspend to the shell"),
    Key(APP, "reload", "ctrl+r", "load again"),
    Key(APP, "zoom", "z", "zoom the pane, and back"),
    Key(APP, "flip", "vertical_line", "panes beside or below each other"),
    Key(APP, "freeze", "F", "freeze updates, and thaw"),
    Key(VIEW, "tab_left", "left_square_bracket", "tab to the left in the pane"),
    Key(VIEW, "tab_right", "right_square_bracket", "tab to the right in the pane"),
    Key(VIEW, "graph", "v", "the graph whole, or a list and a neighbourhood", list_only=True),
    Key(VIEW, "copy", "y,c", "copy: name, id, path, row, command line"),
    Key(VIEW, "yaml", "o", "the object as YAML", list_only=True),
    Key(VIEW, "editor", "E", "open in $EDITOR or the pager", list_only=True),
    Key(VIEW, "save", "ctrl+s", "save to disk", cli="get file"),
    Key(VIEW, "upstream", "less_than_sign", "upstream: what this came from"),
    Key(VIEW, "downstream", "greater_than_sign", "downstream: what came from this"),
    Key(
        VIEW, "diff", "d", "difference from the mark, or from the one before", True, cli="diff file"
    ),
    Key(VIEW, "filter", "slash", "filter: regex, !without, ~fuzzy, state:failed", True),
    Key(VIEW, "bulk", "b", "what to do with all that is marked", True),
    Key(VIEW, "logs", "l", "logs", True, cli="logs"),
    Key(VIEW, "shell", "S", "a shell that talks to this box", True, changes=True),
    Key(VIEW, "new", "n", "new", True, changes=True),
    Key(VIEW, "edit", "e", "edit", True, changes=True, cli="edit pipeline"),
    Key(VIEW, "delete", "D", "delete (asks)", True, changes=True),
    Key(VIEW, "put", "p", "put a file", True, changes=True, cli="put file"),
    Key(VIEW, "retry", "r", "run again, or retry", True, changes=True, cli="rerun pipeline"),
    Key(VIEW, "stop", "x", "stop (asks)", True, changes=True, cli="stop job"),
    Key(VIEW, "pause", "s", "pause, or resume", True, changes=True),
    Key(VIEW, "tick", "t", "tick now", True, changes=True, cli="run cron"),
    Key(LIST, "cursor_down", "j,down", "down"),
    Key(LIST, "cursor_up", "k,up", "up"),
    Key(LIST, "top", "g,home", "first"),
    Key(LIST, "bottom", "G,end", "last"),
    Key(LIST, "half_down", "ctrl+d", "half a page down"),
    Key(LIST, "half_up", "ctrl+u", "half a page up"),
    Key(LIST, "page_down", "pagedown,ctrl+f", "page down"),
    Key(LIST, "page_up", "pageup,ctrl+b", "page up"),
    Key(LIST, "sideways_left", "H", "to the left"),
    Key(LIST, "sideways_right", "L", "to the right"),
    Key(LIST, "cursor_left", "h,left", "to the left; in a tree fold"),
    Key(LIST, "cursor_right", "right", "to the right; in a tree unfold"),
    Key(LIST, "open", "enter", "open"),
    Key(LIST, "mark", "space", "mark"),
    Key(LIST, "mark_all", "a", "mark all shown, or none"),
    Key(LIST, "sort_left", "comma", "sort by the column to the left"),
    Key(LIST, "sort_right", "full_stop", "sort by the column to the right"),
    Key(LIST, "sort_reverse", "semicolon", "sort the other way round"),
    Key(TEXT, "scroll_down", "j,down", "down"),
    Key(TEXT, "scroll_up", "k,up", "up"),
    Key(TEXT, "scroll_home", "g,home", "begin"),
    Key(TEXT, "scroll_end", "G,end", "end"),
    Key(TEXT, "half_down", "ctrl+d", "half a page down"),
    Key(TEXT, "half_up", "ctrl+u", "half a page up"),
    Key(TEXT, "page_down", "pagedown,ctrl+f", "page down"),
    Key(TEXT, "page_up", "pageup,ctrl+b", "page up"),
    Key(TEXT, "scroll_left", "H,h,left", "to the left"),
    Key(TEXT, "scroll_right", "L,right", "to the right"),
    Key(TEXT, "find", "slash", "find, and keep the lines around"),
    Key(TEXT, "find_next", "n", "next found"),
    Key(TEXT, "find_previous", "N", "found before"),
    Key(TEXT, "only", "ampersand", "matching lines only"),
    Key(TEXT, "follow", "f", "follow"),
    Key(TEXT, "wrap", "w", "wrap long lines"),
    Key(TEXT, "times", "t", "timestamps"),
    Key(TEXT, "pretty", "p", "pretty JSON"),
    Key(TEXT, "window", "T", "time: tail, head, 1m, 5m, 15m, 1h, all"),
    Key(TEXT, "minute_back", "left_curly_bracket", "a minute back"),
    Key(TEXT, "minute_on", "right_curly_bracket", "a minute on"),
    Key(TEXT, "set_mark", "m", "set a mark"),
    Key(TEXT, "next_mark", "apostrophe", "next mark"),
    Key(FORM, "submit", "ctrl+s", "save, create", changes=True),
    Key(FORM, "attempt", "ctrl+t", "try on one datum", changes=True, cli="run datum"),
    Key(FORM, "previous_step", "f2", "the step before"),
    Key(FORM, "next_step", "f3", "the next step"),
    Key(FORM, "external", "f4", "open in $EDITOR"),
    Key(FORM, "compare", "f5", "difference from what runs", cli="diff pipeline"),
    Key(FORM, "other_side", "f6", "form or text"),
    Key(FORM, "next_problem", "f8", "to the next problem"),
    Key(FORM, "field_help", "f1", "all about the field"),
    Key(FORM, "leave", "escape", "leave the field, then the form"),
)

OF: dict[str, dict[str, Key]] = {
    at: {key.id: key for key in KEYS if key.at == at} for at in (APP, VIEW, LIST, TEXT, FORM)
}


def clashes(keys: tuple[Key, ...] = KEYS) -> list[str]:
    """Keys that two verbs claim in one place, as ``key: one, other``; empty when all is well.

    A text pane may use a list's letters: while it has the focus the view's ``list_only`` verbs
    do not act. A form's field takes letters itself.
    """
    found = []
    for one in keys:
        for other in keys:
            if one.name >= other.name or not _together(one, other):
                continue
            both = set(one.keys.split(",")) & set(other.keys.split(","))
            found += [f"{shown(key)}: {one.name}, {other.name}" for key in sorted(both)]
    return found


def _together(one: Key, other: Key) -> bool:
    """Whether both can act while the same pane has the focus."""
    at = {one.at, other.at}
    if at == {FORM, APP} or at == {FORM, VIEW}:
        return False  # a form is a screen of its own; Esc is its own before the app's
    if at == {TEXT, VIEW}:
        return not (one.list_only or other.list_only)
    return at not in ({TEXT, LIST}, {TEXT, FORM}, {LIST, FORM})
