"""Ingest: the sources that bring data in by themselves."""

from __future__ import annotations

from collections.abc import Iterable

from pachybox.client.base import BOX, Base
from pachybox.client.values import Json


class Ingests(Base):
    """Methods on ingest sources, by name or ``project/name``."""

    def advance_ingest(
        self,
        name: str,
        *,
        version: int,
        batch: int,
        offset: str,
        fileset: str = "",
        append: bool = False,
        deletes: Iterable[str] = (),
        marker: str = "",
        dead: str = "",
        records: int = 0,
        bytes: int = 0,
        files: int = 0,
        dead_letters: int = 0,
        description: str = "",
    ) -> str:
        """For sources: commit what came in (filesets: see ``upload_fileset``) together with how
        far the source has come. ``batch`` is the number after the last; one that was committed
        already is not committed again. Returns the newest commit of the source, if any."""
        answer = self.call(
            BOX,
            "AdvanceIngest",
            ingest=self._ingest(name),
            version=str(version),
            batch=str(batch),
            offset_json=offset,
            fileset=fileset,
            append=append,
            deletes=list(deletes),
            marker=marker,
            dead=dead,
            records=str(records),
            bytes=str(bytes),
            files=str(files),
            dead_letters=str(dead_letters),
            description=description,
        )
        return str(answer.get("commit", ""))

    def _ingest(self, name: str) -> Json:
        project, slash, rest = name.rpartition("/")
        return {"project": project if slash else self.project, "name": rest}
