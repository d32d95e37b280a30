"""One request to S3 while it is answered: what operations read of it, and how they answer."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from pachybox.api.access.needs import S3
from pachybox.api.access.policy import Policy
from pachybox.api.access.principal import Role
from pachybox.api.access.things import Thing
from pachybox.api.http import Request
from pachybox.api.response import Response
from pachybox.api.s3.auth import Identity
from pachybox.api.s3.payload import Payload
from pachybox.api.table import Call
from pachybox.model.ids import Repo
from pachybox.pfs.object_types import Bucket, ObjectInfo, parse_bucket
from pachybox.pfs.object_write import Op
from pachybox.pfs.objects import Objects

XML = "application/xml"
Header = tuple[str, str]


class Ask:
    """A request with its address, its query decoded, its sender known."""

    __slots__ = ("_bucket", "began", "bucket_name", "call", "closed", "headers", "identity", "ids",
                 "key", "objects", "operation", "policy", "query", "request", "response",
                 "write")  # fmt: skip

    def __init__(
        self, request: Request, response: Response, objects: Objects, ids: tuple[Header, Header],
        policy: Policy,
    ) -> None:  # fmt: skip
        """``ids``: the two headers that name the request in every answer."""
        self.policy = policy
        self.call: Call | None = None  # set when it is known who asks
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
            role = S3.get(self.operation, Role.READER)
            self._bucket = self.bucket_named(self.bucket_name, role)
        return self._bucket

    def bucket_named(self, name: str, role: Role) -> Bucket:
        """A bucket in which the caller has ``role``. Raises NoSuchBucket, InvalidBucketName, Denied
        (whether there is such a bucket or not)."""
        self.require(name, role)
        return self.objects.bucket(name)

    def require(self, name: str, role: Role) -> None:
        """Raise Denied unless the caller has ``role`` in what the bucket ``name`` is of."""
        assert self.call is not None
        if self.call.principal.repos is None:
            self.policy.require(self.call, role)
        else:
            self.policy.require(self.call, role, parse_bucket(name).repo)

    def sees(self, bucket: Bucket) -> bool:
        """Whether the caller may know that there is ``bucket``."""
        assert self.call is not None
        sight = self.policy.sight(self.call.principal)
        repo = bucket.repo
        return sight is None or sight.sees(Thing("repo", repo.project, repo.name, repo.type))

    @property
    def touched(self) -> tuple[Repo, ...]:
        """The repo of the request's bucket, as far as it is known."""
        return () if self._bucket is None else (self._bucket.repo,)

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
