"""One request to S3 while it is answered: what operations read of it, and how they answer."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from pachybox.api.http import Request
from pachybox.api.response import Response
from pachybox.api.s3.auth import Identity
from pachybox.api.s3.payload import Payload
from pachybox.pfs.object_types import Bucket, ObjectInfo
from pachybox.pfs.object_write import Op
from pachybox.pfs.objects import Objects

XML = "application/xml"
Header = tuple[str, str]


class Ask:
    """A request with its address, its query decoded, its sender known."""

    __slots__ = ("_bucket", "began", "bucket_name", "closed", "headers", "identity", "ids", "key",
                 "objects", "operation", "query", "request", "response", "write")  # fmt: skip

    def __init__(
        self, request: Request, response: Response, objects: Objects, ids: tuple[Header, Header]
    ) -> None:
        """``ids``: the two headers that name the request in every answer."""
        self.request = request
        self.response = response
        self.objects = objects
        self.ids = ids
        self.headers = request.headers
        self.bucket_name = ""
        self.key = ""
        self.query: dict[str, str] = {}
        self.operation = ""
        self.identity = Identity()
        self.closed = False  # whether a token is set
        self.write: tuple[Bucket, Op] | None = None  # what is to be made before the answer
        self.began = monotonic()
        self._bucket: Bucket | None = None

    def bucket(self) -> Bucket:
        """The bucket. Raises NoSuchBucket, InvalidBucketName."""
        if self._bucket is None:
            self._bucket = self.objects.bucket(self.bucket_name)
        return self._bucket

    def object(self) -> ObjectInfo:
        """The object, in the version the query names. Raises NoSuchKey, NoSuchVersion."""
        return self.objects.get(self.bucket(), self.key, self.query.get("versionId", ""))

    def payload(self, *, summed: bool = True) -> Payload:
        """The body, to be read once. ``summed``: see Payload."""
        return Payload(self.request, self.identity, summed=summed)

    def send(
        self, status: int, headers: Iterable[Header] = (), body: bytes = b"", kind: str = XML
    ) -> None:
        """The whole answer."""
        self.response.send(status, kind, body, [*self.ids, *headers])

    def send_xml(self, body: bytes, headers: Iterable[Header] = ()) -> None:
        """An answer that is a document."""
        self.response.send(200, XML, body, [*self.ids, *headers])
