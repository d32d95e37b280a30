"""Where k3s has its things on a machine, and where they are for this process below a root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pachybox.durable import cut_short
from pachybox.placing import HERE, on_disk

UNIT = "k3s"
SETTINGS = Path("/etc/rancher/k3s")
KUBECONFIG = SETTINGS / "k3s.yaml"
ACCOUNT = SETTINGS / "pachybox.yaml"
"""The kubeconfig of the box; see k3s/account.py."""
PROGRAM = Path("/usr/local/bin/k3s")
DATA = Path("/var/lib/rancher/k3s")
KUBELET = Path("/var/lib/kubelet")
COMMANDS = ("kubectl", "crictl", "ctr")
"""Names under which the program is other programs."""
MANIFESTS = Path(__file__).parent / "manifests" / "host"
"""What a box on the machine needs in the cluster; for ``kubectl apply -k``."""
NAMESPACE = "pachybox"


@dataclass(frozen=True, slots=True)
class Places:
    """The paths of one machine, as it sees them itself; ``on_disk`` puts them below ``root``, a
    path without links."""

    root: Path = HERE
    data: Path = DATA

    @property
    def live(self) -> bool:
        """Whether it is the machine that this process runs on."""
        return self.root == HERE

    @property
    def images(self) -> Path:
        """k3s imports the archives of this directory when it starts."""
        return self.data / "agent/images"

    @property
    def config(self) -> Path:
        """The settings of k3s."""
        return SETTINGS / "config.yaml"

    @property
    def registries(self) -> Path:
        """Where images of which registry come from."""
        return SETTINGS / "registries.yaml"

    @property
    def record(self) -> Path:
        """What was installed; see k3s/record.py."""
        return SETTINGS / "pachybox-installed.json"

    @property
    def unit(self) -> Path:
        """The unit of systemd."""
        return Path("/etc/systemd/system") / f"{UNIT}.service"

    @property
    def wanted(self) -> Path:
        """The link that starts it with the machine."""
        return self.unit.parent / "multi-user.target.wants" / self.unit.name

    @property
    def former(self) -> Path:
        """The program that an upgrade replaced, until the new one has answered."""
        return PROGRAM.with_name(".k3s.former")

    @property
    def links(self) -> dict[Path, str]:
        """The links beside the program, and what they name."""
        return {PROGRAM.with_name(name): PROGRAM.name for name in COMMANDS}

    def on_disk(self, path: Path) -> Path:
        """Where ``path`` of the machine, a file or a link of ours, is for this process. Raises
        Refused when a link on the way leads out of the root, to what is another machine's."""
        return on_disk(self.root, path, link=True)

    def followed(self, path: Path) -> Path:
        """The same of a file of others, which if it is a link is written where that leads."""
        at = on_disk(self.root, path)
        return at.resolve() if at.is_symlink() else at

    def leftovers(self) -> list[Path]:
        """Copies that were cut short: ``replacing`` names them so, and nothing else here does."""
        found = []
        for path in (PROGRAM, self.unit, self.config, self.registries, self.record, ACCOUNT):
            found += cut_short(self.on_disk(path))
        images = on_disk(self.root, self.images)
        return found + [p for p in images.glob(".*.tar*.*") if p.suffix[1:].isdecimal()]
