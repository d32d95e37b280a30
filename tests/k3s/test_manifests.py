"""What the manifests say fits together, and fits the program: names, ports, settings, rights."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

from appliance.binary import tree
from pachybox import __version__, init
from pachybox.api.door import ALWAYS_WELL
from pachybox.config import SETTINGS
from pachybox.pps.runners.pods.findings import NEEDED
from tests.arch.repo import ROOT
from tests.k3s.render import MANIFESTS, Document, documents, identity, kustomizations, rendered

APPLIED = ("host", "box", "process")
BOXES = ("box", "process")
# All that the box asks of the API server.
RIGHTS = {resource: set(verbs) for resource, verbs in NEEDED.items()}
CLUSTER_RIGHTS = {"nodes": {"list"}}
IMAGE = f"localhost/pachybox:{__version__}"


def only(name: str, kind: str, called: str = "pachybox") -> Document:
    (found,) = [
        one for one in rendered(name) if one["kind"] == kind and one["metadata"]["name"] == called
    ]
    return found


def kind_of(name: str, kind: str) -> list[Document]:
    return [one for one in rendered(name) if one["kind"] == kind]


def pod(name: str) -> Document:
    spec: Document = only(name, "StatefulSet")["spec"]["template"]["spec"]
    return spec


def container(name: str) -> Document:
    (found,) = pod(name)["containers"]
    given: Document = found
    return given


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


# ---- names


@pytest.mark.parametrize("name", APPLIED)
def test_everything_is_in_the_namespace_that_comes_with_it(name: str) -> None:
    (namespace,) = kind_of(name, "Namespace")
    for one in rendered(name):
        if one["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
            assert one["metadata"]["namespace"] == namespace["metadata"]["name"], identity(one)


@pytest.mark.parametrize("name", BOXES)
def test_services_and_policies_meet_the_pods_of_the_box(name: str) -> None:
    box = only(name, "StatefulSet")
    labels = box["spec"]["template"]["metadata"]["labels"]
    assert matches(box["spec"]["selector"]["matchLabels"], labels)
    named = {port["name"] for port in container(name)["ports"]}
    services = kind_of(name, "Service")
    for service in services:
        assert matches(service["spec"]["selector"], labels)
        assert {port["targetPort"] for port in service["spec"]["ports"]} == named
    (headless,) = [one for one in services if one["spec"].get("clusterIP") == "None"]
    assert headless["metadata"]["name"] == box["spec"]["serviceName"]


def test_the_policy_of_service_pipelines_leaves_the_box_alone() -> None:
    labels = only("box", "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    selector = only("box", "NetworkPolicy", "pachybox-services")["spec"]["podSelector"]
    assert not matches(selector["matchLabels"], labels)
    assert "app.kubernetes.io/managed-by" in selector["matchLabels"]


def test_the_policy_of_a_box_without_rights_opens_its_doors_alone() -> None:
    spec = only("process", "NetworkPolicy")["spec"]
    assert spec["podSelector"] == {}
    (rule,) = spec["ingress"]
    named = {port["name"] for port in container("process")["ports"]}
    assert {port["port"] for port in rule["ports"]} == named
    assert rule["from"]


# ---- rights


@pytest.mark.parametrize("name", ["host", "box"])
def test_the_box_may_what_it_asks_for_and_no_more(name: str) -> None:
    for kind, wanted in (("Role", RIGHTS), ("ClusterRole", CLUSTER_RIGHTS)):
        (role,) = kind_of(name, kind)
        given: dict[str, set[str]] = {}
        for rule in role["rules"]:
            assert rule.keys() == {"apiGroups", "resources", "verbs"}
            assert rule["apiGroups"] == [""]
            for resource in rule["resources"]:
                given.setdefault(resource, set()).update(rule["verbs"])
        assert given == wanted


@pytest.mark.parametrize("name", ["host", "box"])
def test_bindings_name_roles_and_accounts_that_are_there(name: str) -> None:
    there = {identity(one) for one in rendered(name)}
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        (binding,) = kind_of(name, kind)
        space = binding["metadata"].get("namespace", "")
        assert (binding["roleRef"]["kind"], space, binding["roleRef"]["name"]) in there
        for subject in binding["subjects"]:
            assert (subject["kind"], subject["namespace"], subject["name"]) in there


def test_only_a_box_that_has_pods_has_an_account() -> None:
    assert pod("process")["automountServiceAccountToken"] is False
    assert not kind_of("process", "ServiceAccount")
    account = only("box", "ServiceAccount")
    assert account["automountServiceAccountToken"] is False, "else every Pod of it would be given"
    assert pod("box")["automountServiceAccountToken"] is True
    assert pod("box")["serviceAccountName"] == account["metadata"]["name"]
    token = only("host", "Secret", "pachybox-token")
    assert token["metadata"]["annotations"] == {
        "kubernetes.io/service-account.name": only("host", "ServiceAccount")["metadata"]["name"]
    }


def test_without_rights_the_box_is_what_the_strictest_level_allows() -> None:
    labels = only("process", "Namespace")["metadata"]["labels"]
    assert set(labels.values()) == {"restricted"}
    spec = pod("process")
    assert not {"hostPID", "hostNetwork", "hostIPC"} & spec.keys()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in (*spec["containers"], *spec["initContainers"]):
        context = one["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not context.get("privileged")
    for volume in spec["volumes"]:
        assert volume.keys() - {"name"} <= {"secret", "emptyDir", "configMap"}


def test_the_right_to_enter_pods_is_the_boxs_container_alone() -> None:
    spec, context = pod("box"), container("box")["securityContext"]
    assert spec["hostPID"] is True
    assert spec["hostNetwork"] is True
    assert context["privileged"] is True
    # The API server refuses a privileged container that says this.
    assert "allowPrivilegeEscalation" not in context
    for port in container("box")["ports"]:
        assert port.get("hostPort", port["containerPort"]) == port["containerPort"]
    (first,) = spec["initContainers"]
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert set(only("box", "Namespace")["metadata"]["labels"].values()) == {"privileged"}
    hosts = [volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume]
    assert hosts == ["/sys/fs/cgroup"]


# ---- the program


@pytest.mark.parametrize("name", BOXES)
def test_ports_are_those_that_the_box_listens_on(name: str) -> None:
    ports = {port["name"]: port["containerPort"] for port in container(name)["ports"]}
    wanted = {kind: SETTINGS[f"{kind}_port"].default for kind in ("http", "grpc")}
    assert ports == wanted
    for service in kind_of(name, "Service"):
        for port in service["spec"]["ports"]:
            assert port["port"] == wanted[port["targetPort"]]
            assert port.get("nodePort", port["port"]) == port["port"]


@pytest.mark.parametrize("name", BOXES)
def test_probes_ask_what_the_box_answers(name: str) -> None:
    box = container(name)
    asked = {probe: box[probe]["httpGet"] for probe in box if probe.endswith("Probe")}
    assert asked.keys() == {"startupProbe", "livenessProbe", "readinessProbe"}
    assert {get["path"] for get in asked.values()} == ALWAYS_WELL.keys()
    assert asked["readinessProbe"]["path"] == "/readyz"
    assert {(get["port"], get["scheme"]) for get in asked.values()} == {("http", "HTTPS")}


@pytest.mark.parametrize("name", BOXES)
def test_variables_are_settings_with_values_that_may_be(name: str) -> None:
    variables = {one.variable: one for one in SETTINGS.values() if one.variable}
    named: set[str] = set()
    for variable in container(name)["env"]:
        for asked in re.findall(r"\$\((\w+)\)", variable.get("value", "")):
            assert asked in named, "a variable is filled in from those before it"
        named.add(variable["name"])
        if variable["name"] == "POD_IP":
            continue
        if variable["name"] == init.MARK:
            assert name == "box", "process 1 sets it by itself"
        elif "value" in variable:
            variables[variable["name"]].parse(variable["value"], name)
        else:
            assert variable["name"] in variables
    assert {"PACHYBOX_HTTP_HOST", "PACHYBOX_GRPC_HOST", "PACHYBOX_TLS_CERT"} <= named


@pytest.mark.parametrize("name", BOXES)
def test_the_box_finds_its_files_where_they_are_mounted(name: str) -> None:
    home = re.findall(r"PACHYBOX_HOME=(\S+)", (ROOT / "Containerfile").read_text())[0]
    mounts = {mount["mountPath"]: mount for mount in container(name)["volumeMounts"]}
    volumes = {volume["name"] for volume in pod(name)["volumes"]}
    (claim,) = only(name, "StatefulSet")["spec"]["volumeClaimTemplates"]
    assert {mount["name"] for mount in mounts.values()} <= {*volumes, claim["metadata"]["name"]}
    assert mounts[home]["name"] == claim["metadata"]["name"]
    assert mounts[f"{home}/box.toml"]["subPath"] == "box.toml"
    for one in mounts.values():
        assert one.get("readOnly") or one["name"] in ("data", "tmp", "cgroup")
    env = {one["name"]: one.get("value", "") for one in container(name)["env"]}
    for key in ("PACHYBOX_TLS_CERT", "PACHYBOX_TLS_KEY"):
        folder, _, file = env[key].rpartition("/")
        assert mounts[f"{home}/{folder}"]["name"] == "tls"
        assert file in ("tls.crt", "tls.key")


@pytest.mark.parametrize("name", BOXES)
def test_there_is_one_writer(name: str) -> None:
    spec = only(name, "StatefulSet")["spec"]
    assert spec["replicas"] == 1
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_a_pod_has_as_long_to_end_as_a_service_of_systemd() -> None:
    unit = (ROOT / "appliance" / "service" / "unit.py").read_text()
    (seconds,) = re.findall(r"TimeoutStopSec=(\d+)", unit)
    for name in BOXES:
        assert pod(name)["terminationGracePeriodSeconds"] == int(seconds)


# ---- images, secrets, files


def test_images_are_of_this_version() -> None:
    for name in BOXES:
        for one in (*pod(name)["containers"], *pod(name)["initContainers"]):
            assert one["image"] == IMAGE
            assert one["imagePullPolicy"] == "IfNotPresent"
    (shim,) = [one for one in container("box")["env"] if one["name"].endswith("_SHIM_IMAGE")]
    assert shim["value"] == container("box")["image"]
    assert ":latest" not in "".join(path.read_text() for path in MANIFESTS.rglob("*.yaml"))


@pytest.mark.parametrize("name", BOXES)
def test_a_pod_does_not_start_without_its_secrets(name: str) -> None:
    secrets = {
        volume["secret"]["secretName"]: volume["secret"]
        for volume in pod(name)["volumes"]
        if "secret" in volume
    }
    assert secrets.keys() == {"pachybox", "pachybox-tls"}
    for secret in secrets.values():
        assert not secret.get("optional")
        assert secret["defaultMode"] & 0o337 == 0
    assert secrets["pachybox"]["items"] == [{"key": "box.toml", "path": "box.toml"}]


def test_no_file_holds_a_secret() -> None:
    for path in MANIFESTS.rglob("*.yaml"):
        for one in documents(path):
            assert not {"data", "stringData"} & one.keys() or one["kind"] != "Secret", path
        for text in _texts(documents(path)):
            long = re.findall(r"[A-Za-z0-9+/=]{24,}", text)
            assert not [word for word in long if re.search(r"\d", word)], (path, text)
            assert "PRIVATE KEY" not in text


def test_the_wheel_and_the_one_file_carry_them() -> None:
    manifests = {str(path.relative_to(ROOT)) for path in MANIFESTS.rglob("*.yaml")}
    included = {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert manifests <= included
    assert "k3s" in tree.PACKAGES


def test_every_kustomization_is_applied_or_part_of_one() -> None:
    used = {"rbac", "pods", "base"}
    assert used | set(APPLIED) == set(kustomizations())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
