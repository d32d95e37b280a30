"""A real registry of images on loopback, without TLS, with or without a password."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from base64 import b64encode
from pathlib import Path

import pytest

from tests.boxes import eventually, free_port

PROGRAM = "docker-registry"
USER, PASSWORD = "ann", "open sesame"
# of PASSWORD, at bcrypt's lowest cost: every request is checked
_HASH = "$2b$04$X7DFE2ZmUj5VahR.mocwl.C8X9iIEpkKPrmmIlqwYOdwjdj/pumOO"


class Registry:
    """``host`` is its name in names of images."""

    def __init__(self, folder: Path, *, password: bool = False) -> None:
        if shutil.which(PROGRAM) is None:
            pytest.skip(f"pushing needs {PROGRAM}, which is not installed")
        folder.mkdir(parents=True, exist_ok=True)
        self.host = f"127.0.0.1:{free_port()}"
        self._password = password
        config = {
            "version": "0.1",
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": self.host},
        }
        if password:
            (folder / "htpasswd").write_text(f"{USER}:{_HASH}\n")
            config["auth"] = {"htpasswd": {"realm": "x", "path": str(folder / "htpasswd")}}
        (folder / "config.yml").write_text(json.dumps(config))
        # its own settings, which $REGISTRY_AUTH_FILE, podman's, is none of
        env = {name: value for name, value in os.environ.items() if name[:9] != "REGISTRY_"}
        with open(folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "serve", str(folder / "config.yml")], stdout=log, stderr=log, env=env
            )
        try:
            eventually(self._answers, f"{PROGRAM} answers; see {folder}/log", 20.0)
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        try:
            self.get("/v2/")
        except OSError:
            return False
        return True

    def get(self, path: str) -> bytes:
        """What it answers to its owner."""
        request = urllib.request.Request(f"http://{self.host}{path}")
        if self._password:
            request.add_header("Authorization", f"Basic {_packed()}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def tags(self, repository: str) -> list[str]:
        """The tags of a repository."""
        found: dict[str, list[str]] = json.loads(self.get(f"/v2/{repository}/tags/list"))
        return found["tags"]

    def stop(self) -> None:
        """End it; what it holds stays in its folder."""
        self._process.terminate()
        self._process.wait(10)


def login(*hosts: str) -> dict[str, object]:
    """A Docker configuration that logs in to these."""
    return {"auths": {host: {"auth": _packed()} for host in hosts}}


def _packed() -> str:
    return b64encode(f"{USER}:{PASSWORD}".encode()).decode()
