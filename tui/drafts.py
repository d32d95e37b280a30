"""Specs that are being written: kept as files, so that nothing typed is lost with a box, a
connection or the terminal itself."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tui.choices import folder


@dataclass(frozen=True, slots=True)
class Draft:
    """``text`` of a spec for ``box``; ``pipeline`` is empty for a new one, ``version`` the one it
    was begun from, ``base`` the text of that."""

    box: str
    pipeline: str
    version: int
    base: str
    text: str
    saved: str = ""

    @property
    def time(self) -> datetime | None:
        """When it was kept."""
        try:
            return datetime.fromisoformat(self.saved)
        except ValueError:
            return None


class Drafts:
    """One draft of each pipeline and of what is new, for each box."""

    def __init__(self, place: Path | None = None) -> None:
        self._place = place or folder() / "drafts"

    def path(self, box: str, pipeline: str) -> Path:
        """The file of a draft: its name tells the pipeline, its content all else."""
        mark = hashlib.sha256(f"{box}\0{pipeline}".encode()).hexdigest()[:10]
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in pipeline) or "new"
        return self._place / f"{name}.{mark}.json"

    def get(self, box: str, pipeline: str = "") -> Draft | None:
        """What was kept; None without one that can be read."""
        try:
            read = json.loads(self.path(box, pipeline).read_text(encoding="utf-8"))
            made = Draft(**read)
        except (OSError, ValueError, TypeError):
            return None
        return made if isinstance(made.text, str) and made.text.strip() else None

    def put(self, draft: Draft) -> None:
        """Keep it, whole or not at all. Raises OSError."""
        path = self.path(draft.box, draft.pipeline)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_suffix(f".{os.getpid()}.new")
        kept = asdict(draft) | {"saved": datetime.now(UTC).isoformat(timespec="seconds")}
        new.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
        new.replace(path)

    def drop(self, box: str, pipeline: str = "") -> None:
        """It is not needed any more."""
        self.path(box, pipeline).unlink(missing_ok=True)

    # ---- what was sent

    def sent(self, box: str, name: str, text: str) -> str:
        """Keep a text that goes to the box, for the shell to send it as well; the file as a shell
        takes it. Raises OSError."""
        path = self.path(box, name).with_suffix(".yaml")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        try:
            return f"~/{shlex.quote(str(path.relative_to(Path.home())))}"
        except (ValueError, RuntimeError):  # it is elsewhere, or there is no home
            return shlex.quote(str(path))

    # ---- what became a pipeline

    def wrote(self, box: str, pipeline: str, version: int, text: str) -> None:
        """Keep the text of a pipeline's newest version: the box has its fields, not its comments.
        Raises OSError."""
        self.put(Draft(box, f"{pipeline}.written", version, "", text))

    def written(self, box: str, pipeline: str, version: int) -> str:
        """The text that was kept of that version; "" without one."""
        kept = self.get(box, f"{pipeline}.written")
        return kept.text if kept is not None and kept.version == version else ""
