"""What `kubectl kustomize` makes of a kustomization, as far as the manifests use it: ``resources``
and ``patches`` by path, merged as Kubernetes merges. Where kubectl is, a test holds both against
each other."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.arch.repo import ROOT

MANIFESTS = ROOT / "k3s" / "manifests"
Document = dict[str, Any]

# By what the items of a list are known to a patch; other lists are replaced.
_KEYS = {
    "containers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ports": "port",
}


def documents(path: Path) -> list[Document]:
    """The documents of a file of YAML."""
    return [one for one in yaml.safe_load_all(path.read_text()) if one is not None]


def kustomizations() -> list[str]:
    """Those that there are, by the names of their folders."""
    return sorted(path.parent.name for path in MANIFESTS.glob("*/kustomization.yaml"))


def files(name: str) -> set[Path]:
    """All files that the kustomization ``name`` is made of, its own too."""
    folder = MANIFESTS / name
    (given,) = documents(folder / "kustomization.yaml")
    found = {folder / "kustomization.yaml"}
    found |= {folder / patch["path"] for patch in given.get("patches", ())}
    for resource in given["resources"]:
        path = (folder / resource).resolve()
        found |= files(path.name) if path.is_dir() else {path}
    return found


@cache
def rendered(name: str) -> tuple[Document, ...]:
    """The documents that are applied of ``name``; not to be changed by the caller."""
    return tuple(_rendered(MANIFESTS / name))


def _rendered(folder: Path) -> list[Document]:
    (given,) = documents(folder / "kustomization.yaml")
    unknown = given.keys() - {"apiVersion", "kind", "resources", "patches"}
    assert not unknown, f"{folder}: the tests know nothing of {unknown}"
    made: list[Document] = []
    for resource in given["resources"]:
        path = (folder / resource).resolve()
        made += _rendered(path) if path.is_dir() else documents(path)
    for patch in given.get("patches", ()):
        for document in documents(folder / patch["path"]):
            (at,) = [n for n, one in enumerate(made) if identity(one) == identity(document)]
            made[at] = _merged(made[at], document)
    assert len({identity(one) for one in made}) == len(made), f"{folder}: one thing twice"
    return made


def identity(document: Document) -> tuple[str, str, str]:
    """Which thing of a cluster a document is about."""
    metadata = document["metadata"]
    return document["kind"], metadata.get("namespace", ""), metadata["name"]


def _merged(old: Any, new: Any, field: str = "") -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        both = {key: _merged(old.get(key), value, key) for key, value in new.items()}
        return {key: value for key, value in {**old, **both}.items() if value is not None}
    if isinstance(old, list) and field in _KEYS:
        key = _KEYS[field]
        by_key = {item[key]: item for item in old}
        for item in new:
            by_key[item[key]] = _merged(by_key.get(item[key]), item)
        return list(by_key.values())
    return new
