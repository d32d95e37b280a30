"""Writes each text as a title."""

from pathlib import Path

from letters import titled

for text in Path("/pfs/texts").iterdir():
    Path("/pfs/out", text.name).write_text(titled(text.read_text()))
