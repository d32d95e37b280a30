"""Writes docs/cli.md from the parsers: ``python -m pachybox.cli.docs``. A test compares."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from pachybox.cli.command import build
from pachybox.cli.table import NOT_BUILT, SECTIONS

DOCS = Path(__file__).parent.parent.parent / "docs" / "cli.md"

_HEAD = """\
# The command line

Written by `python -m pachybox.cli.docs` from the commands' own help.

`pachybox VERB NOUN [ARGUMENTS]`, as in Pachyderm; commands and flags of its 1.x and 2.x lines are
taken. Listing commands print tables for people; with `--raw` or `-o json` one JSON object a record
with the names of the API, with `-o yaml` YAML documents. Errors are one line on stderr: what, then
the remedy. Exit status: 0 done, 1 refused or failed, 2 not understood, 130 interrupted.

`list commit` asks for the PROGRESS of the newest 100 runs it lists; older rows show `-`. `wait` and
`flush` exit with 1 when what they waited for failed.

A path with `* ? [ ] { } ( )` is read as a pattern, unless a file has that very name.
"""


def text() -> str:
    """The whole document."""
    before, os.environ["COLUMNS"] = os.environ.get("COLUMNS"), "100"  # argparse wraps to it
    try:
        return _text()
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def _text() -> str:
    out = [_HEAD]
    for section, parts in SECTIONS.items():
        out.append(f"\n## {section}\n")
        for module, found in parts:
            table = import_module(f"pachybox.cli.{module}").COMMANDS
            for name, summary in found.items():
                help_text = build(name, summary, table[name]).format_help()
                out.append(f"\n### {name}\n\n```\n{help_text.rstrip()}\n```\n")
    out.append("\n## Not built\n\nThese commands of Pachyderm answer that they are not built.\n\n")
    out.append("| command | what | instead |\n|---|---|---|\n")
    out += [f"| `{name}` | {what} | {instead} |\n" for name, (what, instead) in NOT_BUILT.items()]
    return "".join(out)


def main() -> None:
    """Write the document."""
    DOCS.write_text(text())


if __name__ == "__main__":
    main()
