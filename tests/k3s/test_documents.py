"""What k3s/README.md and docs/in-cluster.md tell people to do is what the manifests need."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from kubernetes.config import new_client_from_config

from pachybox import __version__
from pachybox.config import setting
from tests.arch.repo import ROOT
from tests.k3s.render import MANIFESTS, rendered

README = (ROOT / "k3s" / "README.md").read_text()
PAGE = (ROOT / "docs" / "in-cluster.md").read_text()
KUBECTL = shutil.which("kubectl")
TOKEN, AUTHORITY = "e.y.J", "-----BEGIN CERTIFICATE-----\n"
# Answers as the cluster's, and writes down what it was asked with.
FAKE_KUBECTL = f"""#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in
  *cluster.server*) printf https://127.0.0.1:6443 ;;
  *ca*crt*) printf %s {base64.b64encode(AUTHORITY.encode()).decode()} ;;
  *data.token*) printf %s {base64.b64encode(TOKEN.encode()).decode()} ;;
esac
"""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def test_the_lines_of_the_readme_make_a_kubeconfig_that_only_its_owner_reads(
    tmp_path: Path,
) -> None:
    (script,) = [one for one in blocks(README, "sh") if "kubeconfig" in one]
    (tmp_path / "kubectl").write_text(FAKE_KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    calls = tmp_path / "calls"
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls)}
    place = tmp_path / "kubeconfig"
    place.write_text("an older one, open to others")
    script = script.replace("/var/lib/pachybox/kubeconfig", str(place))
    subprocess.run(["sh", "-euc", script], env=env, check=True)

    assert place.stat().st_mode & 0o777 == 0o600
    client = new_client_from_config(str(place))
    assert client.configuration.host == "https://127.0.0.1:6443"
    assert list(client.configuration.api_key.values()) == [f"Bearer {TOKEN}"]
    assert Path(client.configuration.ssl_ca_cert).read_text() == AUTHORITY
    (context,) = yaml.safe_load(place.read_text())["contexts"]
    assert context["context"]["namespace"] == "pachybox"
    asked = calls.read_text()
    assert "get secret pachybox-token" in asked
    assert TOKEN not in asked


def test_the_secrets_that_people_make_are_those_that_the_pod_wants() -> None:
    made = set(re.findall(r"create secret (?:generic|tls) (\S+)", README))
    (box,) = [one for one in rendered("box") if one["kind"] == "StatefulSet"]
    volumes = box["spec"]["template"]["spec"]["volumes"]
    assert made == {one["secret"]["secretName"] for one in volumes if "secret" in one}
    for name in made:
        assert f"| `{name}` |" in PAGE


def test_the_table_of_rights_is_that_of_the_roles() -> None:
    told = dict(re.findall(r"^\| (\w+)(?: \(of the cluster\))? \| ([a-z, ]+) \|", PAGE, re.M))
    given = {
        resource: ", ".join(rule["verbs"])
        for one in rendered("rbac")
        for rule in one.get("rules", ())
        for resource in rule["resources"]
    }
    assert given.items() <= told.items()


def test_folders_images_and_settings_are_named_as_they_are() -> None:
    for text in (README, PAGE):
        for folder in re.findall(r"k3s/manifests/(\w+)", text):
            assert (MANIFESTS / folder / "kustomization.yaml").exists()
        assert set(re.findall(r"localhost/pachybox:([\w.]+)", text)) == {__version__}
        for key in re.findall(r"`(\w+) = \"", text):
            setting(key)


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl to render with")
def test_values_of_ones_own_are_put_over_the_manifests(tmp_path: Path) -> None:
    shutil.copytree(MANIFESTS, tmp_path / "k3s" / "manifests")
    own = tmp_path / "own"
    own.mkdir()
    (text,) = blocks(PAGE, "yaml")
    (own / "kustomization.yaml").write_text(text.replace("namespace: pachybox", "namespace: lab"))
    done = subprocess.run([str(KUBECTL), "kustomize", str(own)], capture_output=True, check=True)
    assert not done.stderr
    made = [one for one in yaml.safe_load_all(done.stdout) if one is not None]
    (box,) = [one for one in made if one["kind"] == "StatefulSet"]
    pod = box["spec"]["template"]["spec"]
    wanted = f"registry.example.org/pachybox:{__version__}"
    images = {one["image"] for one in (*pod["containers"], *pod["initContainers"])}
    assert images == {wanted}
    env = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    assert env["PACHYBOX_KUBERNETES_SHIM_IMAGE"] == wanted
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    for one in made:
        assert one["metadata"].get("namespace", "lab") == "lab"
        for subject in one.get("subjects", ()):
            assert subject["namespace"] == "lab"
    assert {one["metadata"]["name"] for one in made if one["kind"] == "Namespace"} == {"lab"}
    assert "200Gi" in json.dumps(box["spec"]["volumeClaimTemplates"])
