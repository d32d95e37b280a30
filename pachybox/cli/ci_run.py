"""One run of ``ci``: everything that is done with specs in a box that is there for it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pachybox.cli.app import App
from pachybox.cli.ci_data import Data, Expected, accept, differences, failures
from pachybox.cli.ci_report import FAILED, OK, SKIPPED, Report
from pachybox.cli.ci_specs import Reads, Wanted, pipelines
from pachybox.cli.command import Args
from pachybox.client.sync import Client
from pachybox.errors import PachyboxError

if TYPE_CHECKING:
    from pachybox.cli.spec_source import SpecText
    from pachybox.client.pipeline_values import JobInfo

_LOOK_S = 0.05  # between two looks at a job that runs
_ENDED = {"JOB_SUCCESS": OK, "JOB_FAILURE": FAILED, "JOB_KILLED": FAILED, "JOB_UNRUNNABLE": FAILED}


class Run:
    """One run of ``ci`` over a box that is there."""

    def __init__(self, app: App, args: Args, report: Report, data: Data) -> None:
        self._app = app
        self._args = args
        self._report = report
        self._data = data
        self._runner = args.runner or ""
        self._box = app.box(Client, project=args.project)
        self._until = time.monotonic() + args.timeout
        given = Path(args.expected) if args.expected else None
        self._expected = Expected(given, data.folders)
        self._accepted: dict[str, Path | None] = {}

    def whole(self, given: list[SpecText]) -> None:
        """Everything, going on after a failure with what does not depend on it."""
        wanted = pipelines(given, self._args.project)
        self._accepted = {one.name: self._expected.to_write(one) for one in wanted}
        external = self._external(wanted)
        self._repos(wanted, external)
        for file in self._args.secret:
            from pachybox.cli.spec import read

            self._box.create_secret(read(file))
        self._check(given, wanted)
        for one in wanted:
            self._build(one)
        self._fill(wanted, external)
        self._make(wanted)
        for one in wanted:
            if not one.why_not:
                self._job(one)
                self._skip(wanted)

    # ---- before

    def _external(self, wanted: Sequence[Wanted]) -> list[Reads]:
        """The inputs that no pipeline here makes, each branch once."""
        made = {one.name for one in wanted}
        found = {
            (read.repo, read.branch): read
            for one in reversed(wanted)
            for read in one.reads
            if read.repo not in made
        }
        return sorted(found.values(), key=lambda read: (read.repo, read.branch))

    def _repos(self, wanted: Sequence[Wanted], external: Sequence[Reads]) -> None:
        names = [one.name for one in wanted] + [read.repo for read in external]
        for own in sorted({name.partition("/")[0] for name in names} - {"default"}):
            self._box.create_project(own)
        for repo in sorted({read.repo for read in external}):
            self._box.create_repo(repo)

    def _check(self, given: Sequence[SpecText], wanted: Sequence[Wanted]) -> None:
        """A case for each text; the pipelines of one with a problem are not run."""
        wrong: dict[str, list[str]] = {one.source: [] for one in given}
        began = time.monotonic()
        self._report.live("specs")
        for problem in self._problems(given):
            source = next((one.source for one in given if problem.startswith(f"{one.source}:")), "")
            if source:
                wrong[source].append(problem.removeprefix(f"{source}:").strip())
        well: list[SpecText] = []  # what the box has against specs that are right in themselves
        alone = [one for one in wanted if not wrong[one.given.source]]
        if alone and self._problems([one.text for one in alone]):
            for one in alone:
                if problems := self._problems([*well, one.text]):
                    wrong[one.given.source] += problems
                else:
                    well.append(one.text)
        for given_ in given:
            mine = [one for one in wanted if one.given is given_]
            if problems := wrong[given_.source]:
                self._report.add("specs", given_.source, FAILED, problems[0], text=problems[1:])
                for one in mine:
                    one.why_not = "its spec is wrong"
            else:
                names = ", ".join(one.shown for one in mine)
                self._report.add("specs", given_.source, OK, names, since=began)
        self._skip(wanted)

    def _problems(self, given: Sequence[SpecText]) -> list[str]:
        """What the box has against texts, taken together."""
        first, *more = given
        _, problems, _ = self._box.validate_pipelines(
            first.text,
            source=first.source,
            runner=self._runner,
            more=[(one.text, one.source) for one in more],
        )
        return problems

    def _skip(self, wanted: Sequence[Wanted]) -> None:
        """Give up what reads the output of a pipeline that has none."""
        lost = {one.name for one in wanted if one.why_not}
        for one in wanted:
            missing = [read.repo for read in one.reads if read.repo in lost]
            if missing and not one.why_not:
                one.why_not = f"there is no output of {missing[0].removeprefix('default/')}"
                self._report.add("job", one.shown, SKIPPED, one.why_not)
                lost.add(one.name)

    def _build(self, one: Wanted) -> None:
        """Build the image of a pipeline that has something to build it from."""
        if one.why_not or not one.has_recipe or self._args.no_build:
            return
        if self._runner == "process":
            self._report.add("build", one.shown, SKIPPED, "runs as a process, without its image")
            return
        from pachybox.cli.build import Plan
        from pachybox.cli.documents import documents

        began = time.monotonic()
        asked = {"build": True, "build_arg": [], "push_images": False, "registry": None}
        lines: list[str] = []

        def say(line: str) -> None:
            lines.append(line)
            self._report.live(f"build {one.shown}: {line}")

        try:
            plan = Plan(argparse.Namespace(**{**vars(self._args), **asked}), [one.text])
            plan.make(say)
        except PachyboxError as e:
            one.why_not = "its image was not built"
            self._report.add("build", one.shown, FAILED, str(e), since=began, text=lines)
            return
        (document,) = documents(plan.texts()[0].text) or ({},)
        one.document = document
        self._report.add("build", one.shown, OK, str(one.transform.get("image")), since=began)

    def _fill(self, wanted: Sequence[Wanted], external: Sequence[Reads]) -> None:
        """Put the data of every input that is read."""
        needed = {(r.repo, r.branch) for one in wanted if not one.why_not for r in one.reads}
        for read in external:
            if (read.repo, read.branch) not in needed:
                continue
            shown = f"{read.repo.removeprefix('default/')}@{read.branch}"
            began = time.monotonic()
            self._report.live(f"data {shown}")
            try:
                said = self._data.put(self._box, read)
            except PachyboxError as e:
                self._report.add("data", shown, FAILED, str(e), since=began)
                for one in wanted:
                    if any((r.repo, r.branch) == (read.repo, read.branch) for r in one.reads):
                        one.why_not = one.why_not or f"there is no data in {shown}"
            else:
                self._report.add("data", shown, OK, said, since=began)
        self._skip(wanted)

    # ---- the run

    def _make(self, wanted: Sequence[Wanted]) -> None:
        """Make the pipelines, so that their jobs run beside each other."""
        from pachybox.cli.source_build import expanded

        for one in wanted:
            if one.why_not:
                continue
            try:
                for text in expanded(self._app, self._args, [one.text], update=False):
                    self._box.create_pipelines(text.text, source=text.source, runner=self._runner)
                if one.crons:
                    self._box.run_cron(one.name)
            except PachyboxError as e:
                one.why_not = "it could not be made"
                self._report.add("job", one.shown, FAILED, str(e))
                self._skip(wanted)

    def _job(self, one: Wanted) -> None:
        """Wait for what a pipeline does, and compare its output."""
        if one.lasts:
            self._report.add("job", one.shown, SKIPPED, f"a {one.lasts} runs without an end")
            return
        job = self._wait(one)
        began = time.monotonic() - _took(job)
        if job is None:
            one.why_not = "it has no job"
            self._report.add("job", one.shown, SKIPPED, self._idle(one))
            return
        left = f"; without its {', '.join(one.removed)}" if one.removed else ""
        counts = f"{job.processed} of {job.total} datums" + left
        if not job.done:
            one.why_not = "its job did not end"
            why = f"still running after {self._args.timeout:g} s: {counts} (--timeout)"
            why = self._crashed(one) or why
            self._report.add("job", one.shown, FAILED, why, since=began, text=self._said(job))
        elif _ENDED[job.state] == FAILED:
            one.why_not = "its job failed"
            why = job.reason or job.state.removeprefix("JOB_").lower()
            self._report.add("job", one.shown, FAILED, why, since=began, text=self._said(job))
        elif not job.total:
            why = f"no datum: nothing in the data matches {one.reads[0].glob}" if one.reads else ""
            self._report.add("job", one.shown, SKIPPED, why or "no datum")
        else:
            self._report.add("job", one.shown, OK, counts, since=began)
        if not one.why_not:
            self._output(one, job)

    def _wait(self, one: Wanted) -> JobInfo | None:
        """The newest job once none is running, or as it is when the time is over, or when it waits
        for what will not come by itself (an image)."""
        while True:
            jobs = list(self._box.list_job(one.name))
            running = [job for job in jobs if not job.done]
            if not running or time.monotonic() > self._until or self._crashed(one):
                return running[0] if running else jobs[0] if jobs else None
            job = running[-1]
            state = job.state.removeprefix("JOB_").lower()
            far = f", {_done(job)} of {job.total} datums" if job.total else ""
            self._report.live(f"job {one.shown}: {state}{far}")
            time.sleep(_LOOK_S)

    def _crashed(self, one: Wanted) -> str:
        """What a pipeline lacks to run at all; "" for nothing."""
        info = self._box.inspect_pipeline(one.name)
        return info.reason if info.state == "PIPELINE_CRASHING" else ""

    def _idle(self, one: Wanted) -> str:
        info = self._box.inspect_pipeline(one.name)
        return info.reason or "no job: its inputs have no data"

    def _said(self, job: JobInfo) -> list[str]:
        found = failures(self._box, str(job))
        build = f"{job.pipeline}_build"
        if not found and self._box.pipeline_exists(build):
            for other in self._box.list_job(build, number=1):
                found = [f"{other}: {other.reason}", *failures(self._box, str(other))]
        return found

    def _output(self, one: Wanted, job: JobInfo) -> None:
        """Compare the output of a job with what is expected, or have it expected from now on."""
        began = time.monotonic()
        if self._args.accept:
            if (folder := self._accepted.get(one.name)) is not None:
                files = accept(self._box, job.output_commit, folder)
                said = f"{files} written into {folder}"
                self._report.add("output", one.shown, OK, said, since=began)
            return
        expected = self._expected.of(one)
        if expected is None:
            return
        found = differences(self._box, job.output_commit, expected)
        if found:
            why = f"not what {expected} holds"
            self._report.add("output", one.shown, FAILED, why, since=began, text=found)
        else:
            self._report.add("output", one.shown, OK, f"as in {expected}", since=began)


def _took(job: JobInfo | None) -> float:
    """Seconds from a job's start to its end; 0 where it has neither."""
    if job is None or job.started is None or job.finished is None:
        return 0.0
    return (job.finished - job.started).total_seconds()


def _done(job: JobInfo) -> int:
    return job.processed + job.skipped + job.failed + job.recovered
