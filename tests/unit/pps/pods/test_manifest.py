"""The objects of a pipeline in a cluster."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pachybox.pps.runners.base import Limits, Transform, WorkerSpec
from pachybox.pps.runners.pods import manifest
from pachybox.pps.runners.pods.manifest import Place

PLACE = Place("mark", "ns", "/opt/shim")
_NONE = Limits()
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def spec(pipeline: str = "edges", user: str = "", limits: Limits = _NONE, **pod: Any) -> WorkerSpec:
    transform = Transform(("true",), user=user)
    return WorkerSpec(pipeline, transform, Path("/w"), limits=limits, image="img:1", pod=pod)


@pytest.mark.parametrize(
    "pipeline", ["edges", "proj/edges", "A_b.C", "x" * 200, "ünï/ß", "___", "a-" * 40]
)
def test_names_are_labels_of_dns(pipeline: str) -> None:
    given = spec(pipeline, version=123456)
    body = manifest.pod(PLACE, given, manifest.pod_name(PLACE, given, 12345), "nonce")
    for text in (body["metadata"]["name"], *body["metadata"]["labels"].values()):
        assert NAME.fullmatch(text)
        assert len(text) <= 63
    notes = body["metadata"]["annotations"]
    project, _, plain = pipeline.rpartition("/")
    assert (notes[manifest.PROJECT], notes[manifest.PIPELINE]) == (project or "default", plain)


def test_names_are_the_same_again_and_differ_where_pipelines_do() -> None:
    names = {manifest.base_name("mark", one) for one in ("a_b", "a-b", "a.b", "A-B", "p/a-b")}
    assert len(names) == 5
    assert manifest.base_name("mark", "a_b") in names
    assert manifest.base_name("other", "a_b") not in names


def test_a_pod_holds_and_may_little() -> None:
    body = manifest.pod(PLACE, spec(), "one", "nonce")["spec"]
    assert body["restartPolicy"] == "Never"
    assert body["hostNetwork"] is True
    assert not body["automountServiceAccountToken"]
    assert not body["enableServiceLinks"]
    (worker,) = body["containers"]
    assert worker["command"] == ["/.pachybox/shim", "hold", "nonce"]
    assert worker["image"] == "img:1"
    rights = worker["securityContext"]
    assert rights["capabilities"]["drop"] == ["ALL"]
    assert "NET_RAW" not in rights["capabilities"]["add"]
    assert rights["allowPrivilegeEscalation"] is False
    assert "runAsUser" not in rights
    assert body["volumes"] == [{"name": "shim", "hostPath": {"path": "/opt/shim", "type": "File"}}]
    assert "nodeSelector" not in body


@pytest.mark.parametrize(
    ("user", "wanted"),
    [("1000", (1000, None)), ("1000:50", (1000, 50)), ("app", (None, None)), ("0:g", (0, None))],
)
def test_users_by_number_are_the_containers(
    user: str, wanted: tuple[int | None, int | None]
) -> None:
    (worker,) = manifest.pod(PLACE, spec(user=user), "one", "n")["spec"]["containers"]
    rights = worker["securityContext"]
    assert (rights.get("runAsUser"), rights.get("runAsGroup")) == wanted


def test_limits_of_a_worker_that_comes_alone() -> None:
    limits = Limits(0.5, 1 << 30, shm=1 << 20)
    body = manifest.pod(PLACE, spec(limits=limits), "one", "n")["spec"]
    (worker,) = body["containers"]
    both = {"cpu": "500m", "memory": str(1 << 30)}
    assert worker["resources"] == {"limits": both, "requests": both}
    assert {"name": "shm", "mountPath": "/dev/shm"} in worker["volumeMounts"]
    assert body["volumes"][1]["emptyDir"] == {"medium": "Memory", "sizeLimit": str(1 << 20)}


def test_the_program_may_come_from_an_image_and_the_node_be_named() -> None:
    place = Place("mark", "ns", "", "box:1", "host-1")
    body = manifest.pod(place, spec(), "one", "n")["spec"]
    (copier,) = body["initContainers"]
    assert copier["image"] == "box:1"
    (mount,) = body["containers"][0]["volumeMounts"]
    assert mount == {
        "name": "shim", "mountPath": "/.pachybox/shim", "readOnly": True, "subPath": "shim"
    }  # fmt: skip
    assert body["volumes"] == [{"name": "shim", "emptyDir": {}}]
    assert body["nodeSelector"] == {"kubernetes.io/hostname": "host-1"}


def test_an_image_of_the_box_gives_the_program(tmp_path: Path) -> None:
    place = Place("mark", "ns", "", "box:1")
    (copier,) = manifest.pod(place, spec(), "one", "n")["spec"]["initContainers"]
    (mount,) = copier["volumeMounts"]
    code = copier["command"][-1].replace(mount["mountPath"], str(tmp_path))
    subprocess.run([sys.executable, "-c", code], check=True)
    with subprocess.Popen([tmp_path / "shim", "hold", "n"]) as held:
        held.terminate()
        assert held.wait(10) in (0, -15), "it ended as it was told to"


def test_logins_of_the_box_become_secrets_and_others_are_the_clusters() -> None:
    given = spec(spec={"image_pull_secrets": ["mine", "theirs"]}, logins={"mine": b"{}"})
    (secret,) = manifest.pull_secrets(PLACE, given)
    assert base64.b64decode(secret["data"][".dockerconfigjson"]) == b"{}"
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    pulled = manifest.pod(PLACE, given, "one", "n")["spec"]["imagePullSecrets"]
    assert pulled == [{"name": secret["metadata"]["name"]}, {"name": "theirs"}]


def test_metadata_of_a_spec_is_on_its_pods_and_takes_nothing_of_ours() -> None:
    mine = {"labels": {"team": "a", manifest.BOX: "x"}, "annotations": {manifest.NONCE: "y"}}
    meta = manifest.pod(PLACE, spec(spec={"metadata": mine}), "one", "n")["metadata"]
    assert meta["labels"]["team"] == "a"
    assert meta["labels"][manifest.BOX] == "mark"
    assert meta["annotations"][manifest.NONCE] == "n"


@pytest.mark.parametrize(
    ("service", "kind", "port"),
    [
        ({"internal_port": 80, "external_port": 31000}, "NodePort",
         {"port": 31000, "targetPort": 80, "nodePort": 31000}),
        ({"internal_port": 80, "type": "ClusterIP"}, "ClusterIP", {"port": 80, "targetPort": 80}),
        ({"internal_port": 80, "external_port": 8080, "type": "LoadBalancer"}, "LoadBalancer",
         {"port": 8080, "targetPort": 80}),
    ],
)  # fmt: skip
def test_a_service(service: dict[str, Any], kind: str, port: dict[str, Any]) -> None:
    given = spec(spec={"service": {**service, "annotations": {"a": "b"}}})
    body = manifest.pod(PLACE, given, "one", "n")
    assert "hostNetwork" not in body["spec"]
    made = manifest.service(PLACE, given)
    assert made is not None
    assert made["spec"]["type"] == kind
    assert made["spec"]["ports"] == [{"name": "port", "protocol": "TCP", **port}]
    assert made["spec"]["selector"].items() <= body["metadata"]["labels"].items()
    assert made["metadata"]["annotations"]["a"] == "b"
    assert manifest.service(PLACE, spec()) is None


def test_pods_are_alike_but_for_name_and_nonce() -> None:
    def of(name: str, nonce: str, given: WorkerSpec) -> str:
        return manifest.fingerprint(manifest.pod(PLACE, given, name, nonce))

    assert of("one", "aa", spec()) == of("two", "bb", spec())
    assert of("one", "aa", spec()) != of("one", "aa", spec(user="5"))
