"""k3s on a machine that systemd runs: installed, waited for, upgraded, used, removed.

k3s is a stand-in (sticks.py): what is tried is the box's side, with a real systemd, real mounts,
processes and interfaces. One test, so that processes of pytest-xdist do not boot a machine each.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes.config import new_client_from_config

from tests import images
from tests.appliance.machine import Machine
from tests.appliance.roots import PATH
from tests.arch.repo import ROOT
from tests.boxes import eventually
from tests.k3s import sticks

STATE = "/run/k3s-stand-in"
SHORT = ("--timeout", "20")


class Lab(Machine):
    """A machine with this checkout, and sticks in /srv."""

    first = ""
    """Its first process, by its number outside."""

    def boot(self) -> Lab:
        super().boot()
        self.first = images.run("inspect", "--format={{.State.Pid}}", self.name).stdout.strip()
        return self

    def call(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """As of any machine, without what podman itself takes each time."""
        if not self.first:
            return super().call(*command, stdin=stdin)
        enter = ["nsenter", "-t", self.first, "-m", "-n", "-p", "-u", "-i", "-r", "-w", "--"]
        env = ["env", "-i", f"PATH={PATH}", "HOME=/root"]
        return subprocess.run(
            [*enter, *env, *command],
            input=stdin, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def pachybox(self, *args: str, status: int = 0) -> str:
        """What a command prints, errors too; fails when it ends with another ``status``."""
        done = self.call(
            "env", f"PYTHONPATH={ROOT}", "PYTHONDONTWRITEBYTECODE=1",
            sys.executable, "-m", "pachybox.cli", *args,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == status, said
        return said

    def install(self, stick: str, *args: str, status: int = 0) -> str:
        command = ("k3s", "install", "--from", f"/srv/{stick}", "--yes", *SHORT, *args)
        return self.pachybox(*command, status=status)

    def status(self, status: int = 0) -> dict[str, Any]:
        return dict(json.loads(self.pachybox("k3s", "status", "--raw", status=status)))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("lab"))
    for path in {str(ROOT), sys.prefix, sys.base_prefix}:
        if not path.startswith("/usr/"):
            made.mounts[f"{path}:ro"] = path
    sticks.stick(made.root / "srv/first", "v1.31.4+k3s1")
    sticks.stick(made.root / "srv/newer", "v1.32.0+k3s1")
    sticks.stick(made.root / "srv/broken", "v1.33.0+k3s1", good=False)
    (made.root / "var/lib/pachybox").mkdir()
    (made.root / "var/lib/pachybox/box.toml").write_text("http_port = 31000\n")
    made.boot()
    try:
        yield made
    finally:
        made.end()


def text(lab: Lab, path: str) -> str:
    """A file of the machine's /run, which is a mount of its own."""
    return lab.run("cat", path)


def without_k3s_it_says_so(lab: Lab) -> None:
    assert "k3s is not installed" in lab.pachybox("k3s", "status", status=1)
    assert "k3s is not installed" in lab.pachybox("k3s", "import", "x", status=1)


def a_port_that_is_taken_is_named_before_anything_is_written(lab: Lab) -> None:
    code = "import socket, time; s = socket.create_server(('', 10250)); print(1, flush=True)"
    unit = ["systemd-run", "--quiet", "--unit=holder"]
    lab.run(*unit, sys.executable, "-c", f"{code}; time.sleep(600)")
    eventually(lambda: "10250" in lab.run("ss", "-ltn"), "the port is taken")
    assert "port 10250 is taken" in lab.install("first", status=1)
    assert not lab.path("/usr/local/bin/k3s").exists()
    assert not lab.path("/etc/rancher").exists()
    lab.run("systemctl", "stop", "holder")


def it_runs_is_ready_and_has_what_a_box_needs(lab: Lab) -> None:
    said = lab.install("first")
    assert "k3s v1.31.4+k3s1 runs, and its node is ready" in said
    assert "has no default route" in said, "this machine has no network"
    assert "systemctl restart pachybox" in said
    active, kind = lab.unit("k3s", "ActiveState", "UnitFileState")
    assert (active, kind) == ("active", "enabled")
    assert text(lab, f"{STATE}/applied").strip().endswith("k3s/manifests/host")
    assert text(lab, f"{STATE}/archives").strip() == sticks.ARCHIVE
    toml = lab.path("/var/lib/pachybox/box.toml").read_text()
    assert 'runner = "kubernetes"' in toml
    assert 'kubeconfig = "/etc/rancher/k3s/pachybox.yaml"' in toml
    account = lab.path("/etc/rancher/k3s/pachybox.yaml")
    assert account.stat().st_mode & 0o777 == 0o600
    used = new_client_from_config(str(account)).configuration
    assert used.host == "https://127.0.0.1:6443"
    assert list(used.api_key.values()) == ["Bearer e.y.J"]
    assert "client-key" not in account.read_text(), "who may everything in the cluster"
    found = lab.status()
    assert (found["well"], found["version"], found["unit"]) == (True, "v1.31.4+k3s1", "active")
    assert found["node"].endswith(", ready")


def again_it_changes_nothing_and_k3s_runs_on(lab: Lab) -> None:
    before = lab.unit("k3s", "MainPID")
    lab.install("first", "--no-start")
    assert lab.status()["well"]
    said = lab.install("first")
    assert "(made)" not in said
    assert "(replaced)" not in said
    assert lab.unit("k3s", "MainPID") == before


def an_edited_registry_starts_it_anew(lab: Lab) -> None:
    before = lab.unit("k3s", "MainPID")
    mirror = ("--registry", "docker.io=http://localhost:5000")
    lab.pachybox("k3s", "install", "--yes", *SHORT, *mirror)
    assert lab.unit("k3s", "MainPID") != before


def images_are_brought_in_and_pinned(lab: Lab) -> None:
    file = lab.path("/srv/tool.tar")
    file.write_bytes(sticks.archive("tool:2"))
    said = lab.pachybox("k3s", "import", "/srv/tool.tar", status=1)
    assert "k3s has not taken docker.io/library/tool:2" in said, "the stand-in keeps short names"
    file.write_bytes(sticks.archive("localhost/tool:2"))
    said = lab.pachybox("k3s", "import", "/srv/tool.tar")
    assert "a spec names it so: image: localhost/tool:2" in said
    label = "localhost/tool:2 io.cri-containerd.pinned=pinned"
    assert label in text(lab, f"{STATE}/labels").splitlines()
    assert "localhost/tool:2" in lab.status()["images"]
    assert "is no archive of images" in lab.pachybox("k3s", "import", "/srv/first/k3s", status=1)


def images_of_podman_too(lab: Lab) -> None:
    storage = lab.path("/etc/containers/storage.conf")
    storage.parent.mkdir(exist_ok=True)
    accept = {"default": [{"type": "insecureAcceptAnything"}]}
    storage.with_name("policy.json").write_text(json.dumps(accept))
    storage.write_text('[storage]\ndriver = "vfs"\nrunroot = "/run/c"\ngraphroot = "/var/lib/c"\n')
    lab.path("/srv/tree.tar").write_bytes(sticks.archive("none"))
    lab.run("podman", "import", "/srv/tree.tar", "localhost/edges:1.0")
    said = lab.pachybox("k3s", "import", "edges:1.0")
    assert "image: localhost/edges:1.0" in said
    assert "podman has no image nothing" in lab.pachybox("k3s", "import", "nothing", status=1)


def pods_of_boxes_are_shown_and_what_they_wait_for(lab: Lab) -> None:
    waits = {"waiting": {"reason": "ErrImagePull"}}
    pod = {
        "metadata": {
            "name": "pachybox-edges-0", "namespace": "pachybox",
            "annotations": {"pachybox.org/pipeline": "edges"},
        },
        "status": {
            "phase": "Pending",
            "containerStatuses": [{"image": "localhost/edges:2.0", "state": waits}],
        },
    }  # fmt: skip
    lab.run("sh", "-c", f"cat > {STATE}/pods", stdin=json.dumps({"items": [pod]}))
    said = lab.pachybox("k3s", "status", status=1)
    assert "the Pod pachybox-edges-0 is Pending: ErrImagePull: localhost/edges:2.0" in said
    assert "pachybox k3s import localhost/edges:2.0" in said
    lab.run("rm", f"{STATE}/pods")


def a_newer_version_takes_its_place(lab: Lab) -> None:
    assert "k3s v1.32.0+k3s1 runs, and its node is ready" in lab.install("newer")
    assert not lab.path("/usr/local/bin/.k3s.former").exists()
    assert lab.status()["version"] == "v1.32.0+k3s1"


def one_that_does_not_start_makes_room_for_the_former(lab: Lab) -> None:
    lab.run("mkdir", "-p", "/run/systemd/system/k3s.service.d")
    soon = "[Service]\nRestartSec=0\n[Unit]\nStartLimitIntervalSec=0\n"
    lab.run("sh", "-c", "cat > /run/systemd/system/k3s.service.d/soon.conf", stdin=soon)
    said = lab.install("broken", status=1)
    assert "it cannot start: no luck today; the former version was put back and started" in said
    eventually(lambda: lab.unit("k3s", "ActiveState") == ["active"], "the former one runs")
    assert "k3s version v1.32.0+k3s1" in lab.run("/usr/local/bin/k3s", "--version")
    assert "has not answered since it was installed" in lab.pachybox("k3s", "status", status=1)
    lab.install("newer")
    assert lab.status()["well"]


def one_that_was_stopped_is_said_to_be(lab: Lab) -> None:
    lab.run("systemctl", "stop", "k3s")
    said = lab.pachybox("k3s", "status", status=1)
    assert "k3s.service is inactive" in said
    assert "systemctl start k3s" in said
    lab.run("systemctl", "start", "k3s")


def it_goes_with_all_that_it_left(lab: Lab) -> None:
    shim = text(lab, f"{STATE}/shim").strip()
    lab.run("kill", "-0", shim)
    inner = lab.path("/srv/inner/usr/local/bin/k3s")
    inner.parent.mkdir(parents=True)
    shutil.copy(lab.path("/usr/local/bin/k3s"), inner)
    root = "--property=RootDirectory=/srv/inner"
    lab.run("systemd-run", "--quiet", "--unit=inner", root, "/usr/local/bin/k3s", "pause")
    eventually(lambda: lab.unit("inner", "SubState") == ["running"], "a container runs")
    networks = lab.path("/var/lib/cni/networks")
    for name in ("cbr0", "podman"):
        (networks / name).mkdir(parents=True)
        (networks / name / "10.42.0.2").touch()
    lab.run("mount", "--mkdir", "-t", "tmpfs", "none", "/run/k3s-other")
    assert "not confirmed" in lab.pachybox("k3s", "uninstall", status=1)
    said = lab.pachybox("k3s", "uninstall", "--yes")
    assert "interface cni0" in said
    assert "systemctl restart pachybox" in said
    assert lab.call("kill", "-0", shim).returncode != 0
    assert lab.unit("inner", "SubState") == ["running"], "what is in a container is not k3s's"
    mounts = lab.run("cat", "/proc/self/mountinfo")
    assert "/run/k3s/" not in mounts
    assert "/var/lib/kubelet" not in mounts
    assert "/run/k3s-other" in mounts, "not k3s's"
    assert lab.unit("k3s", "LoadState") == ["not-found"]
    assert not lab.path("/usr/local/bin/k3s").exists()
    assert not lab.path("/etc/rancher/k3s/pachybox.yaml").exists()
    assert lab.path("/var/lib/rancher/k3s/server").exists()
    assert lab.path("/var/lib/pachybox/box.toml").read_text() == "http_port = 31000\n"


def a_purge_leaves_nothing(lab: Lab) -> None:
    lab.install("first")
    lab.pachybox("k3s", "uninstall", "--purge", "--yes")
    for path in ("/var/lib/rancher", "/var/lib/kubelet", "/etc/rancher"):
        assert not lab.path(path).exists(), path
    assert [path.name for path in lab.path("/var/lib/cni/networks").iterdir()] == ["podman"]


def test_k3s_on_a_machine(lab: Lab) -> None:
    without_k3s_it_says_so(lab)
    a_port_that_is_taken_is_named_before_anything_is_written(lab)
    it_runs_is_ready_and_has_what_a_box_needs(lab)
    again_it_changes_nothing_and_k3s_runs_on(lab)
    an_edited_registry_starts_it_anew(lab)
    images_are_brought_in_and_pinned(lab)
    images_of_podman_too(lab)
    pods_of_boxes_are_shown_and_what_they_wait_for(lab)
    a_newer_version_takes_its_place(lab)
    one_that_does_not_start_makes_room_for_the_former(lab)
    one_that_was_stopped_is_said_to_be(lab)
    it_goes_with_all_that_it_left(lab)
    a_purge_leaves_nothing(lab)
