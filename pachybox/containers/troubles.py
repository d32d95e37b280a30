"""What registries and podman say when a pull or a push fails, told apart. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pachybox.containers.names import ImageName, is_id, parse
from pachybox.errors import NotFound, Refused

_WORDS = (  # the first that fits
    ("login", r"unauthorized|authentication required|not authorized|denied|invalid username"),
    ("tls", r"x509|certificate|tls:|HTTP response to HTTPS client"),
    ("rate", r"toomanyrequests|429 Too Many|rate limit"),
    ("disk", r"no space left on device"),
    (
        "unreachable",
        r"connection refused|no such host|timeout|unreachable|no route|EOF|connection reset"
        r"|server misbehaving|pinging container registry",
    ),
    ("unknown", r"manifest unknown|name unknown|not found|no such image|404"),
)


class ImageMissing(NotFound):
    """An image is not on this machine, and a pull, where one was tried, did not bring it.

    ``reason`` is ``absent`` when no pull was tried, else a word for what was met: login, tls,
    rate, unknown, disk, unreachable, other.
    """

    def __init__(self, message: str, hint: str = "", reason: str = "absent") -> None:
        super().__init__(message, hint)
        self.reason = reason


class PushRefused(Refused):
    """An image was not taken by a registry. ``reason`` as with ImageMissing."""

    def __init__(self, message: str, hint: str = "", reason: str = "other") -> None:
        super().__init__(message, hint)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Trouble:
    """What went wrong with a registry: a word for it, what happened, and what to do."""

    reason: str
    what: str
    hint: str

    def pulled(self, reference: str) -> ImageMissing:
        """The error of a pull."""
        return ImageMissing(
            f"image {reference} is not on this machine and cannot be pulled: {self.what}",
            f"{self.hint}, or load it from an archive: podman load -i FILE",
            self.reason,
        )

    def pushed(self, name: ImageName) -> PushRefused:
        """The error of a push."""
        login = f"run: podman login {name.registry}, or give the right --username and password"
        return PushRefused(
            f"image {name} was not pushed: {self.what}",
            login if self.reason == "login" else self.hint,
            self.reason,
        )


def tell(words: str, name: ImageName, *, login: bool) -> Trouble:
    """What ``words`` mean of ``name``; ``login`` says whether a login was given."""
    reason = next((r for r, fits in _WORDS if re.search(fits, words, re.IGNORECASE)), "other")
    host, last = name.registry, words.rpartition(": ")[2].strip() or words
    if reason == "login":
        asked = "does not accept the login given" if login else "asks for a login"
        return Trouble(
            reason,
            f"registry {host} {asked} for {name.repository}",
            f"run: podman login {host}, or name a secret in transform.image_pull_secrets",
        )
    if reason == "tls":
        return Trouble(
            reason,
            f"no secure connection to registry {host}: {last}",
            f"put its certificate into /etc/containers/certs.d/{host}, or list it as insecure in "
            "/etc/containers/registries.conf",
        )
    found = {
        "rate": (f"registry {host} allows no more pulls now", f"wait, or run: podman login {host}"),
        "disk": ("the disk that holds podman's images is full", "run: podman image prune"),
        "unreachable": (f"registry {host} cannot be reached: {last}", "check name and network"),
        "unknown": (f"registry {host} has no {name.repository}{_tail(name)}", "check its name"),
        "other": (words, "see: pachybox doctor"),
    }
    return Trouble(reason, *found[reason])


def _tail(name: ImageName) -> str:
    return f"@{name.digest}" if name.digest else f":{name.tag}"


def absent(reference: str) -> ImageMissing:
    """The error of looking for an image in local storage alone."""
    return ImageMissing(f"image {reference} is not on this machine", remedy(reference))


def unpinned(reference: str, pinned: str, *, moved: bool) -> ImageMissing:
    """The error of looking for the image that a name led to (its id is ``pinned``), which is
    gone. ``moved``: the name leads to another one now."""
    if not moved:
        again = f"run: podman pull {reference}, or podman load -i FILE"
        if is_id(reference) or parse(reference).only_here:
            again = "run: podman load -i FILE"
        return ImageMissing(
            f"image {reference} ({pinned[:19]}) is no longer on this machine",
            f"{again}; or make it anew, then run: update pipeline",
        )
    return ImageMissing(
        f"image {reference} is another one than when the pipeline was created or updated "
        f"({pinned[:19]}), and that is no longer on this machine",
        "run: update pipeline, to use what the name means now, or load the earlier image again",
    )


def remedy(reference: str) -> str:
    """What brings an image that is not here."""
    if is_id(reference):
        return "load it from an archive: podman load -i FILE"
    if parse(reference).only_here:
        return f"run: podman build -t {reference} DIR, or podman load -i FILE"
    return f"run: podman pull {reference}, or podman load -i FILE"
