"""Names of images, read as podman and Docker read them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pachybox.errors import InvalidArgument

HUB = "docker.io"
"""The registry of a name that says none."""

LOCAL = "localhost"
"""What podman puts before the name of an image that was built or tagged here without one."""

_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[-.A-Za-z0-9]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][-.A-Za-z0-9_]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}")
_LOOPBACK = re.compile(r"(?:localhost|127\.[0-9.]+|\[::1\])(?::[0-9]+)?")


@dataclass(frozen=True, slots=True)
class ImageName:
    """A name in full. ``tag`` and ``digest`` are "" where there are none."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def whole(self) -> str:
        """The name without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine, where it may do without TLS."""
        return _LOOPBACK.fullmatch(self.registry) is not None

    @property
    def only_here(self) -> bool:
        """Whether there is no registry to pull it from (``localhost/NAME``)."""
        return self.registry == LOCAL

    def __str__(self) -> str:
        tag = f":{self.tag}" * bool(self.tag)
        return f"{self.whole}{tag}" + f"@{self.digest}" * bool(self.digest)


def is_id(reference: str) -> bool:
    """Whether this is the id of an image, which no registry knows."""
    return _ID.fullmatch(reference) is not None


def parse(reference: str) -> ImageName:
    """A name as users write it: ``ubuntu:24.04`` is ``docker.io/library/ubuntu:24.04``.

    Raises InvalidArgument, saying what is wrong with it.
    """
    rest = reference.removeprefix("docker://")
    rest, at, digest = rest.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _bad(reference, f"{digest!r} is no digest (sha256: and 64 hexadecimal digits)")
    first, slash, path = rest.partition("/")
    if not slash or not (re.search(r"[.:\[]", first) or first == LOCAL):
        first, path = HUB, rest
    path, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _bad(reference, f"{tag!r} is no tag")
    if not _HOST.fullmatch(first):
        raise _bad(reference, f"{first!r} is no registry")
    for part in path.split("/"):
        if not _PART.fullmatch(part):
            why = "names are in lower case" if _PART.fullmatch(part.lower()) else ""
            raise _bad(reference, why or f"{part!r} is no part of a name")
    if first == HUB and "/" not in path:
        path = f"library/{path}"
    return ImageName(first, path, tag or ("" if digest else "latest"), digest)


def _bad(reference: str, why: str) -> InvalidArgument:
    return InvalidArgument(
        f"{reference!r} is no name of an image: {why}", "write [REGISTRY/]NAME[:TAG]"
    )
