"""The table of methods every door serves, and how handlers get into it.

The definitions say which methods exist; handlers, registered by full name, say which are
built. A door looks a method up, translates its own wire form into the request message,
calls the handler and translates back. The table knows no transport.

    @handles("pfs_v2.API/InspectRepo")
    def inspect_repo(box: Box, request: Any, call: Call) -> Any: ...

    table = Table(collect(box, pfs_handlers, pps_handlers))
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

from pachybox.api import definitions
from pachybox.api.access.needs import ADMIN, FIELDS, METHODS
from pachybox.api.access.policy import Policy
from pachybox.api.access.principal import NOBODY, Principal, Role
from pachybox.errors import NotFound, Unimplemented

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

F = TypeVar("F", bound=Callable[..., Any])

Handler = Callable[[Any, "Call"], Any]
"""A bound handler: (request message, or an iterator of them) -> message, or an iterator.

A streaming handler may yield None for "nothing yet": the door then writes out what it
holds and checks that the client is still there.
"""


class Kind(Enum):
    """What streams: nothing, the server, the client, or both."""

    UNARY = "U"
    SERVER = "S"
    CLIENT = "C"
    BOTH = "B"

    @property
    def client_streams(self) -> bool:
        """Whether the handler takes an iterator of requests."""
        return self in (Kind.CLIENT, Kind.BOTH)

    @property
    def server_streams(self) -> bool:
        """Whether the handler returns an iterator of responses."""
        return self in (Kind.SERVER, Kind.BOTH)


class Cancel(threading.Event):
    """Set when the client has gone away; runs the call-backs given, once, on setting."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: list[Callable[[], object]] = []

    def set(self) -> None:
        """Mark as cancelled. Callable from any thread, more than once."""
        super().set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def on_set(self, callback: Callable[[], object]) -> None:
        """Run ``callback`` when set (at once if it is already); it must be short and not raise.

        For handlers that wait on a condition of their own: the call-back notifies it.
        """
        self._callbacks.append(callback)
        if self.is_set():
            self.set()


@dataclass(slots=True)
class Call:
    """What a handler may know of the call besides its message.

    ``cancel`` is set when the client goes away. ``principal`` is what ``authenticate``
    said of the caller, ``transaction`` the id in ``pach-transaction`` or "", ``metadata``
    the headers by lower-case name, ``local`` whether the caller came by the unix socket, ``door``
    the one it came by (grpc, json, files, web, s3), ``peer`` its address, or on the socket its
    user.
    """

    method: str
    cancel: Cancel = field(default_factory=Cancel)
    principal: Principal = NOBODY
    token: str = ""
    transaction: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    local: bool = False
    door: str = ""
    peer: str = ""

    @property
    def command(self) -> str:
        """The command line of the client, when it said so."""
        return self.metadata.get("command", "")


class Method:
    """One row: a method by name, its kind and classes, its handler when it is built, and what it
    wants of its caller."""

    def __init__(
        self, descriptor: MethodDescriptor, handler: Handler | None, policy: Policy
    ) -> None:
        assert descriptor.containing_service is not None
        self.service: str = descriptor.containing_service.full_name
        self.name: str = descriptor.name
        self.full_name = f"{self.service}/{self.name}"
        self.kind = _KINDS[bool(descriptor.client_streaming), bool(descriptor.server_streaming)]
        self.descriptor = descriptor
        self.handler = handler
        self.need = METHODS.get(self.full_name, ADMIN)
        self.plain = (
            self.kind is Kind.UNARY
            and self.need.role is Role.READER
            and self.full_name not in FIELDS
        )
        """Whether it is one answer to one message, for whoever may read the whole box."""
        self._policy = policy

    @cached_property
    def request_class(self) -> Any:
        """The class of the request message."""
        return definitions.message_class(self.descriptor.input_type)

    @cached_property
    def response_class(self) -> Any:
        """The class of the response message."""
        return definitions.message_class(self.descriptor.output_type)

    def invoke(self, request: Any, call: Call) -> Any:
        """Call the handler, if the caller may. Raises Denied, and Unimplemented by name when there
        is none."""
        if self.handler is None:
            raise self._unimplemented()
        return self._policy.run(self, request, call)

    def require(self) -> None:
        """Raise Unimplemented when the method is not built."""
        if self.handler is None:
            raise self._unimplemented()

    def _unimplemented(self) -> Unimplemented:
        if self.service == "auth_v2.API":
            # Pachyderm's clients match this text to learn that auth is off.
            return Unimplemented("the auth service is not activated")
        return Unimplemented(f"{self.full_name} is not built in this version of pachybox")


_KINDS = {
    (False, False): Kind.UNARY,
    (False, True): Kind.SERVER,
    (True, False): Kind.CLIENT,
    (True, True): Kind.BOTH,
}


class Table:
    """All methods by full name (``package.Service/Method``), each under one policy."""

    def __init__(
        self, handlers: Mapping[str, Handler] | None = None, policy: Policy | None = None
    ) -> None:
        """Raises ValueError naming a handler whose method does not exist."""
        rest = dict(handlers or {})
        policy = policy or Policy()
        self._methods: dict[str, Method] = {}
        for service in definitions.service_names():
            for descriptor in definitions.service(service).methods:
                name = f"{service}/{descriptor.name}"
                self._methods[name] = Method(descriptor, rest.pop(name, None), policy)
        if rest:
            raise ValueError(f"handlers of no known method: {', '.join(sorted(rest))}")

    def find(self, full_name: str) -> Method:
        """The method's row. Raises NotFound with the nearest name when there is none."""
        method = self._methods.get(full_name)
        if method is None:
            import difflib

            near = difflib.get_close_matches(full_name, self._methods, 1)
            raise NotFound(
                f"method {full_name} not found",
                f"did you mean {near[0]}" if near else "see /docs for the methods there are",
            )
        return method

    def __iter__(self) -> Iterator[Method]:
        return iter(self._methods.values())


def handles(full_name: str) -> Callable[[F], F]:
    """Mark a function ``(box, request, call)`` as the handler of a method."""

    def mark(function: F) -> F:
        names = (*getattr(function, "__handles__", ()), full_name)
        function.__handles__ = names  # type: ignore[attr-defined]
        return function

    return mark


def collect(box: object, *sources: object) -> dict[str, Handler]:
    """The marked functions of modules, or marked methods of objects, by method name.

    A module's functions get ``box`` as their first argument; an object's methods are
    bound already. Raises ValueError when two handle the same method.
    """
    found: dict[str, Handler] = {}
    for source in sources:
        for function in _marked(source):
            bound = function if hasattr(function, "__self__") else partial(function, box)
            for name in function.__handles__:
                if name in found:
                    raise ValueError(f"two handlers of {name}")
                found[name] = bound
    return found


def _marked(source: object) -> Iterable[Any]:
    names = vars(source) if isinstance(source, type(threading)) else dir(source)
    for name in sorted(names):
        thing = getattr(source, name, None)
        if callable(thing) and hasattr(thing, "__handles__"):
            yield thing
