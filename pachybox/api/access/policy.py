"""Whether a caller may: the one place that decides, under every door.

    allow   a method's request, or each message of a stream, is judged by the table of needs
    handle  the handler runs; a caller bound to repos gets of its answer what is theirs
    audit   what changed something, and what was refused, is noted

Doors without methods (files, pages, S3, archives) ask ``require`` of what they are about to touch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pachybox.api import wire
from pachybox.api.access import things as walk
from pachybox.api.access.needs import ADMIN, BATCHED, FIELDS, METHODS, TEXTS, Need, Scope, noted
from pachybox.api.access.principal import Principal, Role
from pachybox.api.access.sight import Sight, World, hidden
from pachybox.api.access.things import Thing
from pachybox.errors import Denied, PachyboxError
from pachybox.model.ids import Repo

if TYPE_CHECKING:
    from pachybox.api.table import Call, Method

Note = Callable[["Call", Sequence[Thing], str], None]
"""Takes down a call: what it touched, and "ok" or the code of the error that ended it."""


def _unnoted(call: Call, things: Sequence[Thing], code: str) -> None:
    """Where nothing is kept."""


class Policy:
    """Applies the table of needs. ``world`` is what there is: without it a caller bound to repos
    may do nothing. ``note`` takes down changes and refusals."""

    def __init__(self, world: World | None = None, note: Note = _unnoted) -> None:
        self._world = world
        self.note = note

    def require(self, call: Call, role: Role, *repos: Repo, somewhere: bool = False) -> None:
        """Refuse a caller that has not ``role`` on all of ``repos``; on none: on the whole box, or
        (``somewhere``) on anything. Raises Denied, which is noted, and Unauthenticated when what
        was granted is over."""
        caller = call.principal
        caller.require_live()
        if caller.repos is None and caller.role >= role:
            return
        things = [Thing("repo", repo.project, repo.name, repo.type) for repo in repos]
        scope = Scope.SEEN if somewhere else Scope.NAMED if repos else Scope.BOX
        try:
            self._judge(caller, Need(role, scope), things)
        except Denied as e:
            self.note(call, things, e.code)
            raise

    @contextmanager
    def under(self, call: Call, role: Role, *repos: Repo) -> Iterator[None]:
        """As ``require``; then what is done under it is noted when it changes something, and errors
        tell nothing of what the caller may not see."""
        self.require(call, role, *repos)
        sight = self.sight(call.principal)
        code = "failed"
        try:
            yield
            code = "ok"
        except PachyboxError as e:
            code = e.code
            raise (e if sight is None else sight.error(e)) from e.__cause__
        finally:
            if role is not Role.READER:
                self.changed(call, *repos, code=code)

    def shown(self, call: Call, message: Any) -> Any:
        """``message`` as the caller may see it. Raises Denied when it is about something else."""
        sight = self.sight(call.principal)
        shown = message if sight is None else sight.of(message)
        if shown is None:
            raise hidden()
        return shown

    def changed(self, call: Call, *repos: Repo, code: str = "ok") -> None:
        """Note what a door without methods has changed, or failed to."""
        things = [Thing("repo", repo.project, repo.name, repo.type) for repo in repos]
        self.note(call, things, code)

    def sight(self, principal: Principal) -> Sight | None:
        """What a caller bound to repos sees; None when it sees everything. Raises Denied."""
        if principal.repos is None:
            return None
        if self._world is None:
            raise _denied(principal, ADMIN)
        return Sight(principal.repos, self._world)

    # ---- methods

    def run(self, method: Method, request: Any, call: Call) -> Any:
        """Have ``method`` handle a request (an iterator of them), if the caller may. Raises Denied,
        and what the handler raises."""
        if method.plain and call.principal.repos is None:
            # perf: every role may read, nothing of it is noted, and nothing taken out (2 µs)
            assert method.handler is not None
            return method.handler(request, call)
        return _Run(self, method, call).run(request)

    def _judge(self, caller: Principal, need: Need, things: Sequence[Thing]) -> None:
        """Raise Denied unless ``caller`` has what is needed for ``things``."""
        if caller.role < need.role:
            raise _denied(caller, need, things)
        sight = self.sight(caller)
        if sight is None:
            return
        named = any(thing.kind != "project" for thing in things)
        if need.scope is Scope.BOX or (need.scope is Scope.NAMED and not named):
            raise _denied(caller, need)
        for thing in things:
            if not sight.sees(thing):
                raise _denied(caller, need, [thing])

    def check(self, name: str, caller: Principal, need: Need, request: Any) -> None:
        """Judge one request of method ``name``. Raises Denied."""
        self._check(name, caller, need, request, _things(name, request))

    def _check(
        self, name: str, caller: Principal, need: Need, request: Any, things: Sequence[Thing]
    ) -> None:
        self._judge(caller, need, things)
        if not caller.is_admin:
            for more in FIELDS.get(name, _nothing)(request):
                self._judge(caller, more, things)
            if name == "transaction_v2.API/BatchTransaction":
                self._check_batch(caller, request)

    def _check_batch(self, caller: Principal, batch: Any) -> None:
        """Each request of a batch is judged as if it came alone."""
        for wrapped in batch.requests:
            for field, request in wrapped.ListFields():
                name = BATCHED.get(field.name, "")
                self.check(name, caller, METHODS.get(name, ADMIN), request)


class _Run:
    """One call of a method."""

    def __init__(self, policy: Policy, method: Method, call: Call) -> None:
        self._policy = policy
        self._method = method
        self._call = call
        self._caller = caller = call.principal
        self._need = method.need
        self._noted = self._need.role is not Role.READER
        self._things: list[Thing] = []
        self._first = True
        self._said: str | None = None  # the request as text, of callers bound to repos
        self._sight = policy.sight(caller) if caller.repos is not None else None

    def run(self, request: Any) -> Any:
        """The handler's answer, as the caller may see it."""
        method, call, caller = self._method, self._call, self._caller
        assert method.handler is not None
        try:
            if call.transaction and caller.repos is not None:
                raise _denied(caller, ADMIN)
            if method.kind.client_streams:
                # before its first message, so that nobody is kept waiting for an answer that is no
                self._policy._judge(caller, Need(self._need.role, _open(self._need)), ())
                result = method.handler(_Requests(request, self._look), call)
            else:
                self._said = str(request) if self._sight is not None else None
                self._look(request)
                result = method.handler(request, call)
            if not method.kind.server_streams:
                result = self._shown(result)
        except BaseException as e:
            raise self._ended(e) from e.__cause__
        if method.kind.server_streams:
            return self._stream(result)
        self._note("ok")
        return result

    def _look(self, request: Any) -> None:
        """Judge one message. Of a stream those behind the first may name nothing."""
        self._caller.require_live()
        first, self._first = self._first, False
        if self._caller.is_admin and not (first and self._noted):
            return
        name, need = self._method.full_name, self._need
        if not first and need.scope is Scope.NAMED:
            need = Need(need.role, Scope.SEEN)
        things = _things(name, request)
        if len(self._things) < _MOST_THINGS:
            self._things += things
        self._policy._check(name, self._caller, need, request, things)
        self._things += noted(name, request)  # behind that: a secret is read for its name

    def _shown(self, result: Any) -> Any:
        if self._sight is None:
            return result
        shown = self._sight.of(result)
        if shown is None and result is not None:
            raise hidden()
        return shown

    def _stream(self, results: Any) -> Iterator[Any]:
        """What is streamed, as the caller may see it, for as long as it may."""
        sight, caller, code = self._sight, self._caller, "ok"
        iterator = iter(results)
        try:
            for result in iterator:
                caller.require_live()
                if sight is None or result is None:
                    yield result
                elif (shown := sight.of(result)) is not None:
                    yield shown
        except GeneratorExit:
            code = "cancelled"
            raise
        except BaseException as e:
            code = ""
            raise self._ended(e) from e.__cause__
        finally:
            if close := getattr(iterator, "close", None):
                close()
            if code:
                self._note(code)

    def _ended(self, error: BaseException) -> BaseException:
        """Note the error, and say it so that it tells of nothing that is not the caller's."""
        if not isinstance(error, PachyboxError):
            self._note("internal")
            return error
        self._note(error.code)
        return error if self._sight is None else self._sight.error(error, self._said)

    def _note(self, code: str) -> None:
        if self._noted or code == Denied.code:
            self._policy.note(self._call, self._things, code)


_MOST_THINGS = 100  # of one call that are noted


class _Requests:
    """The requests of a stream, each judged before the handler has it. Holds on to none."""

    def __init__(self, requests: Iterator[Any], look: Callable[[Any], None]) -> None:
        self._requests = requests
        self._look = look

    def __iter__(self) -> _Requests:
        return self

    def __next__(self) -> Any:
        request = next(self._requests)
        if request is not None:
            self._look(request)
        return request


def _open(need: Need) -> Scope:
    """The scope of a call of which nothing is known yet."""
    return Scope.BOX if need.scope is Scope.BOX else Scope.SEEN


def _nothing(request: Any) -> Iterator[Need]:
    return iter(())


def _things(name: str, request: Any) -> list[Thing]:
    """What a request is about. Raises InvalidArgument for a text that names nothing."""
    message = request.message if isinstance(request, wire.Request) else request
    found = list(dict.fromkeys(walk.named(message)))
    if name in TEXTS:
        found += TEXTS[name](request)
    return found


def _denied(caller: Principal, need: Need, things: Sequence[Thing] = ()) -> Denied:
    """The refusal, in the words that Pachyderm's clients know."""
    on = ", ".join(map(str, things)) if things else "the whole box"
    return Denied(
        f"{caller.name} is not authorized to perform this operation - needs the role {need.role} "
        f"on {on}",
        "use a token that has it: pachybox create token",
    )
