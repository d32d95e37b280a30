"""The server: listens on the unix socket and loopback TCP, a thread for each connection.

server = Server(table, routes)
server.listen_unix(config.socket)
host, port = server.listen_tcp("127.0.0.1", 30600)
...
server.stop()
"""

from __future__ import annotations

import pachybox
from pachybox.api.access.policy import Policy
from pachybox.api.archive_door import Archives
from pachybox.api.door import ALWAYS_WELL, Access, Checks, Door, Routes
from pachybox.api.http import Request
from pachybox.api.ingest_door import IngestDoor
from pachybox.api.listener import Listener
from pachybox.api.metrics import Gauges, Metrics
from pachybox.api.response import Response
from pachybox.api.s3.door import S3Door
from pachybox.api.table import Table
from pachybox.api.transport import Limits


class Server(Listener):
    """Serves a table and routes until ``stop``."""

    def __init__(
        self,
        table: Table,
        routes: Routes,
        *,
        access: Access | None = None,
        policy: Policy | None = None,
        limits: Limits | None = None,
        gauges: Gauges | None = None,
        metrics: Metrics | None = None,
        archives: Archives | None = None,
        s3: S3Door | None = None,
        ingest: IngestDoor | None = None,
        checks: Checks = ALWAYS_WELL,
    ) -> None:
        metrics = metrics or Metrics(gauges)
        together = self._answer_all if s3 or ingest else None
        super().__init__(limits or Limits(), metrics, together)
        self._door = Door(
            table,
            routes,
            self._attendant,
            access=access or Access(),
            policy=policy or Policy(),
            limits=self._limits,
            metrics=metrics,
            version=pachybox.__version__,
            archives=archives,
            s3=s3,
            ingest=ingest,
            checks=checks,
        )

    def answer(self, request: Request, response: Response) -> None:
        """See Door."""
        self._door.answer(request, response)

    def urgent(self, request: Request) -> bool:
        """See Door."""
        return self._door.is_check(request)

    def _answer_all(self, pairs: list[tuple[Request, Response]]) -> None:
        self._door.answer_all(pairs)
