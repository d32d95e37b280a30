"""Writes the table of fields in docs/spec.md from the fields the box knows.

    python -m pachybox.pps.spec.page

A test runs the same function and compares.
"""

from __future__ import annotations

from pathlib import Path

from pachybox.pps.spec.fields import FIELDS, Field, Kind

PAGE = Path(__file__).parents[3] / "docs" / "spec.md"
_MARK = "<!-- fields, written by python -m pachybox.pps.spec.page -->\n"
TYPES = {
    Kind.STRING: "string",
    Kind.STRINGS: "strings",
    Kind.INT: "integer",
    Kind.INTS: "integers",
    Kind.NUMBER: "number",
    Kind.BOOL: "bool",
    Kind.DURATION: "duration",
    Kind.QUANTITY: "quantity",
    Kind.JSON: "string",
    Kind.MAP: "map",
    Kind.OBJECT: "object",
    Kind.OBJECTS: "objects",
    Kind.INPUTS: "inputs",
}
"""How documents call a kind."""


def table() -> str:
    """One row a field, in the order of the table."""
    rows = ["| field | type | in | default | here | what |", "|---|---|---|---|---|---|"]
    return "\n".join([*rows, *map(_row, FIELDS)]) + "\n"


def _row(field: Field) -> str:
    cells = (
        f"`{field.path}`",
        TYPES[field.kind],
        field.since,
        field.default,
        field.status.value,
        "; ".join(text for text in (field.doc, field.instead) if text),
    )
    return f"| {' | '.join(cells)} |"


def renewed(old: str) -> str:
    """docs/spec.md with its table written anew."""
    return old.partition(_MARK)[0] + _MARK + table()


def main() -> None:
    """Write the page."""
    PAGE.write_text(renewed(PAGE.read_text()))


if __name__ == "__main__":
    main()
