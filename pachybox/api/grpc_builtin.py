"""Health and reflection: what every gRPC server has beside its own services.

Both are gRPC's own packages. They are imported when somebody asks, since few clients do. Whether a
server is healthy may be asked by those who know no token; what it offers, by those who do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc

from pachybox.api.access.callers import Authenticate
from pachybox.api.grpc_calls import metadata_of, refuse
from pachybox.errors import PachyboxError

HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


class Builtin:
    """Answers for ``services``, the full names of those that are built. For the loop only."""

    def __init__(self, services: Sequence[str], authenticate: Authenticate) -> None:
        self._services = tuple(services)
        self._authenticate = authenticate
        self._health: Any = None

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

        async def check(request: Any, context: Any) -> Any:
            return await (await self._servicer()).Check(request, context)

        return grpc.unary_unary_rpc_method_handler(
            check,
            health_pb2.HealthCheckRequest.FromString,
            health_pb2.HealthCheckResponse.SerializeToString,
        )

    def _watch(self) -> Any:
        from grpc_health.v1 import health_pb2

        async def watch(request: Any, context: Any) -> None:
            await (await self._servicer()).Watch(request, context)

        return grpc.unary_stream_rpc_method_handler(
            watch,
            health_pb2.HealthCheckRequest.FromString,
            health_pb2.HealthCheckResponse.SerializeToString,
        )

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
