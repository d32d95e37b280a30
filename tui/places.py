"""Where one can be: the names of the command line, read and written.

``repo``, ``repo@branch``, ``repo@commit:/path``, ``pipeline@job`` can be pasted anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

HOME, REPO, PIPELINE, JOB, INGEST, LINEAGE = "home", "repo", "pipeline", "job", "ingest", "lineage"
MODES = (HOME, REPO, PIPELINE, JOB, INGEST, LINEAGE)


@dataclass(frozen=True, slots=True)
class Place:
    """A view and what it shows.

    ``name`` is that of the repo, pipeline or source (``project/name`` outside of ``default``);
    ``ref`` a branch, commit or job id; ``path`` a file's; ``pane`` what to show of it (``logs``,
    ``new``, ``edit``, ``diff``, ``history``), "" for all. An empty ``name`` is the mode's list.
    ``options`` are what was said beside it: ``since`` and ``datum`` of logs, ``other`` of a
    difference.
    """

    mode: str
    name: str = ""
    ref: str = ""
    path: str = ""
    pane: str = ""
    options: tuple[tuple[str, str], ...] = ()

    def option(self, name: str) -> str:
        """What was said of ``name``; "" when nothing was."""
        return dict(self.options).get(name, "")

    def __str__(self) -> str:
        """As the command line writes it; the mode's word for a list."""
        if not self.name:
            return self.mode
        text = f"{self.name}@{self.ref}" if self.ref else self.name
        return f"{text}:{self.path}" if self.path else text


def split(text: str) -> tuple[str, str, str]:
    """``name@ref:/path`` as its three parts; what is not there is empty."""
    head, colon, path = text.strip().partition(":")
    name, _, ref = head.partition("@")
    return name, ref, ("/" + path.lstrip("/") if colon else "")
