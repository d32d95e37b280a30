"""A machine that systemd runs, for tests: a container with this machine's programs and nothing of
its settings, data or network; the one file is all of pachybox that it is given."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import images
from tests.appliance.conftest import put_cache
from tests.boxes import eventually

SYSTEMD = Path("/usr/lib/systemd/systemd")
PROGRAM = "/opt/pachybox"
_FOLDERS = ("etc", "var/lib", "var/cache", "var/log", "var/tmp", "tmp", "run", "root", "home")
_FOLDERS += ("proc", "sys", "dev", "usr", "srv", "opt", "local")
_FILES = ("passwd", "group", "shadow", "nsswitch.conf", "login.defs")
# No more than systemd and its journal: the bus and who waits for it have nobody to talk to.
_MASKED = ("dbus.service", "dbus.socket", "systemd-logind.service", "console-getty.service")
_MASKED += ("getty-static.service", "systemd-binfmt.service", "systemd-random-seed.service")


# Control groups that are its own, those of memory too, so that systemd keeps limits. What podman
# does for systemd by itself (--systemd) would show it this machine's in their place.
_OWN_GROUPS = ("--systemd=false", "--cgroupns=private", "--env=container=podman")
_OWN_GROUPS += ("--tmpfs=/run:mode=755", "--tmpfs=/run/lock", "--stop-signal=SIGRTMIN+3")


class Machine:
    """One machine. ``folder`` becomes its root, /usr is this machine's, read-only; /usr/local its
    own. ``program`` is the one file, ``cache`` where it is unpacked already; None for a machine
    that is given something else (``mounts``: what is there, by where; before it boots)."""

    def __init__(
        self, folder: Path, program: Path | None = None, cache: Path | None = None
    ) -> None:
        self.root = folder
        folder.chmod(0o755)
        self.name = f"pachybox-test-machine-{os.getpid()}"
        for name in _FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (folder / name).symlink_to(f"usr/{name}")
        for name in _FILES:
            if Path("/etc", name).exists():
                shutil.copy(Path("/etc", name), folder / "etc" / name)
        units = folder / "etc/systemd/system"
        units.mkdir(parents=True)
        for name in _MASKED:
            (units / name).symlink_to("/dev/null")
        (folder / "tmp").chmod(0o1777)
        (folder / "etc/machine-id").write_text("0123456789abcdef" * 2 + "\n")  # no first boot
        self.mounts = {"/usr:ro": "/usr", "/usr/local": str(folder / "local")}
        if program and cache:
            self.mounts |= {f"{PROGRAM}:ro": str(program)}
            put_cache(cache, folder)

    def boot(self) -> Machine:
        """Start it; returns when systemd has. Skips the test where it cannot."""
        images.needed()
        if not SYSTEMD.exists():
            pytest.skip("systemd is not installed")
        volumes = [f"--volume={source}:{at}" for at, source in self.mounts.items()]
        done = images.run(
            *images.runtime(), "run", "--detach", f"--name={self.name}", *_OWN_GROUPS,
            "--privileged", "--network=none", *images.ulimits(), *volumes,
            "--rootfs", str(self.root), str(SYSTEMD),
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"no machine with systemd can be made here: {done.stderr.strip()[-300:]}")

        def started() -> bool:
            said = self.run("systemctl", "is-system-running", check=False).strip()
            return said in ("running", "degraded")

        try:
            eventually(started, "systemd runs the machine")
        except AssertionError:
            self.end()
            pytest.skip("systemd does not start in a container here")
        return self

    def end(self) -> None:
        """Switch it off."""
        images.run("rm", "--force", "--time=0", self.name)
        shutil.rmtree(self.root, ignore_errors=True)

    def call(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program in it as root; all there is to know of that."""
        return subprocess.run(
            ["podman", "exec", "--interactive", self.name, *command],
            input=stdin, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def run(self, *command: str, stdin: str = "", check: bool = True) -> str:
        """What a program prints. Fails on a non-zero exit unless ``check`` is False."""
        done = self.call(*command, stdin=stdin)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def unit(self, name: str, *properties: str) -> list[str]:
        """Properties of a service, in the order asked for."""
        found = self.run("systemctl", "show", f"{name}.service", *(f"-p{p}" for p in properties))
        values = dict(line.split("=", 1) for line in found.splitlines())
        return [values[p] for p in properties]

    def path(self, path: str) -> Path:
        """A path of the machine, as this process sees it."""
        if path.startswith("/usr/local"):
            return self.root / "local" / path.removeprefix("/usr/local").lstrip("/")
        return self.root / path.lstrip("/")
