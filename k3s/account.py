"""What the box reaches the cluster by: an account of its own there, which may no more than the box
needs (k3s/manifests/rbac), and not k3s's kubeconfig, which may everything."""

from __future__ import annotations

import base64
from typing import Any

from k3s.places import ACCOUNT, KUBECONFIG, NAMESPACE, Places
from k3s.program import Program
from pachybox.errors import NotReady
from pachybox.placing import put_text

_NAME = "pachybox"
_TOKEN = "pachybox-token"


def put(places: Places, program: Program) -> None:
    """Have the account's kubeconfig on disk, for root's eyes alone. Raises NotReady while the
    cluster has made no token, or k3s has not written its own kubeconfig."""
    import yaml

    (secret,) = program.get("secret", _TOKEN, "-n", NAMESPACE)
    token = base64.b64decode((secret.get("data") or {}).get("token", "")).decode()
    if not token:
        raise NotReady(f"the cluster has not filled in the token of the account {_NAME} yet")
    try:
        cluster = yaml.safe_load(places.on_disk(KUBECONFIG).read_text())["clusters"][0]["cluster"]
    except (OSError, yaml.YAMLError, LookupError, TypeError) as e:
        raise NotReady(f"k3s has not written {KUBECONFIG} yet") from e
    context = {"cluster": _NAME, "user": _NAME, "namespace": NAMESPACE}
    text: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": _NAME,
        "contexts": [{"name": _NAME, "context": context}],
        "clusters": [{"name": _NAME, "cluster": cluster}],
        "users": [{"name": _NAME, "user": {"token": token}}],
    }
    put_text(places.on_disk(ACCOUNT), yaml.safe_dump(text, sort_keys=False), 0o600)
