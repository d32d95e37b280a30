"""Where the API of the cluster is, and who the box is there: a kubeconfig, or the account of its
Pod."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pachybox import importing
from pachybox.config import Config
from pachybox.errors import Refused

K3S = Path("/etc/rancher/k3s/k3s.yaml")
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HOST = "KUBERNETES_SERVICE_HOST"
_POOL = 8  # connections kept


@dataclass(frozen=True, slots=True)
class Settings:
    """Which cluster, as the box's settings say."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""

    @classmethod
    def of(cls, config: Config) -> Settings:
        """Those of a box."""
        return cls(config.kubeconfig, config.kubernetes_context, config.kubernetes_namespace)


class Access:
    """A way to one API server. ``source`` names what it was read from, ``server`` its address."""

    def __init__(self, configuration: Any, source: str, namespace: str) -> None:
        self._configuration = configuration
        self.source = source
        self.server = str(configuration.host)
        self.namespace = namespace
        self._lock = threading.Lock()
        self._core: Any = None

    def core(self) -> Any:
        """The client (kubernetes.client.CoreV1Api), which is given and gives plain objects;
        connections are kept."""
        from kubernetes import client

        with self._lock:
            if self._core is None:
                self._core = client.CoreV1Api(client.ApiClient(self._configuration))
            return self._core


def kubeconfig(settings: Settings, environ: Mapping[str, str] = os.environ) -> str:
    """The kubeconfig to use, or several joined by ":"; "" is the account of the box's Pod. Raises
    Refused when there is neither."""
    if settings.kubeconfig:
        if not Path(settings.kubeconfig).expanduser().is_file():
            raise Refused(
                f"there is no kubeconfig {settings.kubeconfig}", "see the setting kubeconfig"
            )
        return str(Path(settings.kubeconfig).expanduser())
    if named := environ.get("KUBECONFIG", ""):
        there = [one for one in named.split(os.pathsep) if one and Path(one).is_file()]
        if not there:
            raise Refused(
                f"there is no kubeconfig {named}", "have KUBECONFIG name one, or unset it"
            )
        return os.pathsep.join(there)
    for path in (Path(environ.get("HOME") or "/root") / ".kube" / "config", K3S):
        if path.is_file():
            return str(path)
    if environ.get(_HOST) and (_ACCOUNT / "token").is_file():
        return ""
    raise Refused(
        "there is no kubeconfig: not by the setting kubeconfig nor KUBECONFIG, and no "
        f"~/.kube/config nor {K3S}",
        "set kubeconfig to the file of your cluster, or install one here: pachybox k3s install",
    )


def find(settings: Settings) -> Access:
    """The way to the cluster. Raises Refused naming what is in the way."""
    source = kubeconfig(settings)
    with importing.LOCK:  # all that is used of it: its parts are imported when they are named
        from kubernetes import client, config
        from kubernetes.client import AuthorizationV1Api, CoreV1Api, VersionApi  # noqa: F401

    # what it logs at this level are whole answers, with the content of secrets
    logging.getLogger("kubernetes.client.rest").setLevel(logging.INFO)
    configuration = client.Configuration()
    configuration.retries = False
    configuration.connection_pool_maxsize = _POOL
    if not source:
        try:
            config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            own = (_ACCOUNT / "namespace").read_text().strip()
        except (config.ConfigException, OSError) as e:
            raise Refused(
                f"the account of the box's Pod, {_ACCOUNT}, cannot be used: {e}",
                "see that its token, ca.crt and namespace are there: kubectl describe pod",
            ) from e
        return Access(configuration, "the account of the box's Pod", settings.namespace or own)
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            source, settings.context or None, configuration, persist_config=False
        )
        contexts, active = config.list_kube_config_contexts(source)  # type: ignore[no-untyped-call]
    except Exception as e:  # of the file: YAML, missing names, files it refers to
        what = f" (context {settings.context})" if settings.context else ""
        said = str(e) if isinstance(e, (config.ConfigException, OSError)) else type(e).__name__
        raise Refused(
            f"the kubeconfig {source}{what} cannot be used: {said.splitlines()[0]}",
            "try it: kubectl --kubeconfig FILE get pods",
        ) from e
    used = next((one for one in contexts if one["name"] == settings.context), active)
    namespace = settings.namespace or used["context"].get("namespace") or "default"
    return Access(configuration, source, namespace)
