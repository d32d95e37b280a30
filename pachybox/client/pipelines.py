"""Pipelines: making, changing, starting, stopping, running."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from pachybox.client.base import BOX, PPS, Base, Stream
from pachybox.client.names import full_name, pipeline_message, project_message
from pachybox.client.pipeline_values import (
    CreatedPipeline,
    ImageInfo,
    MovedPipeline,
    PipelineDifference,
    PipelineInfo,
)
from pachybox.client.values import Json, job_name


def _texts(more: Sequence[tuple[str, str]]) -> list[Json]:
    return [{"text": text, "source": source} for text, source in more]


class Pipelines(Base):
    """Methods on pipelines. A pipeline is written ``[project/]name``."""

    def create_pipelines(
        self,
        spec: str | Json,
        *,
        source: str = "",
        update: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
        runner: str = "",
        more: Sequence[tuple[str, str]] = (),
        if_version: int | None = None,
    ) -> tuple[list[CreatedPipeline], list[str]]:
        """Make the pipelines of a spec (JSON or YAML text, or a dict); also the warnings.

        ``source`` names where the text came from, for messages. ``dry_run`` only checks it.
        ``more`` has further texts, each with its source. All are made, or none, those that
        others read before those that read them. With ``if_version`` the spec is of one pipeline,
        and is Refused, nothing done, when that is no longer (or not yet) at this version.
        """
        answer = self.call(
            BOX,
            "CreatePipelines",
            text=spec if isinstance(spec, str) else json.dumps(spec),
            source=source,
            update=update,
            reprocess=reprocess,
            dry_run=dry_run,
            runner=runner,
            project=self.project,
            more=_texts(more),
            if_version=str(if_version) if if_version is not None else None,
        )
        made = [CreatedPipeline.from_json(p) for p in answer.get("pipelines") or ()]
        return made, list(answer.get("warnings") or ())

    def create_pipeline(
        self,
        name: str,
        *,
        input: Json,
        cmd: Sequence[str],
        stdin: Sequence[str] = (),
        image: str = "",
        update: bool = False,
        reprocess: bool = False,
        **spec: object,
    ) -> CreatedPipeline:
        """Make one pipeline. ``spec`` takes the other fields of a spec (docs/spec.md).

        >>> box.create_pipeline("edges", cmd=["python3", "edges.py"],
        ...                     input={"pfs": {"repo": "images", "glob": "/*"}})
        """
        transform = {"cmd": list(cmd), "stdin": list(stdin) or None, "image": image or None}
        extra = spec.pop("transform", None)
        transform |= extra if isinstance(extra, dict) else {}
        whole = {
            "pipeline": pipeline_message(name, self.project),
            "transform": {key: value for key, value in transform.items() if value is not None},
            "input": input,
            **spec,
        }
        made, _warnings = self.create_pipelines(whole, update=update, reprocess=reprocess)
        return made[0]

    def validate_pipelines(
        self,
        spec: str | Json,
        *,
        source: str = "",
        runner: str = "",
        more: Sequence[tuple[str, str]] = (),
    ) -> tuple[list[str], list[str], list[str]]:
        """Check a spec without making anything: the names of the pipelines whose specs are
        right, every problem there is, and the warnings. ``more`` as in create_pipelines."""
        answer = self.call(
            BOX,
            "ValidatePipelines",
            text=spec if isinstance(spec, str) else json.dumps(spec),
            source=source,
            project=self.project,
            runner=runner,
            more=_texts(more),
        )
        names = [str(p.get("name", "")) for p in answer.get("pipelines") or ()]
        return names, list(answer.get("problems") or ()), list(answer.get("warnings") or ())

    def move_pipelines(
        self,
        pipelines: Sequence[str] = (),
        *,
        runner: str = "",
        all_projects: bool = False,
        dry_run: bool = False,
    ) -> tuple[list[MovedPipeline], list[str]]:
        """Have pipelines run by another runner, with the specs they have; also the warnings. None
        named: all of the project that have an image. ``runner`` left out is what the box would
        choose now. All are moved, or none; those that it runs already are left out. Results that
        are there stay."""
        answer = self.call(
            BOX,
            "MovePipelines",
            pipelines=[pipeline_message(name, self.project) for name in pipelines],
            project=self.project,
            all_projects=all_projects,
            runner=runner,
            dry_run=dry_run,
        )
        made = [MovedPipeline.from_json(p) for p in answer.get("pipelines") or ()]
        return made, list(answer.get("warnings") or ())

    def diff_pipelines(
        self,
        spec: str | Json,
        *,
        source: str = "",
        reprocess: bool = False,
        runner: str = "",
        more: Sequence[tuple[str, str]] = (),
    ) -> Stream[PipelineDifference]:
        """What updating to a spec would change and run, pipeline by pipeline, nothing done.
        Arguments as in create_pipelines."""
        return self.stream(
            BOX,
            "DiffPipelines",
            text=spec if isinstance(spec, str) else json.dumps(spec),
            source=source,
            project=self.project,
            runner=runner,
            reprocess=reprocess,
            more=_texts(more),
        ).map(PipelineDifference.from_json)

    def inspect_pipeline(self, pipeline: str) -> PipelineInfo:
        """One pipeline with its spec."""
        return PipelineInfo.from_json(
            self.call(
                PPS,
                "InspectPipeline",
                pipeline=pipeline_message(pipeline, self.project),
                details=True,
            )
        )

    def list_pipeline(
        self,
        pipeline: str | None = None,
        *,
        history: int = 0,
        commit_set: str | None = None,
        all_projects: bool = False,
    ) -> Stream[PipelineInfo]:
        """The pipelines of the client's project, or of all.

        ``history`` adds that many earlier versions (-1 all); ``commit_set`` shows them as they
        were in that run.
        """
        return self.stream(
            PPS,
            "ListPipeline",
            pipeline=pipeline_message(pipeline, self.project) if pipeline else None,
            history=str(history) if history else None,
            details=True,
            commit_set={"id": commit_set} if commit_set else None,
            projects=None if all_projects else [project_message(self.project)],
        ).map(PipelineInfo.from_json)

    def list_image(self, *, all_projects: bool = False) -> Stream[ImageInfo]:
        """The images that pipelines run: to what each is pinned, and which are missing."""
        return self.stream(BOX, "ListImage", projects=None if all_projects else [self.project]).map(
            ImageInfo.from_json
        )

    def extract_pipeline(self, pipeline: str, *, version: int = 0) -> str:
        """The spec of a version (0: the newest) as JSON that can make it again."""
        answer = self.call(
            BOX,
            "ExtractPipeline",
            pipeline=pipeline_message(pipeline, self.project),
            version=version or None,
        )
        return str(answer.get("specJson", ""))

    def delete_pipeline(
        self, pipeline: str, *, force: bool = False, keep_repo: bool = False
    ) -> None:
        """Remove a pipeline, its jobs, and unless ``keep_repo`` its output repo."""
        self.call(
            PPS,
            "DeletePipeline",
            pipeline=pipeline_message(pipeline, self.project),
            force=force,
            keep_repo=keep_repo,
            must_exist=True,
        )

    def delete_pipelines(
        self, *, all_projects: bool = False, force: bool = False, keep_repo: bool = False
    ) -> list[Json]:
        """Remove every pipeline of the client's project, or of all."""
        answer = self.call(
            PPS,
            "DeletePipelines",
            projects=None if all_projects else [project_message(self.project)],
            all=all_projects or None,
            force=force,
            keep_repo=keep_repo,
        )
        return list(answer.get("pipelines") or ())

    def start_pipeline(self, pipeline: str) -> None:
        """Resume a stopped pipeline: one job for the present heads."""
        self.call(PPS, "StartPipeline", pipeline=pipeline_message(pipeline, self.project))

    def stop_pipeline(self, pipeline: str) -> None:
        """Pause a pipeline: running jobs are killed, new commits make none."""
        self.call(
            PPS,
            "StopPipeline",
            pipeline=pipeline_message(pipeline, self.project),
            must_exist=True,
        )

    def run_pipeline(self, pipeline: str, provenance: Iterable[str] = (), *, job: str = "") -> str:
        """Run once on chosen commits (``repo@ref``), heads for the rest; returns the job.

        ``job`` takes its commits from an earlier job.
        """
        answer = self.call(
            BOX,
            "RunPipeline",
            pipeline=pipeline_message(pipeline, self.project),
            provenance=[full_name(ref, self.project) for ref in provenance],
            job=job,
        )
        return job_name(answer.get("job") or {})

    def run_cron(self, pipeline: str) -> None:
        """Tick every cron input of a pipeline now."""
        self.call(PPS, "RunCron", pipeline=pipeline_message(pipeline, self.project))

    def rerun_pipeline(self, pipeline: str, *, reprocess: bool = False) -> None:
        """A new job on the present heads; ``reprocess`` skips no datum."""
        self.call(
            PPS,
            "RerunPipeline",
            pipeline=pipeline_message(pipeline, self.project),
            reprocess=reprocess,
        )
