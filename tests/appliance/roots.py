"""Bare roots for tests: file systems without Python, each in namespaces of its own, without a
network but loopback.

* ``bare``: this machine's C library, GCC's two, and busybox; nothing else
* ``debian``: Debian 12 by debootstrap (minbase), made once a machine; skips where it cannot be
* ``ubuntu``: Ubuntu 22.04 likewise, the oldest system that the one file is for; skips where its
  keyring is not installed, too
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import pytest

from appliance.binary.tree import SYSTEM, libraries_here
from tests.images import GROUPS, USERS

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MADE_S = 900
UBUNTU_KEYS = Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg")

# Runs as the first process of the namespaces; ends when its standard input does, and all with it.
_INIT = """
set -e
if [ -n "$2" ]; then mount -t overlay overlay -o "lowerdir=$2,upperdir=$3,workdir=$4" "$1"
else mount --bind "$1" "$1"; fi
cd "$1"
mkdir -p proc dev tmp old
mount -t proc proc proc
mount --rbind /dev dev
ip link set lo up 2>/dev/null || true
pivot_root . old
exec chroot . /bin/sh -c 'umount -l /old && echo ready && while read -r line; do :; done'
"""


class Root:
    """One root in namespaces: run programs in it, put files into it below ``path``."""

    def __init__(self, path: Path, lower: Path | None = None) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        layers = [str(lower), *(str(path.with_suffix(end)) for end in (".up", ".work"))]
        for one in layers[1:] if lower else ():
            Path(one).mkdir()
        options = ("--net", "--mount", "--pid", "--fork", "--propagation=private")
        self._init = subprocess.Popen(
            ["unshare", *options, "sh", "-c", _INIT, "sh", path, *(layers if lower else ())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._init.stdout is not None
        if self._init.stdout.readline() != "ready\n":
            self.end()
            raise RuntimeError(f"{path} cannot be entered")
        if lower:
            self.path = Path(f"/proc/{self._first()}/root")

    def end(self) -> None:
        """End every process in it."""
        assert self._init.stdin is not None
        assert self._init.stdout is not None
        self._init.stdin.close()
        self._init.stdout.close()
        self._init.wait(30)

    def _first(self) -> str:
        """The namespaces' first process, by its number outside."""
        return Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children").read_text().split()[0]

    def command(self, *words: str, env: Mapping[str, str] | None = None) -> list[str]:
        """What runs ``words`` in the root, from outside."""
        given = {"PATH": PATH, "HOME": "/root", "TERM": "xterm-256color", **(env or {})}
        enter = ["nsenter", "-t", self._first(), "-m", "-n", "-p", "-r", "-w", "--"]
        return [*enter, "/usr/bin/env", "-i", *(f"{k}={v}" for k, v in given.items()), *words]

    def run(
        self, *words: str, env: Mapping[str, str] | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in it to its end."""
        command = self.command(*words, env=env)
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=120, check=False
        )

    def says(self, *words: str, env: Mapping[str, str] | None = None, stdin: str = "") -> str:
        """What a program prints; fails when it does not end well."""
        done = self.run(*words, env=env, stdin=stdin)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout


@contextmanager
def bare(path: Path) -> Iterator[Root]:
    """A root of the C library and busybox."""
    _needed()
    program = shutil.which("busybox")
    if program is None:
        pytest.skip("busybox is not installed")
    _fill_bare(path, Path(program))
    root = Root(path)
    try:
        yield root
    finally:
        root.end()


def _fill_bare(path: Path, busybox: Path) -> None:
    for name in ("bin", "usr/bin", "etc", "root", "var/cache", "var/tmp", "lib64", "tmp"):
        (path / name).mkdir(parents=True)
    (path / "tmp").chmod(0o1777)
    (path / "etc" / "passwd").write_text(USERS)
    (path / "etc" / "group").write_text(GROUPS)
    shutil.copy(busybox, path / "bin" / "busybox")
    listed = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for applet in listed.stdout.split():
        if applet != "busybox":
            (path / "bin" / applet).symlink_to("busybox")
    (path / "usr" / "bin" / "env").symlink_to("/bin/env")
    here = libraries_here()
    for name in sorted(SYSTEM & here.keys()):
        target = path / str(here[name].parent)[1:]
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(here[name], target / name)
        if name.startswith("ld-linux"):
            loader = path / ("lib64" if "x86-64" in name else "lib") / name
            if not loader.exists():
                shutil.copy(here[name], loader)


@contextmanager
def debian(path: Path) -> Iterator[Root]:
    """A root of Debian 12; what is written to it is lost."""
    _needed()
    mirror = _mirror()
    if not mirror:
        pytest.skip("no mirror of Debian is known")
    with _over(path, _debootstrap("bookworm", mirror=mirror)) as root:
        yield root


@contextmanager
def ubuntu(folder: Path) -> Iterator[Root]:
    """A root of Ubuntu 22.04; what is written to it is lost."""
    _needed()
    if not UBUNTU_KEYS.exists():
        pytest.skip(f"{UBUNTU_KEYS} is not installed")
    with _over(folder / "ubuntu", _debootstrap("jammy", keys=str(UBUNTU_KEYS))) as root:
        yield root


@contextmanager
def _over(path: Path, lower: Path) -> Iterator[Root]:
    root = Root(path, lower)
    try:
        yield root
    finally:
        root.end()


@contextmanager
def fresh(folder: Path) -> Iterator[Root]:
    """A root of Debian 12; where none can be made here, a bare one."""
    with ExitStack() as stack:
        try:
            root = stack.enter_context(debian(folder / "debian"))
        except pytest.skip.Exception:
            root = stack.enter_context(bare(folder / "bare"))
        yield root


@cache
def _debootstrap(suite: str, mirror: str = "", keys: str = "") -> Path:
    """The folder of a fresh system, made when this machine has none yet; of debootstrap's own
    mirror, and trusted by this machine's own keys, unless told otherwise."""
    home = Path(tempfile.gettempdir()) / f"pachybox-test-roots-{os.geteuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{home} is another user's")
    made = home / suite
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            fresh = home / f"{suite}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            _make(suite, fresh, mirror, keys)
            fresh.rename(made)
    return made


def _make(suite: str, target: Path, mirror: str, keys: str) -> None:
    program = shutil.which("debootstrap")
    if program is None:
        pytest.skip("debootstrap is not installed")
    options = [f"--keyring={keys}"] if keys else []
    command = [program, "--variant=minbase", *options, suite, str(target), mirror]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MADE_S, check=False)
    if done.returncode:
        last = done.stdout.strip().splitlines()[-1:] or ["it says nothing"]
        pytest.skip(f"debootstrap makes no root here: {last[0]}")


def _mirror() -> str:
    """Where this machine's own Debian packages come from."""
    if shutil.which("apt-get") is None:
        return ""
    command: Sequence[str] = ("apt-get", "indextargets", "--format", "$(REPO_URI)")
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = [line for line in said.splitlines() if line and "security" not in line]
    return found[0] if found else ""


@cache
def _why_not() -> str:
    if os.geteuid() != 0:
        return "a root of its own takes root"
    for program in ("unshare", "nsenter", "pivot_root"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"no namespaces here: {done.stderr.strip()}"


def _needed() -> None:
    if reason := _why_not():
        pytest.skip(reason)
