"""Health and reflection: what every gRPC server has beside its own services.

Both are gRPC's own packages. They are imported when somebody asks, since few clients do. Whether a
server is healthy may be asked by those who know no token; what it offers, by those who do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
import grpc.aio

from pachybox.api.access.callers import Authenticate
from pachybox.api.grpc_calls import metadata_of, refuse
from pachybox.errors import PachyboxError

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
_AT_ONCE = 4
_ASK_S = 5.0


class Builtin:
    """Answers for ``services``, the full names of those that are built. For the loop only."""

    def __init__(self, services: Sequence[str], authenticate: Authenticate) -> None:
        self._services = tuple(services)
        self._authenticate = authenticate
        self._health: Any = None
        self._reading = asyncio.Semaphore(_AT_ONCE)

    def find(self, path: str) -> Any:
        """gRPC's handler of the method at ``path`` (``/service/method``), or None."""
        makers: dict[str, Callable[[], Any]] = {
            f"/{HEALTH}/Check": self._check,
            f"/{HEALTH}/Watch": self._watch,
            f"/{REFLECTION}/ServerReflectionInfo": self._reflect,
        }
        maker = makers.get(path)
        return maker() if maker is not None else None

    async def stop(self) -> None:
        """Say from now on that nothing is served, and end all watches."""
        if self._health is not None:
            await self._health.enter_graceful_shutdown()

    def _check(self) -> Any:
        from grpc_health.v1 import health_pb2

        async def check(requests: Any, context: Any) -> Any:
            request = await self._asked(context, health_pb2.HealthCheckRequest)
            return await (await self._servicer()).Check(request, context)

        return grpc.stream_unary_rpc_method_handler(
            check,
            health_pb2.HealthCheckRequest.FromString,
            health_pb2.HealthCheckResponse.SerializeToString,
        )

    def _watch(self) -> Any:
        from grpc_health.v1 import health_pb2

        async def watch(requests: Any, context: Any) -> None:
            request = await self._asked(context, health_pb2.HealthCheckRequest)
            await (await self._servicer()).Watch(request, context)

        return grpc.stream_stream_rpc_method_handler(
            watch,
            health_pb2.HealthCheckRequest.FromString,
            health_pb2.HealthCheckResponse.SerializeToString,
        )

    async def _asked(self, context: Any, kind: Any) -> Any:
        """The question of who may be a stranger: few are read at a time, each for a short while,
        since gRPC holds what has come of it."""
        async with self._reading:
            try:
                request = await asyncio.wait_for(context.read(), _ASK_S)
            except TimeoutError:
                await context.abort(
                    grpc.StatusCode.DEADLINE_EXCEEDED, "the request came too slowly"
                )
        return kind() if request is grpc.aio.EOF else request

    async def _servicer(self) -> Any:
        if self._health is None:
            from grpc_health.v1 import health, health_pb2

            self._health = health.aio.HealthServicer()
            for name in (*self._services, HEALTH, REFLECTION):
                await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        return self._health

    def _reflect(self) -> Any:
        import grpc_health.v1.health_pb2  # noqa: F401  # so that it can be described
        from grpc_reflection.v1alpha import reflection, reflection_pb2

        servicer = reflection.aio.ReflectionServicer((*self._services, HEALTH, REFLECTION))

        async def reflect(requests: Any, context: Any) -> AsyncIterator[Any]:
            try:
                self._authenticate(metadata_of(context), False)
            except PachyboxError as e:
                await refuse(context, e)
            async for answer in servicer.ServerReflectionInfo(requests, context):
                yield answer

        return grpc.stream_stream_rpc_method_handler(
            reflect,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
