"""Ingest: the sources that bring data in by themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pachybox.client.base import BOX, Base, Stream
from pachybox.client.ingest_values import CreatedIngest, IngestInfo
from pachybox.client.pipeline_values import LogMessage
from pachybox.client.values import Json


class Ingests(Base):
    """Methods on ingest sources. A source is written ``[project/]name``."""

    def create_ingest(
        self,
        spec: str | Json | list[Json],
        *,
        source: str = "",
        update: bool = False,
        reset: bool = False,
    ) -> list[CreatedIngest]:
        """Make the sources of a spec (JSON or YAML text, or one or several dicts), all or none.

        ``source`` names where the text came from, for messages. With ``update`` those that are
        there are changed and go on from where they are, with ``reset`` from the beginning.

        >>> box.create_ingest({"name": "drops", "to": "raw@master", "watch": {"path": "/data/in"}})
        """
        answer = self.call(
            BOX,
            "CreateIngest",
            text=spec if isinstance(spec, str) else json.dumps(spec),
            source=source,
            project=self.project,
            update=update,
            reset=reset,
        )
        return [CreatedIngest.from_json(one) for one in answer.get("ingests") or ()]

    def list_ingest(self, projects: Iterable[str] = ()) -> Stream[IngestInfo]:
        """Every source of the projects (none given: of all), by name: also the cron inputs and
        spouts of pipelines."""
        found = self.stream(BOX, "ListIngest", projects=list(projects))
        return found.map(IngestInfo.from_json)

    def inspect_ingest(self, name: str) -> IngestInfo:
        """One source. A cron input goes by the name of the repo of its ticks, a spout by that of
        its pipeline."""
        return IngestInfo.from_json(self.call(BOX, "InspectIngest", ingest=self._ingest(name)))

    def pause_ingest(self, name: str) -> None:
        """Have a source bring nothing until it is resumed, also when the box restarts."""
        self.call(BOX, "PauseIngest", ingest=self._ingest(name))

    def resume_ingest(self, name: str) -> None:
        """Have a paused source go on from where it was."""
        self.call(BOX, "ResumeIngest", ingest=self._ingest(name))

    def run_ingest(self, name: str) -> None:
        """Have a source do now what it would do later: look, tick, commit what waits, start
        again."""
        self.call(BOX, "RunIngest", ingest=self._ingest(name))

    def delete_ingest(self, name: str) -> None:
        """End and remove a source, with its logs. What it committed stays."""
        self.call(BOX, "DeleteIngest", ingest=self._ingest(name))

    def ingest_log(
        self, name: str, *, follow: bool = False, tail: int = 0, since_s: float = 0.0
    ) -> Stream[LogMessage]:
        """What a source says, and (``user``) what its program does; the last ``tail`` lines (0:
        all). With ``follow`` new ones too, until the source is deleted."""
        return self.stream(
            BOX,
            "GetIngestLog",
            ingest=self._ingest(name),
            follow=follow or None,
            tail=str(tail) if tail else None,
            since_ms=str(int(since_s * 1000)) if since_s else None,
        ).map(LogMessage.from_json)

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
        made: str = "",
    ) -> str:
        """For sources: commit what came in (filesets, which that uses up: see ``upload_fileset``)
        together with how far the source has come. ``batch`` is the number after the last; one
        that was committed already is not committed again. Returns the newest commit of the
        source, if any."""
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
            made=made,
        )
        return str(answer.get("commit", ""))

    def _ingest(self, name: str) -> Json:
        project, slash, rest = name.rpartition("/")
        return {"project": project if slash else self.project, "name": rest}
