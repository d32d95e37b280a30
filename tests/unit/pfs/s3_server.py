"""A small S3: buckets in dictionaries behind http.server, enough for listing, reading and
writing, in one request or in parts.

Pages of three keys, so that a listing of few objects already goes on over pages. ``Faults``
says which writes go wrong, and remembers all that were tried.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 3


@dataclass
class Faults:
    """``fault(method, key, attempt)`` is asked before each write: "" lets it pass, "500" and
    "403" answer so, "cut" breaks the connection in the middle of the body. It may block."""

    fault: Callable[[str, str, int], str] = lambda method, key, attempt: ""
    tried: list[tuple[str, str]] = field(default_factory=list)  # (method, key) as they came
    largest: int = 0  # the longest body

    def puts(self) -> list[str]:
        """Keys written, parts included, in the order they were tried."""
        return [key for method, key in self.tried if method == "PUT"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    buckets: dict[str, dict[str, bytes]]
    faults: Faults
    parts: dict[str, dict[int, bytes]]

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

    def do_PUT(self) -> None:
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path[1:]).partition("/")
        query = {n: v[0] for n, v in parse_qs(url.query, keep_blank_values=True).items()}
        length = int(self.headers.get("Content-Length", 0))
        self.faults.tried.append((self.command, key))
        fault = self.faults.fault(self.command, key, self.faults.tried.count((self.command, key)))
        if fault == "cut":
            self.rfile.read(length // 2)
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = self.rfile.read(length)
        self.faults.largest = max(self.faults.largest, length)
        keys = self.buckets.get(bucket)
        if fault:
            self.answer(int(fault), b"<Error><Code>Fault</Code></Error>")
        elif "AWS4-HMAC-SHA256" not in self.headers.get("Authorization", ""):
            self.answer(403, b"<Error><Code>AccessDenied</Code></Error>")
        elif keys is None:
            self.answer(404, b"<Error><Code>NoSuchBucket</Code></Error>")
        elif self.command == "DELETE":
            self.parts.pop(query.get("uploadId", ""), None)
            self.answer(204, b"")
        elif "uploads" in query:
            upload = str(len(self.faults.tried))
            self.parts[upload] = {}
            self.answer(
                200,
                f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><Key>{escape(key)}</Key>"
                f"<UploadId>{upload}</UploadId></InitiateMultipartUploadResult>".encode(),
            )
        elif self.command == "POST":
            parts = self.parts.pop(query["uploadId"])
            keys[key] = b"".join(parts[n] for n in sorted(parts))
            self.answer(
                200,
                f"<CompleteMultipartUploadResult><Location>x</Location><Bucket>{bucket}</Bucket>"
                f"<Key>{escape(key)}</Key><ETag>x</ETag></CompleteMultipartUploadResult>".encode(),
            )
        elif "partNumber" in query:
            self.parts[query["uploadId"]][int(query["partNumber"])] = body
            self.answer(200, b"")
        else:
            keys[key] = body
            self.answer(200, b"")

    do_POST = do_PUT
    do_DELETE = do_PUT

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
def s3(
    buckets: dict[str, dict[str, bytes]], faults: Faults | None = None
) -> Iterator[dict[str, str]]:
    """A server with these buckets; yields obstore's settings for it."""
    own = {"buckets": buckets, "faults": faults or Faults(), "parts": {}}
    with serve(type("S3", (Handler,), own)) as address:
        yield {
            "endpoint": address,
            "access_key_id": "someone",
            "secret_access_key": "secret",
            "region": "us-east-1",
        }
