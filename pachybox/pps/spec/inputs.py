"""Rules and defaults of inputs: from a tree of values to one the planner can read. Pure.

An input is an object with exactly one key: ``pfs``, ``cron``, or a list of inputs. Names are
unique among the inputs that one datum may hold; the branches of a union are never in one
datum together, so they may share a name with each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pachybox.errors import InvalidArgument, PachyboxError
from pachybox.model.glob import Glob
from pachybox.model.ids import Pipeline, check_name, is_commit_id
from pachybox.model.schedule import check_schedule, find_zone
from pachybox.model.units import format_time, parse_decimal_size, parse_time
from pachybox.pps.spec.input_fields import INPUT_TYPES, LISTS
from pachybox.pps.spec.shape import Shape

Values = Mapping[str, Any]

_CONDITIONS = ("size", "commits", "rate_limit_spec", "cron_spec")


def try_(shape: Shape, path: str, check: Callable[[], object]) -> None:
    """Note at ``path`` what ``check`` raises."""
    try:
        check()
    except PachyboxError as e:
        shape.problem(path, e.message, e.hint)


def check_branch(shape: Shape, path: str, name: str) -> None:
    """Note what is wrong with the name of a branch."""
    try_(shape, path, lambda: check_name("branch", name))
    if is_commit_id(name):
        shape.problem(path, f"{name} is a commit id", "name a branch")


def check_input(shape: Shape, source: Values, pipeline: Pipeline, *, wanted: bool = True) -> None:
    """Note everything wrong with a spec's input; with ``wanted`` there must be one."""
    if wanted or source:
        _one(shape, source, "input", (), pipeline)
    if not shape.problems:
        _names(shape, source, "input", {})


def _given(shape: Shape, source: Values, path: str) -> list[str]:
    """The types that are there, be they refused or not. What is empty is none, but for a pfs
    or a cron: those are told what they lack."""
    return [
        kind
        for kind in INPUT_TYPES
        if (kind in source and kind in ("pfs", "cron"))
        or (kind in LISTS and source.get(kind))
        or shape.given(f"{path}.{kind}")
    ]


def _one(
    shape: Shape, source: Values, path: str, above: tuple[str, ...], pipeline: Pipeline
) -> None:
    """One input; ``above`` are the types of the lists it is in, outermost first."""
    given = _given(shape, source, path)
    if len(given) > 1:
        shape.problem(path, f"multiple input types set: {', '.join(given)}", "keep one of them")
    if not given:
        shape.missing(path, "no input set", 'give it one, like {"pfs": {"repo": R, "glob": G}}')
    for kind in given:
        here = f"{path}.{kind}"
        if kind in LISTS:
            for number, inner in enumerate(source.get(kind) or ()):
                _one(shape, inner, f"{here}[{number}]", (*above, kind), pipeline)
        elif kind == "pfs" and kind in source:
            _pfs(shape, source[kind], here, above, pipeline)
        elif kind == "cron" and kind in source:
            _cron(shape, source[kind], here, pipeline)


# ---- pfs


def _pfs(shape: Shape, pfs: Values, path: str, above: tuple[str, ...], pipeline: Pipeline) -> None:
    repo = pfs.get("repo") or ""
    if repo:
        try_(shape, f"{path}.repo", lambda: check_name("repo", repo))
    else:
        shape.missing(f"{path}.repo", "missing", "name the repo to read")
    if project := pfs.get("project"):
        try_(shape, f"{path}.project", lambda: check_name("project", project))
    if branch := pfs.get("branch"):
        check_branch(shape, f"{path}.branch", branch)
    glob = pfs.get("glob")
    if glob:
        try_(shape, f"{path}.glob", lambda: Glob(glob))
    else:
        hint = 'use "/" for one datum, "/*" for one per file'
        shape.missing(f"{path}.glob", "missing", hint)
    _directory(shape, f"{path}.name", pfs.get("name") or "", repo)
    if repo and (project or pipeline.project, repo) == (pipeline.project, pipeline.name):
        shape.problem(f"{path}.repo", "a pipeline cannot read its own output", "name another repo")
    if "trigger" in pfs:
        _trigger(shape, pfs["trigger"], f"{path}.trigger", branch or "")
    _keys(shape, pfs, path, above)
    if pfs.get("s3"):
        _by_s3(shape, pfs, path, above)


def _directory(shape: Shape, path: str, name: str, repo: str) -> None:
    """An input's name becomes a directory under /pfs and the name of a variable."""
    if (name or repo) == "out":
        hint = "give another name" if name else f"set {path}"
        shape.problem(path, "an input may not be called out: output goes there", hint)
    elif name.startswith(".") or "/" in name or "=" in name or len(name.encode()) > 200:
        shape.problem(
            path,
            f"{name!r} cannot be a directory under /pfs",
            "use letters, digits, underscores and dashes",
        )


def _by_s3(shape: Shape, pfs: Values, path: str, above: tuple[str, ...]) -> None:
    """What is read by S3 is the whole commit, in one piece."""
    if pfs.get("glob") not in (None, "", "/"):
        shape.problem(f"{path}.glob", "an s3 input must have the glob /", 'set it to "/"')
    for kind in above:
        if kind != "cross":
            shape.problem(f"{path}.s3", f"an s3 input may not be in a {kind}", "cross it instead")
            break
    for name in ("lazy", "empty_files"):
        if pfs.get(name):
            shape.problem(f"{path}.{name}", "does not go with s3", "remove one of the two")


def _keys(shape: Shape, pfs: Values, path: str, above: tuple[str, ...]) -> None:
    """Warn of keys that decide nothing, and of captures that are not there."""
    for name, kind in (("join_on", "join"), ("outer_join", "join"), ("group_by", "group")):
        if pfs.get(name) and kind not in above:
            shape.warn(f"{path}.{name}", f"has no effect outside of a {kind}")
    for name, kind in (("join_on", "join"), ("group_by", "group")):
        template = pfs.get(name) or ""
        if not template and above[-1:] == (kind,):
            shape.warn(path, f"has no {name}: its files all have the empty key")
        try:
            captures = Glob(pfs.get("glob") or "/").captures
        except InvalidArgument:
            continue  # a problem of its own
        for number in Glob.references(template):
            if number > captures:
                shape.warn(
                    f"{path}.{name}",
                    f"${number} is empty: the glob has {captures} captures, such as (*)",
                )


def _trigger(shape: Shape, trigger: Values, path: str, branch: str) -> None:
    watched = trigger.get("branch") or "master"
    check_branch(shape, f"{path}.branch", watched)
    if watched == branch:
        shape.problem(
            f"{path}.branch",
            f"branch {branch} cannot trigger itself",
            "remove branch from the input, and the box makes one to move",
        )
    if not any(trigger.get(name) for name in _CONDITIONS):
        shape.missing(path, "says no condition", f"give it one of {', '.join(_CONDITIONS)}")
    if trigger.get("commits", 0) < 0:
        shape.problem(f"{path}.commits", "may not be negative", "give a count of 1 or more")
    if size := trigger.get("size"):
        try_(shape, f"{path}.size", lambda: parse_decimal_size(size))
    for name in ("rate_limit_spec", "cron_spec"):
        if schedule := trigger.get(name):
            try_(shape, f"{path}.{name}", lambda s=schedule: check_schedule(s))  # type: ignore[misc]


# ---- cron


def cron_repo(cron: Values, pipeline: Pipeline) -> tuple[str, str]:
    """Project and name of the repo that holds a cron input's ticks."""
    repo = cron.get("repo") or f"{pipeline.name}_{cron.get('name') or ''}"
    return cron.get("project") or pipeline.project, repo


def _cron(shape: Shape, cron: Values, path: str, pipeline: Pipeline) -> None:
    name = cron.get("name") or ""
    if name:
        _directory(shape, f"{path}.name", name, "")
    else:
        shape.missing(f"{path}.name", "missing", "name the directory under /pfs")
    if zone := cron.get("timezone"):
        try_(shape, f"{path}.timezone", lambda: find_zone(zone))
    if spec := cron.get("spec"):
        try_(shape, f"{path}.spec", lambda: check_schedule(spec, "UTC" if zone else ""))
    else:
        shape.missing(f"{path}.spec", "missing", 'say when, like "0 * * * *" or "@every 90s"')
    project, repo = cron_repo(cron, pipeline)
    place = "repo" if cron.get("repo") else "name"
    try_(shape, f"{path}.{place}", lambda: check_name("repo", repo))
    if cron.get("project"):
        try_(shape, f"{path}.project", lambda: check_name("project", project))
    if (project, repo) == (pipeline.project, pipeline.name):
        shape.problem(f"{path}.repo", "the pipeline writes to that repo", "name another repo")
    if start := cron.get("start"):
        try_(shape, f"{path}.start", lambda: parse_time(start))


# ---- names


def _names(shape: Shape, source: Values, path: str, taken: Mapping[str, str]) -> dict[str, str]:
    """Note names that one datum would hold twice; gives the names in ``source`` with their
    places. ``taken`` are those beside it."""
    for kind in ("pfs", "cron"):
        if kind in source:
            leaf = source[kind]
            name = leaf.get("name") or leaf.get("repo") or ""
            here = f"{path}.{kind}"
            if name in taken:
                shape.problem(
                    f"{here}.name",
                    f'name "{name}" is used more than once, first by {taken[name]}',
                    f"set {here}.name to another name",
                )
            return {name: here}
    found: dict[str, str] = {}
    for kind in LISTS:
        for number, inner in enumerate(source.get(kind) or ()):
            beside = taken if kind == "union" else {**taken, **found}
            for name, where in _names(shape, inner, f"{path}.{kind}[{number}]", beside).items():
                found.setdefault(name, where)
    return found


# ---- defaults


def canonical_input(source: Values, pipeline: Pipeline) -> dict[str, Any]:
    """A checked input with its defaults: nested, one key each, without what asks for nothing."""
    return _Defaults(pipeline).of(source)


class _Defaults:
    """Fills in one input; counts the branches made for triggers, per repo."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._triggers: dict[tuple[str, str], int] = {}

    def of(self, source: Values) -> dict[str, Any]:
        if "pfs" in source:
            return {"pfs": self._pfs(source["pfs"])}
        if "cron" in source:
            return {"cron": self._cron(source["cron"])}
        kind = next(kind for kind in LISTS if source.get(kind))
        return {kind: [self.of(inner) for inner in source[kind]]}

    def _pfs(self, pfs: Values) -> dict[str, Any]:
        project = pfs.get("project") or self._pipeline.project
        made = {
            "name": pfs.get("name") or pfs["repo"],
            "project": project,
            "repo": pfs["repo"],
            "repo_type": "user",
            "branch": pfs.get("branch") or "master",
            "glob": pfs["glob"],
            "empty_files": bool(pfs.get("empty_files")),
        }
        for name in ("join_on", "outer_join", "group_by", "lazy", "reference", "s3"):
            if pfs.get(name):
                made[name] = pfs[name]
        if (pfs.get("propagation_spec") or {}).get("never"):
            made["propagation_spec"] = {"never": True}
        if "trigger" in pfs:
            trigger = {name: value for name, value in pfs["trigger"].items() if value}
            made["trigger"] = {**trigger, "branch": trigger.get("branch") or "master"}
            if not pfs.get("branch"):
                number = self._triggers.get((project, pfs["repo"]), 0) + 1
                self._triggers[project, pfs["repo"]] = number
                made["branch"] = f"{self._pipeline.name}-trigger-{number}"
        return made

    def _cron(self, cron: Values) -> dict[str, Any]:
        project, repo = cron_repo(cron, self._pipeline)
        made = {
            "name": cron["name"],
            "project": project,
            "repo": repo,
            "spec": cron["spec"].strip(),
            "overwrite": bool(cron.get("overwrite")),
        }
        if cron.get("timezone"):
            made["timezone"] = cron["timezone"]
        if cron.get("start"):
            made["start"] = format_time(parse_time(cron["start"]))
        if cron.get("coalesce"):
            made["coalesce"] = True
        return made


def leaves(source: Values) -> list[tuple[str, dict[str, Any]]]:
    """The ``pfs`` and ``cron`` inputs of an input with their type, in order."""
    return [(path.rpartition(".")[2], leaf) for path, leaf in leaves_of(source, "")]


def leaves_of(source: Values, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The ``pfs`` and ``cron`` inputs below ``path`` with their paths, in order."""
    for kind in INPUT_TYPES:
        if kind in LISTS:
            for number, inner in enumerate(source.get(kind) or ()):
                yield from leaves_of(inner, f"{path}.{kind}[{number}]")
        elif kind in source:
            yield f"{path}.{kind}", source[kind]
