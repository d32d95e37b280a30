"""Images on this machine: found, pulled once, pushed, built. Over podman's socket.

A pipeline version is *pinned* to the image that its name led to: by the image's id, which is the
hash of its content, and by the digests under which registries have it, so that it can be pulled
again whatever its tag has come to mean.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote

from pachybox.containers.credentials import Credential, fitting, of_files
from pachybox.containers.engine import EngineGone
from pachybox.containers.names import ImageName, is_id, parse
from pachybox.containers.troubles import ImageMissing, PushRefused, absent, tell, unpinned

if TYPE_CHECKING:
    from podman import PodmanClient

__all__ = ["Image", "ImageMissing", "Images", "PushRefused", "Said"]

log = logging.getLogger("pachybox.images")

T = TypeVar("T")

Said = Callable[[str], None]
"""Is told, line by line, how a pull or a push goes on."""

_ASK_S = 60.0  # until podman must have answered a question about what it has
# Until asked again of an image that podman knows not what to say of: one that is being deleted.
_AGAIN_S = (0.1, 0.3, 0.6)
_QUIET_S = 600.0  # so long a pull or push may show no progress
_SHORT_ID = re.compile(r"[0-9a-f]{12,63}")


@dataclass(frozen=True, slots=True)
class Image:
    """An image in podman's storage. ``reference`` is the name by which it was asked for, ``id``
    is ``sha256:...``. ``digests`` are names (``NAME@sha256:...``) under which its registry may
    have it, none for an image that was made here. The rest is its configuration; "" and () where
    it says nothing. ``size`` is in bytes."""

    reference: str
    id: str
    digests: tuple[str, ...] = ()
    user: str = ""
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    working_dir: str = ""
    size: int = field(default=0, compare=False)

    @property
    def pin(self) -> str:
        """What finds this very image again; see Images.find."""
        return " ".join((self.id, *self.digests))


class Connects(Protocol):
    """What is needed of an engine."""

    def client(self) -> PodmanClient:
        """A connected client. Raises NotReady or Refused, with the remedy."""


class Images:
    """The images of one engine. Thread-safe."""

    def __init__(self, engine: Connects) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._pulls: dict[tuple[str, tuple[Credential, ...]], Future[Image]] = {}

    # ---- what is here

    def find(self, reference: str, pinned: str = "") -> Image:
        """The image of this name (or id) in local storage, or with ``pinned`` (Image.pin) the
        one that the name led to then. Short names are looked for as podman does: as they are,
        below localhost/, below docker.io/library/.

        Raises ImageMissing, with what to do; InvalidArgument when it is no name.
        """
        pin = pinned.partition(" ")[0]
        found = self._inspect(pin or _bare(reference))
        if found is not None:
            return _image(reference, found)
        if not pin:
            raise absent(reference)
        moved = not is_id(reference) and self._inspect(_bare(reference)) is not None
        raise unpinned(reference, pin, moved=moved)

    def _inspect(self, reference: str) -> dict[str, Any] | None:
        path = f"/images/{quote(reference, safe='')}/json"
        for pause in (*_AGAIN_S, None):
            answer = self._ask("GET", path, timeout=_ASK_S)
            if answer.status_code == 404:
                return None
            if answer.status_code < 400:
                found: dict[str, Any] = answer.json()
                return found
            if pause is not None:
                time.sleep(pause)
        raise _gone(f"image {reference}: {_said(answer)}")

    def labelled(self, label: str, tag: str) -> str:
        """The id of an image with the label ``label=tag`` and that tag; "" when there is none, or
        podman cannot say (as while another image is deleted)."""
        wanted = json.dumps({"label": [f"{label}={tag}"]})
        answer = self._ask("GET", "/images/json", params={"filters": wanted}, timeout=_ASK_S)
        for one in (answer.json() if answer.status_code < 400 else None) or ():
            if any(name.endswith(f":{tag}") for name in one.get("RepoTags") or ()):
                return str(one["Id"])
        return ""

    # ---- pull

    def ensure(
        self,
        reference: str,
        pinned: str = "",
        logins: Callable[[], Sequence[Credential]] = tuple,
    ) -> Image:
        """``find``, else ``pull``: the very image that is pinned, or what the name means now.
        ``logins`` is asked when it comes to a pull; raises what that raises, too."""
        try:
            return self.find(reference, pinned)
        except ImageMissing as missing:
            if is_id(reference) or parse(reference).only_here:
                raise
            if not pinned:
                return self.pull(reference, logins())
            image = self._pull_pinned(reference, pinned, logins())
            if image is None:
                raise missing from None
            return image

    def _pull_pinned(
        self, reference: str, pinned: str, credentials: Sequence[Credential]
    ) -> Image | None:
        """By a digest, else by the name where that leads to nothing else here; None when it
        brings another image. Raises ImageMissing when nothing can be pulled."""
        pin, *digests = pinned.split()
        trouble: ImageMissing | None = None
        for digest in digests:
            try:
                if self.pull(digest, credentials).id == pin:
                    return self._named(reference, pin)
            except ImageMissing as e:
                trouble = e
                if e.reason != "unknown":
                    raise
        if self._inspect(_bare(reference)) is None:
            return image if (image := self.pull(reference, credentials)).id == pin else None
        if trouble:
            raise trouble
        return None

    def _named(self, reference: str, pin: str) -> Image:
        """The image of id ``pin`` under its name, if that is free: what has no name is pruned."""
        name = parse(reference)
        if name.tag and self._inspect(_bare(reference)) is None:
            self.tag(pin, name)
        return self.find(reference, pin)

    def pull(
        self,
        reference: str,
        credentials: Sequence[Credential] = (),
        progress: Said | None = None,
    ) -> Image:
        """Bring an image from its registry. Callers that want the same at the same time share
        one pull; ``progress`` is told of it by the caller that came first.

        Tried are the logins of ``credentials`` that fit, then those of the user's files.
        Raises ImageMissing with the registry's words; InvalidArgument when it is no name.
        """
        name = parse(reference)
        if name.only_here:
            raise absent(reference)
        key = (str(name), tuple(credentials))
        with self._lock:
            others = self._pulls.get(key)
            pull = self._pulls.setdefault(key, Future())
        if others is not None:
            return others.result()
        try:
            pull.set_result(
                _with_logins(
                    [*fitting(credentials, name), *of_files(name)],
                    lambda login: self._pull(name, reference, login, progress),
                )
            )
        except BaseException as e:
            pull.set_exception(e)
        finally:
            with self._lock:
                del self._pulls[key]
        return pull.result()

    def _pull(
        self, name: ImageName, reference: str, login: Credential | None, progress: Said | None
    ) -> Image:
        log.info("pulling image=%s", name)
        answer = self._ask(
            "POST",
            "/images/pull",
            params={"reference": str(name), "tlsVerify": _verify(name)},
            headers=_headers(login),
            stream=True,
            timeout=_QUIET_S,
        )
        made = ""
        try:
            for line in _lines(answer):
                made = line.get("id") or made
                _tell(progress, line)
        except _Failed as e:
            raise tell(e.words, name, login=login is not None).pulled(reference) from None
        log.info("pulled image=%s id=%s", name, made)
        found = self._inspect(made or str(name))
        if found is None:
            raise absent(reference)
        return _image(reference, found)

    # ---- push

    def tag(self, reference: str, name: ImageName) -> None:
        """Give a local image another name. Raises ImageMissing when it is not here."""
        answer = self._ask(
            "POST",
            f"/images/{quote(_bare(reference), safe='')}/tag",
            params={"repo": name.whole, "tag": name.tag},
            timeout=_ASK_S,
        )
        if answer.status_code == 404:
            raise absent(reference)
        if answer.status_code >= 400:
            raise _gone(f"image {reference} is not tagged: {_said(answer)}")

    def push(
        self,
        name: ImageName,
        credentials: Sequence[Credential] = (),
        progress: Said | None = None,
    ) -> None:
        """Send a local image to the registry that its name says. Logins as with ``pull``.

        Raises ImageMissing when it is not here, PushRefused with the registry's words.
        """
        self.find(str(name))
        _with_logins(
            [*fitting(credentials, name), *of_files(name)],
            lambda login: self._push(name, login, progress),
        )

    def _push(self, name: ImageName, login: Credential | None, progress: Said | None) -> None:
        answer = self._ask(
            "POST",
            f"/images/{quote(str(name), safe='')}/push",
            params={"destination": str(name), "tlsVerify": _verify(name), "quiet": "false"},
            headers=_headers(login),
            stream=True,
            timeout=_QUIET_S,
        )
        try:
            for line in _lines(answer):
                _tell(progress, line)
        except _Failed as e:
            trouble = tell(e.words, name, login=login is not None)
            raise trouble.pushed(name) from None

    # ---- build

    def build(
        self, packed: IO[bytes], params: Mapping[str, str], *, timeout: float
    ) -> Iterator[dict[str, Any]]:
        """What podman says while it builds from an archive: lines with ``stream``, and with
        ``error`` at the end when it failed. ``timeout`` bounds its silence, in seconds."""
        how = {"content-type": "application/x-tar"}
        answer = self._ask(
            "POST", "/build", params=params, data=packed, headers=how, stream=True, timeout=timeout
        )
        try:
            yield from _lines(answer)
        except _Failed as e:
            yield {"error": e.words}

    # ---- the wire

    def _ask(self, method: str, path: str, **how: Any) -> Any:
        """An answer of podman, whatever its status. Raises EngineGone when there is none."""
        api = self._engine.client().api  # before what it has imported by then
        from podman.errors import PodmanError
        from requests import RequestException

        call = api.get if method == "GET" else api.post
        try:
            return call(path, **how)
        except (RequestException, PodmanError) as e:
            raise _gone(str(e)) from None


class _Failed(Exception):
    """podman's words on a pull or push that failed."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


def _lines(answer: Any) -> Iterator[dict[str, Any]]:
    """What podman tells of work that takes time, up to its end. Raises _Failed, EngineGone."""
    from requests import RequestException

    try:
        if answer.status_code >= 400:
            raise _Failed(_said(answer))
        for text in answer.iter_lines():
            line: dict[str, Any] = json.loads(text) if text else {}
            if line.get("error"):
                raise _Failed(str(line["error"]))
            yield line
    except (RequestException, ValueError) as e:
        raise _gone(str(e)) from None
    finally:
        answer.close()


def _tell(progress: Said | None, line: Mapping[str, Any]) -> None:
    if progress and line.get("stream"):
        progress(str(line["stream"]).rstrip("\n"))


def _said(answer: Any) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _gone(words: str) -> EngineGone:
    return EngineGone(f"podman does not answer: {words}", "see: pachybox doctor")


def _verify(name: ImageName) -> str:
    """A registry on this machine may do without TLS, as podman and Docker have it."""
    return str(not name.loopback).lower()


def _headers(login: Credential | None) -> dict[str, str]:
    return {"X-Registry-Auth": login.header()} if login else {}


def _with_logins(logins: Sequence[Credential], work: Callable[[Credential | None], T]) -> T:
    """``work`` with the first login that the registry takes; without one where there is none."""
    for login in logins[:-1]:
        try:
            return work(login)
        except (ImageMissing, PushRefused) as e:
            if e.reason != "login":
                raise
    return work(logins[-1] if logins else None)


def _bare(reference: str) -> str:
    """The name (or id) as podman looks for it. Raises InvalidArgument when it is none."""
    if not is_id(reference) and not _SHORT_ID.fullmatch(reference):
        parse(reference)
    return reference.removeprefix("docker://")


def _image(reference: str, found: Mapping[str, Any]) -> Image:
    """What podman's description of an image says."""
    config = found.get("Config") or {}
    return Image(
        reference,
        "sha256:" + str(found["Id"]).removeprefix("sha256:"),
        _digests(reference, found.get("RepoDigests") or ()),
        config.get("User") or "",
        tuple(config.get("Env") or ()),
        tuple(config.get("Entrypoint") or ()),
        config.get("WorkingDir") or "",
        int(found.get("Size") or 0),
    )


def _digests(reference: str, known: Sequence[str]) -> tuple[str, ...]:
    """Those of ``known`` that belong to the repository that ``reference`` names. podman keeps
    every digest an image came or was made with and does not say which is whose."""
    if is_id(reference) or _SHORT_ID.fullmatch(reference):
        return ()
    name = parse(reference)
    mine = [d for d in known if d.rpartition("@")[0] == name.whole]
    exact = [d for d in mine if name.digest and d.endswith(name.digest)]
    return () if name.only_here else tuple(dict.fromkeys(exact + mine))
