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


def _certificate(made: Path, folder: Path) -> None:
    """What the node mounts of a Secret: links to a folder that is exchanged whole."""
    now = folder / "..now"
    now.mkdir()
    for name, source in (("tls.crt", "cert.pem"), ("tls.key", "key.pem")):
        shutil.copy(made / "tls" / source, now / name)
        (now / name).chmod(0o440)
        (folder / name).symlink_to(f"..now/{name}")


def _first(made: Path, volume: Path) -> Path:
    """What the init container does, by its own command; returns the copy of box.toml."""
    volume.mkdir()
    places = {"/secret": made, "/settings": volume.parent / "settings", "/volume": volume}
    places["/settings"].mkdir()
    first = _pod()["initContainers"][0]
    assert {one["mountPath"] for one in first["volumeMounts"]} == places.keys()
    *shell, script = first["command"]
    for path, place in places.items():
        script = script.replace(f"{path}/", f"{place}/")
    for _ in range(2):  # it may have to be done again
        subprocess.run([*shell, script], check=True)
    return places["/settings"] / "box.toml"


def _box(made: Path, tmp_path: Path, lacking: str = "") -> RealBox:
    """The box on its volume, with what is mounted in its data directory; not started."""
    settings = _first(made, tmp_path / "volume")
    home = tmp_path / "volume" / "home"
    for private, mode in ((settings, 0o400), (home, 0o700)):
        assert private.stat().st_mode & 0o777 == mode
    box = RealBox(home, env=_environment())
    (home / "box.toml").unlink()
    if lacking != "box.toml":
        settings.rename(home / "box.toml")
    if lacking != "tls":
        (home / "tls" / "secret").mkdir()
        _certificate(made, home / "tls" / "secret")
    return box


def test_the_box_serves_as_its_pod_has_it_and_probes_are_answered(
    tmp_path: Path, made: Path
) -> None:
    box = _box(made, tmp_path)
    try:
        address = box.start().client.status().address
        assert address.startswith(f"https://{ADDRESS}:")
        trust = ssl.create_default_context(cafile=str(made / "tls" / "ca.pem"))
        container = _pod()["containers"][0]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = container[probe]["httpGet"]["path"]
            eventually(lambda path=path: _status(address + path, trust) == 200, probe)  # type: ignore[misc]
        assert _status(f"{address}/metrics", trust) == 401
        assert box.cli("status")
    finally:
        assert box.stop() == 0


@pytest.mark.parametrize("lacking", ["box.toml", "tls"])
def test_the_box_does_not_start_without_token_or_certificate(
    tmp_path: Path, made: Path, lacking: str
) -> None:
    box = _box(made, tmp_path, lacking)
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
