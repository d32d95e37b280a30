"""What a caller that is bound to repos may see, and answers without the rest.

A repo is seen when it is one of theirs. A pipeline is, with its jobs, datums, logs and spec, when
its output repo and all that it reads are: what it says of itself names them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from pachybox.api.access.principal import RepoName
from pachybox.api.access.things import NAMES, Thing
from pachybox.errors import (
    Denied,
    Exhausted,
    InvalidArgument,
    NotFound,
    PachyboxError,
    Unauthenticated,
    Unimplemented,
)
from pachybox.model.ids import DEFAULT_PROJECT, USER

_WORD = re.compile(r"[A-Za-z0-9_-]+")
_TOLD = frozenset(
    {"project", "repo", "type", "branch", "head", "commit", "id", "pipeline", "state", "version"}
)
"""What of an event's facts a bound caller is told."""

_TEXTS = ("reason", "error")
"""Fields of free text that may name other things."""

_OWN = (Denied, Unauthenticated)
"""Errors that were made here, of what the request names."""
_OF_REQUESTS = (NotFound, InvalidArgument, Exhausted, Unimplemented)

_WHOLE = "pps_v2.Input"
"""Of what it lists nothing is left out: it is seen as a whole, or not."""


class World(Protocol):
    """What there is."""

    def reads(self, project: str, pipeline: str) -> Iterable[RepoName] | None:
        """The repos that a pipeline reads in any of its versions, but its own ticks; None when
        there is none of that name."""
        ...

    def names(self) -> Iterable[RepoName]:
        """All repos and pipelines."""
        ...


class Sight:
    """What of ``world`` the holder of ``repos`` may see. Made for one call."""

    def __init__(self, repos: frozenset[RepoName], world: World) -> None:
        self._repos = repos
        self._world = world
        self._pipelines: dict[RepoName, bool] = {}

    def sees(self, thing: Thing) -> bool:
        """Whether ``thing`` is theirs."""
        if thing.kind == "repo":
            name = (thing.project, thing.name)
            # repos of other types hold what a pipeline says of itself
            return name in self._repos and (thing.type == USER or self._pipeline(*name))
        if thing.kind == "project":
            return any(project == thing.name for project, _ in self._repos)
        return thing.kind == "pipeline" and self._pipeline(thing.project, thing.name)

    def _pipeline(self, project: str, name: str) -> bool:
        key = (project, name)
        if key not in self._pipelines:
            reads = self._world.reads(project, name) if key in self._repos else None
            self._pipelines[key] = reads is not None and all(r in self._repos for r in reads)
        return self._pipelines[key]

    # ---- answers

    def of(self, message: Any) -> Any:
        """``message`` as they may see it: a copy without what is not theirs; None when it is about
        that. What is no message passes."""
        if message is None or not hasattr(message, "DESCRIPTOR"):
            return message
        shown = type(message)()
        shown.CopyFrom(message)
        special = _SPECIAL.get(message.DESCRIPTOR.full_name)
        if special is not None:
            return special(self, shown)
        return shown if self._sift(shown) else None

    def _sift(self, message: Any) -> bool:
        """Take out of lists what is not theirs; False when the message itself is about that."""
        kind = message.DESCRIPTOR.full_name
        if (read := NAMES.get(kind)) is not None:
            return all(map(self.sees, read(message)))
        for field, value in message.ListFields():
            if field.message_type is None:
                if field.name in _TEXTS and not field.is_repeated:
                    setattr(message, field.name, self.text(value))
                continue
            if field.message_type.GetOptions().map_entry:
                continue  # of users' texts alone
            if not field.is_repeated:
                if not self._sift(value):
                    return False
                continue
            seen = [one for one in value if self._sift(one)]
            if len(seen) < len(value):
                if kind == _WHOLE:
                    return False
                kept = [type(one).FromString(one.SerializeToString()) for one in seen]
                del value[:]
                value.extend(kept)
        return True

    def text(self, text: str) -> str:
        """``text``, or nothing when it names what is not theirs."""
        return "" if self._betrays(text) else text

    def error(self, error: PachyboxError, said: str | None = None) -> PachyboxError:
        """``error``, or one of its kind that names nothing.

        ``said`` is all that the caller sent: what it names itself is no news, and must not be told
        from names that exist. None: that is not known; then kinds of errors that speak of the
        request alone pass, and others never do.
        """
        if isinstance(error, _OWN) or (said is None and isinstance(error, _OF_REQUESTS)):
            return error
        if said is not None and not self._betrays(str(error), said):
            return error
        return type(error)("the request touches something that this token may not see")

    def _betrays(self, text: str, said: str = "") -> bool:
        known = {name for _, name in self._repos}
        words = set(_WORD.findall(text)) - known
        words.difference_update(_WORD.findall(said))
        return bool(words) and any(name in words for _, name in self._world.names())


# ---- messages that name things in texts


def _split(text: str) -> tuple[str, str]:
    project, _, name = text.rpartition("/")
    return project or DEFAULT_PROJECT, name.partition("@")[0]


def _repo_seen(sight: Sight, text: str) -> bool:
    project, name = _split(text)
    name, _, kind = name.partition(".")
    return sight.sees(Thing("repo", project, name, kind or USER))


def _pipeline_seen(sight: Sight, text: str) -> bool:
    return sight.sees(Thing("pipeline", *_split(text)))


def _keep(values: Any, wanted: Callable[[Any], bool]) -> None:
    kept = [one for one in values if wanted(one)]
    del values[:]
    values.extend(kept)


def _event(sight: Sight, event: Any) -> Any:
    if event.kind == "reset":
        return event
    facts = event.data.fields
    project = facts["project"].string_value if "project" in facts else DEFAULT_PROJECT
    kind = "pipeline" if "pipeline" in facts else "repo"
    if kind not in facts:
        return None
    type_ = facts["type"].string_value if kind == "repo" and "type" in facts else USER
    if not sight.sees(Thing(kind, project, facts[kind].string_value, type_ or USER)):
        return None
    for key in [key for key in facts if key not in _TOLD]:
        del facts[key]
    return event


_SUMMARY = frozenset(
    {"time", "version", "event_seq", "read_only", "pipelines", "repos", "jobs", "ingests"}
    | {"attention"}
)
"""What of a summary is not of the machine or of the box as a whole."""


def _summary(sight: Sight, summary: Any) -> Any:
    _keep(summary.pipelines, lambda one: _pipeline_seen(sight, one.name))
    _keep(summary.repos, lambda one: _repo_seen(sight, one.name))
    _keep(summary.jobs, lambda one: _pipeline_seen(sight, one.pipeline))
    _keep(summary.ingests, lambda one: _ingest(sight, one) is not None)
    sources = {(one.ingest.project or DEFAULT_PROJECT, one.ingest.name) for one in summary.ingests}
    _keep(summary.attention, lambda one: _attention_seen(sight, one, sources))
    for name in {field.name for field in summary.DESCRIPTOR.fields} - _SUMMARY:
        summary.ClearField(name)
    return summary


def _attention_seen(sight: Sight, one: Any, sources: set[RepoName]) -> bool:
    """Trouble of what is theirs, told in words that name nothing else."""
    if one.kind == "ingest":
        seen = _split(one.ref) in sources
    else:
        seen = one.kind in ("job", "pipeline") and _pipeline_seen(sight, one.ref)
    return seen and bool(sight.text(f"{one.text} {one.remedy}"))


def _ingest(sight: Sight, info: Any) -> Any:
    """A source is seen by what it brings data to; how it gets it is not told."""
    if not _repo_seen(sight, info.to):
        return None
    if info.HasField("pipeline") and not sight._sift(info.pipeline):
        return None
    info.reason, info.error = sight.text(info.reason), sight.text(info.error)
    info.ClearField("spec_json")
    info.ClearField("offset_json")
    return info


def _job_page(sight: Sight, page: Any) -> Any:
    _keep(page.jobs, lambda one: _pipeline_seen(sight, one.pipeline))
    return page


def _users(sight: Sight, users: Any) -> Any:
    _keep(users.pipelines, lambda one: _pipeline_seen(sight, one))
    return users


def _only(*names: str) -> Callable[[Sight, Any], Any]:
    def shown(sight: Sight, message: Any) -> Any:
        for field in message.DESCRIPTOR.fields:
            if field.name not in names:
                message.ClearField(field.name)
        return message

    return shown


def _set(field: str) -> Callable[[Sight, Any], Any]:
    """A set of which nothing is seen is not seen."""

    def shown(sight: Sight, message: Any) -> Any:
        return message if sight._sift(message) and getattr(message, field) else None

    return shown


def _project(sight: Sight, info: Any) -> Any:
    if not sight._sift(info):
        return None
    return _only("project", "description", "created_at")(sight, info)


_SPECIAL: Mapping[str, Callable[[Sight, Any], Any]] = {
    "pachybox.v1.Event": _event,
    "pachybox.v1.Summary": _summary,
    "pachybox.v1.IngestInfo": _ingest,
    "pachybox.v1.JobPage": _job_page,
    "pachybox.v1.ListRepoUsersResponse": _users,
    "pachybox.v1.StatusResponse": _only("version", "started", "address", "grpc_address"),
    "admin_v2.ClusterInfo": _only("id", "deployment_id", "warnings_ok", "proxy_host"),
    "pfs_v2.CommitSetInfo": _set("commits"),
    "pps_v2.JobSetInfo": _set("jobs"),
    "pfs_v2.ProjectInfo": _project,
}


def hidden() -> Denied:
    """The answer is about what the caller may not see."""
    return Denied("the answer is about something that this token may not see")
