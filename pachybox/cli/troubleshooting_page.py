"""Writes docs/troubleshooting.md from doctor's codes:
``python -m pachybox.cli.troubleshooting_page``. A test compares."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from pachybox.doctor.codes import CODES, Code

DOCS = Path(__file__).parent.parent.parent / "docs" / "troubleshooting.md"

_HEAD = """\
# Troubleshooting

Written by `python -m pachybox.cli.troubleshooting_page` from what `pachybox doctor CODE` knows.

`pachybox doctor` looks at the machine, the data directory, settings, doors, runners and, where a
box runs, at what it knows of itself. It changes nothing. Each line is `ok`, `warn` (all works, but
you should know) or `fail`, with a code, and where something is wrong with the remedy for it; the
exit status is 1 when something failed. `pachybox doctor --raw` gives one JSON object a line, for
monitoring; codes never change their meaning. `pachybox doctor CODE` prints what stands below.

When that does not help: `pachybox support bundle` puts all that is needed to look for a fault into
one file, without data and without secrets; it works with no box running.

| symptom | look at |
|---|---|
| the box does not start | [PB301](#pb301-boxtoml), [PB401](#pb401-port), [PB208](#pb208-lock), \
[PB209](#pb209-metadata) |
| writes are refused | [PB204](#pb204-disk), [PB205](#pb205-inodes), \
[PB206](#pb206-read-only-file-system), [PB211](#pb211-quota) |
| sources and crons stand still | [PB204](#pb204-disk), [PB702](#pb702-ingest), \
[PB106](#pb106-clock) |
| a pipeline does not run | [PB701](#pb701-pipeline), [PB604](#pb604-image-of), \
[PB602](#pb602-containers), [PB606](#pb606-cluster), [PB303](#pb303-secret-key) |
| clients cannot connect | [PB402](#pb402-reach), [PB403](#pb403-certificate), \
[PB105](#pb105-open-files) |
| it is slow | [PB508](#pb508-shim), [PB102](#pb102-kernel), [PB104](#pb104-memory) |
| it starts again and again | [PB901](#pb901-service), [PB104](#pb104-memory) |
"""


def text() -> str:
    """The whole page."""
    out = [_HEAD]
    for subject, codes in groupby(CODES.values(), key=lambda one: one.subject):
        out.append(f"\n## {subject}\n")
        out += [_section(one) for one in codes]
    return "".join(out)


def _section(one: Code) -> str:
    return (
        f"\n### {one.code} {one.check.strip()}\n\n"
        f"Looks at {one.looks_at}.\n\n"
        f"**Trouble.** {one.means}\n\n"
        f"**Remedy.** {one.remedy}\n"
    )


def main() -> None:
    """Write the page."""
    DOCS.write_text(text())


if __name__ == "__main__":
    main()
