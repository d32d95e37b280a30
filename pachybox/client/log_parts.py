"""Logs in parts: a window anywhere in a log of any length, a search, and what is added."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial

from pachybox.client.base import BOX, Base, Stream, pause
from pachybox.client.connection import current_scope
from pachybox.client.log_values import LogEntry, LogPart
from pachybox.client.names import job_message, pipeline_message
from pachybox.client.values import Json
from pachybox.errors import InvalidArgument, NotReady, Unreachable

_AGAIN_S = 0.05  # between attempts to go on following


class LogParts(Base):
    """Methods on logs, which are read by place.

    A log is that of a ``pipeline`` (all its jobs), of a ``job`` (``pipeline@id``; lines of its
    workers by time), of a ``datum`` in one of these, or of an ``ingest`` source. A place is a
    number of bytes, and stays that of its line also when the log grows, its oldest part is
    removed, or the box starts again.
    """

    def read_log(
        self,
        *,
        pipeline: str = "",
        job: str = "",
        datum: str = "",
        ingest: str = "",
        after: int | None = None,
        before: int | None = None,
        lines: int = 500,
    ) -> LogPart:
        """Up to ``lines`` lines that begin at or ``after`` a place, or (the last such) ``before``
        it; with neither, the last of the log."""
        if after is not None and before is not None:
            raise InvalidArgument("after and before are two windows", "give one of them")
        edge = "after" if after is not None else "before" if before is not None else "tail"
        answer = self.call(
            BOX,
            "ReadLog",
            log=self._log_name(pipeline, job, datum, ingest),
            edge=edge,
            at=str(after if after is not None else before or 0),
            lines=str(lines),
        )
        return LogPart.from_json(answer)

    def find_log(
        self,
        *,
        pattern: str,
        pipeline: str = "",
        job: str = "",
        datum: str = "",
        ingest: str = "",
        after: int = 0,
        back: bool = False,
        regex: bool = True,
    ) -> LogEntry | None:
        """The first line that begins at or after ``after`` and has the pattern in it; with ``back``
        the last one that begins before. A pattern is a regular expression of RE2's syntax
        (``(?i)`` for either case), or without ``regex`` the text itself."""
        answer = self.call(
            BOX,
            "FindLog",
            log=self._log_name(pipeline, job, datum, ingest),
            pattern=pattern,
            after=str(after),
            back=back,
            regex=regex,
        )
        found = answer.get("found")
        return LogEntry.from_json(found) if found else None

    def follow_log(
        self,
        *,
        after: int,
        pipeline: str = "",
        job: str = "",
        datum: str = "",
        ingest: str = "",
    ) -> Stream[LogEntry]:
        """Lines that begin at or after ``after``, and new ones as they come: of a job until it is
        over, else for ever.

        When the connection is lost it is made again and continues with the next line, so none is
        missed or seen twice; after ``patience_s`` without an answer Unreachable is raised.
        """
        opened: list[Stream[Json]] = []
        name = self._log_name(pipeline, job, datum, ingest)

        def close() -> None:
            items.close()
            for stream in opened:
                stream.close()

        items = self._followed(name, after, opened)
        return Stream(items, close)

    def _followed(
        self, name: Json, after: int, opened: list[Stream[Json]]
    ) -> Generator[LogEntry, None, None]:
        begun = False
        while True:
            ask = partial(self.stream, BOX, "FollowLog", log=name, after=str(after))
            try:
                stream = self._patiently(ask)
                opened[:], begun = [stream], True
                for record in stream:
                    entry = LogEntry.from_json(record)
                    after = entry.at + 1
                    yield entry
                return
            except (Unreachable, NotReady) as e:  # NotReady: what a box that is stopping says
                scope = current_scope()
                away = isinstance(e, Unreachable) and not opened
                if not begun or away or (scope and scope.cancelled):
                    raise
                opened.clear()
                pause(_AGAIN_S, scope)

    def _log_name(self, pipeline: str, job: str, datum: str, ingest: str) -> Json:
        if sum(map(bool, (pipeline, job, ingest))) != 1:
            raise InvalidArgument("which log is not clear", "give one of pipeline, job and ingest")
        if datum and ingest:
            raise InvalidArgument("an ingest source has no datums", "leave datum out")
        name: Json = {"datum": datum} if datum else {}
        if pipeline:
            name["pipeline"] = pipeline_message(pipeline, self.project)
        elif job:
            name["job"] = job_message(job, self.project)
        else:
            project, slash, rest = ingest.rpartition("/")
            name["ingest"] = {"project": project if slash else self.project, "name": rest}
        return name
