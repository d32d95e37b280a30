"""k3s as a program: what is asked of it, and of the cluster through it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from k3s.places import KUBECONFIG, PROGRAM
from pachybox.errors import NotReady, Refused

_ASK_S = 30.0
_APPLY_S = 120.0
CONTAINERD = "k8s.io"
"""containerd's namespace of what the kubelet sees."""


@dataclass(frozen=True, slots=True)
class Program:
    """The program that is installed on this machine. It reads its data directory from its own
    settings."""

    path: Path = PROGRAM

    def version(self) -> str:
        """As v1.31.4+k3s1. Raises Refused when it does not run here."""
        said = self._said("--version", wait_s=_ASK_S)
        words = said.split()
        if words[:2] != ["k3s", "version"] or len(words) < 3:
            raise Refused(
                f"{self.path} is no k3s: {said[:80]!r}", "install it from another directory"
            )
        return words[2]

    def get(self, *what: str) -> list[dict[str, Any]]:
        """Objects of the cluster, as ``kubectl get`` names them. Raises NotReady with kubectl's
        words when the API does not answer."""
        said = self._said("kubectl", "get", *what, "-o", "json", wait_s=_ASK_S)
        try:
            found = json.loads(said)
        except ValueError as e:
            raise NotReady(f"k3s kubectl get {' '.join(what)} says no JSON") from e
        items = found.get("items")
        return items if isinstance(items, list) else [found]

    def apply(self, folder: Path) -> None:
        """Have the manifests of a kustomization in the cluster. Raises NotReady."""
        self._said("kubectl", "apply", "-k", str(folder), wait_s=_APPLY_S)

    def images(self) -> list[str]:
        """The names of the images that k3s has, without those by hash alone. Raises NotReady."""
        found = self._ctr("images", "ls", "-q").split()
        return sorted(name for name in found if not name.startswith("sha256:"))

    def import_archive(self, source: IO[bytes]) -> None:
        """Bring the images of an archive in. Raises NotReady."""
        self._ctr("images", "import", "-", stdin=source, wait_s=None)

    def pin(self, name: str) -> None:
        """Keep an image when the kubelet makes room. Raises NotReady."""
        self._ctr("images", "label", name, "io.cri-containerd.pinned=pinned")

    def _ctr(
        self, *words: str, stdin: IO[bytes] | None = None, wait_s: float | None = _ASK_S
    ) -> str:
        return self._said("ctr", "-n", CONTAINERD, *words, stdin=stdin, wait_s=wait_s)

    def _said(self, *words: str, wait_s: float | None, stdin: IO[bytes] | None = None) -> str:
        env = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "KUBECONFIG": str(KUBECONFIG),
        }
        try:
            done = subprocess.run(
                [self.path, *words], env=env, stdin=stdin or subprocess.DEVNULL,
                capture_output=True, timeout=wait_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as e:
            raise NotReady(f"k3s {' '.join(words[:2])} does not answer") from e
        except OSError as e:
            raise Refused(
                f"{self.path} does not run here: {e.strerror}", "install it from another directory"
            ) from e
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise NotReady(f"k3s {' '.join(words[:2])}: {said[-1] if said else done.returncode}")
        return done.stdout.decode(errors="replace")


def ready(node: dict[str, Any]) -> str:
    """Why a node is not ready; "" when it is."""
    for one in node.get("status", {}).get("conditions", ()):
        if one.get("type") == "Ready":
            if one.get("status") == "True":
                return ""
            return str(one.get("message") or one.get("reason") or "it does not say why")
    return "it has not reported yet"


Say = Callable[[str], None]
"""Is told what is waited for."""
