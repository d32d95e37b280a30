"""Writes the tables of keys into docs/terminal.md: ``python -m tui.docs``. A test compares."""

from __future__ import annotations

from pathlib import Path

from tui.keymap import APP, FORM, LIST, OF, TEXT, VIEW, Key

PAGE = Path(__file__).parent.parent / "docs" / "terminal.md"
_BEGIN, _END = "<!-- keys: python -m tui.docs -->\n", "<!-- end of keys -->\n"
_HEADINGS = {
    APP: "Everywhere",
    VIEW: "On what the cursor is on",
    LIST: "In lists",
    TEXT: "In texts: logs, previews, differences",
    FORM: "In forms",
}


def tables() -> str:
    """A table for each place where keys act."""
    parts = []
    for at, heading in _HEADINGS.items():
        parts.append(f"\n### {heading}\n\n| keys | what | name |\n|---|---|---|\n")
        parts += [_row(key) for key in OF[at].values()]
    return "".join(parts) + "\n"


def _row(key: Key) -> str:
    keys = " ".join(f"`{_cell(one)}`" for one in key.all_shown.split(" "))
    note = " (not in read-only mode)" if key.changes else ""
    return f"| {keys} | {_cell(key.help)}{note} | `{key.name}` |\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def filled(page: str) -> str:
    """``page`` with the tables as they are now."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{tables()}{_END}{after}"


def main() -> None:
    """Write the page."""
    PAGE.write_text(filled(PAGE.read_text()))


if __name__ == "__main__":
    main()
