"""The JSON door: ``POST /api/<package.Service>/<Method>``.

    request bytes -> parser -> handler of the table -> printer -> response bytes

One request message is one JSON object, a stream of requests one object a line. One
response is one object; a stream is lines ``{"result": ...}`` and, after an error, a last
line ``{"error": ...}``. An error before the first result is a plain error answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pachybox.api.failures import as_error
from pachybox.api.http import Body, Request
from pachybox.api.parser import parse
from pachybox.api.printer import Printer, printer
from pachybox.api.response import JSON, LINES, Lines, Response, error_json
from pachybox.api.table import Call, Method, Table
from pachybox.api.transport import Attendant, Gone, Limits
from pachybox.errors import InvalidArgument, PachyboxError


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

        An error before anything was written is raised, for the caller to answer with.
        """
        method.require()
        if method.kind.client_streams:
            message: Any = self._requests(method, request.body)
        else:
            data = request.body.read_all(self._limits.message_bytes, self._limits.body_s)
            message = parse(data, method.request_class)
        result = method.invoke(message, call)
        show = printer(method.descriptor.output_type)
        if not method.kind.server_streams:
            response.send(200, JSON, show(result).encode())
            return None
        results = iter(result)
        try:
            return self._stream(method, results, show, response)
        except Gone:
            call.cancel.set()
            raise
        finally:
            if close := getattr(results, "close", None):
                close()

    def _requests(self, method: Method, body: Body) -> Iterator[Any]:
        cls = method.request_class
        for number, line in enumerate(body.lines(self._limits.message_bytes), 1):
            try:
                yield parse(line, cls)
            except InvalidArgument as e:
                raise InvalidArgument(f"line {number}: {e.message}", e.hint) from e

    def _stream(
        self, method: Method, results: Iterator[Any], show: Printer, response: Response
    ) -> PachyboxError | None:
        lines = Lines(response, self._attendant)
        wire = response.wire
        error: PachyboxError | None = None
        try:
            for result in results:
                if not response.started:
                    response.begin(200, LINES)
                if result is None:
                    lines.flush()
                else:
                    lines.add(f'{{"result":{show(result)}}}\n')
                if wire.gone:
                    raise Gone
        except Gone:
            raise
        except Exception as e:
            if not response.started:
                raise
            error = as_error(e, method.full_name)
            lines.add(f'{{"error":{error_json(error)}}}\n')
        if not response.started:
            response.begin(200, LINES)
        lines.end()
        return error
