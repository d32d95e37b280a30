"""The specs that ``ci`` runs: found, read, put in order, made harmless."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pachybox.cli.app import App
from pachybox.cli.ci_report import FAILED, Report
from pachybox.cli.documents import documents
from pachybox.cli.output import note
from pachybox.cli.spec_source import ENDINGS, SpecText, is_spec, texts
from pachybox.client.values import Json
from pachybox.containers.context import RECIPES
from pachybox.errors import InvalidArgument, PachyboxError

_LISTS = ("cross", "union", "join", "group")


@dataclass(frozen=True, slots=True)
class Reads:
    """One pfs input: the repo by its full name, the branch, the glob."""

    repo: str
    branch: str
    glob: str


@dataclass
class Wanted:
    """One pipeline to run. ``document`` is its spec as it will be made; ``removed`` tells what of
    the spec was left out; ``why_not`` why it is not run, once that is known."""

    name: str
    document: Json
    given: SpecText
    reads: tuple[Reads, ...]
    removed: tuple[str, ...] = ()
    why_not: str = ""
    crons: bool = field(default=False)

    @property
    def shown(self) -> str:
        """Its name for people."""
        return self.name.removeprefix("default/")

    @property
    def text(self) -> SpecText:
        """Its spec alone."""
        return replace(self.given, text=json.dumps(self.document))

    @property
    def transform(self) -> dict[str, Any]:
        """Its transform; empty when it has none."""
        found = self.document.get("transform")
        return found if isinstance(found, dict) else {}

    @property
    def lasts(self) -> str:
        """What keeps its job from ever ending; empty for most."""
        return next(
            (kind for kind in ("service", "spout") if self.document.get(kind) is not None), ""
        )

    @property
    def has_recipe(self) -> bool:
        """Whether there is something to build its image from."""
        build = self.transform.get("build") or {}
        if self.given.folder is None or build.get("language") or build.get("image"):
            return False
        beside = any((self.given.folder / name).is_file() for name in RECIPES)
        return bool(self.transform.get("dockerfile") or (self.transform.get("image") and beside))

    @property
    def output_branch(self) -> str:
        """The branch of its output."""
        found = self.document.get("output_branch") or self.document.get("outputBranch")
        return str(found or "master")


def names(paths: Sequence[str]) -> list[str]:
    """What to read: each path, or the files of a directory that may be specs. Raises
    InvalidArgument when there is nothing."""
    made = []
    for path in paths:
        if (directory := Path(path)).is_dir():
            files = sorted(one for one in directory.iterdir() if is_spec(one.name))
            made += [str(one) for one in files if one.is_file()]
        else:
            made.append(path)
    if not made:
        raise InvalidArgument(
            f"no spec in {', '.join(paths)}", f"the names of specs end in {', '.join(ENDINGS)}"
        )
    return made


def found(
    app: App, named: Sequence[str], paths: Sequence[str], given: dict[str, str], report: Report
) -> list[SpecText]:
    """The texts that hold specs, of all that is ``named``. One that cannot be read is a failed
    case; a file that was not named itself in ``paths`` and holds no spec is left out."""
    made: list[SpecText] = []
    for name in named:
        try:
            read = texts(app, [name], given if name.endswith(".jsonnet") else {})
        except PachyboxError as e:
            report.add("specs", name, FAILED, str(e))
            continue
        whole = [one for one in read if name in paths or _is_spec(one.text)]
        if not whole:
            note(f"{name} holds no spec, and is left out")
        made += whole
    if not made and not report.cases:
        report.add("specs", ", ".join(paths), FAILED, "none of the files holds a spec")
    return made


def _is_spec(text: str) -> bool:
    """Whether a text holds a spec, or nothing that can be read: then it is said what is wrong."""
    read = documents(text)
    return read is None or any(
        isinstance(one, dict) and ("pipeline" in one or "transform" in one) for one in read
    )


def pipelines(given: Sequence[SpecText], project: str) -> list[Wanted]:
    """The pipelines of texts, those that others read before those that read them. What is no
    spec is passed over: the box says so."""
    made: dict[str, Wanted] = {}
    for text in given:
        for document in documents(text.text) or ():
            named = document.get("pipeline") if isinstance(document, dict) else None
            if not (isinstance(named, dict) and isinstance(named.get("name"), str)):
                continue
            own = (named.get("project") or {}).get("name") or project
            reads = tuple(_reads(document.get("input"), own))
            one = Wanted(f"{own}/{named['name']}", document, text, reads)
            one.document, one.removed = _harmless(document)
            one.crons = '"cron"' in json.dumps(document.get("input"))
            made[one.name] = one
    above = {
        one.name: {r.repo for r in one.reads if r.repo in made and r.repo != one.name}
        for one in made.values()
    }
    try:
        return [made[name] for name in TopologicalSorter(above).static_order()]
    except CycleError:
        return list(made.values())


def _reads(given: Any, project: str) -> Iterator[Reads]:
    if not isinstance(given, dict):
        return
    pfs = given.get("pfs")
    if isinstance(pfs, dict) and isinstance(pfs.get("repo"), str):
        repo = f"{pfs.get('project') or project}/{pfs['repo']}"
        yield Reads(repo, str(pfs.get("branch") or "master"), str(pfs.get("glob") or "/"))
    for kind in _LISTS:
        for one in given.get(kind) or ():
            yield from _reads(one, project)


def _harmless(document: Json) -> tuple[Json, tuple[str, ...]]:
    """The spec without what reaches out of the box, or waits for more data than a test has."""
    made, removed = copy.deepcopy(document), []
    if made.pop("egress", None):
        removed.append("egress")
    if _without_triggers(made.get("input")):
        removed.append("triggers")
    return made, tuple(removed)


def _without_triggers(given: Any) -> bool:
    if not isinstance(given, dict):
        return False
    pfs, gone = given.get("pfs"), False
    if isinstance(pfs, dict) and pfs.pop("trigger", None):
        gone = True
    for kind in _LISTS:
        for one in given.get(kind) or ():
            gone = _without_triggers(one) or gone
    return gone
