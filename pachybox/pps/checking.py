"""What the box would say of texts of specs, all of it, each with its place in its text.

What a text says by itself is found in pachybox.pps.spec; here is what depends on the box: repos,
images, secrets, ports, other pipelines. Nothing is made.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pachybox.errors import PachyboxError
from pachybox.meta.tables import BRANCHES, PIPELINES, REPOS
from pachybox.model.ids import Branch, Pipeline, Repo
from pachybox.pfs.service import Pfs
from pachybox.pps import defaults
from pachybox.pps.placement import PODMAN, PROCESS, Placement
from pachybox.pps.scripts import render
from pachybox.pps.sources import branch_of
from pachybox.pps.spec import Given, Problem, Spec, Text, Told, examine_all
from pachybox.pps.spec.inputs import cron_repo, leaves_of

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_POSITION = re.compile(r"\btemplate:(\d+):(\d+)")
_ARGUMENT = re.compile(r"function argument is not passed: (\w+)")

DryRun = Callable[[Sequence[Spec]], list[tuple[Pipeline, PachyboxError]]]
"""Makes pipelines, tells which of them cannot be made and why, and leaves nothing."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The pipelines of the specs that are right in themselves, and what there is to say, in the
    order of the texts."""

    pipelines: list[Pipeline]
    found: list[Told]

    @property
    def errors(self) -> list[Told]:
        """That for which the box would refuse them."""
        return [one for one in self.found if one.problem.level == "error"]


class Checker:
    """Checks texts against one box."""

    def __init__(self, pfs: Pfs, placement: Placement, dry_run: DryRun) -> None:
        self._pfs = pfs
        self._placement = placement
        self._dry_run = dry_run

    def check(self, texts: Sequence[Text], *, project: str, runner: str = "") -> Checked:
        """Everything there is to say of texts. Raises InvalidArgument for a runner that is none,
        NotFound for a project that is not there."""
        specs, found = examine_all(
            texts, default_project=project, defaults=defaults.of(self._pfs.meta)
        )
        right = [given for given in specs if given.one.right]
        placement = self._placement.once()
        placed: list[Spec] = []
        for given in specs:
            found += self._repos(given, specs)
            if not placement.in_cluster(runner):
                found += [Told(given.source, one) for one in given.one.clusterless]
        for given in right:
            found += self._branches(given, right)
            try:
                spec = placement.place(given.one.spec, runner)
            except PachyboxError as e:
                found.append(_refused(given, e))
                continue
            placed.append(spec)
            found += _image(given, spec)
        if not any(one.problem.level == "error" for one in found):
            by_name = {given.one.spec.pipeline: given for given in right}
            for pipeline, error in self._dry_run(placed):
                found.append(_refused(by_name[pipeline], error))
        order = {text.source: number for number, text in enumerate(texts)}
        found.sort(key=lambda o: (order[o.source], o.problem.line, o.problem.column))
        return Checked([given.one.spec.pipeline for given in right], found)

    def check_text(self, text: str, source: str, *, project: str, runner: str = "") -> Checked:
        """The same of one text, whatever it is; a template (``.jsonnet``) is evaluated first, and
        then only an error of its evaluation has a place. Never raises a PachyboxError."""
        template = source.endswith(".jsonnet")
        try:
            given = render(text, {}) if template else text
        except PachyboxError as e:
            return Checked([], [Told(source, _of_template(e))])
        try:
            checked = self.check([Text(given, source)], project=project, runner=runner)
        except PachyboxError as e:
            return Checked([], [Told(source, Problem(1, 1, e.field, e.message, e.hint))])
        if template:
            found = [Told(source, replace(o.problem, line=1, column=1)) for o in checked.found]
            return replace(checked, found=found)
        return checked

    def _repos(self, given: Given, specs: Sequence[Given]) -> Iterator[Told]:
        """The repos that inputs read and nobody has, also of specs that are not right."""
        made = {repo for one in specs for repo in _makes(one)}
        source = given.one.shape.values.get("input") or {}
        for path, leaf in leaves_of(source, "input"):
            name = leaf.get("repo") or ""
            repo = Repo(leaf.get("project") or given.one.spec.pipeline.project, name)
            is_name = path.endswith(".pfs") and _NAME.fullmatch(name)
            if is_name and repo not in made and self._pfs.meta.get(REPOS, repo) is None:
                text = f"repo {repo.full} not found"
                yield given.told(f"{path}.repo", text, self._near(repo))

    def _branches(self, given: Given, others: Sequence[Given]) -> Iterator[Told]:
        """Loops, and branches that are not there yet."""
        spec = given.one.spec
        made = {repo for one in others for repo in _makes(one)}
        for path, leaf in leaves_of(spec.canonical.get("input") or {}, "input"):
            branch = branch_of(path.rpartition(".")[2], leaf)
            if branch.repo in made or self._pfs.meta.get(REPOS, branch.repo) is not None:
                if way := self._loop(spec, branch, others):
                    yield given.told(
                        f"{path}.repo",
                        f"{spec.pipeline} cannot read what is made from its own output: "
                        f"{' <- '.join(map(str, way))}",
                        "read another branch",
                    )
                elif (
                    branch.repo not in made
                    and "trigger" not in leaf
                    and self._pfs.meta.get(BRANCHES, branch) is None
                ):
                    text = f"branch {branch} is not there yet: there are no datums until it is"
                    yield given.told(f"{path}.branch", text, level="info")

    def _near(self, repo: Repo) -> str:
        """Another repo of nearly that name, or how to make this one."""
        names = {str(one.repo): one.repo for one in self._pfs.meta.all(REPOS)
                 if one.repo.type == "user"}  # fmt: skip
        near = difflib.get_close_matches(str(repo), names, 1, 0.7)
        make = f"make it with: create repo {repo}"
        return f'did you mean "{near[0]}"; or {make}' if near else make

    def _loop(self, spec: Spec, source: Branch, others: Sequence[Given]) -> list[Branch]:
        """The way from an input to the pipeline's own output, if there is one."""
        specs: dict[Pipeline, Mapping[str, Any]] = {
            record.pipeline: record.spec for record in self._pfs.meta.all(PIPELINES)
        }
        specs |= {one.one.spec.pipeline: one.one.spec.canonical for one in others}
        makers = {
            Branch(pipeline.repo, made["output_branch"]): made
            for pipeline, made in specs.items()
            if "spout" not in made
        }
        output = Branch(spec.pipeline.repo, spec.canonical["output_branch"])
        ways = [[source]]
        seen = {source}
        while ways:
            way = ways.pop()
            if way[-1] == output:
                return way
            for path, leaf in leaves_of(makers.get(way[-1], {}).get("input") or {}, ""):
                above = branch_of(path.rpartition(".")[2], leaf)
                if above not in seen:
                    seen.add(above)
                    ways.append([*way, above])
        return []


def _makes(given: Given) -> Iterator[Repo]:
    """The repos that come about with a pipeline: its output, and those of ticks."""
    pipeline = given.one.spec.pipeline
    yield pipeline.repo
    for path, leaf in leaves_of(given.one.shape.values.get("input") or {}, ""):
        if path.endswith(".cron"):
            yield Repo(*cron_repo(leaf, pipeline))


def _image(given: Given, placed: Spec) -> Iterator[Told]:
    if placed.runner == PODMAN and not placed.image_pin:
        yield given.told(
            "transform.image",
            f"the image {placed.image} is not on this machine: it is pulled before the first job",
            "pull it now: podman pull " + placed.image,
            level="warn",
        )
    elif placed.image and placed.runner == PROCESS:
        yield given.told(
            "transform.image",
            "the image is not used: this runs as processes of this machine",
            level="info",
        )


def _of_template(error: PachyboxError) -> Problem:
    """What jsonnet says, where it says so."""
    message = error.message.removeprefix("the template: ")
    if missing := _ARGUMENT.match(message):
        text = f"a template that needs the argument {missing[1]}: what it gives is not checked"
        return Problem(1, 1, "", text, "give arguments with --arg when it is made", "info")
    at = _POSITION.search(message)
    line, column = (int(at[1]), int(at[2])) if at else (1, 1)
    return Problem(line, column, "", message.partition("\n")[0], error.hint)


def _refused(given: Given, error: PachyboxError) -> Told:
    """What the box says against a pipeline, at the field it is about."""
    return given.told(error.field or "pipeline.name", error.message, error.hint)
