"""Jobs, datums and logs."""

from __future__ import annotations

from collections.abc import Iterable

from pachybox.client.base import BOX, PPS, Base, Stream, messages
from pachybox.client.names import (
    commit_message,
    full_name,
    job_message,
    pipeline_message,
    project_message,
)
from pachybox.client.pipeline_values import DatumInfo, JobInfo, JobSetInfo, LogMessage
from pachybox.client.values import Json


class Jobs(Base):
    """Methods on jobs. A job is written ``[project/]pipeline@id``."""

    def inspect_job(self, job: str) -> JobInfo:
        """One job."""
        return JobInfo.from_json(
            self.call(PPS, "InspectJob", job=job_message(job, self.project), details=True)
        )

    def wait_job(self, job: str) -> JobInfo:
        """Wait until a job has ended; look at ``state`` for how it went."""
        return JobInfo.from_json(
            self.call(
                PPS,
                "InspectJob",
                job=job_message(job, self.project),
                wait=True,
                details=True,
            )
        )

    def inspect_job_set(self, id: str, *, wait: bool = False) -> Stream[JobInfo]:
        """The jobs that share an id; with ``wait`` each as it ends."""
        return self.stream(
            PPS, "InspectJobSet", job_set={"id": id}, wait=wait or None, details=True
        ).map(JobInfo.from_json)

    def list_job(
        self,
        pipeline: str | None = None,
        *,
        inputs: Iterable[str] = (),
        history: int = 0,
        number: int | None = None,
        all_projects: bool = False,
    ) -> Stream[JobInfo]:
        """Jobs, newest first: of a pipeline, or of the client's project, or of all.

        ``inputs`` (``repo@ref``) keeps jobs that read those commits; ``history`` adds jobs of
        that many earlier pipeline versions (-1 all).
        """
        return self.stream(
            PPS,
            "ListJob",
            pipeline=pipeline_message(pipeline, self.project) if pipeline else None,
            projects=None if all_projects or pipeline else [project_message(self.project)],
            input_commit=messages(inputs, lambda c: commit_message(c, self.project)),
            history=str(history) if history else None,
            number=str(number) if number else None,
        ).map(JobInfo.from_json)

    def list_job_set(self, *, number: int | None = None) -> Stream[JobSetInfo]:
        """Runs of the client's project, newest first."""
        return self.stream(
            PPS,
            "ListJobSet",
            projects=[project_message(self.project)],
            number=str(number) if number else None,
        ).map(JobSetInfo.from_json)

    def subscribe_job(self, pipeline: str) -> Stream[JobInfo]:
        """Every job of a pipeline whenever it changes, for ever."""
        return self.stream(
            PPS, "SubscribeJob", pipeline=pipeline_message(pipeline, self.project)
        ).map(JobInfo.from_json)

    def flush_job(self, commits: Iterable[str], pipelines: Iterable[str] = ()) -> Stream[JobInfo]:
        """Wait for every job downstream of all of ``commits``: each as it ends."""
        return self.stream(
            BOX,
            "FlushJob",
            commits=[full_name(c, self.project) for c in commits],
            to_pipelines=[full_name(p, self.project) for p in pipelines],
        ).map(JobInfo.from_json)

    def stop_job(self, job: str, *, reason: str = "") -> None:
        """Kill a job; its output commit is closed empty."""
        self.call(BOX, "StopJob", job=job_message(job, self.project), reason=reason or None)

    def delete_job(self, job: str) -> None:
        """Stop a job and remove its record; the output commit stays."""
        self.call(PPS, "DeleteJob", job=job_message(job, self.project))


class Datums(Base):
    """Methods on datums and logs."""

    def list_datum(
        self,
        job: str | None = None,
        *,
        input: Json | None = None,
        states: Iterable[str] = (),
        after: str | None = None,
        number: int | None = None,
    ) -> Stream[DatumInfo]:
        """The datums of a job, or those that a spec's ``input`` would make now.

        ``states`` keeps FAILED, SUCCESS, SKIPPED, STARTING, RECOVERED; ``after`` is the id of
        the last datum of the page before.
        """
        kept = list(states)
        return self.stream(
            PPS,
            "ListDatum",
            job=job_message(job, self.project) if job else None,
            input=input,
            filter={"state": kept} if kept else None,
            pagination_marker=after,
            number=str(number) if number else None,
        ).map(DatumInfo.from_json)

    def inspect_datum(self, job: str, datum: str) -> DatumInfo:
        """One datum of a job."""
        return DatumInfo.from_json(
            self.call(
                PPS, "InspectDatum", datum={"job": job_message(job, self.project), "id": datum}
            )
        )

    def restart_datum(self, job: str, filters: Iterable[str]) -> None:
        """Have the running datum whose inputs match all ``filters`` (paths, hashes) tried again."""
        self.call(
            PPS,
            "RestartDatum",
            job=job_message(job, self.project),
            data_filters=list(filters),
        )

    def logs(
        self,
        pipeline: str | None = None,
        job: str | None = None,
        *,
        datum: str | None = None,
        inputs: Iterable[str] = (),
        master: bool = False,
        follow: bool = False,
        tail: int | None = None,
        since_s: float | None = None,
    ) -> Stream[LogMessage]:
        """Log lines of a pipeline, a job or a datum; with ``follow`` new ones too.

        ``job`` may be an id alone: of all jobs of that run. ``inputs`` are paths or hashes: a
        line is kept when its datum has all of them. ``master`` adds what the box says.
        """
        bare = {"id": job} if job and "@" not in job else None
        where = bare or (job_message(job, self.project) if job else None)
        return self.stream(
            BOX,
            "GetLogs",
            pipeline=pipeline_message(pipeline, self.project) if pipeline else None,
            job=where,
            datum={"job": where, "id": datum} if datum else None,
            data_filters=list(inputs) or None,
            master=master or None,
            follow=follow or None,
            tail=str(tail) if tail else None,
            since=f"{since_s:.9f}".rstrip("0").rstrip(".") + "s" if since_s else None,
        ).map(LogMessage.from_json)

    def box_log(
        self,
        pipeline: str = "",
        job: str = "",
        *,
        follow: bool = False,
        tail: int = 0,
        since_s: float = 0.0,
    ) -> Stream[LogMessage]:
        """What the box itself said, of all or about a pipeline or a job; with ``follow`` new
        lines too."""
        return self.stream(
            BOX,
            "GetBoxLog",
            pipeline=full_name(pipeline, self.project) if pipeline else None,
            job=job or None,
            follow=follow or None,
            tail=str(tail) if tail else None,
            since_ms=str(int(since_s * 1000)) if since_s else None,
        ).map(LogMessage.from_json)
