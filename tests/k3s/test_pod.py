"""The container of the box's Pod, without a cluster: its environment, its files as a node shows
them, its probes, and the real box. The steps before are those of k3s/README.md."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.boxes import RealBox, eventually
from tests.k3s.render import Document, rendered

# Not what the box takes for loopback, though nobody but this machine reaches it.
ADDRESS = "127.0.0.2"


def _pod() -> Document:
    (box,) = [one for one in rendered("process") if one["kind"] == "StatefulSet"]
    spec: Document = box["spec"]["template"]["spec"]
    return spec


def _environment() -> dict[str, str]:
    """That of the container, in a Pod with ADDRESS; ports are any, for other tests run beside."""
    found: dict[str, str] = {}
    for variable in _pod()["containers"][0]["env"]:
        if "valueFrom" in variable:
            assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
            found[variable["name"]] = ADDRESS
        else:
            found[variable["name"]] = variable["value"].replace("$(POD_IP)", found["POD_IP"])
    return found | {"PACHYBOX_HTTP_PORT": "0", "PACHYBOX_GRPC_PORT": "0"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and a token, made on a desk as the README says."""
    desk = tmp_path_factory.mktemp("desk")
    env = {**os.environ, "PACHYBOX_HOME": str(desk)}
    for words, asked in (
        (["cert", "pachybox.pachybox.svc", ADDRESS], ""),
        (["config", "set", "token", "-"], "b" * 32),
    ):
        command = [sys.executable, "-m", "pachybox.cli", *words]
        subprocess.run(command, env=env, input=asked.encode(), check=True, capture_output=True)
    return desk


def _put(made: Path, home: Path) -> None:
    """What the node mounts: of a Secret a folder of links to a folder that is exchanged whole."""
    now = home / "tls" / "..now"
    now.mkdir(parents=True)
    for name, source in (("tls.crt", "cert.pem"), ("tls.key", "key.pem")):
        shutil.copy(made / "tls" / source, now / name)
        (now / name).chmod(0o440)
        (home / "tls" / name).symlink_to(f"..now/{name}")


def _settings(made: Path, target: Path) -> None:
    """What the init container does, by its own command."""
    first = _pod()["initContainers"][0]
    command = [
        word.replace("/secret", str(made)).replace("/settings", str(target))
        for word in first["command"]
    ]
    subprocess.run(command, check=True)


def test_the_box_serves_as_its_pod_has_it_and_probes_are_answered(
    tmp_path: Path, made: Path
) -> None:
    home = tmp_path / "home"
    box = RealBox(home, env=_environment())
    (home / "box.toml").unlink()
    _put(made, home)
    _settings(made, home)
    try:
        address = box.start().client.status().address
        assert address.startswith(f"https://{ADDRESS}:")
        trust = ssl.create_default_context(cafile=str(made / "tls" / "ca.pem"))
        container = _pod()["containers"][0]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            get = container[probe]["httpGet"]
            assert get["scheme"] == "HTTPS"
            eventually(lambda path=get["path"]: _status(address + path, trust) == 200, probe)  # type: ignore[misc]
        assert _status(f"{address}/metrics", trust) == 401
        assert box.cli("status")
    finally:
        assert box.stop() == 0


@pytest.mark.parametrize("lacking", ["box.toml", "tls"])
def test_the_box_does_not_start_without_token_or_certificate(
    tmp_path: Path, made: Path, lacking: str
) -> None:
    home = tmp_path / "home"
    box = RealBox(home, env=_environment())
    (home / "box.toml").unlink()
    if lacking == "tls":
        _settings(made, home)
    else:
        _put(made, home)
    process = box.spawn()
    assert process.wait(30) == 1
    said = process.stdout.read().decode()
    process.stdout.close()
    assert ("a token" if lacking == "box.toml" else "certificate") in said


def _status(address: str, trust: ssl.SSLContext) -> int:
    try:
        with urllib.request.urlopen(address, context=trust, timeout=10) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as e:
        with e:
            return e.code
