"""The manifests are what the API server of every Kubernetes from 1.28 on takes: its own schemas, in
which a field that is not known is an error."""

from __future__ import annotations

import copy
import functools
import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubernetes_validate import utils

from tests.k3s.render import MANIFESTS, Document, files, identity, kustomizations, rendered

VERSIONS = [f"1.{minor}" for minor in range(28, 38)]
# Maps in which a user's own keys stand.
FREE = {"labels", "matchLabels", "annotations", "selector", "requests", "limits"}
KUBECTL = shutil.which("kubectl")


@pytest.fixture(autouse=True, scope="module")
def read_once() -> Iterator[None]:
    """Schemas are read from their files once, which takes nine tenths of the time otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("schema_contents", "all_versions"):
            patch.setattr(utils, name, functools.cache(getattr(utils, name)))
        yield


def every_document() -> list[Document]:
    """All that any kustomization applies, each once."""
    found = [one for name in kustomizations() for one in rendered(name)]
    return list({_text(one): one for one in found}.values())


def validate(document: Document, version: str) -> None:
    said = kubernetes_validate.validate(document, version, strict=True)
    assert said == version, "the validator has no schemas of this version"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_takes_what_is_applied(version: str) -> None:
    for document in every_document():
        validate(document, version)


def test_no_manifest_lies_beside_the_kustomizations() -> None:
    used = set().union(*(files(name) for name in kustomizations()))
    assert used == set(MANIFESTS.rglob("*.yaml"))
    assert {path.suffix for path in MANIFESTS.rglob("*") if path.is_file()} == {".yaml"}


def test_a_field_that_is_not_known_is_found_wherever_it_stands() -> None:
    places = 0
    for document in every_document():
        for path in _maps(document):
            wrong = copy.deepcopy(document)
            _at(wrong, path)["surplus"] = "1"
            with pytest.raises(kubernetes_validate.ValidationError, match="surplus"):
                validate(wrong, VERSIONS[-1])
            places += 1
    assert places > 100


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replicas"), "one"),
        (("spec", "template", "spec", "hostPID"), "yes"),
        (("spec", "template", "spec", "containers"), {}),
        (("spec", "template", "spec", "terminationGracePeriodSeconds"), 1.5),
        (("spec", "volumeClaimTemplates", 0, "spec", "accessModes"), "ReadWriteOnce"),
    ],
)
def test_a_value_of_another_kind_is_found(path: tuple[str | int, ...], value: object) -> None:
    (box,) = [one for one in rendered("box") if one["kind"] == "StatefulSet"]
    wrong = copy.deepcopy(box)
    _at(wrong, path[:-1])[path[-1]] = value
    for version in (VERSIONS[0], VERSIONS[-1]):
        with pytest.raises(kubernetes_validate.ValidationError):
            validate(wrong, version)


def test_a_kind_that_does_not_exist_is_found() -> None:
    account = next(one for one in rendered("rbac") if one["kind"] == "ServiceAccount")
    for wrong in ({**account, "kind": "ServiceAcount"}, {**account, "apiVersion": "v2"}):
        with pytest.raises(utils.SchemaNotFoundError):
            validate(wrong, VERSIONS[-1])


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl to compare with")
@pytest.mark.parametrize("name", kustomizations())
def test_kubectl_makes_the_same_of_a_kustomization(name: str) -> None:
    done = subprocess.run(
        [str(KUBECTL), "kustomize", str(MANIFESTS / name)], capture_output=True, check=True
    )
    made = [one for one in yaml.safe_load_all(done.stdout) if one is not None]
    ours = {identity(one): _without_order(one) for one in rendered(name)}
    assert {identity(one): _without_order(one) for one in made} == ours
    assert not done.stderr, "it warns of something"


def _without_order(value: Any) -> Any:
    """Lists whose items have keys, which kubectl puts in an order of its own, sorted."""
    if isinstance(value, dict):
        return {key: _without_order(item) for key, item in value.items()}
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return sorted((_without_order(item) for item in value), key=_text)
    return value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _maps(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of all maps whose keys Kubernetes knows."""
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            # a selector of a StatefulSet is a map of fields, that of a Service one of labels
            if key not in FREE or (key == "selector" and "matchLabels" in item):
                yield from _maps(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _maps(item, (*path, number))


def _at(document: Document, path: tuple[str | int, ...]) -> Any:
    found: Any = document
    for step in path:
        found = found[step]
    return found
