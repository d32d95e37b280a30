"""The addressing syntax of commands and requests: text to values. Pure.

::

    commit-ref = [project/]repo[@REF]
    file-ref   = [project/]repo@REF[:path]       the first @, then the first : after it
    prov-ref   = [project/]repo@branch | repo@REF | repo@branch=REF
    REF        = (branch | id | 8 or more digits of an id) [ancestry]
    ancestry   = ^^.. | ^N | ~~.. | ~N | .N

``^`` and ``~`` go back along parents; ``.N`` is the Nth commit of the chain, the
oldest being 1. Whether a name is a branch or an id is settled where it is looked up.
A system repo is written ``name.spec`` or ``name.meta``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pachybox.errors import InvalidArgument
from pachybox.model.ids import (
    DEFAULT_PROJECT,
    META,
    SPEC,
    USER,
    Branch,
    Pipeline,
    Repo,
    check_name,
    check_pipeline_name,
    is_commit_id,
)

MIN_SHORT_ID = 8
_MAX_STEPS_DIGITS = 9

_REF = re.compile(r"([^\^~.]*)([\^~.].*)?", re.DOTALL)
_ANCESTRY = re.compile(r"(?:(\^+|~+)|[\^~](\d+)|\.(\d+))", re.ASCII)
_SHORT_ID = re.compile(r"[0-9a-f]{8,31}")


@dataclass(frozen=True, slots=True)
class Ancestry:
    """A REF: the commit ``base`` names, or one of its ancestors.

    ``steps`` parents back, or with ``from_root`` the ``steps``-th commit of the chain
    counted from the oldest (1).
    """

    base: str
    steps: int = 0
    from_root: bool = False

    def __str__(self) -> str:
        if self.from_root:
            return f"{self.base}.{self.steps}"
        return f"{self.base}^{self.steps}" if self.steps else self.base

    @property
    def may_be_short_id(self) -> bool:
        """Whether ``base`` could abbreviate a commit id (a branch of that name comes first)."""
        return _SHORT_ID.fullmatch(self.base) is not None

    @property
    def is_id(self) -> bool:
        """Whether ``base`` is a whole commit id."""
        return is_commit_id(self.base)


@dataclass(frozen=True, slots=True)
class CommitRef:
    """``repo@REF``, or a whole ``repo`` when ``ref`` is None."""

    repo: Repo
    ref: Ancestry | None

    def __str__(self) -> str:
        return f"{self.repo}@{self.ref}" if self.ref else str(self.repo)


@dataclass(frozen=True, slots=True)
class FileRef:
    """``repo@REF:path``. ``path`` is as written (a path or a glob), empty when not given."""

    repo: Repo
    ref: Ancestry
    path: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.ref}:{self.path}"


@dataclass(frozen=True, slots=True)
class ProvRef:
    """A commit to run a pipeline on; ``branch`` is empty when only one name was given."""

    repo: Repo
    branch: str
    ref: Ancestry

    def __str__(self) -> str:
        return f"{self.repo}@{self.branch + '=' if self.branch else ''}{self.ref}"


def parse_ref(text: str) -> Ancestry:
    """A REF. Raises InvalidArgument naming the text and the form."""
    found = _REF.fullmatch(text)
    base, tail = (found[1], found[2]) if found else (text, None)
    check_name("branch or commit", base)
    if not tail:
        return Ancestry(base)
    steps = _ANCESTRY.fullmatch(tail)
    digits = (steps[2] or steps[3] or "") if steps else ""
    if steps is None or len(digits) > _MAX_STEPS_DIGITS:
        raise InvalidArgument(
            f"invalid ancestry syntax {tail!r} in {text!r}",
            "write NAME^N or NAME^^ for a parent, NAME.N for the Nth commit from the oldest",
        )
    if steps[3] is None:
        return Ancestry(base, len(steps[1]) if steps[1] else int(steps[2]))
    if int(digits) == 0:
        raise InvalidArgument(f"{text!r} asks for commit 0 of the chain", f"the oldest is {base}.1")
    return Ancestry(base, int(digits), from_root=True)


def parse_repo(text: str, project: str = DEFAULT_PROJECT) -> Repo:
    """``[project/]repo[.type]``; a project in the text goes before the argument."""
    given, slash, name = text.rpartition("/")
    if slash:
        project = given
    name, dot, kind = name.partition(".")
    if dot and kind not in (USER, SPEC, META):
        raise InvalidArgument(
            f"repo type {kind!r} of {text!r} is not known",
            f"write {name}, {name}.spec or {name}.meta",
        )
    return Repo(check_name("project", project), check_name("repo", name), kind or USER)


def parse_commit_ref(text: str, project: str = DEFAULT_PROJECT) -> CommitRef:
    """``repo@REF`` or ``repo``."""
    repo, at, ref = text.partition("@")
    if not at:
        return CommitRef(parse_repo(repo, project), None)
    _require(text, ref, "repo@branch-or-commit")
    return CommitRef(parse_repo(repo, project), parse_ref(ref))


def parse_branch_ref(text: str, project: str = DEFAULT_PROJECT) -> Branch:
    """``repo@branch``."""
    repo, _, name = text.partition("@")
    _require(text, name, "repo@branch")
    return Branch(parse_repo(repo, project), check_name("branch", name))


def parse_file_ref(text: str, project: str = DEFAULT_PROJECT) -> FileRef:
    """``repo@REF:path``; the path may be missing."""
    repo, _, rest = text.partition("@")
    ref, _, path = rest.partition(":")
    _require(text, ref, "repo@branch-or-commit:/path")
    return FileRef(parse_repo(repo, project), parse_ref(ref), path)


def parse_prov_ref(text: str, project: str = DEFAULT_PROJECT) -> ProvRef:
    """``repo@branch``, ``repo@REF`` or ``repo@branch=REF``."""
    repo, _, rest = text.partition("@")
    branch, equals, ref = rest.partition("=")
    if not equals:
        branch, ref = "", branch
    else:
        check_name("branch", branch)
    _require(text, ref, "repo@branch=commit")
    return ProvRef(parse_repo(repo, project), branch, parse_ref(ref))


def parse_pipeline_ref(text: str, project: str = DEFAULT_PROJECT) -> tuple[Pipeline, Ancestry]:
    """``[project/]pipeline[ancestry]``: earlier versions are its spec commits' ancestors."""
    given, slash, name = text.rpartition("/")
    ancestry = parse_ref(name)
    project = check_name("project", given if slash else project)
    return Pipeline(project, check_pipeline_name(ancestry.base)), ancestry


def _require(text: str, part: str, form: str) -> None:
    if not part:
        raise InvalidArgument(f"{text!r} names no branch or commit", f"write {form}")
