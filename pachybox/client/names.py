"""The addressing syntax, from the text people write to the API's messages.

``[project/]repo[.type]``, ``repo@ref``, ``repo@ref:path``, ``pipeline@job``. A ref is a
branch or commit id with ancestry (``master^2``); the box resolves it.
"""

from __future__ import annotations

import re

from pachybox.client.values import Json
from pachybox.errors import InvalidArgument

_WHOLE_ID = re.compile(r"[0-9a-f]{32}\Z")
_TYPES = ("spec", "meta")


def is_id(text: str) -> bool:
    """Whether ``text`` is a whole commit or job id."""
    return _WHOLE_ID.match(text) is not None


def project_message(project: str) -> Json:
    """A pfs_v2.Project."""
    return {"name": project}


def repo_message(text: str, project: str = "default") -> Json:
    """A pfs_v2.Repo from ``[project/]name[.spec|.meta]``."""
    given, slash, name = text.rpartition("/")
    base, dot, kind = name.rpartition(".")
    if not dot or kind not in _TYPES:
        base, kind = name, "user"
    if not base or (slash and not given) or "@" in text or ":" in text:
        raise InvalidArgument(f"{text!r} is not a repo", "write REPO or PROJECT/REPO")
    return {"name": base, "type": kind, "project": {"name": given or project}}


def split_ref(text: str) -> tuple[str, str]:
    """``repo@ref`` in two. Raises InvalidArgument when either is missing."""
    repo, at, ref = text.partition("@")
    if not at or not repo or not ref:
        raise InvalidArgument(f"{text!r} names no branch or commit", "write REPO@BRANCH_OR_COMMIT")
    return repo, ref


def branch_message(text: str, project: str = "default") -> Json:
    """A pfs_v2.Branch from ``repo@branch``."""
    repo, name = split_ref(text)
    return {"repo": repo_message(repo, project), "name": name}


def commit_of(repo: Json, ref: str) -> Json:
    """A pfs_v2.Commit of ``repo`` from a ref: by id when it is a whole one, else by branch."""
    if is_id(ref):
        return {"repo": repo, "id": ref}
    return {"repo": repo, "branch": {"repo": repo, "name": ref}}


def commit_message(text: str, project: str = "default") -> Json:
    """A pfs_v2.Commit from ``repo@ref``."""
    repo, ref = split_ref(text)
    return commit_of(repo_message(repo, project), ref)


def branch_picker(text: str, project: str = "default") -> Json:
    """A pfs_v2.BranchPicker from ``repo@branch``."""
    branch = branch_message(text, project)
    return {"name": {"repo": {"name": branch["repo"]}, "name": branch["name"]}}


def commit_picker(text: str, project: str = "default") -> Json:
    """A pfs_v2.CommitPicker from ``repo@ref``."""
    commit = commit_message(text, project)
    if "id" in commit:
        return {"id": {"repo": {"name": commit["repo"]}, "id": commit["id"]}}
    return {"branch_head": branch_picker(text, project)}


def split_file(text: str) -> tuple[str, str, str]:
    """``repo@ref[:path]`` in three; the path keeps its form and may be empty."""
    at = text.find("@")
    head, _, path = (text[at + 1 :] if at >= 0 else text).partition(":")
    repo, ref = split_ref(text[: at + 1] + head if at >= 0 else head)
    return repo, ref, path


def file_message(text: str, project: str = "default") -> Json:
    """A pfs_v2.File from ``repo@ref[:path]``; without a path the root."""
    repo, ref, path = split_file(text)
    return {"commit": commit_of(repo_message(repo, project), ref), "path": absolute(path)}


def absolute(path: str) -> str:
    """``path`` from the root, without doubled or trailing slashes."""
    return "/" + "/".join(e for e in path.split("/") if e)


def pipeline_message(text: str, project: str = "default") -> Json:
    """A pps_v2.Pipeline from ``[project/]name``."""
    given, slash, name = text.rpartition("/")
    if not name or (slash and not given) or "@" in text:
        raise InvalidArgument(f"{text!r} is not a pipeline", "write PIPELINE or PROJECT/PIPELINE")
    return {"name": name, "project": {"name": given or project}}


def job_message(text: str, project: str = "default") -> Json:
    """A pps_v2.Job from ``pipeline@id``."""
    pipeline, at, job = text.partition("@")
    if not at or not pipeline or not job:
        raise InvalidArgument(f"{text!r} is not a job", "write PIPELINE@ID")
    return {"pipeline": pipeline_message(pipeline, project), "id": job}


def full_name(text: str, project: str = "default") -> str:
    """A repo, pipeline or ``repo@ref`` with its project in front unless that is ``default``."""
    head, at, ref = text.partition("@")
    given, _, name = head.rpartition("/")
    where = given or project
    return f"{name}{at}{ref}" if where == "default" else f"{where}/{name}{at}{ref}"


def has_glob(path: str) -> bool:
    """Whether ``path`` may be a pattern: it has a character which means something in a glob."""
    return any(c in path for c in "*?[]{}!()@+^\\|")
