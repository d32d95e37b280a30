"""What an API server's refusals, and its silence, mean to whoever uses the box."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pachybox.errors import AlreadyExists, InvalidArgument, NotFound, NotReady, Refused
from pachybox.pps.runners.pods.access import Access

RIGHTS = "give it the rights of k3s/manifests: kubectl apply -k k3s/manifests/pods"

_RIGHTLESS = re.compile(r"\bcannot \w+ resource\b")
_ADMISSION = re.compile(r'^\S+ "[^"]+" is forbidden: |\bdenied (the )?request\b')
"""The words of who may not, and those of what is asked for and nobody may have."""


class Missing(NotFound):
    """There is no such object; ``namespace``: not even the namespace for it."""

    def __init__(self, message: str, hint: str = "", *, namespace: bool = False) -> None:
        super().__init__(message, hint)
        self.namespace = namespace


class Exists(AlreadyExists):
    """There is an object of that name, or the one meant is another by now."""


class Forbidden(Refused):
    """The caller may not. ``status`` is 401 or 403."""

    def __init__(self, message: str, hint: str = "", *, status: int = 403) -> None:
        super().__init__(message, hint)
        self.status = status


class Gone(NotReady):
    """The version that a watch was to go on from is too old."""


class Unanswered(NotReady):
    """No answer, or one that says: later. ``status`` is 0 when there was none."""

    def __init__(
        self, message: str, hint: str = "", *, status: int = 0, retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.retry_after_s = retry_after_s


@contextmanager
def told(what: str, access: Access) -> Iterator[None]:
    """Raise what the client raises within as errors of ours; ``what`` is a verb and a kind."""
    from kubernetes.client import ApiException
    from pydantic import ValidationError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as e:
        if not e.status:  # no answer: how the client says that TLS failed
            raise _silent(access, e) from None
        raise of(what, access, int(e.status or 0), e.body, dict(e.headers or {})) from None
    except (HTTPError, OSError) as e:
        raise _silent(access, e) from e
    except ValidationError as e:  # the client looks at types before it sends anything
        first = e.errors()[0]
        where = ".".join(str(one) for one in first["loc"][1:])
        raise InvalidArgument(f"no cluster takes it: {where}: {first['msg']}") from None
    except ValueError as e:  # an answer cut short
        raise Unanswered(f"the cluster at {access.server} answered no JSON: {e}") from e


def _silent(access: Access, error: Exception) -> Unanswered:
    reason = getattr(error, "reason", None) or error
    said = str(reason).rpartition("\n")[2]
    if "certificate" in said.lower():
        why = re.sub(r"\s*\(_ssl\.c:\d+\)", "", said)
        return Unanswered(
            f"the certificate of the cluster at {access.server} is not trusted: {why}",
            f"have {access.source} name the cluster's certificate authority",
        )
    if len(getattr(reason, "args", ())) == 2 and isinstance(reason.args[1], Exception):
        said = str(reason.args[1])  # of a connection that broke: what is beside it says less
    why = said.partition(": ")[2] or said or type(reason).__name__
    return Unanswered(
        f"the cluster at {access.server} does not answer: {why}",
        f"see whether it runs; its address is from {access.source}",
    )


def of(
    what: str, access: Access, status: int, body: bytes | str | None, headers: dict[str, Any]
) -> Exception:
    """The error for an answer of this HTTP status."""
    said, details = _words(body, status)
    where = f"the cluster at {access.server}"
    if status == 401:
        return Forbidden(
            f"{where} does not know who we are",
            f"renew the credentials in {access.source}",
            status=401,
        )
    if status == 403:
        return _forbidden(what, access, said)
    if status == 404:
        if details.get("kind") == "namespaces" and not what.endswith("namespace"):
            hint = f"make it: kubectl create namespace {access.namespace}"
            return Missing(f"{where} has no namespace {access.namespace}", hint, namespace=True)
        return Missing(said)
    if status == 409:
        return Exists(said)
    if status == 410:
        return Gone(said)
    if status in (400, 422):
        return InvalidArgument(f"the cluster does not take it: {said}")
    if status == 429 or status >= 500:
        after = str(headers.get("Retry-After") or headers.get("retry-after") or "")
        wait = float(after) if after.replace(".", "", 1).isdigit() else 0.0
        return Unanswered(
            f"{where} answers with status {status}: {said}",
            "it goes on once the API server does",
            status=status,
            retry_after_s=wait,
        )
    return Unanswered(f"{where} answers with status {status}: {said}", status=status)


def _forbidden(what: str, access: Access, said: str) -> Refused | Unanswered:
    if "exceeded quota" in said:
        return Unanswered(
            f"the quota of namespace {access.namespace} is used up: {said}",
            "it goes on once Pods end, or with a larger ResourceQuota",
            status=403,
        )
    if "being terminated" in said:
        return Unanswered(
            f"namespace {access.namespace} is being deleted",
            "it goes on once the namespace is there again",
            status=403,
        )
    if "PodSecurity" in said:
        return Forbidden(
            f"namespace {access.namespace} does not allow such Pods: {said}",
            "label it pod-security.kubernetes.io/enforce=privileged, as k3s/manifests does",
        )
    if _ADMISSION.search(said) and not _RIGHTLESS.search(said):
        return Forbidden(
            f"the cluster forbids such Pods in namespace {access.namespace}: {said}",
            "mend what it names in scheduling_spec, resource_limits, pod_spec or pod_patch, or "
            "have the cluster allow it",
        )
    return Forbidden(
        f"the cluster forbids: {what} in namespace {access.namespace} ({said})", RIGHTS
    )


def _words(body: bytes | str | None, status: int) -> tuple[str, dict[str, Any]]:
    """The message and the details of a Status object."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
    try:
        found = json.loads(text)
        return str(found.get("message") or f"status {status}"), dict(found.get("details") or {})
    except (ValueError, AttributeError):
        return text.strip()[:200] or f"status {status}", {}
