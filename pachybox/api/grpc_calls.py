"""One call over gRPC: its message in, the handler on a thread, its messages out.

    loop:    gRPC reads ----> Inbox --+                      +--> Outbox ----> gRPC writes
    thread:                           +--> handler of table -+

Everything here runs on the loop but the functions that say otherwise.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from pachybox.api import wire
from pachybox.api.access.callers import Authenticate
from pachybox.api.access.principal import OVER
from pachybox.api.failures import as_error
from pachybox.api.grpc_queues import Budget, Inbox, Outbox
from pachybox.api.metrics import Metrics
from pachybox.api.table import Call, Cancel, Method
from pachybox.api.threads import Threads
from pachybox.api.transport import Gone
from pachybox.errors import (
    Exhausted,
    InvalidArgument,
    NotReady,
    PachyboxError,
    Unauthenticated,
)

log = logging.getLogger("pachybox.api")

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS_BYTES = 2000  # clients refuse headers beyond 8 KiB, and a byte may take three

Outcome = tuple[bytes | None, BaseException | None]
"""The single response, or what went wrong."""


@dataclass(slots=True, eq=False)
class Running:
    """A call that is not over."""

    method: Method
    call: Call
    began: float
    inbox: Inbox | None = None
    outbox: Outbox | None = None
    working: bool = False
    stopping: bool = False

    def abandon(self, error: BaseException) -> None:
        """Make the handler end as soon as it looks; it meets ``error`` at its next message."""
        self.call.cancel.set()
        if self.inbox is not None:
            self.inbox.end(error)
        if self.outbox is not None:
            self.outbox.fail(error)


@dataclass(slots=True, eq=False)
class Calls:
    """Serves the rows of a table; ``behaviour`` gives what gRPC is to call for one."""

    loop: asyncio.AbstractEventLoop
    threads: Threads
    budget: Budget
    authenticate: Authenticate
    metrics: Metrics
    running: set[Running] = field(default_factory=set)

    def behaviour(self, method: Method) -> Any:
        """gRPC's handler of one method: bytes in, bytes out, no (de)serializer."""
        kind = method.kind

        async def single(request: Any, context: Any) -> bytes:
            return await self._serve(method, request, context) or b""

        async def stream(request: Any, context: Any) -> None:
            await self._serve(method, request, context)

        if kind.server_streams:
            if kind.client_streams:
                return grpc.stream_stream_rpc_method_handler(stream)
            return grpc.unary_stream_rpc_method_handler(stream)
        if kind.client_streams:
            return grpc.stream_unary_rpc_method_handler(single)
        return grpc.unary_unary_rpc_method_handler(single)

    async def _serve(self, method: Method, request: Any, context: Any) -> bytes | None:
        """Answer one call; the response when there is exactly one."""
        began = monotonic()
        code = "ok"
        try:
            running = self._admit(method, context)
            self.running.add(running)
            try:
                return await self._run(running, request, context)
            finally:
                self.running.discard(running)
        except asyncio.CancelledError:
            code = "cancelled"
            raise
        except Gone:
            code = "cancelled"
            await hang_up(context)
        except Exception as e:
            error = as_error(e, method.full_name)
            code = error.code
            await refuse(context, error)
            raise
        finally:
            took = monotonic() - began
            self.metrics.observe(method.full_name, code, took)
            log.debug("request method=%s code=%s seconds=%.4f", method.full_name, code, took)

    def _admit(self, method: Method, context: Any) -> Running:
        metadata = metadata_of(context)
        principal = self.authenticate(metadata, False)
        method.require()
        call = Call(
            method.full_name,
            Cancel(),
            principal,
            metadata.get("authn-token", ""),
            metadata.get("pach-transaction", ""),
            metadata,
            door="grpc",
            peer=context.peer(),
        )
        return Running(method, call, monotonic())

    async def _run(self, running: Running, request: Any, context: Any) -> bytes | None:
        method, loop = running.method, self.loop
        done: asyncio.Future[Outcome] = loop.create_future()
        reading: asyncio.Task[None] | None = None
        if method.kind.client_streams:
            running.inbox = Inbox(loop, self.budget, lambda data: parse(method, data))
        if method.kind.server_streams:
            running.outbox = Outbox(loop)

        def work() -> None:  # on a thread
            running.working = True
            outcome = _work(running, request)
            running.working = False
            try:
                loop.call_soon_threadsafe(_settle, done, outcome)
            except RuntimeError:
                pass  # the loop was closed: nobody waits

        if not self.threads.run(work):
            raise Exhausted("the box serves as many calls as it can", "try again later")
        try:
            if running.inbox is not None:
                # Of calls that stream both ways none takes requests for a whole.
                whole = running.outbox is None
                reading = loop.create_task(running.inbox.fill(context, whole=whole))
            if running.outbox is not None:
                await running.outbox.drain(context)
            result, error = await done
            if running.stopping and (running.outbox is not None or isinstance(error, NotReady)):
                raise _stopping()  # a stream that was cut short must not look like a whole one
            if running.outbox is not None:
                running.call.principal.require_live()  # nor one that was ended
            if error is not None:
                raise error
            return result
        except (asyncio.CancelledError, Exception):
            running.abandon(Gone())
            raise
        finally:
            if reading is not None:
                if running.inbox is not None and running.inbox.telling:
                    await asyncio.wait({reading})
                reading.cancel()

    def end_dead(self) -> None:
        """End the calls of callers that may ask no more; from any thread."""

        def look() -> None:
            for running in list(self.running):
                if not running.call.principal.live:
                    running.abandon(Unauthenticated(OVER))

        try:
            self.loop.call_soon_threadsafe(look)
        except RuntimeError:
            pass  # the loop was closed: all have ended

    def stop(self) -> None:
        """Have every call end as soon as it can."""
        for running in list(self.running):
            running.stopping = True
            running.abandon(_stopping())

    @property
    def busy(self) -> bool:
        """Whether any handler is at work."""
        return any(running.working for running in self.running)


def metadata_of(context: Any) -> dict[str, str]:
    """What a client sent beside its message, by lower-case name."""
    return named(context.invocation_metadata())


def named(metadata: Any) -> dict[str, str]:
    """gRPC's pairs of names and values, by lower-case name."""
    return {
        key.lower(): value if isinstance(value, str) else value.decode("latin-1")
        for key, value in metadata or ()
    }


def _stopping() -> NotReady:
    return NotReady("the box is stopping", "try again when it is up")


def _settle(done: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not done.done():  # else the client is gone
        done.set_result(outcome)


def _work(running: Running, request: Any) -> Outcome:
    """On a thread: the whole of a call."""
    method, call, inbox, outbox = running.method, running.call, running.inbox, running.outbox
    try:
        message = inbox if inbox is not None else parse(method, request)
        result = method.invoke(message, call)
        if outbox is None:
            return b"" if result is None else result.SerializeToString(), None
        _send(iter(result), outbox)
        return None, None
    except BaseException as e:
        return None, e
    finally:
        if inbox is not None:
            inbox.close()
        if outbox is not None:
            outbox.end()


def _send(results: Iterator[Any], outbox: Outbox) -> None:
    try:
        for result in results:
            if result is None:
                outbox.check()
            else:
                outbox.put(result.SerializeToString())
    finally:
        if close := getattr(results, "close", None):
            close()


def parse(method: Method, data: bytes) -> Any:
    """The request message in ``data``. Raises InvalidArgument."""
    try:
        return wire.parse(method.request_class, data)
    except DecodeError as e:
        name = method.descriptor.input_type.full_name
        raise InvalidArgument(
            f"the request is not a message {name}", "check the version of the client"
        ) from e


async def hang_up(context: Any) -> NoReturn:
    """End a call whose client is gone; should it be there in spite of all, it is told."""
    try:
        await context.abort(grpc.StatusCode.CANCELLED, "the connection broke")
    except grpc.aio.AbortError:
        raise
    except Exception:
        pass
    raise asyncio.CancelledError  # which gRPC takes without a word


async def refuse(context: Any, error: PachyboxError) -> None:
    """End a call with an error. Its details are the error's text, which clients match."""
    details = str(error)
    if len(details.encode(errors="replace")) > _DETAILS_BYTES:
        cut = details.encode(errors="replace")[:_DETAILS_BYTES]
        details = cut.decode(errors="ignore") + "..."
    details = details.encode(errors="replace").decode()
    await context.abort(_CODES[error.grpc_code], details)
