"""The policy over the whole API: every field of requests and answers that can name something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pachybox.api.access.needs import METHODS, S3, TEXTS, Need, Scope
from pachybox.api.access.policy import Policy
from pachybox.api.access.principal import (
    NOBODY,
    OWNER,
    Grant,
    Principal,
    RepoName,
    Role,
)
from pachybox.api.access.sight import _SPECIAL, Sight
from pachybox.api.access.things import NAMES, Thing
from pachybox.api.s3 import absent
from pachybox.api.s3.door import _OPERATIONS
from pachybox.api.table import Call, Method, Table
from pachybox.errors import Denied, Unauthenticated

MINE = frozenset({("default", "mine"), ("default", "copy")})
HIDDEN = "hidden"


class World:
    """``copy`` reads ``mine``; ``hidden`` is a repo and a pipeline."""

    def reads(self, project: str, pipeline: str) -> Iterable[RepoName] | None:
        known = {"copy": [("default", "mine")], HIDDEN: [("default", HIDDEN)], "mine": None}
        return known.get(pipeline)

    def names(self) -> Iterable[RepoName]:
        return [("default", name) for name in ("mine", "copy", HIDDEN)]


class Handled(Exception):
    """The handler was reached."""


def _reached(request: Any, call: Call) -> Any:
    for _ in request if hasattr(request, "__next__") else ():
        pass
    raise Handled


TABLE = Table({m.full_name: _reached for m in Table()}, Policy(World()))
METHODS_SEEN = [m for m in TABLE if m.need.scope is not Scope.BOX]


def bound(role: Role = Role.ADMIN) -> Principal:
    return Principal("bound", role, MINE)


def attempt(method: Method, request: Any, caller: Principal) -> bool:
    """Whether the handler is reached."""
    given_ = iter([request]) if method.kind.client_streams else request
    call = Call(method.full_name, principal=caller)
    with pytest.raises((Denied, Handled, Unauthenticated)) as caught:
        list(method.invoke(given_, call))
    return caught.type is Handled


Path = tuple[str, ...]


def paths(descriptor: Any, seen: tuple[str, ...] = ()) -> Iterator[Path]:
    """The ways, field by field, to messages that are names; through itself each type once."""
    if descriptor.full_name in NAMES:
        yield ()
        return
    if seen.count(descriptor.full_name) > 1:
        return
    for field in descriptor.fields:
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for path in paths(field.message_type, (*seen, descriptor.full_name)):
            yield (field.name, *path)


def put(message: Any, path: Path, name: str) -> None:
    """Set the name at the end of ``path``."""
    for step in path:
        field = message.DESCRIPTOR.fields_by_name[step]
        value = getattr(message, step)
        message = value.add() if field.is_repeated else value
    message.SetInParent()
    kind = message.DESCRIPTOR.full_name
    if kind == "pps_v2.Job":
        message.id = "0" * 32
        message.pipeline.name = name
    elif kind in ("pps_v2.PfsInput", "pps_v2.CronInput"):
        message.repo = name
    else:
        message.name = name


def theirs(message: Any, path: Path, method: Method) -> str:
    """A name of the kind at the end of ``path`` that a bound caller may use."""
    for step in path:
        value = getattr(message, step)
        field = message.DESCRIPTOR.fields_by_name[step]
        message = value.add() if field.is_repeated else value
    kind = message.DESCRIPTOR.full_name
    if kind == "pfs_v2.Project":
        return "default"
    return "copy"


@pytest.mark.parametrize("method", METHODS_SEEN, ids=lambda m: m.full_name)
def test_no_field_of_a_request_names_what_is_hidden(method: Method) -> None:
    ways = list(paths(method.descriptor.input_type))
    for way in ways:
        request = method.request_class()
        put(request, way, HIDDEN)
        assert not attempt(method, request, bound()), way
        for other in ways:  # and beside something that is theirs
            beside = method.request_class()
            put(beside, other, theirs(method.request_class(), other, method))
            put(beside, way, HIDDEN)
            if other[: len(way)] != way[: len(other)] or other != way:
                assert not attempt(method, beside, bound()), (other, way)
    if method.need.scope is Scope.NAMED:
        assert not attempt(method, method.request_class(), bound())  # which names nothing


@pytest.mark.parametrize("method", METHODS_SEEN, ids=lambda m: m.full_name)
def test_no_field_of_an_answer_names_what_is_hidden(method: Method) -> None:
    for way in paths(method.descriptor.output_type):
        answer = method.response_class()
        put(answer, way, HIDDEN)
        before = answer.SerializeToString()
        shown = Sight(MINE, World()).of(answer)
        assert shown is None or HIDDEN.encode() not in shown.SerializeToString(), way
        assert answer.SerializeToString() == before  # it may be another caller's too


SUSPECT = {"repo", "repos", "pipeline", "pipelines", "commit", "commits", "to_repos", "job"}
SUSPECT |= {"to_pipelines", "project", "projects", "ingest", "input", "inputs", "spec", "text"}
KNOWN = {
    # of pipelines whose inputs are all theirs
    *("pachybox.v1.DatumRow.input", "pachybox.v1.DatumRow.inputs", "pachybox.v1.LogEntry.text"),
    *("pachybox.v1.LogEntry.job", "pps_v2.PipelineInfoDetails.spec"),
    # of kinds that have a rule of their own
    *("pachybox.v1.JobSummary.pipeline", "pachybox.v1.PipelineSummary.inputs"),
    *("pachybox.v1.StatusResponse.repos", "pachybox.v1.StatusResponse.pipelines"),
    "pachybox.v1.Attention.text", "pachybox.v1.ListRepoUsersResponse.pipelines",
}  # fmt: skip


def test_texts_that_name_things_have_a_rule() -> None:
    found = set()
    for method in METHODS_SEEN:
        if method.full_name not in TEXTS:
            found |= set(_texts(method.descriptor.input_type, set()))
        if method.descriptor.output_type.full_name not in _SPECIAL:
            found |= set(_texts(method.descriptor.output_type, set()))
    for kind in _SPECIAL:
        assert kind in {m.descriptor.output_type.full_name for m in METHODS_SEEN}, kind
    assert {text for text in found if text.startswith("pachybox")} - KNOWN == set()


def _texts(descriptor: Any, seen: set[str]) -> Iterator[str]:
    if descriptor.full_name in seen or descriptor.full_name in NAMES:
        return
    seen.add(descriptor.full_name)
    for field in descriptor.fields:
        if field.message_type is not None:
            yield from _texts(field.message_type, seen)
        elif field.name in SUSPECT and field.cpp_type == field.CPPTYPE_STRING:
            yield f"{descriptor.full_name}.{field.name}"


# ---- roles


@pytest.mark.parametrize("role", list(Role))
def test_each_role_may_what_those_before_it_may(role: Role) -> None:
    for method in TABLE:
        if method.full_name not in TEXTS:  # of which an empty request is none
            reached = attempt(method, method.request_class(), Principal("who", role))
            assert reached == (role >= method.need.role), method.full_name


def test_what_is_in_no_table_wants_an_administrator() -> None:
    for method in TABLE:
        if method.full_name not in METHODS:
            assert method.need == Need(Role.ADMIN)
            for caller in (Principal("w", Role.WRITER), bound(), NOBODY):
                assert not attempt(method, method.request_class(), caller)
    assert _OPERATIONS.keys() - S3.keys() == set(absent.NAMES) - S3.keys()


def test_nobody_may_nothing_and_what_is_over_is_over() -> None:
    ended = Principal("ended", Role.ADMIN, grant=Grant(over=True))
    late = Principal("late", Role.ADMIN, grant=Grant(expires=1.0))
    for caller in (NOBODY, ended, late):
        for method in TABLE:
            if method.full_name in TEXTS:
                continue
            # of plain ones the door has judged the caller at this moment
            if caller is NOBODY or not method.plain:
                assert not attempt(method, method.request_class(), caller), method.full_name
    everything = TABLE.find("pfs_v2.API/DeleteAll")
    assert attempt(everything, everything.request_class(), OWNER)


def test_without_a_world_a_bound_caller_may_nothing() -> None:
    blind = Table({m.full_name: _reached for m in Table()})
    for method in blind:
        if method.full_name in TEXTS:
            continue
        assert not attempt(method, method.request_class(), bound()), method.full_name


# ---- sight


def test_a_repo_of_another_project_is_another() -> None:
    sight = Sight(MINE, World())
    assert sight.sees(Thing("repo", "default", "mine"))
    assert not sight.sees(Thing("repo", "other", "mine"))
    assert not sight.sees(Thing("project", "other", "other"))
    assert not sight.sees(Thing("repo", "default", "mine", "spec"))  # of no pipeline
    assert sight.sees(Thing("repo", "default", "copy", "meta"))


NAME = st.sampled_from(["a", "b", "c", "d"])


@given(
    st.frozensets(st.tuples(st.just("default"), NAME)),
    st.frozensets(st.tuples(st.just("default"), NAME)),
    st.dictionaries(NAME, st.lists(st.tuples(st.just("default"), NAME), max_size=3)),
)
def test_more_repos_never_show_less(
    some: frozenset[RepoName], more: frozenset[RepoName], reads: dict[str, list[RepoName]]
) -> None:
    class Drawn(World):
        def reads(self, project: str, pipeline: str) -> Iterable[RepoName] | None:
            return reads.get(pipeline)

    few, many = Sight(some, Drawn()), Sight(some | more, Drawn())
    for name in "abcd":
        for thing in (
            Thing("repo", "default", name),
            Thing("repo", "default", name, "spec"),
            Thing("pipeline", "default", name),
            Thing("project", "default", "default"),
        ):
            assert not few.sees(thing) or many.sees(thing)
        pipeline = few.sees(Thing("pipeline", "default", name))
        assert pipeline == (
            ("default", name) in some and name in reads and set(reads[name]) <= some
        )
        assert not few.sees(Thing("ingest", "default", name))
