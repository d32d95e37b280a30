"""S3 doors for datums: a listener on loopback each, that serves one datum's buckets."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from pachybox.api.access import Access
from pachybox.api.door import LOOPBACK_NAMES
from pachybox.api.http import Request
from pachybox.api.listener import Listener
from pachybox.api.metrics import Metrics
from pachybox.api.response import Response
from pachybox.api.s3.door import S3Door
from pachybox.api.transport import Limits
from pachybox.pps.buckets import DatumBuckets

_NO_SECRET = "default"  # what Pachyderm gives where there are no tokens
_GRACE_S = 5.0


class DatumGate(Listener):
    """The door of one datum; see pps.gate.Gate."""

    def __init__(self, buckets: DatumBuckets, token: str, metrics: Metrics) -> None:
        """``token`` "": anyone on this machine may ask, as on the box's own door."""
        super().__init__(Limits(), metrics)
        self._buckets = buckets
        self._s3 = S3Door(buckets, Access(token))
        host, port = self.listen_tcp("127.0.0.1", 0)
        self.url = f"http://{host}:{port}"
        self.key = token or _NO_SECRET

    def answer(self, request: Request, response: Response) -> None:
        """See S3Door."""
        self._s3.answer(request, response, LOOPBACK_NAMES, self._metrics)

    def close(self) -> None:
        """Hang up. A request that is being answered may end, within ``_GRACE_S``."""
        self._buckets.close()
        self.stop(_GRACE_S)


class DatumGates:
    """Opens them; see pps.gate.Gates."""

    def __init__(self, *, closed: Callable[[], bool], metrics: Metrics) -> None:
        """``closed``: whether the box wants tokens, so that each door has a secret of its own."""
        self._closed = closed
        self._metrics = metrics

    def open(self, buckets: DatumBuckets) -> DatumGate:
        """A door to ``buckets``."""
        token = secrets.token_urlsafe(24) if self._closed() else ""
        return DatumGate(buckets, token, self._metrics)
