"""The face of pps: pipelines, jobs, datums, logs. Doors call this; it calls pfs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pachybox.errors import InvalidArgument, NotFound, PachyboxError
from pachybox.meta.tables import (
    COMMITS,
    JOBS,
    PIPELINE_VERSIONS,
    PIPELINES,
    PipelineVersion,
    micros,
)
from pachybox.model.ids import (
    DEFAULT_PROJECT,
    Branch,
    Commit,
    CommitId,
    Hash,
    Job,
    Pipeline,
    is_commit_id,
)
from pachybox.model.pfs import CommitRecord
from pachybox.model.pps import (
    Datum,
    JobRecord,
    JobState,
    PipelineRecord,
)
from pachybox.model.refs import Ancestry
from pachybox.pfs.change import Change
from pachybox.pfs.service import Pfs
from pachybox.pfs.wait import Cancelled, pause
from pachybox.pps import algebra, defaults, jobs, logs, pipelines, planner, ticking
from pachybox.pps.bench import Running
from pachybox.pps.checking import Checker
from pachybox.pps.compare import Difference, difference
from pachybox.pps.datum_pages import DatumPages, Live
from pachybox.pps.datums import DatumInfo, Datums, matches
from pachybox.pps.disk_watch import DiskWatch
from pachybox.pps.log_reader import LogReader
from pachybox.pps.log_store import LogStore, forget_places
from pachybox.pps.making import Made, make, require_version
from pachybox.pps.moving import Moved, carry_out, planned
from pachybox.pps.pipelines import Chosen
from pachybox.pps.placement import Containers, Placement, Pods
from pachybox.pps.preview import Previewer
from pachybox.pps.runners.base import Runner
from pachybox.pps.scheduler import Scheduler
from pachybox.pps.secrets import Secrets
from pachybox.pps.spec import Spec, Text, load_all, load_input
from pachybox.pps.timing import JobTiming, timing
from pachybox.pps.trial import Trials


class Pps:
    """Pipelines and jobs over one Pfs and one runner."""

    def __init__(
        self,
        pfs: Pfs,
        runner: Runner,
        work: Path,
        log_dir: Path,
        slots: int,
        secrets: Secrets,
        *,
        default: str = "auto",
        containers: Containers | None = None,
        pods: Pods | None = None,
        reserve: Callable[[os.statvfs_result], int] = lambda _: 0,
    ) -> None:
        """``default`` is the runner of pipelines that choose none, ``containers`` and ``pods`` run
        those with an image. ``reserve`` says how much of a file system datums must leave free."""
        self.pfs = pfs
        self.logs = log_dir
        self.disk = DiskWatch(work, reserve)
        self.scheduler = Scheduler(
            pfs, runner, work, log_dir, slots, secrets, self.disk, containers, pods
        )
        self.placement = Placement(default, containers, pods)
        self.trials = Trials(self.scheduler.shop, slots, self._as_created)
        pfs.listener = jobs.JobListener()
        self.datums = Datums(pfs, self.running)
        self.datum_pages = DatumPages(pfs, self._live)
        self.log_reader = LogReader(pfs, self.datums, log_dir, self.running)
        self.log_store = LogStore(log_dir)
        self.previewer = Previewer(pfs)

    # ---- pipelines

    def create(
        self,
        text: str,
        source: str,
        *,
        project: str,
        update: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
        runner: str = "",
        alone: bool = False,
        heads: bool = False,
        more: Sequence[Text] = (),
        if_version: int = 0,
    ) -> tuple[list[Made], list[str]]:
        """Create (or update) every pipeline of a text, and of ``more``; returns what was made and
        warnings. With ``alone`` there must be exactly one, with ``if_version`` too, and it must be
        at that version (Refused). ``heads``: see Spec.

        All or none: they are one change, in an order in which each spec may read the outputs of
        the others. Raises InvalidArgument naming source, line and field.
        """
        texts = (Text(text, source), *more)
        specs = [replace(s, heads=heads) for s in self.specs(texts, project=project)]
        if (alone or if_version) and len(specs) != 1:
            raise InvalidArgument(f"{source} holds {len(specs)} specs", "send one at a time")
        specs = [self.placement.place(spec, runner) for spec in specs]
        made = self._put_all(
            specs, update=update, reprocess=reprocess, dry_run=dry_run, if_version=if_version
        )
        return made, [warning for spec in specs for warning in spec.warnings]

    def validate(
        self, texts: Sequence[Text], *, project: str, runner: str = ""
    ) -> tuple[list[Pipeline], list[str], list[str]]:
        """What ``create`` would say of texts, without making anything: the pipelines of the
        specs that are right, every problem, and the warnings."""
        checked = self.checker().check(texts, project=project, runner=runner)
        warnings = [str(one) for one in checked.found if one.problem.level == "warn"]
        return checked.pipelines, [str(one) for one in checked.errors], warnings

    def checker(self) -> Checker:
        """What tells all that is to be said of texts of specs, and where."""
        return Checker(self.pfs, self.placement, self._tried)

    def _tried(self, specs: Sequence[Spec]) -> list[tuple[Pipeline, PachyboxError]]:
        """Which of ``specs`` cannot be made, each updating what is there, and why."""
        wrong: list[tuple[Pipeline, PachyboxError]] = []

        def change(ch: Change) -> list[Made]:
            for spec in specs:
                try:
                    make(ch, spec, update=True, dry=True)
                except PachyboxError as e:
                    wrong.append((spec.pipeline, e))
            raise _DryRun([])

        self._dry_or_not(change)
        return wrong

    def differences(
        self, texts: Sequence[Text], *, project: str, reprocess: bool = False, runner: str = ""
    ) -> Iterator[Difference]:
        """What ``create`` with ``update`` would change and run, pipeline by pipeline; nothing is
        changed. Raises at once what ``create`` would raise."""
        specs = [self.placement.place(s, runner) for s in self.specs(texts, project=project)]
        all_made = self._put_all(specs, update=True, reprocess=reprocess, dry_run=True)
        for spec, made in zip(specs, all_made, strict=True):
            yield difference(self.pfs, spec, made, reprocess=reprocess)

    def specs(self, texts: Sequence[Text], *, project: str) -> list[Spec]:
        """The checked specs of texts, the defaults that were set laid under them; those that
        others read come first."""
        return load_all(texts, default_project=project, defaults=defaults.of(self.pfs.meta))

    def set_defaults(
        self, project: str, text: str, *, regenerate: bool, reprocess: bool, dry_run: bool
    ) -> list[Pipeline]:
        """See defaults.put; the pipelines that are (or with ``dry_run`` would be) updated."""

        def change(ch: Change) -> list[Made]:
            made = defaults.put(
                ch, project, text, regenerate=regenerate, reprocess=reprocess,
                place=self.placement.place,
            )  # fmt: skip
            if dry_run:
                raise _DryRun(made)
            return made

        return [made.pipeline for made in self._dry_or_not(change)]

    def clear_defaults(self) -> None:
        """See defaults.clear."""
        self.pfs.change(defaults.clear)

    def _as_created(self, spec: Spec) -> None:
        """Raise what creating or updating the pipeline would."""
        self.put(spec, update=True, dry_run=True)

    def put(
        self,
        spec: Spec,
        *,
        update: bool = False,
        reprocess: bool = False,
        dry_run: bool = False,
    ) -> Made:
        """Create or update one pipeline from a checked spec, placed."""
        return self._put_all([spec], update=update, reprocess=reprocess, dry_run=dry_run)[0]

    def _put_all(
        self,
        specs: Sequence[Spec],
        *,
        update: bool,
        reprocess: bool,
        dry_run: bool,
        if_version: int = 0,
    ) -> list[Made]:
        """Create or update pipelines in one change; with a dry run among them, none."""

        def change(ch: Change) -> list[Made]:
            for spec in specs if if_version else ():
                require_version(ch, spec.pipeline, if_version)
            dry = dry_run or any(spec.dry_run for spec in specs)
            how = {"update": update, "reprocess": reprocess, "dry": dry}
            made = [make(ch, spec, **how) for spec in specs]
            if dry:
                raise _DryRun(made)
            return made

        return self._dry_or_not(change)

    def _dry_or_not(self, change: Callable[[Change], list[Made]]) -> list[Made]:
        try:
            return self.pfs.change(change, solo=True)
        except _DryRun as dry:
            return dry.made

    def move(
        self, records: Sequence[PipelineRecord], runner: str, *, dry_run: bool = False
    ) -> list[Moved]:
        """Have pipelines run by ``runner`` ("": by what the box would choose now), all of them or
        none; those that do are left as they are. Results that are there stay.

        Raises InvalidArgument for a runner that is none, Refused when it cannot run one of them,
        or that one changed meanwhile."""
        moves = planned(records, self.placement.once(), runner)
        made: list[Moved] = []

        def change(ch: Change) -> list[Made]:
            made[:] = [carry_out(ch, move) for move in moves]
            if dry_run:
                raise _DryRun([])
            return []

        self._dry_or_not(change)
        return made

    def pipeline(self, pipeline: Pipeline, ancestry: Ancestry | None = None) -> PipelineRecord:
        """A pipeline, or an earlier version of it (``edges^``, ``edges.1``)."""
        record = self.pfs.meta.get(PIPELINES, pipeline)
        if record is None:
            raise NotFound(f'pipeline "{pipeline}" not found', "list pipeline shows what there is")
        if ancestry is None or not ancestry.steps:
            return record
        number = ancestry.steps if ancestry.from_root else record.version - ancestry.steps
        return self.at_version(record, self.version(pipeline, number))

    def version(self, pipeline: Pipeline, number: int) -> PipelineVersion:
        """One version of a pipeline as it was created."""
        found = self.pfs.meta.get(PIPELINE_VERSIONS, (pipeline, number))
        if found is None:
            raise NotFound(f"pipeline {pipeline} has no version {number}")
        return found

    def versions(self, pipeline: Pipeline) -> list[PipelineVersion]:
        """Every version, newest first."""
        return self.pfs.meta.select(
            PIPELINE_VERSIONS,
            "WHERE project = ? AND name = ? ORDER BY version DESC",
            (pipeline.project, pipeline.name),
        )

    @staticmethod
    def at_version(record: PipelineRecord, version: PipelineVersion) -> PipelineRecord:
        """``record`` as it was at ``version``."""
        return PipelineRecord(
            record.pipeline,
            version.version,
            version.spec,
            version.user_spec,
            version.salt,
            record.state,
            record.reason,
            record.stopped,
            record.created,
            version.created,
            version.spec_commit,
            version.runner,
            version.image_pin,
        )

    def list_pipelines(self, projects: Sequence[str] = ()) -> list[PipelineRecord]:
        """Pipelines of the projects named (none: all), newest first."""
        found = [
            p
            for p in self.pfs.meta.all(PIPELINES)
            if not projects or p.pipeline.project in projects
        ]
        return sorted(found, key=lambda p: (p.created, p.pipeline), reverse=True)

    def as_of(self, found: Sequence[PipelineRecord], job_id: str) -> list[PipelineRecord]:
        """The pipelines of ``found`` that had a job in a run, or came about in it, as they were."""
        numbers = {j.job.pipeline: j.pipeline_version for j in self._jobs_with(job_id)}
        made = []
        for record in found:
            number = numbers.get(record.pipeline)
            for version in self.versions(record.pipeline):
                if version.version == number or version.spec_commit == job_id:
                    made.append(self.at_version(record, version))
                    break
        return made

    def last_job(self, pipeline: Pipeline) -> JobRecord | None:
        """The newest job of a pipeline."""
        found = self.pfs.meta.select(
            JOBS,
            "WHERE project = ? AND pipeline = ? ORDER BY created_us DESC LIMIT 1",
            (pipeline.project, pipeline.name),
        )
        return found[0] if found else None

    def start(self, pipeline: Pipeline) -> None:
        """See pipelines.start_pipeline."""
        self.pfs.change(lambda ch: pipelines.start_pipeline(ch, pipeline), solo=True)

    def stop(self, pipeline: Pipeline) -> None:
        """See pipelines.stop_pipeline."""
        self.pfs.change(lambda ch: pipelines.stop_pipeline(ch, pipeline), solo=True)

    def delete(self, pipeline: Pipeline, *, keep_repo: bool = False, force: bool = False) -> None:
        """See pipelines.delete_pipeline."""
        self.pfs.change(
            lambda ch: pipelines.delete_pipeline(ch, pipeline, keep_repo=keep_repo, force=force),
            solo=True,
        )

    def run(self, pipeline: Pipeline, chosen: Sequence[Chosen], job: str = "") -> Job:
        """A job on chosen input commits. With ``job``: on the inputs that job had."""
        picked = list(chosen)
        if job:
            old = self.job(Job(pipeline, CommitId(job)))
            output = self.pfs.meta.get(COMMITS, Commit(pipeline.repo, old.job.id))
            for branch, id_ in output.direct_provenance if output else ():
                if branch.repo.type == "user":
                    commit = self.pfs.resolve(branch.repo, id_)
                    picked.append(Chosen(commit, branch.name, strict=True))
        return self.pfs.change(lambda ch: pipelines.run_pipeline(ch, pipeline, picked), solo=True)

    def rerun(self, pipeline: Pipeline, *, reprocess: bool = False) -> Job:
        """A job on the present heads; ``reprocess`` reuses no earlier result."""
        return self.pfs.change(
            lambda ch: pipelines.run_pipeline(ch, pipeline, [], reprocess=reprocess), solo=True
        )

    def run_cron(self, pipeline: Pipeline) -> None:
        """See ticking.tick_now."""
        ticking.tick_now(self.pfs, pipeline)

    # ---- jobs

    def job(self, job: Job) -> JobRecord:
        """A job by its id or by the first 8 or more digits of it; NotFound otherwise."""
        found = self.pfs.meta.get(JOBS, job)
        if found is not None:
            return found
        if not is_commit_id(job.id) and len(job.id) >= 8:
            near = self.pfs.meta.select(
                JOBS,
                "WHERE project = ? AND pipeline = ? AND starts_with(id, ?) LIMIT 2",
                (job.pipeline.project, job.pipeline.name, job.id),
            )
            if len(near) == 1:
                return near[0]
        self.pipeline(job.pipeline)
        raise NotFound(f"job {job} not found", "list job shows what there is")

    def find_job(self, job_id: str) -> JobRecord:
        """The one job with this id, whatever its pipeline; InvalidArgument when several have."""
        found = self.job_set(job_id)
        if len(found) > 1:
            names = ", ".join(str(j.job) for j in found)
            raise InvalidArgument(f"job {job_id} is of several pipelines", f"name one: {names}")
        return found[0]

    def job_set(self, job_id: str) -> list[JobRecord]:
        """Every job with this id; NotFound when there is none."""
        if len(job_id) < 8:
            raise NotFound(
                f"job {job_id} not found", "write PIPELINE@ID, or 8 or more digits of the id"
            )
        found = self._jobs_with(job_id)
        if not found or len({j.job.id for j in found}) > 1:
            raise NotFound(f"job {job_id} not found", "list job shows what there is")
        return found

    def _jobs_with(self, job_id: str) -> list[JobRecord]:
        column = "id = ?" if is_commit_id(job_id) else "starts_with(id, ?)"
        return self.pfs.meta.select(
            JOBS, f"WHERE {column} ORDER BY created_us, pipeline", (job_id,)
        )

    def list_jobs(
        self,
        pipeline: Pipeline | None = None,
        *,
        projects: Sequence[str] = (),
        inputs: Sequence[CommitRecord] = (),
        number: int = 0,
        reverse: bool = False,
        history: int = -1,
        beyond: datetime | None = None,
    ) -> Iterator[JobRecord]:
        """Jobs, newest first. ``inputs``: only those that read all these commits. ``history``:
        of so many versions of the pipeline before the newest; negative of all. ``beyond``: only
        those made before that moment, or with ``reverse`` after it."""
        where, params = ["TRUE"], []
        if pipeline is not None:
            self.pipeline(pipeline)
            where.append("project = ? AND pipeline = ?")
            params += [pipeline.project, pipeline.name]
        order, sign = ("ASC", ">") if reverse else ("DESC", "<")
        # by what was shown last and not by count: jobs come and go between two pages
        where.append(
            f"(created_us {sign} ? OR created_us = ? AND (pipeline, project, id) > (?, ?, ?))"
        )
        end = "\U0010ffff"  # behind every name: at that very moment there is none
        at = micros(beyond) if beyond is not None else 0 if reverse else 1 << 62
        last = (at, at, end, end, end)
        page_size, shown = 500, 0
        while True:
            page = self.pfs.meta.select(
                JOBS,
                f"WHERE {' AND '.join(where)} ORDER BY created_us {order}, pipeline, project, id "
                f"LIMIT {page_size}",
                [*params, *last],
            )
            for record in page:
                if projects and record.job.pipeline.project not in projects:
                    continue
                if history >= 0 and not self._recent(record, history):
                    continue
                if inputs and not self._reads(record, inputs):
                    continue
                yield record
                shown += 1
                if number and shown >= number:
                    return
            if len(page) < page_size:
                return
            at, name = micros(page[-1].created), page[-1].job.pipeline
            last = (at, at, name.name, name.project, page[-1].job.id)

    def _recent(self, record: JobRecord, versions: int) -> bool:
        pipeline = self.pfs.meta.get(PIPELINES, record.job.pipeline)
        return pipeline is not None and pipeline.version - record.pipeline_version <= versions

    def _reads(self, record: JobRecord, inputs: Sequence[CommitRecord]) -> bool:
        commit = self.pfs.meta.get(COMMITS, Commit(record.job.pipeline.repo, record.job.id))
        if commit is None:
            return False
        have = {(b.repo, i) for b, i in commit.direct_provenance}
        return all((c.commit.repo, c.commit.id) in have for c in inputs)

    def wait_job(self, job: Job, cancelled: Cancelled) -> JobRecord:
        """Block until the job is over."""
        while True:
            seen = self.pfs.meta.last_event
            record = self.job(job)
            if record.state.terminal:
                return record
            pause(self.pfs, seen, cancelled)

    def stop_job(self, job: Job, reason: str = "") -> None:
        """Kill a job: its output commit is finished empty. Refused when it is over."""

        self.pfs.change(lambda ch: jobs.stop(ch, job, reason))

    def delete_job(self, job: Job) -> None:
        """Stop a job if it runs, then forget it; its output commit stays."""

        def change(ch: Change) -> None:
            record = jobs.require(ch.tx, job)
            if not record.state.terminal:
                jobs.fail(ch, job, JobState.KILLED, "job was deleted")
            jobs.forget(ch, jobs.require(ch.tx, job))

        self.pfs.change(change)

    def restart_datum(self, job: Job, filters: Sequence[str]) -> None:
        """Kill the datum running now whose inputs match all filters; it is tried again."""
        run = self.scheduler.live(job)
        hit = {
            one.worker
            for one in (run.running() if run else ())
            if matches(one.datum.inputs, one.datum.id, filters)
        }
        for worker in hit:
            if run is not None:
                run.restart(worker)
        if not hit:
            raise NotFound(
                f"datum matching filter [{', '.join(filters)}] could not be found for job ID "
                f"{job.id}",
                "only a datum that runs now can be restarted",
            )

    def running(self, job: Job) -> list[Running]:
        """The datums of a job that run now."""
        run = self.scheduler.live(job)
        return run.running() if run else []

    def _live(self, job: Job) -> Live:
        run = self.scheduler.live(job)
        return Live(run.running(), run.waiting()) if run else Live((), ())

    def timing(self, job: Job) -> JobTiming:
        """Where the time of a job went, so far when it runs."""
        return timing(self.pfs, self.datum_pages, self.job(job), self.running(job))

    # ---- datums

    def list_datums(self, job: Job) -> Iterator[DatumInfo]:
        """Every datum of a job known so far: failed first, then those running, then the rest."""
        return self.datums.all(self.job(job))

    def inspect_datum(self, job: Job, datum_id: str) -> DatumInfo:
        """One datum of a job by its id or 8 or more digits of it; NotFound otherwise."""
        return self.datums.inspect(self.job(job), datum_id)

    def complete_input(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """An input as a user gives it, checked and with its defaults filled in."""
        text = json.dumps({"input": spec["input"]})
        return {"input": load_input(text, "the input", default_project=DEFAULT_PROJECT)}

    def preview(self, spec: Mapping[str, Any]) -> Iterator[Datum]:
        """The datums a spec's input would make of the present heads."""
        node = algebra.parse(spec["input"])
        with ExitStack() as held:
            roots: dict[Branch, tuple[CommitId, Hash] | None] = {}
            for branch in algebra.branches(node):
                head = self.pfs.inspect_branch(branch).head
                if head is None:
                    continue
                commit = self.pfs.resolve(branch.repo, head)
                held.enter_context(self.pfs.reading(commit.root))
                roots[branch] = (commit.commit.id, commit.root)
            commits = {branch: at[0] for branch, at in roots.items() if at is not None}
            for combination in algebra.whole(node, roots, self.pfs.trees):
                yield planner.to_datum(combination, commits, "")

    # ---- logs

    def prune_logs(self, keep_bytes: int) -> int:
        """Bound the logs of jobs; see logs.prune."""

        def wanted(job: Job) -> bool:
            if job.id == logs.SPOUT:
                return self.pfs.meta.get(PIPELINES, job.pipeline) is not None
            return self.pfs.meta.get(JOBS, job) is not None

        freed = logs.prune(self.logs, keep_bytes, wanted)
        forget_places(self.logs)
        return freed


class _DryRun(Exception):
    """Carries the result out of a transaction that must leave nothing."""

    def __init__(self, made: list[Made]) -> None:
        super().__init__("dry run")
        self.made = made
