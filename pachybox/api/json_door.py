"""The JSON door: ``POST /api/<package.Service>/<Method>``, as grpc-gateway serves Pachyderm's API.

    request bytes -> parser -> handler of the table -> printer -> response bytes

One request message is one JSON object, a stream of requests objects one after the other. One
response is one object; a stream is lines ``{"result": ...}`` and, after an error, a last
line ``{"error": ...}``: also the whole answer, with the error's status, when nothing came before.

grpc-gateway prints fields that are not set and overlooks unknown ones. A client that wants neither
says so in the words of RFC 7240: ``Prefer: handling=strict, return=minimal``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pachybox.api.attendant import Attendant
from pachybox.api.deadline import Deadline
from pachybox.api.failures import as_error
from pachybox.api.http import Rejected, Request
from pachybox.api.json_stream import values
from pachybox.api.parser import parse
from pachybox.api.printer import Printer, printer
from pachybox.api.response import JSON, LINES, Lines, Response, error_json
from pachybox.api.table import Call, Method, Table
from pachybox.api.transport import Gone, Limits, TimedOut
from pachybox.errors import InvalidArgument, PachyboxError

# What grpc-gateway passes on of the answer's metadata.
_METADATA = ("Grpc-Metadata-Content-Type", "application/grpc")


class StreamFailed(Exception):
    """A stream ended by ``error`` before its first result."""

    def __init__(self, error: PachyboxError) -> None:
        super().__init__(error.message)
        self.error = error


class JsonDoor:
    """Serves the methods of a table as JSON."""

    def __init__(self, table: Table, attendant: Attendant, limits: Limits) -> None:
        self.table = table
        self._attendant = attendant
        self._limits = limits

    def serve(
        self, method: Method, request: Request, response: Response, call: Call
    ) -> PachyboxError | None:
        """Answer one call. Returns the error that ended a stream which had begun.

        An error before anything was written is raised, for the caller to answer with:
        StreamFailed when it came out of a stream.
        """
        method.require()
        with Deadline(request.headers, call) as deadline:
            return self._serve(method, request, response, call, deadline)

    def _serve(
        self,
        method: Method,
        request: Request,
        response: Response,
        call: Call,
        deadline: Deadline,
    ) -> PachyboxError | None:
        prefer = request.headers.get("prefer", "")
        unknown: list[str] = []
        ignored = None if "handling=strict" in prefer else unknown.append
        if method.kind.client_streams:
            message: Any = self._requests(method, request, ignored)
        else:
            data = request.body.read_all(self._limits.message_bytes, self._limits.body_s)
            message = parse(data, method.request_class, ignored)
        show = printer(method.descriptor.output_type, "return=minimal" not in prefer)
        try:
            result = method.invoke(message, call)
        except PachyboxError:
            deadline.check()
            raise
        if not method.kind.server_streams:
            deadline.check()
            response.send(200, JSON, show(result).encode(), _headers(unknown))
            return None
        results = iter(result)
        try:
            return self._stream(method, _until(deadline, results), show, response, unknown)
        except Gone:
            call.cancel.set()
            raise
        finally:
            if close := getattr(results, "close", None):
                close()

    def _requests(
        self, method: Method, request: Request, ignored: Callable[[str], object] | None
    ) -> Iterator[Any]:
        cls = method.request_class
        for number, text in enumerate(values(request.body, self._limits.message_bytes), 1):
            try:
                yield parse(text, cls, ignored)
            except InvalidArgument as e:
                raise InvalidArgument(f"message {number}: {e.message}", e.hint) from e

    def _stream(
        self,
        method: Method,
        results: Iterator[Any],
        show: Printer,
        response: Response,
        unknown: list[str],
    ) -> PachyboxError | None:
        lines = Lines(response, self._attendant)
        wire = response.wire
        error: PachyboxError | None = None
        try:
            for result in results:
                if not response.started:
                    response.begin(200, LINES, None, _headers(unknown))
                if result is None:
                    lines.flush()
                else:
                    lines.add(f'{{"result":{show(result)}}}\n')
                if wire.gone:
                    raise Gone
        except (Gone, Rejected, TimedOut):
            raise
        except Exception as e:
            error = as_error(e, method.full_name)
            if not response.started:
                raise StreamFailed(error) from e
            lines.add(f'{{"error":{error_json(error)}}}\n')
        if not response.started:
            response.begin(200, LINES, None, _headers(unknown))
        lines.end()
        return error


def _until(deadline: Deadline, results: Iterator[Any]) -> Iterator[Any]:
    """``results`` while there is time; then Overdue, however the handler takes its end."""
    try:
        for result in results:
            deadline.check()
            yield result
    except PachyboxError:
        deadline.check()
        raise
    deadline.check()


def _headers(unknown: list[str]) -> list[tuple[str, str]]:
    """The answer's headers; a warning names the first field of the request that was overlooked."""
    if not unknown:
        return [_METADATA]
    text = unknown[0].replace("\\", "").replace('"', "'")
    plain = "".join(c if " " <= c <= "~" else "?" for c in text[:300])
    return [_METADATA, ("Warning", f'299 pachybox "{plain}"')]
