"""A small S3: buckets in dictionaries behind http.server, enough for listing and reading.

Pages of three keys, so that a listing of few objects already goes on over pages.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 3


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    buckets: dict[str, dict[str, bytes]]

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path[1:]).partition("/")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        keys = self.buckets.get(bucket)
        if "AWS4-HMAC-SHA256" not in self.headers.get("Authorization", ""):
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif keys is None or (key and key not in keys):
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif key:
            self.answer(200, keys[key])
        else:
            self.answer(200, self.listing(keys, query))

    do_HEAD = do_GET

    @staticmethod
    def listing(keys: dict[str, bytes], query: dict[str, str]) -> bytes:
        after = query.get("continuation-token", "")
        names = sorted(k for k in keys if k.startswith(query.get("prefix", "")) and k > after)
        page = names[:PAGE]
        contents = "".join(
            f"<Contents><Key>{escape(name)}</Key><Size>{len(keys[name])}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for name in page
        )
        more = len(names) > PAGE
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}"
            "</ListBucketResult>"
        ).encode()

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.send_header("ETag", '"x"')
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Be quiet."""


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away, as some tests do, is no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on loopback in a thread; yields the address."""
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def s3(buckets: dict[str, dict[str, bytes]]) -> Iterator[dict[str, str]]:
    """A server with these buckets; yields obstore's settings for it."""
    with serve(type("S3", (Handler,), {"buckets": buckets})) as address:
        yield {
            "endpoint": address,
            "access_key_id": "someone",
            "secret_access_key": "secret",
            "region": "us-east-1",
        }
