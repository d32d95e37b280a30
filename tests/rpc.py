"""A bare gRPC client of the definitions, for tests: any method by its name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import grpc

from pachybox.api.table import Method, Table

_TABLE = Table()
_OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))


class Rpc:
    """One channel; messages are given as keywords, as objects, or as iterables of either."""

    def __init__(self, target: str, *options: tuple[str, object], token: str = "") -> None:
        self.target = target
        self.channel = grpc.insecure_channel(target, options=(*_OPTIONS, *options))
        self.metadata: tuple[tuple[str, str], ...] = (("authn-token", token),) if token else ()

    def close(self) -> None:
        """Hang up."""
        self.channel.close()

    def __call__(self, name: str, request: Any = None, /, **fields: Any) -> Any:
        """Call a method: its response, or a list of all."""
        method = _TABLE.find(name)
        if method.kind.server_streams:
            return list(self.stream(name, request, **fields))
        return self.stub(method)(_request(method, request, fields), metadata=self.metadata)

    def stream(self, name: str, request: Any = None, /, **fields: Any) -> Any:
        """Call a streaming method: the call itself, to iterate or cancel."""
        method = _TABLE.find(name)
        return self.stub(method)(_request(method, request, fields), metadata=self.metadata)

    def future(self, name: str, request: Any = None, /, **fields: Any) -> Any:
        """Begin a call with one response."""
        method = _TABLE.find(name)
        return self.stub(method).future(_request(method, request, fields), metadata=self.metadata)

    def stub(self, method: Method) -> Any:
        """gRPC's own callable of a method."""
        kind = ("stream" if method.kind.client_streams else "unary") + "_"
        kind += "stream" if method.kind.server_streams else "unary"
        return getattr(self.channel, kind)(
            f"/{method.full_name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=method.response_class.FromString,
        )

    def raw(self, path: str, data: bytes = b"", **options: Any) -> bytes:
        """Call whatever is at ``path`` with bytes."""
        found: bytes = self.channel.unary_unary(path)(data, **options)
        return found


def _request(method: Method, request: Any, fields: dict[str, Any]) -> Any:
    made = method.request_class
    if method.kind.client_streams:
        return _messages(made, request if request is not None else [fields])
    return request if request is not None else made(**fields)


def _messages(made: Any, items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        yield made(**item) if isinstance(item, dict) else item


def failure(error: grpc.RpcError) -> tuple[str, str]:
    """The code's name and the details of what a call raised."""
    return error.code().name, error.details()
